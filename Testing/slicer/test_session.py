"""The session: what a radiologist does with it, and what goes wrong on the way."""

from typing import Any

import numpy as np
import slicer
from session_fakes import SHIFT, FakeService, voxels
from slicer_case import SlicerCase

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.commands import WorkerChoice
from TumorSynthSlicer.segments import segmentMask
from TumorSynthSlicer.session import Session
from TumorSynthSlicer.temporary_files import TemporaryFiles
from TumorSynthSlicer.transforms import volumeToWorld
from TumorSynthSlicer.views import compositeNodes


class SessionCase(SlicerCase):
    """A session on a phantom, with a worker that answers at once."""

    def setUp(self) -> None:
        super().setUp()
        self.files = TemporaryFiles(self.temporaryFolder())
        self.own = self.parameters()
        self.service = FakeService(lambda: self.own.source)
        self.session = Session(self.own, self.service, self.files, choice=lambda: WorkerChoice(bundle="tiny", device="cpu"))
        self.errors: list[TumorSynthError] = []
        self.session.failed.connect(self.errors.append)
        self.addCleanup(self.end)

    def end(self) -> None:
        self.session.close()
        self.files.close()

    def open(self, started: bool = True, transform: Any = None, **how: Any) -> Any:
        """A session that is ready on a new phantom."""
        if started:
            self.service.start()
        volume = self.ct(**how)
        if transform is not None:
            volume.SetAndObserveTransformNodeID(transform.GetID())
        self.session.setSource(volume)
        self.before = voxels(volume)
        return volume

    def point(self, volume: Any, place: str = "tissue", **asked: Any) -> str:
        """A lesion at a place of the phantom."""
        key = self.session.addPoint(volumeToWorld(volume, self.position(volume, place)))
        self.session.update(key, seed=7, **asked)
        return key

    def generate(self, *keys: str) -> None:
        """Until the round is over."""
        self.session.generate(list(keys) or None)
        self.settled()

    def settled(self) -> None:
        self.waitUntil(lambda: self.session.state != "running")

    def output(self) -> np.ndarray:
        return voxels(self.own.outputVolume)

    def segment(self, key: str) -> Any:
        lesion = self.session.lesions.get(key)
        return segmentMask(self.own.outputSegmentation, lesion.segmentId, self.own.outputVolume)

    def assertNoErrors(self) -> None:
        self.assertEqual([str(error) for error in self.errors], [])


