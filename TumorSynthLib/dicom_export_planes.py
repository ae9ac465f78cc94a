"""How a grid is cut into DICOM slices: along the axis and in the orientation of its source, or as a radiologist expects.

A DICOM slice knows where its first pixel lies and which way its rows and columns run (PS3.3 C.7.6.2.1.1), so any grid with
right angles, also a left-handed one, is a stack of slices without resampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from TumorSynthLib.errors import GeometryError
from TumorSynthLib.volume import Geometry, closest_axes

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS to LPS and back."""
_OFF_GRID = 0.1
"""Voxels by which a slice may lie beside the grid: readers take the mean distance between slices, headers are rounded."""
_THICKER = 1.25
"""How many times longer than the other two, equal ones a voxel must be along the axis of its acquisition."""
_EQUAL = 0.01
_CONVENTION = {0: ((1, 1.0), (2, -1.0)), 1: ((0, 1.0), (2, -1.0)), 2: ((0, 1.0), (1, 1.0))}
"""For sagittal, coronal and axial slices the axis of LPS that runs across and the one that runs down, with their signs."""


@dataclass(frozen=True, eq=False)
class Planes:
    """A grid seen as slices of rows of pixels."""

    geometry: Geometry
    """The grid."""
    axes: tuple[int, int, int]
    """Axis of the array that runs across (column to column), down (row to row), and from slice to slice."""
    flips: tuple[bool, bool, bool]
    """Whether each of them runs from the last voxel to the first."""

    def view(self, array: np.ndarray) -> np.ndarray:
        """An array of the grid as (slices, rows, columns), without a copy."""
        across, down, through = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return array.transpose(self.axes[2], self.axes[1], self.axes[0])[through, down, across]

    @property
    def size(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        shape = self.geometry.shape
        return (shape[self.axes[2]], shape[self.axes[1]], shape[self.axes[0]])

    @property
    def affine(self) -> np.ndarray:
        """4x4 matrix from column, row and slice to LPS mm."""
        lps = LPS @ self.geometry.affine
        first = [n - 1 if flip else 0 for n, flip in zip(self._along(self.geometry.shape), self.flips, strict=True)]
        matrix = np.eye(4)
        for place, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            matrix[:3, place] = lps[:3, axis] * (-1.0 if flip else 1.0)
        matrix[:3, 3] = lps[:3, 3] + sum(n * lps[:3, axis] for n, axis in zip(first, self.axes, strict=True))
        return matrix

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Mm from column to column, from row to row, and from slice to slice."""
        across, down, through = self._along(self.geometry.spacing.tolist())
        return (across, down, through)

    def _along(self, values: Sequence) -> list:
        """Values of the array's axes in the order of ``axes``."""
        return [values[axis] for axis in self.axes]


def conventional_planes(geometry: Geometry) -> Planes:
    """Slices across the axis along which the grid was acquired, shown as usual: axial and coronal slices with the patient's
    left on the right, sagittal ones with the front on the left, heads up.
    """
    lps = (LPS @ geometry.affine)[:3, :3] / geometry.spacing
    nearest = closest_axes(lps)  # for L, P and S the axis of the array
    through = _acquired_axis(geometry)
    (across, right), (down, below) = _CONVENTION[nearest.index(through)]
    axes = (nearest[across], nearest[down], through)
    flips = [bool(lps[row, axis] * sign < 0) for row, axis, sign in ((across, axes[0], right), (down, axes[1], below))]
    normal = np.cross(lps[:, axes[0]], lps[:, axes[1]]) * (1.0 if flips[0] == flips[1] else -1.0)
    backward = bool(normal @ lps[:, through] < 0)
    return Planes(geometry, axes, (flips[0], flips[1], backward))


def _acquired_axis(geometry: Geometry) -> int:
    """The axis across which the slices were made: the one with the longer voxels, else the last, as readers have it."""
    spacing = geometry.spacing
    for axis in range(3):
        rest = np.delete(spacing, axis)
        if np.ptp(rest) <= _EQUAL * rest.min() and spacing[axis] > _THICKER * rest.max():
            return axis
    return 2


@dataclass(frozen=True)
class SlicePlace:
    """Where the pixels of an existing slice lie."""

    name: str
    """For messages."""
    position: tuple[float, ...]
    """Center of the first pixel, LPS mm (ImagePositionPatient)."""
    orientation: tuple[float, ...]
    """Directions across and down (ImageOrientationPatient)."""
    spacing: tuple[float, ...]
    """Mm from row to row and from column to column (PixelSpacing)."""
    size: tuple[int, int]
    """Rows and columns."""


def matched_planes(geometry: Geometry, places: Sequence[SlicePlace]) -> tuple[Planes, list[int]]:
    """The slices of a grid that are those of an existing series, and which of them each is.

    Parameters
    ----------
    geometry : the grid; its axes may be permuted and flipped against the series.
    places : of the slices of the series, in any order.

    Returns
    -------
    The planes, and for each place the number of its slice in ``Planes.view``.

    Raises
    ------
    GeometryError : ``dicom.geometry`` when the series is not this grid, slice by slice.
    """
    axes, flips = _in_plane_axes(geometry, places[0])
    planes = Planes(geometry, axes, (*flips, False))
    if len(places) != planes.size[0]:
        raise _misfit(f"the series has {len(places)} slices, the result {planes.size[0]}")
    inverse = np.linalg.inv(planes.affine)
    numbers = [_number(place, planes, inverse) for place in places]
    doubled = next((n for n in numbers if numbers.count(n) > 1), None) if len(set(numbers)) < len(numbers) else None
    if doubled is not None:
        names = [place.name for place, n in zip(places, numbers, strict=True) if n == doubled]
        raise _misfit(f"{', '.join(names[:3])} lie at the same place (several phases or time points?)")
    return planes, numbers


def _in_plane_axes(geometry: Geometry, place: SlicePlace) -> tuple[tuple[int, int, int], tuple[bool, bool]]:
    """The axes of a grid that run across and down a slice and the one left over, and whether the first two are flipped."""
    inverse = np.linalg.inv((LPS @ geometry.affine)[:3, :3])
    axes, flips = [], []
    for direction, step in ((place.orientation[:3], place.spacing[1]), (place.orientation[3:], place.spacing[0])):
        voxels = inverse @ (np.array(direction) * step)
        axis = int(np.abs(voxels).argmax())
        axes.append(axis)
        flips.append(bool(voxels[axis] < 0))
    if axes[0] == axes[1]:
        raise _misfit(f"the rows and columns of {place.name} run along one axis of the result")
    return (axes[0], axes[1], 3 - axes[0] - axes[1]), (flips[0], flips[1])


def _number(place: SlicePlace, planes: Planes, inverse: np.ndarray) -> int:
    """Which slice of the grid an existing one is."""
    rows, columns = place.size
    if (rows, columns) != planes.size[1:]:
        found = f"{columns} x {rows} pixels, the result's slices {planes.size[2]} x {planes.size[1]}"
        raise _misfit(f"{place.name} has {found}")
    across = np.array(place.orientation[:3]) * place.spacing[1]
    down = np.array(place.orientation[3:]) * place.spacing[0]
    pixels = np.array([[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]])
    corners = np.array(place.position) + pixels @ np.stack([across, down])
    found = corners @ inverse[:3, :3].T + inverse[:3, 3]
    number = round(float(found[:, 2].mean()))
    off = np.abs(found - np.column_stack([pixels, np.full(4, number)])).max()
    if off > _OFF_GRID or not 0 <= number < planes.size[0]:
        voxels = np.round(found[0], 2).tolist()
        raise _misfit(
            f"the first pixel of {place.name} lies at column, row, slice {voxels} of the result, a corner {off:.2f} off"
        )
    return number


def _misfit(what: str) -> GeometryError:
    """The error for a series that is another grid."""
    message = f"The source series is not the one that the result was made from: {what}."
    hint = (
        "Give the series of the scan that was edited. A scan that was cropped, resampled or moved is exported without a source."
    )
    return GeometryError("dicom.geometry", message, hint)
