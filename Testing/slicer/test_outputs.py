"""Results in the scene, and as files of the user's."""

import gzip
import hashlib
import importlib.util
import json
import unittest
from typing import Any

import numpy as np
import slicer
import slicer.util
from slicer_case import SlicerCase
from slicer_phantoms import ballMask
from slicer_results import writeResult

from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.result import read_result
from TumorSynthSlicer import export_files, marks, outputs, segments
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.history import Entry, History
from TumorSynthSlicer.nrrd_files import readBox
from TumorSynthSlicer.nrrd_headers import readHeader
from TumorSynthSlicer.tasks import finished


class OutputsCase(SlicerCase):
    """A scan and a result."""

    def setUp(self) -> None:
        super().setUp()
        self.source = self.ct("Thorax", leftHanded=True, oblique=True)
        self.source.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        self.before = slicer.util.arrayFromVolume(self.source).copy()
        self.mask = ballMask(self.source, self.position(self.source), 9.0)
        self.after = self.before.copy()
        self.after[self.mask.transpose(2, 1, 0)] += 60
        self.parameters_ = self.parameters()
        self.folder = writeResult(self.temporaryFolder() / "result", self.source, self.after, {"Tumor": self.mask})

    def code(self, function: object, *arguments: object) -> str:
        """The code of the error that a call ends with."""
        with self.assertRaises(TumorSynthError) as caught:
            function(*arguments)
        self.assertTrue(caught.exception.hint)
        return caught.exception.code

    def output(self) -> Any:
        """The output volume."""
        return finished(outputs.ensureOutputVolume(self.source, self.parameters_))


