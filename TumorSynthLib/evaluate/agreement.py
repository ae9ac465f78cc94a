"""Agreement of the features of real and made cases: correlations by definitions that are always named.

* Definition C: for each feature the correlation across cases, then the mean over features. It asks whether a case that
  should have more of something gets more of it.
* Definition B: for each case the correlation across features, each standardized by the mean and standard deviation of
  the real cases, then the mean over cases.
* Definition A: the same on raw values. Features differ by orders of magnitude, so any tumor correlates with any other;
  it is given for comparison and means nothing without its null.

Pairs with a value that is not finite are left out. A feature that does not vary among the real cases has no
correlation and is left out; one that does not vary among the made cases correlates 0. Intervals are percentiles over
resampled patients.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES = 1000
"""Resamples of the patients for an interval."""
_LEVELS = (2.5, 97.5)
_FEWEST = 3
_CHUNK = 20_000_000
_CONSTANT = 1e-18

Estimate = dict[str, Any]
"""A value with its interval ``ci``, JSON-ready."""


def pearson(real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Pearson correlation along the last axis but one.

    Parameters
    ----------
    real, made : shape (..., cases, features); NaN where unknown.

    Returns
    -------
    Shape (..., features); NaN for fewer than three pairs or where ``real`` is constant, 0 where only ``made`` is.
    """
    both = np.isfinite(real) & np.isfinite(made)
    count = both.sum(axis=-2)
    x, y = _centered(real, both, count), _centered(made, both, count)
    x2, y2 = (x**2).sum(axis=-2), (y**2).sum(axis=-2)
    flat = y2 <= _CONSTANT * _largest(made, both)
    bad = (count < _FEWEST) | (x2 <= _CONSTANT * _largest(real, both))
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (x * y).sum(axis=-2) / np.sqrt(x2 * y2)
    return np.asarray(np.where(bad, np.nan, np.where(flat, 0.0, value)))


