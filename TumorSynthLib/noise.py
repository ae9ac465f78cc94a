"""High-frequency noise of a scan: measured away from edges, modeled, drawn, and given back to a smooth prediction.

The noise is the part of the values that a small Gaussian removes. Where a structure runs through, that part holds
edges as well, so every level here is taken from voxels whose smoothed gradient is low, by a scale that ignores
outliers. For stationary Gaussian noise a gradient (odd) and a high-pass (even) at one point are uncorrelated, so the
choice of voxels does not bias the level. Through-plane neighbors of thick slices are other anatomy, not noise: axes
much coarser than the finest one are left out of the high-pass.

Which level to aim at: healthy tissue continues the power of its ``surroundings``, fine anatomy included; a tumor is often
plainer than the muscle or lung around it, and there the ``quiet`` part of the surroundings is the scanner's own noise.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from TumorSynthLib.volume import mask_box

Spacing = tuple[float, float, float] | np.ndarray

_COARSE = 1.7
"""An axis belongs to the high-pass when its spacing is at most this many times the finest."""
_FEWEST = 30
_LOUDEST = 6.0
"""Most that a noise field is amplified: among voxels without neighbors its high-pass has next to no power."""
_LAGS = 3
_TAPS = 9
_CLIP = 2.5
_CLIPPED_VARIANCE = 0.91126
"""Variance of a standard normal variable limited to 2.5 standard deviations by dropping what lies beyond."""
_GRADIENT_LIMIT = 5.9
"""1.5 standard deviations of a normal variable over the 20 % quantile of its size."""


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """Stationary Gaussian noise with a separable spectrum."""

    sd: float
    """Standard deviation in the units of the values it was fitted to."""
    kernels: tuple[np.ndarray, np.ndarray, np.ndarray]
    """For each axis a symmetric filter of unit energy that turns white noise into this noise."""


def fit_noise(residual: np.ndarray, where: np.ndarray) -> NoiseModel:
    """The noise model of a residual field, from the voxels in ``where`` alone.

    Parameters
    ----------
    residual : values without structure (a high-pass, or scan minus reconstruction), shape (i, j, k).
    where : bool, same shape; homogeneous voxels (see ``homogeneous``).

    Returns
    -------
    NoiseModel with the robust standard deviation and, per axis, the autocorrelation at lags 1 to 3 as a filter.
    """
    sd = float(np.sqrt(clipped_variance(residual[where]))) if where.any() else 0.0
    if sd == 0.0:
        return NoiseModel(0.0, (np.ones(1), np.ones(1), np.ones(1)))
    values = np.clip(residual / sd, -_CLIP, _CLIP)
    correlations = (_autocorrelation(values, where, axis) for axis in range(3))
    first, second, third = (_filter(correlation) for correlation in correlations)
    return NoiseModel(sd, (first, second, third))


def scan_noise(values: np.ndarray, where: np.ndarray, spacing: Spacing, sigma: float = 2.0) -> NoiseModel:
    """The noise that the scan shows in ``where`` above a Gaussian of ``sigma`` voxels."""
    return fit_noise(high_pass(values, where, spacing, sigma), homogeneous(values, where, spacing))


def lost_noise(original: np.ndarray, reconstruction: np.ndarray, where: np.ndarray, spacing: Spacing) -> NoiseModel:
    """The noise that a round trip (resampling, encoding, decoding) has lost.

    Parameters
    ----------
    original, reconstruction : the scan and its round trip on the scan's grid, in one unit.
    where : bool; surroundings to look at. Their voxels with a low gradient in ``original`` count.
    spacing : voxel edges in mm.
    """
    residual = np.asarray(original, dtype=np.float32) - np.asarray(reconstruction, dtype=np.float32)
    keep = homogeneous(original, where, spacing)
    level = float(np.median(residual[keep])) if keep.any() else 0.0
    return fit_noise(residual - np.float32(level), keep)


def sample(model: NoiseModel, shape: tuple[int, int, int], generator: np.random.Generator) -> np.ndarray:
    """One draw of the noise, float32, shape (i, j, k); the same generator state gives the same values."""
    reach = [kernel.size // 2 for kernel in model.kernels]
    padded = tuple(n + 2 * r for n, r in zip(shape, reach, strict=True))
    field = generator.standard_normal(padded, dtype=np.float32)
    for axis, kernel in enumerate(model.kernels):
        field = ndimage.convolve1d(field, kernel.astype(np.float32), axis=axis, mode="wrap")
    inner = tuple(slice(r, r + n) for r, n in zip(reach, shape, strict=True))
    return np.ascontiguousarray(field[inner]) * np.float32(model.sd)


def add_noise(
    prediction: np.ndarray, noise: np.ndarray, region: np.ndarray, power: float, spacing: Spacing
) -> tuple[np.ndarray, float]:
    """The prediction with as much of a noise field as gives the region a wanted noise power.

    Parameters
    ----------
    prediction, noise : shape (i, j, k), in one unit; the noise from ``sample``.
    region : bool; where the power is measured. The noise is added everywhere.
    power : what ``noise_power`` shall give in the region, usually that of the surroundings.
    spacing : voxel edges in mm.

    Returns
    -------
    The noisy prediction (float32) and the amplitude, a factor of ``noise``; 0 when the prediction has enough power.
    """
    box = mask_box(region).slices
    smooth, added, inside = prediction[box], noise[box], region[box]
    own_pass, added_pass = high_pass(smooth, inside, spacing), high_pass(added, inside, spacing)
    amplitude = 0.0
    # Which voxels count as homogeneous depends on the noise, so the level is settled in rounds.
    for _ in range(4):
        keep = homogeneous(smooth + amplitude * added, inside, spacing)
        amplitude = _amplitude(own_pass[keep], added_pass[keep], power)
    return (prediction + np.float32(amplitude) * noise).astype(np.float32), amplitude


def _amplitude(own: np.ndarray, added: np.ndarray, power: float) -> float:
    """How much of ``added`` brings the variance of ``own`` to ``power``, by bisection."""
    scale = clipped_variance(added)
    if not np.isfinite(power) or scale <= 0.0 or clipped_variance(own) >= power:
        return 0.0
    low, high = 0.0, min(2.0 * float(np.sqrt(power / scale)), _LOUDEST)
    for _ in range(16):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if clipped_variance(own + middle * added) < power else (low, middle)
    return 0.5 * (low + high)


def noise_power(values: np.ndarray, where: np.ndarray, spacing: Spacing) -> float:
    """Variance of the high-pass of ``values`` in the homogeneous part of ``where``; NaN when ``where`` is too small."""
    keep = homogeneous(values, where, spacing)
    return clipped_variance(high_pass(values, where, spacing)[keep]) if int(keep.sum()) >= 8 else float("nan")


def noise_power_ratio(values: np.ndarray, region: np.ndarray, surroundings: np.ndarray, spacing: Spacing) -> float:
    """Noise power of a region over that of its surroundings, 1 when the noise goes on unchanged.

    Parameters
    ----------
    values : shape (i, j, k).
    region, surroundings : bool, same shape. Each is filtered by itself, so the step between them does not count.
    spacing : voxel edges in mm.
    """
    reference = noise_power(values, surroundings, spacing)
    return noise_power(values, region, spacing) / reference if reference > 0 else float("nan")


def surroundings(
    values: np.ndarray,
    mask: np.ndarray,
    spacing: Spacing,
    width_mm: float = 15.0,
    like: np.ndarray | None = None,
    or_brighter: bool = False,
) -> np.ndarray:
    """Voxels around a mask that show the scan's noise: near, not padding, and of the asked intensity class.

    Parameters
    ----------
    values : the scan, shape (i, j, k).
    mask : bool; the edited region, which is left out with a gap of one voxel.
    spacing : voxel edges in mm.
    width_mm : how far from the mask to look.
    like : values of the tissue whose noise is wanted (for example the prediction inside the mask). Where fewer than
        200 surrounding voxels are of that class, all count.
    or_brighter : whether brighter tissue counts as well. Where the class itself is all structure (the cortex around a dark
        tumor in a T1) its quiet part is not quiet; air, which is quieter than any tissue, is darker.
    """
    distance = ndimage.distance_transform_edt(~mask, sampling=tuple(spacing))
    near = (distance > 1.5 * float(np.min(spacing))) & (distance <= width_mm) & ~_flat(values)
    if like is None or like.size == 0:
        return near
    low, high = np.percentile(like, [5, 95])
    smooth = _smooth_inside(values, near, spacing, 1.5)
    slack = max(0.5 * (high - low), 2.0 * float(np.sqrt(clipped_variance((values - smooth)[near]))))
    similar = near & (smooth >= low - slack) & ((smooth <= high + slack) | or_brighter)
    return similar if int(similar.sum()) >= 200 else near


def quiet(values: np.ndarray, where: np.ndarray, spacing: Spacing, excess: float = 2.0) -> np.ndarray:
    """The part of ``where`` whose local noise power is at most ``excess`` times that of its quietest tenth.

    In plain noise nearly all voxels stay; in tissue with fibers, vessels or folds what is left shows the scanner's noise.
    Take ``where`` from one intensity class (``surroundings`` with ``like``), or air will be what is quietest.
    """
    if not where.any():
        return where.copy()
    power = _smooth_inside(high_pass(values, where, spacing) ** 2, where, spacing, 2.0)
    return where & (power <= excess * np.quantile(power[where], 0.1))


def homogeneous(values: np.ndarray, where: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The part of ``where`` without edges: along each axis the smoothed gradient is no larger than noise makes it.

    The size that noise makes is taken from the lower 20 % of the gradients, so edges do not enter. In pure noise
    about two thirds of the voxels stay. Where fewer than 30 would, as in the smallest tumors, all of ``where`` stays.
    """
    keep = where.copy()
    if not where.any():
        return keep
    smooth = _smooth_inside(values, where, spacing, 1.5)
    for axis in range(3):
        gradient = np.abs(_central_difference(smooth, where, axis))
        # Without a neighbor in ``where`` a voxel has no gradient along this axis, and no say in the limit.
        known = gradient[where & (gradient > 0)]
        if known.size:
            limit = _GRADIENT_LIMIT * np.quantile(known, 0.2)
            # On the ridge of a thin structure the gradient vanishes, but strong ones stand on both sides.
            strong = ndimage.maximum_filter1d((gradient > 2.0 * limit).astype(np.uint8), 5, axis=axis)
            keep &= (gradient <= limit) & (strong == 0)
    return keep if int(keep.sum()) >= _FEWEST else where.copy()


