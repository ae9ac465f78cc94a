"""From a prediction to the edited scan: a narrow feather, an exact background, and first-order targets met in the mask.

The feather is what a scanner's blur makes of the mask, which also hides the stairs of its voxels, as far as the local radius
of the mask allows it: small tumors keep their full contrast. (A Gaussian blur of a fixed width leaves a ball of radius 4 a
fifth of its contrast.)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize

from TumorSynthLib.errors import ImageError
from TumorSynthLib.volume import mask_box

Spacing = tuple[float, float, float] | np.ndarray
Array = np.ndarray

_RADII = (2.0, 3.5, 4.25, 5.0)
"""Local radii in voxels that are told apart."""
_SHARP, _SOFT = 2.0, 5.0
"""Radii in voxels up to which there is no feather, and from which on it is whole."""
BLUR = 0.8
"""Standard deviation of the whole feather, in finest voxels."""
OUTWARD = 1.25
"""Factor of the blurred mask, up to 1, which moves the border out by a fifth of a voxel: the mask's outermost voxels, in which
features are measured as well, then show nine tenths tumor; bone beside them would otherwise decide the features."""
_TOLERANCE = 0.02
_MOST = 2000
_QUANTILES = np.array([0.0, 0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 1.0])
_MIDDLE = 5
_LARGEST_GAIN = 8.0


def soft_border(mask: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Blending weights of an edit: the mask, blurred about as a scanner would, for the most part outward.

    Parameters
    ----------
    mask : bool, shape (i, j, k).
    spacing : voxel edges in mm; along thick slices there is hardly any blur.

    Returns
    -------
    float32 weights in [0, 1]; exactly 0 in voxels that do not touch the mask.
    """
    weights = np.zeros(mask.shape, dtype=np.float32)
    if not mask.any():
        return weights
    voxel = float(np.min(spacing))
    steps = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    box = mask_box(mask).expanded(np.full(3, 3.0), mask.shape).slices
    part = mask[box]
    # Beyond the border of the grid the mask goes on, so a tumor cut by the border has no feather there.
    inside = ndimage.distance_transform_edt(np.pad(part, 1, mode="edge"), sampling=steps)[1:-1, 1:-1, 1:-1]
    nearest = ndimage.distance_transform_edt(~part, sampling=steps, return_distances=False, return_indices=True)
    radius = _local_radius(inside, steps, voxel)[tuple(nearest)] / voxel
    softness = np.clip((radius - _SHARP) / (_SOFT - _SHARP), 0.0, 1.0)
    blurred = ndimage.gaussian_filter(part.astype(np.float32), [BLUR * voxel / step for step in steps], mode="nearest")
    reached = ndimage.binary_dilation(part, np.ones((3, 3, 3), bool))
    weights[box] = np.where(reached, part + softness * (np.minimum(OUTWARD * blurred, 1.0) - part), 0.0)
    return weights


def _local_radius(inside: np.ndarray, steps: tuple[float, float, float], voxel: float) -> np.ndarray:
    """For each voxel the radius in mm of the largest ball (of a few sizes) that fits in the mask and covers it."""
    radius = np.full(inside.shape, _RADII[0] * voxel)
    for step in _RADII[1:]:
        core = inside >= step * voxel
        if not core.any():
            break
        covered = ndimage.distance_transform_edt(~core, sampling=steps) <= step * voxel
        radius[covered & (inside > 0)] = step * voxel
    return radius


