"""The box that a new tumor lies in."""

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from TumorSynthSlicer import views

TAKEN = "TumorSynth.Lesion"
"""Node attribute of boxes that are a lesion's already."""
_SIDE_MM = 30.0
_SHARE = 0.5
"""Of the scan along each axis, that a new box has at most."""


def boxFor(volumeNode: Any) -> Any:
    """The ROI that the user has drawn last and that no lesion has yet; or a new one in the middle of the views."""
    drawn = [node for node in slicer.util.getNodesByClass("vtkMRMLMarkupsROINode") if not node.GetAttribute(TAKEN)]
    drawn = [node for node in drawn if min(node.GetSize()) > 0.0]
    node = drawn[-1] if drawn else _newBox(volumeNode)
    node.SetAttribute(TAKEN, "1")
    return node


def _newBox(volumeNode: Any) -> Any:
    bounds = np.zeros(6)
    volumeNode.GetRASBounds(bounds)
    low, high = bounds[::2], bounds[1::2]
    center = _viewCenter()
    if center is None or not np.all((low < center) & (center < high)):
        center = (low + high) / 2.0
    size = np.minimum(_SIDE_MM, _SHARE * (high - low))
    center = np.clip(center, low + size / 2.0, high - size / 2.0)
    name = slicer.mrmlScene.GenerateUniqueName(_("Tumor box"))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
    node.CreateDefaultDisplayNodes()
    node.SetSize(*size.tolist())
    node.SetCenterWorld(*center.tolist())
    return node


def _viewCenter() -> np.ndarray | None:
    """The point that the slice views show: for each axis, where the slice across it lies."""
    center = np.full(3, np.nan)
    for node in views.sliceNodes():
        toRas = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        center[int(np.argmax(np.abs(toRas[:3, 2])))] = toRas[int(np.argmax(np.abs(toRas[:3, 2]))), 3]
    nodes = views.sliceNodes()
    if not nodes:
        return None
    inPlane = slicer.util.arrayFromVTKMatrix(nodes[0].GetSliceToRAS())[:3, 3]
    return np.where(np.isnan(center), inPlane, center)
