"""The operations from the console: their documented examples, what they make, jobs, and what they refuse."""

import doctest
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
from slicer_case import SlicerCase, needsHarness

import TumorSynth
from TumorSynthLib.errors import Cancelled, GeometryError, ImageError, RequestError, TumorSynthError
from TumorSynthLib.methods import METHODS
from TumorSynthSlicer import commands, console, qt_process
from TumorSynthSlicer.console import EditResult
from TumorSynthSlicer.console_jobs import ConsoleJob
from TumorSynthSlicer.console_operations import sharedOperations
from TumorSynthSlicer.console_wishes import wishesOf
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.marks import editsOf, isSynthetic, manifestOf, sourceOf
from TumorSynthSlicer.segments import segmentMask
from TumorSynthSlicer.tasks import Task
from TumorSynthSlicer.transforms import volumeToWorld

DOMAIN = {"domain": "abdomen-ct", "steps": 2}
VOXEL_ML = 0.01
"""Of the phantom: 2 x 2 x 2.5 mm."""


class ConsoleCase(SlicerCase):
    """A phantom with a segment, and a worker with a tiny bundle."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(commands.save, commands.load())
        commands.save(commands.WorkerChoice(command=self.workerCommand(), bundle=str(self.tinyBundle()), device="cpu"))
        self.volume = self.ct()
        self.segment = self.ball(self.volume)
        self.before = slicer.util.arrayFromVolume(self.volume).copy()
        self.logic = TumorSynth.TumorSynthLogic()
        self.addCleanup(self.end)

    def end(self) -> None:
        """No process is left, and of the files that of the last scan alone."""
        self.logic.service.stop()
        self.waitUntil(lambda: not qt_process._living, 20.0)
        self.assertLessEqual([name.partition("-")[0] for name in self.leftovers()], ["scan"])

    def leftovers(self) -> list[str]:
        """Names of the temporary files."""
        return sorted(path.name for path in sharedOperations().files.folder.iterdir() if path.name != "lock")

    def changed(self, result: EditResult) -> np.ndarray:
        """Voxels (i, j, k) that differ from the input, which itself is as it was."""
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(self.volume), self.before)
        return (slicer.util.arrayFromVolume(result.volume) != self.before).transpose(2, 1, 0)

    def names(self, segmentation: Any) -> list[str]:
        """Of its segments."""
        data = segmentation.GetSegmentation()
        return [data.GetNthSegment(number).GetName() for number in range(data.GetNumberOfSegments())]

    def mask(self, segmentation: Any, number: int = 0) -> np.ndarray:
        """Voxels (i, j, k) of a segment on the phantom's grid."""
        found = segmentMask(segmentation, segmentation.GetSegmentation().GetNthSegmentID(number), self.volume)
        whole = np.zeros(self.before.shape[::-1], bool)
        whole[found.box.slices] = found.mask
        return whole

    def center(self, mask: np.ndarray) -> np.ndarray:
        """Of a mask, R, A, S in the world."""
        return volumeToWorld(self.volume, geometryOf(self.volume).to_ras(np.argwhere(mask).mean(axis=0)))

    def assertNear(self, one: np.ndarray, other: np.ndarray, millimetres: float) -> None:
        """Two positions lie near each other."""
        self.assertLess(np.linalg.norm(np.asarray(one) - np.asarray(other)), millimetres)

    def nodes(self) -> set[str]:
        """IDs of all nodes."""
        return {slicer.mrmlScene.GetNthNode(n).GetID() for n in range(slicer.mrmlScene.GetNumberOfNodes())}


