"""The panel's lesions: the table, and every way to add to it with few hands' turns."""

import time
from types import SimpleNamespace

import numpy as np
import qt
import slicer
from panel_fakes import PanelCase
from session_fakes import FakeService
from slicer_case import SlicerCase

from TumorSynthSlicer.commands import WorkerChoice
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.panel.boxes import boxFor
from TumorSynthSlicer.panel.edit_section import EditSection
from TumorSynthSlicer.panel.features_section import FeaturesSection
from TumorSynthSlicer.panel.generate_section import GenerateSection
from TumorSynthSlicer.panel.lesion_words import positionOf, sizeText
from TumorSynthSlicer.panel.lesions_section import NAME, OPERATION, REMOVE, SHOW, SIZE, STATE, LesionsSection
from TumorSynthSlicer.panel.review_section import ReviewSection
from TumorSynthSlicer.review import Review
from TumorSynthSlicer.session import Session
from TumorSynthSlicer.temporary_files import TemporaryFiles


class LesionsCase(PanelCase):
    """The section over a stand-in for the session with a scan."""

    def setUp(self) -> None:
        super().setUp()
        self.session.source = self.ct()
        self.section = LesionsSection(self.ui, self.session)
        self.addCleanup(self.section.cleanup)
        self.section.refresh()
        self.table = self.ui.lesionTable
        self.failures = []
        self.session.failed.connect(self.failures.append)

    def interaction(self):
        """The node that tells what the mouse does."""
        return slicer.app.applicationLogic().GetInteractionNode()

    def isPlacing(self):
        """Whether a click into a view puts a point there."""
        return self.interaction().GetCurrentInteractionMode() == self.interaction().Place

    def clickInView(self, ras):
        """What the views do with a click in place mode."""
        node = slicer.mrmlScene.GetNodeByID(slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID())
        node.AddControlPointWorld(*(float(value) for value in ras))
        if not self.interaction().GetPlaceModePersistence():
            self.interaction().SwitchToViewTransformMode()
        self.wait(0.02)

    def fiducials(self):
        """Markups of the scene."""
        return slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")


class TableTest(LesionsCase):
    """What the table shows and does."""

    def setUp(self) -> None:
        super().setUp()
        measured = {"shape_VoxelVolume": 24000.0, "shape_MajorAxisLength": 36.0, "shape_MinorAxisLength": 27.0}
        self.first = self.session.lesions.add("point", shape={"volume_ml": 8.0})
        self.second = self.session.lesions.add("segment", "remove", measured=measured, state="kept")
        self.third = self.session.lesions.add("box", state="failed", message="Out of memory", visible=False)
        self.section.refresh()

    def test_rows_tell_name_operation_size_and_state_in_words(self):
        rows = [row[: STATE + 1] for row in self.texts(self.table)]
        expected = [
            ["Lesion 1", "Insert", "8 mL", "draft"],
            ["Existing 1", "Remove", "24 mL, 40 × 30 mm", "kept"],
            ["Lesion 2", "Insert", "–", "failed"],
        ]
        self.assertEqual(rows, expected)
        self.assertEqual(self.table.item(2, STATE).toolTip(), "Out of memory")
        self.assertEqual([self.table.item(row, SHOW).checkState() == qt.Qt.Checked for row in range(3)], [True, True, False])
        self.assertEqual(self.table.currentRow(), 2)

    def test_another_name_is_taken_over_and_an_empty_one_is_not(self):
        self.table.item(0, NAME).setText("  Segment VI ")
        self.assertEqual(self.session.calls[-1], ("update", self.first.key, {"name": "Segment VI"}))

    def test_only_the_name_can_be_typed(self):
        editable = [bool(self.table.item(0, column).flags() & qt.Qt.ItemIsEditable) for column in range(6)]
        self.assertEqual(editable, [True, False, False, False, False, False])

    def test_the_tick_shows_and_hides(self):
        self.table.item(0, SHOW).setCheckState(qt.Qt.Unchecked)
        self.assertEqual(self.session.calls[-1], ("update", self.first.key, {"visible": False}))

    def test_selecting_a_row_selects_the_lesion_and_filling_the_table_does_not(self):
        self.assertEqual(self.session.calls, [])
        self.table.setCurrentCell(1, OPERATION)
        self.assertEqual(self.session.calls, [("select", self.second.key)])
        self.section.refresh()
        self.assertEqual(self.table.currentRow(), 2)
        self.assertEqual(self.session.calls, [("select", self.second.key)])

    def test_a_click_on_the_cross_takes_the_row_off(self):
        self.table.cellClicked.emit(1, SIZE)
        self.assertEqual(self.session.calls, [])
        self.table.cellClicked.emit(1, REMOVE)
        self.assertEqual(self.session.calls, [("removeLesion", self.second.key)])

    def test_buttons_say_why_they_cannot_be_pressed(self):
        self.session.refused = {"addPoint": "Choose a scan first."}
        self.section.refresh()
        self.assertFalse(self.ui.addPointButton.enabled)
        self.assertIn("Choose a scan first.", self.ui.addPointButton.toolTip)
        self.assertTrue(self.ui.addBoxButton.enabled)


class PlacingTest(LesionsCase):
    """Clicks into views."""

    def test_each_click_adds_one_lesion_until_the_button_is_released_and_leaves_no_helper_behind(self):
        self.ui.addPointButton.click()
        self.assertTrue(self.isPlacing())
        self.assertTrue(self.ui.addPointButton.checked)
        self.clickInView((10.0, -5.0, 30.0))
        self.assertEqual(self.session.calls, [("addPoint", (10.0, -5.0, 30.0))])
        self.clickInView((20.0, -5.0, 30.0))
        self.assertEqual(self.session.calls[1:], [("addPoint", (20.0, -5.0, 30.0))])
        self.assertTrue(self.isPlacing())
        self.ui.addPointButton.click()
        self.assertFalse(self.isPlacing())
        self.assertFalse(self.ui.addPointButton.checked)
        self.assertEqual(self.fiducials(), [])

    def test_escape_in_panel_or_view_leaves_without_a_lesion(self):
        for widget in (self.ui.lesionsSection, slicer.app.layoutManager().viewport()):
            self.ui.addPointButton.click()
            shortcut = [one for one in widget.findChildren(qt.QShortcut) if one.key.toString() == "Esc"][-1]
            shortcut.activated.emit()
            self.assertFalse(self.isPlacing())
            self.assertFalse(self.ui.addPointButton.checked)
            self.wait(0.02)
        self.assertEqual(self.session.calls, [])
        self.assertEqual(self.fiducials(), [])

    def test_pressing_the_button_again_or_another_mouse_mode_leaves_too(self):
        self.ui.addPointButton.click()
        self.ui.addPointButton.click()
        self.assertFalse(self.isPlacing())
        self.ui.addPointButton.click()
        self.interaction().SwitchToViewTransformMode()
        self.wait(0.02)
        self.assertFalse(self.ui.addPointButton.checked)
        self.assertEqual(self.session.calls, [])

    def test_one_thing_is_waited_for_at_a_time(self):
        self.ui.addPointButton.click()
        self.ui.underCursorButton.click()
        self.assertFalse(self.ui.addPointButton.checked)
        self.assertTrue(self.ui.underCursorButton.checked)
        self.assertEqual(len(self.fiducials()), 1)

    def test_a_click_on_a_segment_takes_it_into_the_table(self):
        segmentation, segmentId = self.ball(self.session.source)
        self.ui.underCursorButton.click()
        self.clickInView(self.position(self.session.source))
        self.assertEqual(self.session.calls, [("addSegment", segmentation, segmentId, "edit")])

    def test_a_click_beside_all_segments_says_so(self):
        self.ball(self.session.source)
        self.ui.underCursorButton.click()
        self.clickInView(self.position(self.session.source, "bone"))
        self.assertEqual(self.session.calls, [])
        self.assertIn("no visible segment", str(self.failures[0]))

    def test_the_button_names_the_segment_under_the_mouse(self):
        self.ball(self.session.source, name="Metastasis 3")
        before = self.ui.underCursorButton.text
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        place = [float(value) for value in self.position(self.session.source)]
        crosshair.SetCursorPositionRAS(place)
        self.assertEqual(self.ui.underCursorButton.text, before)
        self.ui.underCursorButton.click()
        crosshair.SetCursorPositionRAS([place[0] + 1.0, *place[1:]])
        self.assertEqual(self.ui.underCursorButton.text, "Metastasis 3")
        crosshair.SetCursorPositionRAS([0.0, 0.0, 500.0])
        self.assertEqual(self.ui.underCursorButton.text, before)

    def test_leaving_the_panel_or_closing_the_scene_ends_it(self):
        self.ui.addPointButton.click()
        self.section.leave()
        self.assertFalse(self.isPlacing())
        self.ui.addPointButton.click()
        slicer.mrmlScene.Clear(0)
        self.wait(0.02)
        self.assertFalse(self.ui.addPointButton.checked)
        self.assertEqual(self.session.calls, [])


