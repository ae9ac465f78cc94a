"""What the panel says of lesions: what is done to them, how far they are, how large they are, and where."""

from collections.abc import Mapping
from typing import Any

import slicer
from slicer.i18n import tr as _

from TumorSynthSlicer.knobs import LONG_AXIS
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.panel.feature_words import plain
from TumorSynthSlicer.words import longNames


def operationName(operation: str) -> str:
    """What is done."""
    names = {"insert": _("Insert"), "edit": _("Change"), "remove": _("Remove"), "move": _("Move"), "grow": _("Grow")}
    return names[operation]


def stateName(state: str) -> str:
    """How far it is."""
    names = {
        "draft": _("draft"),
        "running": _("running"),
        "result": _("result"),
        "kept": _("kept"),
        "failed": _("failed"),
    }
    return names[state]


def sizeText(lesion: Lesion) -> str:
    """Volume, long and short axis: those of the result or of the tumor that is there, or else those that are asked for."""
    asked, measured = longNames(lesion.shape), longNames(lesion.measured)
    isNew = lesion.state not in ("result", "kept") and lesion.operation in ("insert", "edit")
    if lesion.operation == "grow" and lesion.volumesMl:
        return _("{volumes} mL").format(volumes=", ".join(plain(volume) for volume in lesion.volumesMl))
    return sizeOf(asked if isNew and asked else measured) or "–"


def sizeOf(features: Mapping[str, float]) -> str:
    """Size by features, for example ``8 mL, 27 × 20 mm``; empty where they do not tell it.

    Parameters
    ----------
    features : by PyRadiomics name, in mm and mm^3.
    """
    volume, axes = features.get("shape_VoxelVolume"), [features.get(f"shape_{name}AxisLength") for name in ("Major", "Minor")]
    parts = [] if volume is None else [_("{volume} mL").format(volume=plain(volume / 1000.0))]
    lengths = [f"{LONG_AXIS * axis:.0f}" for axis in axes if axis is not None]
    if axes[0] is not None:
        parts.append(_("{lengths} mm").format(lengths=" × ".join(lengths)))
    return ", ".join(parts)


def positionOf(session: Any, lesion: Lesion) -> tuple[float, float, float] | None:
    """Where a lesion is, in world RAS mm; None where nothing tells it any more."""
    node = session.places.node(lesion.key)
    if node is None or not slicer.mrmlScene.IsNodePresent(node):
        return None
    position = [0.0, 0.0, 0.0]
    if lesion.place == "segment":
        if not lesion.segmentId or node.GetSegmentation().GetSegment(lesion.segmentId) is None:
            return None
        found = node.GetSegmentCenterRAS(lesion.segmentId)
        return None if found is None else (found[0], found[1], found[2])
    if lesion.place == "box":
        node.GetCenterWorld(position)
    else:
        index = node.GetNthControlPointIndexByID(lesion.pointId) if lesion.pointId else 0
        if not 0 <= index < node.GetNumberOfControlPoints():
            return None
        node.GetNthControlPointPositionWorld(index, position)
    return position[0], position[1], position[2]
