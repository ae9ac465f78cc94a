"""The tissue around a tumor makes room for it: a smooth invertible displacement that ends within 10 mm of the mask.

A region that swells in an infinite elastic medium displaces it by the gradient of its Newtonian potential (Goodier 1937, for
any shape): u = a grad Phi with laplace Phi = 1 in the tumor and 0 outside. For a ball of radius R that is a r / 3 inside and
a R^3 / (3 r^2) outside. Tissue that is at y now came from y - s w u(y), where the window w falls from 1 at the tumor's
surface to 0 within 10 mm, and s falls to 0 towards bone, air and borders. The window squeezes the tissue, the more the larger
the tumor, so u is limited by how far tissue may be squeezed, and by what keeps the map invertible.

It is an illustration, not biomechanics: no fiber, no sliding surface, no fluid.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import fft, ndimage

from TumorSynthLib.resample import resample
from TumorSynthLib.volume import Box, Geometry, mask_box

REACH_MM = 10.0
"""From this distance to the mask on (between voxel centers) nothing moves."""
STIFF_MM = 6.0
"""Least way over which the displacement falls to zero towards stiff structures; more where it is large."""
LARGEST_SQUEEZE = 3.0
"""Most that the thickness of a piece of tissue is divided by."""
SMALLEST_STRETCH = 0.25
"""Least share of its extent that tissue inside the tumor comes from (its inverse is the most that tissue is drawn out)."""
ILLUSTRATIVE = "The mass effect is an illustration, not a biomechanical prediction."
_CLOSE_MM = 0.005
_MOST_STEPS = 40
_CUBE = 0.18940
"""Mean of 1 / (4 pi r) over a cube of edge 1 around the origin."""


@dataclass(frozen=True, eq=False)
class Field:
    """How tissue around a mask moves. Outside ``box`` nothing does."""

    box: Box
    """Part of the scan that may move."""
    geometry: Geometry
    """Grid of that part."""
    forward: np.ndarray
    """For each voxel where its tissue goes when the tumor grows, RAS mm relative to the voxel, float32 (*box.shape, 3)."""
    inverse: np.ndarray
    """For each voxel where the tissue that is there after the growth came from, RAS mm relative to the voxel, float32."""
    asked_mm: float
    """Largest displacement without the limit."""
    largest_mm: float
    """Largest displacement."""
    smallest_jacobian: float
    """Least factor by which the volume of a piece of tissue changes when the tumor grows; always positive."""
    warnings: list[str]
    """What the user should know."""


def displacement(mask: np.ndarray, geometry: Geometry, amount: float, stiff: np.ndarray | None = None) -> Field:
    """The displacement around a tumor.

    Parameters
    ----------
    mask : bool, shape (i, j, k); the grown tumor.
    geometry : its grid.
    amount : 0 none to 1 full: the share of the tumor's volume that is pushed out through its surface.
    stiff : bool; what cannot move (see ``obstacles.stiff_tissue``). There the displacement is exactly zero.

    Raises
    ------
    GeometryError : when the mask is empty.
    """
    tight = mask_box(mask)
    box = tight.expanded(REACH_MM / geometry.spacing, mask.shape)
    native = geometry.cropped(box)
    if amount == 0.0:
        still = np.zeros((*box.shape, 3), np.float32)
        return Field(box, native, still, still, 0.0, 0.0, 1.0, [])
    part, grid = mask[box.slices], _work_grid(tight, geometry)
    pitch = float(grid.spacing[0])
    soft = resample(np.pad(part, 1), _padded(native), grid, outside=0.0)
    reach = REACH_MM - max(1.0, 0.5 * float(geometry.spacing.max()))
    centers, surface = _distances(part, geometry.spacing)
    window = 1.0 - _ramp(resample(surface, native, grid, smooth=False) / reach)
    wanted = amount * window * _swelling(soft, pitch)
    fixed = np.zeros(part.shape, bool) if stiff is None else stiff[box.slices]
    if fixed.any():
        ramp = max(STIFF_MM, 1.2 * _longest(wanted))
        wanted *= _mobility(resample(fixed, native, grid, outside=0.0), pitch, ramp)
    limit = _limit(wanted, pitch)
    back = np.float32(-limit) * wanted
    forth = _inverted(torch.from_numpy(back), pitch).numpy()
    inverse, forward = _on_scan(np.concatenate([back, forth]), grid, native, (centers < REACH_MM) & ~fixed)
    asked, used = _longest(wanted), _longest(back)
    return Field(box, native, forward, inverse, asked, used, _smallest_jacobian(forth, pitch), _told(limit, asked, used))


def push(values: np.ndarray, field: Field) -> np.ndarray:
    """The values after the tumor has grown, same type; what does not move is the same, bit for bit."""
    return _moved(values, field, field.inverse, order=3)


def relax(values: np.ndarray, field: Field) -> np.ndarray:
    """The values before the tumor grew, same type: tissue goes back into its place. The inverse of ``push``."""
    return _moved(values, field, field.forward, order=3)


def push_labels(labels: np.ndarray, field: Field) -> np.ndarray:
    """A mask or label map after the tumor has grown, by the nearest voxel."""
    return _moved(labels, field, field.inverse, order=0)


def relax_labels(labels: np.ndarray, field: Field) -> np.ndarray:
    """A mask or label map before the tumor grew, by the nearest voxel; the tumor's own mask shrinks."""
    return _moved(labels, field, field.forward, order=0)