class SegmentTest(LesionsCase):
    """Segments that are there."""

    def test_the_chosen_segment_is_added(self):
        self.ball(self.session.source)
        segmentation, segmentId = self.ball(self.session.source, name="Other")
        self.ui.segmentSelector.setCurrentNode(segmentation)
        self.ui.segmentSelector.setCurrentSegmentID(segmentId)
        self.ui.addSegmentButton.click()
        self.assertEqual(self.session.calls, [("addSegment", segmentation, segmentId, "edit")])

    def test_the_only_segment_need_not_be_chosen(self):
        segmentation, segmentId = self.ball(self.session.source)
        self.ui.addSegmentButton.click()
        self.assertEqual(self.session.calls, [("addSegment", segmentation, segmentId, "edit")])
        self.assertEqual(self.ui.segmentSelector.currentSegmentID(), segmentId)

    def test_of_several_one_has_to_be_chosen(self):
        segmentation, _ = self.ball(self.session.source, name="Right kidney")
        self.ball(self.session.source, segmentation=segmentation, name="Left kidney")
        self.ui.addSegmentButton.click()
        self.assertEqual(self.session.calls, [])
        self.assertIn("No segment is chosen", str(self.failures[0]))

    def test_of_several_the_only_one_that_is_called_a_tumor_is_taken(self):
        segmentation, tumor = self.ball(self.session.source, name="Kidney tumour")
        self.ball(self.session.source, segmentation=segmentation, name="Left kidney")
        self.ui.addSegmentButton.click()
        self.assertEqual(self.session.calls, [("addSegment", segmentation, tumor, "edit")])

    def test_without_any_it_says_what_to_do(self):
        self.ui.addSegmentButton.click()
        self.assertIn("Paint one", str(self.failures[0]) + self.failures[0].hint)


class BoxTest(LesionsCase):
    """Boxes."""

    def test_a_box_is_made_in_the_middle_of_the_views_inside_the_scan(self):
        center = self.position(self.session.source, "left lung")
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            node.JumpSliceByCentering(*center)
        self.ui.addBoxButton.click()
        (name, box), *_ = self.session.calls
        self.assertEqual(name, "addBox")
        np.testing.assert_allclose(box.GetCenterWorld(), center, atol=1e-3)
        bounds, boxBounds = np.zeros(6), np.zeros(6)
        self.session.source.GetRASBounds(bounds)
        box.GetRASBounds(boxBounds)
        self.assertTrue(np.all(bounds[::2] <= boxBounds[::2]) and np.all(boxBounds[1::2] <= bounds[1::2]))

    def test_a_box_that_was_drawn_is_taken_once(self):
        drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        drawn.SetSize(10.0, 12.0, 14.0)
        self.assertIs(boxFor(self.session.source), drawn)
        self.assertIsNot(boxFor(self.session.source), drawn)

    def test_views_far_from_the_scan_do_not_matter(self):
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            node.JumpSliceByCentering(900.0, 900.0, 900.0)
        bounds = np.zeros(6)
        self.session.source.GetRASBounds(bounds)
        np.testing.assert_allclose(boxFor(self.session.source).GetCenterWorld(), (bounds[::2] + bounds[1::2]) / 2, atol=1e-3)


