"""Marks on everything that is synthetic, which stay when the scene or a file is saved: nobody shall take it for a scan."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import slicer

from TumorSynthSlicer.segments import SYNTHETIC_TAG

SYNTHETIC = "TumorSynth.Synthetic"
"""Node attribute that is 1 for what is synthetic."""
MANIFEST = "TumorSynth.Manifest"
"""Node attribute with what was done, as JSON."""
SOURCE = "TumorSynth.Source"
"""Role of the reference to the scan that a node was made from."""
SUFFIX = " [SYNTHETIC]"
"""End of a synthetic node's name."""
FILE_KEY = {"TumorSynth_Synthetic": "SYNTHETIC"}
"""Key in the header of a synthetic file, as the worker writes it."""


def markSynthetic(node: slicer.vtkMRMLNode, manifest: Mapping[str, Any], source: slicer.vtkMRMLNode | None = None) -> None:
    """Mark a node, or renew its marks: attributes, the end of its name and, in a segmentation, a tag of each segment.

    Parameters
    ----------
    node : volume or segmentation.
    manifest : what was done to it; it has to fit into JSON.
    source : the scan that it was made from.
    """
    before = node.StartModify()
    node.SetAttribute(SYNTHETIC, "1")
    node.SetAttribute(MANIFEST, json.dumps(manifest, sort_keys=True, separators=(",", ":")))
    node.SetName(syntheticName(node.GetName()))
    if source is not None:
        node.SetNodeReferenceID(SOURCE, source.GetID())
    for segment in _segments(node):
        segment.SetTag(SYNTHETIC_TAG, "1")
    node.EndModify(before)


def syntheticName(name: str) -> str:
    """A name with the mark at its end, once; a number that was added to tell it from others comes before the mark."""
    return f"{name.replace(SUFFIX, '')}{SUFFIX}"


def isSynthetic(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a node bears any of the marks: one may have been lost on the way through a file."""
    if node is None:
        return False
    if node.GetAttribute(SYNTHETIC) == "1" or SUFFIX.strip() in (node.GetName() or ""):
        return True
    return any(segment.HasTag(SYNTHETIC_TAG) for segment in _segments(node))


def manifestOf(node: slicer.vtkMRMLNode) -> dict[str, Any]:
    """What was done to a node; empty where it does not tell, or not in a way that can be understood."""
    try:
        values = json.loads(node.GetAttribute(MANIFEST) or "{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def editsOf(node: slicer.vtkMRMLNode) -> list[Any]:
    """The edits that a node's manifest tells of, oldest first; none for a scan."""
    edits = manifestOf(node).get("edits")
    return list(edits) if isinstance(edits, list) else []


def sourceOf(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode | None:
    """The scan that a node was made from, where it is in the scene."""
    return node.GetNodeReference(SOURCE)


def _segments(node: slicer.vtkMRMLNode) -> Sequence[slicer.vtkSegment]:
    if not node.IsA("vtkMRMLSegmentationNode"):
        return ()
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]


def stemOf(volume: Any) -> str:
    """The scan's name without what earlier edits have added."""
    name = str((sourceOf(volume) or volume).GetName())
    return re.sub(r" TumorSynth(_\d+)?$", "", name.replace(SUFFIX, ""))
