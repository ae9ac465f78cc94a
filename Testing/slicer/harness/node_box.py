"""A stand-in for Slicer's choice of a node."""

from typing import Any

from PySide6 import QtWidgets
from vtk import vtkCommand

from .declared import Property, Signal, kept
from .observing import Observations
from .scene_widget import SceneWidget


class qMRMLNodeComboBox(SceneWidget):
    """A choice among the scene's nodes."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAboutToBeRemoved = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    SIGNALS = (
        "currentNodeChanged(vtkMRMLNode*)",
        "currentNodeIDChanged(QString)",
        "nodeAboutToBeRemoved(vtkMRMLNode*)",
        "nodeAdded(vtkMRMLNode*)",
        "nodeAddedByUser(vtkMRMLNode*)",
    )

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._attributes: dict[str, dict[str, Any]] = {}
        self._told = ""
        self._seen: dict[str, tuple[str, bool]] = {}
        self._nodesObserved = Observations(self)
        self._box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.connect("currentIndexChanged(int)", lambda index: self._tell())

    def _fits(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        names = [name for name in self.nodeTypes if node.IsA(name)]
        if not self.showChildNodeTypes:
            names = [name for name in names if node.GetClassName() == name]
        if any(node.IsA(name) for name in self.hideChildNodeTypes):
            return False
        return any(self._hasAttributes(node, name) for name in names)

    def _hasAttributes(self, node: Any, type_: str) -> bool:
        asked = self._attributes.get(type_, {})
        return all(
            node.GetAttribute(key) is not None and value in (None, node.GetAttribute(key)) for key, value in asked.items()
        )

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            self._seen = {}
            return []
        self._seen = {nodeId: seen for nodeId, seen in self._seen.items() if self._scene.GetNodeByID(nodeId) is not None}
        nodes = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if self._accepts(node)]

    def _accepts(self, node: Any) -> bool:
        """Whether it is offered. As in Slicer that is decided when it is added to the scene, and again with another name."""
        name, accepted = self._seen.get(node.GetID(), (None, False))
        if name != node.GetName():
            accepted = self._fits(node)
            self._seen[node.GetID()] = (node.GetName(), accepted)
        return accepted

    def _filter(self) -> None:
        """Decide anew for all nodes."""
        self._seen = {}
        self._refresh()

    def _refresh(self) -> None:
        chosen, row, nodes = self.currentNodeID, self._box.currentIndex, self._nodes()
        self._nodesObserved.clear()
        for nodeId in self._seen:
            self._nodesObserved.add(self._scene.GetNodeByID(nodeId), (vtkCommand.ModifiedEvent,), qMRMLNodeComboBox._onNode)
        self._box.blockSignals(True)
        self._box.clear()
        if self.noneEnabled:
            self._box.addItem(self.noneDisplay, "")
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        # As Qt's box does: the next one takes the place of one that is gone, which is another node and not none.
        index = self._box.findData(chosen)
        self._box.currentIndex = index if index >= 0 else min(max(row, 0), self._box.count - 1)
        self._box.blockSignals(False)
        self._tell()

    def _onLeaving(self, node: Any) -> None:
        if self._box.findData(node.GetID()) >= 0 and not self._scene.IsBatchProcessing():
            self.nodeAboutToBeRemoved.emit(node)
        self._seen.pop(node.GetID(), None)

    def _onNode(self, node: Any, event: str) -> None:
        if self._seen.get(node.GetID(), ("", False))[0] != node.GetName():
            self._refresh()

    def _tell(self) -> None:
        if self.currentNodeID != self._told:
            self._told = self.currentNodeID
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(self._told)

    def currentNode(self) -> Any:
        """The chosen node, or None."""
        return self._scene.GetNodeByID(self.currentNodeID) if self._scene is not None and self.currentNodeID else None

    def setCurrentNode(self, node: Any) -> None:
        """Choose a node, or with None nothing."""
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, nodeId: str) -> None:
        """Choose a node by its ID; one that is not offered leaves nothing chosen."""
        index = self._box.findData(nodeId or "")
        self._box.currentIndex = index if index >= 0 or not self.noneEnabled else 0

    def addNode(self, type_: str = "") -> Any:
        """What the menu's "Create new" does."""
        type_ = type_ or self.nodeTypes[0]
        node = self._scene.AddNewNodeByClass(
            type_, self._scene.GenerateUniqueName(self.baseName or type_.removeprefix("vtkMRML"))
        )
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAdded.emit(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        """What the menu's "Delete current" does."""
        if self.currentNode() is not None:
            self._scene.RemoveNode(self.currentNode())

    def nodeCount(self) -> int:
        """How many nodes there are to choose from."""
        return len(self._nodes())

    def nodeFromIndex(self, index: int) -> Any:
        """One of them."""
        return self._nodes()[index]

    def addAttribute(self, type_: str, name: str, value: Any = None) -> None:
        """Offer only nodes with an attribute."""
        self._attributes.setdefault(type_, {})[name] = value
        self._filter()

    def removeAttribute(self, type_: str, name: str) -> None:
        """Do so no longer."""
        self._attributes.get(type_, {}).pop(name, None)
        self._filter()

    def _changing(type_: Any, name: str, default: Any) -> Any:
        """A property that changes what is offered."""

        def set_(self: Any, value: Any) -> None:
            setattr(self, f"_{name}", value)
            self._filter()

        return Property(type_, lambda self: getattr(self, f"_{name}", default), set_)

    currentNodeID = Property(str, lambda self: self._box.currentData or "", setCurrentNodeID)
    nodeTypes = _changing("QStringList", "nodeTypes", [])
    hideChildNodeTypes = _changing("QStringList", "hideChildNodeTypes", [])
    noneEnabled = _changing(bool, "noneEnabled", False)
    noneDisplay = _changing(str, "noneDisplay", "None")
    showHidden = _changing(bool, "showHidden", False)
    showChildNodeTypes = _changing(bool, "showChildNodeTypes", True)
    addEnabled = kept(bool, "addEnabled", True)
    removeEnabled = kept(bool, "removeEnabled", True)
    renameEnabled = kept(bool, "renameEnabled", False)
    editEnabled = kept(bool, "editEnabled", False)
    selectNodeUponCreation = kept(bool, "selectNodeUponCreation", True)
    baseName = kept(str, "baseName", "")
    del _changing
