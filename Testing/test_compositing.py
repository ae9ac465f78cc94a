"""Filling, feathering, compositing, first-order matching and noise, against what is known exactly."""

import math
import time

import numpy as np
import pytest
import torch
from scipy import ndimage

from TumorSynthLib.compositing import BLUR, MATCHABLE, OUTWARD, composite, match_first_order, soft_border
from TumorSynthLib.errors import GeometryError, ImageError
from TumorSynthLib.fill import harmonic_fill, harmonic_fill_exact
from TumorSynthLib.noise import (
    add_noise,
    fit_noise,
    lost_noise,
    noise_power,
    noise_power_ratio,
    quiet,
    sample,
    scan_noise,
    surroundings,
)

ISO = (1.0, 1.0, 1.0)


def ball(size: int, radius: float, spacing: tuple[float, float, float] = ISO, center: float = 0.0) -> np.ndarray:
    axes = [(np.arange(size) - (size - 1) / 2 - center) * step for step in spacing]
    grid = np.meshgrid(*axes, indexing="ij")
    return grid[0] ** 2 + grid[1] ** 2 + grid[2] ** 2 < radius**2


def ramp(size: int) -> np.ndarray:
    i, j, k = np.meshgrid(*[np.arange(size, dtype=np.float64)] * 3, indexing="ij")
    return 2.0 * i - j + 0.5 * k + 7.0


def fill(array: np.ndarray, mask: np.ndarray) -> np.ndarray:
    values = torch.from_numpy(array.astype(np.float32))[None, None]
    return harmonic_fill(values, torch.from_numpy(mask)[None, None])[0, 0].numpy()


def colored_noise(seed: int, sigma: float | tuple[float, float, float], sd: float, size: int = 48) -> np.ndarray:
    white = np.random.default_rng(seed).normal(size=(size, size, size))
    field = ndimage.gaussian_filter(white, sigma, mode="wrap") if np.any(sigma) else white
    return sd * field / field.std()


# Harmonic fill


def test_fill_of_a_linear_ramp_returns_the_ramp():
    array, mask = ramp(40), ball(40, 13)
    hidden = np.where(mask, -1000.0, array)
    span = np.ptp(array[mask])
    assert np.abs(fill(hidden, mask) - array).max() < 0.005 * span
    assert np.abs(harmonic_fill_exact(hidden, mask) - array).max() < 1e-4 * span
    assert np.abs(harmonic_fill_exact(hidden, mask, (0.8, 0.8, 5.0)) - array).max() < 1e-4 * span


def test_fill_of_a_constant_returns_the_constant():
    mask = ball(24, 8)
    assert np.allclose(fill(np.where(mask, 99.0, 4.0), mask), 4.0, atol=1e-5)


@pytest.mark.parametrize("field", ["noise", "step"])
@pytest.mark.parametrize("shape", ["ball", "at the border", "scattered", "one voxel"])
def test_fill_agrees_with_the_sparse_solver_to_one_percent_of_the_range(field, shape):
    rng = np.random.default_rng(0)
    array = rng.normal(size=(33, 30, 29)) if field == "noise" else (np.indices((33, 30, 29)).sum(axis=0) > 45).astype(float)
    mask = np.zeros(array.shape, dtype=bool)
    if shape == "ball":
        mask[5:28, 4:26, 6:24] = ball(33, 12)[5:28, 4:26, 6:24]
    elif shape == "at the border":
        mask[:20, 8:22, :] = True
    elif shape == "scattered":
        mask = rng.random(array.shape) < 0.5
    else:
        mask[7, 8, 9] = True
    exact, fast = harmonic_fill_exact(array, mask), fill(array, mask)
    rim = ndimage.binary_dilation(mask) & ~mask
    assert np.abs(fast - exact)[mask].max() <= 0.01 * np.ptp(array[rim]) + 1e-6
    assert np.array_equal(fast[~mask], array.astype(np.float32)[~mask])


def test_fill_obeys_the_maximum_principle_and_ignores_what_was_in_the_mask():
    array, mask = np.random.default_rng(1).normal(size=(32, 32, 32)), ball(32, 11)
    rim = ndimage.binary_dilation(mask) & ~mask
    filled = fill(array, mask)
    assert filled[mask].min() >= array[rim].min() - 1e-6
    assert filled[mask].max() <= array[rim].max() + 1e-6
    assert np.array_equal(filled, fill(np.where(mask, 1e4, array), mask))


def test_fill_of_a_batch_equals_the_fill_of_its_items():
    values = torch.from_numpy(np.random.default_rng(2).normal(size=(3, 1, 24, 24, 24)).astype(np.float32))
    mask = torch.zeros(values.shape, dtype=torch.bool)
    mask[0, 0] = torch.from_numpy(ball(24, 6))
    mask[1, 0, :12, 3:9, 4:20] = True
    together = harmonic_fill(values, mask)
    for item in range(3):
        alone = harmonic_fill(values[item : item + 1], mask[item : item + 1])
        assert torch.allclose(together[item : item + 1], alone, atol=1e-3)
    assert torch.equal(together, harmonic_fill(values, mask))
    assert torch.equal(together[2], values[2])


def test_fill_refuses_a_mask_that_covers_everything():
    values, mask = torch.zeros(1, 1, 8, 8, 8), torch.ones(1, 1, 8, 8, 8, dtype=torch.bool)
    with pytest.raises(GeometryError, match="whole grid"):
        harmonic_fill(values, mask)
    with pytest.raises(GeometryError, match="whole grid"):
        harmonic_fill_exact(np.zeros((4, 4, 4)), np.ones((4, 4, 4), dtype=bool))


def test_fill_of_the_working_grid_is_fast():
    array, mask = np.random.default_rng(3).normal(size=(64, 64, 64)), ball(64, 16)
    fill(array, mask)
    start = time.process_time()
    fill(array, mask)
    assert time.process_time() - start < 0.5


# Feather


@pytest.mark.parametrize("spacing", [ISO, (0.75, 0.75, 2.5), (2.0, 2.0, 3.3)])
def test_a_five_millimeter_tumor_keeps_its_full_contrast(spacing):
    mask = ball(21, 2.5, spacing)
    weights = soft_border(mask, spacing)
    assert mask.any()
    assert np.all(weights[mask] == 1.0)
    assert np.all(weights[~mask] == 0.0)


def test_the_feather_of_a_large_tumor_is_soft_and_ends_beside_it():
    mask = ball(48, 15)
    weights = soft_border(mask, ISO)
    inside = ndimage.distance_transform_edt(mask)
    beside = ndimage.binary_dilation(mask, np.ones((3, 3, 3), bool))
    assert weights.dtype == np.float32
    assert np.all(weights[inside > 3.0] > 0.995)
    assert np.all(weights[~beside] == 0.0)
    assert np.all((weights[mask] >= 0.5) & (weights[mask] <= 1.0)) and weights[mask].min() < 0.8
    assert 0.3 < weights[~mask].max() < 0.8


def test_the_feather_of_a_plane_is_the_blur_of_a_scanner():
    """Against the Gaussian's own integral, on the voxels to both sides of a border far from all others."""
    mask = np.zeros((40, 40, 40), bool)
    mask[:20] = True
    line = soft_border(mask, ISO)[17:22, 20, 20]
    exact = [min(1.0, OUTWARD * 0.5 * (1.0 - math.erf((place - 19.5) / (BLUR * 2**0.5)))) for place in range(17, 21)]
    assert line == pytest.approx([*exact, 0.0], abs=0.02) and line[2] > 0.9


def test_the_feather_hides_the_stairs_of_a_slanted_border():
    """Where the border lies in each row, as the sum of the weights tells it, is nearer to the straight line than the mask."""
    rows = np.arange(60)
    line = 30.0 + 0.3 * (rows - 30.0)
    mask = np.broadcast_to((rows[:, None] <= line)[:, :, None], (60, 60, 40))
    found = soft_border(mask, ISO).sum(axis=0)[:, 20] - 0.5
    stairs = [float(np.std((place - line)[10:50])) for place in (found, np.floor(line))]
    assert stairs[0] < 0.7 * stairs[1]


def test_a_thin_spicule_on_a_large_tumor_keeps_its_contrast():
    mask = ball(48, 12)
    mask[24:46, 23:25, 23:25] = True
    assert np.all(soft_border(mask, ISO)[40:46, 23:25, 23:25] == 1.0)


def test_a_tumor_cut_by_the_border_of_the_grid_has_no_feather_there():
    mask = np.zeros((30, 30, 30), dtype=bool)
    mask[:15, 5:25, 5:25] = True
    assert np.all(soft_border(mask, ISO)[0, 10:20, 10:20] == 1.0)


# Compositing


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_outside_the_feather_every_bit_stays_and_an_unchanged_prediction_changes_nothing(dtype):
    rng = np.random.default_rng(4)
    original = rng.integers(0, 255, (32, 32, 32)).astype(dtype)
    weights = soft_border(ball(32, 10), ISO)
    result = composite(original, rng.normal(100, 500, original.shape).astype(np.float32), weights)
    assert result.dtype == original.dtype
    assert result[weights == 0].tobytes() == original[weights == 0].tobytes()
    assert composite(original, original, weights, limits=(100.0, 120.0)).tobytes() == original.tobytes()


def test_integers_are_rounded_and_limited_to_the_range_of_their_type():
    original, weights = np.full((3, 1, 1), 100, dtype=np.uint8), np.ones((3, 1, 1), dtype=np.float32)
    prediction = np.array([-50.0, 300.0, 99.6]).reshape(3, 1, 1)
    assert composite(original, prediction, weights).ravel().tolist() == [0, 255, 100]
    wide = composite(original.astype(np.int16), 1e6 * prediction, weights).ravel().tolist()
    assert wide == [-32768, 32767, 32767]
    limited = composite(original.astype(np.int16), prediction, weights, limits=(0.0, 200.0)).ravel().tolist()
    assert limited == [0, 200, 100]


def test_nonfinite_values_are_kept_outside_and_refused_inside():
    original, weights = np.zeros((4, 4, 4), dtype=np.float32), np.zeros((4, 4, 4), dtype=np.float32)
    original[0, 0, 0], weights[2, 2, 2] = np.nan, 1.0
    prediction = np.full((4, 4, 4), np.nan)
    with pytest.raises(ImageError, match="not finite"):
        composite(original, prediction, weights)
    prediction[2, 2, 2] = 5.0
    result = composite(original, prediction, weights)
    assert np.isnan(result[0, 0, 0]) and result[2, 2, 2] == 5.0


# First-order targets


@pytest.mark.parametrize(
    "targets",
    [
        {"firstorder_Mean": 55.0},
        {"firstorder_Variance": 300.0},
        {"firstorder_Mean": 20.0, "firstorder_Variance": 250.0},
        {"firstorder_Mean": 30.0, "firstorder_10Percentile": 10.0, "firstorder_90Percentile": 46.0},
        {"firstorder_Median": 30.0, "firstorder_Minimum": -40.0, "firstorder_Maximum": 120.0},
        {"firstorder_Skewness": 0.8},
    ],
)
def test_first_order_targets_are_met_by_the_composite_with_its_feather(targets):
    original, prediction = colored_noise(0, 0, 10.0) - 20.0, colored_noise(1, 2.0, 12.0) + 40.0
    mask = ball(48, 12)
    weights = soft_border(mask, ISO)
    match = match_first_order(prediction, mask, targets, original, weights)
    blended = composite(original, match.values, weights)[mask]
    assert match.warnings == []
    for name, target in targets.items():
        assert MATCHABLE[name](blended) == pytest.approx(target, rel=0.02, abs=0.25)
        assert MATCHABLE[name](blended) == pytest.approx(match.measured[name], rel=1e-3, abs=1e-3)


def test_the_remap_keeps_the_order_of_the_values():
    prediction, mask = colored_noise(1, 2.0, 12.0), ball(48, 12)
    targets = {"firstorder_10Percentile": -5.0, "firstorder_90Percentile": 40.0, "firstorder_Skewness": 1.0}
    before, after = prediction[mask], match_first_order(prediction, mask, targets).values[mask]
    assert np.all(np.diff(after[np.argsort(before)]) >= 0)


def test_targets_that_contradict_each_other_are_reported():
    targets = {"firstorder_Mean": 80.0, "firstorder_90Percentile": 45.0}
    match = match_first_order(colored_noise(1, 2.0, 5.0) + 40.0, ball(48, 12), targets)
    assert len(match.warnings) == 2
    assert "firstorder_Mean was asked to be 80" in match.warnings[0]


@pytest.mark.parametrize("seed", range(4))
def test_a_kurtosis_of_a_few_voxels_does_not_outweigh_the_percentiles(seed):
    """The values of a real sarcoma with a few voxels of fat."""
    prediction, mask = 17.0 * np.exp(0.5 * colored_noise(seed, 1.0, 1.0)), ball(48, 12)
    percentiles = {"firstorder_Mean": 26.5, "firstorder_10Percentile": 4.0, "firstorder_90Percentile": 46.0}
    moments = {"firstorder_Variance": 562.0, "firstorder_Skewness": -3.55, "firstorder_Kurtosis": 34.1}
    match = match_first_order(prediction, mask, {**moments, **percentiles})
    for name, target in percentiles.items():
        assert match.measured[name] == pytest.approx(target, abs=1.0)
    assert match.measured["firstorder_Variance"] == pytest.approx(562.0, rel=0.03)
    assert any("Kurtosis was asked to be 34.1" in sentence for sentence in match.warnings)


@pytest.mark.parametrize("seed", [3, 4])
def test_targets_that_the_border_makes_impossible_do_not_spoil_the_others(seed):
    """Bone beside the tumor shines through its feather: the variance cannot be met, but all the rest of the tumor can."""
    mask = ball(48, 12)
    weights = soft_border(mask, ISO)
    original = np.where(np.indices(mask.shape)[0] > 30, 700.0, 40.0)
    prediction = 60.0 * np.exp(0.6 * colored_noise(seed, 1.0, 1.0))
    targets = {"firstorder_Mean": 35.0, "firstorder_10Percentile": 18.0, "firstorder_90Percentile": 52.0}
    targets |= {"firstorder_Variance": 150.0, "firstorder_Kurtosis": 7.0}
    match = match_first_order(prediction, mask, targets, original, weights)
    for name in ("firstorder_Mean", "firstorder_10Percentile", "firstorder_90Percentile"):
        assert match.measured[name] == pytest.approx(targets[name], abs=2.0)
    flat = original + weights * (35.0 - original)
    assert match.measured["firstorder_Variance"] < flat[mask].var() + targets["firstorder_Variance"]
    assert any("firstorder_Variance was asked to be 150" in sentence for sentence in match.warnings)


def test_features_that_no_curve_can_set_leave_the_values_alone():
    prediction = colored_noise(1, 2.0, 5.0).astype(np.float32)
    match = match_first_order(prediction, ball(48, 12), {"glcm_Contrast": 3.0})
    assert np.array_equal(match.values, prediction) and match.measured == {}


def test_a_constant_prediction_takes_the_asked_mean():
    match = match_first_order(np.full((12, 12, 12), 3.0), ball(12, 4), {"firstorder_Mean": 9.0})
    assert match.values[ball(12, 4)] == pytest.approx(9.0, abs=1e-3)


# Noise


def edges(size: int = 48) -> np.ndarray:
    i, j, _ = np.indices((size, size, size))
    return 300.0 * (i > 30) - 400.0 * (np.abs(j - 36) < 2) + 200.0 * ~ball(size, 20)


FIELDS = [0.0, 0.6, (1.0, 0.5, 0.0)]


@pytest.mark.parametrize("sigma", FIELDS)
@pytest.mark.parametrize("spacing", [ISO, (0.8, 0.8, 3.0)])
def test_noise_power_is_right_to_ten_percent_beside_strong_edges(sigma, spacing):
    clean = colored_noise(5, sigma, 10.0)
    truth = noise_power(clean, np.ones(clean.shape, dtype=bool), spacing)
    around = surroundings(clean + edges(), ball(48, 8), spacing, width_mm=30.0)
    assert noise_power(clean + edges(), around, spacing) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("sigma", FIELDS)
def test_lost_noise_has_the_level_and_correlation_of_what_was_lost(sigma):
    clean = colored_noise(6, sigma, 10.0)
    model = lost_noise(clean + edges(), ndimage.gaussian_filter(edges(), 1.0), ~ball(48, 8), ISO)
    drawn = sample(model, (64, 64, 64), np.random.default_rng(0))
    assert drawn.std() == pytest.approx(10.0, rel=0.06)
    for axis in range(3):
        real = np.mean(clean * np.roll(clean, 1, axis)) / clean.var()
        ours = np.mean(drawn * np.roll(drawn, 1, axis)) / drawn.var()
        assert ours == pytest.approx(real, abs=0.08)


@pytest.mark.parametrize("sigma", FIELDS)
@pytest.mark.parametrize("own", [0.0, 4.0])
def test_a_smooth_prediction_gets_the_noise_power_of_its_surroundings(sigma, own):
    scan, mask = colored_noise(7, sigma, 10.0) + edges(), ball(48, 9)
    around = surroundings(scan, mask, ISO)
    prediction = colored_noise(8, 1.2, 1.0) * own + 50.0
    model = scan_noise(scan, around, ISO)
    noise = sample(model, scan.shape, np.random.default_rng(1))
    noisy, amplitude = add_noise(prediction, noise, mask, noise_power(scan, around, ISO), ISO)
    assert 0.0 < amplitude < 2.0
    result = composite(scan, noisy, soft_border(mask, ISO))
    assert noise_power_ratio(result, mask, around, ISO) == pytest.approx(1.0, abs=0.12)
    smooth = composite(scan, prediction, soft_border(mask, ISO))
    assert noise_power_ratio(smooth, mask, around, ISO) < 0.5


def test_noise_is_never_taken_from_a_prediction_that_has_enough():
    prediction, mask = colored_noise(9, 0.0, 10.0), ball(48, 9)
    noisy, amplitude = add_noise(prediction, colored_noise(10, 0.0, 1.0), mask, 4.0, ISO)
    assert amplitude == 0.0
    assert np.array_equal(noisy, prediction.astype(np.float32))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_noise():
    model = fit_noise(colored_noise(11, 0.6, 3.0), np.ones((48, 48, 48), dtype=bool))
    first, second = (sample(model, (20, 21, 22), np.random.default_rng(5)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert not np.array_equal(first, sample(model, (20, 21, 22), np.random.default_rng(6)))


def test_a_noiseless_scan_gives_no_noise():
    model = scan_noise(np.zeros((16, 16, 16)), np.ones((16, 16, 16), dtype=bool), ISO)
    assert model.sd == 0.0
    assert not sample(model, (8, 8, 8), np.random.default_rng(0)).any()


def test_surroundings_leave_out_padding_the_mask_and_other_tissue():
    scan, mask = colored_noise(12, 0.0, 5.0), ball(48, 8)
    scan[30:] += 500.0
    scan[:8] = -1000.0
    around = surroundings(scan, mask, ISO, width_mm=40.0, like=np.array([-10.0, 10.0]))
    assert not around[mask].any() and not around[:7].any() and not around[32:].any()
    assert around[12:16].mean() > 0.9


def test_the_quiet_part_leaves_out_textured_tissue_and_keeps_plain_noise():
    scan, everywhere = colored_noise(13, 0.0, 5.0), np.ones((48, 48, 48), dtype=bool)
    assert quiet(scan, everywhere, ISO).mean() > 0.98
    scan[24:] *= 4.0
    kept = quiet(scan, everywhere, ISO)
    assert not kept[28:].any()
    assert noise_power_ratio(scan, kept, everywhere & (np.indices(scan.shape)[0] < 20), ISO) == pytest.approx(1.0, abs=0.1)


def test_a_dark_tumor_between_folds_takes_the_noise_of_the_brighter_tissue_around_them():
    # Thin dark folds are all that is as dark as the tumor, and they have no plain inside, like the cortex in a T1.
    rng, mask = np.random.default_rng(5), ball(48, 8)
    i, j, k = np.indices(mask.shape)
    folds = 70.0 + 30.0 * np.sin(1.3 * i + 0.7 * j) * np.cos(0.9 * k)
    scan = np.where((i < 16) | (i > 32), folds, 100.0) + rng.normal(0.0, 1.0, mask.shape)
    as_dark = surroundings(scan, mask, ISO, like=np.array([40.0, 60.0]))
    brighter = surroundings(scan, mask, ISO, like=np.array([40.0, 60.0]), or_brighter=True)
    assert int(as_dark.sum()) >= 200 and not (as_dark & ~brighter).any()
    folded, plain = (scan_noise(scan, quiet(scan, near, ISO), ISO).sd for near in (as_dark, brighter))
    assert plain == pytest.approx(1.0, abs=0.15) and folded > 3.0


def test_scattered_voxels_and_single_slices_still_give_a_noise_power():
    scan = colored_noise(14, 0.0, 5.0)
    truth = noise_power(scan, np.ones(scan.shape, dtype=bool), (0.8, 0.8, 3.0))
    scattered = np.random.default_rng(0).random(scan.shape) < 0.4
    one_slice = np.indices(scan.shape)[2] == 20
    assert noise_power(scan, one_slice, (0.8, 0.8, 3.0)) == pytest.approx(truth, rel=0.15)
    assert 0.5 * truth < noise_power(scan, scattered, (0.8, 0.8, 3.0)) <= 1.1 * truth


def test_a_region_of_few_voxels_gets_noise_of_a_sane_level():
    scan, mask = colored_noise(15, 0.0, 10.0), ball(48, 2.5)
    around = surroundings(scan, mask, ISO)
    noise = sample(scan_noise(scan, around, ISO), scan.shape, np.random.default_rng(2))
    noisy, amplitude = add_noise(np.zeros(scan.shape), noise, mask, noise_power(scan, around, ISO), ISO)
    assert 0.6 < amplitude < 1.7
    assert noise_power_ratio(np.where(mask, noisy, scan), mask, around, ISO) == pytest.approx(1.0, abs=0.2)


def test_noise_of_single_voxels_is_no_louder_than_noise() -> None:
    """None of them has a neighbor, so that their high-pass shows nothing of what is added."""
    region = np.zeros((30, 30, 30), bool)
    region[3:28:3, 3:28:3, 3:28:3] = True
    field = np.random.default_rng(0).normal(0.0, 10.0, region.shape).astype(np.float32)
    noisy, amplitude = add_noise(np.zeros(region.shape, np.float32), field, region, 90.0, (1.0, 1.0, 1.0))
    assert amplitude <= 6.0 and np.abs(noisy).max() <= 6.0 * np.abs(field).max()
