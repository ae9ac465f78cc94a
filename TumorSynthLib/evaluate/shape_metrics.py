"""Numbers on sets of shapes: agreement of features, overlap, and distance between distributions of surfaces."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata

from TumorSynthLib.shape_field import ball_field

BANDS = 6
"""Bands of the residual's power spectrum in a descriptor."""


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation; 0 where one side does not vary."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0.0 else 0.0


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman correlation."""
    return pearson(rankdata(a), rankdata(b))


def definition_c(asked: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Per feature across cases, then the mean over features; arrays (cases, features)."""
    columns = range(asked.shape[1])
    return {
        "pcc": float(np.mean([pearson(asked[:, i], found[:, i]) for i in columns])),
        "scc": float(np.mean([spearman(asked[:, i], found[:, i]) for i in columns])),
    }


def definition_b(asked: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Within each case over features z-scored by the real cases, then the mean over cases."""
    mean, std = asked.mean(axis=0), asked.std(axis=0) + 1e-12
    pairs = list(zip((asked - mean) / std, (found - mean) / std, strict=True))
    return {
        "pcc": float(np.mean([pearson(a, b) for a, b in pairs])),
        "scc": float(np.mean([spearman(a, b) for a, b in pairs])),
    }


def interval(statistic: Callable[[np.ndarray], float], groups: np.ndarray, rng: np.random.Generator, draws: int = 500) -> list[float]:
    """95 % bootstrap interval of a statistic of row numbers, resampling whole patients.

    Parameters
    ----------
    statistic : of an index array.
    groups : patient of each row.
    rng : draws the resamples.
    draws : number of resamples.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    values = [statistic(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])) for _ in range(draws)]
    return [float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))]


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
    spectrum = [np.log(power[(radius >= low) & (radius < high)].mean() + 1e-9) for low, high in zip(edges[:-1], edges[1:], strict=True)]
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