class ExamplesTest(ConsoleCase):
    def test_the_documented_examples_do_what_they_say(self) -> None:
        names = {"slicer": slicer}
        finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
        found = [*finder.find(TumorSynth.TumorSynthLogic, "TumorSynthLogic", globs=names)]
        found.append(doctest.DocTestParser().get_doctest(console.__doc__ or "", dict(names), "console", None, 0))
        tested = [example for example in found if example.examples]
        self.assertEqual(
            sorted(example.name.rpartition(".")[2] for example in tested),
            ["console", "edit", "exportDicom", "grow", "insert", "insertMany", "move", "remove", "shape"],
        )
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
        changed, mask = self.changed(result), self.mask(result.segmentation)
        self.assertTrue(isSynthetic(result.volume) and isSynthetic(result.segmentation))
        self.assertIs(sourceOf(result.volume), self.volume)
        self.assertEqual(manifestOf(result.volume)["edits"][0]["request"]["op"], "insert")
        self.assertEqual(self.names(result.segmentation), ["Metastasis"])
        self.assertAlmostEqual(mask.sum() * VOXEL_ML, 2.0, delta=0.04)
        self.assertNear(self.center(mask), self.position(self.volume), 2.0)
        self.assertGreater(changed[mask].mean(), 0.9)

    def test_a_second_result_has_the_next_name_with_the_mark_at_its_end(self) -> None:
        position = self.position(self.volume)
        found = [self.logic.insert("CT", position, volumeMl=2.0, seed=seed, **DOMAIN).volume for seed in (0, 1)]
        self.assertEqual([node.GetName() for node in found], ["CT TumorSynth [SYNTHETIC]", "CT TumorSynth_1 [SYNTHETIC]"])

    def test_an_edited_volume_stays_in_its_domain(self) -> None:
        first = self.logic.insert(self.volume, self.position(self.volume), volumeMl=1.0, **DOMAIN)
        self.assertIn("Tumor", self.names(first.segmentation))
        self.assertEqual(repr(first), f"EditResult({first.volume.GetName()!r}, {first.segmentation.GetName()!r})")
        second = self.logic.remove(first.volume, (first.segmentation, "Tumor"))
        self.assertEqual(second.result["request"]["domain"], "abdomen-ct")

    def test_edits_of_edits_tell_of_all_in_their_manifest(self) -> None:
        first = self.logic.insert(self.volume, self.position(self.volume), volumeMl=2.0, **DOMAIN)
        second = self.logic.remove(first.volume, (first.segmentation, "Tumor"), **DOMAIN)
        edits = manifestOf(second.volume)["edits"]
        self.assertEqual([edit["request"]["op"] for edit in edits], ["insert", "remove"])
        self.assertEqual(manifestOf(second.volume)["source"]["name"], "CT")
        self.assertIs(sourceOf(second.volume), self.volume)

    def test_fiducials_boxes_and_transforms_are_followed(self) -> None:
        self.volume.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        world = volumeToWorld(self.volume, self.position(self.volume))
        point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Here")
        point.AddControlPointWorld(*world)
        box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
        box.SetCenterWorld(*world)
        box.SetSizeWorld(40.0, 40.0, 40.0)
        for name, place in (("world", world), ("point", point), ("point", "Here"), ("box", box), ("box", "Box")):
            result = self.logic.insert(self.volume, place, volumeMl=1.5, **DOMAIN)
            mask = self.mask(result.segmentation)
            self.assertTrue(self.changed(result)[mask].any())
            for node in (result.volume, result.segmentation):
                self.assertEqual(node.GetTransformNodeID(), self.volume.GetTransformNodeID())
            if name == "box":
                corners = volumeToWorld(self.volume, geometryOf(self.volume).to_ras(np.argwhere(mask)))
                self.assertLess(np.abs(corners - world).max(), 20.0)
            else:
                self.assertNear(self.center(mask), world, 2.0)

    def test_a_painted_segment_is_the_new_tumor_and_keeps_its_name(self) -> None:
        result = self.logic.insert(self.volume, self.segment, **DOMAIN)
        self.assertEqual(self.names(result.segmentation), ["Tumor"])
        np.testing.assert_array_equal(self.mask(result.segmentation), self.mask(self.segment[0]))

    def test_a_region_holds_the_tumor(self) -> None:
        self.ball(self.volume, radius=14.0, name="Organ", segmentation=self.segment[0])
        result = self.logic.insert(
            self.volume, self.position(self.volume), volumeMl=3.0, region=(self.segment[0], "Organ"), **DOMAIN
        )
        self.assertTrue(self.mask(self.segment[0], 1)[self.mask(result.segmentation)].all())

    def test_several_tumors_come_as_one_result(self) -> None:
        first = np.subtract(self.position(self.volume), (0.0, 0.0, 14.0))
        second = np.add(self.position(self.volume), (0.0, 0.0, 14.0))
        tumors = [{"at": first, "volumeMl": 1.0}, {"at": second, "name": "Other"}]
        result = self.logic.insertMany(self.volume, tumors, volumeMl=np.float32(2.0), **DOMAIN)
        self.assertEqual(self.names(result.segmentation), ["Tumor 1", "Other"])
        for number, (place, size) in enumerate(((first, 1.0), (second, 2.0))):
            mask = self.mask(result.segmentation, number)
            self.assertAlmostEqual(mask.sum() * VOXEL_ML, size, delta=0.02 * size + VOXEL_ML)
            self.assertNear(self.center(mask), place, 2.0)
            self.assertTrue(self.changed(result)[mask].any())
        self.assertEqual([part["request"]["seed"] for part in result.parts], [0, 1])
        self.assertEqual([part["name"] for part in result.parts], ["Tumor 1", "Other"])
        self.assertEqual(len(editsOf(result.volume)), 1)

    def test_an_edit_changes_size_and_place_of_the_segment(self) -> None:
        edited = self.logic.edit(self.volume, self.segment, volumeMl=6.0, **DOMAIN)
        self.assertAlmostEqual(self.mask(edited.segmentation).sum() * VOXEL_ML, 6.0, delta=0.12)
        self.assertEqual(self.names(edited.segmentation), ["Tumor"])
        target = np.add(self.position(self.volume), (0.0, 0.0, 18.0))
        moved = self.logic.move(self.volume, self.segment, to=target, **DOMAIN)
        self.assertNear(self.center(self.mask(moved.segmentation)), target, 2.0)
        self.assertTrue(self.changed(moved)[self.mask(self.segment[0])].any())

    def test_a_removal_leaves_no_segment(self) -> None:
        result = self.logic.remove(self.volume, self.segment, **DOMAIN)
        self.assertEqual(self.names(result.segmentation), [])
        self.assertGreater(self.changed(result)[self.mask(self.segment[0])].mean(), 0.9)

    def test_every_method_makes_a_tumor_and_says_so(self) -> None:
        for method in METHODS:
            how = {**DOMAIN, "method": method}
            result = self.logic.insert(self.volume, self.position(self.volume), volumeMl=2.0, **how)
            self.assertEqual((result.result["request"]["method"], result.result["steps"]), (method, 2))
            mask = self.mask(result.segmentation)
            self.assertAlmostEqual(mask.sum() * VOXEL_ML, 2.0, delta=0.04)
            self.assertGreater(self.changed(result)[mask].mean(), 0.9)

    def test_removal_is_by_the_bridge_whatever_is_asked(self) -> None:
        result = self.logic.remove(self.volume, self.segment, **DOMAIN, method="flow")
        self.assertEqual((result.result["request"]["method"], result.warnings), ("bridge", []))

    def test_a_core_is_a_segment_of_its_own(self) -> None:
        result = self.logic.insert(self.volume, self.position(self.volume), volumeMl=4.0, core=0.4, name="Mass", **DOMAIN)
        self.assertEqual(self.names(result.segmentation), ["Mass", "Mass core"])
        rest, core = (self.mask(result.segmentation, number).sum() * VOXEL_ML for number in (0, 1))
        self.assertAlmostEqual(rest + core, 4.0, delta=0.08)
        self.assertAlmostEqual(core, 1.6, delta=0.2)

    def test_a_series_has_an_item_for_each_volume_that_knows_its_own_edit(self) -> None:
        result = self.logic.grow(self.volume, self.segment, [1.5, 3.0, 6.0], **DOMAIN)
        self.assertEqual(result.browser.GetNumberOfItems(), 3)
        self.assertEqual(len(result.parts), 3)
        for number, size in enumerate((1.5, 3.0, 6.0)):
            result.browser.SetSelectedItemNumber(number)
            slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(result.browser)
            self.assertAlmostEqual(self.mask(result.segmentation).sum() * VOXEL_ML, size, delta=0.02 * size + VOXEL_ML)
            self.assertTrue(self.changed(result).any())
            self.assertEqual(len(editsOf(result.volume)), 1)
            measured = editsOf(result.volume)[0]["measured"]["shape_VoxelVolume"]
            self.assertEqual(measured, result.parts[number]["measured"]["shape_VoxelVolume"])
        self.assertEqual(len(editsOf(result.browser)), 3)

    def test_the_time_point_that_is_shown_becomes_dicom(self) -> None:
        result = self.logic.grow(self.volume, self.segment, [1.5, 3.0], **DOMAIN)
        result.browser.SetSelectedItemNumber(1)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(result.browser)
        summary = self.logic.exportDicom(result, self.temporaryFolder() / "dicom", patientId="P1")
        self.assertEqual((summary["slices"], summary["segments"], summary["patient_id"]), (40, ["Tumor"], "P1"))
        (edit,) = json.loads(Path(summary["manifest"]).read_text(encoding="utf-8"))["edits"]
        self.assertEqual(edit["measured"]["shape_VoxelVolume"], result.parts[1]["measured"]["shape_VoxelVolume"])

    def test_a_shape_lies_in_the_scan_or_around_the_origin(self) -> None:
        place = self.position(self.volume)
        inside = self.logic.shape(self.volume, place, volumeMl=3.0, name="Draft", domain="abdomen-ct")
        self.assertIsNone(inside.volume)
        self.assertEqual(self.names(inside.segmentation), ["Draft"])
        self.assertAlmostEqual(self.mask(inside.segmentation).sum() * VOXEL_ML, 3.0, delta=0.06)
        self.assertNear(self.center(self.mask(inside.segmentation)), place, 2.0)
        alone = self.logic.shape(volumeMl=3.0, core=0.3, name="Alone")
        self.assertEqual(self.names(alone.segmentation), ["Alone", "Alone core"])
        self.assertTrue(isSynthetic(alone.segmentation))


