"""What keeping a result does to the rows of the table, and undo takes back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import slicer

from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.lesion_list import LesionList
from TumorSynthSlicer.session_places import LesionPlaces
from TumorSynthSlicer.variants import Variant


@dataclass(frozen=True)
class Row:
    """A lesion with the nodes that tell its place."""

    lesion: Lesion
    """The lesion."""
    placeId: str
    """ID of the node that tells where it is; empty for none."""
    targetId: str
    """ID of the fiducial that tells where it is to go; empty for none."""

    def inState(self, state: str) -> "Row":
        """The same row with its lesion in another state."""
        return replace(self, lesion=self.lesion.withChanges(state=state, message=""))


@dataclass(frozen=True)
class Change:
    """Rows before and after a result was kept."""

    before: tuple[Row, ...]
    after: tuple[Row, ...]


def rowsOf(lesions: LesionList, places: LesionPlaces, keys: Sequence[str]) -> tuple[Row, ...]:
    """The rows of some lesions as they are."""
    return tuple(Row(lesions.get(key), _idOf(places.node(key)), _idOf(places.target(key))) for key in keys if key in lesions)


def restoreRows(lesions: LesionList, places: LesionPlaces, rows: Sequence[Row]) -> None:
    """Bring rows back that are still in the table."""
    for row in rows:
        key = row.lesion.key
        if key not in lesions:
            continue
        places.setNode(key, _node(row.placeId))
        places.setTarget(key, _node(row.targetId))
        values = {name: value for name, value in row.lesion.toDict().items() if name not in ("key", "visible")}
        lesions.update(key, **values)
        places.show(lesions.get(key))


def keptRows(rows: Sequence[Row], variant: Variant, ids: dict[str, tuple[str, str]], segmentation: Any) -> tuple[Row, ...]:
    """The same rows once a result is kept: a new tumor is one that is there, which can be edited, moved, grown and removed.

    Parameters
    ----------
    rows : of the lesions of the result.
    ids : of each lesion's segments, tumor and core, by its key.
    segmentation : the output segmentation, where they are.
    """
    numbers = {lesion.key: number for number, lesion in enumerate(variant.lesions)}
    found = []
    for row in rows:
        lesion = row.lesion
        tumor, core = variant.parts(lesion)
        measured = variant.measured(numbers[lesion.key])
        if tumor is None:
            found.append(Row(lesion.withChanges(state="kept", segmentId="", coreSegmentId="", measured={}), row.placeId, ""))
            continue
        main, inner = ids[lesion.key]
        place = {"place": "segment", "segmentId": main, "coreSegmentId": inner if core is not None else "", "pointId": ""}
        free = {"shape": {}, "texture": {}, "core": {}, "rim": 0.0, "massEffect": 0.0}
        kept = lesion.withChanges(**place, **free, operation="edit", state="kept", message="", measured=measured)
        found.append(Row(kept, segmentation.GetID(), ""))
    return tuple(found)


def hideMarks(rows: Sequence[Row]) -> None:
    """Hide points and boxes whose tumors are there now."""
    for row in rows:
        for node in (_node(row.placeId), _node(row.targetId)):
            if node is not None and node.IsA("vtkMRMLMarkupsNode") and node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(False)


def _idOf(node: Any) -> str:
    return "" if node is None else str(node.GetID())


def _node(nodeId: str) -> Any:
    return slicer.mrmlScene.GetNodeByID(nodeId) if nodeId else None
