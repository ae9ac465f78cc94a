"""The evaluation: correlations against known values, nulls and copies, regions, and every table on a tiny data folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_data
from scipy import ndimage, stats

from TumorSynthLib import finishing
from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.errors import DataError
from TumorSynthLib.evaluate import TABLES, Options, agreement, quality, removal, run, texture, texture_arms
from TumorSynthLib.evaluate.agreement import Comparison
from TumorSynthLib.evaluate.cases import Case, blanked
from TumorSynthLib.evaluate.feature_sets import COLUMNS, FEATURE_SETS, HISTOGRAM_FEATURES, SIZE_FEATURES
from TumorSynthLib.evaluate.regions import CLEARANCE_MM, RADII_MM, healthy_regions
from TumorSynthLib.evaluate.removal import region_fills
from TumorSynthLib.feature_names import TEXTURE_FEATURES
from TumorSynthLib.features import measure_texture
from TumorSynthLib.intensity import fit_intensity
from TumorSynthLib.texture import TextureModel
from TumorSynthLib.volume import Geometry, Volume

CT, T1 = DOMAINS[0], DOMAINS[1]


def numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def case_of(array: np.ndarray, labels: np.ndarray | None = None, spacing: tuple[float, float, float] = (2.0, 2.0, 3.0)) -> Case:
    labels = np.zeros(array.shape, np.uint8) if labels is None else labels
    volume = Volume(array, Geometry(array.shape, np.diag([*spacing, 1.0])))
    return Case("case", "patient", Path("case.nii.gz"), CT, volume, fit_intensity(array, CT), labels)


@pytest.fixture(scope="module")
def model(tiny_bundle: Bundle) -> TextureModel:
    return TextureModel(tiny_bundle, "cpu")


# Agreement


def test_correlations_are_those_of_scipy_also_with_ties_and_gaps() -> None:
    real, made = numbers((9, 6)).round(1), (3.0 * numbers((9, 6), 1)).round(0)
    made[2, 3] = real[5, 3] = np.nan
    for column in range(6):
        known = np.isfinite(real[:, column]) & np.isfinite(made[:, column])
        x, y = real[known, column], made[known, column]
        assert agreement.pearson(real, made)[column] == pytest.approx(stats.pearsonr(x, y).statistic)
        assert agreement.spearman(real, made)[column] == pytest.approx(stats.spearmanr(x, y).statistic)


def test_a_batch_of_resamples_gives_what_each_gives_alone() -> None:
    real, made = numbers((4, 8, 3)), numbers((4, 8, 3), 1)
    alone = [agreement.across_cases(real[n], made[n]) for n in range(4)]
    assert np.allclose(agreement.across_cases(real, made), alone)


def test_definitions_agree_with_a_calculation_by_hand() -> None:
    real = np.array([[1.0, 10.0, 5.0], [2.0, 30.0, 4.0], [3.0, 20.0, 9.0], [4.0, 40.0, 6.0]])
    made = np.array([[1.0, 12.0, 4.0], [3.0, 20.0, 8.0], [2.0, 40.0, 7.0], [5.0, 30.0, 5.0]])
    found = Comparison(real, made, list("abcd"), resamples=10)
    by_feature = [stats.pearsonr(real[:, n], made[:, n]).statistic for n in range(3)]
    z, w = ((values - real.mean(axis=0)) / real.std(axis=0) for values in (real, made))
    by_case = [stats.spearmanr(z[n], w[n]).statistic for n in range(4)]
    raw = [stats.pearsonr(real[n], made[n]).statistic for n in range(4)]
    assert found.definition_c([0, 1, 2])["pcc"] == pytest.approx(np.mean(by_feature))
    assert found.definition_c([1])["pcc"] == pytest.approx(by_feature[1])
    assert found.definition_b([0, 1, 2])["scc"] == pytest.approx(np.mean(by_case))
    assert found.definition_a([0, 1, 2])["pcc"] == pytest.approx(np.mean(raw))


def test_a_copy_agrees_perfectly_by_every_definition_and_in_every_resample() -> None:
    real = numbers((8, 12)) * 10.0 ** np.arange(12)
    found = Comparison(real, real, [f"p{n}" for n in range(8)], resamples=50)
    for values in (found.definition_a(range(12)), found.definition_b(range(12)), found.definition_c(range(12))):
        assert values["pcc"] == pytest.approx(1.0) and values["scc"] == pytest.approx(1.0)
        assert np.allclose(values["ci"]["pcc"], 1.0)


def test_unrelated_features_agree_by_chance_alone_but_not_by_definition_a() -> None:
    scale = 10.0 ** (np.arange(40) % 6)
    real, made = (scale * (1.0 + 0.1 * numbers((60, 40), seed)) for seed in (0, 1))
    found = Comparison(real, made, [f"p{n}" for n in range(60)], resamples=200)
    for values in (found.definition_b(range(40)), found.definition_c(range(40))):
        assert abs(values["pcc"]) < 0.06 and abs(values["scc"]) < 0.06
        assert values["ci"]["scc"][0] < 0.0 < values["ci"]["scc"][1]
    assert found.definition_a(range(40))["pcc"] > 0.9


def test_a_feature_that_never_varies_among_the_real_is_left_out_and_one_made_constant_counts_as_zero() -> None:
    real = numbers((7, 3))
    made = real.copy()
    real[:, 0], made[:, 1] = 3.3, 1e9
    found = Comparison(real, made, list("abcdefg"), resamples=10).definition_c([0, 1, 2])
    assert found["pcc"] == pytest.approx(0.5)


def test_without_a_pair_there_is_no_number() -> None:
    found = Comparison(numbers((2, 4)), np.full((2, 4), np.nan), ["a", "b"], resamples=10)
    assert found.definition_c(range(4)) == {"pcc": None, "scc": None, "ci": {"pcc": None, "scc": None}}


def test_an_interval_covers_what_sampling_leaves_open() -> None:
    real = numbers((51, 1))
    made = 0.85 * real + np.sqrt(1.0 - 0.85**2) * numbers((51, 1), 3)
    low, high = Comparison(real, made, [f"p{n}" for n in range(51)]).definition_c([0])["ci"]["pcc"]
    r = stats.pearsonr(real[:, 0], made[:, 0])
    expected = r.confidence_interval()
    assert abs(low - expected.low) < 0.06 and abs(high - expected.high) < 0.06


def test_patients_are_resampled_whole() -> None:
    rows = agreement.resampled_rows(["a", "b", "a", "c"], np.random.default_rng(0), 100)
    assert rows.shape[1] == 6 and rows.min() == -1
    for line in rows:
        assert (line == 0).sum() == (line == 2).sum() and len(set(line[line >= 0])) > 0
    values = [1.0, 5.0, 1.0, 9.0]
    found = agreement.mean_estimate(values, ["a", "b", "a", "c"])
    assert found["mean"] == 4.0 and found["ci"][0] >= 1.0 and found["ci"][1] <= 9.0
    assert agreement.mean_estimate(values[:2], ["a", "a"])["ci"] is None


# Feature sets


def test_features_called_size_dependent_are_those_that_change_with_the_size_of_the_mask() -> None:
    sizes: dict[int, list[list[float]]] = {28: [], 14: []}
    for seed in range(4):
        field = ndimage.gaussian_filter(numbers((28, 28, 28), seed), 1.0, mode="wrap")
        u = 400.0 + 30.0 * field / field.std()
        for size, rows in sizes.items():
            shape = (size, size, size)
            found = measure_texture(u[:size, :size, :size], np.ones(shape, bool), Geometry(shape, np.eye(4)), CT.radiomics)
            rows.append([found[name] for name in TEXTURE_FEATURES])
    large, small = (np.mean(rows, axis=0) for rows in sizes.values())
    for name, ratio in zip(TEXTURE_FEATURES, large / small, strict=True):
        if not name.endswith(("Skewness", "ClusterShade")):  # around 0
            assert (abs(np.log(ratio)) > np.log(3.0)) == (name in SIZE_FEATURES), name


def test_features_called_histogram_features_survive_shuffling_the_voxels() -> None:
    field = ndimage.gaussian_filter(numbers((20, 20, 20)), 1.2, mode="wrap")
    u = 40.0 + 30.0 * field / field.std()
    shuffled = np.random.default_rng(0).permutation(u.ravel()).reshape(u.shape)
    before, after = (
        measure_texture(part, np.ones(u.shape, bool), Geometry(u.shape, np.eye(4)), CT.radiomics) for part in (u, shuffled)
    )
    for name in HISTOGRAM_FEATURES:
        assert after[name] == pytest.approx(before[name], rel=0.1), name
    assert sum(abs(after[n] / before[n] - 1.0) > 0.1 for n in FEATURE_SETS["beyond_histogram"]) > 35


def test_every_set_is_part_of_all_features() -> None:
    assert {name: len(columns) for name, columns in COLUMNS.items()} == {
        "all": 93,
        "size_free": 78,
        "tokens": 22,
        "beyond_histogram": 49,
    }
    assert all(TEXTURE_FEATURES[column] in FEATURE_SETS["tokens"] for column in COLUMNS["tokens"])


# Texture


def made_cases(generator: np.random.Generator, obey: float, leak: float, count: int = 16) -> list[dict[str, Any]]:
    """Cases whose bridge follows what was asked for by ``obey`` and the owner of the mask by ``leak``."""
    real = generator.normal(size=(count, len(TEXTURE_FEATURES)))
    other = np.roll(real, -count // 2, axis=0)

    def named(values: np.ndarray) -> dict[str, float]:
        return dict(zip(TEXTURE_FEATURES, values.tolist(), strict=True))

    cases = []
    for n in range(count):
        noise = generator.normal(size=(3, len(TEXTURE_FEATURES)))
        arms = {"real": real[n], "codec": real[n], "smooth_fill": noise[0]}
        arms |= {arm: obey * real[n] + noise[1] for arm in texture.ARMS if arm.startswith("bridge")}
        arms |= {arm: noise[2] for arm in texture.ARMS if arm not in arms}
        arms |= {arm: obey * other[n] + leak * real[n] + noise[1] for arm in texture.SWAPS}
        features = {arm: named(values) for arm, values in arms.items()}
        entry = {"id": f"c{n}", "patient": f"p{n}", "modality": "CT", "swapped_with": f"c{(n + count // 2) % count}"}
        cases.append(entry | {"features": features})
    return cases


def test_a_model_that_obeys_beats_its_nulls_and_passes_the_swap() -> None:
    found = texture.summarize(made_cases(np.random.default_rng(0), 2.0, 0.0), 60)
    assert set(found) == {"CT"}
    summary = found["CT"]
    assert 0.8 < summary["definition_c"]["pcc"] < 0.95 and 0.8 < summary["definition_b"]["scc"] < 0.95
    assert summary["ceiling"]["definition_c"]["pcc"] == pytest.approx(1.0)
    assert summary["nulls"]["random_patient"]["definition_c"]["pcc"] == pytest.approx(-1.0 / 15.0, abs=0.02)
    for nulls in summary["above_nulls"].values():
        for null in nulls.values():
            assert null["size_free"]["definition_c"]["ci"]["scc"][0] > 0.0
    assert summary["swap"]["swap"]["size_free"]["difference"]["definition_c"]["ci"]["scc"][0] > 0.5


def test_a_model_that_ignores_what_is_asked_fails_the_swap() -> None:
    summary = texture.summarize(made_cases(np.random.default_rng(0), 0.0, 2.0), 60)["CT"]
    assert abs(summary["definition_c"]["scc"]) < 0.1
    assert summary["swap"]["swap"]["size_free"]["difference"]["definition_c"]["ci"]["scc"][1] < -0.5


def test_modalities_are_pooled_without_gaining_from_their_different_levels() -> None:
    first, second = (made_cases(np.random.default_rng(seed), 0.0, 0.0, 8) for seed in (0, 1))
    for case in second:
        case["modality"] = "PET"
        case["features"] = {arm: {k: v + 1000.0 for k, v in line.items()} for arm, line in case["features"].items()}
    summary = texture.summarize([*first, *second], 20)
    assert set(summary) == {"CT", "PET", "all"} and summary["all"]["cases"] == 16
    assert abs(summary["all"]["definition_c"]["pcc"]) < 0.15


def test_a_blanked_scan_says_nothing_about_the_tumor() -> None:
    scan = numbers((24, 24, 16)).astype(np.float32)
    labels = np.zeros(scan.shape, np.uint8)
    labels[8:15, 8:15, 5:10] = 1
    other = scan.copy()
    other[labels > 0] += 500.0
    mask = labels == 1
    first, second = (blanked(case_of(array, labels), mask) for array in (scan, other))
    assert np.array_equal(first.array, second.array)
    far = ndimage.distance_transform_edt(~mask, sampling=(2.0, 2.0, 3.0)) > 3.0
    assert np.array_equal(first.array[far], scan[far])


# Removal


def test_healthy_regions_keep_clear_of_tumors_borders_and_air() -> None:
    array = np.full((70, 70, 40), 40, np.int16)
    array[:20] = -1000
    labels = np.zeros(array.shape, np.uint8)
    labels[50:60, 50:60, 15:25] = 2
    case = case_of(array, labels)
    found = healthy_regions(case, 4)
    assert len(found) == 4 and all(np.array_equal(a, b) for a, b in zip(found, healthy_regions(case, 4), strict=True))
    away = ndimage.distance_transform_edt(labels == 0, sampling=(2.0, 2.0, 3.0))
    for mask in found:
        assert away[mask].min() > CLEARANCE_MM
        assert (array[mask] == 40).mean() >= 0.97
        assert not mask[[0, 1, -1, -2]].any() and not mask[:, :, [0, 1, -1, -2]].any()
        radius = (3.0 * mask.sum() * 12.0 / (4.0 * np.pi)) ** (1.0 / 3.0)
        assert RADII_MM[0] * 0.95 < radius < RADII_MM[1] * 1.05
    assert not (found[0] & found[1]).any()


def test_every_fill_of_a_constant_phantom_is_the_constant(model: TextureModel) -> None:
    case = case_of(np.full((50, 50, 34), 40, np.int16))
    mask = healthy_regions(case, 1)[0]
    fills, box = region_fills(case, mask, model, 0)
    inside = mask[box.slices]
    for arm in ("mean_fill", "harmonic_fill"):
        assert np.allclose(fills[arm][inside], 40.0, atol=1e-3)
    for arm, u in fills.items():
        away = ndimage.distance_transform_edt(~inside, sampling=(2.0, 2.0, 3.0)) > 10.0
        assert np.array_equal(u[away], np.full(int(away.sum()), 40.0, np.float32)), arm


def test_psnr_and_ssim_have_their_known_values() -> None:
    true = 40.0 + 30.0 * numbers((30, 30, 30))
    mask = np.zeros(true.shape, bool)
    mask[8:20, 8:20, 8:20] = True
    assert quality.data_range(CT) == 400.0 and quality.data_range(T1) == 100.0
    assert quality.psnr(true, true + 4.0, mask, 400.0) == pytest.approx(40.0)
    outside = np.where(mask, true, 999.0)
    assert quality.psnr(true, outside, mask, 400.0) == 100.0
    assert quality.ssim(true, true, mask, CT) == pytest.approx(1.0)
    metrics = pytest.importorskip("skimage.metrics")
    made = true + 20.0 * numbers(true.shape, 1)
    shown = [(image + 160.0) / 400.0 for image in (true, made)]
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, full = metrics.structural_similarity(*shown, full=True, **options)
    assert quality.ssim(true, made, mask, CT) == pytest.approx(full[mask].mean(), abs=1e-3)


# Whole tables


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data.write_folder(tmp_path_factory.mktemp("data"))


def test_an_unknown_table_or_split_is_answered_with_those_there_are(folder: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    tables = "synthesis, methods, texture, sensitivity, removal, codec, shape, downstream, time"
    with pytest.raises(DataError, match=tables) as error:
        run(folder, "test", "tumors", tmp_path, tiny_bundle)
    assert error.value.code == "evaluate.table"
    with pytest.raises(DataError, match="test, train") as error:
        run(folder, "held", "codec", tmp_path, tiny_bundle)
    assert error.value.code == "data.split" and not any(tmp_path.iterdir())


def checked(report: dict[str, Any], out: Path, table: str, bundle: Bundle) -> None:
    assert table in TABLES and report["table"] == table and report["bundle"] == bundle.identity and report["protocol"]
    assert json.loads((out / f"{table}.json").read_text()) == json.loads(json.dumps(report))
    assert bundle.id in (out / f"{table}.md").read_text() and (out / f"{table}.png").stat().st_size > 5000


def test_the_codec_table_of_a_small_folder(folder: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    report = run(folder, "test", "codec", tmp_path, tiny_bundle)
    checked(report, tmp_path, "codec", tiny_bundle)
    (case,) = report["cases"]
    assert case["id"] == "TEST_001_CT" and case["data_range"] == 400.0 and set(case["psnr"]) == {"work", "native", "resampling"}
    assert case["psnr"]["resampling"] > case["psnr"]["native"]
    assert report["summary"]["CT"]["psnr"]["work"]["mean"] == pytest.approx(case["psnr"]["work"], rel=1e-6)


def test_the_removal_table_of_a_small_folder(
    folder: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "REGIONS", 2)
    shares: list[float] = []
    report = run(folder, "test", "removal", tmp_path, tiny_bundle, 1, lambda stage, share: shares.append(share), Options(True))
    checked(report, tmp_path, "removal", tiny_bundle)
    assert shares[-1] == 1.0 and 1 <= len(report["cases"]) <= 2
    for case in report["cases"]:
        assert set(case["arms"]) == {"mean_fill", "harmonic_fill", "bridge", "bridge_noise", "codec"}
        assert case["psnr_mask"] == case["arms"]["bridge"]["psnr"] and case["ssim_mask"] == case["arms"]["bridge"]["ssim"]
        source, result, mask = (_read(case[key]) for key in ("source", "result", "mask"))
        changed = source != result
        assert mask.any() and not changed[~ndimage.binary_dilation(mask, iterations=2)].any()
        error = np.mean((source[mask > 0].astype(float) - result[mask > 0]) ** 2)
        assert case["psnr_mask"] == pytest.approx(10.0 * np.log10(case["data_range"] ** 2 / error), abs=0.01)
    assert report["summary"]["CT"]["bridge_minus"]["harmonic_fill"]["psnr"]["mean"] is not None


def _read(path: str) -> np.ndarray:
    from TumorSynthLib.volume_io import read_volume

    return read_volume(Path(path)).array


def test_the_texture_table_of_a_small_folder(
    folder: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texture_arms, "CANDIDATES", 2)
    monkeypatch.setattr(texture, "STEPS", 2)
    monkeypatch.setattr(finishing, "NOISE_LEVELS", (1.0,))
    monkeypatch.setattr(finishing, "GRAINS", (0.7,))
    monkeypatch.setattr(
        finishing, "MATCHABLE", {name: finishing.MATCHABLE[name] for name in ("firstorder_Mean", "firstorder_Variance")}
    )
    report = run(folder, "train", "texture", tmp_path, tiny_bundle)
    checked(report, tmp_path, "texture", tiny_bundle)
    cases = {case["modality"]: case for case in report["cases"]}
    assert set(cases["CT"]["features"]) == {"real", *texture.ARMS, *texture.SWAPS} and cases["MR"]["swapped_with"] is None
    asked = cases["CT"]["features"]
    for arm in ("bridge_1_calibrated", "smooth_fill_calibrated"):
        assert asked[arm]["firstorder_Mean"] == pytest.approx(asked["real"]["firstorder_Mean"], abs=2.0)
    assert abs(asked["smooth_fill"]["firstorder_Mean"] - asked["real"]["firstorder_Mean"]) > 30.0
    assert asked["flat_noise"]["firstorder_Mean"] == pytest.approx(asked["real"]["firstorder_Mean"], abs=10.0)
    assert set(report["summary"]) == {"CT", "MR", "all"}
    for group in report["summary"].values():
        assert {"definition_c", "definition_b", "nulls", "ceiling", "swap", "above_nulls"} <= set(group)
        assert set(group["definition_c"]) == {"pcc", "scc", "ci"}
