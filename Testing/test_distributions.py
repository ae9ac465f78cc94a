"""Distances between distributions against closed forms, and whether made tumors pass for real in units of real ones."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from TumorSynthLib.evaluate import agreement
from TumorSynthLib.evaluate.distributions import (
    biased_discrepancy,
    discrepancy,
    frechet,
    frechet_of_moments,
    gram,
    paired_p_value,
)
from TumorSynthLib.evaluate.realism import realism


def numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_the_frechet_distance_of_gaussians_has_its_closed_form() -> None:
    # Commuting covariances: |m|^2 + sum (s1 - s2)^2.
    first, second = np.diag([4.0, 1.0, 0.25]), np.diag([1.0, 1.0, 4.0])
    found = frechet_of_moments(np.zeros(3), first, np.array([1.0, 2.0, 0.0]), second)
    assert found == pytest.approx(5.0 + 1.0 + 0.0 + 2.25)
    turn, _ = np.linalg.qr(numbers((3, 3)))
    turned = frechet_of_moments(np.zeros(3), turn @ first @ turn.T, turn @ [1.0, 2.0, 0.0], turn @ second @ turn.T)
    assert turned == pytest.approx(found)
    assert frechet_of_moments(np.ones(3), first, np.ones(3), first) == pytest.approx(0.0, abs=1e-9)


def test_covariances_that_do_not_commute_agree_with_scipy() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    first, second = (np.cov(numbers((30, 4), seed) @ numbers((4, 4), seed + 9), rowvar=False) for seed in (1, 2))
    expected = np.trace(first + second - 2.0 * linalg.sqrtm(first @ second).real)
    assert frechet_of_moments(np.zeros(4), first, np.zeros(4), second) == pytest.approx(expected)


def test_the_frechet_distance_of_large_samples_comes_near_to_that_of_their_gaussians() -> None:
    first = numbers((40_000, 2))
    second = numbers((40_000, 2), 1) * [2.0, 1.0] + [3.0, 0.0]
    assert frechet(first, second) == pytest.approx(9.0 + 1.0, rel=0.02)


def test_fewer_cases_than_dimensions_still_have_a_distance() -> None:
    rows = numbers((4, 10))
    assert frechet(rows, rows) == pytest.approx(0.0, abs=1e-6)
    assert frechet(rows, rows + 1.0) == pytest.approx(10.0)


def test_the_discrepancy_is_that_of_its_definition() -> None:
    rows = numbers((7, 3))
    kernel, labels = gram(rows), np.array([True, True, True, False, False, False, False])
    first = [kernel[i, j] for i in range(3) for j in range(3) if i != j]
    second = [kernel[i, j] for i in range(3, 7) for j in range(3, 7) if i != j]
    between = [kernel[i, j] for i in range(3) for j in range(3, 7)]
    assert discrepancy(kernel, labels) == pytest.approx(np.mean(first) + np.mean(second) - 2.0 * np.mean(between))
    assert biased_discrepancy(kernel, labels) > 0.0
    assert np.median(-np.log(kernel[np.triu_indices(7, 1)])) == pytest.approx(1.0), "the median distance is the width"


def test_p_is_uniform_where_real_and_made_are_alike_also_when_they_are_paired() -> None:
    found = []
    for seed in range(200):
        shared = numbers((12, 4), seed)
        first, second = (shared + numbers((12, 4), 1000 * n + seed) for n in (1, 2))
        found.append(paired_p_value(first, second, [f"p{n // 2}" for n in range(12)], seed, 99)[1])
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert 0.0 < np.mean(np.array(found) <= 0.05) < 0.11


def test_a_shift_is_found_and_a_patient_is_swapped_as_a_whole() -> None:
    first = numbers((20, 4))
    patients = [f"p{n}" for n in range(20)]
    squared, p = paired_p_value(first, first + 2.0, patients)
    assert squared > 0.1 and p <= 0.002
    # Swapping the only patient leaves the two samples the same, so nothing can be said.
    assert paired_p_value(first, first + 2.0, ["p"] * 20)[1] == 1.0


def test_other_real_tumors_are_one_unit_away_and_collapsed_ones_are_more() -> None:
    patients = [f"p{n}" for n in range(40)]
    real = numbers((40, 30)) @ numbers((30, 30), 7)
    like = numbers((40, 30), 1) @ numbers((30, 30), 7)
    flat = np.repeat(real.mean(axis=0)[None], 40, axis=0) + 0.01 * numbers((40, 30), 2)
    alike, collapsed, copied = (realism(real, made, patients, 60) for made in (like, flat, real))
    assert copied["frechet"]["ratio"] == pytest.approx(1.0) and copied["mmd"]["ratio"] == pytest.approx(1.0)
    assert alike["frechet"]["ratio"] == pytest.approx(1.0, abs=0.15) and alike["mmd"]["p"] > 0.05
    assert collapsed["frechet"]["ratio"] > 1.5 and collapsed["mmd"]["p"] < 0.01
    assert alike["components"] == 19 and alike["frechet"]["ci"][0] < 1.0 < alike["frechet"]["ci"][1]


def test_cases_without_features_and_features_that_never_vary_are_left_out() -> None:
    real, made = numbers((10, 5)), numbers((10, 5), 1)
    real[:, 2] = 3.0
    made[4] = np.nan
    found = realism(real, made, [f"p{n}" for n in range(10)], 10)
    assert (found["cases"], found["patients"], found["components"]) == (9, 9, 3)
    few = realism(real[:3], made[:3], ["a", "b", "c"], 10)
    assert few["frechet"]["ratio"] is None and few["mmd"]["p"] is None


def test_bootstrap_intervals_cover_the_mean_as_often_as_they_say() -> None:
    covered = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        means = rng.normal(size=25)
        values = [float(mean + 0.2 * rng.normal()) for mean in means for _ in range(2)]
        low, high = agreement.mean_estimate(values, [f"p{n // 2}" for n in range(50)], seed, 300)["ci"]
        covered.append(low <= 0.0 <= high)
    assert 0.87 <= np.mean(covered) <= 0.99


def test_more_of_a_difference_is_more_distance() -> None:
    real = numbers((24, 6))
    patients = [f"p{n}" for n in range(24)]
    ratios = [realism(real, real + shift, patients, 40)["frechet"]["ratio"] for shift in (0.0, 0.5, 1.0, 2.0)]
    assert all(first < second for first, second in pairwise(ratios))