def high_pass(values: np.ndarray, where: np.ndarray, spacing: Spacing, sigma: float = 1.0) -> np.ndarray:
    """Values minus their Gaussian mean over the voxels of ``where`` (``sigma`` in voxels, fine axes only); 0 elsewhere."""
    smooth = _smooth_inside(values, where, spacing, sigma)
    return np.where(where, np.asarray(values, dtype=np.float32) - smooth, np.float32(0.0))


def clipped_variance(values: np.ndarray) -> float:
    """Variance of the bulk: values beyond 2.5 standard deviations are dropped, and the Gaussian's share of them given back.

    Zero where more than half of the values are equal.
    """
    if values.size == 0:
        return 0.0
    centered = np.asarray(values, dtype=np.float64) - np.median(values)
    variance = float(np.median(np.abs(centered)) * 1.4826) ** 2
    if variance == 0.0:
        return 0.0
    for _ in range(4):
        inside = np.abs(centered) <= _CLIP * np.sqrt(variance)
        variance = float(np.mean(centered[inside] ** 2)) / _CLIPPED_VARIANCE
    return variance


def _fine_axes(spacing: Spacing) -> list[int]:
    finest = float(np.min(spacing))
    return [axis for axis in range(3) if spacing[axis] <= _COARSE * finest]


