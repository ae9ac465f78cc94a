"""From a volume in the scene to DICOM files and back, by Slicer's own reader."""

import importlib.util
import json
import os
import sys
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
from slicer_case import SlicerCase

from TumorSynthLib.errors import Cancelled
from TumorSynthSlicer.dicom_export import DicomExport
from TumorSynthSlicer.dicom_sources import exportCommand, exportEvent, sourceFiles, writeFileList, writeResult
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.tasks import finished
from TumorSynthSlicer.volumes import cloneVolume

_LIBRARY = all(importlib.util.find_spec(name) for name in ("pydicom", "highdicom", "SimpleITK", "scipy", "typer"))
needsLibrary = unittest.skipUnless(_LIBRARY, "needs pydicom, highdicom and the library's packages in this Python")


class FakeDatabase:
    """Slicer's DICOM database as far as it is asked."""

    def __init__(self, files: dict[str, str]) -> None:
        self.isOpen, self.files = True, files

    def fileForInstance(self, uid: str) -> str:
        """Empty for what it does not know, as the real one."""
        return self.files.get(uid, "")


class SourcesTest(SlicerCase):
    """The slices of a volume, and the command."""

    def setUp(self) -> None:
        super().setUp()
        self.volume, self.folder = self.ct(), self.temporaryFolder()
        self.files = {f"1.2.{n}": str(self.folder / f"{n}.dcm") for n in range(3)}
        for name in self.files.values():
            Path(name).write_bytes(b"slice")
        self.useDatabase(FakeDatabase(self.files))

    def useDatabase(self, database: Any) -> None:
        """Put a database in the place of the application's."""
        there, old = hasattr(slicer, "dicomDatabase"), getattr(slicer, "dicomDatabase", None)
        self.addCleanup(lambda: setattr(slicer, "dicomDatabase", old) if there else delattr(slicer, "dicomDatabase"))
        slicer.dicomDatabase = database

    def testAVolumeFromDicomKnowsItsSlices(self) -> None:
        self.volume.SetAttribute("DICOM.instanceUIDs", " ".join(self.files))
        self.assertEqual(sourceFiles(self.volume), list(self.files.values()))

    def testOtherVolumesHaveNone(self) -> None:
        self.assertEqual(sourceFiles(self.volume), [])
        self.assertEqual(sourceFiles(None), [])

    def testASliceThatIsGoneLeavesNone(self) -> None:
        self.volume.SetAttribute("DICOM.instanceUIDs", "1.2.0 1.2.7")
        self.assertEqual(sourceFiles(self.volume), [])
        self.volume.SetAttribute("DICOM.instanceUIDs", "1.2.0 1.2.1")
        Path(self.files["1.2.1"]).unlink()
        self.assertEqual(sourceFiles(self.volume), [])

    def testAClosedDatabaseHasNone(self) -> None:
        self.volume.SetAttribute("DICOM.instanceUIDs", "1.2.0")
        slicer.dicomDatabase.isOpen = False
        self.assertEqual(sourceFiles(self.volume), [])

    def testTheCommandHasOnlyWhatWasAsked(self) -> None:
        start = ["python", "-u", "-m", "TumorSynthLib", "dicom", "result", "--out", "out", "--json", "--attached"]
        self.assertEqual(exportCommand(["python"], "result", "out"), start)
        self.assertEqual(exportCommand(["python"], "result", "out", modality="PET"), [*start, "--modality", "PT"])
        self.assertEqual(exportCommand(["python"], "result", "out", modality="US"), start)
        more = exportCommand(["python"], "result", "out", "s", modality="CT", patientId="P 1", keepStudy=True, seriesNumber=0)
        self.assertEqual(more, [*start, "--source", "s", "--patient-id", "P 1", "--series-number", "0", "--keep-study"])

    def testLinesThatAreNoEventsAreNone(self) -> None:
        for line in (None, b"", b"text", b"[1]", b'{"other": 1}', b'{"event": 3}', b"\xff\xfe"):
            self.assertEqual(exportEvent(line), {})
        self.assertEqual(exportEvent(b'{"event": "done", "result": {}}\r')["event"], "done")


