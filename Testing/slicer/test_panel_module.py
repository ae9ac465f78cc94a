"""The whole module: from a place in the scan to a kept tumor, and what becomes of the panel with the scene."""

import doctest
import sys
from typing import Any

import numpy as np
import slicer
from module_case import ModuleCase, WorkingCase
from slicer_case import needsHarness

from TumorSynth import TumorSynth
from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.marks import isSynthetic
from TumorSynthSlicer.panel import feature_words, worker_section


class Probe:
    """A section that counts how often it is shown."""

    def __init__(self) -> None:
        self.shown = 0

    def refresh(self) -> None:
        """Count."""
        self.shown += 1

    def cleanup(self) -> None:
        """Nothing to do."""


class PanelTest(ModuleCase):
    """The panel without a worker."""

    def testOpeningStartsNothing(self) -> None:
        widget = self.open()
        self.wait(0.2)
        self.assertEqual(widget.logic.service.state, "stopped")
        self.assertEqual(self.errors, [])
        self.assertFalse(self.ui.generateButton.enabled)
        self.assertIn("scan", self.ui.generateButton.toolTip)

    def testTheScanInTheViewsIsTakenUp(self) -> None:
        scan = self.ct()
        slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(scan.GetID())
        widget = self.open()
        self.assertIs(widget.session.source, scan)
        self.waitUntil(lambda: self.ui.sourceSelector.currentNode() is scan)
        self.assertIn("CT", self.ui.scanLabel.text)

    def testManyChangesAreShownOnce(self) -> None:
        widget = self.open()
        probe = Probe()
        widget.panel.sections.append(probe)
        self.wait(0.1)
        probe.shown = 0
        for _ in range(50):
            widget.session.changed.emit()
        self.wait(0.2)
        self.assertEqual(probe.shown, 1)

    def testSettingsFollowTheParameters(self) -> None:
        widget = self.open()
        self.ui.stepsSpin.value = 25
        self.ui.noiseCheck.checked = False
        self.ui.variantsSpin.value = 3
        own = widget.parameters
        self.assertEqual((own.steps, own.noise, own.variants), (25, False, 3))
        own.guidance = 2.5
        self.assertEqual(self.ui.guidanceSpin.value, 2.5)

    def testAnErrorIsReadInThePanel(self) -> None:
        widget = self.open()
        self.wait(0.1)
        widget.session.failed.emit(TumorSynthError("x", "It broke.", "Mend it."))
        self.assertEqual(self.ui.statusLabel.text, "It broke. Mend it.")

    def testClosingTheSceneEmptiesThePanel(self) -> None:
        widget = self.open()
        widget.session.setSource(self.ct())
        widget.session.addPoint((0.0, 0.0, 0.0))
        self.wait(0.1)
        self.assertEqual(self.ui.lesionTable.rowCount, 1)
        slicer.mrmlScene.Clear(0)
        self.wait(0.2)
        self.assertIsNone(widget.session.source)
        self.assertEqual(self.ui.lesionTable.rowCount, 0)
        self.assertEqual(self.errors, [])
        widget.session.setSource(self.ct())
        self.wait(0.1)
        self.assertTrue(self.ui.addPointButton.enabled)

    def testASavedSceneBringsTheLesionsBack(self) -> None:
        widget = self.open()
        widget.session.setSource(self.ct("Saved"))
        key = widget.session.addPoint((1.0, 2.0, 3.0))
        widget.session.update(key, name="Mine", shape={"volume_ml": 3.0})
        folder = self.temporaryFolder()
        for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
            if (
                node.GetSaveWithScene()
                and node.GetModifiedSinceRead()
                and node.GetClassName()
                in (
                    "vtkMRMLScalarVolumeNode",
                    "vtkMRMLMarkupsFiducialNode",
                )
            ):
                extension = "nrrd" if node.IsA("vtkMRMLVolumeNode") else "mrk.json"
                self.assertTrue(slicer.util.saveNode(node, str(folder / f"{node.GetName()}.{extension}")))
        slicer.mrmlScene.SetURL(str(folder / "scene.mrml"))
        self.assertTrue(slicer.mrmlScene.Commit())
        slicer.mrmlScene.Clear(0)
        self.wait(0.1)
        slicer.mrmlScene.SetURL(str(folder / "scene.mrml"))
        self.assertTrue(slicer.mrmlScene.Import())
        self.wait(0.2)
        (lesion,) = widget.session.lesions.all()
        self.assertEqual((lesion.name, lesion.shape), ("Mine", {"volume_ml": 3.0}))
        self.assertEqual(widget.session.source.GetName(), "Saved")
        self.assertEqual(self.ui.lesionTable.item(0, 0).text(), "Mine")
        self.assertEqual(self.errors, [])

    def testReadingAnotherSceneInKeepsWhatIsGoingOn(self) -> None:
        widget = self.open()
        widget.session.setSource(self.ct())
        opened = []
        widget.session.open = opened.append
        scene = slicer.mrmlScene
        scene.StartState(scene.ImportState)
        scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Other")
        scene.EndState(scene.ImportState)
        self.wait(0.1)
        self.assertEqual(opened, [])

    def testEverythingIsInvitedToGoTwice(self) -> None:
        self.open()
        widget = self.widget
        widget.cleanup()
        widget.cleanup()
        self.assertIsNone(widget.session.parameters)

    @needsHarness
    def testReloadingReadsThePackagesAgain(self) -> None:
        widget = self.open()
        before = {name: module for name, module in sys.modules.items() if name.startswith("TumorSynth")}
        self.addCleanup(sys.modules.update, before)
        widget.onReload()
        self.assertFalse([name for name in sys.modules if name.startswith(("TumorSynthLib", "TumorSynthSlicer"))])
        self.assertIn("TumorSynth", sys.modules)

    def testTheExamplesOfTheDocumentationAreRight(self) -> None:
        for module in (feature_words, worker_section):
            result = doctest.testmod(module)
            self.assertGreater(result.attempted, 0)
            self.assertEqual(result.failed, 0)

    def testTheModuleTellsThatItIsForResearch(self) -> None:
        parent = _Parent()
        TumorSynth(parent)
        self.assertEqual(parent.categories, ["Image Synthesis"])
        self.assertIn("not for clinical use", parent.helpText)
        self.assertFalse(parent.icon.isNull())