class JobTest(ConsoleCase):
    def begin(self, **more: Any) -> ConsoleJob:
        """An insert that nobody waits for yet."""
        position = self.position(self.volume)
        return self.logic.insert(self.volume, position, volumeMl=2.0, wait=False, **{**DOMAIN, **more})

    def during(self, stage: str, act: Callable[[], Any]) -> ConsoleJob:
        """An insert in which something happens as soon as it has come to a stage."""
        acted: list[str] = []

        def follow(found: str, share: float, left: float | None) -> None:
            if found == stage and not acted:
                acted.append(found)
                act()

        return self.begin(progress=follow)

    def test_a_job_tells_its_progress_and_calls_back(self) -> None:
        stages: list[str] = []
        ended: list[Any] = []
        job = self.begin(progress=lambda stage, *rest: stages.append(stage))
        job.onDone(ended.append)
        self.assertFalse(job.done)
        self.assertIsInstance(job.wait(), EditResult)
        self.assertEqual((ended, job.state, repr(job)), ([job], "done", "<ConsoleJob done>"))
        self.assertEqual((stages[0], stages[-1]), ("preparing", "loading"))

    def test_jobs_wait_for_each_other(self) -> None:
        jobs = [self.begin(seed=seed) for seed in (1, 2)]
        results = [job.wait() for job in reversed(jobs)]
        self.assertEqual([len(editsOf(result.volume)) for result in results], [1, 1])
        self.assertEqual([result.result["request"]["seed"] for result in results], [2, 1])

    def test_a_cancelled_job_leaves_nothing(self) -> None:
        self.begin().wait()
        nodes, files = self.nodes(), self.leftovers()
        for stage in ("waiting", "sampling", "loading"):
            with self.subTest(stage):
                jobs: list[ConsoleJob] = []
                jobs.append(self.during(stage, lambda jobs=jobs: jobs[0].cancel()))
                if stage == "waiting":
                    jobs[0].cancel()
                with self.assertRaises(Cancelled):
                    jobs[0].wait()
                self.assertEqual((jobs[0].state, self.nodes()), ("cancelled", nodes))
                self.waitUntil(lambda: self.logic.service.state == "ready")
                self.assertEqual(self.leftovers(), files)

    def test_a_closed_scene_ends_the_wait_and_is_told(self) -> None:
        job = self.during("sampling", lambda: qt.QTimer.singleShot(0, lambda: slicer.mrmlScene.Clear(0)))
        with self.assertRaisesRegex(Cancelled, "scene was closed"):
            job.wait()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 0)
        self.waitUntil(lambda: self.logic.service.state == "ready")
        self.volume = self.ct()
        self.assertEqual(self.begin().wait().volume.GetName(), "CT TumorSynth [SYNTHETIC]")

    def test_a_worker_that_the_panel_stops_ends_the_wait(self) -> None:
        with self.assertRaises(Cancelled):
            self.during("sampling", self.logic.service.stop).wait()

    @needsHarness
    def test_an_application_that_ends_ends_the_wait(self) -> None:
        from PySide6.QtCore import QCoreApplication

        told: list[BaseException] = []

        def block() -> None:
            try:
                self.during("sampling", lambda: QCoreApplication.exit(0)).wait()
            except Cancelled as error:
                told.append(error)

        qt.QTimer.singleShot(0, block)
        QCoreApplication.exec()
        self.assertRegex(str(told[0]), "application was closed")

    def test_control_c_cancels_the_work_and_is_raised(self) -> None:
        before, nodes = signal.getsignal(signal.SIGINT), self.nodes()
        job = self.during("sampling", lambda: signal.raise_signal(signal.SIGINT))
        with self.assertRaises(KeyboardInterrupt):
            job.wait()
        self.assertEqual((job.state, self.nodes()), ("cancelled", nodes))
        self.assertIs(signal.getsignal(signal.SIGINT), before)

    def test_a_volume_that_goes_meanwhile_is_told(self) -> None:
        job = self.during("sampling", lambda: slicer.mrmlScene.RemoveNode(self.volume))
        with self.assertRaises(RequestError) as caught:
            job.wait()
        self.assertEqual((caught.exception.code, job.state), ("console.gone", "failed"))

    def test_two_logics_have_one_worker(self) -> None:
        jobs = [self.begin(), TumorSynth.TumorSynthLogic().shape(volumeMl=2.0, wait=False)]
        for job in jobs:
            job.wait()
        self.assertEqual(len(qt_process._living), 1)

    def test_the_file_of_the_last_scan_alone_is_kept(self) -> None:
        other = self.ct("Other", seed=3)
        for volume in (self.volume, other, self.volume):
            self.logic.remove(volume, self.segment, **DOMAIN)
            self.assertEqual(len(self.leftovers()), 1)

    def test_a_worker_that_cannot_start_is_told(self) -> None:
        commands.save(commands.WorkerChoice(command="no-such-python", bundle="tiny"))
        with self.assertRaisesRegex(TumorSynthError, "cannot be started"):
            self.begin().wait()

    def test_an_error_that_nobody_foresaw_ends_the_wait(self) -> None:
        def steps() -> Any:
            yield
            raise KeyError("surprise")

        job = ConsoleJob()
        job.follow(Task(steps(), job.finish, job.fail))
        with self.assertRaisesRegex(TumorSynthError, "KeyError: 'surprise'"):
            job.wait()
        self.assertIsInstance(self._errors.pop(), KeyError)

    def test_a_follower_that_fails_cancels_the_work(self) -> None:
        def follow(stage: str, share: float, left: float | None) -> None:
            if stage == "sampling":
                raise ValueError("no progress bar")

        with self.assertRaises(Cancelled):
            self.begin(progress=follow).wait()
        self.assertIsInstance(self._errors.pop(), ValueError)
        self._errors.clear()


