"""Slicer's choices of nodes and segments, where they would go on to something that nobody has chosen."""

from typing import Any

import slicer


def letGo(selector: Any) -> None:
    """Choose none where the chosen node is removed from the scene; Slicer's box would go on to the next node of its list.

    Parameters
    ----------
    selector : a qMRMLNodeComboBox, or a widget that has one in it, in which none can be chosen.
    """
    for box in slicer.util.findChildren(selector, className="qMRMLNodeComboBox"):
        box.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", lambda node, box=box: _letGo(box, node))


def _letGo(box: Any, node: Any) -> None:
    if box.currentNode() is node:
        box.setCurrentNode(None)


def isGone(segmentation: Any, segmentId: str) -> bool:
    """Whether a segment was removed from its segmentation, so that Slicer's selector has gone on to the first one.

    Parameters
    ----------
    segmentation, segmentId : what was chosen last; None and empty for nothing.
    """
    return segmentation is not None and bool(segmentId) and segmentation.GetSegmentation().GetSegment(segmentId) is None
