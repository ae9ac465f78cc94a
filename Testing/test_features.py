"""Radiomics features against published values, closed forms, and matrices counted here with plain loops."""

import csv
import itertools
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics import featureextractor
from scipy.ndimage import gaussian_filter

from TumorSynthLib import features
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.errors import FeatureError
from TumorSynthLib.feature_names import SHAPE_FEATURES, TEXTURE_FEATURES
from TumorSynthLib.features import check_names, feature_class, measure_shape, measure_texture
from TumorSynthLib.volume import Geometry

CT = DOMAINS[0].radiomics
NEIGHBORS = [step for step in itertools.product((-1, 0, 1), repeat=3) if step != (0, 0, 0)]
DIRECTIONS = [step for step in NEIGHBORS if step > (0, 0, 0)]

# The digital phantom of the Image Biomarker Standardisation Initiative: four slices of four rows, 0 is outside.
PHANTOM_ROWS = "14411 14611 41641 44641 14411 11611 01311 44611 14400 11111 11011 11611 14400 11111 11111 11611"
# Its reference values (ibsi.readthedocs.io; Zwanenburg et al., Radiology 2020), 3D, averaged over directions. Kurtosis is
# IBSI's excess kurtosis plus 3; axis lengths are left out because PyRadiomics divides by n where IBSI divides by n - 1.
IBSI = {
    "shape": """MeshVolume 556 VoxelVolume 592 SurfaceArea 388 SurfaceVolumeRatio 0.698 Sphericity 0.843
        Maximum3DDiameter 13.1 Elongation 0.816 Flatness 0.749""",
    "firstorder": """Mean 2.15 Variance 3.05 Skewness 1.08 Kurtosis 2.645 Median 1 Minimum 1 10Percentile 1 90Percentile 4
        Maximum 6 InterquartileRange 3 Range 5 MeanAbsoluteDeviation 1.55 RobustMeanAbsoluteDeviation 1.11 Energy 567
        RootMeanSquared 2.77 Entropy 1.27 Uniformity 0.512""",
    "glcm": """MaximumProbability 0.503 JointAverage 2.14 SumSquares 3.1 JointEntropy 2.4 DifferenceAverage 1.43
        DifferenceVariance 3.06 DifferenceEntropy 1.56 SumAverage 4.29 SumEntropy 1.92 JointEnergy 0.303 Contrast 5.32
        Id 0.677 Idn 0.851 Idm 0.618 Idmn 0.898 InverseVariance 0.0604 Correlation 0.157 Autocorrelation 5.06
        ClusterTendency 7.07 ClusterShade 16.6 ClusterProminence 145 Imc1 -0.157 Imc2 0.52""",
    "glrlm": """ShortRunEmphasis 0.705 LongRunEmphasis 3.06 LowGrayLevelRunEmphasis 0.603 HighGrayLevelRunEmphasis 9.7
        ShortRunLowGrayLevelEmphasis 0.352 ShortRunHighGrayLevelEmphasis 8.54 LongRunLowGrayLevelEmphasis 2.39
        LongRunHighGrayLevelEmphasis 17.6 GrayLevelNonUniformity 21.8 GrayLevelNonUniformityNormalized 0.43
        RunLengthNonUniformity 26.9 RunLengthNonUniformityNormalized 0.513 RunPercentage 0.68 GrayLevelVariance 3.46
        RunVariance 0.574 RunEntropy 2.43""",
    "glszm": """SmallAreaEmphasis 0.255 LargeAreaEmphasis 550 LowGrayLevelZoneEmphasis 0.253 HighGrayLevelZoneEmphasis 15.6
        SmallAreaLowGrayLevelEmphasis 0.0256 SmallAreaHighGrayLevelEmphasis 2.76 LargeAreaLowGrayLevelEmphasis 503
        LargeAreaHighGrayLevelEmphasis 1490 GrayLevelNonUniformity 1.4 GrayLevelNonUniformityNormalized 0.28
        SizeZoneNonUniformity 1 SizeZoneNonUniformityNormalized 0.2 ZonePercentage 0.0676 GrayLevelVariance 2.64
        ZoneVariance 331 ZoneEntropy 2.32""",
    "gldm": """SmallDependenceEmphasis 0.045 LargeDependenceEmphasis 109 LowGrayLevelEmphasis 0.693 HighGrayLevelEmphasis 7.66
        SmallDependenceLowGrayLevelEmphasis 0.00963 SmallDependenceHighGrayLevelEmphasis 0.736
        LargeDependenceLowGrayLevelEmphasis 102 LargeDependenceHighGrayLevelEmphasis 235 GrayLevelNonUniformity 37.9
        DependenceNonUniformity 4.86 DependenceNonUniformityNormalized 0.0657 GrayLevelVariance 3.05
        DependenceVariance 22.1 DependenceEntropy 4.4""",
    "ngtdm": "Coarseness 0.0296 Contrast 0.584 Busyness 6.54 Complexity 13.5 Strength 0.763",
}


