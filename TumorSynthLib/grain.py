"""Coarser or finer texture: a prediction whose fine detail is smoothed away or raised, at the same contrast.

A network that has learned from few tumors is unsure of their fine detail, and what it draws there is more like noise than like
tumor. Stretched to the contrast of a real tumor it is speckle; smoothed first, it is the patches that were predicted.
"""

import numpy as np
from scipy import ndimage

LARGEST_GAIN = 6.0
"""Most that a prediction's contrast is stretched."""
_FINE = 1.0
"""Standard deviation of the Gaussian that parts fine detail, in units of the finest detail that was predicted."""


def smoothed_within(values: np.ndarray, where: np.ndarray, sigma_mm: float, spacing: np.ndarray) -> np.ndarray:
    """Gaussian mean over the voxels of ``where`` alone (normalized convolution); it sinks to 0 where there are hardly any.

    Parameters
    ----------
    values : shape (i, j, k).
    where : bool, same shape.
    sigma_mm : standard deviation of the Gaussian.
    spacing : voxel edges in mm.
    """
    sigma = [sigma_mm / float(step) for step in spacing]
    total, share = (ndimage.gaussian_filter(array, sigma) for array in (np.where(where, values, 0.0), where.astype(np.float64)))
    return np.asarray(total / np.maximum(share, 1e-3))


def regrained(
    values: np.ndarray, where: np.ndarray, judged: np.ndarray, grain: float, detail_mm: float, spacing: np.ndarray
) -> np.ndarray:
    """A prediction of coarser (``grain`` above 0) or finer texture, of the same mean and, as far as it may, variance.

    Parameters
    ----------
    values : prediction, shape (i, j, k).
    where : bool, same shape; where it is used. What is outside does not enter.
    judged : bool; where mean and variance are kept.
    grain : above 0 the standard deviation of a Gaussian that smooths, below 0 how much fine detail is added, as a share of what
        is there; 0 changes nothing.
    detail_mm : size of the finest detail of the prediction, the unit of ``grain``.
    spacing : voxel edges in mm.

    Returns
    -------
    float32 array; outside of ``where`` as it was.
    """
    if grain == 0.0:
        return values
    mean, sd = float(values[judged].mean()), float(values[judged].std())
    # About their mean, so that where the Gaussian finds next to nothing, in the thinnest arms, it finds the mean.
    about = values - mean
    if grain > 0.0:
        changed = smoothed_within(about, where, grain * detail_mm, spacing)
    else:
        changed = about - grain * (about - smoothed_within(about, where, _FINE * detail_mm, spacing))
    center, spread = float(changed[judged].mean()), float(changed[judged].std())
    gain = min(sd / max(spread, 1e-12), LARGEST_GAIN)
    return np.where(where, mean + gain * (changed - center), values).astype(np.float32)