class InsertTest(SessionCase):
    def test_a_new_tumor_is_shown_kept_undone_and_redone_voxel_by_voxel(self) -> None:
        volume = self.open()
        key = self.point(volume, shape={"volume_ml": 2.0})
        self.generate()
        shown = self.output()
        changed = shown - self.before
        self.assertEqual(set(np.unique(changed)), {0, SHIFT + 7})
        self.session.keep()
        np.testing.assert_array_equal(self.output(), shown)
        mask = self.segment(key)
        np.testing.assert_array_equal(np.argwhere(changed.transpose(2, 1, 0)), np.argwhere(mask.mask) + mask.start)
        self.session.undo()
        np.testing.assert_array_equal(self.output(), self.before)
        self.assertEqual(self.session.lesions.get(key).shape, {"volume_ml": 2.0})
        self.session.redo()
        np.testing.assert_array_equal(self.output(), shown)
        self.assertEqual(self.session.lesions.get(key).state, "kept")
        np.testing.assert_array_equal(voxels(volume), self.before)
        self.assertNoErrors()

    def test_variants_have_seeds_that_count_up_and_show_one_at_a_time(self) -> None:
        volume = self.open()
        self.own.variants = 3
        self.point(volume)
        self.generate()
        self.assertEqual([variant.seed for variant in self.session.variants], [7, 8, 9])
        self.assertEqual(self.session.shown, 0)
        for index in (2, 1, 0):
            self.session.show(index)
            self.assertEqual((self.output() - self.before).max(), SHIFT + 7 + index)
        self.session.show(-1)
        np.testing.assert_array_equal(self.output(), self.before)
        folders = [variant.folder for variant in self.session.variants]
        self.session.show(1)
        self.session.keep()
        self.assertEqual([folder.exists() for folder in folders], [False, True, False])
        self.assertNoErrors()

    def test_the_mark_of_a_place_is_hidden_while_its_tumor_is_looked_at(self) -> None:
        volume = self.open()
        key = self.point(volume)
        mark = self.session.places.node(key).GetDisplayNode()
        self.assertTrue(mark.GetVisibility())
        self.generate()
        self.assertFalse(mark.GetVisibility())
        self.session.discard()
        self.assertTrue(mark.GetVisibility())
        self.generate()
        self.session.keep()
        self.assertFalse(mark.GetVisibility())
        self.session.undo()
        self.assertTrue(mark.GetVisibility())
        self.assertNoErrors()

    def test_discarding_the_first_result_leaves_no_trace(self) -> None:
        volume = self.open()
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        key = self.point(volume)
        self.generate()
        self.session.discard()
        self.assertIsNone(self.own.outputVolume)
        self.assertIsNone(self.own.outputSegmentation)
        self.session.removeLesion(key)
        self.wait(0.05)
        left = {slicer.mrmlScene.GetNthNode(n).GetName() for n in range(slicer.mrmlScene.GetNumberOfNodes())}
        self.assertLessEqual(slicer.mrmlScene.GetNumberOfNodes() - nodes, 1, left)  # the outline
        self.assertNoErrors()

    def test_discarding_a_later_result_keeps_the_earlier_ones(self) -> None:
        volume = self.open()
        self.point(volume)
        self.generate()
        self.session.keep()
        kept = self.output()
        other = self.point(volume, "left lung")
        self.generate()
        self.assertFalse(np.array_equal(self.output(), kept))
        self.session.discard()
        np.testing.assert_array_equal(self.output(), kept)
        self.assertEqual(self.session.lesions.get(other).state, "draft")
        self.assertNoErrors()

    def test_the_second_edit_starts_from_the_first_and_after_undo_from_the_scan(self) -> None:
        volume = self.open()
        self.point(volume)
        self.generate()
        self.session.keep()
        first = self.service.requests[0]["out"]
        self.point(volume, "left lung")
        self.generate()
        self.assertTrue(self.service.requests[1]["image"].startswith(first))
        self.session.discard()
        self.session.undo()
        self.generate()
        self.assertEqual(self.service.requests[2]["image"], self.service.requests[0]["image"])
        self.assertNoErrors()

    def test_a_world_under_a_transform_is_told_to_the_worker_in_the_scans_own_space(self) -> None:
        for how in ({}, {"leftHanded": True}, {"oblique": True}):
            with self.subTest(how):
                volume = self.open(transform=self.linearTransform(), **how)
                key = self.point(volume)
                self.generate(key)
                np.testing.assert_allclose(self.service.requests[-1]["at"], self.position(volume), atol=1e-3)
                self.assertEqual(self.own.outputVolume.GetTransformNodeID(), volume.GetTransformNodeID())
                self.session.keep()
                self.assertEqual(self.segment(key).mask.sum(), ((self.output() - self.before) != 0).sum())
        self.assertNoErrors()

    def test_a_box_is_told_in_the_scans_space_and_a_turned_one_lies_inside(self) -> None:
        volume = self.open()
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        node.SetCenter(*self.position(volume))
        node.SetSize(20.0, 24.0, 30.0)
        key = self.session.addBox(node)
        self.generate(key)
        low, high = np.array(self.service.requests[-1]["box"])
        np.testing.assert_allclose((low + high) / 2, self.position(volume), atol=1e-6)
        np.testing.assert_allclose(high - low, (20.0, 24.0, 30.0), atol=1e-6)
        self.assertNoErrors()

    def test_new_tumors_stay_inside_the_region(self) -> None:
        volume = self.open()
        segmentation, segment = self.ball(volume, radius=25.0, name="Organ")
        self.session.setRegion(segmentation, segment)
        self.point(volume)
        self.generate()
        self.assertTrue(self.service.requests[-1]["region"])
        self.session.setRegion(None)
        self.generate()
        self.assertIsNone(self.service.requests[-1]["region"])
        self.assertNoErrors()


