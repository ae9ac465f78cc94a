"""Numbers on sets of shapes: overlap, and distance between distributions of surfaces."""

from itertools import pairwise

import numpy as np
from scipy import ndimage

from TumorSynthLib.shape_field import ball_field

BANDS = 6
"""Bands of the residual's power spectrum in a descriptor."""


def mean_pairwise_dice(masks: list[np.ndarray]) -> float:
    """Mean Dice over all pairs of masks on one grid."""
    flat = np.array([mask.ravel() for mask in masks], dtype=np.float32)
    overlap = flat @ flat.T
    size = np.diag(overlap)
    dice = 2.0 * overlap / (size[:, None] + size[None, :])
    return float(dice[np.triu_indices(len(masks), 1)].mean())


def descriptor(field: np.ndarray, half_width: float) -> np.ndarray:
    """What a surface looks like, whatever its size, axes and orientation: a vector of ``BANDS`` + 4 numbers.

    Log power of the field's difference to the ball's in bands of spatial frequency, and the mean, spread and tails of the
    curvature of the surface (divergence of the normal).
    """
    residual = field - ball_field(field.shape[0], half_width).clip(-1.0, 1.0)
    window = np.exp(-((field / 0.6) ** 2))
    power = np.abs(np.fft.fftn(residual * window)) ** 2
    lines = np.meshgrid(*[np.fft.fftfreq(n) * n for n in field.shape], indexing="ij")
    radius = np.sqrt(sum(line**2 for line in lines))
    edges = np.geomspace(0.9, field.shape[0] / 2, BANDS + 1)
    spectrum = [np.log(power[(radius >= low) & (radius < high)].mean() + 1e-9) for low, high in pairwise(edges)]
    normal = np.stack(np.gradient(ndimage.gaussian_filter(field, 0.7)))
    normal /= np.linalg.norm(normal, axis=0) + 1e-6
    divergence = -sum(np.gradient(normal[axis], axis=axis) for axis in range(3))
    curvature = divergence[np.abs(field) < 0.08] / (2.0 * half_width / field.shape[0])
    if curvature.size == 0:
        curvature = np.zeros(1)
    tails = np.quantile(curvature, [0.05, 0.95])
    return np.array([*spectrum, curvature.mean(), curvature.std(), *tails])


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Energy distance between two samples of vectors (rows); unbiased, so 0 on average where the distributions agree."""

    def mean_distance(x: np.ndarray, y: np.ndarray, same: bool) -> float:
        total = np.linalg.norm(x[:, None] - y[None], axis=-1).sum()
        return float(total / (len(x) * (len(x) - 1) if same else len(x) * len(y)))

    return 2.0 * mean_distance(a, b, False) - mean_distance(a, a, True) - mean_distance(b, b, True)
