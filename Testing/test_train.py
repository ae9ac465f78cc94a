"""Training on a tiny file: it learns, resumes, repeats itself, and never looks at patients that validation holds out."""

import json
import math
import pickle
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_data
import torch
from torch import nn

from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.configs import TEXTURE_TOKENS, BridgeConfig, CodecConfig, ShapeConfig, TrainConfig
from TumorSynthLib.dataset import HEALTHY, TrainingData, save_training_data
from TumorSynthLib.errors import DataError
from TumorSynthLib.train import bridge as bridge_module
from TumorSynthLib.train import codec as codec_module
from TumorSynthLib.train import common, export
from TumorSynthLib.train.bridge import BridgeTrainer, Conditions, LatentCache, draw_condition, region_weights, train_bridge
from TumorSynthLib.train.codec import CodecTrainer, train_codec

CODEC = CodecConfig(channels=(8,), res_layers=1)
BRIDGE = BridgeConfig(channels=(8, 16), attention=(False, True), heads=2, token_width=16)
SECONDS = 1.0 / 60.0


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return tiny_data.training_data(tiny_data.write_folder(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def data(content: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "train.npz"
    save_training_data(path, content)
    return path


@pytest.fixture(scope="module")
def poisoned(content: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same file with other voxels in the images of held-out patients."""
    path = tmp_path_factory.mktemp("poisoned") / "train.npz"
    images = tuple(
        replace(image, counts=-3 * image.counts + 500) if common.is_validation(image.patient) else image
        for image in content.images
    )
    save_training_data(path, replace(content, images=images))
    return path


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a codec that nobody trained."""
    folder = tmp_path_factory.mktemp("codec")
    common.save_checkpoint(folder, CodecTrainer(CODEC, settings(), "cpu").state(0, 0.0))
    return folder


@pytest.fixture(autouse=True)
def few_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code statistics from 16 patches rather than hundreds."""
    monkeypatch.setattr(codec_module, "code_statistics", partial(codec_module.code_statistics, count=16))


def settings(**changes: Any) -> TrainConfig:
    return TrainConfig(1.0, 2, 3e-3, warmup=1, extra={"adversarial": 0.02, "adversarial_from": 0.8}, **changes)


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Train up to a step rather than for a time, with the learning rate of the start."""

    def steps(start: int, clock: common.Clock) -> Iterator[int]:
        yield from range(start, number)

    monkeypatch.setattr(common.Clock, "share", 0.0)
    for module in (codec_module, bridge_module):
        monkeypatch.setattr(module, "steps", steps)


def run_codec(data: Path, out: Path, seed: int = 0, minutes: float = 1.0) -> dict[str, Any]:
    train_codec(data, out, minutes, seed=seed, batch=2, config=CODEC)
    return finished(out)


def run_bridge(data: Path, codec: Path, out: Path, seed: int = 0, minutes: float = 1.0) -> dict[str, Any]:
    train_bridge(data, codec, out, minutes, seed=seed, batch=2, crop=tiny_data.SMALL.size, config=BRIDGE)
    return finished(out)


def finished(out: Path) -> dict[str, Any]:
    state = common.load_checkpoint(out)
    assert state is not None
    return state


def logged(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def same(one: dict[str, Any], other: dict[str, Any], tolerance: float = 0.0) -> bool:
    """Whether two states of a network have the same weights."""
    pairs = ((one[key].double(), other[key].double()) for key in one)
    return all(torch.allclose(a, b, rtol=0.0, atol=tolerance) for a, b in pairs)


def test_the_codec_trains_for_its_time_and_goes_on_where_it_stopped(data: Path, tmp_path: Path) -> None:
    first = run_codec(data, tmp_path, minutes=3 * SECONDS)
    assert first["step"] >= 1 and sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "log.jsonl"]
    lines = logged(tmp_path)
    assert lines[0]["step"] == 0 and lines[0]["loss"] > 0.0 and lines[0]["rate"] > 0.0
    assert lines[-1]["step"] == first["step"] and math.isfinite(lines[-1]["psnr_CT"])
    config = CodecConfig(**first["config"])
    assert len(config.code_mean) == 4 and min(config.code_std) > 0.0
    assert not same(first["codec"], CodecTrainer(CODEC, settings(), "cpu").codec.state_dict())
    assert run_codec(data, tmp_path, minutes=SECONDS)["step"] > first["step"]


def test_a_resumed_codec_training_is_an_uninterrupted_one(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(monkeypatch, 4)
    whole = run_codec(data, tmp_path / "whole")
    stop_at(monkeypatch, 2)
    run_codec(data, tmp_path / "parts")
    stop_at(monkeypatch, 4)
    parts = run_codec(data, tmp_path / "parts")
    assert parts["step"] == whole["step"] == 4
    assert same(parts["codec"], whole["codec"], 1e-6) and same(parts["average"], whole["average"], 1e-6)


def test_a_seed_repeats_the_codec_training_and_held_out_patients_have_no_part_in_it(
    data: Path, poisoned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, 3)
    states = {name: run_codec(file, tmp_path / name) for name, file in [("a", data), ("b", data), ("poisoned", poisoned)]}
    assert logged(tmp_path / "a")[0]["loss"] == logged(tmp_path / "b")[0]["loss"] == logged(tmp_path / "poisoned")[0]["loss"]
    assert same(states["a"]["codec"], states["b"]["codec"], 1e-6)
    assert same(states["a"]["codec"], states["poisoned"]["codec"], 1e-6)
    assert logged(tmp_path / "a")[-1]["psnr_CT"] != logged(tmp_path / "poisoned")[-1]["psnr_CT"]
    run_codec(data, tmp_path / "other", seed=1)
    assert logged(tmp_path / "other")[0]["loss"] != logged(tmp_path / "a")[0]["loss"]


@pytest.mark.parametrize(
    ("config", "share"), [(CODEC, 0.8), (replace(CODEC, quantize=True, codes=32), 0.97)], ids=["plain", "quantized"]
)
def test_the_codec_learns_to_reconstruct(content: TrainingData, config: CodecConfig, share: float) -> None:
    trainer = CodecTrainer(config, settings(), "cpu")
    v = next(codec_module.batches(list(content.images), 2, 0, 0))
    losses = [trainer.step(v, number, 0.0)["loss"] for number in range(25)]
    assert np.mean(losses[-5:]) < share * np.mean(losses[:3])


def test_the_discriminator_joins_in_late(content: TrainingData) -> None:
    trainer = CodecTrainer(CODEC, settings(), "cpu")
    v = next(codec_module.batches(list(content.images), 2, 0, 0))
    before = {key: value.clone() for key, value in trainer.critic.state_dict().items()}
    assert "critic" not in trainer.step(v, 0, 0.79) and same(before, trainer.critic.state_dict())
    assert math.isfinite(trainer.step(v, 1, 0.81)["critic"]) and not same(before, trainer.critic.state_dict())


def test_the_bridge_trains_for_its_time_and_goes_on_where_it_stopped(data: Path, codec: Path, tmp_path: Path) -> None:
    first = run_bridge(data, codec, tmp_path, minutes=3 * SECONDS)
    lines = logged(tmp_path)
    assert first["step"] >= 1 and lines[0]["step"] == 0 and math.isfinite(lines[0]["loss"])
    assert {"healthy", "tumor", "free", "swapped"} <= lines[-1].keys() and lines[-1]["step"] == first["step"]
    assert BridgeConfig(**first["config"]) == BRIDGE
    assert run_bridge(data, codec, tmp_path, minutes=SECONDS)["step"] > first["step"]


def test_a_resumed_bridge_training_is_an_uninterrupted_one(
    data: Path, codec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, 4)
    whole = run_bridge(data, codec, tmp_path / "whole")
    stop_at(monkeypatch, 2)
    run_bridge(data, codec, tmp_path / "parts")
    stop_at(monkeypatch, 4)
    parts = run_bridge(data, codec, tmp_path / "parts")
    assert parts["step"] == whole["step"] == 4 and same(parts["network"], whole["network"], 1e-5)


def test_a_seed_repeats_the_bridge_training_and_held_out_patients_have_no_part_in_it(
    data: Path, poisoned: Path, codec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, 3)
    files = [("a", data), ("b", data), ("poisoned", poisoned)]
    states = {name: run_bridge(file, codec, tmp_path / name) for name, file in files}
    assert logged(tmp_path / "a")[0]["loss"] == logged(tmp_path / "b")[0]["loss"] == logged(tmp_path / "poisoned")[0]["loss"]
    assert same(states["a"]["network"], states["b"]["network"], 1e-6)
    assert same(states["a"]["network"], states["poisoned"]["network"], 1e-6)


def test_held_out_patients_are_never_drawn_and_tumors_are_half_of_what_is(content: TrainingData) -> None:
    held = np.array([common.is_validation(content.images[region.image].patient) for region in content.regions])
    conditions = Conditions(content, TEXTURE_TOKENS)
    weights = region_weights(conditions, np.flatnonzero(~held))
    assert held.any() and not weights[held].any() and np.all(weights[~held] > 0.0)
    assert weights.sum() == pytest.approx(1.0) and weights[conditions.kind == HEALTHY].sum() == pytest.approx(0.5)
    source = bridge_module.index_batches(weights, 4, 0, 0)
    assert all(not held[next(source)[0]].any() for _ in range(40))


def test_the_bridge_learns(content: TrainingData, codec: Path) -> None:
    cache = LatentCache(content, bridge_module.load_codec(codec, "cpu"), "cpu", tiny_data.SMALL.size)
    trainer, conditions = BridgeTrainer(BRIDGE, settings(), "cpu"), Conditions(content, TEXTURE_TOKENS)
    latents = cache.batch([0, 1])
    known = np.ones((2, len(TEXTURE_TOKENS)), bool)
    condition = conditions.batch([0, 1], latents.masks, known, np.ones(2, bool))
    losses = [trainer.step(latents, condition, number, 0.0)["loss"] for number in range(25)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])


def test_the_start_of_the_bridge_knows_nothing_of_the_hidden_tissue(content: TrainingData, codec: Path) -> None:
    first = content.regions[0].image
    core = tiny_data.ellipsoid(tiny_data.CENTER, (12.0, 10.0, 11.0))
    hot = replace(content.images[first], counts=content.images[first].counts + np.int16(1000) * core)
    changed = replace(content, images=tuple(hot if n == first else image for n, image in enumerate(content.images)))
    network = bridge_module.load_codec(codec, "cpu")
    plain, hot_one = (LatentCache(c, network, "cpu", tiny_data.SMALL.size).batch([0]) for c in (content, changed))
    assert torch.equal(plain.y, hot_one.y) and not torch.equal(plain.x0, hot_one.x0)
    outside = (plain.support == 0).expand_as(plain.y)
    assert outside.any() and float((plain.x0 - plain.y)[outside].abs().max()) < 0.05 * float((plain.x0 - plain.y).abs().max())


def test_a_condition_gives_tumors_the_tumor_path_and_healthy_tissue_both() -> None:
    kind = np.array([0, 1] * 1000 + [HEALTHY] * 2000)
    present, tumor = draw_condition(np.random.default_rng(0), kind, 10)
    assert tumor[:2000].all() and tumor[2000:].mean() == pytest.approx(0.5, abs=0.05)
    assert not present[~tumor].any()
    bare = ~present[:2000].any(axis=1)
    assert 0.13 < bare.mean() < 0.25, "some tumors are shown without features, for guidance"
    assert present[2000:][tumor[2000:]].mean() > 0.6


def test_features_are_scored_within_their_domain_and_unknown_ones_are_absent(content: TrainingData) -> None:
    gaps = content.features.copy()
    gaps[0, content.names.index(TEXTURE_TOKENS[3])] = np.nan
    conditions = Conditions(replace(content, features=gaps), TEXTURE_TOKENS)
    assert not conditions.known[0, 3] and conditions.values[0, 3] == 0.0
    masks = torch.zeros(2, 2, 8, 8, 8)
    batch = conditions.batch([0, 1], masks, np.ones((2, len(TEXTURE_TOKENS)), bool), np.ones(2, bool))
    assert batch.present[0].tolist() == [n != 3 for n in range(len(TEXTURE_TOKENS))] and batch.present[1].all()
    assert batch.spacing.tolist() == pytest.approx([region.spacing for region in content.regions[:2]])
    assert float(np.abs(conditions.values).max()) <= 4.0


def test_a_bridge_needs_a_codec_and_regions(content: TrainingData, data: Path, codec: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        train_bridge(data, tmp_path / "none", tmp_path / "out", 1.0)
    assert caught.value.code == "codec.missing"
    save_training_data(tmp_path / "images.npz", replace(content, regions=()))
    with pytest.raises(DataError) as caught:
        train_bridge(tmp_path / "images.npz", codec, tmp_path / "out", 1.0)
    assert caught.value.code == "data.regions"


def test_finished_trainings_become_a_bundle(
    content: TrainingData, data: Path, codec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = BridgeTrainer(BRIDGE, settings(), "cpu")
    common.save_checkpoint(tmp_path / "bridge", trainer.state(7, 61.4))
    monkeypatch.setattr(export, "export_shape", lambda folder: (ShapeConfig(), {"weight": torch.ones(3)}, {"mean": [0.0]}))
    info = {"id": "mine", "version": "0.0.1", "licence": "none", "intended_use": "tests", "training_data": "noise"}
    export.export_bundle(data, codec, tmp_path / "bridge", tmp_path / "shape", tmp_path / "mine", info, "# Card\n")
    bundle = load_bundle(tmp_path / "mine")
    assert bundle.info["training"]["patients"] == 4 and bundle.info["training"]["steps"] == {"codec": 0, "bridge": 7}
    for name, value in trainer.average.network.state_dict().items():
        assert torch.equal(bundle.weights("bridge")[name], value.half().float())
    tumors = [n for n, r in enumerate(content.regions) if r.kind == 0 and content.images[r.image].domain.unit == "HU"]
    column = content.features[tumors, content.names.index("firstorder_Mean")]
    assert bundle.statistics("soft-tissue-ct")["firstorder_Mean"]["count"] >= len(tumors) > 0
    low, high = bundle.statistics("soft-tissue-ct")["firstorder_Mean"]["range"]
    assert low <= column.max() and column.min() <= high
    with pytest.raises(DataError) as caught:
        export.finished(tmp_path / "nothing")
    assert caught.value.code == "checkpoint.missing"


def test_a_moving_average_moves_early_and_then_slowly() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = common.Average(network, 0.9)
    nn.init.ones_(network.weight)
    average.update(network, 0)
    assert float(average.network.weight) == pytest.approx(0.9)
    average.update(network, 10_000)
    assert float(average.network.weight) == pytest.approx(0.91)
    assert not average.network.weight.requires_grad and network.weight.requires_grad


def test_the_learning_rate_warms_up_by_steps_and_falls_by_time() -> None:
    config = TrainConfig(1.0, 1, 1e-3, warmup=10)
    assert common.learning_rate(config, 0, 0.0) == pytest.approx(1e-4)
    assert common.learning_rate(config, 9, 0.0) == pytest.approx(1e-3)
    assert common.learning_rate(config, 500, 0.5) == pytest.approx(0.525e-3)
    assert common.learning_rate(config, 500, 1.0) == pytest.approx(5e-5)


def test_steps_stop_at_the_limit_and_when_the_time_is_over() -> None:
    assert list(common.steps(5, common.Clock(1.0), 8)) == [5, 6, 7]
    assert list(common.steps(5, common.Clock(0.0))) == []


def test_validation_holds_out_about_a_tenth_of_the_patients_for_ever() -> None:
    names = [f"STS_{n:03d}" for n in range(2000)]
    assert np.mean([common.is_validation(name) for name in names]) == pytest.approx(0.1, abs=0.02)


class Evil:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("pwned").touch, ())


def test_a_checkpoint_with_code_or_rubbish_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert common.load_checkpoint(tmp_path) is None
    for number, write in enumerate(
        [lambda p: torch.save({"x": Evil()}, p), lambda p: p.write_bytes(pickle.dumps(Evil(), protocol=2))]
    ):
        write(tmp_path / "checkpoint.pt")
        with pytest.raises(DataError) as caught:
            common.load_checkpoint(tmp_path)
        assert caught.value.code == "checkpoint.broken", number
    assert not (tmp_path / "pwned").exists()