class PaintTest(LesionsCase):
    """Painting."""

    def paint(self):
        """Voxels as a brush would make them."""
        segmentation = self.ui.segmentEditor.segmentationNode()
        mask = slicer.util.arrayFromVolume(self.session.source) * 0
        mask[18:22, 20:26, 20:26] = 1
        segmentId = self.ui.segmentEditor.currentSegmentID()
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, segmentId, self.session.source)
        return segmentation, segmentId

    def test_paint_and_done_add_a_new_tumor_of_that_form(self):
        self.ui.paintButton.click()
        self.assertFalse(self.ui.paintBox.collapsed)
        self.assertIs(self.ui.segmentEditor.sourceVolumeNode(), self.session.source)
        self.assertEqual(self.ui.segmentEditor.mrmlSegmentEditorNode().GetActiveEffectName(), "Paint")
        painted = self.paint()
        self.ui.paintButton.click()
        self.assertEqual(self.session.calls, [("addSegment", *painted, "insert")])
        self.assertTrue(self.ui.paintBox.collapsed)
        self.assertEqual(self.ui.segmentEditor.mrmlSegmentEditorNode().GetActiveEffectName() or "", "")

    def test_the_first_stroke_adds_it_so_that_it_can_be_removed_at_once(self):
        self.ui.paintButton.click()
        painted = self.paint()
        self.waitUntil(lambda: self.session.calls)
        self.paint()
        self.ui.paintButton.click()
        self.wait(0.2)
        self.assertEqual(self.session.calls, [("addSegment", *painted, "insert")])

    def test_generating_ends_painting_and_placing(self):
        for button in (self.ui.paintButton, self.ui.addPointButton):
            button.click()
            self.assertTrue(button.checked)
            self.session.state = "running"
            self.section.refresh()
            self.assertFalse(button.checked)
            self.session.state = "ready"

    def test_nothing_painted_adds_nothing_and_leaves_no_segment(self):
        self.ui.paintButton.click()
        segmentation = self.ui.segmentEditor.segmentationNode()
        self.ui.paintButton.click()
        self.assertEqual((self.session.calls, self.failures), ([], []))
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), 0)

    def test_the_next_one_is_painted_beside_it(self):
        self.ui.paintButton.click()
        first, _ = self.paint()
        self.ui.paintButton.click()
        self.ui.paintButton.click()
        self.assertIs(self.ui.segmentEditor.segmentationNode(), first)
        self.assertEqual(first.GetSegmentation().GetNumberOfSegments(), 2)

    def test_it_lies_under_the_scans_transform(self):
        self.session.source.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        self.ui.paintButton.click()
        segmentation = self.ui.segmentEditor.segmentationNode()
        self.assertEqual(segmentation.GetTransformNodeID(), self.session.source.GetTransformNodeID())

    def test_leaving_the_panel_takes_what_is_painted(self):
        self.ui.paintButton.click()
        painted = self.paint()
        self.section.leave()
        self.assertEqual(self.session.calls, [("addSegment", *painted, "insert")])

    def test_a_closed_scene_ends_it(self):
        self.ui.paintButton.click()
        self.session.source = None
        slicer.mrmlScene.Clear(0)
        self.section.refresh()
        self.assertFalse(self.ui.paintButton.checked)
        self.assertEqual(self.session.calls, [])


class WordsTest(SlicerCase):
    """Size and place of lesions."""

    def test_the_size_is_the_results_or_else_the_asked_one(self):
        measured = {"shape_VoxelVolume": 8000.0}
        asked = Lesion("L1", "A", "point", shape={"volume_ml": 5.0})
        self.assertEqual(sizeText(asked), "5 mL")
        self.assertEqual(sizeText(asked.withChanges(measured=measured, state="result")), "8 mL")
        self.assertEqual(sizeText(asked.withChanges(place="segment", operation="remove", measured=measured)), "8 mL")
        self.assertEqual(sizeText(asked.withChanges(place="segment", operation="grow", volumesMl=[4.0, 8.5])), "4, 8.5 mL")

    def test_the_position_of_each_kind_of_place_is_in_the_world(self):
        volume = self.ct()
        transform = self.linearTransform()
        volume.SetAndObserveTransformNodeID(transform.GetID())
        own = self.position(volume)
        world = np.array(transform.GetTransformToParent().TransformPoint(own))
        segmentation, segmentId = self.ball(volume, radius=8.0)
        point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
        point.AddControlPointWorld(*world)
        box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        box.SetCenterWorld(*world)
        nodes = {"segment": segmentation, "point": point, "box": box}
        for place, node in nodes.items():
            session = SimpleNamespace(places=SimpleNamespace(node=lambda key, node=node: node))
            lesion = Lesion("L1", "A", place, segmentId=segmentId)
            np.testing.assert_allclose(positionOf(session, lesion), world, atol=1.5)
            self.assertIsNone(positionOf(SimpleNamespace(places=SimpleNamespace(node=lambda key: None)), lesion))
        session = SimpleNamespace(places=SimpleNamespace(node=lambda key: segmentation))
        self.assertIsNone(positionOf(session, Lesion("L1", "A", "segment", segmentId="gone")))


