"""The stand-in for the application behaves as the application where the module relies on it. Does not run inside 3D Slicer."""

import ast
import subprocess
import sys
import time
import unittest
from pathlib import Path

import ctk
import numpy as np
import qt
import slicer
import vtk
from harness import TESTING
from harness.modules import packages
from slicer_case import SlicerCase, needsRendering

FOLDER = Path(__file__).resolve().parent


class PythonQtTest(SlicerCase):
    """Qt as PythonQt shows it."""

    def test_properties_are_attributes(self) -> None:
        label, spin = qt.QLabel("a"), qt.QSpinBox()
        label.text, label.alignment, spin.maximum, spin.value = "b", qt.Qt.AlignRight, 200, 150
        self.assertEqual((label.text, spin.value, label.objectName), ("b", 150, ""))
        label.enabled = False
        self.assertFalse(label.enabled)
        self.assertFalse(label.isEnabled())

    def test_what_pythonqt_does_not_know_is_refused(self) -> None:
        label, button = qt.QLabel("a"), qt.QPushButton("go")
        with self.assertRaisesRegex(AttributeError, "txt"):
            label.txt = "b"
        with self.assertRaisesRegex(AttributeError, "no property"):
            label.show = 3
        with self.assertRaisesRegex(AttributeError, "NoneType"):
            label.text = None
        with self.assertRaisesRegex(TypeError, "keyword"):
            qt.QLabel(text="b")
        with self.assertRaisesRegex(ValueError, "cliked"):
            button.connect("cliked(bool)", print)
        with self.assertRaisesRegex(ValueError, "clicked"):
            button.connect("clicked(int)", print)
        with self.assertRaises(TypeError):
            label.text()

    def test_signals_tell_as_much_as_is_asked_for(self) -> None:
        button, told = qt.QPushButton("go"), []
        self.assertTrue(button.connect("clicked(bool)", told.append))
        button.connect("clicked()", lambda: told.append("nothing"))
        button.connect("clicked(bool)", lambda: told.append("fewer"))
        button.click()
        self.assertEqual(told, [False, "nothing", "fewer"])
        button.disconnect("clicked(bool)", told.append)
        button.click()
        self.assertEqual(told[3:], ["nothing", "fewer"])

    def test_classes_of_the_module_may_have_attributes_of_their_own(self) -> None:
        class Knob(qt.QSlider):
            def __init__(self) -> None:
                qt.QSlider.__init__(self)
                self.meaning = "volume"

        knob = Knob()
        knob.value = 7
        self.assertEqual((knob.meaning, knob.value), ("volume", 7))

    def test_timers_and_processes_run(self) -> None:
        told, process = [], qt.QProcess()
        qt.QTimer.singleShot(0, lambda: told.append("timer"))
        process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: told.append((code, status)))
        process.start(sys.executable, ["-c", "print(6 * 7); raise SystemExit(3)"])
        self.waitUntil(lambda: len(told) == 2)
        self.assertEqual(sorted(told, key=str), [(3, qt.QProcess.NormalExit), "timer"])
        self.assertEqual(bytes(process.readAllStandardOutput().data()).split(), [b"42"])
        self.assertEqual(process.state(), qt.QProcess.NotRunning)

    def test_settings_are_not_the_users(self) -> None:
        settings = qt.QSettings()
        self.assertNotIn(Path.home(), Path(settings.fileName()).parents)
        self.assertEqual(settings.allKeys(), [])
        settings.setValue("TumorSynth/device", "cpu")
        self.assertEqual(qt.QSettings().value("TumorSynth/device"), "cpu")

    def test_dialogs_do_not_wait(self) -> None:
        box = qt.QMessageBox()
        box.text = "Sure?"
        self.answer(qt.QMessageBox.No, "/data/a.dcm")
        self.assertEqual(box.exec_(), qt.QMessageBox.No)
        self.assertEqual(qt.QFileDialog.getExistingDirectory(None, "Where to?"), "/data/a.dcm")
        self.assertEqual(self.dialogs(), ["Sure?", "Where to?"])