class ExistingTest(SessionCase):
    def test_a_kept_tumor_is_edited_with_the_mask_that_was_made(self) -> None:
        volume = self.open()
        key = self.point(volume)
        self.generate()
        self.session.keep()
        first = self.segment(key)
        self.session.update(key, texture={"firstorder_Mean": 90.0})
        self.assertEqual((self.session.lesions.get(key).state, self.session.lesions.get(key).operation), ("draft", "edit"))
        self.generate()
        self.assertEqual(self.service.requests[-1]["op"], "edit")
        self.session.keep()
        np.testing.assert_array_equal(self.segment(key).mask, first.mask)
        self.assertEqual((self.output() - self.before).max(), 2 * (SHIFT + 7))
        self.assertEqual(self.own.outputSegmentation.GetSegmentation().GetNumberOfSegments(), 1)
        self.session.undo()
        self.session.undo()
        np.testing.assert_array_equal(self.output(), self.before)
        self.assertEqual(self.session.lesions.get(key).place, "point")
        self.assertNoErrors()

    def test_a_painted_tumor_is_removed_and_its_segmentation_left_alone(self) -> None:
        volume = self.open()
        segmentation, segment = self.ball(volume)
        painted = segmentMask(segmentation, segment, volume)
        key = self.session.addSegment(segmentation, segment, "remove")
        self.generate()
        changed = (self.output() - self.before).transpose(2, 1, 0)
        self.assertEqual((changed != 0).sum(), painted.mask.sum())
        self.session.keep()
        self.assertEqual(self.session.lesions.get(key).state, "kept")
        self.assertIsNotNone(segmentation.GetSegmentation().GetSegment(segment))
        self.assertEqual(self.own.outputSegmentation.GetSegmentation().GetNumberOfSegments(), 0)
        self.wait(0.05)
        self.assertIn(key, self.session.lesions)
        self.assertNoErrors()

    def test_a_kept_tumor_is_removed_with_its_segment_and_undo_brings_both_back(self) -> None:
        volume = self.open()
        key = self.point(volume)
        self.generate()
        self.session.keep()
        mask = self.segment(key)
        self.session.update(key, operation="remove")
        self.own.variants = 2
        self.generate()
        self.wait(0.05)
        self.assertEqual(self.own.outputSegmentation.GetSegmentation().GetNumberOfSegments(), 0)
        self.assertEqual((self.session.lesions.get(key).state, len(self.session.variants)), ("result", 2))
        self.assertEqual(self.session.why("generate"), "")
        self.session.discard()
        self.wait(0.05)
        np.testing.assert_array_equal(self.segment(key).mask, mask.mask)
        self.generate()
        self.session.keep()
        self.wait(0.05)
        self.assertEqual(self.own.outputSegmentation.GetSegmentation().GetNumberOfSegments(), 0)
        self.session.undo()
        self.wait(0.05)
        np.testing.assert_array_equal(self.segment(key).mask, mask.mask)
        self.assertNoErrors()

    def test_moving_needs_a_target_and_goes_there(self) -> None:
        volume = self.open()
        segmentation, segment = self.ball(volume)
        key = self.session.addSegment(segmentation, segment, "move")
        self.assertIn("where", self.session.why("generate"))
        self.session.setTarget(key, self.position(volume, "left lung"))
        self.assertEqual(self.session.why("generate"), "")
        self.generate()
        np.testing.assert_allclose(self.service.requests[-1]["to"], self.position(volume, "left lung"), atol=1e-6)
        self.session.keep()
        self.assertNoErrors()

    def test_growth_is_shown_like_variants_and_kept_as_sequences(self) -> None:
        volume = self.open()
        segmentation, segment = self.ball(volume, radius=6.0)
        key = self.session.addSegment(segmentation, segment, "grow")
        self.assertIn("volumes", self.session.why("generate"))
        self.session.update(key, volumesMl=[2.0, 4.0, 8.0])
        self.generate()
        self.assertEqual(len(self.session.variants), 3)
        sizes = []
        for index in range(3):
            self.session.show(index)
            sizes.append(((self.output() - self.before) != 0).sum())
        self.assertEqual(sizes, sorted(sizes))
        self.session.keep()
        self.settled()
        browser = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
        self.assertEqual(browser.GetNumberOfItems(), 3)
        self.assertEqual((self.session.lesions.get(key).state, self.session.state), ("kept", "ready"))
        shown = browser.GetProxyNode(browser.GetMasterSequenceNode()).GetID()
        self.assertEqual({composite.GetBackgroundVolumeID() for composite in compositeNodes()}, {shown})
        self.assertFalse(segmentation.GetDisplayNode().GetSegmentVisibility(segment))
        self.assertNoErrors()

    def test_several_lesions_are_made_at_once_and_undone_together(self) -> None:
        volume = self.open()
        segmentation, segment = self.ball(volume)
        keys = [self.point(volume, "left lung"), self.point(volume, "right lung")]
        keys.append(self.session.addSegment(segmentation, segment, "remove"))
        self.generate(*keys)
        self.assertEqual(len(self.service.requests), 1)
        self.session.keep()
        self.assertEqual([self.session.lesions.get(key).state for key in keys], ["kept"] * 3)
        self.assertEqual(self.own.outputSegmentation.GetSegmentation().GetNumberOfSegments(), 2)
        self.session.undo()
        np.testing.assert_array_equal(self.output(), self.before)
        self.assertEqual([self.session.lesions.get(key).state for key in keys], ["draft"] * 3)
        self.assertNoErrors()

    def test_sliders_start_at_measured_values(self) -> None:
        volume = self.open()
        segmentation, segment = self.ball(volume)
        key = self.session.addSegment(segmentation, segment, "edit")
        self.waitUntil(lambda: self.session.lesions.get(key).measured)
        self.assertEqual(self.session.lesions.get(key).measured["firstorder_Mean"], 55.0)
        self.assertNoErrors()


