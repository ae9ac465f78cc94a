"""Painting a tumor with Slicer's own segment editor inside the panel."""

from typing import Any

import slicer
from slicer.i18n import tr as _

from TumorSynthLib.errors import ImageError
from TumorSynthSlicer.segment_masks import segmentMask

EFFECTS = ("Paint", "Draw", "Erase", "Level tracing", "Scissors", "Islands", "Smoothing")
"""Tools that are offered, in this order."""
_OWN = "TumorSynth.Painted"


class Painting:
    """From taking the brush to laying it down.

    Parameters
    ----------
    editor : a qMRMLSegmentEditorWidget.
    box : what it lies in; it is folded away meanwhile.
    """

    def __init__(self, editor: Any, box: Any) -> None:
        self._editor, self._box = editor, box
        self._segmentation: Any = None
        self._segmentId = ""
        editor.setEffectNameOrder(list(EFFECTS))
        editor.unorderedEffectsVisible = False
        editor.autoShowSourceVolumeNode = False

    @property
    def active(self) -> bool:
        """Whether something is being painted."""
        return bool(self._segmentId)

    def start(self, volumeNode: Any) -> None:
        """Take the brush, for a new segment on the grid of a volume."""
        editor = self._editor
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

    def finish(self, volumeNode: Any) -> tuple[Any, str] | None:
        """Lay the brush down.

        Parameters
        ----------
        volumeNode : as for ``start``.

        Returns
        -------
        Segmentation and segment; None where nothing was painted, or it is no longer there.
        """
        if not self.active:
            return None
        segmentation, segmentId = self._segmentation, self._editor.currentSegmentID() or self._segmentId
        self._segmentation, self._segmentId = None, ""
        self._editor.setActiveEffectByName("")
        self._editor.removeViewObservations()
        self._editor.setSegmentationNode(None)
        self._box.collapsed = True
        if volumeNode is None or segmentation is None or not slicer.mrmlScene.IsNodePresent(segmentation):
            return None
        if not _isPainted(segmentation, segmentId, volumeNode):
            segmentation.GetSegmentation().RemoveSegment(segmentId)
            return None
        return segmentation, segmentId


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
