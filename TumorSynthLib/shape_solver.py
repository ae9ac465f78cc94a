"""The closed loop from a canonical field to a mask with the volume, axes and sphericity that were asked for.

The mask is a super-level set of f(x) = 1 - |q| + a r(q) + b d(q) with q = M^-1 (x - c). r is what the generator adds to the
ball; d is band-limited noise finer than the generator's grid, of unit variance. The level is an order statistic, so the voxel
count is exact. One number, the amount of irregularity, moves a and b and is found by bracketing: from 0 to 1 the generator's
shape grows out of the ball, from 1 to 2 it gets fine roughness, beyond it is exaggerated. M is updated by the full affine map
from measured to asked second moments.

Source: the moments and the surface measured are those of PyRadiomics (van Griethuysen et al. 2017).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from scipy.interpolate import CubicSpline

from TumorSynthLib.shape_field import ball_field
from TumorSynthLib.shape_level import mask_of_count
from TumorSynthLib.shape_surface import surface_and_volume
from TumorSynthLib.volume import Box, Geometry

MAX_IRREGULARITY = 3.5
"""Largest irregularity tried."""
MAX_DETAIL = 0.07
"""Largest standard deviation of the fine noise, in radii."""
_DETAIL_LENGTH = 0.09
"""Smallest width of the fine noise in radii; on coarse grids it is 1.2 voxels."""
_REFINE = 2
"""Fine voxels per voxel of a canonical map, by cubic splines, before it is sampled linearly."""


class CanonicalMap:
    """A smooth function of canonical coordinates, from its values on a field's grid."""

    def __init__(self, values: np.ndarray, half_width: float) -> None:
        self.half_width = half_width
        matrix = _spline_matrix(values.shape[0]).astype(np.float32)
        for _ in range(3):
            values = np.tensordot(values, matrix, axes=(0, 1))
        self.fine = torch.from_numpy(np.ascontiguousarray(values))


def sampled(maps: Sequence[CanonicalMap], q: np.ndarray) -> np.ndarray:
    """Values of maps of one size at canonical points of shape (i, j, k, 3), float32, shape (maps, i, j, k).

    Two maps together take little longer than one: most of the time goes into where the points lie.
    """
    grid = torch.from_numpy(np.ascontiguousarray(q[..., ::-1])) / maps[0].half_width
    fine = torch.stack([one.fine for one in maps])[None]
    return F.grid_sample(fine, grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0].numpy()


@lru_cache(maxsize=4)
def _spline_matrix(size: int) -> np.ndarray:
    """Cubic-spline interpolation from ``size`` voxel centers to the centers of ``_REFINE`` times as many."""
    fine = (np.arange(size * _REFINE) + 0.5) / _REFINE - 0.5
    return np.asarray(CubicSpline(np.arange(size), np.eye(size))(fine.clip(0, size - 1)))


@dataclass(frozen=True)
class Irregularity:
    """What turns a ball into a tumor."""

    residual: CanonicalMap
    """What the generator adds to the ball's field."""
    detail: CanonicalMap | None
    """Fine noise of unit variance; None where the grid could not show it."""

    def weights(self, amount: float) -> tuple[float, float]:
        """Weights a of the residual and b of the detail."""
        if self.detail is None:
            return amount, 0.0
        return min(amount, 1.0) + max(amount - 2.0, 0.0), MAX_DETAIL * min(max(amount - 1.0, 0.0), 1.0)


def irregularity_of(canonical: np.ndarray, half_width: float, voxel_radii: float, rng: np.random.Generator) -> Irregularity:
    """The irregularity of a generated field.

    Parameters
    ----------
    canonical : the generator's field.
    half_width : half the edge of its cube, in radii.
    voxel_radii : edge of a voxel of the tumor's grid, in radii.
    rng : draws the fine noise.
    """
    size = canonical.shape[0]
    residual = CanonicalMap(canonical.astype(np.float32) - ball_field(size, half_width), half_width)
    length = max(_DETAIL_LENGTH, 1.2 * voxel_radii) * size / (2.0 * half_width)
    white = rng.standard_normal((size, size, size)).astype(np.float32)
    if length > 2.5:
        return Irregularity(residual, None)
    fine, coarse = (ndimage.gaussian_filter(white, factor * length, mode="wrap") for factor in (1.0, 2.0))
    noise = 0.6 * fine / fine.std() + 0.8 * coarse / coarse.std()
    return Irregularity(residual, CanonicalMap(noise / noise.std(), half_width))


