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
        self._told = ""
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
        self._segmentBox.connect("currentIndexChanged(int)", lambda index: self._tell())

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
        node, chosen = self.currentNode(), self.currentSegmentID()
        self._segmentBox.blockSignals(True)
        self._segmentBox.clear()
        if self.noneEnabled or node is None:
            self._segmentBox.addItem("None", "")
        for segmentId in node.GetSegmentation().GetSegmentIDs() if node is not None else ():
            self._segmentBox.addItem(node.GetSegmentation().GetSegment(segmentId).GetName(), segmentId)
        self._segmentBox.currentIndex = max(self._segmentBox.findData(chosen), 0) if self._segmentBox.count else -1
        self._segmentBox.blockSignals(False)
        self._tell()

    def _tell(self) -> None:
        if self.currentSegmentID() != self._told:
            self._told = self.currentSegmentID()
            self.currentSegmentChanged.emit(self._told)

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
        """The chosen segment, or nothing."""
        return self._segmentBox.currentData or ""

    def setCurrentSegmentID(self, segmentId: str) -> None:
        """Choose a segment."""
        self._segmentBox.currentIndex = self._segmentBox.findData(segmentId or "")

    def segmentIDs(self) -> list[str]:
        """The segments to choose from."""
        return [data for index in range(self._segmentBox.count) if (data := self._segmentBox.itemData(index))]

    def _setNoneEnabled(self, enabled: bool) -> None:
        self._noneEnabled = enabled
        self._nodeBox.noneEnabled = enabled
        self._fill()

    _noneEnabled = False
    noneEnabled = Property(bool, lambda self: self._noneEnabled, _setNoneEnabled)
    editEnabled = passedOn(bool, "_nodeBox", "editEnabled")
    selectNodeUponCreation = passedOn(bool, "_nodeBox", "selectNodeUponCreation")
    segmentationNodeSelectorVisible = passedOn(bool, "_nodeBox", "visible")
