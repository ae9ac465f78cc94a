"""The scan: its grid, what it may be, its file and its copy."""

import importlib.util

import numpy as np
import slicer
import slicer.util
import vtk
from slicer_case import SlicerCase

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer import nrrd_files, transforms, volumes
from TumorSynthSlicer.nrrd_files import readBox
from TumorSynthSlicer.nrrd_headers import readHeader
from TumorSynthSlicer.tasks import finished


class VolumesTest(SlicerCase):
    """Real volume nodes."""

    def code(self, function: object, *arguments: object) -> str:
        """The code of the error that a call ends with."""
        with self.assertRaises(TumorSynthError) as caught:
            function(*arguments)
        self.assertTrue(caught.exception.hint)
        return caught.exception.code

    def testTheGridIsThatOfTheNode(self) -> None:
        for leftHanded in (False, True):
            node = self.ct(leftHanded=leftHanded, oblique=True)
            geometry = volumes.geometryOf(node)
            self.assertEqual(np.linalg.det(geometry.affine[:3, :3]) < 0, leftHanded)
            matrix = vtk.vtkMatrix4x4()
            node.GetIJKToRASMatrix(matrix)
            expected = [sum(matrix.GetElement(row, c) * x for c, x in enumerate((3, 5, 7, 1))) for row in range(3)]
            self.assertLess(np.abs(geometry.to_ras(np.array([3, 5, 7])) - expected).max(), 1e-9)
            self.assertEqual(geometry.shape, node.GetImageData().GetDimensions())

    def testPositionsFollowLinearTransformsBothWays(self) -> None:
        node = self.ct(leftHanded=True, oblique=True)
        node.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        own = np.array([[4.0, 5.0, 6.0], [-40.0, 3.0, 70.0]])
        world = transforms.volumeToWorld(node, own)
        for one, other in zip(own, world, strict=True):
            expected = [0.0, 0.0, 0.0]
            node.TransformPointToWorld(one.tolist(), expected)
            self.assertLess(np.abs(np.array(expected) - other).max(), 1e-9)
        self.assertLess(np.abs(transforms.worldToVolume(node, world) - own).max(), 1e-9)
        self.assertEqual(transforms.parentKind(node), "linear")
        self.assertTrue(transforms.isRigid(node))

    def testScalingTransformsAreNotRigid(self) -> None:
        node, parent = self.ct(), self.linearTransform()
        parent.SetMatrixTransformToParent(transforms.toMatrix(np.diag([1.1, 1.1, 1.1, 1.0])))
        node.SetAndObserveTransformNodeID(parent.GetID())
        self.assertFalse(volumes.scanFacts(node).rigid)

    def testABentTransformIsRefusedAndCanBeHardened(self) -> None:
        node = self.ct()
        node.SetAndObserveTransformNodeID(self.bentTransform().GetID())
        before = slicer.util.arrayFromVolume(node).copy()
        self.assertEqual(transforms.parentKind(node), "nonlinear")
        self.assertEqual(self.code(volumes.checkVolume, node), "transform.nonlinear")
        self.assertEqual(self.code(transforms.worldToVolume, node, [0, 0, 0]), "transform.nonlinear")
        copy = transforms.hardenedCopy(node, "Copy")
        volumes.checkVolume(copy)
        self.assertEqual(transforms.parentKind(copy), "none")
        self.assertEqual(transforms.parentKind(node), "nonlinear")
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(node), before))

    def testWhatCannotBeEditedIsRefused(self) -> None:
        self.assertEqual(self.code(volumes.checkVolume, None), "scan.none")
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
        self.assertEqual(self.code(volumes.checkVolume, empty), "scan.empty")
        for className in ("vtkMRMLLabelMapVolumeNode", "vtkMRMLVectorVolumeNode"):
            node = slicer.mrmlScene.AddNewNodeByClass(className, "Other")
            self.assertEqual(self.code(volumes.checkVolume, node), "scan.kind")
        for array, code in (
            (np.zeros((1, 9, 9), np.int16), "image.dimensions"),
            (np.full((4, 4, 4), np.nan, np.float32), "image.not_finite"),
            (np.full((4, 4, 4), np.inf), "image.not_finite"),
            (np.full((4, 4, 4), 1e13), "image.values"),
        ):
            self.assertEqual(self.code(volumes.checkVolume, slicer.util.addVolumeFromArray(array)), code)
        long = self.ct()
        scalars = vtk.vtkLongLongArray()
        scalars.SetNumberOfTuples(long.GetImageData().GetNumberOfPoints())
        long.GetImageData().GetPointData().SetScalars(scalars)
        self.assertEqual(self.code(volumes.checkVolume, long), "image.pixel_type")
        sheared = self.ct()
        sheared.SetIJKToRASMatrix(transforms.toMatrix(np.diag([1.0, 1, 1, 1]) + 0.3 * np.eye(4, k=1) * [[1], [0], [0], [0]]))
        self.assertEqual(self.code(volumes.checkVolume, sheared), "image.shear")

    def testScansOfAllVoxelTypesPass(self) -> None:
        for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"):
            volumes.checkVolume(slicer.util.addVolumeFromArray(np.ones((4, 5, 6), name)))

    def testTheFactsOfACt(self) -> None:
        facts = volumes.scanFacts(self.ct("Thorax"))
        self.assertEqual((facts.name, facts.modality, facts.unit, facts.shape), ("Thorax", "CT", "HU", (56, 48, 40)))
        self.assertTrue(facts.text.startswith("CT, 56 x 48 x 40, 2 x 2 x 2.5 mm, -10"), facts.text)
        array = slicer.util.arrayFromVolume(slicer.util.getNode("Thorax"))
        self.assertEqual(facts.valueRange, (array.min(), array.max()))

    def testTheModalityIsThatOfDicomBeforeThatOfTheValues(self) -> None:
        node = self.ct()
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        hierarchy.SetItemAttribute(item, "DICOM.Modality", "PT")
        self.assertEqual(volumes.scanFacts(node).modality, "PET")
        plain = slicer.util.addVolumeFromArray(np.random.default_rng(0).integers(0, 900, (9, 9, 9), np.int16))
        self.assertEqual((volumes.scanFacts(plain).modality, volumes.scanFacts(plain).unit), ("", ""))

    def testTheUnitIsThatOfTheDicomCode(self) -> None:
        node = slicer.util.addVolumeFromArray(np.ones((4, 4, 4), np.float32))
        code = slicer.vtkCodedEntry()
        code.SetValueSchemeMeaning("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight")
        node.SetVoxelValueUnits(code)
        self.assertEqual((volumes.scanFacts(node).modality, volumes.scanFacts(node).unit), ("PET", "SUV"))


