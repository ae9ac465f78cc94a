"""Where lesions are: the nodes of the scene that tell it, and what the worker gets of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer

from TumorSynthLib.errors import GeometryError, RequestError
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.observing import Observing
from TumorSynthSlicer.requests import Place, Point
from TumorSynthSlicer.transforms import matrixBetween, toArray, worldToVolume

PLACE, TARGET = "place.{}", "target.{}"
"""Roles of the parameter node's references, by the key of the lesion."""
OWN = "TumorSynth.Point"
"""Attribute of points that were made for a lesion, and go with it."""
_MOVES = (slicer.vtkMRMLMarkupsNode.PointModifiedEvent, slicer.vtkMRMLTransformableNode.TransformModifiedEvent)
_CHANGES = (
    slicer.vtkSegmentation.SourceRepresentationModified,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
)


class LesionPlaces(Observing):
    """The nodes of the lesions, as references of the parameter node, and what becomes of them.

    Parameters
    ----------
    onMoved : called with the key of a lesion whose place has changed.
    onLost : called when a node, a control point or a segment may have gone.
    """

    def __init__(self, onMoved: Callable[[str], None], onLost: Callable[[], None]) -> None:
        super().__init__()
        self._onMoved, self._onLost = onMoved, onLost
        self._holder: Any = None
        self._keys: dict[str, list[str]] = {}

    def open(self, holder: Any) -> None:
        """Use the references of a parameter node; None lets go of the last one."""
        self.removeObservers()
        self._holder, self._keys = holder, {}

    def node(self, key: str) -> Any:
        """The node that tells where a lesion is, or None."""
        return None if self._holder is None else self._holder.GetNodeReference(PLACE.format(key))

    def target(self, key: str) -> Any:
        """The fiducial that tells where a lesion is to go, or None."""
        return None if self._holder is None else self._holder.GetNodeReference(TARGET.format(key))

    def setNode(self, key: str, node: Any) -> None:
        """Let a node tell where a lesion is; None for no node."""
        self._refer(PLACE.format(key), key, node)

    def setTarget(self, key: str, node: Any) -> None:
        """Let a fiducial tell where a lesion is to go; None for no node."""
        self._refer(TARGET.format(key), key, node)

    def forget(self, key: str) -> None:
        """Let go of a lesion's nodes; they stay in the scene."""
        self.setNode(key, None)
        self.setTarget(key, None)

    def drop(self, lesion: Lesion) -> None:
        """Let go of a lesion's nodes, and remove the points of which nothing else is told: those of it alone."""
        nodes = [self.target(lesion.key)]
        if lesion.place == "point":
            nodes.append(self.node(lesion.key))
        self.forget(lesion.key)
        for node in nodes:
            if node is not None and node.GetAttribute(OWN) == "1" and node.GetScene() is not None:
                slicer.mrmlScene.RemoveNode(node)
        self.releaseRemoved()

    def watch(self, key: str) -> None:
        """Follow the nodes of a lesion that came with the scene."""
        for node in (self.node(key), self.target(key)):
            if node is not None:
                self._observe(key, node)

    def isLost(self, lesion: Lesion) -> bool:
        """Whether the lesion's node, control point or segment is no longer there. A removed tumor has none to lose."""
        if lesion.place == "segment" and not lesion.segmentId:
            return False
        node = self.node(lesion.key)
        if node is None or node.GetScene() is None:
            return True
        if lesion.place == "segment":
            return node.GetSegmentation().GetSegment(lesion.segmentId) is None
        return lesion.place == "point" and pointIndex(node, lesion) < 0

    def placeOf(self, lesion: Lesion, volumeNode: Any, mask: str | None = None) -> Place:
        """Where the lesion is, in the volume's own RAS.

        Parameters
        ----------
        mask : the file of its segment, where its place is one.

        Raises
        ------
        RequestError : ``place.gone`` or ``place.target`` for what is missing.
        GeometryError : ``place.outside`` for a point outside the volume, ``transform.nonlinear`` as ``transforms``.
        """
        if self.isLost(lesion):
            message = f"The {lesion.place} of {lesion.name} is no longer there."
            raise RequestError("place.gone", message, "Remove the lesion from the table, or undo what removed its place.")
        node = self.node(lesion.key)
        if lesion.place == "point":
            return Place(at=self._pointOf(node, pointIndex(node, lesion), lesion, volumeNode))
        if lesion.place == "box":
            return Place(box=boxIn(node, volumeNode))
        return Place(mask=mask, to=self._goal(lesion, volumeNode) if lesion.operation == "move" else None)

    def show(self, lesion: Lesion) -> None:
        """Show or hide the lesion's own marks; a segmentation may have other segments, of which nothing is changed."""
        for node in (self.node(lesion.key), self.target(lesion.key)):
            if node is not None and node.IsA("vtkMRMLMarkupsNode") and node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(lesion.visible)
        node = self.node(lesion.key)
        if lesion.place == "segment" and node is not None and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetSegmentVisibility(lesion.segmentId, lesion.visible)

    def _goal(self, lesion: Lesion, volumeNode: Any) -> Point:
        node = self.target(lesion.key)
        if node is None or node.GetNumberOfControlPoints() == 0:
            message = f"Nothing tells yet where {lesion.name} is to go."
            raise RequestError("place.target", message, "Press 'Click the new place' and click into the scan.")
        return self._pointOf(node, 0, lesion, volumeNode)

    def _pointOf(self, node: Any, index: int, lesion: Lesion, volumeNode: Any) -> Point:
        position = [0.0, 0.0, 0.0]
        node.GetNthControlPointPositionWorld(index, position)
        return inside(worldToVolume(volumeNode, position), volumeNode, lesion.name)

    def _refer(self, role: str, key: str, node: Any) -> None:
        self._holder.SetNodeReferenceID(role, node.GetID() if node is not None else None)
        if node is not None:
            self._observe(key, node)

    def _observe(self, key: str, node: Any) -> None:
        keys = self._keys.setdefault(node.GetID(), [])
        if key not in keys:
            keys.append(key)
        if len(keys) > 1 or self.hasObserver(node, _MOVES[1], self._onNode):
            return
        for event in _MOVES:
            self.addObserver(node, event, self._onNode)
        if node.IsA("vtkMRMLSegmentationNode"):
            for event in _CHANGES:
                self.addObserver(node.GetSegmentation(), event, self._onSegmentation)
        else:
            self.addObserver(node, slicer.vtkMRMLMarkupsNode.PointRemovedEvent, self._onLostEvent)

    def _onNode(self, node: Any, event: str) -> None:
        for key in list(self._keys.get(node.GetID(), ())):
            if node in (self.node(key), self.target(key)):
                self._onMoved(key)

    def _onSegmentation(self, segmentation: Any, event: str) -> None:
        for key in {key for keys in self._keys.values() for key in keys}:
            node = self.node(key)
            if node is not None and node.IsA("vtkMRMLSegmentationNode") and node.GetSegmentation() is segmentation:
                self._onMoved(key)
        self._onLost()

    def _onLostEvent(self, node: Any, event: str) -> None:
        self._onLost()


