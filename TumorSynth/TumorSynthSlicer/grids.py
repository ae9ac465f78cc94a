"""Where the voxels of a volume lie, and where a node stands in the subject hierarchy."""

import numpy as np
import slicer
import vtk

from TumorSynthLib.volume import Geometry
from TumorSynthSlicer.transforms import toArray


def geometryOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Geometry:
    """The grid of a volume in its own RAS, without parent transforms; it may be left-handed.

    Raises
    ------
    GeometryError : ``geometry.singular`` when an axis has no length.
    """
    return Geometry(volumeNode.GetImageData().GetDimensions(), ijkToRas(volumeNode))


def ijkToRas(volumeNode: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """4 x 4 matrix from voxels i, j, k to the volume's own RAS in mm."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return toArray(matrix)


def placeBeside(node: slicer.vtkMRMLNode, other: slicer.vtkMRMLNode) -> None:
    """Put ``other`` under the same patient, study or folder as ``node``."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = 0 if hierarchy is None else hierarchy.GetItemByDataNode(node)
    if not item:
        return
    parent = hierarchy.GetItemParent(item)
    # Slicer makes an item for a new node by itself, but not while it is processing a batch of them.
    moved = hierarchy.GetItemByDataNode(other) or hierarchy.CreateItem(parent, other)
    hierarchy.SetItemParent(moved, parent)