def _work_grid(tight: Box, geometry: Geometry) -> Geometry:
    """An isotropic grid along R, A, S that holds the mask and its surroundings, finer for smaller tumors."""
    ends = np.array([tight.start, tight.stop]) - 0.5
    corners = geometry.to_ras(np.array([[ends[a, 0], ends[b, 1], ends[c, 2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)]))
    low, high = corners.min(axis=0), corners.max(axis=0)
    pitch = float(np.clip((high - low).max() / 40.0, 0.75, 2.0))
    low, high = low - REACH_MM - pitch, high + REACH_MM + pitch
    shape = np.ceil((high - low) / pitch).astype(int) + 1
    affine = np.diag([pitch, pitch, pitch, 1.0])
    affine[:3, 3] = low
    return Geometry(tuple(shape.tolist()), affine)


def _padded(geometry: Geometry) -> Geometry:
    """The grid with one more voxel on each side."""
    affine = geometry.affine.copy()
    affine[:3, 3] = geometry.to_ras(np.full(3, -1.0))
    i, j, k = geometry.shape
    return Geometry((i + 2, j + 2, k + 2), affine)


def _swelling(soft: np.ndarray, pitch: float) -> np.ndarray:
    """Gradient of the Newtonian potential of a soft mask in mm, float32 (3, i, j, k), by one convolution."""
    sizes = [fft.next_fast_len(2 * n, real=True) for n in soft.shape]
    steps = [np.minimum(np.arange(n), n - np.arange(n)).astype(np.float32) for n in sizes]
    i, j, k = np.meshgrid(*steps, indexing="ij", sparse=True)
    distance = np.sqrt(i**2 + j**2 + k**2)
    distance[0, 0, 0] = 1.0 / (4.0 * math.pi * _CUBE)
    kernel = -(pitch**2) / (4.0 * math.pi * distance)
    potential = fft.irfftn(fft.rfftn(soft, sizes) * fft.rfftn(kernel), sizes)
    return np.stack(np.gradient(potential[tuple(slice(n) for n in soft.shape)], pitch)).astype(np.float32)


def _distances(mask: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance in mm from each voxel to the nearest center of a voxel of the mask, and to the mask's surface; 0 inside."""
    centers, nearest = ndimage.distance_transform_edt(~mask, sampling=tuple(spacing), return_indices=True)
    squared = sum((np.arange(n).reshape(np.roll([-1, 1, 1], axis)) - nearest[axis]) ** 2 for axis, n in enumerate(mask.shape))
    # A voxel reaches from its center half as far as the next voxel on the way is; on a slope the nearest voxels protrude.
    surface = centers * (1.0 - 0.4 / np.sqrt(np.maximum(squared, 1)))
    return centers, surface


def _mobility(stiff: np.ndarray, pitch: float, ramp_mm: float) -> np.ndarray:
    """0 in and right beside stiff structures, rising smoothly to 1."""
    free = stiff < 0.2
    if not free.any():
        return np.zeros(stiff.shape, np.float32)
    return _ramp((pitch * ndimage.distance_transform_edt(free) - 1.8 * pitch) / ramp_mm)


def _ramp(x: np.ndarray) -> np.ndarray:
    """Rises smoothly from exactly 0 at 0 to exactly 1 at 1, float32."""
    t = np.clip(x, 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def _limit(shift: np.ndarray, pitch: float) -> float:
    """The largest factor k up to 1 at which y - k shift(y) is invertible and squeezes no tissue beyond ``LARGEST_SQUEEZE``.

    A map whose derivative has a positive definite symmetric part is one to one on a box (it is strictly monotone).
    """
    gradient = _gradient(shift, pitch)
    stretch = np.linalg.eigvalsh(0.5 * (gradient + np.swapaxes(gradient, -1, -2)))
    most, least = float(stretch[..., -1].max()), float(stretch[..., 0].min())
    return min(1.0, (1.0 - SMALLEST_STRETCH) / max(most, 1e-9), (LARGEST_SQUEEZE - 1.0) / max(-least, 1e-9))


def _gradient(vectors: np.ndarray, pitch: float) -> np.ndarray:
    """Derivative matrices of a vector field (3, i, j, k), shape (i, j, k, 3, 3)."""
    rows = [np.stack(np.gradient(component, pitch), axis=-1) for component in vectors]
    return np.stack(rows, axis=-2)


def _smallest_jacobian(shift: np.ndarray, pitch: float) -> float:
    """Least determinant of the derivative of x + shift(x)."""
    return float(np.linalg.det(np.eye(3) + _gradient(shift, pitch)).min())


def _inverted(shift: torch.Tensor, pitch: float) -> torch.Tensor:
    """The displacement e (3, i, j, k) with e(x) + shift(x + e(x)) = 0, by damped fixed-point iteration.

    The eigenvalues of the derivative of x + shift(x) lie between ``SMALLEST_STRETCH`` and ``LARGEST_SQUEEZE``, so half a step
    always comes nearer.
    """
    nodes = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in shift.shape[1:]), indexing="ij"), dim=-1)
    found = -shift
    for _ in range(_MOST_STEPS):
        lacking = found + _sampled(shift, nodes + found.movedim(0, -1) / pitch)
        if float(lacking.abs().max()) < _CLOSE_MM:
            break
        found = found - 0.5 * lacking
    return found