def grid(shape: tuple[int, ...], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Geometry:
    return Geometry(tuple(shape), np.diag([*spacing, 1.0]))


def ellipsoid(
    semi: tuple[float, float, float], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), turn: np.ndarray | None = None
) -> tuple[np.ndarray, Geometry]:
    """A solid ellipsoid with semi-axes in mm along i, j, k, turned about its center."""
    counts = [int(max(semi) / step) + 3 for step in spacing]
    axes = [np.arange(-n, n + 1) * step for n, step in zip(counts, spacing, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    points = points if turn is None else points @ turn
    mask = ((points / np.array(semi)) ** 2).sum(axis=-1) <= 1.0
    return mask, grid(mask.shape, spacing)


def textured(seed: int = 0, shape: tuple[int, int, int] = (12, 11, 10)) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random image and a mask that touches the border and has a hole."""
    rng = np.random.default_rng(seed)
    u = gaussian_filter(rng.normal(0.0, 300.0, shape), 1.0)
    mask = np.zeros(shape, dtype=bool)
    mask[0:9, 2:10, 1:8] = True
    mask[4, 5, 4] = False
    return u, mask


def levels() -> tuple[np.ndarray, dict[tuple[int, int, int], int]]:
    """A small image of gray levels 1, 2, 4, 5 (3 is absent) and the level of each voxel inside its mask."""
    image = np.random.default_rng(7).choice([1, 2, 4, 5], size=(4, 3, 3), p=[0.4, 0.3, 0.2, 0.1])
    image[0, 0, 0], image[3, 2, 2], image[1, 1, 1] = 1, 5, 0
    inside = {tuple(map(int, where)): int(image[tuple(where)]) for where in np.argwhere(image > 0)}
    return image, inside


def measured_levels(*names: str) -> list[float]:
    image, _ = levels()
    return list(measure_texture(image, image > 0, grid(image.shape), {"binWidth": 1}, names).values())


def shifted(voxel: tuple[int, int, int], step: tuple[int, int, int], times: int = 1) -> tuple[int, int, int]:
    return tuple(a + times * b for a, b in zip(voxel, step, strict=True))


def full_extractor(u: np.ndarray, mask: np.ndarray, spacing: np.ndarray) -> dict[str, float]:
    """PyRadiomics' own extractor on the whole, uncropped image."""
    image, label = (sitk.GetImageFromArray(a.transpose(2, 1, 0)) for a in (u, mask.astype(np.uint8)))
    for item in (image, label):
        item.SetSpacing([float(s) for s in spacing])
    extractor = featureextractor.RadiomicsFeatureExtractor(additionalInfo=False, **CT)
    found = extractor.execute(image, label)
    return {name.removeprefix("original_"): float(value) for name, value in found.items()}


def test_names_are_exactly_the_ones_that_pyradiomics_implements() -> None:
    for group, implementation in features._CLASSES.items():
        ours = {name.split("_", 1)[1] for name in SHAPE_FEATURES + TEXTURE_FEATURES if feature_class(name) == group}
        assert ours == {name for name, deprecated in implementation.getFeatureNames().items() if not deprecated}
    assert (len(SHAPE_FEATURES), len(TEXTURE_FEATURES)) == (14, 93)


@pytest.mark.parametrize("group", IBSI)
def test_the_digital_phantom_has_the_published_values(group: str) -> None:
    image = np.array([[int(c) for c in row] for row in PHANTOM_ROWS.split()]).reshape(4, 4, 5).transpose(2, 1, 0)
    geometry = grid(image.shape, (2.0, 2.0, 2.0))
    values = measure_shape(image > 0, geometry) | measure_texture(image, image > 0, geometry, {"binWidth": 1})
    words = IBSI[group].split()
    for name, published in zip(words[::2], words[1::2], strict=True):
        assert values[f"{group}_{name}"] == pytest.approx(float(published), rel=0.005), name


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.0, 2.0), (0.8, 0.8, 3.0)])
def test_a_ball_has_the_volume_axes_and_diameter_of_a_ball_in_mm(spacing: tuple[float, float, float]) -> None:
    mask, geometry = ellipsoid((15.0, 15.0, 15.0), spacing)
    values = measure_shape(mask, geometry)
    assert values["shape_VoxelVolume"] == pytest.approx(mask.sum() * math.prod(spacing), rel=1e-12)
    assert values["shape_VoxelVolume"] == pytest.approx(4 / 3 * math.pi * 15.0**3, rel=0.02)
    assert values["shape_MeshVolume"] == pytest.approx(4 / 3 * math.pi * 15.0**3, rel=0.02)
    for axis in ("Major", "Minor", "Least"):
        # A solid ball has the variance r^2 / 5 along each axis.
        assert values[f"shape_{axis}AxisLength"] == pytest.approx(4 * 15.0 / math.sqrt(5), rel=0.02)
    assert values["shape_Maximum3DDiameter"] == pytest.approx(30.0, abs=max(spacing))
    assert values["shape_Elongation"] == pytest.approx(1.0, abs=0.025)
    assert values["shape_Flatness"] == pytest.approx(1.0, abs=0.025)


