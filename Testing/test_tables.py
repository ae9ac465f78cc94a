"""The tables that need networks, on a tiny folder: what they say is what a calculation by hand gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_data
import torch
import torch.nn.functional as F
from torch import nn

from TumorSynthLib import finishing
from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.errors import DataError, RequestError
from TumorSynthLib.evaluate import Options, handmade, run, sensitivity, synthesis, timing
from TumorSynthLib.evaluate.feature_sets import FEATURE_SETS
from TumorSynthLib.feature_names import SHAPE_FEATURES
from TumorSynthLib.features import measure_texture
from TumorSynthLib.handmade_shape import bent_ellipsoid
from TumorSynthLib.segmentation.network import SegmenterConfig, build_network, save_segmenter
from TumorSynthLib.volume import Geometry


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data.write_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = SegmenterConfig(spacing_mm=4.0, patch=16, channels=(8, 8, 16))
    place = tmp_path_factory.mktemp("segmenter")
    save_segmenter(place, config, build_network(config), {"split": "train", "patients": ["a", "b"]})
    return place


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps, one noise level, few features to calibrate."""
    for module in (synthesis, sensitivity):
        monkeypatch.setattr(module, "STEPS", 2)
    monkeypatch.setattr(finishing, "NOISE_LEVELS", (1.0,))
    monkeypatch.setattr(finishing, "GRAINS", (0.7,))
    monkeypatch.setattr(
        finishing, "MATCHABLE", {name: finishing.MATCHABLE[name] for name in ("firstorder_Mean", "firstorder_Variance")}
    )


def checked(report: dict[str, Any], out: Path, table: str, bundle: Bundle) -> str:
    assert report["table"] == table and report["bundle"] == bundle.identity and report["protocol"] and report["cases"]
    assert json.loads((out / f"{table}.json").read_text()) == json.loads(json.dumps(report))
    assert (out / f"{table}.png").stat().st_size > 5000
    text = (out / f"{table}.md").read_text()
    assert f"Bundle {bundle.id} {bundle.identity['version']} ({bundle.identity['sha256'][:12]})" in text
    return text


def test_the_synthesis_table_of_a_small_folder(
    folder: Path, segmenter: Path, tiny_bundle: Bundle, tmp_path: Path, quick: None
) -> None:
    report = run(folder, "train", "synthesis", tmp_path, tiny_bundle, options=Options(segmenter=segmenter))
    text = checked(report, tmp_path, "synthesis", tiny_bundle)
    assert "Gain of the crop's PSNR" in text and "surface Dice" in text and "Segmenter: split train, patients 2" in text
    cases = {case["modality"]: case for case in report["cases"]}
    for case in report["cases"]:
        for name, arm in case["arms"].items():
            # Outside the grown mask nothing differs, so the crop only adds voxels without error.
            if name != "handmade":
                assert arm["psnr_crop"] == pytest.approx(arm["psnr_mask"] + case["crop_gain_db"], abs=0.01)
        assert case["arms"]["codec"].keys() == {"psnr_mask", "ssim_mask", "psnr_crop", "ssim_crop"}
        assert set(case["agreement"]) == {"real", *case["arms"]}
        assert all(0.0 <= value <= 1.0 for arm in case["agreement"].values() for value in arm.values())
    assert "random_patient" not in cases["MR"]["arms"] and "handmade" not in cases["MR"]["arms"], "no other, no exemplars"
    group = report["summary"]["CT"]
    mean = np.mean([case["arms"]["bridge"]["psnr_mask"] for case in report["cases"] if case["modality"] == "CT"])
    assert group["arms"]["bridge"]["psnr_mask"]["mean"] == pytest.approx(mean, rel=1e-6)
    assert group["realism"]["bridge"]["frechet"]["ratio"] is None and group["realism"]["bridge"]["patients"] == 2
    assert set(report["summary"]["all"]) == {"realism", "agreement"}


