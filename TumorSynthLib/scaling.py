"""Feature values on a common scale: rank-based normal scores from the quantiles of the training regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

KNOTS = 33
"""Quantiles stored per feature, from 0.5 % to 99.5 %."""
LEVELS = np.linspace(0.005, 0.995, KNOTS)
"""Probabilities of the quantiles."""
_SCORES = np.array([NormalDist().inv_cdf(float(level)) for level in LEVELS])
_LIMIT = 4.0


@dataclass(frozen=True)
class FeatureScale:
    """Quantiles of one feature in one domain."""

    quantiles: tuple[float, ...]
    """Values at ``LEVELS``, strictly increasing."""

    def score(self, value: float) -> float:
        """Normal score of a value: 0 at the median, linear beyond the outermost quantiles, within +-4."""
        knots = np.array(self.quantiles)
        if value < knots[0]:
            score = _SCORES[0] + (value - knots[0]) / (knots[1] - knots[0]) * (_SCORES[1] - _SCORES[0])
        elif value > knots[-1]:
            score = _SCORES[-1] + (value - knots[-1]) / (knots[-1] - knots[-2]) * (_SCORES[-1] - _SCORES[-2])
        else:
            score = np.interp(value, knots, _SCORES)
        return float(np.clip(score, -_LIMIT, _LIMIT))

    def value(self, score: float) -> float:
        """The value with a normal score, within the outermost quantiles; the inverse of ``score`` there."""
        return float(np.interp(score, _SCORES, self.quantiles))

    def extended(self, score: float) -> float:
        """The value with a normal score, also beyond the outermost quantiles; the inverse of ``score`` within +-4."""
        pair = slice(0, 2) if score < 0.0 else slice(-2, None)
        slope = np.diff(self.quantiles[pair])[0] / np.diff(_SCORES[pair])[0]
        outside = min(0.0, score - _SCORES[0]) if score < 0.0 else max(0.0, score - _SCORES[-1])
        return self.value(score) + float(slope * outside)


def fit_scale(values: np.ndarray) -> FeatureScale:
    """The scale of a sample; ties are spread so that quantiles increase strictly."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if finite.size == 0:
        finite = np.zeros(1)
    quantiles = np.quantile(finite, LEVELS)
    smallest = max(1e-6 * float(np.abs(quantiles).max()), 1e-3 * float(quantiles[-1] - quantiles[0]) / KNOTS, 1e-9)
    for index in range(1, KNOTS):
        quantiles[index] = max(quantiles[index], quantiles[index - 1] + smallest)
    return FeatureScale(tuple(float(q) for q in quantiles))


def feature_statistics(values: np.ndarray, names: Sequence[str], tumors: np.ndarray) -> dict[str, Any]:
    """Statistics of every feature for the bundle.

    Parameters
    ----------
    values : measured features (n, names), NaN where undefined.
    names : feature names.
    tumors : which rows are tumors, bool (n,); their 5 to 95 % range is the range of a slider.
    """
    result: dict[str, Any] = {}
    for column, name in enumerate(names):
        line = values[:, column]
        of_tumors = line[tumors & np.isfinite(line)]
        chosen = of_tumors if of_tumors.size >= 5 else line[np.isfinite(line)]
        if chosen.size == 0:
            continue
        result[name] = {
            "quantiles": [float(f"{q:.6g}") for q in fit_scale(line).quantiles],
            "mean": float(f"{chosen.mean():.6g}"),
            "sd": float(f"{chosen.std():.6g}"),
            "range": [float(f"{q:.6g}") for q in np.quantile(chosen, [0.05, 0.95])],
            "median": float(f"{np.median(chosen):.6g}"),
            "count": int(chosen.size),
        }
    return result


def scales(statistics: Mapping[str, Any]) -> dict[str, FeatureScale]:
    """Scales by feature name from a bundle's statistics."""
    return {name: _strict(entry["quantiles"]) for name, entry in statistics.items()}


def _strict(quantiles: Sequence[float]) -> FeatureScale:
    """Quantiles rounded for storage, made strictly increasing again."""
    values = np.array(quantiles, dtype=np.float64)
    smallest = max(1e-6 * float(np.abs(values).max()), 1e-9)
    for index in range(1, len(values)):
        values[index] = max(values[index], values[index - 1] + smallest)
    return FeatureScale(tuple(float(v) for v in values))
