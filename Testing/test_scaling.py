"""Normal scores against the normal distribution, and statistics through JSON and back."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TumorSynthLib.scaling import KNOTS, FeatureScale, feature_statistics, fit_scale, scales

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(100.0, 15.0, 20_000)


def test_scores_of_a_normal_feature_are_its_z_values() -> None:
    scale = fit_scale(NORMAL)
    for z in (-2.0, -1.0, 0.0, 0.5, 2.0):
        assert scale.score(100.0 + 15.0 * z) == pytest.approx(z, abs=0.06)


def test_scores_are_ranks_so_a_skewed_feature_scores_like_its_logarithm() -> None:
    logarithm, skewed = fit_scale(NORMAL / 15.0), fit_scale(np.exp(NORMAL / 15.0))
    for value in np.quantile(NORMAL / 15.0, [0.05, 0.25, 0.5, 0.75, 0.95]):
        assert skewed.score(float(np.exp(value))) == pytest.approx(logarithm.score(float(value)), abs=0.05)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=40), st.floats(-2e6, 2e6), st.floats(-2e6, 2e6))
def test_scores_never_fall_and_stay_within_four(sample: list[float], one: float, other: float) -> None:
    scale = fit_scale(np.array(sample))
    low, high = scale.score(min(one, other)), scale.score(max(one, other))
    assert -4.0 <= low <= high <= 4.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=40))
def test_quantiles_increase_strictly_even_for_a_constant_feature(sample: list[float]) -> None:
    quantiles = np.array(fit_scale(np.array(sample)).quantiles)
    assert quantiles.shape == (KNOTS,) and np.all(np.diff(quantiles) > 0.0)


def test_the_value_of_a_score_is_its_inverse_inside_the_quantiles() -> None:
    scale = fit_scale(np.exp(RNG.normal(size=500)))
    for value in np.linspace(scale.quantiles[0], scale.quantiles[-1], 41):
        assert scale.value(scale.score(float(value))) == pytest.approx(value, rel=1e-9)
    assert scale.value(99.0) == scale.quantiles[-1] and scale.value(-99.0) == scale.quantiles[0]


def test_beyond_the_outermost_quantiles_a_score_goes_on_linearly() -> None:
    scale = FeatureScale(tuple(np.arange(KNOTS, dtype=float)))
    slope = scale.score(0.0) - scale.score(1.0)
    assert slope < 0.0
    assert scale.score(-0.5) == pytest.approx(scale.score(0.0) + 0.5 * slope)
    assert scale.score(KNOTS - 0.5) == pytest.approx(scale.score(KNOTS - 1.0) - 0.5 * slope)


def test_undefined_values_do_not_count() -> None:
    with_gaps = np.concatenate([NORMAL[:500], [np.nan, np.inf, -np.inf]])
    assert fit_scale(with_gaps) == fit_scale(NORMAL[:500])
    assert fit_scale(np.full(3, np.nan)).score(0.0) == pytest.approx(fit_scale(np.zeros(1)).score(0.0))


def test_the_range_of_a_feature_is_that_of_tumors_and_its_scale_that_of_all_regions() -> None:
    values = np.concatenate([np.linspace(0.0, 1.0, 101), np.linspace(10.0, 20.0, 101)])[:, None]
    entry = feature_statistics(values, ["glcm_Contrast"], np.arange(202) >= 101)["glcm_Contrast"]
    assert entry["range"] == pytest.approx([10.5, 19.5]) and entry["median"] == 15.0 and entry["count"] == 101
    assert entry["quantiles"][0] == pytest.approx(0.01, abs=0.01) and entry["quantiles"][-1] == pytest.approx(19.9, abs=0.1)
    assert scales({"glcm_Contrast": entry})["glcm_Contrast"].score(1.0) == pytest.approx(0.0, abs=0.1)


def test_too_few_tumors_borrow_from_all_regions_and_an_undefined_feature_is_left_out() -> None:
    values = np.stack([np.arange(20.0), np.full(20, np.nan)], axis=1)
    found = feature_statistics(values, ["firstorder_Mean", "glcm_MCC"], np.arange(20) < 4)
    assert list(found) == ["firstorder_Mean"] and found["firstorder_Mean"]["count"] == 20


@pytest.mark.parametrize("sample", [NORMAL, np.exp(NORMAL / 8.0), np.full(9, 3.25), np.zeros(5)], ids=["a", "b", "c", "d"])
def test_a_scale_survives_the_bundle(sample: np.ndarray) -> None:
    stored = json.loads(json.dumps(feature_statistics(sample[:, None], ["x"], np.zeros(len(sample), bool))))
    read, fitted = scales(stored)["x"], fit_scale(sample)
    assert np.all(np.diff(read.quantiles) > 0.0)
    assert np.allclose(read.quantiles, fitted.quantiles, rtol=1e-4, atol=1e-6)
    for value in np.quantile(sample, [0.1, 0.5, 0.9]):
        assert read.score(float(value)) == pytest.approx(fitted.score(float(value)), abs=0.02 if sample.std() > 0 else 0.5)