@pytest.mark.parametrize("radius", [12.3, 15.0, 18.6])
def test_the_mesh_of_a_ball_is_a_staircase_six_to_ten_percent_larger_than_the_ball(radius: float) -> None:
    values = measure_shape(*ellipsoid((radius, radius, radius)))
    volume, area = values["shape_MeshVolume"], values["shape_SurfaceArea"]
    assert 1.05 < area / (4 * math.pi * radius**2) < 1.10
    assert values["shape_Sphericity"] == pytest.approx((36 * math.pi * volume**2) ** (1 / 3) / area, rel=1e-9)
    assert values["shape_SurfaceVolumeRatio"] == pytest.approx(area / volume, rel=1e-9)


def test_an_ellipsoid_has_its_axes_and_keeps_them_when_it_is_turned() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    straight, turned = (measure_shape(*ellipsoid((16.0, 11.0, 7.0), turn=t)) for t in (None, turn))
    for values in (straight, turned):
        lengths = [values[f"shape_{axis}AxisLength"] for axis in ("Major", "Minor", "Least")]
        assert lengths == pytest.approx([4 * semi / math.sqrt(5) for semi in (16.0, 11.0, 7.0)], rel=0.01)
        assert values["shape_Elongation"] == pytest.approx(11 / 16, rel=0.02)
        assert values["shape_Flatness"] == pytest.approx(7 / 16, rel=0.02)
    for name in ("MeshVolume", "VoxelVolume", "SurfaceArea", "Sphericity", "Maximum3DDiameter"):
        assert turned[f"shape_{name}"] == pytest.approx(straight[f"shape_{name}"], rel=0.015)


def test_the_2d_diameters_lie_in_the_stored_planes() -> None:
    mask = np.zeros((12, 9, 7), dtype=bool)
    mask[1:11, 1:8, 1:5] = True
    values = measure_shape(mask, grid(mask.shape, (1.0, 2.0, 3.0)))
    # Between the outer centers lie 9, 12 and 9 mm; within a plane the mesh is half a voxel wider along one axis at a time.
    assert values["shape_Maximum2DDiameterSlice"] == pytest.approx(np.hypot(9, 14))
    assert values["shape_Maximum2DDiameterColumn"] == pytest.approx(np.hypot(9, 12))
    assert values["shape_Maximum2DDiameterRow"] == pytest.approx(np.hypot(12, 12))


def test_glcm_features_equal_those_of_pairs_counted_one_by_one() -> None:
    _, inside = levels()
    contrast, entropy, correlation = [], [], []
    for step in DIRECTIONS:
        pairs: Counter = Counter()
        for voxel, level in inside.items():
            other = inside.get(shifted(voxel, step))
            if other is not None:
                pairs[level, other] += 1
                pairs[other, level] += 1
        total = sum(pairs.values())
        p = {pair: n / total for pair, n in pairs.items()}
        mean = sum(i * q for (i, _), q in p.items())
        variance = sum((i - mean) ** 2 * q for (i, _), q in p.items())
        contrast.append(sum((i - j) ** 2 * q for (i, j), q in p.items()))
        entropy.append(-sum(q * math.log2(q) for q in p.values()))
        correlation.append(sum((i - mean) * (j - mean) * q for (i, j), q in p.items()) / variance)
    expected = [np.mean(contrast), np.mean(entropy), np.mean(correlation)]
    assert measured_levels("glcm_Contrast", "glcm_JointEntropy", "glcm_Correlation") == pytest.approx(expected, rel=1e-12)