def _smooth(values: np.ndarray, spacing: Spacing, sigma: float) -> np.ndarray:
    fine = _fine_axes(spacing)
    return ndimage.gaussian_filter(values, [sigma if axis in fine else 0.0 for axis in range(3)], truncate=3.0)


def _smooth_inside(values: np.ndarray, where: np.ndarray, spacing: Spacing, sigma: float) -> np.ndarray:
    """Gaussian mean over the voxels of ``where`` (normalized convolution); 0 elsewhere."""
    weight = _smooth(where.astype(np.float32), spacing, sigma)
    center = np.float32(np.mean(values[where])) if where.any() else np.float32(0.0)
    total = _smooth(np.where(where, np.asarray(values, dtype=np.float32) - center, np.float32(0.0)), spacing, sigma)
    return np.where(where, total / np.maximum(weight, 1e-6) + center, np.float32(0.0))


def _central_difference(smooth: np.ndarray, where: np.ndarray, axis: int) -> np.ndarray:
    """Half the difference of the two neighbors; the voxel itself stands in for a neighbor outside ``where``."""
    values, inside = np.moveaxis(smooth, axis, 0), np.moveaxis(where, axis, 0)
    ahead, behind = values.copy(), values.copy()
    ahead[:-1] = np.where(inside[1:], values[1:], values[:-1])
    behind[1:] = np.where(inside[:-1], values[:-1], values[1:])
    return np.moveaxis(0.5 * (ahead - behind), 0, axis)


def _flat(values: np.ndarray) -> np.ndarray:
    """Voxels equal to all their neighbors: padding, clipped air, skull-stripped background."""
    return ndimage.maximum_filter(values, 3) == ndimage.minimum_filter(values, 3)


def _autocorrelation(values: np.ndarray, where: np.ndarray, axis: int) -> np.ndarray:
    """Correlation at lags 0 to 3 along one axis, over pairs of which both lie in ``where``."""
    field, inside = np.moveaxis(values, axis, 0), np.moveaxis(where, axis, 0)
    correlation = np.zeros(_LAGS + 1)
    correlation[0] = 1.0
    for lag in range(1, min(_LAGS, field.shape[0] - 1) + 1):
        pairs = inside[lag:] & inside[:-lag]
        if int(pairs.sum()) < 50:
            break
        first, second = field[lag:][pairs].astype(np.float64), field[:-lag][pairs].astype(np.float64)
        correlation[lag] = np.mean(first * second) / max(0.5 * np.mean(first**2 + second**2), 1e-12)
    return correlation


def _filter(correlation: np.ndarray) -> np.ndarray:
    """Symmetric filter of unit energy whose autocorrelation is the given one, as near as nine taps come."""
    size = 64
    around = np.zeros(size)
    around[: _LAGS + 1] = correlation
    around[-_LAGS:] = correlation[:0:-1]
    amplitude = np.sqrt(np.maximum(np.fft.rfft(around).real, 0.0))
    taps = np.fft.irfft(amplitude, size)
    kernel = np.concatenate([taps[-(_TAPS // 2) :], taps[: _TAPS // 2 + 1]])
    return kernel / np.sqrt(np.sum(kernel**2))
