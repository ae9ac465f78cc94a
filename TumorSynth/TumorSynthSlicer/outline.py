"""The outline that follows the sliders: the worker's preview mask as a smooth surface, cut by all slice views."""

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from TumorSynthLib.volume import Volume
from TumorSynthSlicer.transforms import toMatrix

NAME = "TumorSynth outline"
"""What the model is called where it is seen at all."""
COLORS = {
    "draft": (1.0, 0.8, 0.2),
    "running": (0.4, 0.75, 1.0),
    "result": (0.35, 0.9, 0.45),
    "kept": (0.35, 0.9, 0.45),
    "failed": (1.0, 0.35, 0.3),
}
"""Red, green, blue from 0 to 1, by the state of the lesion."""
THICKNESS = 2
"""Of the line in the slice views, in pixels."""
_SMOOTHING_VOXELS = 0.7
"""Standard deviation of the blur that rounds the steps of the mask off."""
_LARGE_VOXELS = 1000
"""From here on the blur changes the volume by less than 5 %."""


class Outline:
    """One model node that is shown in slices and 3D views, belongs to no one's data, and is not saved with the scene."""

    def __init__(self) -> None:
        self._nodeId = ""

    @property
    def node(self) -> slicer.vtkMRMLModelNode | None:
        """The model, or None where there is none; the scene may have been closed."""
        return slicer.mrmlScene.GetNodeByID(self._nodeId) if self._nodeId else None

    @property
    def visible(self) -> bool:
        """Whether it is shown."""
        return self.node is not None and bool(self.node.GetDisplayNode().GetVisibility())

    def show(self, mask: Volume, volumeNode: slicer.vtkMRMLScalarVolumeNode, state: str = "draft") -> None:
        """Show a mask.

        Parameters
        ----------
        mask : bool, as ``mask_code.decode_mask`` gives it, on a grid in the volume's own RAS.
        volumeNode : whose parent transform it follows.
        state : of the lesion; it tells the color.
        """
        node = self.node or self._makeNode()
        node.SetAndObserveMesh(surfaceOf(mask))
        if node.GetTransformNodeID() != volumeNode.GetTransformNodeID():
            node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        display = node.GetDisplayNode()
        display.SetColor(COLORS.get(state, COLORS["draft"]))
        display.SetVisibility(True)

    def hide(self) -> None:
        """Show it no longer."""
        if self.node is not None:
            self.node.GetDisplayNode().SetVisibility(False)

    def remove(self) -> None:
        """Take it out of the scene."""
        node, self._nodeId = self.node, ""
        if node is not None:
            slicer.mrmlScene.RemoveNode(node.GetDisplayNode())
            slicer.mrmlScene.RemoveNode(node)

    def _makeNode(self) -> slicer.vtkMRMLModelNode:
        node, display = slicer.vtkMRMLModelNode(), slicer.vtkMRMLModelDisplayNode()
        for part in (node, display):
            part.SetSaveWithScene(False)
            part.SetHideFromEditors(True)
            part.SetUndoEnabled(False)
        node.SetName(NAME)
        node.SetSelectable(False)
        display.SetVisibility2D(True)
        display.SetSliceIntersectionThickness(THICKNESS)
        display.SetOpacity(0.5)
        display.SetBackfaceCulling(False)
        slicer.mrmlScene.AddNode(display)
        slicer.mrmlScene.AddNode(node)
        node.SetAndObserveDisplayNodeID(display.GetID())
        self._nodeId = node.GetID()
        return node


def surfaceOf(mask: Volume) -> vtk.vtkPolyData:
    """The smooth surface of a mask in the RAS of its grid, which encloses about the mask's volume; empty for an empty mask."""
    image = vtk.vtkImageData()
    padded = np.pad(mask.array, 3).transpose(2, 1, 0)
    image.SetExtent([edge for n in mask.array.shape for edge in (-3, n + 2)])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(padded.astype(np.float32).reshape(-1), deep=True))
    blur = vtk.vtkImageGaussianSmooth()
    blur.SetInputData(image)
    blur.SetStandardDeviation(_SMOOTHING_VOXELS)
    blur.SetRadiusFactor(3.0)
    blur.Update()
    surface = vtk.vtkFlyingEdges3D()
    surface.SetInputData(blur.GetOutput())
    surface.SetValue(0, _level(numpy_support.vtk_to_numpy(blur.GetOutput().GetPointData().GetScalars()), mask.array))
    surface.ComputeGradientsOff()
    surface.ComputeNormalsOff()
    surface.ComputeScalarsOff()
    transform = vtk.vtkTransform()
    transform.SetMatrix(toMatrix(mask.geometry.affine))
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetInputConnection(surface.GetOutputPort())
    placed.SetTransform(transform)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(placed.GetOutputPort())
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()


def _level(blurred: np.ndarray, mask: np.ndarray) -> float:
    """One half; for tumors of few voxels, which the blur would shrink, the value that as many voxels exceed as the mask has."""
    count = int(np.count_nonzero(mask))
    if count == 0 or count >= _LARGE_VOXELS:
        return 0.5
    ordered = np.partition(blurred, (blurred.size - count - 1, blurred.size - count))
    return float(ordered[blurred.size - count - 1] + ordered[blurred.size - count]) / 2.0
