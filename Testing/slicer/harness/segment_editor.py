"""A stand-in for Slicer's segment editor."""

from typing import Any

from .declared import Signal, kept
from .scene_widget import SCENE_CHANGED, SceneWidget


class qMRMLSegmentEditorWidget(SceneWidget):
    """The segment editor as far as a module drives it; nobody paints here."""

    currentSegmentIDChanged = Signal(str)
    segmentationNodeChanged = Signal(object)
    sourceVolumeNodeChanged = Signal(object)
    mrmlSceneChanged = Signal(object)
    SIGNALS = (
        *SCENE_CHANGED,
        "currentSegmentIDChanged(QString)",
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)",
    )
    _node: Any = None
    _effect: str = ""
    _order: tuple[str, ...] = ()

    def mrmlSegmentEditorNode(self) -> Any:
        """The node that keeps the editor's state."""
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        """Keep the state in a node."""
        self._node = node

    def segmentationNode(self) -> Any:
        """What is edited."""
        return self._node.GetSegmentationNode() if self._node is not None else None

    def setSegmentationNode(self, node: Any) -> None:
        """Edit a segmentation. Needs an editor node and the scene."""
        if self._node is not None and node is not self.segmentationNode():
            self._node.SetAndObserveSegmentationNode(node)
            self.segmentationNodeChanged.emit(node)

    def sourceVolumeNode(self) -> Any:
        """The volume that is painted on."""
        return self._node.GetSourceVolumeNode() if self._node is not None else None

    def setSourceVolumeNode(self, node: Any) -> None:
        """Paint on a volume; it gives a new segmentation its geometry."""
        if self._node is None or node is self.sourceVolumeNode():
            return
        self._node.SetAndObserveSourceVolumeNode(node)
        segmentation = self.segmentationNode()
        if segmentation is not None and node is not None and not segmentation.GetSegmentation().GetNumberOfSegments():
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
        self.sourceVolumeNodeChanged.emit(node)

    def currentSegmentID(self) -> str:
        """The segment that is painted."""
        return self._node.GetSelectedSegmentID() or "" if self._node is not None else ""

    def setCurrentSegmentID(self, segmentId: str) -> None:
        """Paint a segment."""
        if self._node is not None and segmentId != self.currentSegmentID():
            self._node.SetSelectedSegmentID(segmentId)
            self.currentSegmentIDChanged.emit(segmentId)

    def setActiveEffectByName(self, name: str) -> None:
        """Take a tool in hand; an empty name lays it down."""
        self._effect = name
        if self._node is not None:
            self._node.SetActiveEffectName(name)

    def setEffectNameOrder(self, names: Any) -> None:
        """Which tools come first."""
        self._order = tuple(names)

    def effectNameOrder(self) -> tuple[str, ...]:
        """Which tools come first."""
        return self._order

    def setupViewObservations(self) -> None:
        """Begin to listen to the views."""

    def removeViewObservations(self) -> None:
        """Listen to the views no longer."""

    def installKeyboardShortcuts(self, widget: Any = None) -> None:
        """Take the editor's keys."""

    def uninstallKeyboardShortcuts(self) -> None:
        """Give them back."""

    def updateWidgetFromMRML(self) -> None:
        """Show the node's state."""

    segmentationNodeSelectorVisible = kept(bool, "segmentationNodeSelectorVisible", True)
    sourceVolumeNodeSelectorVisible = kept(bool, "sourceVolumeNodeSelectorVisible", True)
    switchToSegmentationsButtonVisible = kept(bool, "switchToSegmentationsButtonVisible", True)
    addRemoveSegmentButtonsVisible = kept(bool, "addRemoveSegmentButtonsVisible", True)
    specifyGeometryButtonVisible = kept(bool, "specifyGeometryButtonVisible", True)
    show3DButtonVisible = kept(bool, "show3DButtonVisible", True)
    maskingSectionVisible = kept(bool, "maskingSectionVisible", True)
    unorderedEffectsVisible = kept(bool, "unorderedEffectsVisible", True)
    jumpToSelectedSegmentEnabled = kept(bool, "jumpToSelectedSegmentEnabled", False)
    autoShowSourceVolumeNode = kept(bool, "autoShowSourceVolumeNode", True)
    maximumNumberOfUndoStates = kept(int, "maximumNumberOfUndoStates", 10)
    undoEnabled = kept(bool, "undoEnabled", True)
    readOnly = kept(bool, "readOnly", False)
    effectColumnCount = kept(int, "effectColumnCount", 2)