class RefusedTest(ConsoleCase):
    def test_what_the_worker_refuses_is_raised(self) -> None:
        with self.assertRaises(TumorSynthError) as caught:
            self.logic.insert(self.volume, self.position(self.volume), volumeMl=2.0, domain="knee-ct")
        self.assertIn("knee-ct", str(caught.exception))

    def test_what_makes_no_sense_is_refused_before_anything_starts(self) -> None:
        position, logic, gone = self.position(self.volume), self.logic, self.ct("Gone")
        files = self.leftovers()
        slicer.mrmlScene.RemoveNode(gone)
        for error, call in (
            (RequestError, lambda: logic.insert("Nobody", position)),
            (RequestError, lambda: logic.insert(5, position)),
            (RequestError, lambda: logic.insert(gone, position)),
            (ImageError, lambda: logic.insert(None, position)),
            (ImageError, lambda: logic.insert(self.segment[0], position)),
            (RequestError, lambda: logic.insert(self.volume, "Nowhere")),
            (RequestError, lambda: logic.insert(self.volume, None)),
            (RequestError, lambda: logic.insert(self.volume, ("a", "b", "c"))),
            (GeometryError, lambda: logic.insert(self.volume, position + 900.0)),
            (GeometryError, lambda: logic.insert(self.volume, (float("nan"), 0.0, 0.0))),
            (RequestError, lambda: logic.insert(self.volume, position, volumeML=3.0)),
            (RequestError, lambda: logic.insert(self.volume, position, sphericity=3.0)),
            (RequestError, lambda: logic.insert(self.volume, position, texture=60.0)),
            (RequestError, lambda: logic.insert(self.volume, position, region=(self.segment[0], "Liver"))),
            (RequestError, lambda: logic.insertMany(self.volume, [])),
            (RequestError, lambda: logic.insertMany(self.volume, [position])),
            (RequestError, lambda: logic.insertMany(self.volume, [{"at": position, "domain": "abdomen-ct"}])),
            (RequestError, lambda: logic.edit(self.volume, (self.segment[0], "Liver"))),
            (RequestError, lambda: logic.edit(self.volume, (self.volume, "Tumor"))),
            (RequestError, lambda: logic.edit(self.volume, None)),
            (RequestError, lambda: logic.remove(self.volume, self.segment, volumeMl=3.0)),
            (RequestError, lambda: logic.move(self.volume, self.segment, to=self.segment)),
            (RequestError, lambda: logic.grow(self.volume, self.segment, [])),
            (RequestError, lambda: logic.grow(self.volume, self.segment, 4.0)),
            (RequestError, lambda: logic.grow(self.volume, self.segment, [4.0], sphericity=0.7)),
            (RequestError, lambda: logic.insert(self.volume, position, method="flow")),
            (RequestError, lambda: logic.insert(self.volume, position, volumeMl=2.0, rim=0.5, method="flow")),
            (RequestError, lambda: logic.insert(self.volume, self.segment, volumeMl=2.0, method="flow")),
            (RequestError, lambda: logic.insert(self.volume, position, method="magic")),
            (RequestError, lambda: logic.edit(self.volume, self.segment, volumeMl=2.0, method="flow")),
            (RequestError, lambda: logic.grow(self.volume, self.segment, [2.0, -1.0])),
            (RequestError, lambda: logic.shape(at=position)),
            (RequestError, lambda: logic.shape(self.volume, self.segment)),
            (RequestError, lambda: logic.exportDicom(self.volume, "somewhere")),
            (RequestError, lambda: logic.exportDicom(None, "somewhere")),
        ):
            with self.assertRaises(error) as caught:
                call()
            self.assertTrue(caught.exception.hint, str(caught.exception))
        self.assertEqual((self.logic.service.state, self.leftovers()), ("stopped", files))

    def test_scans_that_cannot_be_edited_are_refused(self) -> None:
        flat = slicer.util.addVolumeFromArray(np.zeros((1, 20, 20), np.int16), name="Flat")
        array = np.zeros((20, 20, 20), np.float32)
        array[3, 3, 3] = np.nan
        broken = slicer.util.addVolumeFromArray(array, name="Broken")
        bent = self.ct("Bent")
        bent.SetAndObserveTransformNodeID(self.bentTransform().GetID())
        for volume, code in ((flat, "image.dimensions"), (broken, "image.not_finite"), (bent, "transform.nonlinear")):
            with self.assertRaises(TumorSynthError) as caught:
                self.logic.insert(volume, (0.0, 0.0, 0.0))
            self.assertEqual(caught.exception.code, code)

    def test_a_name_that_several_nodes_have_means_the_one_of_the_right_kind(self) -> None:
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "CT")
        self.logic.shape("CT", self.position(self.volume), volumeMl=2.0, domain="abdomen-ct")
        self.ct("CT")
        with self.assertRaisesRegex(RequestError, "2 nodes"):
            self.logic.shape("CT")

    def test_a_keyword_with_a_mistake_is_told_with_the_right_one(self) -> None:
        with self.assertRaisesRegex(RequestError, "volumeMl"):
            wishesOf({"volumeML": 3.0})