def test_the_realism_of_copies_is_one_unit_and_of_plain_fills_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "ARMS", ("codec", "smooth_fill"))
    rng = np.random.default_rng(0)
    names = FEATURE_SETS["size_free"]
    cases = []
    for n in range(12):
        real = rng.normal(size=len(names))
        arms = {"real": real, "codec": real, "smooth_fill": np.zeros(len(names))}
        features = {arm: dict(zip(names, values.tolist(), strict=True)) for arm, values in arms.items()}
        cases.append({"id": f"c{n}", "patient": f"p{n}", "modality": "CT", "features": features})
    found = synthesis._realism(cases, synthesis._tables(cases))
    assert found["codec"]["frechet"]["ratio"] == pytest.approx(1.0)
    assert found["smooth_fill"]["frechet"]["ratio"] > 1.0 and found["smooth_fill"]["mmd"]["p"] < 0.05


def test_the_sensitivity_table_of_a_small_folder(
    folder: Path, tiny_bundle: Bundle, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensitivity, "SCORES", (-1.0, 0.0, 1.0))
    report = run(folder, "test", "sensitivity", tmp_path, tiny_bundle)
    text = checked(report, tmp_path, "sensitivity", tiny_bundle)
    (case,) = report["cases"]
    assert len(case["curves"]) == 22 and case["asked"] == [-1.0, 0.0, 1.0]
    mean = report["summary"]["CT"]["features"]["firstorder_Mean"]
    # The calibration follows, whatever the networks draw; random weights do not.
    assert 0.6 < mean["program"]["slope"]["mean"] < 1.1
    assert mean["program"]["spearman"]["mean"] == pytest.approx(1.0)
    assert abs(mean["network"]["slope"]["mean"]) < 0.5
    # So does it where nothing else is asked for; the rest is another tumor's then, which other features show.
    assert 0.6 < mean["alone"]["slope"]["mean"] < 1.1
    curves = case["curves"]
    assert [set(curve) for curve in curves.values()] == [{"network", "program", "alone"}] * 22
    assert any(curve["program"] != curve["alone"] for curve in curves.values())
    assert "| firstorder_Mean |" in text


def test_sensitivity_asks_for_chosen_features_alone_and_refuses_those_without_a_token(
    folder: Path, tiny_bundle: Bundle, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensitivity, "SCORES", (-1.0, 0.0, 1.0))
    chosen = ("glcm_Correlation", "firstorder_Mean")
    report = run(folder, "test", "sensitivity", tmp_path, tiny_bundle, options=Options(features=chosen))
    assert tuple(report["cases"][0]["curves"]) == chosen and (tmp_path / "sensitivity.png").stat().st_size > 5000
    with pytest.raises(RequestError, match="no token for glcm_Wrong") as caught:
        run(folder, "test", "sensitivity", tmp_path, tiny_bundle, options=Options(features=("glcm_Wrong", "firstorder_Mean")))
    assert caught.value.code == "evaluate.feature" and "glcm_Contrast" in caught.value.hint


def test_slopes_and_monotony_have_their_known_values() -> None:
    asked = np.array(sensitivity.SCORES)
    assert sensitivity.slope((0.25 * asked + 3.0).tolist()) == pytest.approx(0.25)
    assert sensitivity.slope([None, None, None, 1.0, 2.0]) is None
    assert sensitivity.slope([None, 0.6, 0.0, -0.6, None]) == pytest.approx(-1.0)
    assert sensitivity.monotony(np.exp(asked).tolist()) == pytest.approx(1.0)
    assert sensitivity.monotony([1.0] * 5) == 0.0
    assert sensitivity.monotony([0.0, 2.0, 1.0, 3.0, 4.0]) == pytest.approx(0.9)


