"""Segments as masks on a volume's grid, whatever their representation, grid and parent transform."""

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from TumorSynthLib.errors import GeometryError, ImageError
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.mask_grids import MaskBox, filledBox, resampled, shifted, slabsOf
from TumorSynthSlicer.tasks import Steps, finished
from TumorSynthSlicer.transforms import matrixBetween, toArray, toMatrix

__all__ = ["MaskBox", "imageToWorld", "labelArray", "labelMap", "maskSteps", "segmentMask", "segmentName"]

_BENT = 1e-3
"""Largest cosine between two axes of a grid that Slicer's labelmaps can have."""


def segmentMask(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> MaskBox:
    """A segment on a volume's grid at once, see ``maskSteps``."""
    return finished(maskSteps(segmentationNode, segmentId, volumeNode))


def maskSteps(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> Steps[MaskBox]:
    """A segment on a volume's grid, where both are in the world.

    Voxels are copied where the grids coincide; else the segment is interpolated and cut at one half. What lies outside of the
    volume is left out. The segmentation is not changed: where it has no binary labelmap, a copy of the segment is converted.

    Returns
    -------
    The mask, when all steps are done.

    Raises
    ------
    ImageError : ``segment.missing`` or ``segment.empty``, ``segment.convert`` for representations without voxels or surface.
    GeometryError : ``mask.outside`` when the segment misses the volume, ``mask.too_small`` when it fills no voxel of it,
        ``transform.nonlinear`` when a transform between the two is not linear.
    """
    name = segmentName(segmentationNode, segmentId)
    toVolume = matrixBetween(segmentationNode, volumeNode)
    image, label = labelMap(segmentationNode, segmentId, volumeNode, toVolume)
    found = yield from _labelBox(image, label)
    if found is None:
        raise ImageError("segment.empty", f"The segment '{name}' is empty.", "Paint it first, or choose another.")
    grid = geometryOf(volumeNode)
    matrix = np.linalg.inv(grid.affine) @ toVolume @ imageToWorld(image)
    onGrid = shifted(found, matrix, grid)
    if onGrid is None:
        onGrid = yield from resampled(found, matrix, grid)
    if onGrid.mask.size == 0:
        message = f"The segment '{name}' lies outside of '{volumeNode.GetName()}'."
        raise GeometryError("mask.outside", message, "Choose the scan that it was painted on.")
    box = yield from filledBox(onGrid.mask.transpose(2, 1, 0), True)
    if box is None:
        message = f"The segment '{name}' is too small to fill one voxel of '{volumeNode.GetName()}'."
        raise GeometryError("mask.too_small", message, "Paint a larger region.")
    return onGrid.part(box)


def segmentName(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> str:
    """What the user calls a segment.

    Raises
    ------
    ImageError : ``segment.missing`` when it is not there.
    """
    segment = None if segmentationNode is None else segmentationNode.GetSegmentation().GetSegment(segmentId)
    if segment is None:
        raise ImageError("segment.missing", f"The segment '{segmentId}' is no longer there.", "Choose another segment.")
    return segment.GetName()


def imageToWorld(image: slicer.vtkOrientedImageData) -> np.ndarray:
    """4 x 4 matrix from voxels of a labelmap to the segmentation's own RAS in mm."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return toArray(matrix)


def labelMap(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentId: str,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    toVolume: np.ndarray,
) -> tuple[slicer.vtkOrientedImageData, int]:
    """The labelmap that holds a segment, which may hold others as well, and the segment's value in it.

    Raises
    ------
    ImageError : ``segment.convert`` when it cannot be had.
    """
    kind = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    if segment.GetRepresentation(kind) is None:
        segment = _converted(segmentationNode.GetSegmentation(), segmentId, _referenceGeometry(volumeNode, toVolume))
    image = None if segment is None else segment.GetRepresentation(kind)
    if image is None:
        message = f"The segment '{segmentName(segmentationNode, segmentId)}' cannot be turned into voxels."
        raise ImageError("segment.convert", message, "Create its binary labelmap in the module Segmentations.")
    return image, segment.GetLabelValue()


def _converted(segmentation: slicer.vtkSegmentation, segmentId: str, geometry: str) -> slicer.vtkSegment | None:
    """A copy of a segment with a binary labelmap."""
    copy = slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(segmentation.GetSourceRepresentationName())
    copy.CopySegmentFromSegmentation(segmentation, segmentId)
    converter = slicer.vtkSegmentationConverter
    if geometry:
        copy.SetConversionParameter(converter.GetReferenceImageGeometryParameterName(), geometry)
    done = copy.CreateRepresentation(converter.GetSegmentationBinaryLabelmapRepresentationName())
    return copy.GetSegment(segmentId) if done else None


def _referenceGeometry(volumeNode: slicer.vtkMRMLScalarVolumeNode, toVolume: np.ndarray) -> str:
    """The volume's grid in the segmentation's space; empty where a transform bends it."""
    grid = geometryOf(volumeNode)
    affine = np.linalg.inv(toVolume) @ grid.affine
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(directions.T @ directions - np.eye(3)).max() > _BENT:
        return ""
    extent = [edge for n in grid.shape for edge in (0, n - 1)]
    return slicer.vtkSegmentationConverter.SerializeImageGeometry(toMatrix(affine), extent)


def labelArray(image: slicer.vtkOrientedImageData) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The voxels [k, j, i] of a labelmap, as a view, and the first one's i, j, k."""
    scalars, extent = image.GetPointData().GetScalars(), image.GetExtent()
    if scalars is None or image.GetNumberOfPoints() == 0:
        return np.zeros((0, 0, 0), np.uint8), (0, 0, 0)
    shape = (extent[5] - extent[4] + 1, extent[3] - extent[2] + 1, extent[1] - extent[0] + 1)
    return numpy_support.vtk_to_numpy(scalars).reshape(shape), (extent[0], extent[2], extent[4])


def _labelBox(image: slicer.vtkOrientedImageData, label: int) -> Steps[MaskBox | None]:
    """The voxels of one label in the labelmap's own grid, without empty margins; None where there are none."""
    array, first = labelArray(image)
    box = yield from filledBox(array, label)
    if box is None:
        return None
    mask = np.zeros(box.shape, bool, order="F")
    i, j, k = box.slices
    for low, high in slabsOf(k.stop - k.start, mask[:, :, 0].nbytes):
        mask[:, :, low:high] = (array[k, j, i][low:high] == label).transpose(2, 1, 0)
        yield
    start = tuple(one + other for one, other in zip(first, box.start, strict=True))
    return MaskBox(mask, start)
