"""How features vary together: a Gaussian copula, its conditional ranges, draws and distances.

Each feature gets a normal score from its own quantiles (``scaling``); the scores are taken as jointly normal with correlation
R. With k the known features and o the others, the others given the known have mean R_ok R_kk^-1 s_k and covariance
R_oo - R_ok R_kk^-1 R_ko. NOT assumed: any form of the marginals. Assumed: that the dependence is that of a normal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np

from TumorSynthLib.errors import BundleError
from TumorSynthLib.normal_scores import LIMIT, increasing, normal_scores, rounded_quantiles, short
from TumorSynthLib.scaling import KNOTS, FeatureScale
from TumorSynthLib.shrinkage import shrunken_correlation


@dataclass(frozen=True)
class Score:
    """Where the normal score of a feature lies."""

    mean: float
    """Expected score."""
    sd: float
    """Standard deviation of the score, at most 1."""


@dataclass(frozen=True)
class Range:
    """Where a feature lies, in its own unit."""

    low: float
    """Lower end of the central range."""
    middle: float
    """Median."""
    high: float
    """Upper end."""


@dataclass(frozen=True)
class Unusual:
    """A feature that does not fit the others."""

    name: str
    """PyRadiomics name."""
    value: float
    """What was found."""
    range: Range
    """What is typical given all the others."""
    score: float
    """Standard deviations from what is expected given all the others."""


@dataclass(frozen=True, eq=False)
class JointModel:
    """A Gaussian copula of named features. Names that it does not know are ignored wherever values are given."""

    names: tuple[str, ...]
    """Features."""
    quantiles: tuple[tuple[float, ...], ...]
    """Of each feature at ``scaling.LEVELS``, as stored: rounded, possibly with ties."""
    correlation: np.ndarray
    """Of the normal scores, positive definite (names, names)."""
    count: int
    """Regions that it was fitted to."""

    @cached_property
    def scales(self) -> tuple[FeatureScale, ...]:
        """Normal scores of each feature; unlike that of ``fit_scale``, the score of ties is their middle."""
        return tuple(FeatureScale(increasing(line)) for line in self.quantiles)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def scale(self, name: str) -> FeatureScale:
        """Normal scores of one feature."""
        return self.scales[self._index[name]]

    def scores(self, values: Mapping[str, float]) -> dict[str, float]:
        """Normal scores, within +-4, of those of the values that the model knows and that are finite."""
        known = {name: float(value) for name, value in values.items() if name in self._index and np.isfinite(value)}
        return {name: self.scale(name).score(value) for name, value in known.items()}

    def conditional(self, known: Mapping[str, float]) -> dict[str, Score]:
        """Mean and standard deviation of the normal scores of all other features, given the known values."""
        others, mean, covariance = self._given(known)
        sd = np.sqrt(np.diag(covariance))
        return {name: Score(float(m), float(s)) for name, m, s in zip(others, mean, sd, strict=True)}

    def range(self, known: Mapping[str, float], level: float = 0.9) -> dict[str, Range]:
        """The central range of all other features given the known values, in feature units.

        Parameters
        ----------
        known : values by name; may be empty, then the ranges are the marginal ones.
        level : probability of the range.
        """
        return {name: self._range(name, score, level) for name, score in self.conditional(known).items()}

    def draw(self, known: Mapping[str, float], rng: np.random.Generator, width: float = 1.0) -> dict[str, float]:
        """All other features, drawn jointly given the known ones.

        Parameters
        ----------
        known : values by name.
        rng : decides.
        width : factor of the spread around the conditional mean; below 1 typical ones are drawn.
        """
        others, mean, covariance = self._given(known)
        if not others:
            return {}
        scores = mean + width * np.linalg.cholesky(covariance) @ rng.standard_normal(len(others))
        return {name: self._value(name, float(score)) for name, score in zip(others, scores, strict=True)}

    def distance(self, values: Mapping[str, float], keep: float = 1.0) -> float:
        """Squared Mahalanobis distance of the normal scores of the given features; chi-square distributed for draws.

        Parameters
        ----------
        values : any subset of the features.
        keep : share of the variance whose principal components count; below 1 directions that hardly vary, in which
            noise of the measurement would dominate, are left out (degrees of freedom: ``components``).
        """
        scores = self.scores(values)
        if not scores:
            return 0.0
        variances, vectors = self._principal(tuple(scores), keep)
        return float((np.square(np.array(list(scores.values())) @ vectors) / variances).sum())

    def components(self, names: Sequence[str], keep: float = 1.0) -> int:
        """Number of principal components that ``distance`` counts for these features."""
        return len(self._principal(tuple(name for name in names if name in self._index), keep)[0])

    def farthest(self, values: Mapping[str, float], count: int = 3, level: float = 0.9) -> list[Unusual]:
        """The features whose normal score is most unusual given all the other values, the worst first."""
        scores = self.scores(values)
        rows = [self._index[name] for name in scores]
        precision = np.linalg.inv(self.correlation[np.ix_(rows, rows)])
        residual = precision @ np.array(list(scores.values()))
        found = []
        for name, r, p in zip(scores, residual, np.diag(precision), strict=True):
            expected = Score(scores[name] - float(r / p), float(p**-0.5))
            unusual = Unusual(name, float(values[name]), self._range(name, expected, level), float(r / np.sqrt(p)))
            found.append(unusual)
        return sorted(found, key=lambda one: -abs(one.score))[:count]

    def to_dict(self) -> dict[str, Any]:
        """For JSON; long rows of numbers are strings, which keep an indented file short. Nothing is lost."""
        upper = self.correlation[np.triu_indices(len(self.names), 1)]
        return {
            "count": self.count,
            "names": list(self.names),
            "quantiles": [" ".join(map(short, line)) for line in self.quantiles],
            "correlation_per_mille": " ".join(str(round(1000.0 * r)) for r in upper),
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "JointModel":
        """The inverse of ``to_dict``.

        Raises
        ------
        BundleError : ``bundle.broken`` when entries are missing or do not fit each other.
        """
        try:
            names = tuple(entry["names"])
            quantiles = tuple(tuple(float(q) for q in line.split()) for line in entry["quantiles"])
            correlation = np.eye(len(names))
            upper = np.triu_indices(len(names), 1)
            correlation[upper] = [int(r) / 1000.0 for r in entry["correlation_per_mille"].split()]
            correlation = correlation + correlation.T - np.eye(len(names))
            if len(quantiles) != len(names) or any(len(line) != KNOTS for line in quantiles):
                raise ValueError(f"{len(names)} names, {len(quantiles)} rows of quantiles, of which each needs {KNOTS}")
            np.linalg.cholesky(correlation)
            return cls(names, quantiles, correlation, int(entry["count"]))
        except (KeyError, TypeError, AttributeError, ValueError, np.linalg.LinAlgError) as error:
            message = f"The joint statistics of the bundle are broken: {error!r}."
            raise BundleError("bundle.broken", message, "Get the bundle again.") from error

    def _given(self, known: Mapping[str, float]) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Other names, and mean and covariance of their normal scores."""
        scores = self.scores(known)
        fixed = [self._index[name] for name in scores]
        others = [name for name in self.names if name not in scores]
        free = [self._index[name] for name in others]
        r = self.correlation
        across = np.linalg.solve(r[np.ix_(fixed, fixed)], r[np.ix_(fixed, free)]).T
        mean = across @ np.array([scores[self.names[index]] for index in fixed])
        # Contradictory requests would send the mean far away; beyond the scores' own limit nothing is known.
        return others, np.clip(mean, -LIMIT, LIMIT), r[np.ix_(free, free)] - across @ r[np.ix_(fixed, free)]

    def _principal(self, names: tuple[str, ...], keep: float) -> tuple[np.ndarray, np.ndarray]:
        """Largest eigenvalues of the correlation of some features, with eigenvectors as columns."""
        rows = [self._index[name] for name in names]
        variances, vectors = np.linalg.eigh(self.correlation[np.ix_(rows, rows)])
        variances, vectors = variances[::-1], vectors[:, ::-1]
        before = np.cumsum(variances) - variances
        kept = before < keep * variances.sum()
        return variances[kept], vectors[:, kept]

    def _range(self, name: str, score: Score, level: float) -> Range:
        reach = NormalDist().inv_cdf(0.5 + 0.5 * level) * score.sd
        low, middle, high = (self._value(name, score.mean + side * reach) for side in (-1.0, 0.0, 1.0))
        return Range(low, middle, high)

    def _value(self, name: str, score: float) -> float:
        return self.scale(name).value(score)


