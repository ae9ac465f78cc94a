"""Nodes and places as somebody at the console names them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import slicer.util

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.requests import Point
from TumorSynthSlicer.session_nodes import pointsOf
from TumorSynthSlicer.session_places import boxIn, inside
from TumorSynthSlicer.transforms import worldToVolume

Segment = tuple[Any, str]
"""A segmentation node and the ID of a segment."""


_VOLUME, _SEGMENTATION = "vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode"


def volumeNamed(volume: Any) -> Any:
    """A volume from its node, its name or its ID; None stays None. Raises as ``nodeNamed``."""
    return None if volume is None else nodeNamed(volume, _VOLUME)


def segmentationNamed(segmentation: Any) -> Any:
    """A segmentation from its node, its name or its ID; None stays None.

    Raises
    ------
    RequestError : as ``nodeNamed``; ``console.segmentation`` for a node of another kind.
    """
    node = None if segmentation is None else nodeNamed(segmentation, _SEGMENTATION)
    if node is not None and not node.IsA(_SEGMENTATION):
        message = f"'{node.GetName()}' is a {node.GetNodeTagName()}, expected a segmentation."
        raise RequestError("console.segmentation", message, "Give the node that has the segment.")
    return node


def nodeNamed(node: Any, *kinds: str) -> Any:
    """A node of the scene, or the one with a name or an ID.

    Parameters
    ----------
    node : itself, or what it is called.
    kinds : classes that are looked for where several nodes have the name.

    Raises
    ------
    RequestError : ``console.node`` when there is none, or several of that name.
    """
    if not isinstance(node, str):
        if not isinstance(node, slicer.vtkMRMLNode):
            message = f"{node!r:.60} is no node."
            raise RequestError("console.node", message, "Give a node of the scene, its name or its ID.")
        if not slicer.mrmlScene.IsNodePresent(node):
            raise RequestError("console.node", f"'{node.GetName()}' is not in the scene.", "Give a node of the scene.")
        return node
    found = slicer.mrmlScene.GetNodeByID(node)
    if found is not None:
        return found
    named = slicer.mrmlScene.GetNodesByName(node)
    nodes = [named.GetItemAsObject(number) for number in range(named.GetNumberOfItems())]
    nodes = [one for one in nodes if any(one.IsA(kind) for kind in kinds)] or nodes
    if len(nodes) != 1:
        message = f"There are {len(nodes)} nodes called {node!r:.60}, expected one."
        raise RequestError("console.node", message, "Give the node itself, or its ID.")
    return nodes[0]


def segmentNamed(segment: Any) -> Segment:
    """A segment, from (segmentation, name or ID) or a segmentation that has one segment alone.

    Raises
    ------
    RequestError : as ``segmentationNamed``; ``console.segment`` when the segment is not there.
    """
    whole, wanted = segment if isinstance(segment, (tuple, list)) and len(segment) == 2 else (segment, "")
    if whole is None:
        raise RequestError("console.segment", f"{segment!r:.60} is no segment.", "Give (segmentation, name of the segment).")
    node = segmentationNamed(whole)
    data = node.GetSegmentation()
    ids = [data.GetNthSegmentID(number) for number in range(data.GetNumberOfSegments())]
    found = [one for one in ids if not wanted or wanted in (one, data.GetSegment(one).GetName())]
    if len(found) != 1:
        names = ", ".join(data.GetSegment(one).GetName() for one in ids) or "none"
        message = f"'{node.GetName()}' has the segments {names}; {wanted or 'which one'!r} does not tell one of them."
        raise RequestError("console.segment", message, "Give (segmentation, name of the segment).")
    return node, found[0]


def placeNamed(place: Any, volume: Any) -> tuple[str, Any]:
    """What tells where a new tumor goes.

    Parameters
    ----------
    place : R, A, S in the world; a fiducial node, of which its last point is meant; an ROI node; a segment; or the name of
        one of them.
    volume : the scan.

    Returns
    -------
    ``point`` and its position, or ``box`` and its corners, both in the volume's own RAS; or ``segment`` and it.

    Raises
    ------
    RequestError : for anything else.
    GeometryError : for a point outside the scan.
    """
    if isinstance(place, str):
        place = nodeNamed(place, "vtkMRMLMarkupsNode", _SEGMENTATION)
    if isinstance(place, slicer.vtkMRMLMarkupsNode):
        nodeNamed(place)
        if place.IsA("vtkMRMLMarkupsROINode"):
            return "box", boxIn(place, volume)
        world = [0.0, 0.0, 0.0]
        place.GetNthControlPointPositionWorld(place.GetNthControlPointIndexByID(pointsOf(place)[-1]), world)
        return "point", pointIn(world, volume)
    if isinstance(place, (Sequence, np.ndarray)) and len(place) == 3:
        return "point", pointIn(place, volume)
    return "segment", segmentNamed(place)


def pointIn(place: Any, volume: Any) -> Point:
    """A position in the volume's own RAS, from R, A, S in the world.

    Raises
    ------
    RequestError : ``console.place`` for anything else.
    GeometryError : for a point outside the scan.
    """
    try:
        world = [float(value) for value in place]
    except (TypeError, ValueError) as error:
        raise RequestError("console.place", f"{place!r:.60} is no position.", "Give (R, A, S) in mm.") from error
    return inside(worldToVolume(volume, world), volume, "The point")