class _Parent:
    """What the application gives to a module."""

    title = helpText = acknowledgementText = ""
    path = ""
    icon: Any = None


class EditTest(WorkingCase):
    """With a real worker."""

    def testFromAPlaceToAKeptTumorAndBack(self) -> None:
        self.place()
        self.ui.variantsSpin.value = 2
        self.assertTrue(self.ui.generateButton.enabled, self.ui.generateButton.toolTip)
        self.widget.panel.shortcuts["Ctrl+Return"].activated.emit()
        self.wait(0.1)
        self.assertTrue(self.ui.cancelButton.enabled)
        self.assertTrue(self.ui.cancelButton.default)
        self.made()
        self.assertEqual(self.ui.variantTable.rowCount, 2)
        self.assertTrue(self.ui.keepButton.default)
        names = [self.ui.comparisonTable.item(row, 0).text() for row in range(self.ui.comparisonTable.rowCount)]
        self.assertIn("Volume", names)
        self.screenshot(self.widget.parent, "module_result")
        self.ui.variantTable.setCurrentCell(1, 0)
        self.assertEqual(self.session.shown, 1)
        self.ui.keepButton.click()
        self.wait(0.2)
        output = self.widget.parameters.outputVolume
        self.assertTrue(isSynthetic(output))
        self.assertTrue((slicer.util.arrayFromVolume(output) != self.before).any())
        self.assertFalse(self.ui.variantTable.isVisibleTo(self.widget.parent))
        self.ui.undoButton.click()
        self.wait(0.2)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(output), self.before)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(self.scan), self.before)
        self.assertTrue(self.ui.redoButton.enabled)

    def testEscapeCancels(self) -> None:
        self.place()
        self.ui.stepsSpin.value = 500
        self.ui.generateButton.click()
        self.wait(0.3)
        self.assertTrue(self.widget.panel.shortcuts["Esc"].enabled)
        self.widget.panel.shortcuts["Esc"].activated.emit()
        self.waitUntil(lambda: self.session.state != "running", 10.0)
        self.wait(0.1)
        self.assertFalse(self.widget.panel.shortcuts["Esc"].enabled)
        self.assertEqual([error.code for error in self.errors if error.code != "cancelled"], [])
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(self.scan), self.before)

    def testFilesAreExported(self) -> None:
        self.place()
        self.ui.generateButton.click()
        self.made()
        self.assertFalse(self.ui.exportFilesButton.enabled)
        self.assertNotEqual(self.ui.exportFilesButton.toolTip, "")
        self.ui.keepButton.click()
        self.wait(0.2)
        folder = self.temporaryFolder()
        self.session.exportFiles(str(folder))
        self.waitUntil(lambda: "Written to" in self.ui.exportLabel.text)
        self.assertTrue(any(path.suffix == ".nrrd" for path in folder.iterdir()))
        self.assertTrue(any(path.suffix == ".json" for path in folder.iterdir()))