def test_glrlm_features_equal_those_of_runs_followed_one_by_one() -> None:
    _, inside = levels()
    short, high, entropy = [], [], []
    for step in DIRECTIONS:
        runs: Counter = Counter()
        for voxel, level in inside.items():
            if inside.get(shifted(voxel, step, -1)) == level:
                continue
            length = next(n for n in itertools.count(1) if inside.get(shifted(voxel, step, n)) != level)
            runs[level, length] += 1
        total = sum(runs.values())
        short.append(sum(n / length**2 for (_, length), n in runs.items()) / total)
        high.append(sum(n * level**2 for (level, _), n in runs.items()) / total)
        entropy.append(-sum(n / total * math.log2(n / total) for n in runs.values()))
    expected = [np.mean(short), np.mean(high), np.mean(entropy)]
    names = ("glrlm_ShortRunEmphasis", "glrlm_HighGrayLevelRunEmphasis", "glrlm_RunEntropy")
    assert measured_levels(*names) == pytest.approx(expected, rel=1e-12)


def test_glszm_features_equal_those_of_zones_filled_one_by_one() -> None:
    _, inside = levels()
    zones: Counter = Counter()
    left = dict(inside)
    while left:
        voxel, level = left.popitem()
        front, size = [voxel], 1
        while front:
            here = front.pop()
            for step in NEIGHBORS:
                if left.get(shifted(here, step)) == level:
                    front.append(shifted(here, step))
                    del left[shifted(here, step)]
                    size += 1
        zones[level, size] += 1
    total = sum(zones.values())
    by_level: Counter = Counter()
    for (level, _), n in zones.items():
        by_level[level] += n
    expected = [
        total / len(inside),
        sum(n / size**2 for (_, size), n in zones.items()) / total,
        sum(n**2 for n in by_level.values()) / total,
    ]
    names = ("glszm_ZonePercentage", "glszm_SmallAreaEmphasis", "glszm_GrayLevelNonUniformity")
    assert measured_levels(*names) == pytest.approx(expected, rel=1e-12)


def test_gldm_features_equal_those_of_dependences_counted_one_by_one() -> None:
    _, inside = levels()
    counts = Counter(
        (level, 1 + sum(inside.get(shifted(v, step)) == level for step in NEIGHBORS)) for v, level in inside.items()
    )
    total = len(inside)
    expected = [
        -sum(n / total * math.log2(n / total) for n in counts.values()),
        sum(n / size**2 for (_, size), n in counts.items()) / total,
        sum(n * size**2 / level**2 for (level, size), n in counts.items()) / total,
    ]
    names = ("gldm_DependenceEntropy", "gldm_SmallDependenceEmphasis", "gldm_LargeDependenceLowGrayLevelEmphasis")
    assert measured_levels(*names) == pytest.approx(expected, rel=1e-12)


def test_ngtdm_features_equal_those_of_neighborhoods_averaged_one_by_one() -> None:
    _, inside = levels()
    number: Counter = Counter()
    difference: Counter = Counter()
    for voxel, level in inside.items():
        around = [inside[shifted(voxel, step)] for step in NEIGHBORS if shifted(voxel, step) in inside]
        number[level] += 1
        difference[level] += abs(level - sum(around) / len(around))
    total, present = len(inside), sorted(number)
    p = {level: number[level] / total for level in present}
    s = {level: difference[level] for level in present}
    spread = sum(p[i] * p[j] * (i - j) ** 2 for i in present for j in present) / (len(present) * (len(present) - 1))
    mixed = sum(abs(i - j) * (p[i] * s[i] + p[j] * s[j]) / (p[i] + p[j]) for i in present for j in present)
    expected = [1 / sum(p[i] * s[i] for i in present), spread * sum(s.values()) / total, mixed / total]
    assert measured_levels("ngtdm_Coarseness", "ngtdm_Contrast", "ngtdm_Complexity") == pytest.approx(expected, rel=1e-12)


