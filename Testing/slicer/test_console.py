"""The operations from the console: their documented examples, jobs, and what they refuse."""

import doctest
import shlex
from typing import Any

import numpy as np
import slicer
from slicer_case import SlicerCase

from TumorSynthLib.errors import Cancelled, GeometryError, RequestError, TumorSynthError
from TumorSynthSlicer import commands, console
from TumorSynthSlicer.console import EditResult, TumorSynthLogic
from TumorSynthSlicer.console_wishes import wishesOf
from TumorSynthSlicer.marks import isSynthetic, manifestOf
from TumorSynthSlicer.segments import segmentMask
from TumorSynthSlicer.transforms import volumeToWorld

DOMAIN = {"domain": "abdomen-ct", "steps": 2}


class ConsoleCase(SlicerCase):
    """A phantom with a segment, and a worker with a tiny bundle."""

    def setUp(self) -> None:
        super().setUp()
        models = shlex.quote(f"TUMORSYNTH_MODELS={self.tinyBundle().parent}")
        commands.save(commands.WorkerChoice(command=f"env {models} {self.workerCommand()}", bundle="tiny", device="cpu"))
        self.volume = self.ct()
        self.segment = self.ball(self.volume)
        self.before = slicer.util.arrayFromVolume(self.volume).copy()
        self.logic = TumorSynthLogic()
        self.addCleanup(self.end)

    def end(self) -> None:
        self.logic.service.stop()
        self.logic.files.close()

    def changed(self, result: EditResult) -> np.ndarray:
        """Voxels (i, j, k) that differ from the input, which itself is as it was."""
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(self.volume), self.before)
        return (slicer.util.arrayFromVolume(result.volume) != self.before).transpose(2, 1, 0)


class ExamplesTest(ConsoleCase):
    def test_the_documented_examples_do_what_they_say(self) -> None:
        logics: list[TumorSynthLogic] = []

        def logic() -> TumorSynthLogic:
            logics.append(self.logic)
            return self.logic

        names = {"TumorSynthLogic": logic, "slicer": slicer}
        finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
        found = [*finder.find(TumorSynthLogic, "TumorSynthLogic", globs=names)]
        found.append(doctest.DocTestParser().get_doctest(console.__doc__ or "", names, "console", None, 0))
        tested = [example for example in found if example.examples]
        self.assertEqual(len(tested), 8)
        for example in tested:
            with self.subTest(example.name):
                slicer.mrmlScene.Clear(0)
                self.ball(self.ct())
                told: list[str] = []
                failed = runner.run(example, out=told.append, clear_globs=False).failed
                self.assertEqual(failed, 0, "".join(told))


