"""Agreement of masks and images on phantoms, plausibility of tumors from known distributions, and what bundles keep of both."""

import json
from dataclasses import replace

import numpy as np
import pytest
from joint_bundle import DOMAIN, NAMES, entry, joint_model, named, tumors, with_joint
from scipy import ndimage
from scipy.stats import kstest
from tiny_bundle import shape_statistics

from TumorSynthLib import quality
from TumorSynthLib.agreement import agreement, agreement_on_grid
from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import DOMAINS, TEXTURE_TOKENS, WorkConfig
from TumorSynthLib.dataset import HEALTHY, PART, TUMOR, Region, TrainImage, TrainingData
from TumorSynthLib.feature_names import TEXTURE_FEATURES
from TumorSynthLib.joint import JointModel, fit_joint
from TumorSynthLib.quality import assess, shape_share, share_below, texture_distance
from TumorSynthLib.shape_joint import shape_model
from TumorSynthLib.train.joint_statistics import distinct_tumors, joint_entries, left_out_distances, members
from TumorSynthLib.typical import VOLUME
from TumorSynthLib.volume import Box, Geometry

SIZE = 48


def geometry(spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), size: int = SIZE) -> Geometry:
    return Geometry((size, size, size), np.diag([*spacing, 1.0]))


def ball(radius: float, shift: tuple[float, float, float] = (0.0, 0.0, 0.0), size: int = SIZE) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 3, indexing="ij"), axis=-1)
    return np.asarray(((grid - shift) ** 2).sum(axis=-1) <= radius**2)


def noise(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((size, size, size))


def test_a_bright_ball_in_noise_agrees_with_its_mask() -> None:
    mask = ball(12.0)
    assert agreement(noise(0) + 5.0 * mask, mask, geometry()) == pytest.approx(1.0, abs=0.02)
    assert agreement(noise(0) - 5.0 * mask, mask, geometry()) == pytest.approx(1.0, abs=0.02)
    assert agreement(-700.0 + 600.0 * mask, mask, geometry()) == pytest.approx(1.0, abs=0.02)


def test_a_mask_in_homogeneous_noise_agrees_by_chance() -> None:
    found = [agreement(noise(seed), ball(radius), geometry()) for seed in range(4) for radius in (6.0, 9.0, 14.0)]
    assert all(value is not None and 0.45 < value < 0.62 for value in found)
    smooth = [agreement(ndimage.gaussian_filter(noise(seed), 2.0), ball(14.0), geometry()) for seed in range(4)]
    assert all(value is not None and 0.4 < value < 0.68 for value in smooth)
    constant = agreement(np.zeros((SIZE, SIZE, SIZE)), ball(12.0), geometry())
    assert constant == pytest.approx(0.5, abs=0.1)


def test_agreement_grows_with_contrast_and_falls_when_the_mask_is_moved() -> None:
    mask = ball(11.0)
    found = [agreement(noise(3) + contrast * mask, mask, geometry()) for contrast in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert found == sorted(found)
    image = noise(3) + 4.0 * mask
    moved = [agreement(image, ball(11.0, (shift, 0.0, 0.0)), geometry()) for shift in (0.0, 4.0, 8.0)]
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] < 0.8 < moved[0]


def test_a_texture_that_differs_counts_where_the_mean_does_not() -> None:
    mask = ball(13.0)
    found = agreement(np.where(mask, 4.0 * noise(1), noise(2)), mask, geometry())
    assert found is not None
    assert found > 0.85


def test_agreement_does_not_depend_on_unit_place_or_orientation() -> None:
    mask, image = ball(10.0, (2.0, -1.0, 3.0)), noise(5)
    image = image + 1.0 * mask
    found = agreement(image, mask, geometry())
    assert found is not None
    assert agreement(1000.0 + 40.0 * image, mask, geometry()) == pytest.approx(found, abs=0.005)
    assert agreement(image[::-1, :, ::-1], mask[::-1, :, ::-1], geometry()) == pytest.approx(found, abs=0.02)
    assert agreement(image.transpose(2, 0, 1), mask.transpose(2, 0, 1), geometry()) == pytest.approx(found, abs=0.02)
    box = Box((8, 6, 10), (44, 40, 48))
    assert agreement(image[box.slices], mask[box.slices], geometry().cropped(box)) == pytest.approx(found, abs=0.02)
    assert agreement(image, mask, geometry()) == found


def test_large_masks_are_looked_at_coarsely_and_anisotropic_ones_as_they_lie_in_space() -> None:
    large = ball(45.0, size=120)
    found = agreement(noise(0, 120) + 2.0 * large, large, geometry(size=120))
    assert found is not None
    assert found > 0.95
    flat = (np.indices((SIZE, SIZE, SIZE)) * np.array([1.0, 1.0, 4.0]).reshape(3, 1, 1, 1)).transpose(1, 2, 3, 0)
    thick = ((flat - flat[24, 24, 24]) ** 2).sum(axis=-1) <= 15.0**2
    found = agreement(noise(1) + 6.0 * thick, thick, geometry((1.0, 1.0, 4.0)))
    assert found is not None
    assert found > 0.9


def test_masks_without_interior_or_surroundings_have_no_agreement() -> None:
    assert agreement(noise(0), ball(1.5), geometry()) is None
    assert agreement(noise(0), np.zeros((SIZE, SIZE, SIZE), bool), geometry()) is None
    assert agreement_on_grid(noise(0), np.ones((SIZE, SIZE, SIZE), bool)) is None
    known = ndimage.binary_dilation(ball(12.0))
    assert agreement_on_grid(noise(0), ball(12.0), known) is None


def test_what_lies_outside_the_scan_is_no_part_of_the_surroundings() -> None:
    mask, image = ball(12.0), noise(0) + 5.0 * ball(12.0)
    half = Box((0, 0, 0), (SIZE, SIZE, 36))
    found = agreement(image[half.slices], mask[half.slices], geometry().cropped(half))
    assert found == pytest.approx(1.0, abs=0.02)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Bundle) -> Bundle:
    return with_joint(tiny_bundle)


