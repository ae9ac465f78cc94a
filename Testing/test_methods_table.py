"""The methods table on a tiny folder: arms, cases, costs and groups of rows are what they are said to be."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_data
from tiny_bundle import BRIDGE, make_tiny_bundle

from TumorSynthLib import finishing
from TumorSynthLib.bundle import Bundle
from TumorSynthLib.evaluate import Options, methods, methods_arms, methods_cost, methods_report, methods_summary, run
from TumorSynthLib.evaluate.feature_sets import FEATURE_SETS
from TumorSynthLib.evaluate.methods_arms import ARMS, Drawn, draw, sampled, tasks_of, widened_box
from TumorSynthLib.evaluate.methods_cost import costs
from TumorSynthLib.evaluate.methods_made import measure
from TumorSynthLib.evaluate.methods_summary import distance, diversities, real_distance, summarize
from TumorSynthLib.evaluate.texture import tumor_rows
from TumorSynthLib.evaluate.texture_arms import Tumor, read_tumor
from TumorSynthLib.evaluate.timing import gflop
from TumorSynthLib.feature_names import TEXTURE_FEATURES
from TumorSynthLib.scaling import KNOTS, FeatureScale
from TumorSynthLib.segmentation.network import SegmenterConfig, build_network, save_segmenter
from TumorSynthLib.texture import TextureModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data.write_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def model(tiny_bundle: Bundle) -> TextureModel:
    return TextureModel(tiny_bundle, "cpu")


@pytest.fixture(scope="module")
def tumor(folder: Path, tiny_bundle: Bundle) -> Tumor:
    return read_tumor(tumor_rows(folder, "test", 1)[0], folder, tiny_bundle)


@pytest.fixture(scope="module")
def drawn(tumor: Tumor, model: TextureModel, tiny_bundle: Bundle) -> Drawn:
    return draw(tumor, model, tiny_bundle, (2,))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One noise level, few features to calibrate."""
    monkeypatch.setattr(finishing, "NOISE_LEVELS", (1.0,))
    monkeypatch.setattr(finishing, "GRAINS", (0.7,))
    monkeypatch.setattr(
        finishing, "MATCHABLE", {name: finishing.MATCHABLE[name] for name in ("firstorder_Mean", "firstorder_Variance")}
    )


def made_up_costs(tumor: Tumor, model: TextureModel, steps: Sequence[int], progress: Any) -> dict[str, Any]:
    """Counting takes its time, and is tested apart."""
    return {name: {str(n): {"gflop": 10.0 * n, "seconds": 0.01 * n} for n in steps} for name in tasks_of(tumor, model)}


