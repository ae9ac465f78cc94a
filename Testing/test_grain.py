"""Coarser and finer texture at the same contrast."""

import numpy as np
import pytest

from TumorSynthLib.grain import LARGEST_GAIN, regrained, smoothed_within

SPACING = np.array([1.0, 1.0, 2.0])
WHERE = np.ones((48, 24, 12), dtype=bool)
INNER = np.zeros_like(WHERE)
INNER[12:36, 6:18, 3:9] = True


def wave(length_mm: float) -> np.ndarray:
    """A wave along the first axis, as the Gaussian's transform is known for it."""
    return np.sin(2.0 * np.pi * np.indices(WHERE.shape)[0] * SPACING[0] / length_mm)


def amplitude(values: np.ndarray, length_mm: float) -> float:
    """Of a wave in the inner part."""
    one = wave(length_mm)[INNER]
    centered = values[INNER] - values[INNER].mean()
    return float(centered @ one / (one @ one))


@pytest.mark.parametrize(("grain", "detail_mm"), [(0.7, 1.0), (1.5, 1.0), (0.5, 3.0)])
def test_smoothing_takes_of_a_wave_what_a_gaussian_takes(grain: float, detail_mm: float) -> None:
    coarse, fine = 24.0, 6.0
    values = 40.0 + 10.0 * wave(coarse) + 5.0 * wave(fine)
    found = regrained(values, WHERE, INNER, grain, detail_mm, SPACING)

    def kept(length: float) -> float:
        return float(np.exp(-2.0 * (np.pi * grain * detail_mm / length) ** 2))

    expected = 0.5 * kept(fine) / kept(coarse)
    assert amplitude(found, fine) / amplitude(found, coarse) == pytest.approx(expected, rel=0.05)


def test_finer_raises_what_the_gaussian_takes_away() -> None:
    coarse, fine, grain = 24.0, 4.0, -1.0
    values = 40.0 + 10.0 * wave(coarse) + 2.0 * wave(fine)
    found = regrained(values, WHERE, INNER, grain, 1.0, SPACING)
    gains = [1.0 - grain * (1.0 - np.exp(-2.0 * (np.pi / length) ** 2)) for length in (coarse, fine)]
    assert amplitude(found, fine) / amplitude(found, coarse) == pytest.approx(0.2 * gains[1] / gains[0], rel=0.05)


@pytest.mark.parametrize("grain", [-2.0, -1.0, 0.7, 1.5])
def test_mean_and_contrast_stay(grain: float) -> None:
    values = np.random.default_rng(0).normal(35.0, 8.0, WHERE.shape)
    found = regrained(values, WHERE, INNER, grain, 0.8, SPACING)
    assert found[INNER].mean() == pytest.approx(values[INNER].mean(), rel=1e-4)
    assert found[INNER].std() == pytest.approx(values[INNER].std(), rel=1e-4)


def test_what_is_hardly_there_is_not_blown_up() -> None:
    """White grain smoothed by six voxels keeps a hundredth of its deviation; brought back whole it would be one large blob."""
    values = np.random.default_rng(0).normal(0.0, 8.0, WHERE.shape)
    found = regrained(values, WHERE, WHERE, 6.0, 1.0, SPACING)
    smooth = smoothed_within(values, WHERE, 6.0, SPACING)
    assert found.std() == pytest.approx(LARGEST_GAIN * smooth.std(), rel=1e-3) and found.std() < 4.0


def test_nothing_outside_enters_or_changes() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0.0, 1.0, WHERE.shape)
    bone = np.where(INNER, values, 1000.0)
    one, other = (regrained(array, INNER, INNER, 1.5, 1.0, SPACING) for array in (values, bone))
    assert np.array_equal(one[INNER], other[INNER])
    assert np.array_equal(other[~INNER], bone[~INNER].astype(np.float32))


def test_a_stray_voxel_far_from_all_others_keeps_the_level() -> None:
    """The Gaussian finds next to nothing around it; that must not be read as nothing."""
    where = np.zeros((60, 24, 12), dtype=bool)
    where[2:20, 4:20, 2:10] = True
    where[55, 12, 6] = True
    values = 60.0 + np.random.default_rng(2).normal(0.0, 10.0, where.shape)
    for grain in (4.0, 8.0):
        assert abs(regrained(values, where, where, grain, 1.0, SPACING)[55, 12, 6] - 60.0) < 60.0


def test_no_grain_is_no_change() -> None:
    values = np.random.default_rng(1).normal(0.0, 1.0, WHERE.shape)
    assert regrained(values, WHERE, INNER, 0.0, 1.0, SPACING) is values