class ScanFileTest(SlicerCase):
    """The file for the worker."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.temporaryFolder()
        self.files = volumes.ScanFile(self.folder)

    def testTheFileHoldsGridAndVoxelsBitForBit(self) -> None:
        for leftHanded in (False, True):
            node = self.ct(leftHanded=leftHanded, oblique=True)
            node.SetAndObserveTransformNodeID(self.linearTransform().GetID())
            path = finished(self.files.steps(node))
            self.assertTrue(readHeader(path).geometry.same_grid(volumes.geometryOf(node), 1e-9))
            found = readBox(path, (0, 0, 0), volumes.geometryOf(node).shape)
            self.assertTrue(np.array_equal(found, slicer.util.arrayFromVolume(node)))
            if importlib.util.find_spec("SimpleITK"):
                from TumorSynthLib.volume_io import read_volume

                volume = read_volume(path)
                self.assertTrue(volume.geometry.same_grid(volumes.geometryOf(node), 1e-9))
                self.assertTrue(np.array_equal(volume.array.transpose(2, 1, 0), slicer.util.arrayFromVolume(node)))

    def testAFileIsWrittenAgainOnlyWhenTheVolumeHasChanged(self) -> None:
        node = self.ct()
        first = finished(self.files.steps(node))
        stamp = first.stat().st_mtime_ns
        node.SetName("Other")
        self.assertEqual(finished(self.files.steps(node)), first)
        self.assertEqual(first.stat().st_mtime_ns, stamp)
        slicer.util.arrayFromVolume(node)[3, 4, 5] = 77
        slicer.util.arrayFromVolumeModified(node)
        second = finished(self.files.steps(node))
        self.assertEqual(readBox(second, (5, 4, 3), (6, 5, 4)).item(), 77)
        node.SetOrigin(1, 2, 3)
        third = finished(self.files.steps(node))
        self.assertEqual(len({first, second, third}), 3)
        self.assertEqual(list(self.folder.iterdir()), [third])

    def testALostFileIsWrittenAgain(self) -> None:
        node = self.ct()
        finished(self.files.steps(node)).unlink()
        self.assertTrue(finished(self.files.steps(node)).is_file())

    def testAChangeWhileItIsWrittenIsNoticed(self) -> None:
        self.addCleanup(setattr, nrrd_files, "STEP_BYTES", nrrd_files.STEP_BYTES)
        nrrd_files.STEP_BYTES = 1
        node = self.ct()
        work = self.files.steps(node)
        next(work)
        slicer.util.arrayFromVolumeModified(node)
        with self.assertRaises(TumorSynthError) as caught:
            finished(work)
        self.assertEqual(caught.exception.code, "scan.changed")
        self.assertEqual(list(self.folder.iterdir()), [])

    def testAFileOfSomeoneElseIsTakenOverAndLeftAlone(self) -> None:
        node, other = self.ct(), self.temporaryFolder() / "image.nrrd"
        other.write_text("voxels")
        self.files.hold(node, other)
        self.assertEqual(finished(self.files.steps(node)), other)
        slicer.util.arrayFromVolumeModified(node)
        self.assertNotEqual(finished(self.files.steps(node)), other)
        self.assertTrue(other.exists())


class CloneTest(SlicerCase):
    """The copy that results are shown in."""

    def testTheCopyIsLikeTheScanAndApart(self) -> None:
        node = self.ct(leftHanded=True, oblique=True)
        node.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
        node.GetScalarVolumeDisplayNode().SetAutoWindowLevel(False)
        node.GetScalarVolumeDisplayNode().SetWindowLevel(350, 40)
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
        item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(patient, node)
        hierarchy.SetItemParent(item, patient)
        before = slicer.util.arrayFromVolume(node).copy()
        clone = volumes.cloneVolume(node, "Copy")
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(clone), before))
        self.assertTrue(np.array_equal(volumes.ijkToRas(clone), volumes.ijkToRas(node)))
        self.assertEqual(clone.GetTransformNodeID(), node.GetTransformNodeID())
        self.assertEqual(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(clone)), patient)
        self.assertIsNone(clone.GetAttribute("DICOM.instanceUIDs"))
        display = clone.GetScalarVolumeDisplayNode()
        self.assertIsNot(display, node.GetScalarVolumeDisplayNode())
        self.assertEqual((display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()), (350, 40, 0))
        self.assertEqual(display.GetColorNodeID(), node.GetScalarVolumeDisplayNode().GetColorNodeID())
        slicer.util.arrayFromVolume(clone)[:] = 5
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(node), before))

    def testTheWindowOfACopyIsFixedAlsoWhereTheScansIsNot(self) -> None:
        node = self.ct()
        self.assertEqual(node.GetScalarVolumeDisplayNode().GetAutoWindowLevel(), 1)
        display = volumes.cloneVolume(node, "Copy").GetScalarVolumeDisplayNode()
        self.assertEqual(display.GetAutoWindowLevel(), 0)
        self.assertEqual(display.GetWindow(), node.GetScalarVolumeDisplayNode().GetWindow())