def test_first_order_features_equal_numpy() -> None:
    u, mask = textured()
    values = measure_texture(u, mask, grid(u.shape, (1.0, 1.0, 2.0)), CT)
    x = u[mask]
    centered = x - x.mean()
    bins = np.unique(np.floor(x / CT["binWidth"]), return_counts=True)[1] / x.size
    expected = {
        "Mean": x.mean(),
        "Variance": x.var(),
        "Skewness": (centered**3).mean() / x.std() ** 3,
        "Kurtosis": (centered**4).mean() / x.var() ** 2,
        "10Percentile": np.percentile(x, 10),
        "Median": np.median(x),
        "Range": np.ptp(x),
        "Energy": (x**2).sum(),
        "TotalEnergy": (x**2).sum() * 2.0,
        "Entropy": -(bins * np.log2(bins)).sum(),
        "Uniformity": (bins**2).sum(),
    }
    assert {name: values[f"firstorder_{name}"] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_everything_equals_the_full_extractor_on_the_uncropped_image() -> None:
    u, mask = textured(1)
    spacing = (0.7, 0.9, 2.5)
    ours = measure_shape(mask, grid(u.shape, spacing)) | measure_texture(u, mask, grid(u.shape, spacing), CT)
    reference = full_extractor(u, mask, np.array(spacing))
    assert set(ours) == set(reference) and len(ours) == 107
    assert ours == pytest.approx(reference, rel=1e-9, abs=1e-12)


def test_a_mask_one_slice_thick_equals_the_full_extractor() -> None:
    u, mask = textured(2)
    mask[:, :, :5] = mask[:, :, 6:] = False
    reference = full_extractor(u, mask, np.ones(3))
    ours = measure_texture(u, mask, grid(u.shape), CT)
    assert ours == pytest.approx({name: reference[name] for name in ours}, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 0, 2)])
def test_texture_is_the_same_on_permuted_and_left_handed_grids(axes: tuple[int, int, int]) -> None:
    u, mask = textured(3)
    plain = grid(u.shape, (0.7, 0.9, 2.5))
    affine = plain.affine.copy()
    affine[:, :3] = affine[:, list(axes)]
    affine[:, 0] *= -1.0
    turned = Geometry(u.transpose(axes).shape, affine)
    before = measure_texture(u, mask, plain, CT) | measure_shape(mask, plain)
    after = measure_texture(np.flip(u.transpose(axes), 0), np.flip(mask.transpose(axes), 0), turned, CT)
    after |= measure_shape(np.flip(mask.transpose(axes), 0), turned)
    stored = {name for name in SHAPE_FEATURES if "2DDiameter" in name}
    assert after == pytest.approx({k: after[k] if k in stored else v for k, v in before.items()}, rel=1e-9, abs=1e-9)
    assert sorted(after[name] for name in stored) == pytest.approx(sorted(before[name] for name in stored))


def test_shuffling_the_voxels_changes_texture_but_no_first_order_feature() -> None:
    u, mask = textured(4)
    shuffled = u.copy()
    shuffled[mask] = np.random.default_rng(0).permutation(u[mask])
    before, after = (measure_texture(image, mask, grid(u.shape), CT) for image in (u, shuffled))
    for name in TEXTURE_FEATURES:
        if feature_class(name) == "firstorder":
            assert after[name] == pytest.approx(before[name], rel=1e-9, abs=1e-9)
    assert after["glcm_Correlation"] < before["glcm_Correlation"] - 0.2
    assert after["glcm_Contrast"] > before["glcm_Contrast"]


def test_values_outside_the_mask_and_the_position_of_the_mask_do_not_matter() -> None:
    u, mask = textured(5)
    other = np.where(mask, u, np.nan)
    wide, wide_mask = np.full((20, 19, 18), 5e6), np.zeros((20, 19, 18), dtype=bool)
    wide[3:15, 4:15, 5:15], wide_mask[3:15, 4:15, 5:15] = u, mask
    expected = measure_texture(u, mask, grid(u.shape), CT)
    assert measure_texture(other, mask, grid(u.shape), CT) == expected
    assert measure_texture(wide, wide_mask, grid(wide.shape), CT) == expected


def test_named_features_equal_those_of_a_full_run_and_keep_their_order() -> None:
    u, mask = textured(6)
    names = ("ngtdm_Contrast", "firstorder_Mean", "glcm_MCC", "ngtdm_Busyness")
    every = measure_texture(u, mask, grid(u.shape), CT)
    some = measure_texture(u, mask, grid(u.shape), CT, names)
    assert list(some.items()) == [(name, every[name]) for name in names]
    assert list(every) == list(TEXTURE_FEATURES)


def test_only_the_classes_that_are_named_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    u, mask = textured()
    monkeypatch.setattr(features, "_CLASSES", {"firstorder": features._CLASSES["firstorder"]})
    assert set(measure_texture(u, mask, grid(u.shape), CT, ["firstorder_Mean"])) == {"firstorder_Mean"}