class QuestionsTest(SessionCase):
    def test_domain_ranges_and_outline_come_when_the_worker_lives(self) -> None:
        volume = self.open(started=False)
        key = self.point(volume)
        self.wait(0.2)
        self.assertEqual(self.service.inquiries, [])
        shown: list[str] = []
        self.session.previewed.connect(shown.append)
        self.service.start()
        self.waitUntil(lambda: self.session.ranges and shown)
        self.assertEqual((self.session.domain, self.session.domainFacts["unit"]), ("abdomen-ct", "HU"))
        self.assertEqual(self.service.inquiriesOf("domain")[0]["modality"], "CT")
        self.assertEqual(self.session.outline.measured, {"shape_VoxelVolume": 2000.0})
        self.assertEqual(set(shown), {key})
        self.assertNoErrors()

    def test_the_outline_follows_the_latest_value_of_a_slider(self) -> None:
        volume = self.open()
        key = self.point(volume)
        self.waitUntil(lambda: self.session.outline.measured)
        count = len(self.service.inquiriesOf("insert"))
        for volumeMl in range(1, 41):
            self.session.update(key, shape={"volume_ml": float(volumeMl)})
        self.waitUntil(lambda: self.service.inquiriesOf("insert")[-1]["shape"] == {"volume_ml": 40.0})
        self.assertLess(len(self.service.inquiriesOf("insert")) - count, 5)

    def test_an_impossible_size_is_told_beside_the_outline_and_at_the_button(self) -> None:
        volume = self.open()
        key = self.point(volume)
        self.waitUntil(lambda: self.session.outline.measured)
        self.session.update(key, shape={"volume_ml": 90.0, "shape_MajorAxisLength": 20.0})
        self.waitUntil(lambda: self.session.outline.message)
        self.assertIn("do not fit", self.session.outline.message)
        self.assertIn("do not fit", self.session.why("generate"))
        self.assertNoErrors()

    def test_an_unclear_scan_asks_for_the_domain(self) -> None:
        self.service.answers["domain"] = {"domain": None, "modality": None, "candidates": ["a", "b"], "warnings": []}
        volume = self.open()
        self.point(volume)
        self.waitUntil(lambda: self.session.questions.candidates)
        self.assertIn("a, b", self.session.why("generate"))
        self.session.setDomain("lung-ct")
        self.assertEqual((self.session.why("generate"), self.session.domain), ("", "lung-ct"))

    def test_another_tumor_is_taken_as_an_example(self) -> None:
        volume = self.open()
        key = self.point(volume)
        segmentation, segment = self.ball(volume, center=self.position(volume, "left lung"))
        measured = {"shape_VoxelVolume": 5000.0, "shape_Sphericity": 0.7, "shape_Elongation": 0.6, "shape_Flatness": 0.6}
        self.service.answers["measure"] = {"measured": {**measured, "firstorder_Mean": 33.0, "glcm_MCC": 0.5}}
        self.session.takeAfter(key, segmentation, segment)
        self.waitUntil(lambda: self.session.lesions.get(key).shape)
        lesion = self.session.lesions.get(key)
        self.assertEqual(lesion.shape, {"sphericity": 0.7, "elongation": 0.6, "flatness": 0.6, "volume_ml": 5.0})
        self.assertEqual(lesion.texture, {"firstorder_Mean": 33.0})
        self.assertNoErrors()


