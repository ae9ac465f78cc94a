"""What happens to the scene while the session works with it."""

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from TumorSynthSlicer.observing import Observing
from TumorSynthSlicer.timers import Delayed
from TumorSynthSlicer.volumes import scanStamp

_MOVED = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
_CHANGED = (slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, vtk.vtkCommand.ModifiedEvent)
"""Who changes voxels tells so by one or the other."""


class SceneWatch(Observing):
    """Follows nodes that go, and the scene when it is closed.

    Parameters
    ----------
    onLost : called a moment after a node has gone, once for many.
    onClosing : called before the scene is closed, when all nodes are still there.
    onMoved : called when the parent transform of a watched volume has changed, with the ID of the one before.
    onVoxels : called a moment after the voxels of a watched volume have changed.
    """

    def __init__(
        self,
        onLost: Callable[[], None],
        onClosing: Callable[[], None],
        onMoved: Callable[[str], None],
        onVoxels: Callable[[], None],
    ) -> None:
        super().__init__()
        self._lost, self._voxels = Delayed(0, onLost), Delayed(0, onVoxels)
        self._onClosing, self._onMoved = onClosing, onMoved
        self._volume: Any = None
        self._transform = self._stamp = ""
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeRemovedEvent, self._onNodeRemoved)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.StartCloseEvent, self._onStartClose)

    def follow(self, volumeNode: Any) -> None:
        """Watch a volume instead of the last one; None watches none."""
        if self._volume is not None:
            self.removeObserver(self._volume, _MOVED, self._onTransform)
            for event in _CHANGED:
                self.removeObserver(self._volume, event, self._onChanged)
        self._volume = volumeNode
        self._voxels.stop()
        if volumeNode is not None:
            self._transform, self._stamp = volumeNode.GetTransformNodeID() or "", scanStamp(volumeNode)
            self.addObserver(volumeNode, _MOVED, self._onTransform)
            for event in _CHANGED:
                self.addObserver(volumeNode, event, self._onChanged)

    def lost(self) -> None:
        """Something may have gone: have it looked for in a moment."""
        if not slicer.mrmlScene.IsClosing():
            self._lost.ask()

    def close(self) -> None:
        """Follow nothing any more."""
        self._lost.stop()
        self._voxels.stop()
        self._volume = None
        self.removeObservers()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, scene: Any, event: str, node: Any) -> None:
        self.lost()

    def _onStartClose(self, scene: Any, event: str) -> None:
        self._lost.stop()
        self._voxels.stop()
        self._onClosing()

    def _onTransform(self, node: Any, event: str) -> None:
        before, self._transform = self._transform, node.GetTransformNodeID() or ""
        self._onMoved(before)

    def _onChanged(self, node: Any, event: str) -> None:
        stamp = scanStamp(node)
        if stamp != self._stamp:
            self._stamp = stamp
            self._voxels.ask()
