"""A layout with the scan before the edit on the left and after it on the right, both at the same place and zoom."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

from TumorSynthSlicer import views

LAYOUT = 5741
"""Number of the layout; Slicer's own are below 600."""
_GROUP = 57
"""View group: views are linked with those of their orientation in it."""
_COLORS = {"Axial": "#F34A33", "Coronal": "#6EB04B", "Sagittal": "#EDD54C"}
_SIDES = ("Before", "After")


class SideBySide:
    """Shows and leaves the layout.

    Parameters
    ----------
    onLeft : called when somebody else has chosen another layout.
    """

    def __init__(self, onLeft: Callable[[], None]) -> None:
        self._onLeft = onLeft
        self._previous: int | None = None
        self._tag: int | None = None
        self._pose: dict[str, tuple[Any, float]] = {}

    @property
    def shown(self) -> bool:
        """Whether the layout is shown by this object."""
        return self._previous is not None

    def show(self, before: Any, after: Any) -> None:
        """Show two volume nodes; slice and zoom are taken from the layout that was there."""
        layout = views.layoutNode()
        if layout is None:
            return
        if not self.shown:
            self._pose = _poses()
            self._previous = layout.GetViewArrangement()
            if not layout.IsLayoutDescription(LAYOUT):
                layout.AddLayoutDescription(LAYOUT, _description())
            views.setLayout(LAYOUT)
            self._tag = layout.AddObserver("ModifiedEvent", self._onLayout)
            self._takePose()
            qt.QTimer.singleShot(0, self._takePose)  # once more when the views have got their sizes
        for side, volume in zip(_SIDES, (before, after), strict=True):
            for sliceNode in _nodes(side):
                _fill(views.compositeNode(sliceNode), volume)

    def hide(self) -> None:
        """Go back to the layout that was there before."""
        layout = views.layoutNode()
        if not self.shown:
            return
        previous, self._previous = self._previous, None
        if layout is not None:
            layout.RemoveObserver(self._tag)
            if layout.GetViewArrangement() == LAYOUT:
                views.setLayout(previous)
        for side in _SIDES:
            for sliceNode in _nodes(side):
                _fill(views.compositeNode(sliceNode), None)

    def _onLayout(self, layout: Any, event: str) -> None:
        if self.shown and layout.GetViewArrangement() != LAYOUT:
            qt.QTimer.singleShot(0, self._leave)  # not while the layout is being made

    def _leave(self) -> None:
        layout = views.layoutNode()
        if self.shown and layout is not None and layout.GetViewArrangement() != LAYOUT:
            self.hide()
            self._onLeft()

    def _takePose(self) -> None:
        if not self.shown:
            return
        for orientation, (toRas, zoom) in self._pose.items():
            for sliceNode in (_node(side, orientation) for side in _SIDES):
                if sliceNode is not None:
                    sliceNode.GetSliceToRAS().DeepCopy(toRas)
                    sliceNode.UpdateMatrices()
                    width, height = sliceNode.GetDimensions()[:2]
                    sliceNode.SetFieldOfView(width * zoom, height * zoom, sliceNode.GetFieldOfView()[2])


def tagOf(side: str, orientation: str) -> str:
    """Singleton tag of one of the layout's views, which is its layout name too."""
    return f"TumorSynth{side}{orientation}"


def _nodes(side: str) -> list[Any]:
    found = (_node(side, orientation) for orientation in _COLORS)
    return [node for node in found if node is not None]


def _node(side: str, orientation: str) -> Any | None:
    return slicer.mrmlScene.GetSingletonNode(tagOf(side, orientation), "vtkMRMLSliceNode")


def _fill(composite: Any, volume: Any) -> None:
    """Show a volume in one of the layout's views, linked and left alone by what else is loaded."""
    if composite is None:
        return
    composite.SetDoPropagateVolumeSelection(False)
    composite.SetLinkedControl(True)
    composite.SetHotLinkedControl(True)
    composite.SetBackgroundVolumeID(volume.GetID() if volume is not None else None)


def _poses() -> dict[str, tuple[Any, float]]:
    """For each orientation where a view looks now, and mm per pixel."""
    found: dict[str, tuple[Any, float]] = {}
    for node in views.sliceNodes():
        toRas = vtk.vtkMatrix4x4()
        toRas.DeepCopy(node.GetSliceToRAS())
        found.setdefault(_orientation(toRas), (toRas, node.GetFieldOfView()[0] / max(1, node.GetDimensions()[0])))
    return found


def _orientation(toRas: Any) -> str:
    """The orientation that a slice is nearest to, since views may be turned with an oblique scan."""
    normal = [abs(toRas.GetElement(axis, 2)) for axis in range(3)]
    return ("Sagittal", "Coronal", "Axial")[normal.index(max(normal))]


def _description() -> str:
    """The layout: on each side the axial view, with the coronal and the sagittal one below."""
    sides = "".join(
        '<item><layout type="vertical" split="true">'
        f'<item splitSize="600">{_view(side, "Axial")}</item>'
        '<item splitSize="400"><layout type="horizontal" split="true">'
        f"<item>{_view(side, 'Coronal')}</item><item>{_view(side, 'Sagittal')}</item></layout></item>"
        "</layout></item>"
        for side in _SIDES
    )
    return f'<layout type="horizontal" split="true">{sides}</layout>'


def _view(side: str, orientation: str) -> str:
    values = {
        "orientation": orientation,
        "viewlabel": f"{side} {orientation[0]}",
        "viewcolor": _COLORS[orientation],
        "viewgroup": str(_GROUP),
    }
    properties = "".join(f'<property name="{name}" action="default">{value}</property>' for name, value in values.items())
    return f'<view class="vtkMRMLSliceNode" singletontag="{tagOf(side, orientation)}">{properties}</view>'
