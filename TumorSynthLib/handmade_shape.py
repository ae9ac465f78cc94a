"""Hand-made tumor shapes: bent ellipsoids by size class, which need no learning.

The classes are those of DiffTumor (Chen et al., Towards Generalizable Tumor Synthesis, CVPR 2024), whose scans have voxels of
1 mm: an ellipsoid with semi-axes of 0.75 to 1.25 of the class's radius, turned at random and elastically deformed. Theirs is
deformed plane by plane by displacements at 3 x 3 control points. Ours follows a smooth random velocity field in 3D for one unit
of time, in steps so short that none of them can fold; so the whole never folds however strong it is. Everything is in mm, and
the form does not depend on the grid that it is put on. The code is our own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from TumorSynthLib.shape import random_rotation
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.shape_level import mask_of_count
from TumorSynthLib.volume import Box, Geometry, mask_box

PROPORTIONS = (0.75, 1.25)
"""Semi-axes over the radius."""
BEND = 0.15
"""Standard deviation of the displacement over the radius, where no size class says it."""
WIDTH = 0.5
"""Width of the Gaussian that smooths the velocity, over the radius."""
_POINTS = 41
"""Points of the lattice that carries a form, along each axis."""
_STEEPEST = 0.5
"""Most that the displacement of one step changes per unit of length; from 1 on a step could fold."""
_TAIL = 3.5
"""Standard deviations of the displacement that the lattice leaves room for."""
_PROBE_VOXELS = 6000
"""Voxels of a form on the grid on which its center and reach are found."""


@dataclass(frozen=True)
class SizeClass:
    """Sizes and deformations of a class; both are drawn uniformly."""

    radius_mm: tuple[float, float]
    """Least and largest radius."""
    bend_mm: tuple[float, float]
    """Least and largest standard deviation of the displacement along each axis."""


SIZES: Mapping[str, SizeClass] = {
    "tiny": SizeClass((4.0, 4.0), (0.5, 1.0)),
    "small": SizeClass((8.0, 8.0), (1.0, 2.0)),
    "medium": SizeClass((16.0, 16.0), (3.0, 6.0)),
    "large": SizeClass((24.0, 64.0), (5.0, 10.0)),
}
"""The classes by name."""


@dataclass(frozen=True, eq=False)
class Stamp:
    """A form on a grid, of which it may reach beyond."""

    mask: np.ndarray
    """The whole form, bool, in a box of its own."""
    start: tuple[int, int, int]
    """Index of that box's first voxel on the grid; may be negative."""

    def moved(self, voxels: np.ndarray) -> "Stamp":
        """The same some voxels farther on."""
        i, j, k = (int(a + b) for a, b in zip(self.start, voxels, strict=True))
        return Stamp(self.mask, (i, j, k))

    def on(self, shape: tuple[int, int, int]) -> tuple[np.ndarray, Box]:
        """What lies on a grid of that shape, and where; empty where nothing does."""
        low = np.clip(self.start, 0, shape)
        high = np.maximum(np.clip(np.add(self.start, self.mask.shape), 0, shape), low)
        first = low - self.start
        own = tuple(slice(a, a + n) for a, n in zip(first, high - low, strict=True))
        return self.mask[own], Box(tuple(low.tolist()), tuple(high.tolist()))


@dataclass(frozen=True, eq=False)
class Form:
    """A bent ellipsoid, independent of place and grid."""

    level: np.ndarray
    """Squared distance from the center, which the surface has about at 1, on a lattice along R, A and S, float32 (n, n, n)."""
    step_mm: float
    """Edge of the lattice's cells."""
    volume_mm3: float
    """Volume that is met to the voxel on any grid."""

    @property
    def diameter_mm(self) -> float:
        """Diameter of the ball of the same volume."""
        return 2.0 * float(np.cbrt(self.volume_mm3 / BALL_VOLUME))

    @property
    def offset_mm(self) -> np.ndarray:
        """Centroid of the form from the middle of the lattice, shape (3,)."""
        return self._extent[0]

    @property
    def reach_mm(self) -> float:
        """Distance from the centroid to the farthest point of the surface."""
        return self._extent[1]

    @property
    def depth_mm(self) -> float:
        """Distance from the centroid to the nearest point of the surface; 0 where the centroid lies outside."""
        return self._extent[2]

    def stamp(self, geometry: Geometry, center_ras: np.ndarray) -> Stamp:
        """The form with its centroid at a point, RAS mm, in one piece and with the voxel count of its volume."""
        reach = self.reach_mm + float(np.linalg.norm(geometry.spacing))
        inverse = np.linalg.inv(geometry.affine[:3, :3])
        extent = reach * np.linalg.norm(inverse, axis=1)
        middle = geometry.to_ijk(center_ras)
        low, high = np.floor(middle - extent).astype(int), np.ceil(middle + extent).astype(int)
        first = geometry.to_ras(low) - center_ras + self.offset_mm
        shape = (high - low + 1).tolist()
        mask = self._mask(geometry.affine[:3, :3], first, shape, round(self.volume_mm3 / geometry.voxel_volume_mm3))
        box = mask_box(mask)
        i, j, k = (np.array(box.start) + low).tolist()
        return Stamp(mask[box.slices], (i, j, k))

    def on_grid(self, geometry: Geometry, center_ras: np.ndarray) -> np.ndarray:
        """The form on a grid, bool; what reaches beyond is cut off."""
        part, box = self.stamp(geometry, center_ras).on(geometry.shape)
        mask = np.zeros(geometry.shape, bool)
        mask[box.slices] = part
        return mask

    def _mask(self, matrix: np.ndarray, first_mm: np.ndarray, shape: list[int], count: int) -> np.ndarray:
        """The form's ``count`` innermost voxels on a grid with its first voxel at a point of the lattice's space."""
        half = 0.5 * (self.level.shape[0] - 1)
        level = ndimage.affine_transform(
            self._smooth,
            matrix / self.step_mm,
            first_mm / self.step_mm + half,
            tuple(shape),
            mode="constant",
            cval=np.inf,
            prefilter=False,
        )
        count = min(max(1, count), level.size)
        if int(np.isfinite(level).sum()) < count:
            # A form of few voxels ends between them; then the nearest ones are it.
            points = np.tensordot(matrix, np.indices(level.shape), axes=1) + first_mm[:, None, None, None]
            beyond = float(self.level.max()) + np.square(points / self.step_mm).sum(axis=0)
            level = np.where(np.isfinite(level), level, beyond)
        return mask_of_count(-level, count)

    @cached_property
    def _smooth(self) -> np.ndarray:
        """Spline coefficients of the level."""
        return np.asarray(ndimage.spline_filter(self.level, output=np.float32))

    @cached_property
    def _extent(self) -> tuple[np.ndarray, float, float]:
        """Centroid, reach and depth, from a grid of its own."""
        step = float(np.cbrt(self.volume_mm3 / _PROBE_VOXELS))
        half = int(np.floor(0.5 * (self.level.shape[0] - 1) * self.step_mm / step))
        mask = self._mask(np.eye(3) * step, np.full(3, -half * step), [2 * half + 1] * 3, _PROBE_VOXELS)
        inner = np.argwhere(mask)
        center = inner.mean(axis=0)
        outer = np.argwhere(ndimage.binary_dilation(mask) & ~mask)
        reach = float(np.linalg.norm(inner - center, axis=1).max()) + 0.5
        depth = max(0.0, float(np.linalg.norm(outer - center, axis=1).min()) - 0.5)
        return (center - half) * step, reach * step, depth * step


