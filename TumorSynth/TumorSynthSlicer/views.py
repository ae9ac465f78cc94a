"""The slice and 3D views that are on the screen, and what they show."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import slicer
import vtk


def sliceNodes() -> list[Any]:
    """Slice nodes of the current layout; all of them where no layout is shown."""
    found = list(slicer.util.getNodesByClass("vtkMRMLSliceNode"))
    mapped = [node for node in found if node.IsMappedInLayout()]
    return mapped or found


def compositeNode(sliceNode: Any) -> Any | None:
    """The node that tells which volumes a slice view shows; None before the view is made."""
    name = sliceNode.GetLayoutName()
    found = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return next((node for node in found if node.GetLayoutName() == name), None)


def compositeNodes() -> list[Any]:
    """Those of all slice views of the current layout."""
    found = (compositeNode(node) for node in sliceNodes())
    return [node for node in found if node is not None]


def layoutNode() -> Any | None:
    """The node that tells the layout; None where there are no views."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode") if slicer.app.layoutManager() is not None else None


def setLayout(number: int) -> None:
    """Change to another layout."""
    slicer.app.layoutManager().setLayout(number)


def shownViews() -> Iterator[tuple[Any, Any]]:
    """View node and view widget of every slice and 3D view that has been made."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    for name in manager.sliceViewNames():
        widget = manager.sliceWidget(name)
        if widget is not None and widget.mrmlSliceNode() is not None:
            yield widget.mrmlSliceNode(), widget.sliceView()
    for index in range(manager.threeDViewCount):
        widget = manager.threeDWidget(index)
        if widget is not None and widget.mrmlViewNode() is not None:
            yield widget.mrmlViewNode(), widget.threeDView()


def layerIds(composite: Any) -> tuple[str | None, str | None, str | None]:
    """Ids of the volumes in the background, foreground and label layer."""
    return composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID(), composite.GetLabelVolumeID()


def visibleLayerIds(composite: Any) -> set[str]:
    """Ids of the volumes that can be seen in a slice view."""
    background, foreground, label = layerIds(composite)
    shown = {background}
    if composite.GetForegroundOpacity() > 0.0:
        shown.add(foreground)
    if composite.GetLabelOpacity() > 0.0:
        shown.add(label)
    return {volume for volume in shown if volume}


class BackgroundMemory:
    """Remembers the background of slice views, and shows it again."""

    def __init__(self) -> None:
        self._volumes: dict[str, str | None] = {}

    def remember(self, composites: Iterable[Any]) -> None:
        """Remember the views that are not remembered yet."""
        for node in composites:
            self._volumes.setdefault(node.GetID(), node.GetBackgroundVolumeID())

    def restore(self, instead: Collection[str | None]) -> None:
        """Show again what was remembered, where one of the volumes with the ids ``instead`` is shown now, and forget it."""
        for key, volume in self._volumes.items():
            node = slicer.mrmlScene.GetNodeByID(key)
            if node is not None and node.GetBackgroundVolumeID() in instead:
                node.SetBackgroundVolumeID(_present(volume))
        self._volumes = {}


class ForegroundMemory:
    """Remembers the foreground of slice views, and shows it again."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[str | None, float]] = {}

    def remember(self, composites: Iterable[Any]) -> None:
        """Remember the views that are not remembered yet."""
        for node in composites:
            self._states.setdefault(node.GetID(), (node.GetForegroundVolumeID(), node.GetForegroundOpacity()))

    def restore(self) -> None:
        """Show again what was remembered, and forget it."""
        for key, (volume, opacity) in self._states.items():
            node = slicer.mrmlScene.GetNodeByID(key)
            if node is not None:
                node.SetForegroundVolumeID(_present(volume))
                node.SetForegroundOpacity(opacity)
        self._states = {}


def showInSight(sliceNode: Any, ras: tuple[float, float, float]) -> None:
    """Bring a view's slice to a point in world RAS mm; the view is only shifted where the point would be out of sight."""
    sliceNode.JumpSliceByOffsetting(*ras)
    rasToXy = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(sliceNode.GetXYToRAS(), rasToXy)
    position = rasToXy.MultiplyPoint((*ras, 1.0))
    if any(not 0.05 * size < place < 0.95 * size for place, size in zip(position, sliceNode.GetDimensions()[:2], strict=False)):
        sliceNode.JumpSliceByCentering(*ras)


def _present(key: str | None) -> str | None:
    """The id where the scene still has the node."""
    return key if key and slicer.mrmlScene.GetNodeByID(key) else None
