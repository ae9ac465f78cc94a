"""Reading and writing of nodes: what slicer.util's ``load...`` and ``saveNode`` ask the application for."""

import os
from typing import Any

import slicer

READERS = {
    "ModelFile": ("vtkMRMLModelNode", "vtkMRMLModelStorageNode"),
    "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
    "TableFile": ("vtkMRMLTableNode", "vtkMRMLTableStorageNode"),
    "TextFile": ("vtkMRMLTextNode", "vtkMRMLTextStorageNode"),
    "TransformFile": ("vtkMRMLTransformNode", "vtkMRMLTransformStorageNode"),
}
EXTENSIONS = (".seg.nrrd", ".nii.gz", ".mrk.json", ".nrrd", ".nii", ".csv", ".txt", ".h5", ".tfm", ".vtk", ".stl")


class IOManager:
    """Stands for qSlicerIOManager."""

    def fileType(self, path: str) -> str:
        """What a file is, by its name."""
        return "SegmentationFile" if ".seg." in os.path.basename(path) else "VolumeFile"

    def fileWriterFileType(self, node: Any, format_: str = "") -> str:
        """What a node is written as."""
        return str(node.GetClassName())

    def registeredFileReaderCount(self, fileType: str) -> int:
        """How many readers there are."""
        return int(fileType in READERS or fileType in ("VolumeFile", "MarkupsFile"))

    def loadNodes(self, fileType: str, properties: dict[str, Any], loaded: Any, messages: Any = None) -> bool:
        """Read a file into the scene."""
        path = properties["fileName"]
        name = properties.get("name") or os.path.basename(path).split(".")[0]
        if fileType == "VolumeFile":
            node = self._readVolume(path, name, properties)
        elif fileType == "MarkupsFile":
            node = slicer.mrmlScene.GetNodeByID(slicer.modules.markups.logic().LoadMarkups(path, name) or "")
        else:
            node = self._read(path, name, *READERS[fileType])
        if node is not None:
            loaded.AddItem(node)
        return node is not None

    def _readVolume(self, path: str, name: str, properties: dict[str, Any]) -> Any:
        options = (
            8
            | 1 * bool(properties.get("labelmap"))
            | 2 * bool(properties.get("center"))
            | 4 * bool(properties.get("singleFile"))
        )
        node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, options)
        if node is not None and properties.get("show", True):
            logic = slicer.app.applicationLogic()
            logic.GetSelectionNode().SetActiveVolumeID(node.GetID())
            logic.PropagateVolumeSelection(1)
        return node

    def _read(self, path: str, name: str, nodeClass: str, storageClass: str) -> Any:
        scene = slicer.mrmlScene
        node = scene.AddNewNodeByClass(nodeClass, scene.GenerateUniqueName(name))
        storage = scene.AddNewNodeByClass(storageClass)
        storage.SetFileName(path)
        node.SetAndObserveStorageNodeID(storage.GetID())
        if not storage.ReadData(node):
            scene.RemoveNode(storage)
            scene.RemoveNode(node)
            return None
        if hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        return node

    def extractKnownExtension(self, path: str, node: Any) -> str:
        """The end of a path that tells its format."""
        return next((end for end in EXTENSIONS if path.lower().endswith(end)), os.path.splitext(path)[1])

    def fileWriterExtensions(self, node: Any) -> list[str]:
        """The formats of a node."""
        return [f"File (*{end})" for end in EXTENSIONS]

    def saveNodes(self, fileType: str, properties: dict[str, Any], messages: Any = None) -> bool:
        """Write a node, and remember where."""
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        return self._write(node, node.GetStorageNode(), properties["fileName"], properties)

    def exportNodes(self, ids: Any, paths: Any, properties: dict[str, Any], harden: bool = False, messages: Any = None) -> bool:
        """Write copies of nodes."""
        if isinstance(ids, str):
            ids, paths = [ids], [paths]
        done = True
        for nodeId, path in zip(ids, paths, strict=True):
            node = slicer.mrmlScene.GetNodeByID(nodeId)
            storage = node.CreateDefaultStorageNode()
            storage.UnRegister(None)
            done &= self._write(node, storage, path, properties)
        return done

    def _write(self, node: Any, storage: Any, path: str, properties: dict[str, Any]) -> bool:
        storage.SetFileName(path)
        storage.SetUseCompression(int(properties.get("useCompression", 1)))
        return bool(storage.WriteData(node))