def drawn_form(size: str, rng: np.random.Generator, volume_mm3: float | None = None) -> Form:
    """A form of a size class.

    Parameters
    ----------
    size : one of ``SIZES``.
    rng : decides on everything.
    volume_mm3 : wins over the radius of the class, whose deformation is scaled along; None draws the size as well.
    """
    known = SIZES[size]
    radius = float(rng.uniform(*known.radius_mm))
    axes = rng.uniform(*PROPORTIONS, size=3) * radius
    bend = float(rng.uniform(*known.bend_mm))
    if volume_mm3 is not None:
        scale = float(np.cbrt(volume_mm3 / (BALL_VOLUME * axes.prod())))
        axes, bend = axes * scale, bend * scale
    return bent(axes, bend, rng)


def bent_ellipsoid(geometry: Geometry, center_ras: np.ndarray, volume_mm3: float, rng: np.random.Generator) -> np.ndarray:
    """A randomly turned and bent ellipsoid of a volume, bool on a grid; what reaches beyond the grid is cut off.

    Parameters
    ----------
    geometry : the grid.
    center_ras : centroid, RAS mm.
    volume_mm3 : met to the voxel where the grid has room.
    rng : decides on everything else.
    """
    radius = float(np.cbrt(volume_mm3 / BALL_VOLUME))
    axes = rng.uniform(*PROPORTIONS, size=3)
    return bent(axes * radius / np.cbrt(axes.prod()), BEND * radius, rng).on_grid(geometry, center_ras)


def bent(axes_mm: np.ndarray, bend_mm: float, rng: np.random.Generator) -> Form:
    """A randomly turned ellipsoid, bent, with the volume that it had before.

    Parameters
    ----------
    axes_mm : semi-axes, shape (3,).
    bend_mm : standard deviation of the displacement along each axis; 0 leaves the ellipsoid.
    rng : decides on orientation and displacement.
    """
    rotation = random_rotation(rng)
    radius = float(np.cbrt(axes_mm.prod()))
    half_width = float(axes_mm.max()) + _TAIL * bend_mm + 0.2 * radius
    step = 2.0 * half_width / (_POINTS - 1)
    line = np.linspace(-half_width, half_width, _POINTS)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"))
    there = points + displacement(rng, WIDTH * radius / step, bend_mm / step) * step
    local = np.tensordot((rotation / axes_mm).T, there, axes=1)
    return Form(np.square(local).sum(axis=0).astype(np.float32), step, float(BALL_VOLUME * axes_mm.prod()))


def displacement(rng: np.random.Generator, width: float, bend: float) -> np.ndarray:
    """A smooth random displacement that does not fold, (3, n, n, n), in cells of the lattice.

    Parameters
    ----------
    rng : draws the velocity.
    width : of the Gaussian that smooths it, in cells.
    bend : standard deviation of the displacement along each axis, in cells.
    """
    noise = rng.standard_normal((3, _POINTS, _POINTS, _POINTS))
    velocity = np.stack([ndimage.gaussian_filter(one, width, mode="wrap") for one in noise])
    velocity *= bend / velocity.std()
    steepest = max(float(np.abs(np.diff(velocity, axis=axis)).max()) for axis in (1, 2, 3))
    steps = max(1, int(np.ceil(3.0 * steepest / _STEEPEST)))
    start = np.indices(velocity.shape[1:], dtype=np.float64)
    there = start.copy()
    for _ in range(steps):
        there += np.stack([ndimage.map_coordinates(one, there, order=1, mode="nearest") for one in velocity]) / steps
    return np.asarray(there - start)