@dataclass(frozen=True, eq=False)
class Region:
    """The part of the grid that the loop works in."""

    geometry: Geometry
    """Grid of the part."""
    box: Box
    """Where the part lies in the whole grid."""
    allowed: np.ndarray | None
    """Where tumor may be, on the part; None means everywhere."""

    def canonical(self, matrix: np.ndarray, center: np.ndarray) -> np.ndarray:
        """M^-1 (x - c) of every voxel center, float32, shape (i, j, k, 3)."""
        inverse = np.linalg.inv(matrix)
        step = inverse @ self.geometry.affine[:3, :3]
        start = inverse @ (self.geometry.affine[:3, 3] - center)
        i, j, k = ((np.arange(n)[:, None] * step[:, axis]).astype(np.float32) for axis, n in enumerate(self.geometry.shape))
        return np.asarray((i[:, None] + j + start.astype(np.float32))[:, :, None] + k)

    @property
    def capacity(self) -> int:
        """Voxels that may be tumor."""
        return int(np.prod(self.geometry.shape)) if self.allowed is None else int(self.allowed.sum())

    def surface(self, mask: np.ndarray) -> tuple[float, float]:
        """Mesh area and volume of a mask on the part."""
        return surface_and_volume(np.pad(mask, 1), self.geometry.spacing)

    def moments(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centroid (3,) and covariance (3, 3) of a mask's voxel centers in RAS mm."""
        points = self.geometry.to_ras(np.argwhere(mask))
        center = points.mean(axis=0)
        offsets = points - center
        return center, offsets.T @ offsets / len(points)


def region_around(
    geometry: Geometry, center: np.ndarray, matrix: np.ndarray, reach: float, inside: np.ndarray | None
) -> Region:
    """The smallest region that holds the ellipsoid M q, |q| <= ``reach``, and two voxels around it."""
    to_ijk = np.linalg.inv(geometry.affine[:3, :3])
    extent = reach * np.linalg.norm(to_ijk @ matrix, axis=1) + 2.0
    middle = geometry.to_ijk(center)
    shape = np.array(geometry.shape)
    start = np.clip(np.floor(middle - extent).astype(int), 0, shape - 1)
    stop = np.clip(np.ceil(middle + extent).astype(int) + 1, start + 1, shape)
    box = Box(tuple(start.tolist()), tuple(stop.tolist()))
    return Region(geometry.cropped(box), box, None if inside is None else np.asarray(inside[box.slices], dtype=bool))


@dataclass(frozen=True)
class Goal:
    """What the loop aims at."""

    count: int
    """Voxels."""
    center: np.ndarray | None
    """Where the centroid shall be, RAS mm; None leaves it where it falls."""
    semi_axes: np.ndarray | None
    """Semi-axes whose proportions shall be measured, descending; None leaves them free."""
    excess: Callable[[float, float], float] | None
    """Of mesh area and volume: positive while the surface is too smooth; None leaves the surface as the generator made it."""
    rounds: int = 3
    """Updates of M."""
    searches: int = 6
    """Masks made per search for the amount of irregularity."""
    tolerance: float = 0.002
    """``excess`` that counts as hit."""
    alive: Callable[[], None] | None = None
    """Called before each mask is made; may raise to cancel."""


@dataclass
class Solution:
    """A mask on a region, and how it came about."""

    mask: np.ndarray
    matrix: np.ndarray
    center: np.ndarray
    amount: float
    excess: float


def solve(irregularity: Irregularity, region: Region, goal: Goal, matrix: np.ndarray, center: np.ndarray) -> Solution:
    """Run the loop.

    Parameters
    ----------
    irregularity : what turns the ball into a tumor.
    region : where to work.
    goal : what to reach.
    matrix, center : first guess of M (mm) and of c (RAS mm).
    """
    amount = 1.0
    solution: Solution | None = None
    for index in range(goal.rounds):
        last = index == goal.rounds - 1
        values = _Values(irregularity, region, matrix, center, goal)
        amount, excess = values.search(amount, 0.15 if index else 0.5)
        solution = Solution(values.mask(amount, exact=last), matrix, center, amount, excess)
        if not last:
            matrix, center = _updated(solution, region, goal)
    assert solution is not None
    return solution


class _Values:
    """The field on a region for one M, as a function of the amount of irregularity."""

    def __init__(self, irregularity: Irregularity, region: Region, matrix: np.ndarray, center: np.ndarray, goal: Goal) -> None:
        q = region.canonical(matrix, center)
        self.ball = 1.0 - np.sqrt(np.einsum("ijkc,ijkc->ijk", q, q))
        if region.allowed is not None:
            self.ball[~region.allowed] = -np.inf
        self.irregularity, self.region, self.goal = irregularity, region, goal
        maps = [irregularity.residual, *([] if irregularity.detail is None else [irregularity.detail])]
        self.residual, *details = sampled(maps, q)
        self.detail = details[0] if details else None

    def mask(self, amount: float, exact: bool) -> np.ndarray:
        if self.goal.alive is not None:
            self.goal.alive()
        residual, detail = self.irregularity.weights(amount)
        values = self.ball + np.float32(residual) * self.residual
        if self.detail is not None and detail > 0.0:
            values += np.float32(detail) * self.detail
        return mask_of_count(values, self.goal.count, exact)

    def excess(self, amount: float) -> float:
        assert self.goal.excess is not None
        return self.goal.excess(*self.region.surface(self.mask(amount, exact=False)))

    def search(self, start: float, width: float) -> tuple[float, float]:
        """The amount at which the surface is as asked, by bracketing and the Illinois variant of false position."""
        if self.goal.excess is None:
            return start, 0.0
        tried = {start: self.excess(start)}
        toward = 1.0 if tried[start] > 0 else -1.0
        point = start
        while abs(tried[point]) > self.goal.tolerance and len(tried) < self.goal.searches:
            step = float(np.clip(point + toward * width, 0.0, MAX_IRREGULARITY))
            if step == point:
                break
            tried[step] = self.excess(step)
            if tried[step] * tried[point] <= 0.0:
                self._narrow(tried, *sorted((point, step)))
                break
            point, width = step, 2.0 * width
        best = min(tried, key=lambda key: abs(tried[key]))
        return best, tried[best]

    def _narrow(self, tried: dict[float, float], low: float, high: float) -> None:
        at_low, at_high = tried[low], tried[high]
        while len(tried) < self.goal.searches and min(abs(tried[low]), abs(tried[high])) > self.goal.tolerance:
            middle = float((low * at_high - high * at_low) / (at_high - at_low)) if at_high != at_low else 0.5 * (low + high)
            middle = float(np.clip(middle, low + 0.05 * (high - low), high - 0.05 * (high - low)))
            tried[middle] = self.excess(middle)
            if tried[middle] > 0.0:
                low, at_low, at_high = middle, tried[middle], 0.5 * at_high
            else:
                high, at_high, at_low = middle, tried[middle], 0.5 * at_low


def _updated(solution: Solution, region: Region, goal: Goal) -> tuple[np.ndarray, np.ndarray]:
    """M and c after a measurement of the mask's centroid and second moments."""
    center, moments = region.moments(solution.mask)
    matrix = solution.matrix
    if goal.semi_axes is not None:
        values, vectors = np.linalg.eigh(moments + 1e-9 * np.eye(3))
        measured = np.sqrt(5.0 * values)
        wanted = goal.semi_axes[::-1]
        # Only proportions: the volume is fixed by the level, so a common factor would do nothing.
        ratio = np.clip(wanted / np.maximum(measured, 0.05 * measured[-1]), 0.2, 5.0)
        ratio /= np.prod(ratio) ** (1.0 / 3.0)
        matrix = (vectors * ratio) @ vectors.T @ matrix
    shifted = solution.center if goal.center is None else solution.center + (goal.center - center)
    return matrix, shifted
