"""Distances between two samples of vectors: Frechet's between the Gaussians that fit them, and maximum mean discrepancy.

Both are biased upwards in small samples, so each is meant to be read beside the same distance between two samples of one kind.
"""

from collections.abc import Sequence

import numpy as np

PERMUTATIONS = 999
"""Permutations behind a p-value."""


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Frechet distance between the Gaussians fitted to two samples (rows).

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2)``; covariances with fewer rows than columns are allowed.

    Source: Dowson and Landau, The Frechet distance between multivariate normal distributions, 1982; on radiomics features:
    Konz et al., Frechet Radiomic Distance, 2024.
    """
    return frechet_of_moments(first.mean(axis=0), _covariance(first), second.mean(axis=0), _covariance(second))


def frechet_of_moments(mean1: np.ndarray, covariance1: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray) -> float:
    """The same from means (d,) and covariances (d, d)."""
    root = _square_root(covariance1)
    between = np.linalg.eigvalsh(root @ covariance2 @ root)
    spread = np.trace(covariance1) + np.trace(covariance2) - 2.0 * np.sqrt(between.clip(0.0)).sum()
    return float(np.sum((mean1 - mean2) ** 2) + max(0.0, spread))


def gram(rows: np.ndarray) -> np.ndarray:
    """Gaussian kernel of all pairs of rows; its width is their median distance, which no relabeling changes."""
    squares = ((rows[:, None] - rows[None]) ** 2).sum(axis=-1)
    pairs = squares[np.triu_indices(len(rows), 1)]
    width = float(np.median(pairs[pairs > 0.0])) if (pairs > 0.0).any() else 1.0
    return np.asarray(np.exp(-squares / width))


def discrepancy(kernel: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Unbiased squared maximum mean discrepancy between the rows that are labeled and the others.

    Parameters
    ----------
    kernel : of all rows, (n, n).
    labels : bool (..., n), at least two rows of each kind.

    Source: Gretton et al., A kernel two-sample test, JMLR 2012, equation 3.
    """
    off = kernel - np.diag(np.diag(kernel))
    a, b = labels.astype(np.float64), (~labels).astype(np.float64)
    m, n = a.sum(axis=-1), b.sum(axis=-1)
    same = _form(a, off, a) / (m * (m - 1.0)) + _form(b, off, b) / (n * (n - 1.0))
    return np.asarray(same - 2.0 * _form(a, kernel, b) / (m * n))


def biased_discrepancy(kernel: np.ndarray, labels: np.ndarray) -> float:
    """The distance (not squared) between the kernel means, never negative; biased upwards, so compare equal sizes only."""
    a, b = labels / labels.sum(), (~labels) / (~labels).sum()
    return float(np.sqrt(max(0.0, float((a - b) @ kernel @ (a - b)))))


def paired_p_value(
    first: np.ndarray, second: np.ndarray, patients: Sequence[str], seed: int = 0, permutations: int = PERMUTATIONS
) -> tuple[float, float]:
    """Squared discrepancy of paired samples, and how often chance gives as much.

    Row n of both belongs to one case, so the two are not independent: what the null hypothesis allows is to swap real and made
    within patients, all cases of a patient together.

    Parameters
    ----------
    first, second : shape (cases, d), at least two.
    patients : patient of each case.
    seed, permutations : of the swaps.

    Returns
    -------
    The unbiased squared discrepancy and the p-value (1 + as much or more) / (1 + permutations).
    """
    count = len(first)
    kernel = gram(np.concatenate([first, second]))
    names = list(dict.fromkeys(patients))
    owner = np.array([names.index(patient) for patient in patients])
    swaps = np.random.default_rng(seed).random((permutations, len(names))) < 0.5
    swapped = np.concatenate([np.zeros((1, len(names)), bool), swaps])[:, owner]
    labels = np.concatenate([~swapped, swapped], axis=1)
    assert labels.sum(axis=1).tolist() == [count] * len(labels)
    found = discrepancy(kernel, labels)
    as_much = int((found[1:] >= found[0] - 1e-12).sum())
    return float(found[0]), (1.0 + as_much) / (1.0 + permutations)


def _form(left: np.ndarray, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(((left @ matrix) * right).sum(axis=-1))


def _covariance(rows: np.ndarray) -> np.ndarray:
    return np.atleast_2d(np.cov(rows, rowvar=False))


def _square_root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(values.clip(0.0))) @ vectors.T)
