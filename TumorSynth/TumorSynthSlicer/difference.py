"""What an edit changed, as a small colored volume over the changed box alone: after minus before."""

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from TumorSynthSlicer.marks import SYNTHETIC
from TumorSynthSlicer.tasks import Steps

Box = tuple[tuple[int, int, int], tuple[int, int, int]]
"""First voxel (i, j, k), and the one after the last."""

_SHARE = 99.0
"""Percentile of the changes that gets the full color, so that single voxels do not pale all others."""
_BRIGHTER, _DARKER = (230, 45, 20), (30, 90, 245)
_SLAB_VOXELS = 4_000_000


class Difference:
    """The volume node with the difference; it is neither offered in selectors nor saved with the scene.

    It holds colors with their opacity, since Slicer ignores the opacity in the color table of a scalar volume.
    """

    def __init__(self) -> None:
        self._node: Any = None
        self.span = 0.0
        """Change of intensity that gets the full color, up or down."""

    @property
    def node(self) -> Any | None:
        """The volume; None before ``update`` and when the scene has lost it."""
        found = self._node
        return found if found is not None and slicer.mrmlScene.IsNodePresent(found) else None

    def update(self, before: Any, after: Any, box: Box) -> Any:
        """Take the difference of two volumes with the same grid.

        Parameters
        ----------
        before, after : volume nodes.
        box : voxels that may differ.

        Returns
        -------
        The volume node; red where it has become brighter, blue where darker, clear where nothing has changed.
        """
        change = boxOf(after, box).astype(np.float32) - boxOf(before, box).astype(np.float32)
        self.span = _span(change)
        image = _coloredImage(change, self.span)
        node = self.node or self._makeNode()
        modified = node.StartModify()
        node.SetAndObserveImageData(image)
        _place(node, after, box[0])
        node.EndModify(modified)
        return node

    def remove(self) -> None:
        """Take the volume out of the scene."""
        if self.node is not None:
            slicer.mrmlScene.RemoveNode(self.node)
        self._node = None

    def _makeNode(self) -> Any:
        node = slicer.vtkMRMLVectorVolumeNode()
        node.SetName(_("TumorSynth difference"))
        node.SetAttribute(SYNTHETIC, "1")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        self._node = slicer.mrmlScene.AddNode(node)
        self._node.CreateDefaultDisplayNodes()
        display = self._node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(255.0, 127.5)
        return self._node


def boxOf(volume: Any, box: Box) -> np.ndarray:
    """Voxels of a box, without a copy, in the order k, j, i."""
    (i, j, k), (iEnd, jEnd, kEnd) = box
    return slicer.util.arrayFromVolume(volume)[k:kEnd, j:jEnd, i:iEnd]


def changedBox(before: Any, after: Any) -> "Steps[Box | None]":
    """The box around all voxels that differ, in steps; None where there are none or the grids are not the same."""
    old, new = slicer.util.arrayFromVolume(before), slicer.util.arrayFromVolume(after)
    if old.shape != new.shape:
        return None
    depth = max(1, _SLAB_VOXELS // max(1, old[0].size))
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, len(old), depth):
        places = np.argwhere(old[start : start + depth] != new[start : start + depth])
        if len(places):
            places += (start, 0, 0)
            found.append((places.min(axis=0), places.max(axis=0) + 1))
        yield
    if not found:
        return None
    first, last = np.min([low for low, high in found], axis=0), np.max([high for low, high in found], axis=0)
    return tuple(int(n) for n in first[::-1]), tuple(int(n) for n in last[::-1])  # type: ignore[return-value]


def _place(node: Any, volume: Any, start: tuple[int, int, int]) -> None:
    """Put the node where the voxels of the other volume lie from ``start`` on."""
    toRas, corner = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(toRas)
    for axis in range(3):
        corner.SetElement(axis, 3, start[axis])
    vtk.vtkMatrix4x4.Multiply4x4(toRas, corner, toRas)
    node.SetIJKToRASMatrix(toRas)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())


def _span(change: np.ndarray) -> float:
    changes = np.abs(change[change != 0.0])
    return float(np.percentile(changes, _SHARE)) if changes.size else 1.0


def _coloredImage(change: np.ndarray, span: float) -> Any:
    """Red where there is more, blue where there is less, as opaque as there is change."""
    image = vtk.vtkImageData()
    image.SetDimensions(*change.shape[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 4)
    colors = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(*change.shape, 4)
    colors[..., :3] = np.where((change > 0.0)[..., None], np.uint8(_BRIGHTER), np.uint8(_DARKER))
    colors[..., 3] = np.clip(np.abs(change) * (255.0 / span), 0.0, 255.0)
    return image
