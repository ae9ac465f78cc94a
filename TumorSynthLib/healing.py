"""Healthy tissue where a region was: the membrane through its surroundings, and what the network changes about it."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from TumorSynthLib.fill import harmonic_fill_exact
from TumorSynthLib.volume import mask_box

BLUR_CONTRAST = 1.0
"""Contrast of a region, in standard deviations of its surroundings, from which on its border is looked at."""
BLUR_SHARE = 0.25
"""Share of that contrast in the first voxels outside from which on they are taken to belong to it."""
SETTLING = 1.5
"""Working voxels within which a change that does not vanish at the border is taken back."""
_CROSS = ndimage.generate_binary_structure(3, 1)


def border_is_blurred(u: np.ndarray, mask: np.ndarray) -> bool:
    """Whether a region stands out from its surroundings and the first voxels outside it still show some of it.

    The shell of the first voxel outside lies between the region's own outermost voxels and the third shell outside when the
    region was drawn tightly around a tumor. Healthy tissue, or a tumor painted generously, does not show that.
    """
    shells = [mask]
    for _ in range(3):
        shells.append(ndimage.binary_dilation(shells[-1], _CROSS))
    edge = u[mask & ~ndimage.binary_erosion(mask, _CROSS)]
    first, third = u[shells[1] & ~shells[0]], u[shells[3] & ~shells[2]]
    if min(first.size, third.size) == 0:
        return False
    inside, near, far = (float(np.median(values)) for values in (edge, first, third))
    contrast = inside - far
    return abs(contrast) > BLUR_CONTRAST * float(third.std()) and (near - far) / contrast > BLUR_SHARE


def with_border(mask: np.ndarray) -> np.ndarray:
    """A mask with the first voxels outside."""
    return np.asarray(ndimage.binary_dilation(mask, _CROSS))


def continued(
    u: np.ndarray,
    mask: np.ndarray,
    spacing: np.ndarray,
    change: np.ndarray,
    voxel_mm: float,
    alive: Callable[[], None] | None = None,
) -> np.ndarray:
    """Healthy tissue on the scan's grid: the membrane through the surroundings, plus the network's change to it.

    The membrane on the scan's own grid keeps what the scan shows right up to the edit. A change that does not vanish at the
    border, because working voxels are coarser and the decoder blurs, is taken back there and the less so the deeper inside:
    without that there is a seam, and to take it back everywhere (by its own membrane) costs a quarter of what the change gains.

    Parameters
    ----------
    u : values of the scan around the region.
    mask : the region, bool.
    spacing : of the grid, mm.
    change : prediction minus membrane of the working grid, on the same grid, weighted by how far held-out patients showed it
        can be trusted.
    voxel_mm : working voxel.
    alive : called on the way; may raise to cancel.
    """
    box = mask_box(mask).expanded(np.full(3, 2), mask.shape).slices
    i, j, k = (float(step) for step in spacing)
    inside = mask[box]
    membrane, rim = (harmonic_fill_exact(values[box], inside, (i, j, k), alive) for values in (u, change))
    depth = ndimage.distance_transform_edt(inside, sampling=(i, j, k)) - 0.5 * min(i, j, k)
    settled = change[box] - np.exp(-np.maximum(depth, 0.0) / (SETTLING * voxel_mm)) * rim
    result = u.copy()
    result[box] = np.where(inside, membrane + settled, u[box])
    return result
