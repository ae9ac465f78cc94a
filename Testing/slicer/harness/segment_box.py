"""A stand-in for Slicer's choice of a segment."""

from typing import Any

import slicer
from PySide6 import QtWidgets

from .declared import Property, Signal, passedOn
from .node_box import qMRMLNodeComboBox
from .observing import Observations
from .scene_widget import SCENE_CHANGED, SceneWidget


class qMRMLSegmentSelectorWidget(SceneWidget):
    """A choice among segmentations, and among the segments of the chosen one."""

    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)
    mrmlSceneChanged = Signal(object)
    SIGNALS = (*SCENE_CHANGED, "currentNodeChanged(vtkMRMLNode*)", "currentSegmentChanged(QString)")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._segmentId = ""
        self._segmentsObserved = Observations(self)
        self._nodeBox = qMRMLNodeComboBox(self)
        self._nodeBox.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodeBox.noneEnabled = True
        self._nodeBox.addEnabled = False
        self._segmentBox = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nodeBox)
        layout.addWidget(self._segmentBox)
        self._nodeBox.connect("currentNodeChanged(vtkMRMLNode*)", self._onNode)
        self._segmentBox.connect("currentIndexChanged(int)", self._onSegment)

    def setMRMLScene(self, scene: Any) -> None:
        """Follow another scene."""
        self._nodeBox.setMRMLScene(scene)
        super().setMRMLScene(scene)

    def _onNode(self, node: Any) -> None:
        self._segmentsObserved.clear()
        if node is not None:
            kinds = slicer.vtkSegmentation
            events = (kinds.SegmentAdded, kinds.SegmentRemoved, kinds.SegmentModified)
            self._segmentsObserved.add(node.GetSegmentation(), events, qMRMLSegmentSelectorWidget._onSegments)
        self._fill()
        self.currentNodeChanged.emit(node)

    def _onSegments(self, caller: Any, event: str) -> None:
        self._fill()

    def _fill(self) -> None:
        """Offer the segments. The last choice is remembered where there are none; one that is gone gives way to the first."""
        node, box = self.currentNode(), self._segmentBox
        box.blockSignals(True)
        box.clear()
        found = list(node.GetSegmentation().GetSegmentIDs()) if node is not None else []
        if self.noneEnabled and found:
            box.addItem("None", "")
        for segmentId in found:
            box.addItem(node.GetSegmentation().GetSegment(segmentId).GetName(), segmentId)
        box.currentIndex = box.findData(self._segmentId)
        box.blockSignals(False)
        if found and box.currentIndex < 0:
            box.currentIndex = 1 if self.noneEnabled else 0

    def _onSegment(self, index: int) -> None:
        if self.currentNode() is not None:
            self._segmentId = self._segmentBox.itemData(index) or ""
            self.currentSegmentChanged.emit(self._segmentId)

    def currentNode(self) -> Any:
        """The chosen segmentation, or None."""
        return self._nodeBox.currentNode()

    def currentNodeID(self) -> str:
        """Its ID; here a method, other than in the node box."""
        return self._nodeBox.currentNodeID  # type: ignore[no-any-return]

    def setCurrentNode(self, node: Any) -> None:
        """Choose a segmentation."""
        self._nodeBox.setCurrentNode(node)

    def setCurrentNodeID(self, nodeId: str) -> None:
        """Choose a segmentation by its ID."""
        self._nodeBox.setCurrentNodeID(nodeId)

    def currentSegmentID(self) -> str:
        """The chosen segment, or nothing; still that of the last segmentation where none is chosen."""
        return self._segmentId

    def setCurrentSegmentID(self, segmentId: str) -> None:
        """Choose a segment; one that is not offered changes nothing."""
        index = 0 if self.noneEnabled and not segmentId else self._segmentBox.findData(segmentId)
        if index >= 0:
            self._segmentBox.currentIndex = index

    def _setNoneEnabled(self, enabled: bool) -> None:
        self._noneEnabled = enabled
        self._nodeBox.noneEnabled = enabled
        self._fill()

    _noneEnabled = False
    noneEnabled = Property(bool, lambda self: self._noneEnabled, _setNoneEnabled)
    editEnabled = passedOn(bool, "_nodeBox", "editEnabled")
    selectNodeUponCreation = passedOn(bool, "_nodeBox", "selectNodeUponCreation")
    segmentationNodeSelectorVisible = passedOn(bool, "_nodeBox", "visible")
