"""Training on a tiny file: it learns, resumes bit for bit, repeats itself, and learns nothing from held-out patients."""

import json
import math
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_training
import torch
from tiny_training import BRIDGE, CODEC, STAGES, run, stage
from torch import nn

from TumorSynthLib.configs import BridgeConfig, CodecConfig, TrainConfig
from TumorSynthLib.dataset import HEALTHY, TrainingData, save_training_data
from TumorSynthLib.errors import DataError
from TumorSynthLib.nets.unet import Condition
from TumorSynthLib.sampler import processes
from TumorSynthLib.train import bridge as bridge_training
from TumorSynthLib.train import codec_trainer, common, shape_trainer
from TumorSynthLib.train.bridge import train_bridge
from TumorSynthLib.train.bridge_loss import FAINT, RELATIVE, BridgeLoss
from TumorSynthLib.train.bridge_trainer import BridgeTrainer
from TumorSynthLib.train.checkpoints import BEST, load_best, load_checkpoint, save_checkpoint
from TumorSynthLib.train.codec import fingerprint, load_codec, train_codec
from TumorSynthLib.train.codec_data import Patches
from TumorSynthLib.train.codec_trainer import CodecTrainer
from TumorSynthLib.train.draws import RegionDraws
from TumorSynthLib.train.latents import Latents
from TumorSynthLib.train.loop import Clock, Loop
from TumorSynthLib.train.shape_trainer import ShapeTrainer
from TumorSynthLib.train.team import Team

SECONDS = 1.0 / 60.0
TRAINERS = {"codec": CodecTrainer, "shape": ShapeTrainer, "bridge": BridgeTrainer}


