"""Segments as masks on a volume's grid, and masks as segments."""

import importlib.util
import unittest

import numpy as np
import slicer
import slicer.util
import vtk
from slicer_case import SlicerCase
from slicer_results import writeSegmentation

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer import segments, transforms
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.nrrd_files import readBox
from TumorSynthSlicer.nrrd_headers import readHeader
from TumorSynthSlicer.segments import MaskBox, segmentMask
from TumorSynthSlicer.tasks import finished

RADIUS = 12.0


def filled(mask: MaskBox, shape: tuple[int, int, int]) -> np.ndarray:
    """The mask on the whole grid."""
    array = np.zeros(shape, bool)
    array[mask.box.slices] = mask.mask
    return array


def analyticBall(volume: object, center: np.ndarray, radius: float = RADIUS) -> np.ndarray:
    """Voxels of a volume whose centers lie within a ball in the volume's own RAS."""
    geometry = geometryOf(volume)
    points = geometry.to_ras(np.stack(np.indices(geometry.shape), axis=-1))
    return ((points - center) ** 2).sum(axis=-1) <= radius**2


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Overlap, 1 for equal masks."""
    return 2.0 * float((one & other).sum()) / float(one.sum() + other.sum())


class MaskTest(SlicerCase):
    """From segments."""

    def code(self, *arguments: object) -> str:
        """The code of the error that ``segmentMask`` ends with."""
        with self.assertRaises(TumorSynthError) as caught:
            segmentMask(*arguments)
        self.assertTrue(caught.exception.hint)
        return caught.exception.code

    def surface(self, center: np.ndarray, radius: float = RADIUS) -> tuple[object, str]:
        """A segmentation that has nothing but the surface of a ball."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surface")
        node.SetSourceRepresentationToClosedSurface()
        ball = vtk.vtkSphereSource()
        ball.SetCenter(*center)
        ball.SetRadius(radius)
        ball.SetThetaResolution(100)
        ball.SetPhiResolution(100)
        ball.Update()
        return node, node.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "Ball", [1, 0, 0])

    def labels(self, center: np.ndarray) -> tuple[object, str]:
        """A segmentation with a ball on a fine oblique grid of its own."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Labels")
        affine = np.eye(4)
        affine[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * (0.6, 0.6, 0.7)
        affine[:3, 3] = center - affine[:3, :3] @ np.full(3, 22.0)
        image = slicer.vtkOrientedImageData()
        image.SetExtent(0, 44, 0, 44, 0, 44)
        image.SetGeometryFromImageToWorldMatrix(transforms.toMatrix(affine))
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        points = np.stack(np.indices((45, 45, 45)), axis=-1) @ affine[:3, :3].T + affine[:3, 3]
        inside = ((points - center) ** 2).sum(axis=-1) <= RADIUS**2
        scalars = image.GetPointData().GetScalars()
        vtk.util.numpy_support.vtk_to_numpy(scalars)[:] = inside.transpose(2, 1, 0).reshape(-1)
        segmentId = node.GetSegmentation().AddEmptySegment("", "Ball")
        slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, node, segmentId, 0)
        return node, segmentId

    def testASegmentOnTheVolumesGridIsCopiedVoxelForVoxel(self) -> None:
        for leftHanded in (False, True):
            volume = self.ct(leftHanded=leftHanded, oblique=True)
            volume.SetAndObserveTransformNodeID(self.linearTransform().GetID())
            node, segmentId = self.ball(volume, radius=RADIUS)
            expected = analyticBall(volume, self.position(volume))
            found = segmentMask(node, segmentId, volume)
            self.assertTrue(np.array_equal(filled(found, expected.shape), expected))
            self.assertEqual(found.mask.shape, found.tight().mask.shape)
            other = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volume).transpose(2, 1, 0)
            self.assertTrue(np.array_equal(filled(found, expected.shape), other.astype(bool)))

    def testAnyGridRepresentationAndTransformGivesTheSameBallInTheWorld(self) -> None:
        for leftHanded in (False, True):
            for moved in (False, True):
                volume = self.ct(leftHanded=leftHanded, oblique=True, spacing=(1.4, 1.4, 2.0))
                own = geometryOf(volume).to_ras(np.array([28.0, 24.5, 20.0]))
                if moved:
                    volume.SetAndObserveTransformNodeID(self.linearTransform().GetID())
                parent = self.linearTransform()
                world = transforms.volumeToWorld(volume, own)
                for make, least in ((self.surface, 0.985), (self.labels, 0.97)):
                    anywhere = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
                    anywhere.SetAndObserveTransformNodeID(parent.GetID())
                    node, segmentId = make(transforms.worldToVolume(anywhere, world))
                    node.SetAndObserveTransformNodeID(parent.GetID())
                    expected = analyticBall(volume, own)
                    found = segmentMask(node, segmentId, volume)
                    self.assertGreater(dice(filled(found, expected.shape), expected), least)
                    exact = 4.0 / 3.0 * np.pi * RADIUS**3 / 1000.0
                    self.assertLess(abs(segments.volumeMl(found, volume) / exact - 1.0), 0.03)

    def testTheSegmentationIsNotChangedByConvertingIt(self) -> None:
        volume = self.ct()
        node, segmentId = self.surface(self.position(volume))
        kind = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segmentMask(node, segmentId, volume)
        self.assertFalse(node.GetSegmentation().ContainsRepresentation(kind))

    def testAGridShiftedByHalfAVoxelKeepsTheVolume(self) -> None:
        volume, other = self.ct(), self.ct()
        matrix = transforms.toMatrix(np.eye(4))
        volume.GetIJKToRASMatrix(matrix)
        matrix.SetElement(0, 3, matrix.GetElement(0, 3) + 0.5 * volume.GetSpacing()[0])
        other.SetIJKToRASMatrix(matrix)
        node, segmentId = self.ball(volume, radius=RADIUS)
        one, two = segmentMask(node, segmentId, volume), segmentMask(node, segmentId, other)
        self.assertLess(abs(two.mask.sum() / one.mask.sum() - 1.0), 0.02)  # 0.13 where both sides get the voxels

    def testAWholeNumberOfVoxelsIsNoResampling(self) -> None:
        volume, other = self.ct(oblique=True), self.ct(oblique=True)
        matrix = transforms.toMatrix(np.eye(4))
        volume.GetIJKToRASMatrix(matrix)
        origin = geometryOf(volume).to_ras(np.array([4, -3, 2]))
        for axis in range(3):
            matrix.SetElement(axis, 3, origin[axis])
        other.SetIJKToRASMatrix(matrix)
        node, segmentId = self.ball(volume, radius=RADIUS)
        one, two = segmentMask(node, segmentId, volume), segmentMask(node, segmentId, other)
        self.assertTrue(np.array_equal(one.mask, two.mask))
        self.assertEqual(np.subtract(one.start, two.start).tolist(), [4, -3, 2])

    def testPartOutsideOfTheVolumeIsLeftOut(self) -> None:
        volume = self.ct()
        corner = geometryOf(volume).to_ras(np.zeros(3))
        for node, segmentId in (self.surface(corner), self.labels(corner)):
            found = segmentMask(node, segmentId, volume)
            self.assertEqual(found.start, (0, 0, 0))
            self.assertGreater(dice(filled(found, geometryOf(volume).shape), analyticBall(volume, corner)), 0.93)

    def testSegmentsThatGiveNoMaskAreRefused(self) -> None:
        volume = self.ct()
        node, segmentId = self.ball(volume)
        self.assertEqual(self.code(node, "none", volume), "segment.missing")
        self.assertEqual(self.code(None, "none", volume), "segment.missing")
        empty = node.GetSegmentation().AddEmptySegment("", "Empty")
        self.assertEqual(self.code(node, empty, volume), "segment.empty")
        far, ballId = self.labels(np.array([900.0, 0, 0]))
        self.assertEqual(self.code(far, ballId, volume), "mask.outside")
        between = geometryOf(volume).to_ras(np.array([20.5, 20.5, 20.5]))
        tiny = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Tiny")
        speck = segments.setSegment(tiny, "", "Speck", MaskBox(np.ones((1, 1, 1), bool), (9, 9, 9)), volume)
        shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.diag([0.1, 0.1, 0.1, 1.0])
        matrix[:3, 3] = between - 0.1 * geometryOf(volume).to_ras(np.array([9, 9, 9]))
        shift.SetMatrixTransformToParent(transforms.toMatrix(matrix))
        tiny.SetAndObserveTransformNodeID(shift.GetID())
        self.assertEqual(self.code(tiny, speck, volume), "mask.too_small")
        node.SetAndObserveTransformNodeID(self.bentTransform().GetID())
        self.assertEqual(self.code(node, segmentId, volume), "transform.nonlinear")

    def testTheStampChangesWithVoxelsAndPlaces(self) -> None:
        volume = self.ct()
        node, segmentId = self.ball(volume)
        stamps = [segments.maskStamp(node, segmentId, volume)]
        self.assertEqual(segments.maskStamp(node, segmentId, volume), stamps[0])
        segments.setSegment(node, segmentId, "Tumor", MaskBox(np.ones((3, 3, 3), bool), (4, 4, 4)), volume)
        stamps.append(segments.maskStamp(node, segmentId, volume))
        node.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        stamps.append(segments.maskStamp(node, segmentId, volume))
        volume.SetOrigin(1, 2, 3)
        stamps.append(segments.maskStamp(node, segmentId, volume))
        self.assertEqual(len(set(stamps)), 4)


class SegmentTest(SlicerCase):
    """To segments."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.ct(leftHanded=True, oblique=True)
        self.volume.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        self.node = segments.outputSegmentation(self.volume, "Tumors")

    def mask(self, seed: int, start: tuple[int, int, int]) -> MaskBox:
        """Voxels without any order."""
        return MaskBox(np.random.default_rng(seed).random((9, 7, 5)) > 0.5, start).tight()

    def assertMask(self, segmentId: str, mask: MaskBox) -> None:
        """The segment has these voxels and no others."""
        found = segmentMask(self.node, segmentId, self.volume)
        self.assertEqual(found.start, mask.start)
        self.assertTrue(np.array_equal(found.mask, mask.mask))

    def testSegmentsThatOverlapKeepTheirVoxels(self) -> None:
        one, two = self.mask(0, (10, 11, 12)), self.mask(1, (12, 13, 13))
        first = segments.setSegment(self.node, "", "First", one, self.volume)
        second = segments.setSegment(self.node, "second", "Second", two, self.volume, (0.0, 1.0, 0.0))
        self.assertEqual(second, "second")
        self.assertMask(first, one)
        self.assertMask(second, two)
        segments.setSegment(self.node, first, "First", two, self.volume)
        self.assertMask(first, two)
        self.assertMask(second, two)

    def testASegmentHasNameColorTerminologyAndMark(self) -> None:
        segmentId = segments.setSegment(self.node, "", "Lesion 1", self.mask(0, (4, 4, 4)), self.volume, (0.0, 0.5, 1.0))
        segment = self.node.GetSegmentation().GetSegment(segmentId)
        self.assertEqual((segment.GetName(), tuple(segment.GetColor())), ("Lesion 1", (0.0, 0.5, 1.0)))
        entry = slicer.vtkSlicerTerminologyEntry()
        logic = slicer.modules.terminologies.logic()
        self.assertTrue(logic.DeserializeTerminologyEntry(segment.GetTerminology(), entry))
        kind = entry.GetTypeObject()
        self.assertEqual((kind.GetCodingSchemeDesignator(), kind.GetCodeValue()), ("SCT", "108369006"))
        self.assertTrue(segment.HasTag(segments.SYNTHETIC_TAG))
        segments.setSegment(self.node, segmentId, "Lesion 1", None, self.volume)
        self.assertEqual(tuple(segment.GetColor()), (0.0, 0.5, 1.0))

    def testTheSegmentationStandsBesideTheScan(self) -> None:
        self.assertEqual(self.node.GetTransformNodeID(), self.volume.GetTransformNodeID())
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        self.assertIs(self.node.GetNodeReference(role), self.volume)
        display = self.node.GetDisplayNode()
        self.assertEqual((display.GetOpacity2DOutline(), display.GetOpacity2DFill()), (1.0, 0.0))
        segments.setSegment(self.node, "", "Lesion", self.mask(0, (4, 4, 4)), self.volume)
        surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        self.assertFalse(self.node.GetSegmentation().ContainsRepresentation(surface))

    def testAStateIsBroughtBackBitForBit(self) -> None:
        one, two = self.mask(0, (10, 11, 12)), self.mask(1, (12, 13, 13))
        first = segments.setSegment(self.node, "", "First", one, self.volume, (0.1, 0.2, 0.3))
        segments.setSegment(self.node, "second", "Second", two, self.volume)
        state = segments.segmentState(self.node, first, self.volume)
        self.assertEqual(state.bytes, one.mask.nbytes)
        for _ in range(2):
            segments.restoreSegment(self.node, first, None, self.volume)
            self.assertIsNone(segments.segmentState(self.node, first, self.volume))
            segments.restoreSegment(self.node, first, state, self.volume)
            self.assertMask(first, one)
            again = segments.segmentState(self.node, first, self.volume)
            self.assertEqual((again.name, again.color, again.index), ("First", (0.1, 0.2, 0.3), 0))
        segments.setSegment(self.node, first, "First", None, self.volume)
        empty = segments.segmentState(self.node, first, self.volume)
        self.assertEqual((empty.mask, empty.bytes), (None, 0))
        segments.restoreSegment(self.node, first, empty, self.volume)
        self.assertIsNone(segments.segmentState(self.node, first, self.volume).mask)

    def testTheSegmentationMayHaveMovedAgainstTheVolume(self) -> None:
        self.node.SetAndObserveTransformNodeID(None)
        mask = self.mask(0, (10, 11, 12))
        self.assertMask(segments.setSegment(self.node, "", "Lesion", mask, self.volume), mask)
        bending = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        bending.SetMatrixTransformToParent(transforms.toMatrix(np.diag([1.0, 2.0, 1.0, 1.0])))
        self.node.SetAndObserveTransformNodeID(bending.GetID())
        with self.assertRaises(TumorSynthError) as caught:
            segments.setSegment(self.node, "", "Lesion", mask, self.volume)
        self.assertEqual(caught.exception.code, "segment.transform")


