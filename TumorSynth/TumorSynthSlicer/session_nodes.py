"""Points in the scene that tell where lesions are."""

from collections.abc import Sequence
from typing import Any

import slicer

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.lesion_list import LesionList
from TumorSynthSlicer.session_places import OWN


def newPoint(name: str, ras: Sequence[float]) -> Any:
    """A fiducial with one control point at world RAS in mm."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetAttribute(OWN, "1")
    r, a, s = (float(value) for value in ras)
    node.AddControlPointWorld(r, a, s, name)
    return node


def pointsOf(node: Any) -> list[str]:
    """IDs of the control points that are placed.

    Raises
    ------
    RequestError : ``place.point`` when there is none.
    """
    defined = slicer.vtkMRMLMarkupsNode.PositionDefined
    numbers = range(node.GetNumberOfControlPoints())
    found = [str(node.GetNthControlPointID(n)) for n in numbers if node.GetNthControlPointPositionStatus(n) == defined]
    if not found:
        raise RequestError("place.point", f"'{node.GetName()}' has no point yet.", "Click into a slice view.")
    return found


def renewPoint(lesions: LesionList, key: str, node: Any) -> None:
    """Find a lesion's point again in a node that came with a scene: its points may have other IDs now."""
    lesion = lesions.get(key)
    if lesion.place != "point" or node is None or not node.IsA("vtkMRMLMarkupsNode"):
        return
    if node.GetNthControlPointIndexByID(lesion.pointId) < 0 and node.GetNumberOfControlPoints() == 1:
        lesions.update(key, pointId=str(node.GetNthControlPointID(0)))