@pytest.fixture(scope="module")
def poisoned(content: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same file with other voxels in the images of held-out patients."""
    images = tuple(
        replace(image, counts=-3 * image.counts + 500) if common.is_validation(image.patient) else image
        for image in content.images
    )
    return tiny_training.write_data(replace(content, images=images), tmp_path_factory.mktemp("poisoned"))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little statistics, and a critic that takes part from the second step on, with its penalty every other step."""
    monkeypatch.setattr(codec_trainer, "STATISTICS", 16)
    monkeypatch.setattr(shape_trainer, "CRITIC_FROM", tiny_training.EARLY_CRITIC[0])
    monkeypatch.setattr(shape_trainer, "R1_EVERY", tiny_training.EARLY_CRITIC[1])


def finished(out: Path) -> dict[str, Any]:
    state = load_checkpoint(out)
    assert state is not None
    return state


def logged(out: Path) -> list[dict[str, Any]]:
    """Lines of the log without the time that they took."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines if "note" not in line]


def equal(one: Any, other: Any, tolerance: float | None = None) -> bool:
    """Whether two checkpoints or parts of them are the same, bit for bit or within a tolerance."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key], tolerance) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(equal(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) if tolerance is None else torch.allclose(one.double(), other.double(), 0.0, tolerance)
    return bool(one == other)


def assert_same_training(name: str, one: Path, two: Path) -> None:
    """Equal losses at every step, and weights that differ by little of what they have moved.

    They cannot be compared more finely: where a gradient is zero but for rounding (a bias before a normalization), Adam makes
    whole steps of the rounding.
    """
    lines = [[line for line in logged(out) if len(line) > 1] for out in (one, two)]
    for left, right in zip(*lines, strict=True):
        assert left == pytest.approx(right, rel=3e-2 if "rate" not in left else 1e-3, abs=1e-4)
    names = {"codec": "codec", "shape": "generator", "bridge": "network"}
    a, b = (finished(out) for out in (one, two))
    moved = sum(float((a[names[name]][key] - a["average"][key]).abs().sum()) for key in a["average"])
    apart = sum(float((a[names[name]][key] - b[names[name]][key]).abs().sum()) for key in a["average"])
    assert apart < 0.02 * moved, (apart, moved)


def without_time(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != "seconds"}


def interrupted(monkeypatch: pytest.MonkeyPatch, trainer: type, number: int) -> None:
    """Kill the training when it comes to a step."""
    whole: Callable[..., dict[str, float]] = trainer.step

    def step(self: Any, at: int, share: float) -> dict[str, float]:
        if at == number:
            raise KeyboardInterrupt
        return whole(self, at, share)

    monkeypatch.setattr(trainer, "step", step)


@pytest.mark.parametrize("name", list(STAGES))
def test_a_killed_and_resumed_training_is_bit_for_bit_an_uninterrupted_one(
    name: str, data: Path, codec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stage(name, steps=6, batch=4, precision="bf16")
    whole = run(name, data, codec, tmp_path / "whole", settings)
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        # Step 4 was done and logged, and is lost: the last checkpoint is that of step 3.
        interrupted(context, TRAINERS[name], 4)
        run(name, data, codec, tmp_path / "parts", settings)
    assert finished(tmp_path / "parts")["step"] == 3 and logged(tmp_path / "parts")[-1]["step"] == 4
    (tmp_path / "parts" / "partial-1.pt").write_bytes(b"half")
    parts = run(name, data, codec, tmp_path / "parts", settings)
    assert finished(parts)["step"] == 6
    assert equal(without_time(finished(parts)), without_time(finished(whole)))
    assert equal(without_time(load_best(parts)), without_time(load_best(whole)))
    assert [{**line, "encoded": 0.0} for line in logged(parts)] == [{**line, "encoded": 0.0} for line in logged(whole)]
    assert not (parts / "partial-1.pt").exists()


@pytest.mark.parametrize("name", list(STAGES))
def test_two_parts_of_four_samples_are_one_of_eight(name: str, data: Path, codec: Path, tmp_path: Path) -> None:
    one = run(name, data, codec, tmp_path / "one", stage(name))
    two = run(name, data, codec, tmp_path / "two", stage(name, batch=4, accumulate=2))
    assert_same_training(name, one, two)


@pytest.mark.parametrize("name", list(STAGES))
def test_a_seed_repeats_a_training_whose_held_out_patients_have_no_part_in_it(
    name: str, data: Path, poisoned: Path, codec: Path, tmp_path: Path
) -> None:
    files = [("a", data), ("b", data), ("poisoned", poisoned)]
    outs = {key: run(name, file, codec, tmp_path / key, stage(name, batch=4, steps=2)) for key, file in files}
    a, b, other = (finished(outs[key]) for key in ("a", "b", "poisoned"))
    assert equal(without_time(a), without_time(b)) and equal(a["average"], other["average"])
    if name != "shape":
        assert logged(outs["a"])[-1] != logged(outs["poisoned"])[-1], "validation saw the difference"
    seeded = run(name, data, codec, tmp_path / "seeded", stage(name, batch=4, steps=2, seed=1))
    assert logged(seeded)[0]["loss" if name != "shape" else "moments"] != logged(outs["a"])[0].get("loss", 0.0)


def test_training_leaves_torchs_global_generator_alone(data: Path, codec: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    for name in STAGES:
        run(name, data, codec, tmp_path / name, stage(name, batch=4, steps=1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_codec_trains_for_its_time_and_goes_on_where_it_stopped(data: Path, tmp_path: Path) -> None:
    settings = stage("codec", steps=0, minutes=2 * SECONDS, batch=2)
    first = finished(train_codec(data, tmp_path, settings, Team()))
    assert first["step"] >= 1 and 1.0 <= first["seconds"] < 20.0
    lines = logged(tmp_path)
    assert lines[0]["step"] == 1 and lines[0]["loss"] > 0.0 and lines[0]["rate"] > 0.0
    assert lines[-1]["step"] == first["step"] and math.isfinite(lines[-1]["psnr_CT"])
    config = CodecConfig(**load_best(tmp_path)["config"])
    assert len(config.code_mean) == 4 and min(config.code_std) > 0.0
    again = finished(train_codec(data, tmp_path, replace(settings, train=replace(settings.train, minutes=SECONDS)), Team()))
    assert again["step"] > first["step"] and again["seconds"] > first["seconds"]


class OneBatch(Patches):
    """The same patches at every step."""

    def batch(self, seed: int, step: int, items: range) -> torch.Tensor:
        return super().batch(0, 0, items)


@pytest.mark.parametrize(
    ("config", "share"), [(CODEC, 0.8), (replace(CODEC, quantize=True, codes=32), 0.97)], ids=["plain", "quantized"]
)
def test_the_codec_learns_to_reconstruct(content: TrainingData, config: CodecConfig, share: float) -> None:
    trainer = CodecTrainer(OneBatch(content), config, stage("codec", batch=2).train, Team())
    losses = [trainer.step(number, 0.0)["loss"] for number in range(25)]
    assert np.mean(losses[-5:]) < share * np.mean(losses[:3])


def test_the_discriminator_joins_in_late(content: TrainingData) -> None:
    trainer = CodecTrainer(OneBatch(content), CODEC, stage("codec", batch=2).train, Team())
    before = {key: value.clone() for key, value in trainer.critic.state_dict().items()}
    assert "critic" not in trainer.step(0, 0.49) and equal(before, trainer.critic.state_dict())
    assert math.isfinite(trainer.step(1, 0.51)["critic"]) and not equal(before, trainer.critic.state_dict())


def test_a_decoder_is_trained_under_the_exported_encoder(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        train_codec(data, tmp_path / "none", replace(stage("codec"), decoder_only=True), Team())
    assert caught.value.code == "codec.missing"
    train_codec(data, tmp_path, stage("codec", batch=2), Team())
    before = load_codec(tmp_path, "cpu")
    train_codec(data, tmp_path, replace(stage("codec", batch=2, steps=6), decoder_only=True), Team())
    state = finished(tmp_path)
    assert state["decoder_only"] and state["step"] == 6
    after = load_codec(tmp_path, "cpu")
    assert fingerprint(before) == fingerprint(after) and after.config == before.config
    changed = {key for key, value in before.state_dict().items() if not torch.equal(value, state["codec"][key])}
    assert changed and not any("encoder" in key for key in changed)


def test_the_bridge_trains_for_its_time_and_validates_control(data: Path, codec: Path, tmp_path: Path) -> None:
    train_bridge(data, codec, tmp_path, stage("bridge", steps=0, minutes=2 * SECONDS, batch=2), Team())
    lines, state = logged(tmp_path), finished(tmp_path)
    assert state["step"] >= 1 and math.isfinite(lines[0]["loss"])
    assert {"healthy", "tumor", "free", "swapped"} <= lines[-1].keys() and lines[-1]["step"] == state["step"]
    scores = [0.5 * (line["healthy"] + line["tumor"]) for line in lines if "healthy" in line]
    assert BridgeConfig(**state["config"]) == BRIDGE and state["score"] == pytest.approx(max(scores), abs=1e-5)


def test_faint_and_strong_tumors_count_alike_in_the_loss(content: TrainingData, codec: Path) -> None:
    nothing: Any = lambda x, y, t, condition: torch.zeros_like(x)  # noqa: E731
    relative = BridgeLoss(nothing, None, processes(BRIDGE), load_codec(codec, "cpu"), BRIDGE, STAGES["bridge"].train)
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn((1, BRIDGE.latent_channels, 6, 6, 6), generator=generator)
    contrast = torch.tensor([0.2, 1.0, 5.0, 1e-3]).view(-1, 1, 1, 1, 1)
    y, support = torch.zeros((4, *residual.shape[1:])), torch.ones((4, 1, 6, 6, 6))
    latents = Latents(contrast * residual, y, torch.ones((4, 2, 6, 6, 6)), support)
    condition = Condition(latents.masks, *(torch.zeros(4),) * 5)
    loss = relative(latents, condition, torch.full((4,), 0.5), torch.zeros_like(y))
    assert loss[1:3].tolist() == pytest.approx([RELATIVE] * 2, rel=0.005), "nothing is explained, whatever there was"
    assert float(loss[0]) == pytest.approx(RELATIVE * 0.04 / (0.04 + FAINT * RELATIVE), rel=0.05)
    assert float(loss[3]) < 0.01 * RELATIVE, "noise is not blown up"


def test_an_early_stage_model_learns_from_small_tumors_alone(
    content: TrainingData, data: Path, codec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diameters = bridge_training.equivalent_diameters(content)
    radius = (3.0 * content.regions[0].volume_mm3 / (4.0 * math.pi)) ** (1.0 / 3.0)
    assert diameters[0] == pytest.approx(2.0 * radius)
    tumors = np.array([region.kind != HEALTHY for region in content.regions])
    limit = float(np.median(diameters[tumors]))
    seen: dict[str, RegionDraws] = {}

    class Spy(BridgeTrainer):
        def __init__(self, draws: dict[str, RegionDraws], *rest: Any) -> None:
            seen.update(draws)
            super().__init__(draws, *rest)

    monkeypatch.setattr(bridge_training, "BridgeTrainer", Spy)
    early = replace(stage("bridge", batch=2, steps=1), network=replace(BRIDGE, methods=("bridge", "diffusion")))
    early = replace(early, draw=replace(early.draw, largest_mm=limit))
    train_bridge(data, codec, tmp_path / "early", early, Team())
    assert tumors[seen["diffusion"].rows].all() and (diameters[seen["diffusion"].rows] <= limit).all()
    assert (diameters[seen["bridge"].rows] > limit).any() and (~tumors[seen["bridge"].rows]).any()
    nothing = replace(early, draw=replace(early.draw, largest_mm=1.0))
    with pytest.raises(DataError, match="at most 1 mm"):
        train_bridge(data, codec, tmp_path / "none", nothing, Team())


def test_a_bridge_stays_with_its_codec(content: TrainingData, data: Path, codec: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        train_bridge(data, tmp_path / "none", tmp_path / "out", stage("bridge"), Team())
    assert caught.value.code == "codec.missing"
    with pytest.raises(DataError) as caught:
        train_bridge(data, None, tmp_path / "out", stage("bridge"), Team())
    assert caught.value.code == "codec.missing"
    run("bridge", data, codec, tmp_path / "out", stage("bridge", steps=1, batch=2))
    train_codec(data, tmp_path / "codec", stage("codec", batch=2), Team())
    with pytest.raises(DataError) as caught:
        train_bridge(data, tmp_path / "codec", tmp_path / "out", stage("bridge"), Team())
    assert caught.value.code == "codec.other"
    save_training_data(tmp_path / "images.npz", replace(content, regions=()))
    with pytest.raises(DataError) as caught:
        train_bridge(tmp_path / "images.npz", codec, tmp_path / "new", stage("bridge"), Team())
    assert caught.value.code == "data.regions"


@pytest.mark.parametrize("crop", [(36, 32, 32), (12, 16, 16), (16, 16), (0, 16, 16)])
def test_a_crop_that_does_not_fit_is_refused(crop: tuple[int, ...], data: Path, codec: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        train_bridge(data, codec, tmp_path, replace(STAGES["bridge"], crop=crop), Team())
    assert caught.value.code == "data.crop" and "multiples of 8" in caught.value.message


def test_a_bridge_for_another_latent_is_refused(data: Path, codec: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        train_bridge(data, codec, tmp_path, replace(STAGES["bridge"], network=replace(BRIDGE, latent_channels=4)), Team())
    assert caught.value.code == "codec.channels" and "latent_channels=32" in caught.value.hint


def test_checkpoints_of_earlier_versions_are_continued(data: Path, codec: Path, tmp_path: Path) -> None:
    """They had no scales, no best score and no fingerprint, and a critic with batch normalization."""
    out = run("bridge", data, codec, tmp_path / "bridge", stage("bridge", batch=2, steps=2))
    old = {key: finished(out)[key] for key in ("step", "seconds", "config", "network", "average", "optimizer")}
    save_checkpoint(tmp_path / "old", old)
    assert equal(load_best(tmp_path / "old")["average"], old["average"])
    newer = finished(run("bridge", data, codec, tmp_path / "old", stage("bridge", batch=2, steps=3, patience=2)))
    assert newer["step"] == 3 and "scales" in newer and load_checkpoint(tmp_path / "old", BEST) is not None
    out = run("codec", data, codec, tmp_path / "codec", stage("codec", batch=2, steps=2))
    old = {key: value for key, value in finished(out).items() if key not in ("score", "best_step", "finished")}
    save_checkpoint(tmp_path / "old_codec", {**old, "critic": {"0.adn.N.running_mean": torch.zeros(48)}})
    newer = finished(run("codec", data, codec, tmp_path / "old_codec", stage("codec", batch=2, steps=3)))
    assert newer["step"] == 3 and not equal(newer["codec"], old["codec"])


class Scripted:
    """A trainer that learns nothing and validates as it is told."""

    warm = False

    def __init__(self, scores: list[float], **changes: Any) -> None:
        self.train, self.scores, self.at = replace(tiny_training.TRAIN, validate_every=10, **changes), scores, 0

    def step(self, number: int, share: float) -> dict[str, float]:
        self.at, self.share = number + 1, share
        return {"loss": 1.0}

    def validate(self) -> dict[str, float]:
        return {"score": self.scores[min(self.at // 10 - 1, len(self.scores) - 1)]} if self.scores else {}

    def score(self, values: dict[str, float]) -> float:
        return values["score"]

    def state(self) -> dict[str, Any]:
        return {"at": self.at}

    def load(self, state: dict[str, Any]) -> None:
        self.at = state["at"]

    def exported(self) -> dict[str, Any]:
        return {"weights": self.at}

    def panels(self) -> dict[str, np.ndarray]:
        return {"middle": np.full((4, 6), 0.5, np.float32)}


def test_training_stops_when_validation_stops_getting_better_and_keeps_the_best(tmp_path: Path) -> None:
    scores = [1.0, 3.0, 2.0, 2.5, 2.9, 9.0]
    said: list[str] = []
    progress = Loop(Scripted(scores, steps=1000, patience=30), tmp_path, Team(), said.append).run()
    assert (progress.step, progress.best_step, progress.score, progress.finished) == (50, 20, 3.0, True)
    assert load_best(tmp_path)["weights"] == 20 and finished(tmp_path)["at"] == 50
    assert sum("score 3" in line for line in said) == 1
    assert Loop(Scripted(scores, steps=1000, patience=0), tmp_path, Team()).run().step == 1000, "unless told to go on"
    assert load_best(tmp_path)["weights"] == 60


def test_weights_that_diverged_are_not_the_best(tmp_path: Path) -> None:
    Loop(Scripted([1.0, math.nan, math.nan], steps=30), tmp_path, Team()).run()
    assert load_best(tmp_path)["weights"] == 10 and finished(tmp_path)["score"] == 1.0


def test_without_held_out_patients_the_last_weights_are_exported(tmp_path: Path) -> None:
    progress = Loop(Scripted([], steps=25, patience=1000), tmp_path, Team()).run()
    assert progress.score == -math.inf and load_best(tmp_path)["weights"] == 25


def test_steps_and_time_whichever_ends_first_and_the_rate_follows_the_steps(tmp_path: Path) -> None:
    trainer = Scripted([1.0], steps=40)
    assert Loop(trainer, tmp_path / "a", Team()).run().finished and trainer.share == 39 / 40
    late = Loop(Scripted([1.0], steps=40, minutes=0.0), tmp_path / "b", Team()).run()
    assert late.step == 0 and not late.finished


def test_the_time_of_all_calls_can_count_rather_than_that_of_each(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"at": 5, "step": 5, "seconds": 61.0})
    assert Loop(Scripted([1.0], steps=0, minutes=1.0), tmp_path, Team(), whole=True).run().step == 5
    loop = Loop(Scripted([1.0], steps=6, minutes=1.0), tmp_path, Team())
    assert loop.run().step == 6 and loop.at.seconds >= 61.0


def test_curves_and_panels_go_to_tensorboard(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    Loop(Scripted([1.0, 2.0], steps=20), tmp_path, Team()).run()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("score")] == [(10, 1.0), (20, 2.0)]
    assert len(events.Scalars("loss")) == 20
    assert [(e.step, e.width, e.height) for e in events.Images("middle")] == [(10, 6, 4), (20, 6, 4)]


def test_without_tensorboard_the_log_goes_on_and_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    said: list[str] = []
    Loop(Scripted([1.0], steps=10), tmp_path, Team(), said.append).run()
    assert len(logged(tmp_path)) == 11 and sum("TensorBoard is not installed" in line for line in said) == 1
    assert not (tmp_path / "tensorboard").exists()


def test_panels_show_held_out_patients(content: TrainingData, data: Path, codec: Path) -> None:
    pictures = CodecTrainer(Patches(content), CODEC, stage("codec").train, Team()).panels()
    assert pictures.keys() == {"reconstruction_CT"} and pictures["reconstruction_CT"].shape == (64, 64)
    assert all(0.0 <= p.min() < p.max() <= 1.0 for p in pictures.values())


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


def test_the_learning_rate_warms_up_by_steps_and_falls_by_the_share_that_is_done() -> None:
    config = TrainConfig(1.0, 1, 1e-3, warmup=10)
    assert common.learning_rate(config, 0, 0.0) == pytest.approx(1e-4)
    assert common.learning_rate(config, 9, 0.0) == pytest.approx(1e-3)
    assert common.learning_rate(config, 500, 0.5) == pytest.approx(0.525e-3)
    assert common.learning_rate(config, 500, 1.0) == pytest.approx(5e-5)


def test_a_clock_is_over_when_its_time_is_and_never_without_one() -> None:
    assert Clock(0.0).share == 1.0 and Clock(float("inf")).share == 0.0
    assert Clock(1.0, before=30.0).share == pytest.approx(0.5, abs=0.01)


def test_validation_holds_out_about_a_tenth_of_the_patients_for_ever() -> None:
    names = [f"STS_{n:03d}" for n in range(2000)]
    assert np.mean([common.is_validation(name) for name in names]) == pytest.approx(0.1, abs=0.02)


class Evil:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("pwned").touch, ())


def test_a_checkpoint_with_code_or_rubbish_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_checkpoint(tmp_path) is None
    with pytest.raises(DataError) as caught:
        load_best(tmp_path)
    assert caught.value.code == "checkpoint.missing"
    for number, write in enumerate(
        [lambda p: torch.save({"x": Evil()}, p), lambda p: p.write_bytes(pickle.dumps(Evil(), protocol=2))]
    ):
        write(tmp_path / "checkpoint.pt")
        with pytest.raises(DataError) as caught:
            load_checkpoint(tmp_path)
        assert caught.value.code == "checkpoint.broken", number
    assert not (tmp_path / "pwned").exists()
