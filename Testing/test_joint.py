"""The joint model of features against the closed forms of a multivariate normal, and its fit to small and awkward samples."""

import json
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from TumorSynthLib.errors import BundleError
from TumorSynthLib.joint import JointModel, fit_joint, independent
from TumorSynthLib.normal_scores import LIMIT, NORMAL_SCORES, increasing, normal_scores
from TumorSynthLib.scaling import FeatureScale, fit_scale
from TumorSynthLib.shrinkage import SMALLEST_EIGENVALUE, positive_definite

NAMES = ("a", "b", "c", "d")
CORRELATION = np.array([[1.0, 0.8, -0.3, 0.1], [0.8, 1.0, 0.0, 0.2], [-0.3, 0.0, 1.0, 0.5], [0.1, 0.2, 0.5, 1.0]])
NORMAL = JointModel(NAMES, (tuple(NORMAL_SCORES),) * 4, CORRELATION, 1000)
"""Values are their own normal scores."""


def sample(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal(np.zeros(4), CORRELATION, count)


def named(row: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, row.tolist(), strict=True))


def test_conditional_mean_and_sd_are_those_of_a_multivariate_normal() -> None:
    found = NORMAL.conditional({"b": 1.2, "d": -0.7})
    # By the precision matrix of all, which the model does not use: P_oo^-1 is the covariance, -P_oo^-1 P_ok s the mean.
    precision = np.linalg.inv(CORRELATION)
    covariance = np.linalg.inv(precision[np.ix_([0, 2], [0, 2])])
    mean = -covariance @ precision[np.ix_([0, 2], [1, 3])] @ [1.2, -0.7]
    assert list(found) == ["a", "c"]
    np.testing.assert_allclose([score.mean for score in found.values()], mean, atol=1e-12)
    np.testing.assert_allclose([score.sd for score in found.values()], np.sqrt(np.diag(covariance)), atol=1e-12)


def test_without_known_features_ranges_are_the_marginal_quantiles() -> None:
    values = np.exp(sample(3000))
    model = fit_joint(values, NAMES)
    for name, column in zip(NAMES, values.T, strict=True):
        one = model.range({})[name]
        np.testing.assert_allclose((one.low, one.middle, one.high), np.quantile(column, [0.05, 0.5, 0.95]), rtol=0.05)


def test_draws_have_the_conditional_mean_and_covariance() -> None:
    rng = np.random.default_rng(1)
    draws = [NORMAL.draw({"b": 1.0}, rng) for _ in range(4000)]
    table = np.array([[draw[name] for name in ("a", "c", "d")] for draw in draws])
    rest = [0, 2, 3]
    covariance = CORRELATION[np.ix_(rest, rest)] - np.outer(CORRELATION[rest, 1], CORRELATION[1, rest])
    np.testing.assert_allclose(table.mean(axis=0), CORRELATION[rest, 1], atol=0.05)
    # Values end at the outermost quantiles, which costs a little variance.
    np.testing.assert_allclose(np.cov(table.T), covariance, atol=0.08)


def test_width_zero_draws_the_conditional_medians() -> None:
    rng, model = np.random.default_rng(0), fit_joint(np.exp(sample(500)), NAMES)
    drawn = model.draw({"a": 2.0}, rng, width=0.0)
    assert drawn == {name: one.middle for name, one in model.range({"a": 2.0}).items()}


@pytest.mark.parametrize(("names", "keep"), [(NAMES, 1.0), (("a", "c", "d"), 1.0), (NAMES, 0.9)])
def test_squared_distances_of_draws_are_chi_square_distributed(names: tuple[str, ...], keep: float) -> None:
    rows = [{name: value for name, value in named(row).items() if name in names} for row in sample(2000)]
    distances = [NORMAL.distance(row, keep) for row in rows]
    freedom = NORMAL.components(names, keep)
    assert freedom == (3 if keep < 1.0 else len(names))
    assert kstest(distances, chi2(freedom).cdf).pvalue > 0.01


def test_the_range_given_a_feature_holds_nine_of_ten_values_there() -> None:
    values = np.exp(sample(40_000))
    model = fit_joint(values[:2000], NAMES)
    near = values[np.abs(values[:, 0] / 3.0 - 1.0) < 0.05]
    for column, name in enumerate(NAMES[1:], start=1):
        one = model.range({"a": 3.0})[name]
        share = ((near[:, column] >= one.low) & (near[:, column] <= one.high)).mean()
        assert share == pytest.approx(0.9, abs=0.03)