def test_a_constant_region_keeps_the_values_that_pyradiomics_defines() -> None:
    _, mask = textured()
    values = measure_texture(np.full(mask.shape, 33.0), mask, grid(mask.shape), CT)
    assert len(values) == 93
    expected = {"firstorder_Mean": 33.0, "firstorder_Skewness": 0.0, "firstorder_Kurtosis": 0.0, "glcm_Correlation": 1.0}
    expected |= {"ngtdm_Coarseness": 1e6, "ngtdm_Busyness": 0.0, "glszm_SmallAreaEmphasis": 1.0 / mask.sum() ** 2}
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_features_without_value_are_left_out_or_refused_when_named(recwarn: pytest.WarningsRecorder) -> None:
    apart = np.zeros((5, 5, 5), dtype=bool)
    apart[0, 0, 0] = apart[4, 4, 4] = True
    u = np.arange(125.0).reshape(5, 5, 5)
    values = measure_texture(u, apart, grid(u.shape), CT)
    assert "glcm_Contrast" not in values and all(map(math.isfinite, values.values()))
    assert values["firstorder_Mean"] == 62.0
    with pytest.raises(FeatureError, match="glcm_Contrast") as caught:
        measure_texture(u, apart, grid(u.shape), CT, ["glcm_Contrast"])
    assert caught.value.code == "feature.undefined"
    assert not recwarn.list


def test_masks_and_images_that_cannot_be_measured_are_refused() -> None:
    u, mask = textured()
    geometry, lone = grid(u.shape), np.zeros(u.shape, dtype=bool)
    lone[1, 1, 1] = True
    broken, wild = u.copy(), u.copy()
    broken[mask.nonzero()[0][0], mask.nonzero()[1][0], mask.nonzero()[2][0]] = np.nan
    wild[4, 4, 4] = 1e7
    cases = [
        ("feature.empty", lambda: measure_shape(np.zeros_like(mask), geometry)),
        ("feature.empty", lambda: measure_texture(u, np.zeros_like(mask), geometry, CT)),
        ("feature.small", lambda: measure_shape(lone, geometry)),
        ("feature.small", lambda: measure_texture(u, lone, geometry, CT)),
        ("feature.grid", lambda: measure_shape(mask[1:], geometry)),
        ("feature.grid", lambda: measure_texture(u[1:], mask, geometry, CT)),
        ("feature.values", lambda: measure_texture(broken, mask, geometry, CT)),
        ("feature.levels", lambda: measure_texture(wild, mask, geometry, CT)),
        ("feature.levels", lambda: measure_texture(u, mask, geometry, {"binCount": 100000})),
        ("feature.unknown", lambda: measure_texture(u, mask, geometry, CT, ["shape_Sphericity"])),
    ]
    for code, call in cases:
        with pytest.raises(FeatureError) as caught:
            call()
        assert caught.value.code == code


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    assert check_names(["glcm_Contrast", "shape_Flatness", "glcm_Contrast"]) == ("glcm_Contrast", "shape_Flatness")
    with pytest.raises(FeatureError, match="glcm_Contrast"):
        check_names(["glcm_contrast"])
    with pytest.raises(FeatureError, match="class_Feature"):
        check_names(["zzz"])


def test_pyradiomics_stays_silent(capfd: pytest.CaptureFixture[str]) -> None:
    u, mask = textured()
    measure_texture(u, mask, grid(u.shape), CT)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_a_real_tumor_equals_the_full_extractor() -> None:
    """The lung phantom of the IBSI, tumor of 359 mL, where the data folder is at hand."""
    if "TUMORSYNTH_DATA" not in os.environ:
        pytest.skip("set TUMORSYNTH_DATA to the data folder")
    data = Path(os.environ["TUMORSYNTH_DATA"])
    with open(data / "index.csv", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["id"] == "IBSI_PAT1")
    image, label = sitk.ReadImage(str(data / row["file"])), sitk.ReadImage(str(data / row["mask_file"]))
    u, mask = (sitk.GetArrayFromImage(item).transpose(2, 1, 0) for item in (image, label))
    mask = mask == 1
    geometry = grid(u.shape, image.GetSpacing())
    ours = measure_shape(mask, geometry) | measure_texture(u, mask, geometry, CT)
    reference = full_extractor(u, mask, geometry.spacing)
    assert set(ours) == set(reference)
    assert ours == pytest.approx(reference, rel=1e-9, abs=1e-12)
