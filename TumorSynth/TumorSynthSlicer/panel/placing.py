"""Waiting for a click into a view: for a new lesion, for the place that one is moved to, or for a segment."""

from collections.abc import Callable
from functools import partial
from typing import Any

import qt
import slicer

from TumorSynthSlicer.observing import Observing

Ras = tuple[float, float, float]
"""World RAS in mm."""
_COLOR = (1.0, 0.8, 0.2)


class Placing(Observing):
    """A click, by Slicer's own place mode; Esc, a right click or another mouse mode ends it without one.

    Parameters
    ----------
    button : checkable, pressed as long as a click is waited for.
    root : widget of the panel, in which Esc is heard as well as in the views.
    onClicked : called with the position, when the mouse does again what it did before.
    goesOn : whether the next click is waited for then, until Esc or the button ends it.
    """

    _current: "Placing | None" = None
    """The one that waits; there is one mouse."""

    def __init__(self, button: Any, root: Any, onClicked: Callable[[Ras], Any], goesOn: bool = False) -> None:
        super().__init__()
        self._button, self._root, self._onClicked, self._goesOn = button, root, onClicked, goesOn
        self._node: Any = None
        self._place: Ras | None = None
        self._shortcuts: list[Any] = []
        button.connect("clicked(bool)", self._onButton)

    @property
    def active(self) -> bool:
        """Whether a click is waited for."""
        return self._node is not None

    def start(self) -> None:
        """Wait for a click."""
        if self.active:
            return
        if Placing._current is not None:
            Placing._current.stop()
        Placing._current = self
        self._node = _placeNode()
        self._place = None
        self._button.checked = True
        logic = slicer.app.applicationLogic()
        selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
        selection.SetReferenceActivePlaceNodeClassName(self._node.GetClassName())
        selection.SetActivePlaceNodeID(self._node.GetID())
        interaction.SetPlaceModePersistence(False)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self.addObserver(self._node, slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, self._onPoint)
        self.addObserver(interaction, interaction.InteractionModeChangedEvent, self._onMode)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.StartCloseEvent, self._onClosing)
        self._hearEscape()

    def stop(self) -> None:
        """Wait no longer; nothing happens where nothing was waited for."""
        if not self.active:
            return
        node, self._node = self._node, None
        Placing._current = None
        self.removeObservers()
        for shortcut in self._shortcuts:
            shortcut.enabled = False
            shortcut.deleteLater()
        self._shortcuts = []
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        if interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SwitchToViewTransformMode()
        if slicer.mrmlScene.IsNodePresent(node):
            slicer.mrmlScene.RemoveNode(node)
        self._button.checked = False

    def _hearEscape(self) -> None:
        manager = slicer.app.layoutManager()
        for widget in (self._root, manager.viewport() if manager is not None else None):
            if widget is None:
                continue
            shortcut = qt.QShortcut(qt.QKeySequence("Esc"), widget)
            shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
            for signal in ("activated()", "activatedAmbiguously()"):
                shortcut.connect(signal, self.stop)
            self._shortcuts.append(shortcut)

    def _onButton(self, checked: bool) -> None:
        if checked:
            self.start()
        else:
            self.stop()

    def _onPoint(self, node: Any, event: str) -> None:
        position = [0.0, 0.0, 0.0]
        node.GetNthControlPointPositionWorld(node.GetNumberOfDefinedControlPoints() - 1, position)
        self._place = (position[0], position[1], position[2])
        qt.QTimer.singleShot(0, partial(self._finish, node))  # the views still work with the node

    def _onMode(self, interaction: Any, event: str) -> None:
        if interaction.GetCurrentInteractionMode() != interaction.Place:
            qt.QTimer.singleShot(0, partial(self._finish, self._node))

    def _onClosing(self, scene: Any, event: str) -> None:
        self.stop()

    def _finish(self, node: Any) -> None:
        if node is not self._node or not self.active:
            return
        place = self._place
        self.stop()
        if place is not None:
            self._onClicked(place)
            if self._goesOn:
                self.start()


def _placeNode() -> Any:
    """The node that the click goes to; it is no one's data."""
    node = slicer.vtkMRMLMarkupsFiducialNode()
    node.SetName("TumorSynth click")
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node = slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.SetControlPointLabelFormat("")
    node.GetDisplayNode().SetSaveWithScene(False)
    node.GetDisplayNode().SetSelectedColor(*_COLOR)
    return node