def test_the_methods_table_compares_bundles_on_the_same_cases(
    folder: Path, tiny_bundle: Bundle, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (methods, methods_arms, methods_report, methods_summary):
        monkeypatch.setattr(module, "STEPS", 2)
    monkeypatch.setattr(methods, "costs", made_up_costs)
    alone = make_tiny_bundle(
        tmp_path / "models", "alone", replace(BRIDGE, methods=("bridge",), shape_tokens=(), shape_quantiles=())
    )
    config = SegmenterConfig(spacing_mm=4.0, patch=16, channels=(8, 8, 16))
    save_segmenter(tmp_path / "segmenter", config, build_network(config), {"patients": ["a"]})
    bundles = {"whole": tiny_bundle, "ablated": alone}
    options = Options(segmenter=tmp_path / "segmenter", sampling_steps=(1,), bundles=bundles)
    report = run(folder, "train", "methods", tmp_path / "out", tiny_bundle, options=options)
    whole, ablated = (report["summary"]["bundles"][name] for name in bundles)
    assert whole["left_out"] == [] and ablated["left_out"] == ["diffusion", "flow", "flow_box"]
    # The tiny bundle has no exemplars, of which a hand-made tumor takes its level.
    others = ["smooth_fill_calibrated", "codec"]
    assert list(whole["groups"]) == ["CT", "MR", "all"]
    assert list(whole["groups"]["all"]["arms"]) == ["bridge", "diffusion", "flow", "flow_box", *others]
    assert list(ablated["groups"]["all"]["arms"]) == ["bridge", *others] and list(ablated["cost"]) == ["bridge"]
    assert {name: list(line) for name, line in whole["cost"].items()} == {name: ["1", "2"] for name in ARMS}
    assert len(report["cases"]) == whole["groups"]["all"]["cases"] == ablated["groups"]["all"]["cases"] == 3
    for case in report["cases"]:
        first, second = (case["bundles"][name] for name in bundles)
        assert first["features"]["real"] == second["features"]["real"]
        assert first["features"]["smooth_fill_calibrated"] == second["features"]["smooth_fill_calibrated"], "no network"
        assert {"bridge", "bridge_raw", "bridge_second", "bridge_1", "flow_box", "flow_box_1"} <= set(first["features"])
        assert "flow_box_raw" not in first["features"] and set(first["shape"]) == {"real", "flow", "flow_box"}
        assert set(first["agreement"]) == {"real", *ARMS, *others} and first["agreement"]["real"] == second["agreement"]["real"]
    text = (tmp_path / "out" / "methods.md").read_text()
    assert "not trained for the arms diffusion, flow, flow_box" in text and "| ablated | bridge | 2 | 20 | 0.02 |" in text
    assert (tmp_path / "out" / "methods.png").stat().st_size > 5000


def test_masks_that_are_made_lie_in_the_box_and_nothing_else_of_the_scan_changes(
    tumor: Tumor, drawn: Drawn, quick: None
) -> None:
    sheet = measure(drawn)
    box, labels = sheet.remakes.box, tumor.case.labels
    allowed = widened_box(tumor.mask)
    edges = np.array([np.ptp(np.argwhere(part), axis=0) + 1 for part in (tumor.mask, allowed)])
    assert (edges[1] >= 1.2 * edges[0]).all() and (edges[1] <= 1.2 * edges[0] + 2).all()
    for name in ("flow", "flow_box"):
        made = sheet.remakes.arms[name]
        assert made.mask.any() and not (made.mask & ~allowed[box.slices]).any()
        assert not (made.mask & (labels[box.slices] == 2)).any(), "another tumor"
        far = ~allowed[box.slices]
        for axis in range(3):
            far &= ~np.roll(allowed[box.slices], 2, axis) & ~np.roll(allowed[box.slices], -2, axis)
        assert np.array_equal(made.values[far], tumor.blank.array[box.slices][far])
    asked = sheet.shape["real"]["shape_VoxelVolume"]
    assert sheet.shape["flow"]["shape_VoxelVolume"] == pytest.approx(asked, rel=0.02), "met by the level of the soft mask"
    assert np.array_equal(sheet.remakes.arms["bridge"].mask, tumor.mask[box.slices])
    assert set(sheet.apart) == {"flow", "flow_box"} and all(0.0 <= value <= 1.0 for value in sheet.apart.values())


def test_only_arms_that_ask_are_told_features_and_only_flow_those_of_shape(drawn: Drawn) -> None:
    asked = {name: set(samples.asked) for name, samples in drawn.samples.items()}
    assert asked["bridge"] == asked["diffusion"] == set(drawn.asked) and not asked["flow_box"]
    assert asked["flow"] - asked["bridge"] == set(BRIDGE.shape_tokens)
    assert [len(drawn.samples[name].images) for name in ("flow", "flow_2")] == [2, 1]
    assert np.abs(drawn.samples["bridge"].images[0] - drawn.samples["diffusion"].images[0]).max() > 0.0


def test_every_further_step_costs_the_same(tumor: Tumor, model: TextureModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods_cost, "REPEATS", 1)
    told, step = costs(tumor, model, (3,)), {}
    assert list(told) == list(ARMS) and all(line["3"]["seconds"] > 0.0 for line in told.values())
    for name, (task, _) in tasks_of(tumor, model).items():

        def once(steps: int, name: str = name, task: Any = task) -> object:
            return sampled(model, ARMS[name], task, steps, (0,))

        one, two, three = (gflop(partial(once, n)) for n in (1, 2, 3))
        assert two - one == pytest.approx(three - two) and one > two - one > 0.0
        assert told[name]["3"]["gflop"] == pytest.approx(three)
        step[name] = two - one
    assert step["flow"] == pytest.approx(2.0 * step["flow_box"], rel=0.01), "guidance takes a second evaluation"
    assert step["bridge"] == pytest.approx(step["diffusion"])


def made_up_cases(arms: dict[str, Any], count: int = 12) -> list[dict[str, Any]]:
    """Cases whose arms are functions of the real features (and of a generator)."""
    rng = np.random.default_rng(0)
    cases = []
    for n in range(count):
        real = rng.normal(size=len(TEXTURE_FEATURES))
        lines = {"real": real, **{name: made(real, rng) for name, made in arms.items()}}
        features = {name: dict(zip(TEXTURE_FEATURES, line.tolist(), strict=True)) for name, line in lines.items()}
        shared = {"id": f"c{n}", "patient": f"p{n}", "modality": "CT", "domain": "d", "shape": {}, "apart": {"flow": 0.25}}
        cases.append({**shared, "features": features, "agreement": None})
    return cases


def test_an_arm_that_returns_the_real_tumor_is_perfect_and_noise_is_not() -> None:
    scale = FeatureScale(tuple(np.linspace(-3.0, 3.0, KNOTS).tolist()))
    scales = {"d": dict.fromkeys(TEXTURE_FEATURES, scale)}
    arms = {
        "bridge": lambda real, rng: real,
        "bridge_raw": lambda real, rng: real + rng.normal(size=real.shape),
        "bridge_second": lambda real, rng: real,
        "diffusion": lambda real, rng: rng.normal(size=real.shape),
        "diffusion_second": lambda real, rng: rng.normal(size=real.shape),
        "flow_box": lambda real, rng: real + 5.0,
    }
    cases = made_up_cases(arms)
    for case, found in zip(cases, diversities(cases, scales), strict=True):
        case["diversity"] = found
    group = summarize(cases, ("bridge", "diffusion", "flow_box"), resamples=50)["CT"]
    bridge, diffusion, box = (group["arms"][name] for name in ("bridge", "diffusion", "flow_box"))
    assert bridge["texture"]["pcc"] == bridge["texture"]["scc"] == pytest.approx(1.0)
    assert bridge["realism"]["frechet"]["distance"] == pytest.approx(0.0, abs=1e-6)
    assert bridge["realism"]["frechet"]["ratio"] == bridge["realism"]["mmd"]["ratio"] == pytest.approx(1.0)
    assert 0.3 < bridge["texture_raw"]["pcc"] < 0.95 and diffusion["texture"]["pcc"] < 0.2
    assert abs(group["random_patient"]["pcc"]) < 0.2
    assert box["texture"] is None and box["realism"]["frechet"]["ratio"] > 1.0 and box["shape"] is None
    assert bridge["diversity"]["texture"]["mean"] == 0.0
    assert diffusion["diversity"]["texture"]["mean"] == pytest.approx(1.0, abs=0.1), "as far apart as real patients are"
    assert group["steps"]["bridge"]["10"]["texture"] == bridge["texture"]


def test_a_case_in_which_an_arm_made_nothing_is_left_out_of_that_arm_alone() -> None:
    cases = made_up_cases({"bridge": lambda real, rng: real, "flow": lambda real, rng: real})
    del cases[0]["features"]["flow"]
    for case in cases:
        case["diversity"] = {"texture": {}, "mask": case["apart"]}
    group = summarize(cases, ("bridge", "flow", "flow_box"), resamples=20)["CT"]
    assert group["arms"]["flow"]["made"] == pytest.approx(11 / 12) and group["arms"]["bridge"]["made"] == 1.0
    assert group["arms"]["flow"]["realism"]["cases"] == 11 and group["arms"]["bridge"]["realism"]["cases"] == 12
    assert group["arms"]["flow"]["diversity"]["mask"]["mean"] == pytest.approx(0.25)
    nothing = group["arms"]["flow_box"]
    assert nothing["made"] == 0.0 and nothing["realism"]["frechet"]["ratio"] is None and "10" in group["steps"]["flow_box"]


def test_the_unit_of_diversity_is_the_distance_between_patients() -> None:
    points = [np.zeros(4), np.ones(4), np.full(4, 3.0)]
    assert real_distance(points, ["a", "b", "b"]) == pytest.approx((1.0 + 3.0) / 2.0)
    assert real_distance(points, ["a", "a", "a"]) is None
    assert distance(np.array([0.0, np.nan, 2.0]), np.array([0.0, 5.0, 0.0])) == pytest.approx(np.sqrt(2.0))
    assert len(methods_summary._FEATURES) == len(FEATURE_SETS["size_free"])