def _sampled(fields: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Fields (n, i, j, k) at places (a, b, c, 3) in voxels, linear, shape (n, a, b, c)."""
    last = torch.tensor(fields.shape[1:], dtype=torch.float32) - 1.0
    # grid_sample wants x, y, z = k, j, i in [-1, 1] between the outermost voxel centers.
    unit = (2.0 * places / last - 1.0).flip(-1)
    return F.grid_sample(fields[None], unit[None], padding_mode="border", align_corners=True)[0]


def _on_scan(shifts: np.ndarray, grid: Geometry, native: Geometry, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two displacements (6, ...) of the working grid on the scan's grid (..., 3), exactly zero where nothing moves."""
    voxels = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in native.shape), indexing="ij"), dim=-1)
    matrix = torch.from_numpy(np.linalg.inv(grid.affine) @ native.affine).float()
    found = _sampled(torch.from_numpy(shifts), voxels @ matrix[:3, :3].T + matrix[:3, 3])
    found = torch.where(torch.from_numpy(moves), found, torch.zeros(())).movedim(0, -1)
    return found[..., :3].contiguous().numpy(), found[..., 3:].contiguous().numpy()


def _longest(vectors: np.ndarray) -> float:
    """Length of the longest of vectors (3, ...)."""
    return float(np.linalg.norm(vectors, axis=0).max())


def _told(limit: float, asked: float, used: float) -> list[str]:
    """What the user should know about a displacement."""
    if limit == 1.0:
        return [ILLUSTRATIVE]
    told = f"Tissue was displaced by at most {used:.1f} mm instead of {asked:.1f} mm, or it would have been squeezed too far."
    return [ILLUSTRATIVE, told]


def _moved(values: np.ndarray, field: Field, maps: np.ndarray, order: int) -> np.ndarray:
    """Values fetched from where the maps point, by splines of an order; the values' type and range are kept."""
    part = values[field.box.slices]
    moving = np.flatnonzero(maps.any(axis=-1))
    result = values.copy(order="K")
    if moving.size == 0:
        return result
    places = np.stack(np.unravel_index(moving, part.shape)) + np.linalg.inv(field.geometry.affine[:3, :3]) @ (
        maps.reshape(-1, 3)[moving].T
    )
    if order == 0:
        ends = np.array(part.shape)[:, None] - 1
        fetched = part[tuple(np.clip(np.rint(places).astype(int), 0, ends))]
    else:
        smooth = ndimage.map_coordinates(part.astype(np.float32), places, order=order, mode="nearest")
        fetched = np.clip(smooth, part.min(), part.max())
        fetched = np.rint(fetched) if part.dtype.kind in "iu" else fetched
    changed = part.copy()
    changed[np.unravel_index(moving, part.shape)] = fetched.astype(part.dtype)
    result[field.box.slices] = changed
    return result
