"""Normalization against percentiles by hand, and every map against its inverse."""

import numpy as np
import pytest

from TumorSynthLib.configs import DOMAINS, Domain
from TumorSynthLib.errors import ImageError
from TumorSynthLib.intensity import Intensity, fit_intensity, foreground

BY_ID = {domain.id: domain for domain in DOMAINS}
any_domain = pytest.mark.parametrize("domain", DOMAINS, ids=BY_ID.keys())
MR = BY_ID["brain-t1"]


def scan(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(4.0, 120.0, size=(20, 21, 22))


@any_domain
def test_stored_values_come_back_from_domain_values(domain: Domain) -> None:
    array = scan()
    intensity = fit_intensity(array, domain)
    assert np.allclose(intensity.denormalize(intensity.normalize(array)), array, rtol=1e-5, atol=1e-3)


@any_domain
def test_domain_values_come_back_from_network_input(domain: Domain) -> None:
    u = domain.center + domain.scale * np.linspace(-20.0, 20.0, 401)
    intensity = fit_intensity(scan(), domain)
    assert np.allclose(intensity.from_input(intensity.to_input(u)), u, rtol=1e-5, atol=1e-4 * domain.scale)


@pytest.mark.parametrize("id_", ["soft-tissue-ct", "lung-ct", "soft-tissue-pet"])
def test_ct_and_pet_keep_their_units(id_: str) -> None:
    array = scan().astype(np.float32)
    assert np.array_equal(fit_intensity(array, BY_ID[id_]).normalize(array), array)


def test_mr_runs_from_0_to_100_between_its_percentiles() -> None:
    array = scan()
    low, high = np.percentile(array, [0.5, 99.5])
    u = fit_intensity(array, MR).normalize(np.array([low, high, (low + high) / 2]))
    assert np.allclose(u, [0.0, 100.0, 50.0], atol=1e-4)


def test_the_scanner_gain_and_offset_of_mr_do_not_matter() -> None:
    array = scan()
    other = 3.7 * array + 55.0
    assert np.allclose(fit_intensity(array, MR).normalize(array), fit_intensity(other, MR).normalize(other), atol=1e-3)


def test_padding_does_not_change_mr_values() -> None:
    array = scan()
    little, much = np.pad(array, 2), np.pad(array, 9)
    assert np.array_equal(np.sort(foreground(little)), np.sort(array.ravel()))
    assert fit_intensity(little, MR) == fit_intensity(much, MR) == fit_intensity(array, MR)


def test_a_frequent_value_below_five_percent_counts_as_tissue() -> None:
    array = scan()
    array.flat[: int(0.04 * array.size)] = 400.0
    assert foreground(array).size == array.size


def test_a_large_scan_is_looked_at_on_a_stride_with_the_same_result() -> None:
    array = np.random.default_rng(0).normal(100.0, 10.0, size=(128, 128, 128))
    assert foreground(array).size < 1.5e6
    fitted, exact = fit_intensity(array, MR), np.percentile(array, [0.5, 99.5])
    assert fitted.offset == pytest.approx(exact[0], abs=0.15)
    assert fitted.offset + 100.0 * fitted.gain == pytest.approx(exact[1], abs=0.15)


def test_a_constant_mr_scan_is_refused_and_a_constant_ct_is_not() -> None:
    with pytest.raises(ImageError) as caught:
        fit_intensity(np.full((5, 5, 5), 7.0), MR)
    assert caught.value.code == "image.constant" and "7" in str(caught.value)
    assert fit_intensity(np.full((5, 5, 5), 7.0), BY_ID["lung-ct"]).gain == 1.0


def test_network_input_is_linear_near_the_center_and_never_stops_growing() -> None:
    intensity = Intensity(0.0, 1.0, 20.0, 180.0)
    u = 20.0 + 180.0 * np.linspace(-15.0, 15.0, 2001)
    v = intensity.to_input(u)
    near = np.abs(u - 20.0) <= 180.0
    assert np.allclose(v[near], (u[near] - 20.0) / 180.0, atol=1e-6)
    assert np.all(np.diff(v) > 0.0) and np.diff(v).max() < 1.01 * np.diff(v)[1000]
    assert np.allclose(v, -v[::-1], atol=1e-5)


def test_a_broken_prediction_stays_finite() -> None:
    u = Intensity(0.0, 1.0, 20.0, 180.0).from_input(np.array([-1e6, -7.0, 7.0, 1e6]))
    assert np.all(np.isfinite(u)) and u[0] == u[1] and u[2] == u[3]