class WidgetTest(SlicerCase):
    """CTK's and Slicer's widgets."""

    def test_sections_hide_what_is_in_them(self) -> None:
        for section, title in ((ctk.ctkCollapsibleButton(), "text"), (ctk.ctkCollapsibleGroupBox(), "title")):
            setattr(section, title, "Output")
            layout, inside, hidden = qt.QVBoxLayout(section), qt.QLabel("in"), qt.QLabel("never")
            layout.addWidget(inside)
            layout.addWidget(hidden)
            hidden.hide()
            section.show()
            section.collapsed = True
            self.assertFalse(inside.visible)
            section.collapsed = False
            self.assertTrue(inside.visible)
            self.assertFalse(hidden.visible)

    def test_sliders_keep_to_their_range_and_tell_once(self) -> None:
        slider, told = ctk.ctkSliderWidget(), []
        slider.connect("valueChanged(double)", told.append)
        slider.minimum, slider.maximum, slider.value = 0.0, 60.0, 12.3456
        self.assertEqual(slider.value, 12.3456)  # the box shows two digits
        slider.value = 12.3456
        slider.value = 99.0
        slider.maximum = 20.0
        self.assertEqual(told, [12.3456, 60.0, 20.0])

    def nodeBox(self, **properties: object) -> "slicer.qMRMLNodeComboBox":
        """A choice of volumes."""
        box = slicer.qMRMLNodeComboBox()
        box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        for name, value in properties.items():
            setattr(box, name, value)
        box.setMRMLScene(slicer.mrmlScene)
        return box

    def test_node_boxes_and_the_scene_follow_each_other(self) -> None:
        box, told = self.nodeBox(noneEnabled=True), []
        box.connect("currentNodeChanged(vtkMRMLNode*)", told.append)
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "One")
        self.assertIsNone(box.currentNode())
        box.setCurrentNode(volume)
        box.setCurrentNode(volume)
        self.assertEqual((box.currentNode(), box.currentNodeID, box.nodeCount()), (volume, volume.GetID(), 1))
        slicer.mrmlScene.RemoveNode(volume)
        self.assertEqual(told, [volume, None])
        made = box.addNode()
        self.assertEqual((box.currentNode(), made.GetClassName()), (made, "vtkMRMLScalarVolumeNode"))
        slicer.mrmlScene.Clear(0)
        self.assertIsNone(box.currentNode())

    def test_node_boxes_without_none_choose_the_first(self) -> None:
        first = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "One")
        self.assertEqual(self.nodeBox().currentNode(), first)

    def test_node_boxes_offer_only_what_fits(self) -> None:
        hidden = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Hidden")
        hidden.SetHideFromEditors(True)
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
        synthetic = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Synthetic")
        synthetic.SetAttribute("TumorSynth.Synthetic", "1")
        box = self.nodeBox(noneEnabled=True)
        self.assertEqual(box.nodeCount(), 2)
        box.showChildNodeTypes = False
        self.assertEqual(box.nodeCount(), 1)
        box.addAttribute("vtkMRMLScalarVolumeNode", "TumorSynth.Synthetic", "0")
        self.assertEqual(box.nodeCount(), 0)
        synthetic.SetAttribute("TumorSynth.Synthetic", "0")
        self.assertEqual(box.nodeCount(), 0, "Slicer does not look again at nodes that are in the scene")
        synthetic.SetName("Another")
        self.assertEqual(box.nodeCount(), 1)

    def test_widgets_that_are_gone_do_not_follow_the_scene(self) -> None:
        box = self.nodeBox(noneEnabled=True)
        box.delete()
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "One")  # an error would fail this test

    def test_segments_can_be_chosen(self) -> None:
        box, told = slicer.qMRMLSegmentSelectorWidget(), []
        box.setMRMLScene(slicer.mrmlScene)
        box.connect("currentSegmentChanged(QString)", told.append)
        segmentation, first = self.ball(self.ct())
        box.setCurrentNode(segmentation)
        second = segmentation.GetSegmentation().AddEmptySegment("", "Other")
        box.setCurrentSegmentID(second)
        self.assertEqual((box.currentSegmentID(), told), (second, [first, second]))
        segmentation.GetSegmentation().RemoveSegment(second)
        self.assertEqual((box.currentSegmentID(), told[2:]), (first, [first]), "Slicer chooses the first instead of none")
        box.setCurrentNode(None)
        self.assertEqual((box.currentNode(), box.currentSegmentID()), (None, first), "it is remembered for the next one")

    def test_node_boxes_go_on_to_the_next_node(self) -> None:
        names = ("One", "Two", "Three")
        nodes = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in names]
        box, leaving = self.nodeBox(noneEnabled=True), []
        box.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", lambda node: leaving.append(node.GetName()))
        box.setCurrentNode(nodes[1])
        slicer.mrmlScene.RemoveNode(nodes[1])
        self.assertEqual((box.currentNode(), leaving), (nodes[2], ["Two"]))
        slicer.mrmlScene.RemoveNode(nodes[2])
        self.assertEqual(box.currentNode(), nodes[0])

    def test_packages_are_only_asked_for(self) -> None:
        import slicer.packaging

        self.addCleanup(packages.asked.clear)
        slicer.packaging.pip_ensure(["monai"], requester="TumorSynth")
        self.assertEqual(packages.asked, [(["monai"], {"requester": "TumorSynth"})])