class OutputsTest(OutputsCase):
    """From a result folder to the scene and back."""

    def testTheOutputVolumeIsAMarkedCopyAndMadeOnce(self) -> None:
        volume = self.output()
        self.assertEqual(volume.GetName(), "Thorax TumorSynth [SYNTHETIC]")
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(volume), self.before))
        self.assertEqual(volume.GetTransformNodeID(), self.source.GetTransformNodeID())
        self.assertTrue(marks.isSynthetic(volume))
        self.assertEqual(marks.manifestOf(volume)["source"]["name"], "Thorax")
        self.assertIs(self.parameters_.outputVolume, volume)
        self.assertIs(self.output(), volume)

    def testVolumesOfSomeoneElseAreNotOverwritten(self) -> None:
        other = self.ct("Thorax 2", leftHanded=True, oblique=True)
        for chosen in (self.source, other):
            self.parameters_.outputVolume = chosen
            self.assertEqual(self.code(self.output), "output.foreign")
        marks.markSynthetic(other, {}, self.ct("Another"))
        self.assertEqual(self.code(self.output), "output.foreign")
        self.parameters_.outputVolume = None
        volume = self.output()
        volume.SetSpacing(1, 1, 1)
        self.assertEqual(self.code(self.output), "output.foreign")

    def testAResultIsReadWithoutChangingTheScene(self) -> None:
        volume = self.output()
        loaded = finished(outputs.loadResult(self.folder, volume))
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(volume), self.before))
        self.assertEqual((loaded.folder, loaded.result["request"]["seed"]), (self.folder, 7))
        k, j, i = np.argwhere(self.after != self.before).min(axis=0)
        self.assertEqual(loaded.patch.start, (i, j, k))
        found = np.zeros(self.mask.shape, bool)
        found[loaded.segments["Tumor"].box.slices] = loaded.segments["Tumor"].mask
        self.assertTrue(np.array_equal(found, self.mask))

    def testWhatIsNoResultIsRefused(self) -> None:
        for text in ("{", "[]", '{"synthetic": "no"}'):
            (self.folder / "result.json").write_text(text, encoding="utf-8")
            self.assertEqual(self.code(read_result, self.folder), "output.result")
        self.assertEqual(self.code(read_result, self.folder / "none"), "output.result")

    def testUndoAndRedoBringVolumeAndSegmentsBackBitForBit(self) -> None:
        volume, node = self.output(), outputs.ensureOutputSegmentation(self.source, self.parameters_)
        loaded = finished(outputs.loadResult(self.folder, volume))
        state = segments.SegmentState("Lesion 1", (1.0, 0.0, 0.5), loaded.segments["Tumor"])
        history = History(
            lambda entry: outputs.applyEntry(volume, node, entry), lambda entry: outputs.revertEntry(volume, node, entry)
        )
        entry = Entry(loaded.patch, {"one": None}, {"one": state}, outputs.manifestEntry(loaded.result))
        outputs.applyEntry(volume, node, entry)
        history.keep(entry)
        for _ in range(2):
            self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(volume), self.after))
            found = segments.segmentMask(node, "one", volume)
            self.assertTrue(np.array_equal(found.mask, state.mask.mask) and found.start == state.mask.start)
            history.undo()
            self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(volume), self.before))
            self.assertIsNone(node.GetSegmentation().GetSegment("one"))
            history.redo()
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(self.source), self.before))

    def testAnEditThatCannotBePutIntoTheSceneChangesNothing(self) -> None:
        volume, node = self.output(), outputs.ensureOutputSegmentation(self.source, self.parameters_)
        loaded = finished(outputs.loadResult(self.folder, volume))
        entry = Entry(loaded.patch, {"one": None}, {"one": segments.SegmentState("L", (1, 0, 0), loaded.segments["Tumor"])})
        node.SetAndObserveTransformNodeID(self.bentTransform().GetID())
        self.assertEqual(self.code(outputs.applyEntry, volume, node, entry), "transform.nonlinear")
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(volume), self.before))

    def testTheManifestTellsEverythingButFolders(self) -> None:
        result = {
            "request": {
                "op": "edit",
                "image": "/data/jane doe/scan.nrrd",
                "mask": "C:\\data\\m.nrrd",
                "seed": 9,
                "at": [1, 2, 3],
            },
            "measured": {"shape_Sphericity": 0.8},
            "bundle": {"id": "base", "version": "1", "sha256": "ab"},
            "device": "cpu",
            "versions": {"tumorsynth": "0.1.0"},
            "source_sha256": "cd",
            "result_sha256": "ef",
            "lesions": [{"name": "Lesion 1", "request": {"like": {"image": "/a/b.nrrd"}, "lesions": [{"mask": "/x/y.nrrd"}]}}],
        }
        entry = outputs.manifestEntry(result)
        self.assertEqual((entry["seed"], entry["device"], entry["source_sha256"]), (9, "cpu", "cd"))
        self.assertEqual((entry["request"]["image"], entry["request"]["mask"]), ("scan.nrrd", "m.nrrd"))
        self.assertEqual(entry["lesions"][0]["request"], {"like": {"image": "b.nrrd"}, "lesions": [{"mask": "y.nrrd"}]})
        told = outputs.manifest(self.source, [entry])
        self.assertNotIn("jane", json.dumps(told))
        self.assertEqual(told["edits"], [entry])
        matrix = slicer.util.arrayFromVTKMatrix(self.source.GetParentTransformNode().GetMatrixTransformToParent())
        self.assertTrue(np.allclose(told["source"]["transform_to_world"], matrix))


