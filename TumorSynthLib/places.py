"""Free places for new tumors: points of a scan that keep their distance from all that a tumor must not touch.

Distances are exact on small regions. Large ones are looked at in blocks of voxels, and a block counts as forbidden when any
voxel of it is; half a block's diagonal is taken off, so that no distance is ever overstated.
"""

import numpy as np
from scipy import ndimage

from TumorSynthLib.configs import Domain
from TumorSynthLib.domains import tissue
from TumorSynthLib.errors import GeometryError
from TumorSynthLib.intensity import fit_intensity
from TumorSynthLib.volume import Box, Geometry, Volume, mask_box

MOST_VOXELS = 2_000_000
"""Voxels or blocks that distances are computed on."""
_COARSE_MM = 3.0
"""Edge of the blocks by which tissue is told from air."""
SKIN_MM = 5.0
"""How deep in the tissue tumors stay when no region is given."""
_LUNG_HU = (-950.0, -500.0)
"""Aerated lung with its small vessels, averaged over a block."""
_BONE_HU = 200.0
"""CT value from which on a block is taken for bone."""
_SMALLEST_SHARE = 0.2
"""Volume over that of the largest part, from which on a part of the tissue counts: two legs, two lungs, but not the table."""


class Places:
    """The free places of one scan; each tumor that is placed takes its surroundings away.

    Parameters
    ----------
    allowed : where tumor may be, bool on the grid, not empty; beyond the grid it may not be.
    geometry : the grid.
    avoid : voxels to keep clear of, bool on the grid.
    """

    def __init__(self, allowed: np.ndarray, geometry: Geometry, avoid: np.ndarray | None = None) -> None:
        box = mask_box(allowed)
        if avoid is not None and avoid.any():
            other = mask_box(avoid)
            low, high = np.minimum(box.start, other.start), np.maximum(box.stop, other.stop)
            box = Box(tuple(low.tolist()), tuple(high.tolist()))
        steps = _steps(box.shape, geometry.spacing)
        self.geometry = _blocks(geometry.cropped(box), steps)
        self._slack = float(np.linalg.norm((steps - 1) / 2.0 * geometry.spacing))
        outside = np.pad(_any(~allowed[box.slices], steps, beyond=True), 1, constant_values=True)
        self.room = self._distance(outside)[1:-1, 1:-1, 1:-1]
        """Distance in mm from each place to the nearest voxel center outside the region."""
        self.space = np.full(self.room.shape, np.inf, np.float32)
        """Distance in mm from each place to the nearest voxel center or tumor to keep clear of."""
        if avoid is not None and avoid.any():
            self.space = self._distance(_any(avoid[box.slices], steps, beyond=False))

    @property
    def deepest(self) -> np.ndarray:
        """The free point with the most room around it, RAS mm."""
        return self._ras(int(np.argmax(np.minimum(self.room, self.space))))

    def largest_mm(self) -> float:
        """Radius of the largest ball that still finds a place."""
        return max(0.0, float(np.minimum(self.room, self.space).max()))

    def draw(self, room_mm: float, space_mm: float, rng: np.random.Generator) -> np.ndarray | None:
        """A point (RAS mm), each one that will do being equally likely; None where there is none.

        Parameters
        ----------
        room_mm : distance that it keeps from everything outside the region.
        space_mm : distance that it keeps from avoided voxels and from the tumors that have been placed.
        """
        free = np.flatnonzero((self.room >= max(room_mm, 0.0)) & (self.room > 0.0) & (self.space >= space_mm))
        return self._ras(int(free[rng.integers(free.size)])) if free.size else None

    def take(self, center_ras: np.ndarray, reach_mm: float) -> None:
        """Keep further tumors clear of a ball around a point."""
        middle = self.geometry.to_ijk(center_ras)
        lines = [
            np.square((np.arange(n, dtype=np.float32) - c) * s)
            for n, c, s in zip(self.geometry.shape, middle, self.geometry.spacing, strict=True)
        ]
        distance = np.sqrt(lines[0][:, None, None] + lines[1][:, None] + lines[2]) - reach_mm
        self.space = np.minimum(self.space, distance.astype(np.float32))

    def _distance(self, forbidden: np.ndarray) -> np.ndarray:
        """Distance in mm to the nearest forbidden voxel center, or a little less."""
        distance = ndimage.distance_transform_edt(~forbidden, sampling=self.geometry.spacing)
        return np.asarray(distance - self._slack, dtype=np.float32)

    def _ras(self, index: int) -> np.ndarray:
        return self.geometry.to_ras(np.array(np.unravel_index(index, self.geometry.shape)))