def test_a_large_sample_gives_back_its_correlation() -> None:
    assert np.abs(fit_joint(np.exp(sample(3000)), NAMES).correlation - CORRELATION).max() < 0.06


def test_the_intensity_of_the_shrinkage_is_that_of_schaefer_and_strimmer() -> None:
    values = sample(40)
    model = fit_joint(values, NAMES)
    scores = np.array([list(model.scores(named(row)).values()) for row in values])
    scores = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    raw = np.corrcoef(scores.T)
    products = scores[:, :, None] * scores[:, None, :]
    variance = np.square(products - products.mean(axis=0)).sum(axis=0) / 40**2
    apart = ~np.eye(4, dtype=bool)
    intensity = variance[apart].sum() / np.square(raw[apart]).sum()
    assert 0.05 < intensity < 0.95
    np.testing.assert_allclose(model.correlation[apart], (1.0 - intensity) * raw[apart], atol=0.00051)


def test_many_regions_of_few_patients_are_shrunken_as_few_patients() -> None:
    patients = np.repeat(np.arange(20), 15)
    values = sample(20)[patients] + 1e-3 * sample(300, 1)
    grouped, alone = fit_joint(values, NAMES, patients), fit_joint(values, NAMES)
    once = fit_joint(sample(20), NAMES)
    apart = ~np.eye(4, dtype=bool)
    assert np.abs(grouped.correlation[apart]).sum() < 0.9 * np.abs(alone.correlation[apart]).sum()
    np.testing.assert_allclose(grouped.correlation, once.correlation, atol=0.05)


def test_a_row_that_counts_thrice_is_as_three_rows_of_its_patient() -> None:
    values, patients, times = sample(60), np.arange(60) // 3, np.random.default_rng(0).integers(1, 4, 60)
    weighted = fit_joint(values, NAMES, patients, times)
    repeated = fit_joint(np.repeat(values, times, axis=0), NAMES, np.repeat(patients, times))
    assert weighted.quantiles == repeated.quantiles
    np.testing.assert_allclose(weighted.correlation, repeated.correlation, atol=1e-12)


def test_json_loses_nothing() -> None:
    values = np.exp(sample(80))
    values[:50, 2] = 0.25
    model = fit_joint(values, NAMES)
    again = JointModel.from_dict(json.loads(json.dumps(model.to_dict())))
    assert (again.names, again.quantiles, again.count) == (model.names, model.quantiles, 80)
    np.testing.assert_array_equal(again.correlation, model.correlation)
    row = named(values[60])
    assert again.distance(row) == model.distance(row)


def change(entry: Mapping[str, object], **changes: object) -> dict[str, object]:
    return {**entry, **changes}


def test_broken_entries_are_refused() -> None:
    entry = NORMAL.to_dict()
    broken = (
        {name: value for name, value in entry.items() if name != "quantiles"},
        change(entry, quantiles=entry["quantiles"][:3]),
        change(entry, quantiles=["1 2 3"] * 4),
        change(entry, correlation_per_mille="1 2"),
        change(entry, correlation_per_mille="2000 0 0 0 0 0"),
        change(entry, correlation_per_mille=17),
    )
    for values in broken:
        with pytest.raises(BundleError) as error:
            JointModel.from_dict(values)
        assert error.value.code == "bundle.broken"


def test_copies_of_one_feature_stay_positive_definite_when_rounded() -> None:
    values = np.repeat(sample(50)[:, :1], 40, axis=1)
    names = [f"n{number}" for number in range(40)]
    model = JointModel.from_dict(fit_joint(values, names).to_dict())
    assert np.linalg.eigvalsh(model.correlation)[0] >= SMALLEST_EIGENVALUE - 1e-12
    assert model.correlation[0, 1] > 0.9
    assert np.linalg.eigvalsh(positive_definite(np.ones((40, 40))))[0] >= SMALLEST_EIGENVALUE - 1e-12