@needsLibrary
class ExportTest(SlicerCase):
    """The whole way; the worker is not needed, its result is drawn by hand."""

    def export(self, volume: Any, edit: Any = None, source: Any = None, **how: Any) -> Any:
        """Export an edited copy of a volume; the copy and the summary."""
        folder = self.temporaryFolder()
        output = cloneVolume(volume, "output")
        array = slicer.util.arrayFromVolume(output)
        array[10:16, 12:20, 14:24] = 77
        segmentation, _ = self.ball(output)
        edits = [{"request": {"op": "insert", "seed": 3}, "bundle": {"id": "base", "version": "1"}}]
        result = finished(writeResult(folder / "result", volume, output, segmentation, edits))
        self.told: list[tuple[str, float]] = []
        self.done: list[Any] = []
        command = exportCommand([sys.executable], result, folder / "out", source, **how)
        self.running = DicomExport(
            command, dict(os.environ), self.done.append, self.done.append, lambda *event: self.told.append(event)
        )
        if edit is not None:
            edit(self.running)
        self.waitUntil(lambda: self.running.over, 60.0)
        self.folder, (answer,) = folder, self.done
        return output, answer

    def read(self, folder: str) -> Any:
        """The series as Slicer's own reader loads it."""
        files = sorted(str(path) for path in Path(folder).iterdir())
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "read")
        storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetFileName(files[0])
        storage.ResetFileNameList()
        for name in files:
            storage.AddFileName(name)
        storage.SetSingleFile(0)
        self.assertTrue(storage.ReadData(node))
        return node

    def assertSameVoxels(self, found: Any, expected: Any) -> None:
        """Both volumes have the same value at every place."""
        old, new = geometryOf(expected), geometryOf(found)
        ijk = np.stack(np.meshgrid(*(np.arange(n) for n in new.shape), indexing="ij"), axis=-1).reshape(-1, 3)
        places = old.to_ijk(new.to_ras(ijk))
        nearest = np.rint(places).astype(int)
        self.assertEqual(sorted(new.shape), sorted(old.shape))
        self.assertLess(np.abs(places - nearest).max(), 1e-3)
        values = slicer.util.arrayFromVolume(found).transpose(2, 1, 0).reshape(-1)
        there = slicer.util.arrayFromVolume(expected).transpose(2, 1, 0)[tuple(nearest.T)]
        self.assertTrue(np.array_equal(values, there))

    def testSlicerReadsWhatWasWritten(self) -> None:
        for how in ({}, {"leftHanded": True, "oblique": True}):
            output, summary = self.export(self.ct(**how), modality="CT")
            self.assertIsInstance(summary, dict, summary)
            self.assertSameVoxels(self.read(summary["image"]), output)
            self.assertEqual((len(summary["segments"]), summary["warnings"]), (1, []))
        self.assertEqual(self.told[-1], ("manifest", 1.0))
        manifest = json.loads(Path(summary["manifest"]).read_text(encoding="utf-8"))
        self.assertEqual(manifest["edits"][0]["request"], {"op": "insert", "seed": 3})
        self.assertIn("'insert' (seed 3)", manifest["description"])

    def testAnExportedSeriesIsASourceForTheNext(self) -> None:
        volume = self.ct(oblique=True)
        _, first = self.export(volume, modality="CT")
        loaded = self.read(first["image"])
        listing = writeFileList(self.temporaryFolder() / "slices.txt", [str(path) for path in Path(first["image"]).iterdir()])
        output, second = self.export(loaded, source=listing, patientId="P1")
        self.assertIsInstance(second, dict, second)
        self.assertSameVoxels(self.read(second["image"]), output)
        self.assertEqual(second["patient_id"], "P1")

    def testAFailureIsToldWithItsHint(self) -> None:
        _, error = self.export(self.ct(), source=self.temporaryFolder() / "nowhere")
        self.assertEqual(error.code, "image.missing")
        self.assertTrue(error.hint)
        self.assertFalse((self.folder / "out").exists())

    def testACancelledExportLeavesNoExport(self) -> None:
        def cancel(running: DicomExport) -> None:
            self.waitUntil(lambda: self.told, 60.0)
            running.cancel()

        _, error = self.export(self.ct(shape=(96, 96, 250)), cancel, modality="CT")
        self.assertIsInstance(error, Cancelled)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["result"])