def spearman(real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Spearman correlation along the last axis but one, ties sharing their mean rank; see ``pearson``."""
    both = np.isfinite(real) & np.isfinite(made)
    return pearson(ranks(np.where(both, real, np.nan)), ranks(np.where(both, made, np.nan)))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 along the last axis but one, ties sharing their mean; NaN stays NaN."""
    here, there = values[..., :, None, :], values[..., None, :, :]
    below = (there < here).sum(axis=-2)
    equal = (there == here).sum(axis=-2)
    return np.where(np.isfinite(values), below + 0.5 * (equal + 1.0), np.nan)


def across_cases(real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """PCC and SCC of every feature across cases, (..., 2, features); the mean over features is definition C."""
    return np.stack([pearson(real, made), spearman(real, made)], axis=-2)


def within_cases(real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """PCC and SCC of every case across features, (2, cases); on standardized values their mean is definition B, on raw A."""
    return across_cases(real.T, made.T)


def standardized(values: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Values (cases, features) in standard deviations of the real cases; NaN for features that do not vary among them."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, sd = _nanmean(real, axis=0), np.sqrt(_nanmean((real - _nanmean(real, axis=0)) ** 2, axis=0))
        constant = sd**2 <= _CONSTANT * _nanmean(real**2, axis=0)
        return np.asarray(np.where(constant | ~np.isfinite(sd), np.nan, (values - mean) / sd))


def resampled_rows(patients: Sequence[str], generator: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """Rows of cases for each resample of the patients, int (resamples, most rows); -1 fills shorter ones up."""
    groups = [[row for row, name in enumerate(patients) if name == patient] for patient in dict.fromkeys(patients)]
    drawn = generator.integers(len(groups), size=(resamples, len(groups)))
    lines = [[row for group in line for row in groups[group]] for line in drawn]
    longest = max(len(line) for line in lines)
    return np.array([line + [-1] * (longest - len(line)) for line in lines])


class Comparison:
    """Real and made features of the same cases, resampled alike for every comparison with the same patients and seed.

    Parameters
    ----------
    real, made : features, shape (cases, features).
    patients : patient of each case.
    seed : of the resampling.
    resamples : number of resamples.
    """

    def __init__(
        self, real: np.ndarray, made: np.ndarray, patients: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
    ) -> None:
        self.real, self.made = np.asarray(real, dtype=np.float64), np.asarray(made, dtype=np.float64)
        self.rows = resampled_rows(patients, np.random.default_rng(seed), resamples)
        self.across = across_cases(self.real, self.made)
        self.across_draws = self._draws()

    def _draws(self) -> np.ndarray:
        features = self.real.shape[1]
        step = max(1, _CHUNK // (max(1, features) * self.rows.shape[1] ** 2))
        empty = np.full((1, features), np.nan)
        real, made = np.concatenate([self.real, empty]), np.concatenate([self.made, empty])
        parts = (self.rows[n : n + step] for n in range(0, len(self.rows), step))
        return np.concatenate([across_cases(real[rows], made[rows]) for rows in parts])

    def definition_c(self, columns: Sequence[int]) -> Estimate:
        """Definition C over some features, with its interval."""
        return estimate(*self.values_c(columns))

    def values_c(self, columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Definition C (2,) and its resamples (resamples, 2)."""
        chosen = list(columns)
        return _nanmean(self.across[:, chosen], axis=-1), _nanmean(self.across_draws[..., chosen], axis=-1)

    def definition_b(self, columns: Sequence[int]) -> Estimate:
        """Definition B over some features, with its interval; the standardization is that of all real cases."""
        return estimate(*self.values_b(columns))

    def values_b(self, columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Definition B (2,) and its resamples (resamples, 2)."""
        chosen = list(columns)
        real, made = (standardized(values, self.real)[:, chosen] for values in (self.real, self.made))
        return self._over_cases(within_cases(real, made))

    def definition_a(self, columns: Sequence[int]) -> Estimate:
        """Definition A over some features, with its interval."""
        chosen = list(columns)
        return estimate(*self._over_cases(within_cases(self.real[:, chosen], self.made[:, chosen])))

    def _over_cases(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        padded = np.concatenate([values, np.full((2, 1), np.nan)], axis=1)
        return _nanmean(values, axis=-1), _nanmean(padded[:, self.rows], axis=-1).T


def estimate(value: np.ndarray, draws: np.ndarray) -> Estimate:
    """PCC and SCC with their 95 % intervals, JSON-ready; None where there is nothing to correlate.

    Parameters
    ----------
    value : PCC and SCC, (2,).
    draws : their resamples, (resamples, 2).
    """
    pcc, scc = (_number(v) for v in value)
    return {"pcc": pcc, "scc": scc, "ci": {"pcc": interval(draws[:, 0]), "scc": interval(draws[:, 1])}}


def interval(draws: np.ndarray) -> list[float] | None:
    """The 95 % percentile interval of resamples; None where none is finite."""
    finite = draws[np.isfinite(draws)]
    return [float(v) for v in np.percentile(finite, _LEVELS)] if finite.size else None


def mean_estimate(values: Sequence[float], patients: Sequence[str], seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Mean of one value per case with its 95 % interval over resampled patients; no interval for a single patient."""
    line = np.append(np.asarray(values, dtype=np.float64), np.nan)
    found: Estimate = {"mean": _number(_nanmean(line[:-1], axis=0)), "ci": None}
    if len(set(patients)) > 1:
        rows = resampled_rows(patients, np.random.default_rng(seed), resamples)
        found["ci"] = interval(_nanmean(line[rows], axis=-1))
    return found


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _nanmean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over what is finite, NaN where nothing is."""
    finite = np.isfinite(values)
    count = finite.sum(axis=axis)
    total = np.where(finite, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _centered(values: np.ndarray, both: np.ndarray, count: np.ndarray) -> np.ndarray:
    known = np.where(both, values, 0.0)
    mean = known.sum(axis=-2) / np.maximum(count, 1)
    return np.where(both, known - mean[..., None, :], 0.0)


def _largest(values: np.ndarray, both: np.ndarray) -> np.ndarray:
    return np.asarray((np.where(both, values, 0.0) ** 2).sum(axis=-2))