def independent(scales: Mapping[str, FeatureScale]) -> JointModel:
    """A model of features of which only the quantiles are known."""
    return JointModel(tuple(scales), tuple(scale.quantiles for scale in scales.values()), np.eye(len(scales)), 0)


def fit_joint(
    values: np.ndarray, names: Sequence[str], groups: Sequence[Any] | None = None, repeats: np.ndarray | None = None
) -> JointModel:
    """The joint model of a sample.

    Parameters
    ----------
    values : features (n, names); what is not finite counts as unknown.
    names : of the columns.
    groups : what each row belongs to (patients); rows are independent of each other where None.
    repeats : how many times each row counts, int (n,); once where None.
    """
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    times = np.ones(len(values), int) if repeats is None else np.asarray(repeats, dtype=int)
    labels = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    lines = [np.repeat(column[there], times[there]) for column, there in zip(values.T, known.T, strict=True)]
    model = JointModel(tuple(names), tuple(map(rounded_quantiles, lines)), np.eye(len(names)), len(values))
    scores = np.zeros_like(values)
    for column, scale in enumerate(model.scales):
        there = known[:, column]
        # An unknown value counts as an average one; a constant feature goes with none.
        scores[there, column] = _standardized(normal_scores(scale, values[there, column]), times[there])
    return replace(model, correlation=shrunken_correlation(scores, known, labels, times))


def _standardized(scores: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Scores with mean 0 and variance 1; zeros where they do not vary."""
    if scores.size == 0:
        return scores
    centered = scores - np.average(scores, weights=times)
    spread = float(np.sqrt(np.average(np.square(centered), weights=times)))
    return np.asarray(centered / spread if spread > 1e-6 else np.zeros_like(scores))