def textures(row: np.ndarray) -> dict[str, float]:
    """What is measured of a tumor, without its shape."""
    return {name: value for name, value in named(row).items() if name in (*TEXTURE_TOKENS, VOLUME)}


def judged(bundle: Bundle, measured: dict[str, float]) -> dict[str, object]:
    return assess(bundle, bundle.domain(DOMAIN), measured, None, ball(8.0), geometry())


def test_real_tumors_are_as_plausible_as_a_uniform_number(bundle: Bundle) -> None:
    found = [judged(bundle, textures(row))["plausibility"] for row in tumors(120, 9)]
    assert kstest(found, "uniform").pvalue > 0.01


def test_shapes_like_the_organs_are_as_plausible_as_a_uniform_number() -> None:
    model, rng = shape_model(shape_statistics(), "lung"), np.random.default_rng(0)
    found = [shape_share(model, model.draw({}, rng)) for _ in range(500)]
    assert kstest(found, "uniform").pvalue > 0.01
    assert shape_share(model, {VOLUME: 1000.0}) is None
    assert shape_share(None, {}) is None


def test_a_volume_is_not_held_against_a_shape() -> None:
    model = shape_model(shape_statistics(), "lung")
    shape = {"shape_Sphericity": 0.7, "shape_Elongation": 0.75, "shape_Flatness": 0.67}
    found = {shape_share(model, {**shape, VOLUME: volume}) for volume in (600.0, 1e4, 1e9)}
    assert max(found) - min(found) < 1e-6  # the tiny bundle's shapes are independent of their volume


def test_texture_and_shape_are_as_plausible_as_the_worse_of_two(bundle: Bundle) -> None:
    texture = textures(tumors(1, 4)[0])
    good = {"shape_Sphericity": 0.69, "shape_Elongation": 0.75, "shape_Flatness": 0.67}
    alone = judged(bundle, texture)["plausibility"]
    both = judged(bundle, {**texture, **good})
    bad = judged(bundle, {**texture, **good, "shape_Sphericity": 0.1})
    assert isinstance(alone, float)
    assert both["plausibility"] == pytest.approx(1.0 - (1.0 - alone) ** 2, abs=2e-4)
    assert isinstance(bad["plausibility"], float)
    assert bad["plausibility"] < 0.01
    assert bad["out_of_distribution"] is True
    unusual = bad["unusual"]
    assert isinstance(unusual, list)
    assert unusual[0]["feature"] == "shape_Sphericity"
    assert unusual[0]["value"] < unusual[0]["low"]


