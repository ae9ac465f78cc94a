"""Tumors as segments of the scene; see ``segment_masks`` for their voxels and ``segment_files`` for their files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from TumorSynthLib.errors import GeometryError, ImageError
from TumorSynthSlicer.grids import geometryOf, ijkToRas, placeBeside
from TumorSynthSlicer.segment_files import CORE_LABEL, SEGMENTATION_FILE, readSegments, writeLesionMask, writeMask
from TumorSynthSlicer.segment_masks import MaskBox, labelArray, maskSteps, segmentMask, segmentName
from TumorSynthSlicer.segment_picking import segmentAt, segmentUnderCursor
from TumorSynthSlicer.transforms import matrixBetween, toMatrix

__all__ = [
    "CORE_LABEL",
    "SEGMENTATION_FILE",
    "MaskBox",
    "SegmentState",
    "maskStamp",
    "maskSteps",
    "outputSegmentation",
    "readSegments",
    "removeSegment",
    "restoreSegment",
    "segmentAt",
    "segmentGrid",
    "segmentMask",
    "segmentName",
    "segmentState",
    "segmentUnderCursor",
    "setSegment",
    "volumeMl",
    "writeLesionMask",
    "writeMask",
]

COLORS = ((0.9, 0.3, 0.3), (0.95, 0.75, 0.2), (0.3, 0.75, 0.9), (0.6, 0.8, 0.3), (0.75, 0.45, 0.85), (0.95, 0.55, 0.3))
"""Colors of tumors in turn: red, green, blue from 0 to 1. They are those of the worker's files."""
NEOPLASM = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^108369006^Neoplasm~^^"
    "~Anatomic codes - DICOM master list~^^~^^"
)
"""What a tumor is, in Slicer's terminology syntax."""
SYNTHETIC_TAG = "TumorSynth.Synthetic"
"""Tag of a synthetic segment, kept in .seg.nrrd files, and attribute of a synthetic node."""
_FILL, _OUTLINE = 0.0, 1.0  # what lies inside is what the user wants to see
"""Opacity in slices: the tumor has to be seen through its color."""


@dataclass(frozen=True, eq=False)
class SegmentState:
    """All of a segment that undo has to bring back."""

    name: str
    color: tuple[float, float, float]
    """Red, green, blue from 0 to 1."""
    mask: MaskBox | None
    """Its voxels in the volume's grid; None where it is empty."""
    index: int = -1
    """Its place in the list of segments, from 0; -1 for the last."""

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return 0 if self.mask is None else self.mask.mask.nbytes


def outputSegmentation(volumeNode: slicer.vtkMRMLScalarVolumeNode, name: str) -> slicer.vtkMRMLSegmentationNode:
    """A new segmentation on the grid of a volume, under its transform and beside it in the subject hierarchy.

    In slices the tumors are outlined; a surface for the 3D views is made when someone asks for it.
    """
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    node.SetAttribute(SYNTHETIC_TAG, "1")  # selectors look at attributes when a node is added, and not again
    node = slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    # In this order: the reference is taken in the segmentation's own space, and files are written on its grid.
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    outlined(node)
    placeBeside(volumeNode, node)
    return node


def outlined(node: slicer.vtkMRMLSegmentationNode) -> None:
    """Show a segmentation by outlines in slices, by surfaces in 3D where there are any."""
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(_FILL)
    display.SetOpacity2DOutline(_OUTLINE)
    display.SetPreferredDisplayRepresentationName2D(_binary())
    display.SetPreferredDisplayRepresentationName3D(
        slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    )


def setSegment(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentId: str,
    name: str,
    mask: MaskBox | None,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    color: Sequence[float] | None = None,
) -> str:
    """Make a segment, or give one other voxels. Others keep theirs, also where they overlap.

    Parameters
    ----------
    segmentationNode : where it is.
    segmentId : of the segment; one that is not there is made under this ID, an empty ID makes a new one.
    name : what the user calls it.
    mask : its voxels on the volume's grid; None for none.
    volumeNode : the grid.
    color : red, green, blue from 0 to 1; None keeps the color, or takes the next.

    Returns
    -------
    The segment's ID.

    Raises
    ------
    GeometryError : as ``segmentGrid``.
    """
    segmentation = segmentationNode.GetSegmentation()
    segment = segmentation.GetSegment(segmentId) if segmentId else None
    if segment is None:
        color = COLORS[segmentation.GetNumberOfSegments() % len(COLORS)] if color is None else color
        segmentId = segmentation.AddEmptySegment(segmentId, name, list(color))
        segment = segmentation.GetSegment(segmentId)
    segment.SetName(name)
    segment.SetNameAutoGenerated(False)
    if color is not None:
        segment.SetColor(list(color))
        segment.SetColorAutoGenerated(False)
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), NEOPLASM)
    segment.SetTag(SYNTHETIC_TAG, "1")
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if mask is None:
        logic.ClearSegment(segmentationNode, segmentId)
    else:
        image = _labelImage(mask, segmentationNode, volumeNode)
        logic.SetBinaryLabelmapToSegment(image, segmentationNode, segmentId, logic.MODE_REPLACE)
    return segmentId