class TroubleTest(SessionCase):
    def test_what_cannot_be_done_is_refused_with_its_reason(self) -> None:
        self.session.generate()
        self.session.keep()
        self.session.addPoint((0.0, 0.0, 0.0))
        self.session.undo()
        self.assertEqual(len(self.errors), 4)
        self.assertEqual(self.session.why("generate"), str(self.errors[0]))
        self.assertEqual(self.session.lesions.all(), [])

    def test_a_point_outside_the_scan_is_told_before_anything_is_generated(self) -> None:
        volume = self.open()
        key = self.session.addPoint(self.position(volume) + 500.0)
        self.assertIn("outside", self.session.why("generate"))
        self.session.generate([key])
        self.assertEqual((len(self.errors), self.session.state), (1, "ready"))

    def test_scans_that_cannot_be_used_are_refused(self) -> None:
        flat = slicer.util.addVolumeFromArray(np.zeros((1, 8, 8), np.int16), name="flat")
        self.session.setSource(flat)
        self.assertEqual((len(self.errors), self.session.state), (1, "noScan"))
        bent = self.ct()
        bent.SetAndObserveTransformNodeID(self.bentTransform().GetID())
        self.session.setSource(bent)
        self.assertEqual([error.code for error in self.errors][1], "transform.nonlinear")

    def test_a_failure_is_told_and_the_lesion_can_be_tried_again(self) -> None:
        volume = self.open()
        key = self.point(volume)
        self.service.error = TumorSynthError("memory", "The memory is full.", "Use the CPU.")
        self.generate()
        self.assertEqual([error.code for error in self.errors], ["memory"])
        lesion = self.session.lesions.get(key)
        self.assertEqual((lesion.state, lesion.message), ("failed", "The memory is full. Use the CPU."))
        self.service.error = None
        self.generate()
        self.assertEqual((self.session.state, self.session.lesions.get(key).message), ("result", ""))

    def test_results_before_a_failure_can_be_kept(self) -> None:
        volume = self.open()
        self.own.variants = 3
        self.point(volume)
        self.service.error, self.service.failFrom = TumorSynthError("memory", "Full."), 2
        self.generate()
        self.assertEqual((len(self.session.variants), self.session.state, len(self.errors)), (2, "result", 1))
        self.session.keep()
        self.assertEqual(len(self.errors), 1)

    def test_cancelling_is_no_error_and_leaves_a_draft(self) -> None:
        volume = self.open()
        key = self.point(volume)
        self.service.hold = True
        self.session.generate()
        self.waitUntil(lambda: self.service.requests)
        self.assertIn("running", self.session.lesions.get(key).state)
        self.session.cancel()
        self.settled()
        self.assertEqual((self.session.lesions.get(key).state, self.session.state), ("draft", "ready"))
        self.assertNoErrors()

    def test_cancelling_while_the_scan_is_written_asks_nothing(self) -> None:
        volume = self.open(started=False)
        self.point(volume)
        self.session.generate()
        self.session.cancel()
        self.settled()
        self.assertEqual((self.service.requests, self.session.state), ([], "ready"))
        self.assertNoErrors()

    def test_a_deleted_point_takes_its_lesion_along(self) -> None:
        volume = self.open()
        key = self.point(volume)
        self.session.places.node(key).RemoveNthControlPoint(0)
        self.waitUntil(lambda: key not in self.session.lesions)
        key = self.point(volume)
        slicer.mrmlScene.RemoveNode(self.session.places.node(key))
        self.waitUntil(lambda: key not in self.session.lesions)
        self.assertNoErrors()

    def test_a_point_that_is_deleted_while_it_is_generated_ends_the_work(self) -> None:
        volume = self.open()
        key = self.point(volume)
        self.service.hold = True
        self.session.generate()
        self.waitUntil(lambda: self.service.requests)
        slicer.mrmlScene.RemoveNode(self.session.places.node(key))
        self.settled()
        self.assertEqual([error.code for error in self.errors], ["place.gone"])
        self.assertNotIn(key, self.session.lesions)

    def test_a_deleted_segment_takes_its_lesion_along(self) -> None:
        volume = self.open()
        segmentation, segment = self.ball(volume)
        key = self.session.addSegment(segmentation, segment, "edit")
        segmentation.GetSegmentation().RemoveSegment(segment)
        self.waitUntil(lambda: key not in self.session.lesions)
        self.assertNoErrors()

    def test_a_deleted_scan_ends_everything(self) -> None:
        volume = self.open()
        self.point(volume)
        self.service.hold = True
        self.session.generate()
        self.waitUntil(lambda: self.service.requests)
        slicer.mrmlScene.RemoveNode(volume)
        self.waitUntil(lambda: self.session.state == "noScan")
        self.assertEqual([error.code for error in self.errors], ["scan.gone"])

    def test_a_deleted_output_volume_starts_over(self) -> None:
        volume = self.open()
        self.point(volume)
        self.generate()
        self.session.keep()
        slicer.mrmlScene.RemoveNode(self.own.outputVolume)
        self.waitUntil(lambda: not self.session.history.canUndo)
        self.assertEqual(self.session.manifest, [])
        key = self.point(volume)
        self.generate(key)
        self.assertEqual(self.service.requests[-1]["image"], self.service.requests[0]["image"])
        self.assertNoErrors()

    def test_another_scan_keeps_what_was_made_and_starts_over(self) -> None:
        volume = self.open()
        self.point(volume)
        self.generate()
        self.session.keep()
        made, kept = self.own.outputVolume, self.output()
        self.open(name="Other", seed=1)
        self.assertIsNone(self.own.outputVolume)
        self.assertFalse(self.session.history.canUndo)
        self.assertEqual(self.session.lesions.all(), [])
        np.testing.assert_array_equal(voxels(made), kept)
        self.assertNoErrors()