def test_a_broken_feature_makes_a_tumor_implausible_and_is_named(bundle: Bundle) -> None:
    broken = {**textures(tumors(1, 4)[0]), "glcm_Idm": 400.0, "ngtdm_Contrast": -300.0}
    found = judged(bundle, broken)
    assert found["plausibility"] == 0.0
    assert found["out_of_distribution"] is True
    unusual = found["unusual"]
    assert isinstance(unusual, list)
    assert {one["feature"] for one in unusual[:2]} == {"glcm_Idm", "ngtdm_Contrast"}
    assert json.loads(json.dumps(found)) == found
    sentences = quality.warnings(found)
    assert len(sentences) == 1
    assert "glcm_Idm 400" in sentences[0]


def test_a_volume_unlike_the_domains_tumors_is_named(bundle: Bundle) -> None:
    unusual = judged(bundle, {**textures(tumors(1, 4)[0]), VOLUME: 1e9})["unusual"]
    assert isinstance(unusual, list)
    assert VOLUME in [one["feature"] for one in unusual]


def test_a_mask_beside_the_tumor_is_out_of_distribution(bundle: Bundle) -> None:
    mask, measured = ball(11.0), textures(tumors(1, 4)[0])
    image = noise(3) + 1.5 * ball(11.0, (0.0, 0.0, 1.0))
    right = assess(bundle, bundle.domain(DOMAIN), measured, image, mask, geometry())
    wrong = assess(bundle, bundle.domain(DOMAIN), measured, noise(3), mask, geometry())
    assert right["agreement_rank"] > 0.5
    assert right["out_of_distribution"] is False
    assert quality.warnings(right) == []
    assert wrong["agreement"] == pytest.approx(agreement(noise(3), mask, geometry()), abs=1e-4)
    assert wrong["agreement_rank"] < 0.01
    assert wrong["out_of_distribution"] is True
    assert "mask and image" in quality.warnings(wrong)[0]


def test_without_joint_statistics_only_the_shape_is_judged(tiny_bundle: Bundle) -> None:
    texture = textures(tumors(1, 4)[0])
    shape = {"shape_Sphericity": 0.69, "shape_Elongation": 0.75, "shape_Flatness": 0.67}
    mask = ball(9.0)
    nothing = assess(tiny_bundle, tiny_bundle.domain(DOMAIN), texture, noise(0) + 4.0 * mask, mask, geometry())
    assert (nothing["plausibility"], nothing["agreement_rank"], nothing["out_of_distribution"]) == (None, None, False)
    assert nothing["agreement"] > 0.9
    assert quality.warnings(nothing) == []
    assert judged(tiny_bundle, {**texture, **shape})["plausibility"] > 0.05


def test_shares_of_a_distribution_run_from_none_to_all() -> None:
    quantiles = np.array([1.0, 2.0, 4.0])
    assert [share_below(value, quantiles) for value in (0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 9.0)] == [0, 0, 0.25, 0.5, 0.75, 1, 1]


UNIT = DOMAINS[0]
WORK = WorkConfig(size=32)


def training(patients: dict[str, list[str]], parts: int = 3) -> TrainingData:
    """Images of patients by domain, each with a tumor in two views, parts of it, and a healthy region."""
    images, regions, masks, features = [], [], [], []
    rng = np.random.default_rng(0)
    for domain in DOMAINS:
        for patient in patients.get(domain.id, []):
            mask = ball(6.0, size=32)
            counts = (100.0 * (noise(len(images), 32) + 4.0 * mask)).astype(np.int16)
            images.append(TrainImage(f"{patient}_{domain.id}", patient, domain, counts, 0.01, geometry(size=32)))
            kinds = [TUMOR, TUMOR, *[PART] * parts, HEALTHY]
            rows = tumors(len(kinds), int(rng.integers(1e6)))
            rows[1] = rows[0]
            for kind, row in zip(kinds, rows, strict=True):
                flips = (kind == TUMOR and row is rows[1], False, False)
                regions.append(Region(len(images) - 1, kind, (15.5, 15.5, 15.5), 1.0, flips, float(row[-1])))
                masks.append(np.packbits(mask))
                features.append(row[:-1])
    return TrainingData(
        tuple(images),
        tuple(regions),
        np.array(masks),
        np.array(features, dtype=np.float32).reshape(-1, len(TEXTURE_FEATURES)),
        TEXTURE_FEATURES,
        WORK,
    )