class ExportTest(OutputsCase):
    """Files in a folder of the user's."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.output()
        slicer.util.arrayFromVolume(self.volume)[...] = self.after
        self.node = outputs.ensureOutputSegmentation(self.source, self.parameters_)
        self.loaded = finished(outputs.loadResult(self.folder, self.volume))
        segments.setSegment(self.node, "one", "Lesion 1", self.loaded.segments["Tumor"], self.volume)
        segments.setSegment(self.node, "two", "Empty", None, self.volume)
        self.told = outputs.manifest(self.source, [outputs.manifestEntry(self.loaded.result)])
        self.place = self.temporaryFolder() / "new"

    def export(self, fileFormat: str = "nrrd", **how: Any) -> dict[str, Any]:
        """Paths by the end of their names."""
        stem = "Thorax_TumorSynth_[SYNTHETIC]."
        paths = finished(outputs.exportFiles(self.place, self.volume, self.node, self.told, fileFormat, **how))
        self.assertEqual(sorted(paths), sorted(self.place.iterdir()))
        self.assertTrue(all(path.name.startswith(stem) for path in paths))
        return {path.name.removeprefix(stem): path for path in paths}

    def testVolumeSegmentationAndManifestAreWritten(self) -> None:
        paths = self.export()
        self.assertEqual(sorted(paths), ["manifest.json", "nrrd", "seg.nrrd"])
        header = readHeader(paths["nrrd"])
        self.assertTrue(header.geometry.same_grid(geometryOf(self.source), 1e-9))
        self.assertEqual(header.keys["TumorSynth_Synthetic"], "SYNTHETIC")
        self.assertTrue(np.array_equal(readBox(paths["nrrd"], (0, 0, 0), header.geometry.shape), self.after))
        told = json.loads(paths["manifest.json"].read_text(encoding="utf-8"))
        self.assertEqual(told["edits"][0]["seed"], 7)
        for end in ("nrrd", "seg.nrrd"):
            digest = hashlib.sha256(paths[end].read_bytes()).hexdigest()
            self.assertEqual(told["files_sha256"][paths[end].name], digest)

    def testTheSegmentationIsReadBackInPlace(self) -> None:
        path = self.export()["seg.nrrd"]
        node = slicer.util.loadSegmentation(str(path))
        node.SetAndObserveTransformNodeID(self.source.GetTransformNodeID())
        found = segments.segmentMask(node, "one", self.source)
        self.assertEqual(found.start, self.loaded.segments["Tumor"].start)
        self.assertTrue(np.array_equal(found.mask, self.loaded.segments["Tumor"].mask))
        if importlib.util.find_spec("SimpleITK"):
            from TumorSynthLib.volume_io import mask_on_grid, read_mask

            self.assertTrue(np.array_equal(mask_on_grid(read_mask(path), geometryOf(self.source)), self.mask))

    @unittest.skipUnless(importlib.util.find_spec("SimpleITK"), "needs SimpleITK")
    def testNiftiHasTheGridTheVoxelsAndTheLabels(self) -> None:
        from TumorSynthLib.volume_io import read_volume

        paths = self.export("nii.gz")
        self.assertEqual(sorted(paths), ["labels.nii.gz", "manifest.json", "nii.gz", "seg.nrrd"])
        volume, labels = read_volume(paths["nii.gz"]), read_volume(paths["labels.nii.gz"])
        self.assertTrue(np.array_equal(volume.array.transpose(2, 1, 0), self.after))
        self.assertTrue(np.array_equal(labels.array, self.mask.astype(np.uint8)))
        for found in (volume, labels):
            self.assertTrue(found.geometry.same_grid(geometryOf(self.source), 1e-3))
        self.assertIn(b"SYNTHETIC", gzip.decompress(paths["nii.gz"].read_bytes())[148:228])

    def testFilesThatAreThereAreKept(self) -> None:
        self.export()
        other = self.place / "other.txt"
        other.write_text("mine")
        stamps = {path: path.stat().st_mtime_ns for path in self.place.iterdir()}
        self.assertEqual(self.code(self.export), "output.exists")
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.place.iterdir()}, stamps)
        finished(outputs.exportFiles(self.place, self.volume, None, self.told, overwrite=True))
        self.assertEqual(other.read_text(), "mine")

    def testGivenUpWorkLeavesNothing(self) -> None:
        work = outputs.exportFiles(self.place, self.volume, self.node, self.told)
        next(work)
        work.close()
        self.assertEqual(list(self.place.iterdir()), [])

    def testUnknownFormatsAndFoldersAreRefused(self) -> None:
        self.assertEqual(self.code(self.export, "png"), "output.type")
        self.place.parent.mkdir(exist_ok=True)
        self.place.write_text("a file")
        self.assertEqual(self.code(self.export), "output.failed")

    def testNamesAreWhatEveryFileSystemTakes(self) -> None:
        self.assertEqual(export_files.fileName('a/b\\c: "d" <e>?*|'), "a_b_c_d_e")
        self.assertEqual(export_files.fileName("..."), "TumorSynth")
