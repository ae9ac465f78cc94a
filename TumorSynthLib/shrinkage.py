"""Correlations of few samples, shrunken towards independence.

Source: Schaefer and Strimmer, A Shrinkage Approach to Large-Scale Covariance Matrix Estimation, Stat. Appl. Genet. Mol. Biol.
4(1), 2005: the intensity is the sum of the correlations' variances over the sum of their squares (target D, standardized). The
variances are those of sums over groups, because regions of one patient are not independent; with hundreds of regions of a few
dozen patients this shrinks several times as much.
"""

import numpy as np

DIGITS = 3
"""Decimals of a stored correlation."""
SMALLEST_EIGENVALUE = 0.01
"""Of a stored correlation matrix: no combination of features is taken to be known better than to a tenth of a score."""


def shrunken_correlation(scores: np.ndarray, known: np.ndarray, groups: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Correlation of standardized scores, positive definite and rounded.

    Parameters
    ----------
    scores : columns with mean 0 and variance 1, zero where unknown, (n, names).
    known : what is known, bool (n, names).
    groups : what each row belongs to, int (n,).
    times : how many times each row counts, int (n,).
    """
    size, there = scores.shape[1], known.astype(np.float64)
    weighted = scores * times[:, None]
    power = (weighted * scores).T @ there
    correlation = (weighted.T @ scores) / np.sqrt(np.maximum(power * power.T, 1e-12))
    np.fill_diagonal(correlation, 1.0)
    pairs = (there * times[:, None]).T @ there
    variance = np.zeros((size, size))
    for group in np.unique(groups):
        rows = groups == group
        variance += np.square(weighted[rows].T @ scores[rows] - correlation * ((there * times[:, None])[rows].T @ there[rows]))
    variance /= np.maximum(pairs, 1.0) ** 2
    apart = ~np.eye(size, dtype=bool)
    signal = float(np.square(correlation[apart]).sum())
    return positive_definite(correlation, min(1.0, float(variance[apart].sum()) / signal) if signal > 0.0 else 1.0)


def positive_definite(correlation: np.ndarray, intensity: float = 0.0) -> np.ndarray:
    """A correlation as it is stored: rounded, and shrunken so far that it is positive definite nevertheless.

    Parameters
    ----------
    correlation : symmetric, with ones on the diagonal.
    intensity : least shrinkage towards the identity, 0 to 1.
    """
    while True:
        shrunken = np.round((1.0 - intensity) * correlation + intensity * np.eye(len(correlation)), DIGITS)
        np.fill_diagonal(shrunken, 1.0)
        smallest = float(np.linalg.eigvalsh(shrunken)[0])
        if smallest >= SMALLEST_EIGENVALUE or intensity >= 1.0:
            return np.asarray(shrunken)
        missing = (SMALLEST_EIGENVALUE - smallest) / (1.0 - smallest)
        intensity = min(1.0, intensity + max(missing, 1e-3) * (1.0 - intensity) + 1e-4)
