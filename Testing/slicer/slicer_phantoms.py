"""Scans and segmentations for tests, made in the scene."""

from typing import Any

import numpy as np
import slicer
import vtk

AIR, LUNG, TISSUE, BONE = -1000.0, -820.0, 40.0, 400.0
"""HU of the phantom's parts."""
SHAPE = (56, 48, 40)
SPACING = (2.0, 2.0, 2.5)
PLACES = {"tissue": (0.0, -30.0, 0.0), "right lung": (-22.0, 6.0, 0.0), "left lung": (22.0, 6.0, 0.0), "bone": (0.0, 28.0, 0.0)}
"""Positions in each part, in mm from the middle along the axes i, j, k."""


def ct(
    name: str = "CT",
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = SPACING,
    leftHanded: bool = False,
    oblique: bool = False,
    seed: int = 0,
    kind: type = np.int16,
) -> Any:
    """A chest CT in HU: air, a body, two lungs and a spine, with noise.

    Parameters
    ----------
    shape : voxels along i, j, k.
    spacing : mm along i, j, k.
    leftHanded : whether k runs against the other axes, as in many scans; Slicer's file readers would flip it.
    oblique : whether the axes are turned out of the patient's.
    kind : type of the voxels.
    """
    values = _hounsfield(shape, spacing) + np.random.default_rng(seed).normal(0.0, 12.0, shape)
    array = np.ascontiguousarray(np.clip(values, -1024, 3071).astype(kind).transpose(2, 1, 0))
    return slicer.util.addVolumeFromArray(array, ijkToRAS=ijkToRas(shape, spacing, leftHanded, oblique), name=name)


def ijkToRas(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], leftHanded: bool = False, oblique: bool = False
) -> np.ndarray:
    """The matrix of the phantom, whose middle lies at (12, -20, 30) mm."""
    axes = np.diag([-1.0, -1.0, -1.0 if leftHanded else 1.0])
    if oblique:
        axes = _turn(0, 20.0) @ _turn(2, 12.0) @ axes
    matrix = np.eye(4)
    matrix[:3, :3] = axes * np.array(spacing)
    matrix[:3, 3] = np.array([12.0, -20.0, 30.0]) - matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    return matrix


def position(volume: Any, place: str = "tissue") -> np.ndarray:
    """RAS mm of a place of the phantom in the volume's own space, that is without its parent transform."""
    middle = (np.array(volume.GetImageData().GetDimensions()) - 1) / 2
    index = middle + np.array(PLACES[place]) / np.array(volume.GetSpacing())
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)[:3] @ np.append(index, 1.0)


def ball(
    volume: Any, center: Any = None, radius: float = 10.0, name: str = "Tumor", segmentation: Any = None
) -> tuple[Any, str]:
    """A ball as a segment, in a new segmentation or a given one, on the grid and under the transform of a volume.

    Parameters
    ----------
    center : RAS mm in the volume's own space; None is in its tissue.
    radius : mm.

    Returns
    -------
    The segmentation node and the segment's ID.
    """
    center = position(volume) if center is None else np.asarray(center, float)
    if segmentation is None:
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    segmentId = segmentation.GetSegmentation().AddEmptySegment("", name)
    mask = ballMask(volume, center, radius).transpose(2, 1, 0).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segmentId, volume)
    return segmentation, segmentId


def ballMask(volume: Any, center: Any, radius: float) -> np.ndarray:
    """The ball's voxels, bool (i, j, k)."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in volume.GetImageData().GetDimensions()), indexing="ij"), axis=-1)
    return ((grid @ affine[:3, :3].T + affine[:3, 3] - np.asarray(center)) ** 2).sum(axis=-1) <= radius**2


def linearTransform(name: str = "Registration") -> Any:
    """A turn and a shift."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    matrix = np.eye(4)
    matrix[:3, :3] = _turn(1, 15.0) @ _turn(2, -8.0)
    matrix[:3, 3] = (25.0, -14.0, 40.0)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def bentTransform(name: str = "Deformation") -> Any:
    """A transform that is not linear."""
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(2, 2, 2):
        point = np.array(corner) * 120.0 - 60.0
        source.InsertNextPoint(*point)
        target.InsertNextPoint(*(point + 4.0 * np.sin(point[::-1])))
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    node.SetAndObserveTransformToParent(spline)
    return node


def _hounsfield(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> np.ndarray:
    middle = (np.array(shape) - 1) / 2
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    place = (grid - middle) * np.array(spacing)
    half = np.array(shape) * np.array(spacing) / 2
    values = np.full(shape, AIR)
    values[((place[..., :2] / (half[:2] * 0.92)) ** 2).sum(axis=-1) <= 1.0] = TISSUE
    for side in (-1.0, 1.0):
        lung = (place - np.array([side * 22.0, 6.0, 0.0])) / np.array([14.0, 18.0, half[2] * 0.85])
        values[(lung**2).sum(axis=-1) <= 1.0] = LUNG
    values[((place[..., :2] - np.array([0.0, 28.0])) ** 2).sum(axis=-1) <= 7.0**2] = BONE
    return values


def _turn(axis: int, degrees: float) -> np.ndarray:
    first, second = [other for other in range(3) if other != axis]
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix
