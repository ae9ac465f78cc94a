"""What a user does with the table of lesions."""

from typing import Any

from TumorSynthLib.configs import TEXTURE_TOKENS
from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.scans import checkVolume
from TumorSynthSlicer.session_action import action
from TumorSynthSlicer.session_events import SessionEvents
from TumorSynthSlicer.session_nodes import newPoint, pointsOf

_ASKED = ("operation", "shape", "texture", "core", "rim", "massEffect", "seed", "volumesMl")
"""Fields of a lesion that decide its result."""


class LesionActions(SessionEvents):
    """Lesions come, change and go. Errors are told by ``failed``."""

    @action
    def addPoint(self, place: Any) -> str:
        """Add a lesion at a point.

        Parameters
        ----------
        place : a fiducial node, whose last control point is taken; or world RAS in mm, for which a node is made.

        Returns
        -------
        The lesion's key.
        """
        self._refuse("addPoint")
        node = place if hasattr(place, "GetNumberOfControlPoints") else None
        point = "" if node is None else pointsOf(node)[-1]
        lesion = self.lesions.add("point", pointId=point)
        if node is None:
            node = newPoint(lesion.name, place)
            self._update(lesion.key, pointId=pointsOf(node)[-1])
        return self._placed(lesion.key, node)

    @action
    def addBox(self, roiNode: Any) -> str:
        """Add a lesion inside an ROI; returns its key."""
        self._refuse("addBox")
        return self._placed(self.lesions.add("box").key, roiNode)

    @action
    def addSegment(self, segmentation: Any, segmentId: str, operation: str = "insert") -> str:
        """Add a lesion that is a segment: painted for a new tumor, or one that is there already; returns its key."""
        self._refuse("addSegment")
        segment = segmentation.GetSegmentation().GetSegment(segmentId) if segmentation is not None else None
        if segment is None:
            raise RequestError("segment.missing", "No segment is chosen.", "Paint one, or choose one from the list.")
        lesion = self.lesions.add("segment", operation, segmentId=segmentId)
        key = self._placed(lesion.key, segmentation)
        self.measure(key)
        return key

    @action
    def removeLesion(self, key: str) -> None:
        """Take a lesion off the table; its marks stay in the scene, but for points that were made for it."""
        if self.lesions.get(key).state == "running":
            self._refuseWhileRunning()
        self._drop(key)

    def select(self, key: str) -> None:
        """Edit a lesion."""
        self.lesions.select(key)

    @action
    def setTarget(self, key: str, place: Any) -> None:
        """Tell where a lesion is to be moved: a fiducial node, or world RAS in mm."""
        lesion = self.lesions.get(key)
        node = place
        if not hasattr(place, "GetNumberOfControlPoints"):
            node = self.places.target(key)
            if node is None:
                node = newPoint(f"{lesion.name} target", place)
            else:
                node.SetNthControlPointPositionWorld(0, *map(float, place))
        self.places.setTarget(key, node)
        self._onPlaceMoved(key)

    @action
    def update(self, key: str, **changes: Any) -> None:
        """Change what a lesion asks for, or how it is called and shown. A kept one is edited once more."""
        lesion = self.lesions.get(key)
        different = {name for name, value in changes.items() if getattr(lesion, name, None) != value}
        asked = bool(different & set(_ASKED))
        if lesion.state == "running" and asked:
            self._refuseWhileRunning()
        if asked and lesion.state in ("kept", "failed"):
            if lesion.place == "segment" and not lesion.segmentId:
                raise RequestError("lesion.removed", f"{lesion.name} was removed.", "Undo that, or add another lesion.")
            changes = {"state": "draft", "message": "", **changes}
        self._update(key, **changes)
        if "visible" in different:
            self.places.show(self.lesions.get(key))
        if asked and self.state == "result":
            self.outline.ask(key)

    @action
    def takeAfter(self, key: str, segmentation: Any, segmentId: str, volumeNode: Any = None) -> None:
        """Ask for the size, form and texture of another tumor.

        Parameters
        ----------
        key : of the lesion that asks.
        segmentation, segmentId : the other tumor.
        volumeNode : the scan that it is seen in; None is the one that is worked on.
        """
        own = segmentation is self.parameters.outputSegmentation
        volume = volumeNode or (self.parameters.outputVolume if own else self.source)
        checkVolume(volume)
        steps = self.work.otherSteps(segmentation, segmentId, volume, self.settings)
        self.questions.askMeasured(steps, lambda measured, core: self.update(key, **_like(measured)))

    def _placed(self, key: str, node: Any) -> str:
        """Let a node tell where a new lesion is."""
        self.places.setNode(key, node)
        self._onLesions(key)
        return key

    def _update(self, key: str, **changes: Any) -> None:
        self.lesions.update(key, **changes)


def _like(measured: dict[str, float]) -> dict[str, Any]:
    """Fields of a lesion that ask for what was measured elsewhere."""
    names = {"sphericity": "shape_Sphericity", "elongation": "shape_Elongation", "flatness": "shape_Flatness"}
    shape = {short: min(1.0, measured[name]) for short, name in names.items() if measured.get(name, 0.0) > 0.0}
    if "flatness" in shape:
        shape["flatness"] = min(shape["flatness"], shape.get("elongation", 1.0))
    shape["volume_ml"] = measured["shape_VoxelVolume"] / 1000.0
    return {"shape": shape, "texture": {name: measured[name] for name in TEXTURE_TOKENS if name in measured}}