def test_the_shape_table_of_a_small_folder_keeps_every_case(folder: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    report = run(folder, "test", "shape", tmp_path, tiny_bundle)
    text = checked(report, tmp_path, "shape", tiny_bundle)
    assert report["cases"] and len(report["cases"]) == report["summary"]["data"]["shapes"]
    for case in report["cases"]:
        assert set(case["features"]) == {"real", "drawn_orientation", "volume_and_sphericity", "ellipsoid"}
        assert all(set(values) == set(SHAPE_FEATURES) for values in case["features"].values())
    assert "null: ellipsoid" in text and "Diversity" in text


def test_the_time_table_counts_every_run(
    folder: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "STEPS", (1, 3))
    report = run(folder, "test", "time", tmp_path, tiny_bundle, options=Options(repeats=2))
    text = checked(report, tmp_path, "time", tiny_bundle)
    assert len(report["cases"]) == 2 * 2 * 2 and all(case["seconds"] > 0.0 for case in report["cases"])
    found = report["summary"]["steps"]
    for steps, entry in found.items():
        own = [case["seconds"] for case in report["cases"] if str(case["steps"]) == steps and case["kind"] == "whole"]
        assert entry["whole"]["median"] == pytest.approx(np.median(own), rel=1e-6) and entry["whole"]["runs"] == 2
        assert entry["whole"]["median"] > entry["network"]["median"]
    assert found["3"]["gflop"] > found["1"]["gflop"] > 0.0
    assert "threads" in text and report["summary"]["parameters"] > 1000


def test_warm_ups_are_not_counted_and_the_median_is_of_the_rest() -> None:
    numbers: list[int] = []
    seconds = timing.measured(numbers.append, 4, torch.device("cpu"))
    assert numbers == list(range(timing.WARM_UPS + 4)) and len(seconds) == 4


def test_the_arithmetic_of_a_convolution_is_counted_right() -> None:
    layer, image = nn.Conv3d(3, 5, 3, padding=1, bias=False), torch.zeros(1, 3, 8, 9, 10)
    assert timing.gflop(lambda: layer(image)) == pytest.approx(2 * 27 * 3 * 5 * 8 * 9 * 10 / 1e9)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert timing.gflop(lambda: layer(image)) == pytest.approx(2 * 27 * 3 * 5 * 8 * 9 * 10 / 1e9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_arithmetic_of_attention_is_counted_right_on_any_device(dtype: torch.dtype) -> None:
    query, key = torch.randn(1, 2, 64, 8, dtype=dtype), torch.randn(1, 2, 24, 8, dtype=dtype)
    exists = torch.ones(1, 1, 1, 24, dtype=torch.bool)
    for mask in (None, exists):
        with torch.inference_mode():
            found = timing.gflop(lambda mask=mask: F.scaled_dot_product_attention(query, key, key, attn_mask=mask))  # type: ignore[misc]
        assert found == pytest.approx(2 * (2 * 2 * 64 * 24 * 8) / 1e9)


def test_a_hand_made_tumor_has_its_volume_place_and_level() -> None:
    geometry = Geometry((50, 48, 30), np.diag([-1.5, 1.5, 3.0, 1.0]))
    center = geometry.to_ras(np.array([25.0, 24.0, 15.0]))
    mask = bent_ellipsoid(geometry, center, 15_000.0, np.random.default_rng(0))
    assert mask.sum() * geometry.voxel_volume_mm3 == pytest.approx(15_000.0, abs=geometry.voxel_volume_mm3)
    assert np.allclose(geometry.to_ras(np.argwhere(mask).mean(axis=0)), center, atol=4.0)
    other = bent_ellipsoid(geometry, center, 15_000.0, np.random.default_rng(1))
    assert not np.array_equal(mask, other)
    u = handmade.plain_texture(geometry, (80.0, 12.0), np.random.default_rng(0))
    found = measure_texture(u, mask, geometry, DOMAINS[0].radiomics, ("firstorder_Mean", "firstorder_Variance"))
    assert found["firstorder_Mean"] == pytest.approx(80.0, abs=3.0)
    assert np.sqrt(found["firstorder_Variance"]) == pytest.approx(12.0, rel=0.15)
    assert handmade.typical_level([], np.random.default_rng(0)) is None
    level = handmade.typical_level([{"firstorder_Mean": 5.0, "firstorder_Variance": 9.0}], np.random.default_rng(0))
    assert level == (5.0, 3.0)


def test_a_folder_without_a_segmenter_is_refused_before_any_work(folder: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not hold a segmenter"):
        run(folder, "test", "synthesis", tmp_path / "out", tiny_bundle, options=Options(segmenter=tmp_path))
    assert not (tmp_path / "out").exists()