class OperationsTest(ConsoleCase):
    def test_an_insert_makes_marked_nodes_beside_the_input(self) -> None:
        result = self.logic.insert(self.volume, self.position(self.volume), volumeMl=2.0, name="Metastasis", **DOMAIN)
        changed = self.changed(result)
        self.assertTrue(isSynthetic(result.volume) and isSynthetic(result.segmentation))
        self.assertEqual(manifestOf(result.volume)["edits"][0]["request"]["op"], "insert")
        segmentation = result.segmentation.GetSegmentation()
        self.assertEqual(segmentation.GetNthSegment(0).GetName(), "Metastasis")
        mask = segmentMask(result.segmentation, segmentation.GetNthSegmentID(0), result.volume)
        self.assertAlmostEqual(mask.mask.sum() * 0.01, 2.0, delta=0.04)
        self.assertTrue(changed.any())

    def test_edits_of_edits_tell_of_all_in_their_manifest(self) -> None:
        first = self.logic.insert(self.volume, self.position(self.volume), volumeMl=2.0, **DOMAIN)
        second = self.logic.remove(first.volume, (first.segmentation, "Tumor"), **DOMAIN)
        edits = manifestOf(second.volume)["edits"]
        self.assertEqual([edit["request"]["op"] for edit in edits], ["insert", "remove"])
        self.assertEqual(manifestOf(second.volume)["source"]["name"], "CT")

    def test_fiducials_boxes_and_transforms_are_followed(self) -> None:
        self.volume.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        world = volumeToWorld(self.volume, self.position(self.volume))
        point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Here")
        point.AddControlPointWorld(*world)
        box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
        box.SetCenterWorld(*world)
        box.SetSizeWorld(40.0, 40.0, 40.0)
        for place in (world, point, "Here", box, "Box"):
            result = self.logic.insert(self.volume, place, volumeMl=1.5, **DOMAIN)
            middle = np.argwhere(self.changed(result)).mean(axis=0)
            expected = (self.position(self.volume) @ np.eye(3)).tolist()
            matrix = slicer.util.arrayFromVolumeTransform if False else None
            self.assertIsNone(matrix)
            self.assertEqual(result.volume.GetTransformNodeID(), self.volume.GetTransformNodeID())
            self.assertLess(np.linalg.norm(self.ras(middle) - expected), 12.0)

    def ras(self, ijk: np.ndarray) -> np.ndarray:
        """Voxels of the phantom in its own RAS."""
        from TumorSynthSlicer.grids import geometryOf

        return geometryOf(self.volume).to_ras(ijk)

    def test_a_region_holds_the_tumor(self) -> None:
        organ = self.ball(self.volume, radius=14.0, name="Organ", segmentation=self.segment[0])
        result = self.logic.insert(
            self.volume, self.position(self.volume), volumeMl=3.0, region=(self.segment[0], "Organ"), **DOMAIN
        )
        segmentation = result.segmentation
        tumor = segmentMask(segmentation, segmentation.GetSegmentation().GetNthSegmentID(0), self.volume)
        inside = np.zeros(self.before.shape[::-1], bool)
        mask = segmentMask(*organ, self.volume)
        inside[mask.box.slices] = mask.mask
        self.assertTrue(inside[tumor.box.slices][tumor.mask].all())


class JobTest(ConsoleCase):
    def test_a_job_tells_its_progress_and_calls_back(self) -> None:
        stages: list[str] = []
        ended: list[Any] = []
        position = self.position(self.volume)
        job = self.logic.insert(
            self.volume, position, volumeMl=2.0, wait=False, progress=lambda stage, *rest: stages.append(stage), **DOMAIN
        )
        job.onDone(ended.append)
        self.assertFalse(job.done)
        self.assertIsInstance(job.wait(), EditResult)
        self.assertEqual((ended, job.state), ([job], "done"))
        self.assertEqual((stages[0], stages[-1]), ("preparing", "loading"))

    def test_a_cancelled_job_leaves_nothing(self) -> None:
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        job = self.logic.remove(self.volume, self.segment, wait=False, **DOMAIN)
        job.cancel()
        with self.assertRaises(Cancelled):
            job.wait()
        self.assertEqual((slicer.mrmlScene.GetNumberOfNodes(), job.state), (nodes, "cancelled"))

    def test_what_the_worker_refuses_is_raised(self) -> None:
        with self.assertRaises(TumorSynthError) as caught:
            self.logic.insert(self.volume, self.position(self.volume), volumeMl=2.0, domain="knee-ct")
        self.assertIn("knee-ct", str(caught.exception))

    def test_what_makes_no_sense_is_refused_before_anything_starts(self) -> None:
        position = self.position(self.volume)
        for error, call in (
            (RequestError, lambda: self.logic.insert("Nobody", position)),
            (TumorSynthError, lambda: self.logic.insert(None, position)),
            (RequestError, lambda: self.logic.insert(self.volume, "Nowhere")),
            (GeometryError, lambda: self.logic.insert(self.volume, position + 900.0)),
            (RequestError, lambda: self.logic.insert(self.volume, position, volumeML=3.0)),
            (RequestError, lambda: self.logic.insert(self.volume, position, sphericity=3.0)),
            (RequestError, lambda: self.logic.edit(self.volume, (self.segment[0], "Liver"))),
            (RequestError, lambda: self.logic.move(self.volume, self.segment, to=self.segment)),
            (RequestError, lambda: self.logic.shape(at=position)),
            (RequestError, lambda: self.logic.exportDicom(self.volume, "somewhere")),
        ):
            with self.assertRaises(error):
                call()
        self.assertEqual(self.logic.service.state, "stopped")

    def test_a_keyword_with_a_mistake_is_told_with_the_right_one(self) -> None:
        with self.assertRaisesRegex(RequestError, "volumeMl"):
            wishesOf({"volumeML": 3.0})