def pointIndex(node: Any, lesion: Lesion) -> int:
    """The lesion's control point, -1 where it is gone. A node that came with a scene may have given its points new IDs."""
    if lesion.pointId:
        return int(node.GetNthControlPointIndexByID(lesion.pointId))
    return 0 if node.GetNumberOfControlPoints() > 0 else -1


def inside(ras: Any, volumeNode: Any, name: str) -> Point:
    """A position in the volume's own RAS.

    Raises
    ------
    GeometryError : ``place.outside`` when the volume has no voxel there.
    """
    if not geometryOf(volumeNode).contains(np.asarray(ras)):
        message = f"{name} is at {np.round(ras, 1).tolist()} (RAS mm), outside the scan '{volumeNode.GetName()}'."
        raise GeometryError("place.outside", message, "Move its point into the scan.")
    r, a, s = (float(value) for value in ras)
    return (r, a, s)


def boxIn(roiNode: Any, volumeNode: Any) -> tuple[Point, Point]:
    """The lower and upper corner of a box along the volume's RAS axes that lies inside an ROI, and is the ROI itself where
    that is not turned.

    Raises
    ------
    GeometryError : ``place.box`` for an ROI without size; ``transform.nonlinear`` as ``transforms``.
    """
    local = np.linalg.inv(matrixBetween(volumeNode, None)) @ toArray(roiNode.GetObjectToWorldMatrix())
    scales = np.linalg.norm(local[:3, :3], axis=0)
    half = np.array(roiNode.GetSize()) / 2.0 * scales
    if not np.all(half > 0.0):
        raise GeometryError("place.box", f"The box '{roiNode.GetName()}' has no size.", "Draw it again.")
    turn = np.abs(local[:3, :3] / scales)
    extent = turn @ half
    extent *= min(1.0, float(np.min(half / (turn.T @ extent))))
    low, high = local[:3, 3] - extent, local[:3, 3] + extent
    return tuple(low.tolist()), tuple(high.tolist())  # type: ignore[return-value]