class ViewTest(SlicerCase):
    """The layout manager."""

    def test_views_outlive_the_scene(self) -> None:
        manager = slicer.app.layoutManager()
        self.assertEqual(set(manager.sliceViewNames()) & {"Red", "Yellow", "Green"}, {"Red", "Yellow", "Green"})
        slicer.mrmlScene.Clear(0)
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            self.assertEqual(widget.mrmlSliceNode().GetScene(), slicer.mrmlScene)
            self.assertEqual(widget.sliceLogic().GetSliceCompositeNode(), widget.mrmlSliceCompositeNode())
        self.assertEqual(manager.threeDWidget(0).mrmlViewNode().GetID(), "vtkMRMLViewNode1")

    def test_layouts_of_the_modules_own(self) -> None:
        manager, told = slicer.app.layoutManager(), []
        before = manager.layout
        self.addCleanup(manager.setLayout, before)
        view = '<item><view class="vtkMRMLSliceNode" singletontag="Own"/></item>'
        manager.layoutLogic().GetLayoutNode().AddLayoutDescription(7531, f'<layout type="horizontal">{view}</layout>')
        manager.connect("layoutChanged(int)", told.append)
        manager.setLayout(7531)
        manager.disconnect("layoutChanged(int)", told.append)
        self.assertEqual((told, manager.layout), ([7531], 7531))
        self.assertTrue(manager.sliceWidget("Own").mrmlSliceNode().IsMappedInLayout())
        self.assertFalse(manager.sliceWidget("Red").mrmlSliceNode().IsMappedInLayout())

    @needsRendering
    def test_pictures_show_the_scan_and_the_segment(self) -> None:
        volume = self.ct(oblique=True, leftHanded=True)
        transform = self.linearTransform()
        volume.SetAndObserveTransformNodeID(transform.GetID())
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        widget = slicer.app.layoutManager().sliceWidget("Red")
        place = list(transform.GetTransformToParent().TransformPoint(self.position(volume, "left lung")))
        widget.mrmlSliceNode().JumpSliceByOffsetting(*place)
        before = self.picture(widget.sliceView())
        column, row = (round(value) for value in widget.sliceView().convertRASToXYZ(place)[:2])
        self.ball(volume, center=self.position(volume, "left lung"))
        after = self.picture(widget.sliceView())
        changed = (before != after).any(axis=-1)
        rows, columns = np.nonzero(changed)
        self.assertTrue(changed[before.shape[0] - 1 - row, column])
        self.assertLess(np.hypot(rows.mean() - (before.shape[0] - 1 - row), columns.mean() - column), 4.0)
        tissue = before[np.abs(before.astype(int).mean(axis=-1) - before.max()) < 120]
        self.assertGreater(len(tissue), 1000)


