"""Volumes in physical space: an array [i, j, k], an affine from ijk to RAS millimetres, and a unit.

Needs numpy alone, so that the Slicer side can use it. Nothing here resamples; see ``resample``.
"""

from dataclasses import dataclass

import numpy as np

from TumorSynthLib.errors import GeometryError


@dataclass(frozen=True, eq=False)
class Geometry:
    """A grid of voxel centres in RAS space."""

    shape: tuple[int, int, int]
    """Number of voxels along i, j, k."""
    affine: np.ndarray
    """4x4 matrix from ijk (voxel centres) to RAS mm."""

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.all(np.isfinite(affine)):
            raise GeometryError("geometry.affine", f"The affine must be a finite 4x4 matrix, found shape {affine.shape}.")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise GeometryError(
                "geometry.singular",
                "The image geometry is singular: a spacing is zero or two axes are parallel.",
                "Export the image again with a valid spacing and orientation.",
            )
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing(self) -> np.ndarray:
        """Distance between voxel centres along i, j, k in mm, shape (3,)."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm^3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def to_ras(self, ijk: np.ndarray) -> np.ndarray:
        """RAS mm of voxel coordinates, shape (..., 3)."""
        return np.asarray(ijk, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_ijk(self, ras: np.ndarray) -> np.ndarray:
        """Continuous voxel coordinates of RAS mm points, shape (..., 3)."""
        return (np.asarray(ras, dtype=np.float64) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T

    def contains(self, ras: np.ndarray) -> bool:
        """Whether a RAS point lies inside some voxel of the grid."""
        ijk = self.to_ijk(ras)
        return bool(np.all(ijk >= -0.5) and np.all(ijk <= np.array(self.shape) - 0.5))

    def same_grid(self, other: "Geometry", tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids have the same shape and voxel centres within ``tolerance_mm``."""
        if self.shape != other.shape:
            return False
        corners = np.array([[0, 0, 0], [n - 1 for n in self.shape], [self.shape[0] - 1, 0, 0], [0, self.shape[1] - 1, 0]])
        return bool(np.abs(self.to_ras(corners) - other.to_ras(corners)).max() <= tolerance_mm)

    def cropped(self, box: "Box") -> "Geometry":
        """The sub-grid covered by ``box`` (which must lie inside the grid)."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_ras(np.array(box.start))
        return Geometry(box.shape, affine)


@dataclass(frozen=True)
class Box:
    """A half-open range of voxels, ``start <= ijk < stop``."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along i, j, k."""
        return (self.stop[0] - self.start[0], self.stop[1] - self.start[1], self.stop[2] - self.start[2])

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index for an array of the grid that the box belongs to."""
        return (
            slice(self.start[0], self.stop[0]),
            slice(self.start[1], self.stop[1]),
            slice(self.start[2], self.stop[2]),
        )

    def expanded(self, margin: np.ndarray, shape: tuple[int, int, int]) -> "Box":
        """The box grown by ``margin`` voxels (3 values, rounded up) on each side, clipped to ``shape``."""
        grow = np.ceil(np.asarray(margin) - 1e-9).astype(int)
        start = np.maximum(np.array(self.start) - grow, 0)
        stop = np.minimum(np.array(self.stop) + grow, np.array(shape))
        return Box(tuple(start.tolist()), tuple(stop.tolist()))


@dataclass(frozen=True, eq=False)
class Volume:
    """An image or a mask in physical space."""

    array: np.ndarray
    """Values on the grid, shape (i, j, k)."""
    geometry: Geometry
    """Where the voxels are."""
    unit: str = ""
    """Unit of the values: HU, SUV, a scanner's own, or empty for masks."""

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise GeometryError(
                "geometry.shape", f"The array has shape {self.array.shape}, its geometry {self.geometry.shape}."
            )

    def cropped(self, box: Box) -> "Volume":
        """The part inside ``box``, as a view."""
        return Volume(self.array[box.slices], self.geometry.cropped(box), self.unit)

    def pasted(self, values: np.ndarray, box: Box) -> "Volume":
        """A copy with ``values`` written inside ``box``; the inverse of ``cropped``."""
        # Files are read in Fortran order; a copy in C order would cost ten times as much.
        array = self.array.copy(order="K")
        array[box.slices] = values
        return Volume(array, self.geometry, self.unit)


def mask_box(mask: np.ndarray) -> Box:
    """The smallest box that holds every true voxel of a boolean array (i, j, k).

    Raises
    ------
    GeometryError : when the mask is empty.
    """
    start, stop = [], []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if line.size == 0:
            raise GeometryError("mask.empty", "The mask has no voxel set.", "Paint or choose a region that is not empty.")
        start.append(int(line[0]))
        stop.append(int(line[-1]) + 1)
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def some_voxels(array: np.ndarray, most: int) -> np.ndarray:
    """About ``most`` values of an array (up to twice as many), on a regular stride through its voxels with k running fastest.

    They are gathered one by one: to bring a scan of 300 MB into that order, which its file does not have, takes seconds.

    >>> some_voxels(np.arange(12).reshape(2, 3, 2, order="F"), 4).tolist()
    [0, 8, 1, 9]
    """
    step = max(1, array.size // most)
    if step == 1:
        return array.reshape(-1)
    return array[np.unravel_index(np.arange(0, array.size, step), array.shape)]


def work_grid(geometry: Geometry, center_ras: np.ndarray, spacing_mm: float, size: int = 64) -> Geometry:
    """The networks' working grid: a cube of ``size`` isotropic voxels around a point.

    Its axes run along the image's own axes, permuted and flipped to be the nearest to R, A, S, so that
    anatomy always faces the same way and resampling is a scaling without rotation.

    Parameters
    ----------
    geometry : grid of the image.
    center_ras : centre of the cube in RAS mm, shape (3,).
    spacing_mm : edge of a working voxel in mm.
    size : voxels along each edge.
    """
    directions = geometry.affine[:3, :3] / geometry.spacing
    axes = closest_axes(directions)
    frame = np.stack([directions[:, axis] * np.sign(directions[row, axis]) for row, axis in enumerate(axes)], axis=1)
    affine = np.eye(4)
    affine[:3, :3] = frame * spacing_mm
    affine[:3, 3] = np.asarray(center_ras) - affine[:3, :3] @ np.full(3, (size - 1) / 2)
    return Geometry((size, size, size), affine)


def closest_axes(directions: np.ndarray) -> tuple[int, int, int]:
    """For R, A and S in turn, the column of ``directions`` (3x3, unit columns) that runs closest to it, each used once."""
    strength = np.abs(directions).copy()
    axes = [-1, -1, -1]
    for _ in range(3):
        row, column = np.unravel_index(int(np.argmax(strength)), (3, 3))
        axes[int(row)] = int(column)
        strength[row, :] = -1.0
        strength[:, column] = -1.0
    return (axes[0], axes[1], axes[2])