class MaskFileTest(SlicerCase):
    """Files for the worker, and of its results."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.temporaryFolder()
        self.volume = self.ct(leftHanded=True, oblique=True)
        self.shape = geometryOf(self.volume).shape

    def testASmallFileHoldsTheMaskInPlace(self) -> None:
        mask = MaskBox(np.random.default_rng(0).random((5, 1, 4)) > 0.4, (20, 0, 36)).tight()
        path = segments.writeMask(self.folder / "mask.nrrd", mask, self.volume)
        header = readHeader(path)
        shape = header.geometry.shape
        self.assertEqual(shape, tuple(n + 2 for n in mask.mask.shape))
        voxels = readBox(path, (0, 0, 0), shape).transpose(2, 1, 0)
        for ijk in np.argwhere(voxels):
            found = geometryOf(self.volume).to_ijk(header.geometry.to_ras(ijk))
            self.assertLess(np.abs(found - np.rint(found)).max(), 1e-6)
            self.assertTrue(filled(mask, self.shape)[tuple(np.rint(found).astype(int))])
        self.assertEqual(np.count_nonzero(voxels), np.count_nonzero(mask.mask))

    @unittest.skipUnless(importlib.util.find_spec("SimpleITK"), "needs SimpleITK")
    def testTheLibraryPutsTheFileOnTheSameVoxels(self) -> None:
        from TumorSynthLib.volume_io import mask_on_grid, read_mask

        for start in ((0, 0, 0), (20, 30, 36), (51, 43, 35)):
            mask = MaskBox(np.random.default_rng(0).random((5, 5, 4)) > 0.4, start).tight()
            path = segments.writeMask(self.folder / "mask.nrrd", mask, self.volume, 3)
            found = mask_on_grid(read_mask(path, 3), geometryOf(self.volume))
            self.assertTrue(np.array_equal(found, filled(mask, self.shape)))

    def testATumorIsWrittenWithItsCore(self) -> None:
        tumor, core = MaskBox(np.ones((6, 6, 6), bool), (10, 10, 10)), MaskBox(np.ones((2, 3, 2), bool), (14, 12, 12))
        path = segments.writeLesionMask(self.folder / "mask.nrrd", tumor, core, self.volume)
        labels = readBox(path, (0, 0, 0), readHeader(path).geometry.shape).transpose(2, 1, 0)
        self.assertEqual([np.count_nonzero(labels == value) for value in (1, segments.CORE_LABEL)], [216 - 12, 12])
        self.assertEqual(np.argwhere(labels == segments.CORE_LABEL).min(axis=0).tolist(), [5, 3, 3])

    def testTheSegmentsOfAResultAreReadByName(self) -> None:
        masks = {"Lesion 1": analyticBall(self.volume, self.position(self.volume)), "Gone": np.zeros(self.shape, bool)}
        masks["Lesion 2"] = analyticBall(self.volume, self.position(self.volume, "left lung"), 7.0)
        writeSegmentation(self.folder, self.volume, masks)
        found = finished(segments.readSegments(self.folder))
        self.assertEqual(list(found), list(masks))
        self.assertIsNone(found["Gone"])
        for name in ("Lesion 1", "Lesion 2"):
            self.assertTrue(np.array_equal(filled(found[name], self.shape), masks[name]))

    def testAResultWithoutATumorHasEmptySegments(self) -> None:
        writeSegmentation(self.folder, self.volume, {"Tumor": np.zeros(self.shape, bool)})
        self.assertEqual(finished(segments.readSegments(self.folder)), {"Tumor": None})


class PickingTest(SlicerCase):
    """What lies under the mouse."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.ct(oblique=True)
        self.volume.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        self.node, self.big = self.ball(self.volume, radius=14.0, name="Organ")
        _, self.small = self.ball(self.volume, radius=6.0, name="Tumor", segmentation=self.node)
        self.center = transforms.volumeToWorld(self.volume, self.position(self.volume))

    def testTheTopmostVisibleSegmentIsFound(self) -> None:
        self.assertEqual(segments.segmentAt(self.center), (self.node, self.small))
        self.assertEqual(segments.segmentAt(np.add(self.center, [0, 0, 10.0])), (self.node, self.big))
        self.assertIsNone(segments.segmentAt(np.add(self.center, [0, 0, 16.0])))
        self.node.GetDisplayNode().SetSegmentVisibility(self.small, False)
        self.assertEqual(segments.segmentAt(self.center), (self.node, self.big))
        self.node.GetDisplayNode().SetVisibility(False)
        self.assertIsNone(segments.segmentAt(self.center))

    def testASegmentThatIsOnlyASurfaceIsFound(self) -> None:
        self.node.CreateClosedSurfaceRepresentation()
        self.node.SetSourceRepresentationToClosedSurface()
        self.node.RemoveBinaryLabelmapRepresentation()
        self.assertEqual(segments.segmentAt(self.center), (self.node, self.small))
        self.assertEqual(segments.segmentAt(np.add(self.center, [0, 0, 10.0])), (self.node, self.big))
        self.assertIsNone(segments.segmentAt(np.add(self.center, [0, 0, 18.0])))

    def testTheMouseTellsTheCrosshair(self) -> None:
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        crosshair.SetCursorPositionRAS(list(self.center))
        self.assertEqual(segments.segmentUnderCursor(), (self.node, self.small))
        crosshair.SetCursorPositionInvalid()
        self.assertIsNone(segments.segmentUnderCursor())
