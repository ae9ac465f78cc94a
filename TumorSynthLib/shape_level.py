"""Masks as super-level sets: an exact number of voxels, in one piece, without holes."""

import numpy as np
from scipy import ndimage

from TumorSynthLib.volume import mask_box

_NEIGHBORS = np.ones((3, 3, 3), dtype=bool)


def mask_of_count(values: np.ndarray, count: int, exact: bool = True) -> np.ndarray:
    """The solid super-level set of ``values`` with ``count`` voxels.

    Parameters
    ----------
    values : shape (i, j, k); minus infinity where no tumor may be.
    count : voxels wanted, at most the number of finite values.
    exact : whether to hit ``count`` exactly; otherwise to about a percent, in one or two passes.
    """
    flat = values.ravel()
    limit = int(np.isfinite(flat).sum())
    ask = count
    solid = np.zeros(values.shape, dtype=bool)
    for _ in range(6 if exact else 2):
        ask = int(np.clip(ask, 1, limit))
        solid = solidified((values >= np.partition(flat, flat.size - ask)[flat.size - ask]) & (values > -np.inf))
        solid &= values > -np.inf
        missing = count - int(solid.sum())
        if abs(missing) <= (0 if exact else 0.01 * count):
            return solid
        ask += missing
    return _adjusted(solid, values, count) if exact else solid


def solidified(mask: np.ndarray) -> np.ndarray:
    """The largest 26-connected piece of a mask with its holes filled."""
    if not mask.any():
        return mask
    box = mask_box(mask).slices
    labels, pieces = ndimage.label(mask[box], structure=_NEIGHBORS)
    if pieces > 1:
        labels = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    # A frame of background joins everything outside, so that one label is the outside and all others are holes.
    background, regions = ndimage.label(np.pad(labels == 0, 1, constant_values=True))
    solid = np.zeros(mask.shape, dtype=bool)
    solid[box] = labels > 0 if regions == 1 else (background != background[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return solid


def _adjusted(mask: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The mask grown or shrunk at its surface, best voxels first, until it has ``count`` voxels."""
    mask = mask.copy()
    while (missing := count - int(mask.sum())) != 0:
        if missing > 0:
            rim = ndimage.binary_dilation(mask, _NEIGHBORS) & ~mask & (values > -np.inf)
        else:
            rim = mask & ~ndimage.binary_erosion(mask)
        where = np.flatnonzero(rim)
        if where.size == 0:
            break
        order = where[np.argsort(values.ravel()[where], kind="stable")]
        chosen = order[::-1][:missing] if missing > 0 else order[: max(1, min(-missing, where.size // 2))]
        mask.ravel()[chosen] = missing > 0
    return mask
