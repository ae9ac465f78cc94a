"""Whether made tumors are distributed like real ones, in the unit of what two halves of the real ones differ by.

Features are standardized by the real cases and projected onto their principal components. Patients are split into halves at
random, again and again: the distance from the real cases of one half to the made cases of the other, over the distance from the
real of the one to the real of the other. Both have the same number of cases, so the bias of small samples is the same. 1 means
as different as other real patients are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from TumorSynthLib.evaluate.agreement import interval, standardized
from TumorSynthLib.evaluate.distributions import biased_discrepancy, frechet, gram, paired_p_value

COMPONENTS = 20
"""Most principal components."""
SPLITS = 300
"""Random halves of the patients."""
FEWEST = 4
"""Patients below which nothing is said."""


def realism(real: np.ndarray, made: np.ndarray, patients: Sequence[str], splits: int = SPLITS, seed: int = 0) -> dict[str, Any]:
    """Distances between real and made cases.

    Parameters
    ----------
    real, made : features of the same cases, shape (cases, features); rows with a value that is not finite in either are left
        out, and so are features that do not vary among the real.
    patients : patient of each case.
    splits : random halves.
    seed : of splits and permutations.

    Returns
    -------
    ``cases``, ``patients``, ``components``; ``frechet`` and ``mmd`` in units of a real-real split (``ratio`` with ``ci``, and
    the plain distance of all cases), and the permutation ``p`` of the latter. The interval covers the split and, within each
    half, the choice of patients (bootstrap). None where there are fewer than four patients.
    """
    first, second, kept = _projected(real, made, patients)
    count = len(set(kept))
    if count < FEWEST:
        nothing = {"ratio": None, "ci": None, "distance": None}
        return {"cases": len(kept), "patients": count, "components": 0, "frechet": nothing, "mmd": {**nothing, "p": None}}
    ratios = _ratios(first, second, kept, splits, seed)
    squared, p = paired_p_value(first, second, kept, seed)
    return {
        "cases": len(kept),
        "patients": count,
        "components": first.shape[1],
        "frechet": {**ratios["frechet"], "distance": frechet(first, second)},
        "mmd": {**ratios["mmd"], "distance": squared, "p": p},
    }


def _projected(real: np.ndarray, made: np.ndarray, patients: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Both on the principal components of the real, and the patients of the cases that are left."""
    varies = np.isfinite(standardized(real, real)).any(axis=0)
    usable = np.isfinite(real[:, varies]).all(axis=1) & np.isfinite(made[:, varies]).all(axis=1)
    kept = [patient for patient, good in zip(patients, usable, strict=True) if good]
    if len(set(kept)) < FEWEST:
        return real[usable], made[usable], kept
    base = real[usable][:, varies]
    first, second = (standardized(values[usable][:, varies], base) for values in (real, made))
    steady = np.isfinite(first).all(axis=0)
    first, second = first[:, steady], second[:, steady]
    _, _, axes = np.linalg.svd(first, full_matrices=False)
    # More components than a half has cases would leave directions in which its spread is unknown.
    basis = axes[: max(1, min(COMPONENTS, len(kept) // 2 - 1))].T
    return first @ basis, second @ basis, kept


def _ratios(first: np.ndarray, second: np.ndarray, patients: list[str], splits: int, seed: int) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    names = list(dict.fromkeys(patients))
    rows = {name: [row for row, owner in enumerate(patients) if owner == name] for name in names}
    plain, resampled = [], []
    for _ in range(splits):
        order = rng.permutation(len(names))
        halves = [[names[n] for n in order[: len(names) // 2]], [names[n] for n in order[len(names) // 2 :]]]
        plain.append(_distances(first, second, *([row for name in half for row in rows[name]] for half in halves)))
        drawn = [[half[n] for n in rng.integers(len(half), size=len(half))] for half in halves]
        resampled.append(_distances(first, second, *([row for name in half for row in rows[name]] for half in drawn)))
    means, draws = np.mean(plain, axis=0), np.array(resampled)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = draws[:, :2] / draws[:, 2:]
    kinds = enumerate(("frechet", "mmd"))
    return {name: {"ratio": float(means[n] / means[n + 2]), "ci": interval(spread[:, n])} for n, name in kinds}


def _distances(first: np.ndarray, second: np.ndarray, one: list[int], other: list[int]) -> tuple[float, float, float, float]:
    """Frechet and kernel distance from real to made and from real to real, between two sets of rows."""
    found = []
    for values in (second, first):
        pair = (first[one], values[other])
        labels = np.arange(len(one) + len(other)) < len(one)
        found.append((frechet(*pair), biased_discrepancy(gram(np.concatenate(pair)), labels)))
    return (found[0][0], found[0][1], found[1][0], found[1][1])
