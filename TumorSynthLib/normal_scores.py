"""Quantiles as a joint model stores them, and the normal scores that they give."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from TumorSynthLib.scaling import KNOTS, LEVELS, FeatureScale

LIMIT = 4.0
"""Largest normal score there is; of rarer values nothing is known."""
NORMAL_SCORES = np.array([NormalDist().inv_cdf(float(level)) for level in LEVELS])
"""Normal scores of the quantiles at ``scaling.LEVELS``."""
_QUANTILE_DIGITS = 5


def normal_scores(scale: FeatureScale, values: np.ndarray) -> np.ndarray:
    """``FeatureScale.score`` of many values at once."""
    knots, scores = np.array(scale.quantiles), NORMAL_SCORES
    slopes = (knots[1] - knots[0]) / (scores[1] - scores[0]), (knots[-1] - knots[-2]) / (scores[-1] - scores[-2])
    low, high = knots[0] - (LIMIT + scores[0]) * slopes[0], knots[-1] + (LIMIT - scores[-1]) * slopes[1]
    return np.asarray(np.interp(values, [low, *knots, high], [-LIMIT, *scores, LIMIT]))


def rounded_quantiles(values: np.ndarray) -> tuple[float, ...]:
    """Quantiles of finite values at ``scaling.LEVELS``, rounded as they are stored; zeros where there is no value."""
    return tuple(float(short(q)) for q in np.quantile(values if values.size else np.zeros(1), LEVELS))


def increasing(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Quantiles made strictly increasing: equal ones are spread a little to both sides of their value."""
    flat = np.array(quantiles, dtype=np.float64)
    width = float(flat[-1] - flat[0])
    step = 1e-3 * width / KNOTS if width > 0.0 else max(1e-3 * float(np.abs(flat).max()), 1e-9)
    spread = flat.copy()
    for value in np.unique(flat):
        ties = np.flatnonzero(flat == value)
        spread[ties] += step * (ties - ties.mean())
    for index in range(1, len(spread)):
        spread[index] = max(spread[index], spread[index - 1] + 1e-3 * step)
    return tuple(float(q) for q in spread)


def short(value: float) -> str:
    """A quantile with as many digits as are stored."""
    return f"{value:.{_QUANTILE_DIGITS}g}"
