"""A tumor whose mean is known starts from a flat region of that mean: in training, in validation and in an edit."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import tiny_training
import torch
from torch import Tensor

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.conditioning import box_leveled, filled_region, leveled, without_region
from TumorSynthLib.configs import DOMAINS, BridgeConfig, WorkConfig
from TumorSynthLib.dataset import CHANGED, HEALTHY, TUMOR, TrainingData
from TumorSynthLib.intensity import MEAN, Intensity, level_of
from TumorSynthLib.nets.unet import BridgeUNet
from TumorSynthLib.texture import Sampling, Task, TextureModel
from TumorSynthLib.train.bridge_trainer import WITHOUT_LEVEL, BridgeTrainer
from TumorSynthLib.train.bridge_validation import Validation
from TumorSynthLib.train.codec import load_codec
from TumorSynthLib.train.conditions import Conditions
from TumorSynthLib.train.draws import RegionDraws, prepared
from TumorSynthLib.train.latents import Hides, LatentCache, Wanted
from TumorSynthLib.train.team import Team

LEVELED = replace(tiny_training.BRIDGE, leveled=True)


@pytest.fixture(scope="module")
def conditions(content: TrainingData) -> Conditions:
    return Conditions(content, tiny_training.BRIDGE.tokens)


@pytest.fixture
def cache(codec: Path) -> LatentCache:
    return LatentCache(load_codec(codec, "cpu"), "cpu", "fp32", (32, 32, 32), 0.1)


def tumors(content: TrainingData) -> list[int]:
    return [number for number, region in enumerate(content.regions) if region.kind == TUMOR]


def test_the_mask_is_flat_inside_and_all_that_is_seen_outside_is_the_fill() -> None:
    v, mask = torch.randn(1, 1, 12, 12, 12), torch.zeros(1, 1, 12, 12, 12, dtype=torch.bool)
    mask[..., 3:8, 4:9, 2:7] = True
    made, hidden = leveled(v, mask, 0.7), filled_region(mask)
    assert torch.equal(made[~hidden], v[~hidden])
    assert torch.allclose(made[..., 4:7, 5:8, 3:6], torch.tensor(0.7), rtol=0.0, atol=1e-6)


def test_the_level_s_border_is_a_step_blurred_by_a_quarter_to_either_side() -> None:
    v, mask = torch.zeros(1, 1, 12, 12, 12), torch.zeros(1, 1, 12, 12, 12, dtype=torch.bool)
    mask[..., :6, :, :] = True
    assert leveled(v, mask, 1.0)[0, 0, 4:8, 6, 6].tolist() == pytest.approx([1.0, 0.75, 0.25, 0.0])
    thin = torch.zeros_like(mask)
    thin[..., 5, 5, 5] = True
    assert float(leveled(v, thin, 1.0)[..., 5, 5, 5]) == pytest.approx(0.75), "one voxel alone would all but vanish"


def test_the_level_of_a_box_is_whole_in_its_middle_and_leaves_the_fill_at_its_faces() -> None:
    v, box = torch.randn(2, 1, 20, 20, 20), torch.zeros(2, 1, 20, 20, 20, dtype=torch.bool)
    box[0, :, 2:17, 5:14, 3:12] = True
    box[1, :, 10:13, 10:11, 0:20] = True
    made = box_leveled(v, box, 0.7)
    assert torch.equal(made[~box], v[~box])
    assert float(made[0, 0, 9, 9, 7]) == pytest.approx(0.7) and float(made[1, 0, 11, 10, 9]) == pytest.approx(0.7)
    corners = made[0, 0, [2, 16], [5, 13], [3, 11]]
    assert torch.equal(corners, v[0, 0, [2, 16], [5, 13], [3, 11]]), "a tumor hardly reaches the corners of its box"
    share = ((made - v) / (0.7 - v))[0, 0, 2:17, 9, 7]
    assert torch.allclose(share, share.flip(0), atol=1e-5) and bool((share[1:8] >= share[:7] - 1e-6).all())
    # 1.5 (1 - 14/15), 1.5 (1 - 12/15) and so on, up to 1.
    assert share[:6].tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9, 1.0], abs=1e-4)


@pytest.mark.parametrize("mean", [-900.0, 20.0, 45.0, 3000.0])
def test_a_level_is_the_network_input_of_a_mean(mean: float) -> None:
    intensity = Intensity(5.0, 2.0, 20.0, 180.0)
    level = level_of(mean, intensity)
    assert level is not None and float(intensity.from_input(np.array(level))) == pytest.approx(mean, rel=1e-4)
    assert level_of(None, intensity) is None and level_of(float("nan"), intensity) is None


def test_a_regions_level_is_the_mean_that_was_measured_on_it(content: TrainingData, conditions: Conditions) -> None:
    column = content.names.index(MEAN)
    for number in tumors(content):
        level = conditions.row(number).level
        assert level is not None
        intensity = content.images[content.regions[number].image].intensity
        assert float(intensity.from_input(np.array(level))) == pytest.approx(float(content.features[number, column]), rel=1e-3)
    without = Conditions(content, tuple(name for name in tiny_training.BRIDGE.tokens if name != MEAN))
    assert without.row(0).level is None


def test_a_region_is_encoded_with_its_level_and_kept_apart_from_the_one_without(
    content: TrainingData, conditions: Conditions, cache: LatentCache
) -> None:
    number = tumors(content)[0]
    level = conditions.row(number).level
    assert level is not None
    plain, flat = (cache.batch([prepared(content, number, level=shown)]) for shown in (None, level))
    assert len(cache.items) == 2 and torch.equal(plain.x0, flat.x0) and not torch.equal(plain.y, flat.y)
    v, mask = (torch.from_numpy(np.ascontiguousarray(a))[None, None] for a in (content.patch(number), content.mask(number)))
    with torch.no_grad():
        expected = cache.codec.encode(leveled(without_region(v, filled_region(mask)), mask, level))
    assert torch.allclose(flat.y, expected, atol=2e-3)


def trainer(content: TrainingData, conditions: Conditions, cache: LatentCache, config: BridgeConfig) -> BridgeTrainer:
    draws = RegionDraws(content, conditions, np.ones(len(content.regions)), tiny_training.STAGES["bridge"].draw, None)
    validation = Validation(content, conditions, np.arange(0), cache, config)
    return BridgeTrainer(dict.fromkeys(config.methods, draws), cache, validation, config, tiny_training.TRAIN, Team())


def test_what_is_healed_or_boxed_has_no_level_and_a_tumor_most_often(
    content: TrainingData, conditions: Conditions, cache: LatentCache
) -> None:
    made = trainer(content, conditions, cache, LEVELED)
    number, rng = tumors(content)[0], np.random.default_rng(0)
    row, item = conditions.row(number), prepared(content, number)

    def levels(method: str) -> list[float | None]:
        return [made._wanted(rng, row, item, method).level for _ in range(400)]

    assert set(levels("")) == {None} and made._wanted(rng, row, item, "").hides is Hides.REGION
    assert set(levels("flow")) == {None}
    shown = levels("bridge")
    assert set(shown) == {None, row.level} and shown.count(None) == pytest.approx(400 * WITHOUT_LEVEL, abs=20)
    boxed = trainer(content, conditions, cache, replace(LEVELED, flow_leveled=True))
    assert {boxed._wanted(rng, row, item, "flow").level for _ in range(50)} == {None, row.level}
    plain = trainer(content, conditions, cache, tiny_training.BRIDGE)
    assert {plain._wanted(rng, row, item, "bridge").level for _ in range(50)} == {None}


def test_validation_starts_from_the_level_that_is_asked_for_and_is_measured_against_the_fill(
    content: TrainingData, conditions: Conditions, cache: LatentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = np.array([n for n, region in enumerate(content.regions) if region.kind not in (HEALTHY, CHANGED)])
    plans = Validation(content, conditions, held, cache, LEVELED)
    asked: list[list[float | None]] = []
    batch = cache.batch

    def follow(wanted: Sequence[Wanted]) -> object:
        asked.append([item.level for item in wanted])
        return batch(wanted)

    monkeypatch.setattr(cache, "batch", follow)
    for name in ("tumor", "swapped", "free"):
        plan = plans.plans[name]
        plans._latents(plan)
        shown = [conditions.row(int(n)).level for n in plan.sources] if plan.features else [None] * len(plan.rows)
        assert asked[-1] == shown
    network = BridgeUNet(LEVELED).eval()
    made = trainer(content, conditions, cache, LEVELED)
    # An untrained network leaves what it starts from: without the level that explains nothing of the fill's error.
    values = plans.numbers(network, made.processes)
    assert values["free"] == pytest.approx(0.0, abs=0.05)
    flat = plans._latents(plans.plans["tumor"])
    plain = plans._latents(plans.plans["free"])
    weight = flat.masks[:, :1]
    left, base = (((z - flat.x0).square().mean(dim=1, keepdim=True) * weight).sum((1, 2, 3, 4)) for z in (flat.y, plain.y))
    expected = 1.0 - float((left / base).log().mean().exp())
    assert values["tumor"] == pytest.approx(expected, abs=0.05)


def test_a_training_with_levels_writes_a_network_that_says_so(data: Path, codec: Path, tmp_path: Path) -> None:
    stage = replace(tiny_training.stage("bridge"), network=LEVELED)
    out = tiny_training.run("bridge", data, codec, tmp_path / "bridge", stage)
    saved = torch.load(out / "checkpoint.pt", map_location="cpu", weights_only=False)
    assert saved["config"]["leveled"] is True and asdict(BridgeConfig())["leveled"] is False


class Recorder:
    """A codec that remembers what it encoded."""

    def __init__(self, model: TextureModel) -> None:
        self.seen: list[Tensor] = []
        self._encode = model.codec.encode

    def __call__(self, v: Tensor) -> Tensor:
        self.seen.append(v.clone())
        return self._encode(v)


@pytest.mark.parametrize("has_levels", [True, False])
def test_a_bundle_with_levels_samples_from_them(tiny_bundle: Bundle, has_levels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = TextureModel(tiny_bundle, "cpu")
    model.config = replace(model.config, leveled=has_levels)
    recorder = Recorder(model)
    monkeypatch.setattr(model.codec, "encode", recorder)
    size = WorkConfig().size
    v, mask = np.random.default_rng(0).normal(size=(size,) * 3).astype(np.float32), np.zeros((size,) * 3, bool)
    mask[20:30, 22:33, 18:29] = True
    task = Task(v, mask, DOMAINS[0], 2.0, {MEAN: 40.0}, 0.25)
    for shown, flat in ((task, has_levels), (replace(task, level=None), False)):
        model.synthesize(shown, Sampling(2, 1.0, (0,)))
        inside = recorder.seen[-1][0, 0, 21:29, 23:32, 19:28]
        assert bool(((inside - 0.25).abs() < 1e-6).all()) is flat


@pytest.mark.parametrize("has_levels", [True, False])
def test_a_box_shows_the_level_where_the_network_learned_it(
    tiny_bundle: Bundle, has_levels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TextureModel(tiny_bundle, "cpu")
    model.config = replace(model.config, flow_leveled=has_levels)
    recorder = Recorder(model)
    monkeypatch.setattr(model.codec, "encode", recorder)
    size = WorkConfig().size
    v, box = np.random.default_rng(0).normal(size=(size,) * 3).astype(np.float32), np.zeros((size,) * 3, bool)
    box[20:31, 22:33, 18:29] = True
    task = Task(v, box, DOMAINS[0], 2.0, {MEAN: 40.0}, 0.25)
    for shown, flat in ((task, has_levels), (replace(task, level=None), False)):
        model.joint(shown, Sampling(2, 1.0, (0,)))
        assert (abs(float(recorder.seen[-1][0, 0, 25, 27, 23]) - 0.25) < 1e-6) is flat
