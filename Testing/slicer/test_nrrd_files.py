"""The files that go to the worker and come back."""

import gzip
import importlib.util
import tempfile
import unittest
from pathlib import Path

import numpy as np

from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.volume import Geometry
from TumorSynthSlicer import nrrd_files
from TumorSynthSlicer.nifti_files import writeNifti
from TumorSynthSlicer.nrrd_files import boxSteps, checksum, readBox, writeNrrd
from TumorSynthSlicer.nrrd_headers import readHeader
from TumorSynthSlicer.tasks import finished

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
needsItk = unittest.skipUnless(importlib.util.find_spec("SimpleITK"), "needs SimpleITK")


def affine(leftHanded: bool) -> np.ndarray:
    """An oblique grid."""
    cosine, sine = np.cos(0.4), np.sin(0.4)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([-0.7, -0.9, -2.5 if leftHanded else 2.5])
    matrix[:3, 3] = (12.25, -1 / 3, 1e2 / 7)
    return matrix


class NrrdFilesTest(unittest.TestCase):
    """Writing, reading, refusing."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.array = np.random.default_rng(0).integers(0, 120, (7, 6, 5))

    def testWhatIsWrittenIsReadBackBitForBit(self) -> None:
        for name in TYPES:
            for compress in (False, True):
                path = finished(writeNrrd(self.folder / "a.nrrd", self.array.astype(name), affine(True), {}, compress))
                header = readHeader(path)
                self.assertEqual((header.dtype.name, header.compressed, header.geometry.shape), (name, compress, (5, 6, 7)))
                self.assertTrue(np.array_equal(header.geometry.affine, affine(True)))
                found = readBox(path, (1, 2, 3), (4, 6, 7))
                self.assertTrue(np.array_equal(found, self.array.astype(name)[3:7, 2:6, 1:4]))
                self.assertTrue(found.flags.writeable and found.dtype.isnative)

    @needsItk
    def testTheLibraryReadsTheSameGridAndVoxels(self) -> None:
        from TumorSynthLib.volume_io import read_volume

        for name in TYPES:
            for leftHanded in (False, True):
                path = finished(writeNrrd(self.folder / "a.nrrd", self.array.astype(name), affine(leftHanded)))
                volume = read_volume(path)
                self.assertEqual(volume.array.dtype.name, name)
                self.assertTrue(np.array_equal(volume.array.transpose(2, 1, 0), self.array.astype(name)))
                self.assertLess(np.abs(volume.geometry.affine - affine(leftHanded)).max(), 1e-12)

    @needsItk
    def testWhatTheLibraryWritesIsReadBitForBit(self) -> None:
        from TumorSynthLib.volume import Volume
        from TumorSynthLib.volume_io import write_volume

        array = self.array.astype(np.int16).transpose(2, 1, 0)
        for compress in (False, True):
            write_volume(
                Volume(array, Geometry(array.shape, affine(True))), self.folder / "b.nrrd", {"Key": "a"}, compress=compress
            )
            header = readHeader(self.folder / "b.nrrd")
            self.assertTrue(header.geometry.same_grid(Geometry(array.shape, affine(True)), 1e-9))
            self.assertEqual(header.keys["Key"], "a")
            self.assertTrue(np.array_equal(readBox(self.folder / "b.nrrd", (0, 0, 0), array.shape), self.array))

    @needsItk
    def testNiftiIsReadWithTheSameGridAndVoxels(self) -> None:
        from TumorSynthLib.volume_io import read_volume

        for name in TYPES:
            for leftHanded in (False, True):
                path = finished(writeNifti(self.folder / "a.nii.gz", self.array.astype(name), affine(leftHanded), "mark"))
                volume = read_volume(path)
                self.assertTrue(np.array_equal(volume.array.transpose(2, 1, 0), self.array.astype(name)), name)
                self.assertEqual(volume.array.dtype.name, name)
                self.assertLess(np.abs(volume.geometry.affine - affine(leftHanded)).max(), 1e-5)

    @needsItk
    def testTheQuaternionOfNiftiTellsTheSameAsItsMatrix(self) -> None:
        import SimpleITK as sitk

        for leftHanded in (False, True):
            path = finished(writeNifti(self.folder / "a.nii.gz", self.array.astype(np.int16), affine(leftHanded)))
            data = bytearray(gzip.decompress(path.read_bytes()))
            data[254:256] = bytes(2)  # without the code of the matrix, readers use the quaternion
            path.write_bytes(gzip.compress(data))
            image = sitk.ReadImage(str(path))
            found = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
            self.assertLess(np.abs(np.diag([-1, -1, 1]) @ found - affine(leftHanded)[:3, :3]).max(), 1e-5)

    def testOtherVoxelTypesAreRefusedWithAWayOut(self) -> None:
        for name in ("int64", "uint64", "bool", "complex64", "float16"):
            with self.assertRaises(TumorSynthError) as caught:
                finished(writeNrrd(self.folder / "a.nrrd", self.array.astype(name), affine(False)))
            self.assertEqual(caught.exception.code, "image.pixel_type")
            self.assertIn("Cast Scalar Volume", caught.exception.hint)

    def testNanIsRefusedAndLeavesNoFile(self) -> None:
        array = self.array.astype(np.float32)
        array[3, 2, 1] = np.nan
        with self.assertRaises(TumorSynthError) as caught:
            finished(writeNrrd(self.folder / "a.nrrd", array, affine(False)))
        self.assertEqual(caught.exception.code, "image.not_finite")
        self.assertEqual(list(self.folder.iterdir()), [])

    def testGivenUpWorkLeavesNoFile(self) -> None:
        self.useSmallSteps()
        for steps in (writeNrrd, writeNifti):
            work = steps(self.folder / "a.nii.gz", self.array.astype(np.int16), affine(False))
            next(work)
            work.close()
            self.assertEqual(list(self.folder.iterdir()), [])

    def testWorkIsDoneInSteps(self) -> None:
        self.useSmallSteps(3600)
        noise = np.random.default_rng(1).integers(-9000, 9000, (60, 40, 45), np.int16)
        for compress in (False, True):
            count = sum(1 for _ in writeNrrd(self.folder / "a.nrrd", noise, affine(False), {}, compress))
            self.assertEqual(count, 60)
        self.assertGreater(sum(1 for _ in boxSteps(self.folder / "a.nrrd", (0, 0, 0), (45, 40, 60))), 10)
        self.assertTrue(np.array_equal(readBox(self.folder / "a.nrrd", (3, 4, 5), (44, 39, 59)), noise[5:59, 4:39, 3:44]))

    def testBrokenFilesAreRefused(self) -> None:
        path = finished(writeNrrd(self.folder / "a.nrrd", self.array.astype(np.int16), affine(False)))
        whole = path.read_bytes()
        squeezed = finished(
            writeNrrd(self.folder / "z.nrrd", self.array.astype(np.int16), affine(False), {}, True)
        ).read_bytes()
        for data, code in (
            (whole[:-2], "image.truncated"),
            (b"PNG" + whole, "image.header"),
            (whole.replace(b"dimension: 3\n", b"").replace(b"sizes: 5 6 7", b"sizes: 5 42"), "image.header"),
            (whole.replace(b"type: int16", b"type: block"), "image.header"),
            (whole.replace(b"left-posterior-superior", b"scanner-xyz"), "image.header"),
            (squeezed[:-40], "image.damaged"),
        ):
            path.write_bytes(data)
            with self.assertRaises(TumorSynthError) as caught:
                readBox(path, (0, 0, 0), (5, 6, 7))
            self.assertEqual(caught.exception.code, code)
        with self.assertRaises(TumorSynthError) as caught:
            readBox(self.folder / "none.nrrd", (0, 0, 0), (1, 1, 1))
        self.assertEqual(caught.exception.code, "image.missing")

    def testABoxOutsideIsRefused(self) -> None:
        path = finished(writeNrrd(self.folder / "a.nrrd", self.array.astype(np.int16), affine(False)))
        for start, stop in (((0, 0, 0), (6, 6, 7)), ((-1, 0, 0), (2, 2, 2)), ((3, 3, 3), (2, 4, 4))):
            with self.assertRaises(TumorSynthError) as caught:
                readBox(path, start, stop)
            self.assertEqual(caught.exception.code, "box.outside")

    def testKeysMayHoldLines(self) -> None:
        told = {"TumorSynth_Manifest": "a: b\nc \\n d\\", "Name": "ä"}
        path = finished(writeNrrd(self.folder / "a.nrrd", self.array.astype(np.int16), affine(False), told))
        self.assertEqual(readHeader(path).keys, told)

    def testTheChecksumIsThatOfTheBytes(self) -> None:
        (self.folder / "x").write_bytes(b"abc")
        expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        self.assertEqual(finished(checksum(self.folder / "x")), expected)

    def useSmallSteps(self, most: int = 1) -> None:
        """One slice a step, where a slice has at least so many bytes."""
        self.addCleanup(setattr, nrrd_files, "STEP_BYTES", nrrd_files.STEP_BYTES)
        nrrd_files.STEP_BYTES = most
