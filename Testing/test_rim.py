"""The rim around a tumor and its statistics, against rims that were put there."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import DOMAINS, Domain, WorkConfig
from TumorSynthLib.dataset import HEALTHY, TUMOR, Region, TrainImage, TrainingData, flip
from TumorSynthLib.rim import END_MM, rim_change, rim_profile, similar_tissue
from TumorSynthLib.train.rim_statistics import FEWEST_TUMORS, LENDERS, rim_entries
from TumorSynthLib.volume import Geometry, work_grid

DOMAIN = {domain.id: domain for domain in DOMAINS}
CT, FLAIR, PET = DOMAIN["soft-tissue-ct"], DOMAIN["brain-flair"], DOMAIN["soft-tissue-pet"]
STATISTICS = {"contrast": -12.0, "width_mm": 3.0, "near_mm": [1.0, 4.0], "share": None}
ISO = Geometry((46, 46, 46), np.eye(4))


def distances(geometry: Geometry, center: tuple[float, float, float]) -> np.ndarray:
    """From each voxel to a point, mm."""
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    return np.linalg.norm((ijk - np.array(center)) * geometry.spacing, axis=-1)


def ball(geometry: Geometry, radius: float) -> np.ndarray:
    i, j, k = ((n - 1) / 2 for n in geometry.shape)
    return distances(geometry, (i, j, k)) <= radius


def muscle(geometry: Geometry, noise: float = 8.0) -> np.ndarray:
    return (50.0 + noise * np.random.default_rng(0).normal(size=geometry.shape)).astype(np.float32)


def to_mask(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    return ndimage.distance_transform_edt(~mask, sampling=tuple(geometry.spacing))


def near_mean(change: np.ndarray, mask: np.ndarray, geometry: Geometry, low: int = 1, high: int = 4) -> float:
    """Mean of the rim where statistics take its contrast, each shell of 1 mm weighing the same."""
    way = to_mask(mask, geometry)
    return float(np.mean([change[(way > n) & (way <= n + 1)].mean() for n in range(low, high)]))


# The rim


@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_next_to_the_tumor_the_rim_has_its_share_of_the_contrast_of_real_ones(strength):
    mask = ball(ISO, 9.0)
    change = rim_change(muscle(ISO), mask, ISO, CT, STATISTICS, strength)
    assert change.dtype == np.float32
    assert near_mean(change, mask, ISO) == pytest.approx(-12.0 * strength, rel=0.06)


def test_the_rim_is_proportional_to_its_strength():
    mask, u = ball(ISO, 9.0), muscle(ISO)
    half, whole = (rim_change(u, mask, ISO, CT, STATISTICS, strength) for strength in (0.5, 1.0))
    assert np.allclose(2.0 * half, whole, rtol=1e-6)


def test_the_rim_is_exactly_zero_inside_the_mask_and_from_ten_millimetres_on():
    mask = ball(ISO, 9.0)
    change = rim_change(muscle(ISO), mask, ISO, CT, STATISTICS, 1.0)
    way = to_mask(mask, ISO)
    assert not change[mask].any()
    assert not change[way >= 10.0].any()
    assert change[(way > 0) & (way < 5.0)].all()
    # It fades rather than ends.
    assert np.abs(change[way > 8.5]).max() < 0.02 * np.abs(change).max()


def test_strength_zero_and_contrast_zero_change_nothing():
    mask, u = ball(ISO, 9.0), muscle(ISO)
    assert not rim_change(u, mask, ISO, CT, STATISTICS, 0.0).any()
    assert not rim_change(u, mask, ISO, CT, {**STATISTICS, "contrast": 0.0}, 1.0).any()


def test_the_rim_is_the_same_every_time_and_leaves_its_input_alone():
    mask, u = ball(ISO, 9.0), muscle(ISO)
    before = u.copy()
    first, second = (rim_change(u, mask, ISO, CT, STATISTICS, 1.0) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert np.array_equal(u, before)


def test_what_the_scan_shows_in_the_mask_does_not_matter():
    mask, u = ball(ISO, 9.0), muscle(ISO)
    empty = np.where(mask, np.float32(-900.0), u)
    assert np.array_equal(*(rim_change(scan, mask, ISO, CT, STATISTICS, 1.0) for scan in (u, empty)))


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 2.4), (2.0, 1.0, 1.0)])
def test_thick_slices_show_the_same_rim_in_millimetres(spacing):
    geometry = Geometry(tuple(int(46 / step) for step in spacing), np.diag([*spacing, 1.0]))
    mask = ball(geometry, 9.0)
    change = rim_change(muscle(geometry), mask, geometry, CT, STATISTICS, 1.0)
    assert near_mean(change, mask, geometry) == pytest.approx(-12.0, rel=0.12)
    assert not change[to_mask(mask, geometry) >= 10.0].any()


def test_bone_and_air_have_no_rim():
    mask, u = ball(ISO, 9.0), muscle(ISO)
    u[:, 34:37], u[:, :, 34:] = 700.0, -1000.0
    change = rim_change(u, mask, ISO, CT, STATISTICS, 1.0)
    assert not change[(u > 250) | (u < -250)].any()
    assert change[23, 11, 23] != 0.0


def test_the_background_of_a_brain_has_no_rim():
    mask, u = ball(ISO, 9.0), muscle(ISO, 1.0)
    u[:, 34:] = 0.0
    assert not rim_change(u, mask, ISO, FLAIR, STATISTICS, 1.0)[:, 34:].any()


def test_the_rim_does_not_cross_a_wall_of_bone():
    mask, u = ball(ISO, 9.0), muscle(ISO)
    behind = (slice(16, 30), slice(36, 40), slice(16, 30))
    assert rim_change(u, mask, ISO, CT, STATISTICS, 1.0)[behind].any()
    u[:, 34:36] = 700.0
    assert not rim_change(u, mask, ISO, CT, STATISTICS, 1.0)[behind].any()


def test_the_rim_goes_less_far_into_other_tissue():
    mask, u = ball(ISO, 9.0), muscle(ISO)
    u[:, 34:] -= 150.0
    change = rim_change(u, mask, ISO, CT, STATISTICS, 1.0)
    assert abs(change[23, 36, 23]) < 0.5 * abs(change[23, 10, 23])


def test_a_rim_of_the_tumors_sign_is_kept_to_the_share_that_real_tumors_have():
    mask = ball(ISO, 9.0)
    u = muscle(ISO, 1.0)
    hot = {"contrast": 20.0, "width_mm": 3.0, "near_mm": [1.0, 4.0], "share": 0.5}
    means = [near_mean(rim_change(u, mask, ISO, FLAIR, hot, 1.0, tumor), mask, ISO) for tumor in (70.0, 200.0, 20.0, None)]
    assert means == pytest.approx([10.0, 20.0, 20.0, 20.0], rel=0.06)


def test_the_profile_halves_over_its_width_and_ends_exactly():
    first, second, third = rim_profile(np.array([0.0, 2.5, 5.0]), 2.5, (1.0, 4.0))
    assert (second, third) == pytest.approx((first / 2.0, first / 4.0))
    assert rim_profile(np.linspace(1.0, 4.0, 301), 2.5, (1.0, 4.0)).mean() == pytest.approx(1.0, rel=0.01)
    assert not rim_profile(np.array([END_MM, 20.0, 1e9]), 2.5, (1.0, 4.0)).any()


# Tissue like that beside the tumor


def test_fat_is_not_like_muscle():
    mask, u = ball(ISO, 9.0), muscle(ISO)
    u[:, 38:] = -100.0
    similar = similar_tissue(u, to_mask(mask, ISO), CT)
    assert np.array_equal(similar, ~mask & (u > -30.0) & (u < 250.0))


def test_two_classes_of_an_mr_are_told_apart_and_one_is_left_whole():
    mask, u = ball(ISO, 9.0), muscle(ISO, 4.0)
    away = to_mask(mask, ISO)
    assert np.array_equal(similar_tissue(u, away, FLAIR), ~mask)
    u[:, 30:] += 60.0
    similar = similar_tissue(u, away, FLAIR)
    assert similar[:, :30][~mask[:, :30]].all()
    assert not similar[:, 30:].any()


# Statistics


def training_data(domain: Domain, contrast: float, tumors: int, healthy: int = 4, seed: int = 0) -> TrainingData:
    """Images with a tumor each, rims that grow from half to one and a half times a contrast, and healthy places."""
    rng = np.random.default_rng(seed)
    work = WorkConfig()
    images: list[TrainImage] = []
    regions: list[Region] = []
    masks: list[np.ndarray] = []
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    geometry = Geometry((60, 36, 36), affine)
    for number in range(tumors):
        way = to_mask(distances(geometry, (17, 17.5, 17.5)) <= 6.0, geometry)
        size = contrast * (0.5 + number / max(tumors - 1, 1))
        u = 50.0 + 2.0 * rng.normal(size=geometry.shape) + size * rim_profile(way, 2.5, (1.0, 4.0))
        u = np.where(way <= 0, 90.0, u)
        images.append(TrainImage(f"{number}", f"p{number}", domain, np.rint(u * 100).astype(np.int16), 0.01, geometry))
        spots = [(TUMOR, (17, 17.5, 17.5))] * 2 + [(HEALTHY, (44, 15 + 2 * n, 17.5)) for n in range(healthy)]
        for kind, spot in spots:
            center = geometry.to_ras(np.array(spot, float)) + rng.uniform(-1, 1, 3)
            flips = tuple(bool(f) for f in rng.integers(0, 2, 3))
            spacing = float(rng.uniform(0.8, 1.0))
            grid = work_grid(geometry, center, spacing, work.size)
            there = grid.to_ras(np.stack(np.meshgrid(*[np.arange(work.size)] * 3, indexing="ij"), axis=-1))
            mask = np.linalg.norm(there - geometry.to_ras(np.array(spot, float)), axis=-1) <= 6.0
            regions.append(Region(number, kind, tuple(center.tolist()), spacing, flips, 900.0))
            masks.append(np.packbits(flip(mask, flips)))
    features = np.zeros((len(regions), 0), np.float32)
    return TrainingData(tuple(images), tuple(regions), np.array(masks), features, (), work)


@pytest.fixture(scope="module")
def bright() -> dict[str, dict[str, Any]]:
    return rim_entries(training_data(FLAIR, 10.0, 10))


def test_a_known_rim_is_measured(bright):
    entry = bright["brain-flair"]
    assert entry["tumors"] == 10
    assert entry["median"] == pytest.approx(10.0, rel=0.15)
    # The strongest tenth of ten tumors is the one with one and a half times the contrast.
    assert entry["contrast"] == pytest.approx(15.0, rel=0.15)
    assert entry["width_mm"] == pytest.approx(2.5, abs=0.75)
    assert abs(entry["healthy_median"]) < 0.5
    assert (entry["reason"], entry["lender"]) == ("", "")
    assert entry["p"] < 0.001


def test_a_dark_rim_keeps_its_sign():
    entry = rim_entries(training_data(CT, -10.0, 6))["soft-tissue-ct"]
    assert entry["contrast"] == pytest.approx(-15.0, rel=0.2)
    assert entry["profile"][2] < 0.0


def test_a_measured_rim_can_be_added_and_is_found_again(bright):
    mask = ball(ISO, 9.0)
    change = rim_change(muscle(ISO, 2.0), mask, ISO, FLAIR, bright["brain-flair"], 1.0)
    low, high = (int(end) for end in bright["brain-flair"]["near_mm"])
    assert near_mean(change, mask, ISO, low, high) == pytest.approx(bright["brain-flair"]["contrast"], rel=0.1)


def test_without_a_rim_the_contrast_is_zero_and_the_reason_is_told():
    entry = rim_entries(training_data(FLAIR, 0.0, 6))["brain-flair"]
    assert entry["contrast"] == 0.0
    assert "cannot be told" in entry["reason"]
    assert entry["p"] > 0.05


def test_domains_with_few_tumors_borrow_or_say_so(bright):
    assert bright["brain-t2"] == {**bright["brain-flair"], "lender": "brain-flair"}
    for name in ("breast-dce", "lung-ct"):
        assert bright[name]["contrast"] == 0.0
        assert "only 0 tumors" in bright[name]["reason"]
    assert set(bright) == set(DOMAIN)


def test_two_tumors_are_too_few():
    entry = rim_entries(training_data(FLAIR, 10.0, FEWEST_TUMORS - 1))["brain-flair"]
    assert (entry["contrast"], entry["tumors"]) == (0.0, FEWEST_TUMORS - 1)


def test_lenders_measure_in_the_same_unit():
    for borrower, lender in LENDERS.items():
        assert DOMAIN[borrower].unit == DOMAIN[lender].unit


def test_a_bundle_gives_the_rim_of_a_domain_and_none_where_it_has_none(tiny_bundle: Bundle, bright):
    first = tiny_bundle.domains[0].id
    without = [{key: value for key, value in entry.items() if key != "rim"} for entry in tiny_bundle.info["domains"]]
    old = dataclasses.replace(tiny_bundle, info={**tiny_bundle.info, "domains": without})
    assert old.rim(first) is None
    with_rim = [{**without[0], "rim": bright["brain-flair"]}, *without[1:]]
    assert dataclasses.replace(old, info={**old.info, "domains": with_rim}).rim(first) == bright["brain-flair"]