def segmentGrid(segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """4 x 4 matrix from the volume's voxels to the segmentation's own RAS in mm.

    Raises
    ------
    GeometryError : ``transform.nonlinear`` or ``segment.transform`` when segments cannot have the volume's voxels.
    """
    affine = matrixBetween(volumeNode, segmentationNode) @ ijkToRas(volumeNode)
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(directions.T @ directions - np.eye(3)).max() > 1e-3:
        message = f"'{segmentationNode.GetName()}' is under a transform that bends the grid of '{volumeNode.GetName()}'."
        raise GeometryError("segment.transform", message, "Put both under the same transform.")
    return affine


def _labelImage(
    mask: MaskBox, segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkOrientedImageData:
    image = slicer.vtkOrientedImageData()
    image.SetExtent([edge for low, high in zip(mask.box.start, mask.box.stop, strict=True) for edge in (low, high - 1)])
    image.SetGeometryFromImageToWorldMatrix(toMatrix(segmentGrid(segmentationNode, volumeNode)))
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    labelArray(image)[0][...] = mask.mask.transpose(2, 1, 0)
    return image


def removeSegment(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> None:
    """Remove a segment; nothing happens where it is not."""
    if segmentationNode.GetSegmentation().GetSegment(segmentId) is not None:
        segmentationNode.GetSegmentation().RemoveSegment(segmentId)


def segmentState(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> SegmentState | None:
    """All of a segment that undo has to bring back; None where it is not there.

    Raises
    ------
    GeometryError : ``transform.nonlinear`` as ``segmentMask``.
    """
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    if segment is None:
        return None
    try:
        mask = segmentMask(segmentationNode, segmentId, volumeNode)
    except ImageError as error:
        if error.code != "segment.empty":
            raise
        mask = None
    index = segmentationNode.GetSegmentation().GetSegmentIndex(segmentId)
    return SegmentState(segment.GetName(), tuple(segment.GetColor()), mask, index)


def restoreSegment(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    segmentId: str,
    state: SegmentState | None,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    """Bring a segment into a state; None removes it. The inverse of ``segmentState``."""
    if state is None:
        removeSegment(segmentationNode, segmentId)
        return
    setSegment(segmentationNode, segmentId, state.name, state.mask, volumeNode, state.color)
    segmentation = segmentationNode.GetSegmentation()
    if 0 <= state.index < segmentation.GetNumberOfSegments() and segmentation.GetSegmentIndex(segmentId) != state.index:
        segmentation.SetSegmentIndex(segmentId, state.index)


def maskStamp(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> str:
    """Changes when the voxels of a segment on the volume's grid may have changed.

    Raises
    ------
    ImageError : ``segment.missing`` when the segment is not there.
    GeometryError : ``transform.nonlinear`` when a transform between the two is not linear.
    """
    segmentName(segmentationNode, segmentId)
    segmentation = segmentationNode.GetSegmentation()
    kind = segmentation.GetSourceRepresentationName()
    data = segmentation.GetSegment(segmentId).GetRepresentation(kind)
    grid = geometryOf(volumeNode)
    places = matrixBetween(segmentationNode, volumeNode).tobytes() + grid.affine.tobytes()
    parts = (segmentationNode.GetID(), segmentId, 0 if data is None else data.GetMTime(), grid.shape, places.hex())
    return " ".join(str(part) for part in parts)


def volumeMl(mask: MaskBox, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> float:
    """Volume of a mask on a volume's grid in mL."""
    return float(np.count_nonzero(mask.mask)) * geometryOf(volumeNode).voxel_volume_mm3 / 1000.0


def _binary() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
