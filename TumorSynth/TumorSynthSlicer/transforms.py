"""Positions under parent transforms: the panel speaks of the world, the worker of the volume's own RAS space."""

import numpy as np
import slicer
import vtk

from TumorSynthLib.errors import GeometryError

_RIGID = 1e-3
"""How far lengths and angles may be off under a transform that counts as rigid."""


def parentKind(node: slicer.vtkMRMLTransformableNode) -> str:
    """``none``, ``linear`` or ``nonlinear``: what lies between a node and the world."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return "none"
    return "linear" if parent.IsTransformToWorldLinear() else "nonlinear"


def worldMatrix(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """4 x 4 matrix from a node's own RAS to the world's, both in mm.

    Raises
    ------
    GeometryError : ``transform.nonlinear`` when no matrix can tell it.
    """
    if parentKind(node) == "nonlinear":
        raise nonlinearError(node)
    return matrixBetween(node, None)


def matrixBetween(node: slicer.vtkMRMLTransformableNode, other: slicer.vtkMRMLTransformableNode | None) -> np.ndarray:
    """4 x 4 matrix from a node's own RAS to that of another; None is the world.

    Raises
    ------
    GeometryError : ``transform.nonlinear`` when what lies between them is not linear.
    """
    matrix = vtk.vtkMatrix4x4()
    first = node.GetParentTransformNode()
    second = None if other is None else other.GetParentTransformNode()
    if not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(first, second, matrix):
        raise nonlinearError(node)
    return toArray(matrix)


def worldToVolume(node: slicer.vtkMRMLTransformableNode, ras: np.ndarray) -> np.ndarray:
    """World RAS positions, shape (..., 3), in the volume's own RAS.

    Raises
    ------
    GeometryError : ``transform.nonlinear`` as ``worldMatrix``.
    """
    return _moved(np.linalg.inv(worldMatrix(node)), ras)


def volumeToWorld(node: slicer.vtkMRMLTransformableNode, ras: np.ndarray) -> np.ndarray:
    """Positions in the volume's own RAS, shape (..., 3), in the world.

    Raises
    ------
    GeometryError : ``transform.nonlinear`` as ``worldMatrix``.
    """
    return _moved(worldMatrix(node), ras)


def isRigid(node: slicer.vtkMRMLTransformableNode) -> bool:
    """Whether lengths and volumes in the world are those in the node's own space."""
    linear = worldMatrix(node)[:3, :3]
    return bool(np.abs(linear.T @ linear - np.eye(3)).max() < _RIGID)


def hardenedCopy(node: slicer.vtkMRMLScalarVolumeNode, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """A copy of a volume with its transform applied to the voxels or the grid, and no parent transform.

    A transform that is not linear resamples the volume, which takes seconds; ask before.
    """
    copy = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, node, slicer.mrmlScene.GenerateUniqueName(name))
    copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    copy.HardenTransform()
    return copy


def nonlinearError(node: slicer.vtkMRMLTransformableNode) -> GeometryError:
    """The error for a node under a transform that is not linear."""
    message = f"'{node.GetName()}' is under a transform that is not linear; only linear ones are followed."
    return GeometryError("transform.nonlinear", message, "Harden the transform on a copy of the volume, and choose the copy.")


def toArray(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """A VTK matrix as an array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def toMatrix(array: np.ndarray) -> vtk.vtkMatrix4x4:
    """An array as a VTK matrix."""
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(array[row, column]))
    return matrix


def _moved(matrix: np.ndarray, ras: np.ndarray) -> np.ndarray:
    return np.asarray(ras, float) @ matrix[:3, :3].T + matrix[:3, 3]