def composite(
    original: np.ndarray,
    prediction: np.ndarray,
    weights: np.ndarray,
    dtype: np.dtype | type | str | None = None,
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """The scan with the prediction blended in; voxels of weight 0 are the original ones, bit for bit.

    Parameters
    ----------
    original : stored values, shape (i, j, k).
    prediction : stored values, same shape, any real type.
    weights : from ``soft_border``.
    dtype : type of the result; None keeps that of ``original``. Integers are rounded and limited to the type's range.
    limits : smallest and largest value to write, for example the scan's own (no voxel below the CT's air).

    Raises
    ------
    ImageError : when the prediction is not finite where it is used.
    """
    kind = np.dtype(original.dtype if dtype is None else dtype)
    result = original.astype(kind)
    band = weights > 0
    before, after = original[band].astype(np.float64), prediction[band].astype(np.float64)
    check_finite(after)
    blended = before + weights[band] * (after - before)
    low, high = limits if limits is not None else (-np.inf, np.inf)
    # What the scan itself holds stays allowed, so an unchanged prediction gives the original.
    blended = np.clip(blended, np.minimum(low, before), np.maximum(high, before))
    if kind.kind in "iu":
        info = np.iinfo(kind)
        blended = np.clip(np.rint(blended), info.min, info.max)
    result[band] = blended.astype(kind)
    return result


def check_finite(prediction: np.ndarray, where: np.ndarray | slice = slice(None)) -> None:
    """Check that a prediction can be used.

    Raises
    ------
    ImageError : when it is not finite where it is used.
    """
    if not np.all(np.isfinite(prediction[where])):
        raise ImageError(
            "prediction.nonfinite", "The model predicted values that are not finite.", "Try another seed or domain."
        )


@dataclass(frozen=True, eq=False)
class FirstOrderMatch:
    """A prediction whose first-order features were brought to their targets."""

    values: np.ndarray
    """The remapped prediction, float32, to be composited with the same weights."""
    measured: dict[str, float]
    """The asked features of the composite inside the mask."""
    warnings: list[str]
    """One sentence for each target that could not be met to 2 % (of the target or of the spread of the values)."""


def match_first_order(
    values: np.ndarray,
    mask: np.ndarray,
    targets: Mapping[str, float],
    original: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> FirstOrderMatch:
    """Remap values by one monotone curve so that first-order features of the *composite* inside the mask hit targets.

    With mean and variance alone the curve is affine; other targets bend it at eleven quantiles, as little as needed.
    The curve acts wherever the weight is positive, so the feather has no seam.

    Parameters
    ----------
    values : prediction in domain values, shape (i, j, k).
    mask : bool; where features are measured.
    targets : wanted values by PyRadiomics name (``firstorder_Mean`` and so on); names this cannot set are ignored
        (see ``MATCHABLE``).
    original, weights : the scan in domain values and the blending weights; None means no feather.

    Raises
    ------
    ImageError : when the mask is empty.
    """
    if not mask.any():
        raise ImageError("mask.empty", "The mask has no voxel set.", "Paint or choose a region that is not empty.")
    wanted = {name: float(target) for name, target in targets.items() if name in MATCHABLE}
    weights = mask.astype(np.float32) if weights is None else weights
    original = values if original is None else original
    if not wanted:
        return FirstOrderMatch(np.asarray(values, dtype=np.float32), {}, [])
    inside = tuple(array[mask].astype(np.float64) for array in (values, original, weights))
    knots = np.quantile(inside[0], _QUANTILES)
    possible = _possible(wanted, inside)
    aims = dict(possible)
    sample, curve = _thinned(inside), np.zeros(1 + _QUANTILES.size)
    # The curve is found on a sample of the voxels; the aims absorb what the sample misses, but not what no curve can reach.
    for _ in range(3):
        heights, curve = _solve_curve(knots, sample, aims, curve)
        curved, seen = (below + weight * (_bend(value, knots, heights) - below) for value, below, weight in (inside, sample))
        measured = {name: MATCHABLE[name](curved) for name in wanted}
        aims = {name: value + MATCHABLE[name](seen) - measured[name] for name, value in possible.items()}
    band = weights > 0
    result = np.array(values, dtype=np.float32)
    result[band] = _bend(values[band].astype(np.float64), knots, heights)
    return FirstOrderMatch(result, measured, _unmet(wanted, measured, float(np.std(curved))))


def _possible(targets: Mapping[str, float], inside: tuple[Array, ...]) -> dict[str, float]:
    """The targets with a variance that the border leaves possible, and where it decides, without the tails, which it is then.

    Where fat or bone shines through the border, no curve makes the tumor as even as it may be asked to be; run after all the
    same, the variance would flatten the inside, and draw the mean towards bone.
    """
    values, original, weights = inside
    known = dict(targets)
    if "firstorder_Variance" in known:
        mean = known.get("firstorder_Mean", known.get("firstorder_Median", float(values.mean())))
        level = (mean - np.mean((1.0 - weights) * original)) / np.mean(weights)
        flat = original + weights * (level - original)
        wanted, border = known["firstorder_Variance"], float(flat.var())
        # Of a border that makes little of the variance the rest is the inside's; beside one that makes more it keeps all of it.
        least = border + wanted * border / max(border + wanted, 1e-12)
        if least > wanted:
            known = {name: value for name, value in known.items() if name not in ("firstorder_Skewness", "firstorder_Kurtosis")}
            known["firstorder_Variance"] = least
    return known


def _solve_curve(knots: Array, inside: tuple[Array, ...], targets: Mapping[str, float], start: Array) -> tuple[Array, Array]:
    """Heights of the curve over the knots, and its parameters: shift, logarithm of the gain, and of the bend per segment.

    The curve is affine where mean and variance are all that is asked.
    """
    values, original, weights = inside
    center = float(np.mean(values))
    # A nearly constant prediction may have to move by many of its own standard deviations.
    way = abs(targets.get("firstorder_Mean", targets.get("firstorder_Median", center)) - center)
    spread = max(float(np.std(values)), 1e-3 * way, 1e-6)
    scales = {name: _scale(name, target, spread) for name, target in targets.items()}
    affine = set(targets) <= {"firstorder_Mean", "firstorder_Variance"}
    steps = np.diff(knots)

    def heights(parameters: Array) -> Array:
        line = center + spread * parameters[0] + np.exp(parameters[1]) * (knots - center)
        if affine:
            return line
        rises = np.exp(parameters[1] + parameters[2:]) * steps
        bent = np.concatenate([[0.0], np.cumsum(rises)])
        return line[_MIDDLE] + bent - bent[_MIDDLE]

    def misfit(parameters: Array) -> Array:
        curved = original + weights * (_bend(values, knots, heights(parameters)) - original)
        errors = [(MATCHABLE[name](curved) - target) / scales[name] for name, target in targets.items()]
        # A jump of the slope makes a crowd of equal values beside it.
        jumps = 3e-2 * np.diff(parameters[2:])
        return np.concatenate([errors, 1e-3 * parameters[:1], 3e-3 * parameters[1:2], 3e-3 * parameters[2:], jumps])

    start = start[:2] if affine else start
    limit = np.concatenate([[np.inf], np.full(start.size - 1, np.log(_LARGEST_GAIN))])
    found = optimize.least_squares(misfit, start, bounds=(-limit, limit), max_nfev=25, xtol=1e-6, ftol=1e-6)
    return heights(found.x), found.x


def _bend(values: Array, knots: Array, heights: Array) -> Array:
    """The piecewise linear curve; beyond its ends the values are shifted with the end."""
    ends = np.minimum(values - knots[0], 0.0) + np.maximum(values - knots[-1], 0.0)
    return np.interp(values, knots, heights) + ends


def _thinned(inside: tuple[Array, ...]) -> tuple[Array, ...]:
    """At most a few thousand voxels, evenly over the weights (feather and core) and the ranks of the values."""
    size = inside[0].size
    if size <= _MOST:
        return inside
    order = np.lexsort((inside[0], inside[2]))[np.linspace(0, size - 1, _MOST).astype(int)]
    return tuple(array[order] for array in inside)


def _scale(name: str, target: float, spread: float) -> float:
    """The size of a feature's error that counts as one: features in squared units, without units, or in units.

    A kurtosis of 60 is of a few voxels; missed by a tenth, it must not outweigh the percentiles of all the others.
    """
    if name == "firstorder_Variance":
        return max(abs(target), 1e-6 * spread**2)
    return max(1.0, abs(target)) if name in ("firstorder_Skewness", "firstorder_Kurtosis") else spread


def _unmet(targets: Mapping[str, float], measured: Mapping[str, float], spread: float) -> list[str]:
    """What missed its target."""
    sentences = []
    for name, target in targets.items():
        allowed = _TOLERANCE * max(abs(target), _scale(name, target, spread))
        if not abs(measured[name] - target) <= allowed:
            sentences.append(f"{name} was asked to be {target:.4g} and came out as {measured[name]:.4g}.")
    return sentences


def _percentile(share: float) -> Callable[[Array], float]:
    return lambda values: float(np.percentile(values, share))


def _moment(power: int) -> Callable[[Array], float]:
    def standardized(values: Array) -> float:
        centered = values - np.mean(values)
        # Products of arrays: a power is thirty times slower, and this is asked thousands of times.
        square = centered * centered
        variance = float(np.mean(square))
        return float(np.mean(square * (centered if power == 3 else square))) / variance ** (power / 2) if variance > 0 else 0.0

    return standardized


MATCHABLE: dict[str, Callable[[Array], float]] = {
    "firstorder_Mean": lambda values: float(np.mean(values)),
    "firstorder_Variance": lambda values: float(np.var(values)),
    "firstorder_Median": _percentile(50),
    "firstorder_10Percentile": _percentile(10),
    "firstorder_90Percentile": _percentile(90),
    "firstorder_Minimum": lambda values: float(np.min(values)),
    "firstorder_Maximum": lambda values: float(np.max(values)),
    "firstorder_Range": lambda values: float(np.ptp(values)),
    "firstorder_InterquartileRange": lambda values: float(np.subtract(*np.percentile(values, [75, 25]))),
    "firstorder_MeanAbsoluteDeviation": lambda values: float(np.mean(np.abs(values - np.mean(values)))),
    "firstorder_RootMeanSquared": lambda values: float(np.sqrt(np.mean(values**2))),
    "firstorder_Skewness": _moment(3),
    "firstorder_Kurtosis": _moment(4),
}
"""First-order features that a monotone curve can set, by PyRadiomics name (Kurtosis without the minus 3)."""
