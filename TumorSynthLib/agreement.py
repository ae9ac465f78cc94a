"""Whether a mask lies where the image shows a border: Dice between the mask and a segmentation made from the image alone.

The neighborhood of a mask is the mask with a shell around it that has as many voxels. Two histograms are all that the
segmentation knows: that of the inside, without the mask's outermost layer, and that of the shell, without its innermost. Each
voxel of the neighborhood gets the logarithm of their ratio, smoothed within the neighborhood, and the highest ones, as many as
the mask has voxels, are the segmentation. Nothing tells it where the mask is, so that for an image that does not know of the
mask the Dice is, by construction, about the mask's share of the neighborhood: one half (``CHANCE``), and up to a tenth more,
because histograms fit the voxels that they were made of. A border that every voxel shows gives 0.97 to 1.
"""

import numpy as np
from scipy import ndimage

from TumorSynthLib.resample import resample
from TumorSynthLib.volume import Geometry, mask_box, work_grid

CHANCE = 0.5
"""Expected agreement of a mask with an image that does not know of it."""
MIN_VOXELS = 30
"""Smaller masks have no histogram."""
LEAST_SHELL = 0.5
"""Size of the shell over that of the mask from which on the agreement is defined."""
_BINS = (4, 12)
_SMOOTHING = 1.0
_EXTENT = 44
"""Voxels that the longest edge of a mask may have; with its shell it then fits a grid of 64."""
_SHELL_SHARE = 0.2
"""Width of the shell over the mask's longest edge, with room to spare; that of a ball is 0.13."""


def agreement(u: np.ndarray, mask: np.ndarray, geometry: Geometry) -> float | None:
    """Agreement of a mask with the image around it, 0 to 1; see the module for what it means.

    Parameters
    ----------
    u : domain values (i, j, k) of a box around the mask; a margin of a fifth of the mask's longest edge is enough.
    mask : bool, on the same grid.
    geometry : the grid.

    Returns
    -------
    None where the mask is too small, or fills the box so that there is nothing around it to tell it from.
    """
    if not mask.any():
        return None
    box = mask_box(mask)
    extent = float((np.array(box.shape) * geometry.spacing).max())
    spacing = max(extent / _EXTENT, float(geometry.spacing.min()))
    size = int(np.ceil((1.0 + 2.0 * _SHELL_SHARE) * extent / spacing)) + 6
    cube = work_grid(geometry, geometry.to_ras((np.array(box.start) + np.array(box.stop) - 1) / 2), spacing, size)
    inside = resample(mask, geometry, cube, smooth=False, outside=0.0) > 0.5
    if not inside.any():
        return None
    near = mask_box(inside).expanded(np.full(3, np.ceil(_SHELL_SHARE * extent / spacing) + 2.0), cube.shape)
    grid = cube.cropped(near)
    known = resample(np.ones(mask.shape, np.float32), geometry, grid, smooth=False, outside=0.0) > 0.5
    return agreement_on_grid(resample(u, geometry, grid), inside[near.slices], known)


def agreement_on_grid(u: np.ndarray, mask: np.ndarray, known: np.ndarray | None = None) -> float | None:
    """Agreement on an isotropic grid.

    Parameters
    ----------
    u : domain values (i, j, k).
    mask : bool, on the same grid.
    known : where there is an image; everywhere unless told.
    """
    size = int(mask.sum())
    if size < MIN_VOXELS:
        return None
    shell = _shell(mask, np.ones_like(mask) if known is None else known)
    if shell.sum() < LEAST_SHELL * size:
        return None
    near = mask | shell
    evidence = _smoothed(_log_ratio(u, mask, shell), near)[near]
    # As many of the highest values as the mask has voxels; a stable sort makes ties depend on their place alone.
    chosen = np.argsort(-evidence, kind="stable")[:size]
    return float(mask[near][chosen].mean())


def _shell(mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The voxels nearest to the mask, about as many as it has, or all there are."""
    free = ~mask & known
    size = int(mask.sum())
    if free.sum() <= size:
        return np.asarray(free)
    distance = ndimage.distance_transform_edt(~mask)
    return np.asarray(free & (distance <= np.partition(distance[free], size - 1)[size - 1]))


def _log_ratio(u: np.ndarray, mask: np.ndarray, shell: np.ndarray) -> np.ndarray:
    """Logarithm of the ratio of the inside's and the shell's histogram at each voxel's value."""
    core, outer = ndimage.binary_erosion(mask), shell & ~ndimage.binary_dilation(mask)
    inside = u[core if core.sum() >= MIN_VOXELS else mask]
    outside = u[outer if outer.sum() >= MIN_VOXELS else shell]
    bins = int(np.clip(round(min(len(inside), len(outside)) ** (1 / 3)), *_BINS))
    edges = np.unique(np.quantile(np.concatenate([inside, outside]), np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, part, side="right"), minlength=len(edges) + 1) for part in (inside, outside)]
    first, second = ((count + 1.0) / (count.sum() + len(count)) for count in counts)
    return np.asarray(np.log(first / second)[np.searchsorted(edges, u, side="right")])


def _smoothed(values: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Gaussian mean within the neighborhood."""
    weight = near.astype(np.float32)
    total, share = (ndimage.gaussian_filter(part, _SMOOTHING, mode="constant") for part in (values * weight, weight))
    return np.asarray(total / np.maximum(share, 1e-6))
