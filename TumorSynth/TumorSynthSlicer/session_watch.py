"""What happens to the scene while the session works with it."""

from collections.abc import Callable
from typing import Any

import slicer
import slicer.util
import vtk

from TumorSynthSlicer.timers import Delayed


class SceneWatch(slicer.util.VTKObservationMixin):
    """Follows nodes that go, and the scene when it is closed.

    Parameters
    ----------
    onLost : called a moment after a node has gone, once for many.
    onClosing : called before the scene is closed, when all nodes are still there.
    onMoved : called when the parent transform of a watched volume has changed.
    """

    def __init__(self, onLost: Callable[[], None], onClosing: Callable[[], None], onMoved: Callable[[], None]) -> None:
        super().__init__()
        self._lost = Delayed(0, onLost)
        self._onClosing, self._onMoved = onClosing, onMoved
        self._volume: Any = None
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeRemovedEvent, self._onNodeRemoved)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.StartCloseEvent, self._onStartClose)

    def follow(self, volumeNode: Any) -> None:
        """Watch a volume instead of the last one; None watches none."""
        event = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        if self._volume is not None:
            self.removeObserver(self._volume, event, self._onTransform)
        self._volume = volumeNode
        if volumeNode is not None:
            self.addObserver(volumeNode, event, self._onTransform)

    def lost(self) -> None:
        """Something may have gone: have it looked for in a moment."""
        if not slicer.mrmlScene.IsClosing():
            self._lost.ask()

    def close(self) -> None:
        """Follow nothing any more."""
        self._lost.stop()
        self._volume = None
        self.removeObservers()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, scene: Any, event: str, node: Any) -> None:
        self.lost()

    def _onStartClose(self, scene: Any, event: str) -> None:
        self._lost.stop()
        self._onClosing()

    def _onTransform(self, node: Any, event: str) -> None:
        self._onMoved()