class CaseTest(SlicerCase):
    """The helpers of SlicerCase."""

    def test_the_phantom_has_its_parts_where_it_says(self) -> None:
        for how in ({}, {"leftHanded": True}, {"oblique": True}, {"leftHanded": True, "oblique": True}):
            volume = self.ct(**how)
            array = slicer.util.arrayFromVolume(volume).transpose(2, 1, 0)
            for place, level in (("tissue", 40), ("left lung", -820), ("right lung", -820), ("bone", 400)):
                ijk = self.indexOf(volume, self.position(volume, place))
                self.assertAlmostEqual(float(array[tuple(ijk)]), level, delta=60)
        self.assertLess(self.position(volume, "left lung")[0], self.position(volume, "right lung")[0])  # R grows to the right

    def indexOf(self, volume: object, ras: np.ndarray) -> np.ndarray:
        """The nearest voxel."""
        matrix = slicer.util.arrayFromVTKMatrix(self.rasToIjk(volume))
        return np.round(matrix[:3] @ np.append(ras, 1.0)).astype(int)

    def rasToIjk(self, volume: object) -> object:
        """The inverse of the volume's matrix."""
        matrix = vtk.vtkMatrix4x4()
        volume.GetRASToIJKMatrix(matrix)
        return matrix

    def test_a_left_handed_scan_is_left_handed(self) -> None:
        for leftHanded in (False, True):
            matrix = np.linalg.inv(slicer.util.arrayFromVTKMatrix(self.rasToIjk(self.ct(leftHanded=leftHanded, oblique=True))))
            self.assertEqual(np.linalg.det(matrix[:3, :3]) < 0, leftHanded)

    def test_a_ball_has_its_volume(self) -> None:
        volume = self.ct(leftHanded=True, oblique=True)
        segmentation, segmentId = self.ball(volume, radius=12.0)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentId, volume)
        self.assertAlmostEqual(mask.sum() * np.prod(volume.GetSpacing()) / (4 / 3 * np.pi * 12.0**3), 1.0, delta=0.05)

    def test_heartbeats_find_what_holds_the_application_up(self) -> None:
        with self.heartbeat() as calm:
            self.wait(0.2)
        with self.heartbeat() as held:
            self.wait(0.05)
            qt.QTimer.singleShot(0, lambda: time.sleep(0.4))
            self.wait(0.1)
        self.assertGreater(calm.count, 3)
        self.assertGreaterEqual(held.longest, 0.4)
        self.assertLess(held.longestWork, 0.3)  # it slept

    def test_errors_in_slots_and_observers_fail_the_test(self) -> None:
        class Inner(SlicerCase):
            def test_slot(self) -> None:
                button = qt.QPushButton("go")
                button.connect("clicked()", lambda: 1 / 0)
                button.click()

            def test_observer(self) -> None:
                node = slicer.vtkMRMLTextNode()
                node.AddObserver("ModifiedEvent", lambda caller, event: 1 / 0)
                node.Modified()

            def test_never(self) -> None:
                self.waitUntil(lambda: False, 0.05)

        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(Inner).run(result)
        self.assertEqual([len(result.errors), len(result.failures)], [2, 1])

    def test_the_scene_is_empty(self) -> None:
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 0)


class ProjectTest(unittest.TestCase):
    """The tests themselves."""

    def test_every_test_can_run_in_the_application_too(self) -> None:
        for path in sorted(FOLDER.glob("test_*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test")]
            self.assertEqual(functions, [], f"{path.name}: only classes run in 3D Slicer")
            imported = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            foreign = [text for text in imported if text.split()[1].split(".")[0] in ("harness", "pytest", "PySide6", "torch")]
            if path.name != Path(__file__).name:
                self.assertEqual(foreign, [], f"{path.name}: 3D Slicer does not have this")

    def test_names_of_test_files_occur_once(self) -> None:
        here, there = ({path.name for path in folder.glob("*.py")} for folder in (FOLDER, TESTING))
        self.assertEqual(here & there, {"conftest.py"})

    def test_without_slicer_core_everything_is_skipped(self) -> None:
        block = "import sys; sys.modules['slicer_core'] = None; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
        command = [sys.executable, "-c", block, "-q", "-p", "no:cacheprovider", str(FOLDER)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=TESTING.parent, timeout=300, check=False)
        self.assertIn("needs slicer-core", done.stdout)
        self.assertNotRegex(done.stdout, "error|passed|failed")
