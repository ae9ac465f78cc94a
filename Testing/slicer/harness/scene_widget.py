"""What all stand-ins for Slicer's widgets have in common: they follow the scene."""

from typing import Any

import shiboken6
import slicer
from PySide6 import QtWidgets

from .declared import Signal
from .observing import Observations

SCENE_CHANGED = ("mrmlSceneChanged(vtkMRMLScene*)",)


class SceneWidget(QtWidgets.QWidget):
    """Knows the scene and follows it."""

    _scene: Any = None

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._sceneObserved = Observations(self)

    def mrmlScene(self) -> Any:
        """The scene."""
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        """Follow another scene."""
        self._scene = scene
        self._sceneObserved.clear()
        if scene is not None:
            kinds = slicer.vtkMRMLScene
            events = (kinds.NodeAddedEvent, kinds.NodeRemovedEvent, kinds.EndBatchProcessEvent, kinds.EndCloseEvent)
            self._sceneObserved.add(scene, events, SceneWidget._onScene)
            leaving = kinds.NodeAboutToBeRemovedEvent
            self._sceneObserved.addWithNode(scene, leaving, lambda widget, node: widget._onLeaving(node))
        self._refresh()
        if hasattr(self, "mrmlSceneChanged"):
            self.mrmlSceneChanged.emit(scene)

    def _onScene(self, scene: Any, event: str) -> None:
        if not scene.IsBatchProcessing():
            self._refresh()

    def _onLeaving(self, node: Any) -> None:
        """A node is about to be removed."""

    def _refresh(self) -> None:
        """Show what the scene has now."""


class qMRMLWidget(SceneWidget):
    """The outermost widget of a module."""

    mrmlSceneChanged = Signal(object)
    SIGNALS = SCENE_CHANGED


def endSceneWidgets() -> None:
    """End the panels and choices that there are. One that a test leaves behind would follow the scenes of all later tests."""
    for widget in QtWidgets.QApplication.topLevelWidgets():
        if isinstance(widget, SceneWidget):
            shiboken6.delete(widget)
