"""Painting a tumor with Slicer's own segment editor inside the panel."""

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from TumorSynthLib.errors import ImageError
from TumorSynthSlicer.observing import Observing
from TumorSynthSlicer.segment_masks import segmentMask
from TumorSynthSlicer.timers import Delayed

EFFECTS = ("Paint", "Draw", "Erase", "Level tracing", "Scissors", "Islands", "Smoothing")
"""Tools that are offered, in this order."""
STROKE_MILLISECONDS = 100
"""How long after a stroke it is looked whether there is something now."""
_OWN = "TumorSynth.Painted"


class Painting(Observing):
    """From taking the brush to laying it down.

    Parameters
    ----------
    editor : a qMRMLSegmentEditorWidget.
    box : what it lies in; it is folded away meanwhile.
    onPainted : called with segmentation and segment after the first stroke, once for each segment.
    """

    def __init__(self, editor: Any, box: Any, onPainted: Callable[[Any, str], Any]) -> None:
        super().__init__()
        self._editor, self._box, self._onPainted = editor, box, onPainted
        self._segmentation: Any = None
        self._segmentId = ""
        self._volume: Any = None
        self._told: set[str] = set()
        self._strokes = Delayed(STROKE_MILLISECONDS, self._look)
        editor.setEffectNameOrder(list(EFFECTS))
        editor.unorderedEffectsVisible = False
        editor.autoShowSourceVolumeNode = False

    @property
    def active(self) -> bool:
        """Whether something is being painted."""
        return bool(self._segmentId)

    def start(self, volumeNode: Any) -> None:
        """Take the brush, for a new segment on the grid of a volume."""
        editor, self._volume, self._told = self._editor, volumeNode, set()
        self._segmentation = _paintedOn(volumeNode) or _newSegmentation(volumeNode)
        segmentation = self._segmentation.GetSegmentation()
        number = segmentation.GetNumberOfSegments() + 1
        self._segmentId = segmentation.AddEmptySegment("", _("Painted {number}").format(number=number))
        editor.setMRMLSegmentEditorNode(_editorNode())
        editor.setSegmentationNode(self._segmentation)
        editor.setSourceVolumeNode(volumeNode)
        editor.setCurrentSegmentID(self._segmentId)
        editor.setupViewObservations()
        editor.setActiveEffectByName(EFFECTS[0])
        self._box.collapsed = False
        self.addObserver(segmentation, segmentation.SourceRepresentationModified, self._onStroke)

    def finish(self, volumeNode: Any) -> tuple[Any, str] | None:
        """Lay the brush down.

        Parameters
        ----------
        volumeNode : as for ``start``.

        Returns
        -------
        Segmentation and segment, where ``onPainted`` was not called with them; None where nothing was painted, or it is no
        longer there.
        """
        if not self.active:
            return None
        self._strokes.stop()
        self.removeObservers()
        segmentation, segmentId = self._segmentation, self._editor.currentSegmentID() or self._segmentId
        self._segmentation, self._segmentId, self._volume = None, "", None
        self._editor.setActiveEffectByName("")
        self._editor.removeViewObservations()
        self._editor.setSegmentationNode(None)
        self._box.collapsed = True
        if volumeNode is None or segmentation is None or not slicer.mrmlScene.IsNodePresent(segmentation):
            return None
        if not _isPainted(segmentation, segmentId, volumeNode):
            segmentation.GetSegmentation().RemoveSegment(segmentId)
            return None
        return None if segmentId in self._told else (segmentation, segmentId)

    def _onStroke(self, segmentation: Any, event: str) -> None:
        self._strokes.ask()

    def _look(self) -> None:
        segmentation, segmentId = self._segmentation, self._editor.currentSegmentID() or self._segmentId
        gone = self._volume is None or not slicer.mrmlScene.IsNodePresent(segmentation)
        if not gone and segmentId not in self._told and _isPainted(segmentation, segmentId, self._volume):
            self._told.add(segmentId)
            self._onPainted(segmentation, segmentId)


def _isPainted(segmentation: Any, segmentId: str, volumeNode: Any) -> bool:
    if segmentation.GetSegmentation().GetSegment(segmentId) is None:
        return False
    try:
        segmentMask(segmentation, segmentId, volumeNode)
    except ImageError as error:
        if error.code == "segment.empty":
            return False
        raise
    return True


def _editorNode() -> Any:
    """Keeps the editor's settings; other modules with a segment editor have their own."""
    node = slicer.mrmlScene.GetSingletonNode("TumorSynth", "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag("TumorSynth")
        node = slicer.mrmlScene.AddNode(node)
    return node


def _paintedOn(volumeNode: Any) -> Any | None:
    """The segmentation that was painted on this volume before."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if node.GetAttribute(_OWN) == "1" and node.GetNodeReferenceID(role) == volumeNode.GetID():
            return node
    return None


def _newSegmentation(volumeNode: Any) -> Any:
    name = slicer.mrmlScene.GenerateUniqueName(_("Painted tumors"))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetAttribute(_OWN, "1")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    return node