def tissue_region(scan: Volume, domain: Domain) -> np.ndarray:
    """Tissue of a domain well inside the body, bool on the scan's grid, found in blocks of a few mm.

    For lung CT that is aerated lung, for all others whatever is not air, without its outermost millimeters and, in CT, without
    bone.

    Raises
    ------
    GeometryError : ``plan.tissue`` when there is none.
    """
    steps = np.maximum(1, np.rint(_COARSE_MM / scan.geometry.spacing).astype(int))
    u = fit_intensity(scan.array, domain).normalize(_mean(scan.array, steps))
    inside = (u > _LUNG_HU[0]) & (u < _LUNG_HU[1]) if domain.id == "lung-ct" else tissue(u, domain)
    # A thin link, as between the body and the table, does not join parts.
    parts, _ = ndimage.label(ndimage.binary_opening(inside))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = np.isin(parts, np.flatnonzero((sizes > 0) & (sizes >= _SMALLEST_SHARE * sizes.max())))
    spacing = scan.geometry.spacing * steps
    deep = ndimage.distance_transform_edt(np.pad(kept, 1, mode="edge"), sampling=spacing)[1:-1, 1:-1, 1:-1] > SKIN_MM
    if domain.modality == "CT":
        deep &= u < _BONE_HU
    if not deep.any():
        message = f"No tissue of {domain.id} was found well inside the body."
        raise GeometryError("plan.tissue", message, "Give a region, or name the domain of the scan.")
    for axis, step in enumerate(steps):
        deep = np.repeat(deep, step, axis=axis)
    return np.asarray(deep[tuple(slice(n) for n in scan.array.shape)])


def _steps(shape: tuple[int, int, int], spacing: np.ndarray) -> np.ndarray:
    """Edges in voxels of blocks that are about cubes and few enough."""
    steps = np.ones(3, int)
    while np.prod(np.ceil(np.array(shape) / steps)) > MOST_VOXELS:
        steps[int(np.argmin(steps * spacing))] += 1
    return steps


def _blocks(geometry: Geometry, steps: np.ndarray) -> Geometry:
    """The grid of the centers of blocks; the last ones may reach beyond the grid of voxels."""
    affine = geometry.affine.copy()
    affine[:3, :3] *= steps
    affine[:3, 3] = geometry.to_ras((steps - 1) / 2.0)
    shape = -(-np.array(geometry.shape) // steps)
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _any(mask: np.ndarray, steps: np.ndarray, beyond: bool) -> np.ndarray:
    """Whether any voxel of each block is set; ``beyond`` stands for the voxels beyond the grid."""
    for axis, step in enumerate(steps):
        short = -mask.shape[axis] % step
        if short:
            widths = [(0, short if other == axis else 0) for other in range(3)]
            mask = np.pad(mask, widths, constant_values=beyond)
        if step > 1:
            index = [slice(None)] * 3
            found = np.zeros([n // step if other == axis else n for other, n in enumerate(mask.shape)], bool, order="F")
            for offset in range(step):
                index[axis] = slice(offset, None, step)
                found |= mask[tuple(index)]
            mask = found
    return mask


def _mean(array: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Mean of each block, those at the end over the voxels that there are."""
    values = array
    for axis, step in enumerate(steps):
        starts = np.arange(0, values.shape[axis], step)
        counts = np.diff([*starts, values.shape[axis]])
        total = np.add.reduceat(values, starts, axis=axis, dtype=np.float32)
        values = total / counts.reshape([-1 if other == axis else 1 for other in range(3)]).astype(np.float32)
    return values