class ActionsTest(PanelCase):
    """From a loaded scan to a kept result over the real session: each operation in at most four turns of the hand."""

    def setUp(self) -> None:
        super().setUp()
        self.files = TemporaryFiles(self.temporaryFolder())
        self.own = self.parameters()
        service = FakeService(lambda: self.own.source)
        choice = WorkerChoice(bundle="tiny", device="cpu")
        self.review = Review()
        self.session = Session(self.own, service, self.files, self.review, choice=lambda: choice)
        self.addCleanup(self.end)
        service.start()
        self.scan = self.ct()
        self.session.setSource(self.scan)
        sections = (LesionsSection, EditSection, FeaturesSection, GenerateSection, ReviewSection)
        self.sections = [section(self.ui, self.session) for section in sections]
        self.session.changed.connect(self.refresh)
        self.errors = []
        self.session.failed.connect(self.errors.append)
        self.refresh()

    def end(self) -> None:
        """Let go of everything."""
        for section in self.sections:
            section.cleanup()
        self.session.close()
        self.files.close()

    def refresh(self) -> None:
        """Show the session as it is."""
        for section in self.sections:
            section.refresh()

    def do(self, *turns) -> None:
        """Press buttons, or click at positions in a view; then keep the result."""
        self.assertLessEqual(len(turns), 4)
        for turn in turns:
            if isinstance(turn, np.ndarray):
                node = slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID()
                slicer.mrmlScene.GetNodeByID(node).AddControlPointWorld(*turn)
            else:
                self.assertTrue(turn.enabled, turn.toolTip)
                turn.click()
            self.wait(0.05)
            self.waitUntil(lambda: self.session.state != "running")
        self.assertEqual((self.session.state, self.errors), ("result", []))
        self.assertEqual(self.review.mode, "after")
        self.ui.keepButton.click()
        self.assertEqual(self.session.selectedLesion.state, "kept")

    def changes(self):
        """Voxels that the output volume has other than the scan."""
        return slicer.util.arrayFromVolume(self.own.outputVolume).astype(int) - slicer.util.arrayFromVolume(self.scan)

    def test_insert_by_a_click(self):
        self.do(self.ui.addPointButton, self.position(self.scan), self.ui.generateButton)
        self.assertGreater(self.changes().max(), 0)

    def test_insert_in_a_box(self):
        self.do(self.ui.addBoxButton, self.ui.generateButton)
        self.assertGreater(self.changes().max(), 0)

    def test_remove_a_segment(self):
        self.ball(self.scan)
        self.do(self.ui.addSegmentButton, self.ui.removeRadio, self.ui.generateButton)
        self.assertLess(self.changes().min(), 0)
        self.assertEqual(self.changes().max(), 0)

    def test_change_a_segment(self):
        self.ball(self.scan)
        self.do(self.ui.addSegmentButton, self.ui.generateButton)
        self.assertGreater(self.changes().max(), 0)

    def test_move_a_segment(self):
        self.ball(self.scan)
        self.do(self.ui.addSegmentButton, self.ui.moveRadio, self.position(self.scan, "left lung"), self.ui.generateButton)
        self.assertGreater(self.changes().max(), 0)

    def test_grow_a_segment(self):
        self.ball(self.scan)
        self.ui.addSegmentButton.click()
        self.wait(0.05)
        self.ui.growRadio.click()
        self.assertTrue(self.ui.generateButton.enabled, self.ui.generateButton.toolTip)
        self.assertEqual(self.session.selectedLesion.volumesMl, [4.0, 6.0, 8.0])

    def test_a_measured_tumor_gives_its_sliders_their_start(self):
        self.ball(self.scan)
        self.ui.addSegmentButton.click()
        self.waitUntil(lambda: abs(self.ui.attenuationSlider.value - 55.0) < 0.1)
        self.assertFalse(self.ui.attenuationCheck.checked)

    def test_a_slider_of_the_real_session_answers_within_five_milliseconds(self):
        self.session.addPoint(self.position(self.scan))
        self.wait(0.1)
        self.session.changed.disconnect(self.refresh)  # the panel shows changes later, once for many
        started = time.process_time()
        for number in range(40):
            self.ui.volumeSlider.value = 5.0 + 0.1 * number
        self.assertLess((time.process_time() - started) / 40, 0.005)
        self.assertAlmostEqual(self.session.selectedLesion.shape["volume_ml"], 8.9)
