"""Masks on the grid of a volume: where they are, and how they come from one grid to another."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import vtk
from vtk.util import numpy_support

from TumorSynthLib.volume import Box, Geometry, mask_box
from TumorSynthSlicer.nrrd_files import STEP_BYTES
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.transforms import toMatrix

_SCALE = 30_000
"""Masks are interpolated as integers from 0 to this."""
_TIE = 1e-3
"""Voxels by which they are shifted, so that centers exactly on a face belong to one side only."""
_EXACT = 1e-4
"""Voxels by which grids may be off and still coincide."""


class MaskBox(NamedTuple):
    """The part of a volume's grid that a mask fills."""

    mask: np.ndarray
    """Bool [i, j, k]."""
    start: tuple[int, int, int]
    """Its first voxel in the volume."""

    @property
    def box(self) -> Box:
        """The voxels that it covers."""
        i, j, k = self.mask.shape
        return Box(self.start, (self.start[0] + i, self.start[1] + j, self.start[2] + k))

    def tight(self) -> "MaskBox":
        """The same without empty margins.

        Raises
        ------
        GeometryError : ``mask.empty`` when no voxel is set.
        """
        return self.part(mask_box(self.mask))

    def part(self, box: Box) -> "MaskBox":
        """The voxels in a box, counted from its own first voxel."""
        start = tuple(one + other for one, other in zip(self.start, box.start, strict=True))
        return MaskBox(self.mask[box.slices], start)


def filledBox(array: np.ndarray, label: int) -> Steps[Box | None]:
    """The smallest box with all voxels of a value in an array [k, j, i]; None where there are none."""
    plane, line = np.zeros(array.shape[1:], bool), np.zeros(len(array), bool)
    for low, high in slabsOf(len(array), array[:1].nbytes):
        inside = array[low:high] == label
        plane |= inside.any(axis=0)
        line[low:high] = inside.reshape(high - low, -1).any(axis=1)
        yield
    if not line.any():
        return None
    ends = [np.flatnonzero(filled)[[0, -1]].tolist() for filled in (plane.any(axis=0), plane.any(axis=1), line)]
    return Box(tuple(low for low, _ in ends), tuple(high + 1 for _, high in ends))


def slabsOf(count: int, sliceBytes: int) -> Iterator[tuple[int, int]]:
    """Runs of slices that are looked at in one step: the first, and the one after the last."""
    step = max(1, STEP_BYTES // max(1, sliceBytes))
    return ((low, min(low + step, count)) for low in range(0, count, step))


def _within(box: Box, start: np.ndarray) -> Box:
    return Box(tuple((np.array(box.start) - start).tolist()), tuple((np.array(box.stop) - start).tolist()))


def _clipped(start: np.ndarray, stop: np.ndarray, shape: tuple[int, int, int]) -> Box:
    """A box inside the grid; an empty one where it lies outside."""
    low = np.clip(start, 0, shape)
    return Box(tuple(low.tolist()), tuple(np.maximum(np.clip(stop, 0, shape), low).tolist()))


def shifted(found: MaskBox, matrix: np.ndarray, grid: Geometry) -> MaskBox | None:
    """The mask on the grid where its voxels are those of the grid; None where they are not."""
    shift = np.rint(matrix[:3, 3]).astype(int)
    corners = np.array([[*corner, 1.0] for corner in (found.box.start, found.box.stop)])
    if np.abs(corners @ matrix[:3].T - corners[:, :3] - shift).max() > _EXACT or np.abs(matrix[:3, :3] - np.eye(3)).max() > 0.5:
        return None
    box = _clipped(np.array(found.box.start) + shift, np.array(found.box.stop) + shift, grid.shape)
    return MaskBox(found.mask[_within(box, np.array(found.box.start) + shift).slices], box.start)


def resampled(found: MaskBox, matrix: np.ndarray, grid: Geometry) -> Steps[MaskBox]:
    """The mask on another grid, in slabs.

    Parameters
    ----------
    matrix : 4 x 4, from the mask's grid to the other.
    """
    box = _coveredBox(found, matrix, grid)
    result = np.zeros(box.shape, bool, order="F")
    if result.size == 0:
        return MaskBox(result, box.start)
    padded = np.zeros([n + 2 for n in reversed(found.mask.shape)], np.uint16)
    for low, high in slabsOf(found.mask.shape[2], padded[0].nbytes):
        padded[low + 1 : high + 1, 1:-1, 1:-1] = found.mask[:, :, low:high].transpose(2, 1, 0) * np.uint16(_SCALE)
        yield
    reslice = _reslice(padded, found.box, matrix)
    count = max(1, (STEP_BYTES >> 3) // (box.shape[0] * box.shape[1]))
    for low in range(box.start[2], box.stop[2], count):
        high = min(low + count, box.stop[2])
        reslice.SetOutputExtent(box.start[0], box.stop[0] - 1, box.start[1], box.stop[1] - 1, low, high - 1)
        reslice.Update()
        values = numpy_support.vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars())
        slab = values.reshape(high - low, box.shape[1], box.shape[0]).transpose(2, 1, 0)
        result[:, :, low - box.start[2] : high - box.start[2]] = slab >= _SCALE // 2
        yield
    return MaskBox(result, box.start)


def _coveredBox(found: MaskBox, matrix: np.ndarray, grid: Geometry) -> Box:
    """The voxels of the grid near any voxel of the mask."""
    ends = [(low - 0.5, high - 0.5) for low, high in zip(found.box.start, found.box.stop, strict=True)]
    corners = np.array([[i, j, k, 1.0] for i in ends[0] for j in ends[1] for k in ends[2]]) @ matrix[:3].T
    return _clipped(np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int) + 1, grid.shape)


def _reslice(padded: np.ndarray, box: Box, matrix: np.ndarray) -> vtk.vtkImageReslice:
    """Interpolates a mask on another grid, all in voxels, so that flipped and oblique grids are nothing special.

    Parameters
    ----------
    padded : the mask's values [k, j, i] with a margin of one voxel.
    box : of the mask without that margin.
    matrix : 4 x 4, from the mask's grid to the other.
    """
    image = vtk.vtkImageData()
    image.SetExtent([edge for low, high in zip(box.start, box.stop, strict=True) for edge in (low - 1, high)])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(padded.reshape(-1)))
    back = np.linalg.inv(matrix)
    back[:3, 3] += _TIE
    transform = vtk.vtkTransform()
    transform.SetMatrix(toMatrix(back))
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(image)
    reslice.SetResliceTransform(transform)
    reslice.SetInterpolationModeToLinear()
    reslice.SetBackgroundLevel(0.0)
    reslice.SetOutputSpacing(1.0, 1.0, 1.0)
    reslice.SetOutputOrigin(0.0, 0.0, 0.0)
    return reslice