def test_of_several_views_of_a_tumor_one_counts_and_healthy_regions_do_not() -> None:
    data = training({UNIT.id: ["p", "q"]})
    found = distinct_tumors(data)
    assert [data.regions[row].kind for row in found.rows] == [TUMOR, PART, PART, PART] * 2
    assert found.whole.tolist() == [True, False, False, False] * 2
    assert found.names == NAMES
    np.testing.assert_allclose(found.values[0, -1], data.regions[0].volume_mm3)


def test_a_domain_with_few_regions_borrows_and_its_own_patients_weigh_more() -> None:
    others = [f"p{number}" for number in range(10)]
    found = distinct_tumors(training({"soft-tissue-ct": others, "lung-ct": ["a", "b"], "brain-t1": ["x"]}))
    lung = next(domain for domain in DOMAINS if domain.id == "lung-ct")
    chosen, repeats = members(found, lung)
    assert set(found.units[chosen]) == {"HU"}
    mine = found.domains[chosen] == "lung-ct"
    # Two patients weigh a tenth each: 2 of 10 parts, over 40 borrowed rows.
    assert repeats[mine].tolist() == [round(0.2 / 0.8 * 40 / 8)] * 8
    assert (repeats[~mine] == 1).all()


def test_the_distance_of_a_tumor_is_that_from_the_other_patients() -> None:
    found = distinct_tumors(training({UNIT.id: [f"p{number}" for number in range(6)]}))
    chosen, repeats = members(found, UNIT)
    distances = left_out_distances(found, chosen, repeats)
    others = found.patients != "p2"
    model = fit_joint(found.values[others], NAMES, found.patients[others])
    expected = [texture_distance(model, named(row)) for row in found.values[~others]]
    np.testing.assert_allclose(distances[found.patients[chosen] == "p2"], expected)


def test_entries_are_read_back_by_the_bundle(tiny_bundle: Bundle) -> None:
    patients = [f"p{number}" for number in range(6)]
    data = training({"soft-tissue-ct": patients, "soft-tissue-pet": patients, "brain-t1": ["x", "y"]})
    entries = joint_entries(data)
    # Of the MR domains two patients are known; the PET of the head is trained as another domain.
    assert set(entries) == {"soft-tissue-ct", "lung-ct", "abdomen-ct", "soft-tissue-pet"}
    assert all(len(json.dumps(one, indent=1)) < 60_000 for one in entries.values())
    domains = [one | entries.get(one["id"], {}) for one in tiny_bundle.info["domains"]]
    bundle = replace(tiny_bundle, info=json.loads(json.dumps({**tiny_bundle.info, "domains": domains})))
    model = bundle.joint("soft-tissue-ct")
    assert isinstance(model, JointModel)
    assert (model.names, model.count) == (NAMES, 24)
    distances, agreements = bundle.joint_distances("lung-ct"), bundle.agreements("lung-ct")
    assert (np.diff(distances) >= 0.0).all()
    assert distances[0] > 0.0
    expected = [
        agreement_on_grid(image.counts * image.step, ball(6.0, size=32))
        for image in data.images
        if image.domain.id == "soft-tissue-ct"
    ]
    assert (agreements[0], agreements[-1]) == pytest.approx((min(expected), max(expected)), abs=0.001)
    assert entries["soft-tissue-ct"]["agreement"]["count"] == 6
    assert bundle.joint("brain-t1") is None
    assert bundle.agreements("brain-t1").size == 0


def test_no_tumors_make_no_entries() -> None:
    assert joint_entries(training({})) == {}


def test_the_reference_of_the_joint_bundle_has_not_seen_its_tumors() -> None:
    distances = np.array(entry(joint_model())["joint"]["distances"].split(), dtype=float)
    seen = [texture_distance(joint_model(), named(row)) for row in tumors(300)]
    assert np.median(distances) > np.median(seen)
