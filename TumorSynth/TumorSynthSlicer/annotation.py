"""The words "SYNTHETIC - not for clinical use" in every view that shows something synthetic.

Slicer writes its own texts into the corner annotation of each view, and clears them again; so each view gets one of
our own, which stands below Slicer's text in the same corner.
"""

import math
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from TumorSynthSlicer import views
from TumorSynthSlicer.marks import isSynthetic
from TumorSynthSlicer.observing import Observing
from TumorSynthSlicer.surface import hasSurface

_CORNER = vtk.vtkCornerAnnotation.UpperRight
_FONT_SIZE = 15
_LARGEST_FONT = 24
"""Slicer's own text is not drawn larger than that, whatever is allowed."""
_COLOR = (1.0, 0.8, 0.1)
_DISPLAYABLE = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLModelNode")
_VIEWS = ("vtkMRMLSliceCompositeNode", "vtkMRMLSliceNode", "vtkMRMLViewNode", "vtkMRMLLayoutNode")


def words() -> str:
    """What is written."""
    return _("SYNTHETIC - not for clinical use")


class SyntheticAnnotation(Observing):
    """Writes and removes the words as nodes and views come, change and go."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[str, tuple[Any, Any, Any]] = {}
        self._isPending = self._isOn = False

    def start(self) -> None:
        """Watch the scene from now on."""
        self._isOn = True
        scene = slicer.mrmlScene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onScene)
        self._onScene()

    def stop(self) -> None:
        """Remove the words from all views, and stop watching."""
        self._isOn = False
        self.removeObservers()
        for key in list(self._texts):
            self._remove(key)

    def update(self) -> None:
        """Write the words where they belong now."""
        self._isPending = False
        if not self._isOn:
            return
        self._watch()
        synthetic = {node.GetID() for node in _nodes(_DISPLAYABLE) if isSynthetic(node)}
        seen = set()
        for viewNode, view in views.shownViews() if synthetic else ():
            if showsAny(viewNode, synthetic):
                seen.add(viewNode.GetID())
                self._write(viewNode.GetID(), view)
        for key in set(self._texts) - seen:
            self._remove(key)

    def _onScene(self, *_: Any) -> None:
        """Look again when Slicer has done what it is doing."""
        if not self._isPending:
            self._isPending = True
            qt.QTimer.singleShot(0, self.update)

    def _watch(self) -> None:
        """Observe nodes that have come since, and let go of those that have gone."""
        self.releaseRemoved()
        modified = vtk.vtkCommand.ModifiedEvent
        display = slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent
        wanted = [(node, modified) for node in _nodes(_VIEWS + _DISPLAYABLE)]
        wanted += [(node, display) for node in _nodes(_DISPLAYABLE)]
        for node, event in wanted:
            self.addObserver(node, event, self._onScene)

    def _write(self, key: str, view: Any) -> None:
        renderer = view.renderWindow().GetRenderers().GetFirstRenderer()
        known = self._texts.get(key)
        if known is not None and known[1] is not renderer:
            self._remove(key)
            known = None
        text = known[0] if known is not None else _annotation()
        text.SetText(_CORNER, "\n" * _linesAbove(view) + words())
        if known is None:
            corner = view.cornerAnnotation()
            self._texts[key] = (text, renderer, corner)
            renderer.AddViewProp(text)
            self.addObserver(corner, vtk.vtkCommand.ModifiedEvent, self._onScene)
            view.scheduleRender()

    def _remove(self, key: str) -> None:
        text, renderer, corner = self._texts.pop(key)
        renderer.RemoveViewProp(text)
        self.removeObserver(corner, vtk.vtkCommand.ModifiedEvent, self._onScene)
        for viewNode, view in views.shownViews():  # it may be gone, with its layout or with the scene
            if viewNode.GetID() == key:
                view.scheduleRender()


def showsAny(viewNode: Any, ids: set[str]) -> bool:
    """Whether a slice or 3D view shows one of the volumes, segmentations and models with some ids."""
    if viewNode.IsA("vtkMRMLSliceNode"):
        composite = views.compositeNode(viewNode)
        if composite is not None and views.visibleLayerIds(composite) & ids:
            return True
    elif _slicesIn3D(viewNode, ids):
        return True
    return any(_isDrawn(slicer.mrmlScene.GetNodeByID(key), viewNode) for key in ids)


def _slicesIn3D(viewNode: Any, ids: set[str]) -> bool:
    """Whether a 3D view has a slice with one of the volumes in it."""
    for sliceNode in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        composite = views.compositeNode(sliceNode) if sliceNode.GetSliceVisible() else None
        if (
            composite is not None
            and sliceNode.IsDisplayableInThreeDView(viewNode.GetID())
            and views.visibleLayerIds(composite) & ids
        ):
            return True
    return False


def _isDrawn(node: Any, viewNode: Any) -> bool:
    """Whether a view draws a segmentation, a surface or a volume rendering."""
    if node is None:
        return False
    isSlice = viewNode.IsA("vtkMRMLSliceNode")
    for index in range(node.GetNumberOfDisplayNodes()):
        display = node.GetNthDisplayNode(index)
        if display is None or not display.GetVisibility() or not display.IsDisplayableInView(viewNode.GetID()):
            continue
        if node.IsA("vtkMRMLSegmentationNode"):
            return bool(display.GetVisibility2D() and display.GetVisibleSegmentIDs()) if isSlice else hasSurface(node)
        if node.IsA("vtkMRMLModelNode"):
            return bool(display.GetVisibility2D() if isSlice else display.GetVisibility3D())
        if display.IsA("vtkMRMLVolumeRenderingDisplayNode") and not isSlice:
            return True
    return False


def _annotation() -> Any:
    text = vtk.vtkCornerAnnotation()
    text.SetMaximumFontSize(_FONT_SIZE)
    text.SetMinimumFontSize(6)
    text.SetNonlinearFontScaleFactor(1.0)
    text.SetLayerNumber(10)
    style = text.GetTextProperty()
    style.SetColor(*_COLOR)
    style.SetBold(True)
    style.SetShadow(True)
    return text


def _linesAbove(view: Any) -> int:
    """Lines of ours that Slicer's own text in the corner takes up."""
    own = view.cornerAnnotation()
    text = (own.GetText(_CORNER) or "").rstrip()
    size = min(own.GetMaximumFontSize(), _LARGEST_FONT)
    return math.ceil((text.count("\n") + 1) * size / _FONT_SIZE) if text else 0


def _nodes(classes: tuple[str, ...]) -> list[Any]:
    return [node for name in classes for node in slicer.util.getNodesByClass(name)]