def test_a_constant_feature_goes_with_none_and_its_value_is_the_middle() -> None:
    values = sample(100)
    values[:, 1] = 7.0
    model = fit_joint(values, NAMES)
    np.testing.assert_array_equal(model.correlation[1], [0.0, 1.0, 0.0, 0.0])
    assert model.scores({"b": 7.0})["b"] == pytest.approx(0.0, abs=1e-6)
    assert (model.scores({"b": 8.0})["b"], model.scores({"b": 6.0})["b"]) == (LIMIT, -LIMIT)
    assert model.conditional({"b": 8.0})["a"] == model.conditional({})["a"]


def test_ties_have_the_score_of_their_middle() -> None:
    values = np.concatenate([np.zeros(500), np.linspace(1.0, 2.0, 500)])
    model = fit_joint(values[:, None], ["a"])
    assert model.scores({"a": 0.0})["a"] == pytest.approx(np.mean(NORMAL_SCORES[:17]), abs=0.6)
    assert model.scores({"a": 0.0})["a"] > NORMAL_SCORES[0] + 1.0


def test_unknown_values_do_not_matter() -> None:
    values = sample(3000)
    holes = values.copy()
    holes[np.random.default_rng(0).random(values.shape) < 0.2] = np.nan
    holes[::7, 0] = np.inf
    np.testing.assert_allclose(fit_joint(holes, NAMES).correlation, fit_joint(values, NAMES).correlation, atol=0.06)
    lost = values.copy()
    lost[:, 3] = np.nan
    model = fit_joint(lost, NAMES)
    np.testing.assert_array_equal(model.correlation[3], [0.0, 0.0, 0.0, 1.0])
    assert np.isfinite(model.distance(named(values[0])))


def test_values_far_outside_the_training_count_as_the_largest_score() -> None:
    assert NORMAL.conditional({"a": 1e12}) == NORMAL.conditional({"a": 4.0})
    assert NORMAL.scores({"a": -1e12, "b": float("nan"), "other": 1.0}) == {"a": -LIMIT}
    contradictory = fit_joint(np.repeat(sample(200)[:, :1], 4, axis=1), NAMES)
    far = contradictory.conditional({"a": 9.0, "b": -9.0, "c": 9.0})["d"]
    assert abs(far.mean) <= LIMIT
    assert np.isfinite(far.sd)


def test_the_most_unusual_features_are_those_farthest_from_what_the_others_say() -> None:
    row = {"a": 1.5, "b": -1.0, "c": 0.3, "d": 0.2}
    found = NORMAL.farthest(row, count=4)
    for one in found:
        others = {name: value for name, value in row.items() if name != one.name}
        given = NORMAL.conditional(others)[one.name]
        assert one.score == pytest.approx((row[one.name] - given.mean) / given.sd)
        assert one.range.middle == pytest.approx(NORMAL.range(others)[one.name].middle)
    assert {found[0].name, found[1].name} == {"a", "b"}
    assert all(abs(one.score) >= abs(other.score) for one, other in pairwise(found))


def test_an_empty_request_has_no_distance_and_nothing_unusual() -> None:
    assert NORMAL.distance({}) == 0.0
    assert NORMAL.farthest({}) == []
    assert NORMAL.draw(named(np.zeros(4)), np.random.default_rng(0)) == {}


def test_scores_of_many_values_are_those_of_each() -> None:
    scale = fit_scale(np.exp(sample(200)[:, 0]))
    values = np.concatenate([[-1e9, -1.0, 1e9], np.linspace(-2.0, 30.0, 500)])
    np.testing.assert_allclose(normal_scores(scale, values), [scale.score(value) for value in values], atol=1e-9)


def test_features_known_one_by_one_say_nothing_about_each_other() -> None:
    scales: dict[str, FeatureScale] = {name: fit_scale(column) for name, column in zip(NAMES, sample(300).T, strict=True)}
    model = independent(scales)
    assert model.conditional({"a": 2.0})["b"] == model.conditional({})["b"]
    assert model.scores({"a": 0.7})["a"] == pytest.approx(scales["a"].score(0.7), abs=1e-6)


def test_quantiles_are_made_strictly_increasing() -> None:
    quantiles = increasing([1.0] * 10 + [2.0] * 23)
    assert all(low < high for low, high in pairwise(quantiles))
    np.testing.assert_allclose(quantiles, [1.0] * 10 + [2.0] * 23, atol=1e-3)