class SceneTest(SessionCase):
    def test_closing_the_scene_ends_the_work_and_removes_the_files(self) -> None:
        volume = self.open()
        self.point(volume)
        self.generate()
        self.session.keep()
        self.point(volume, "left lung")
        self.service.hold = True
        self.session.generate()
        self.waitUntil(lambda: len(self.service.requests) == 2)
        slicer.mrmlScene.Clear(0)
        self.assertEqual((self.session.state, self.session.lesions.all(), self.session.variants), ("noScan", [], []))
        self.wait(0.1)
        self.assertEqual([path.name for path in self.files.folder.iterdir() if path.is_dir()], [])
        self.assertNoErrors()

    def test_another_session_takes_up_what_the_parameter_node_tells(self) -> None:
        volume = self.open()
        kept = self.point(volume)
        self.generate()
        self.session.keep()
        draft = self.point(volume, "left lung", shape={"volume_ml": 3.0}, texture={"firstorder_Mean": 20.0})
        expected, table = self.output(), self.session.lesions.all()
        self.session.close()
        self.session = Session(self.own, self.service, self.files, choice=lambda: WorkerChoice(bundle="tiny", device="cpu"))
        self.session.failed.connect(self.errors.append)
        self.assertEqual([lesion.toDict() for lesion in self.session.lesions.all()], [lesion.toDict() for lesion in table])
        self.assertEqual((self.session.lesions.selected, len(self.session.manifest)), (draft, 1))
        self.generate(draft)
        self.session.discard()
        np.testing.assert_array_equal(self.output(), expected)
        self.session.update(kept, shape={"volume_ml": 1.0})
        self.generate(kept)
        self.session.keep()
        self.assertEqual(len(self.session.manifest), 2)
        self.assertNoErrors()

    def test_files_are_exported_with_their_manifest(self) -> None:
        volume = self.open()
        self.point(volume)
        self.assertTrue(self.session.why("exportFiles"))
        self.generate()
        self.session.keep()
        written: list[str] = []
        self.session.exported.connect(written.append)
        folder = self.temporaryFolder()
        self.session.exportFiles(folder)
        self.settled()
        self.assertEqual(written, [str(folder)])
        self.assertEqual(len(list(folder.glob("*.manifest.json"))), 1)
        self.assertNoErrors()
