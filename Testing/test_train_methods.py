"""Training several methods at once: it learns, resumes bit for bit, does not depend on its layout, and ends in a bundle."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_training
import torch
from phantoms import insert, middle, request
from test_train import assert_same_training, equal, finished, interrupted, logged, without_time
from tiny_training import BRIDGE, STAGES, run
from torch import nn
from typer.testing import CliRunner

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.configs import BridgeConfig
from TumorSynthLib.dataset import CHANGED, HEALTHY, PART, TUMOR, TrainingData, save_training_data
from TumorSynthLib.errors import DataError, RequestError
from TumorSynthLib.methods import HEALING, METHODS
from TumorSynthLib.nets.unet import BridgeUNet
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.train.__main__ import app
from TumorSynthLib.train.balance import GradientBalance
from TumorSynthLib.train.bridge import boxed_weights, check_learns, check_methods
from TumorSynthLib.train.bridge_trainer import SCORED, BridgeTrainer
from TumorSynthLib.train.checkpoints import load_best
from TumorSynthLib.train.export import Folders, export_bundle
from TumorSynthLib.train.flow_loss import WEIGHTS
from TumorSynthLib.train.overrides import overridden, values_of
from TumorSynthLib.train.presets import PRESETS, BridgeStage
from TumorSynthLib.train.widening import healing_weights, own_weights, widened
from TumorSynthLib.volume_io import read_mask, read_volume

INFO = {"id": "several", "version": "0.0.1", "intended_use": "tests"}


def stage(methods: tuple[str, ...] = METHODS, **changes: Any) -> BridgeStage:
    """The tiny stage of the bridge for several methods. The first three steps follow one after the other."""
    found = tiny_training.stage("bridge", **{"seed": SEED, **changes})
    return replace(found, network=replace(found.network, methods=methods))


SEED = 53


def followed(out: Path) -> list[str]:
    """The loss that each step logged."""
    return [next(key for key in line if key.startswith("loss")) for line in logged(out) if "rate" in line]


@pytest.fixture(scope="module")
def whole(data: Path, codec: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight steps of four samples."""
    return run("bridge", data, codec, tmp_path_factory.mktemp("whole"), stage(steps=8, batch=4, validate_every=4))


def test_every_method_is_trained_logged_and_validated(whole: Path) -> None:
    steps = followed(whole)
    assert len(steps) == 8 and set(steps) == {"loss", "loss_diffusion", "loss_flow"}
    lines, state = logged(whole), finished(whole)
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    numbers = lines[-1]
    assert {"healthy", "tumor", "free", "swapped", "diffusion", "flow"} <= numbers.keys()
    scores = [np.mean([line[name] for name in SCORED]) for line in lines if "healthy" in line]
    assert state["score"] == pytest.approx(max(scores), abs=1e-4)
    config = BridgeConfig(**state["config"])
    assert config.methods == METHODS and len(config.shape_quantiles) == len(config.shape_tokens) == 4
    assert not equal(state["refiner"], state["refiner_average"])


def test_all_methods_move_their_own_weights(whole: Path) -> None:
    network = finished(whole)["network"]
    assert all(network["method.weight"][row].any() for row in range(len(METHODS)))
    assert network["leave.weight"][-1].any() and network["leave.weight"].shape[0] == BRIDGE.latent_channels + 1


def test_steps_follow_the_methods_by_their_shares() -> None:
    trainer = BridgeTrainer.__new__(BridgeTrainer)
    trainer.train, trainer.learns = stage().train, METHODS
    drawn = [trainer._method(number) for number in range(2000)]
    shares = {name: drawn.count(name) / len(drawn) for name in METHODS}
    assert shares == pytest.approx({"bridge": 3 / 7, "diffusion": 1 / 7, "flow": 3 / 7}, abs=0.03)
    trainer.learns = ("flow",)
    assert {trainer._method(number) for number in range(100)} == {"flow"}


def test_flow_learns_as_often_from_regions_with_a_changed_look_as_from_tumors() -> None:
    kind, weights = np.array([TUMOR, TUMOR, CHANGED, CHANGED, CHANGED, HEALTHY, PART]), np.array([1.0, 3, 1, 1, 2, 9, 9])
    np.testing.assert_allclose(boxed_weights(kind, weights), [0.125, 0.375, 0.125, 0.125, 0.25, 0, 0])
    np.testing.assert_array_equal(boxed_weights(kind[[0, 5]], weights[[0, 5]]), [1.0, 0.0])
    assert not boxed_weights(kind[2:], weights[2:]).any(), "changed looks alone show no whole tumor"


def test_a_method_with_larger_gradients_does_not_drown_the_others() -> None:
    balance, network = GradientBalance(), nn.Linear(4, 4)

    def limited(method: str | None, size: float) -> float:
        for number, weight in enumerate(network.parameters()):
            weight.grad = size * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
        balance.limit(network.parameters(), method)
        return float(torch.cat([weight.grad.flatten() for weight in network.parameters()]).norm())

    assert limited(None, 1e-3) < 0.01 and limited(None, 10.0) == pytest.approx(1.0), "a bridge alone is clipped as ever"
    assert [limited(method, size) for method, size in (("bridge", 1e-3), ("flow", 10.0))] == pytest.approx([1.0, 1.0], rel=1e-4)
    assert limited("bridge", 0.5e-3) == pytest.approx(0.5, rel=0.02), "within a method small steps stay small"


def test_a_killed_and_resumed_training_is_bit_for_bit_an_uninterrupted_one(
    whole: Path, data: Path, codec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stage(steps=8, batch=4, validate_every=4)
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        interrupted(context, BridgeTrainer, 6)
        run("bridge", data, codec, tmp_path, settings)
    assert finished(tmp_path)["step"] == 4
    parts = run("bridge", data, codec, tmp_path, settings)
    assert equal(without_time(finished(parts)), without_time(finished(whole)))
    assert equal(without_time(load_best(parts)), without_time(load_best(whole)))
    assert [{**line, "encoded": 0.0} for line in logged(parts)] == [{**line, "encoded": 0.0} for line in logged(whole)]


def test_two_parts_of_four_samples_are_one_of_eight(data: Path, codec: Path, tmp_path: Path) -> None:
    one = run("bridge", data, codec, tmp_path / "one", stage())
    two = run("bridge", data, codec, tmp_path / "two", stage(batch=4, accumulate=2))
    assert "loss_flow" in followed(one)
    assert_same_training("bridge", one, two)
    assert apart(one, two, "refiner", "refiner_average") < 0.02


def apart(one: Path, two: Path, name: str, average: str) -> float:
    """Difference of the weights of two trainings, over how far those of the first have moved."""
    a, b = (finished(out) for out in (one, two))
    moved = sum(float((a[name][key] - a[average][key]).abs().sum()) for key in a[name])
    return sum(float((a[name][key] - b[name][key]).abs().sum()) for key in a[name]) / moved


def test_two_processes_train_as_one_does(data: Path, codec: Path, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    here = Path(tiny_training.__file__).parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    command = [*launcher, __file__, str(data), str(codec), str(tmp_path / "together")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    alone = run("bridge", data, codec, tmp_path / "alone", stage(batch=4))
    assert followed(alone) == followed(tmp_path / "together") and "loss_flow" in followed(alone)
    for left, right in zip(logged(alone), logged(tmp_path / "together"), strict=True):
        assert {**left, "encoded": 0.0} == pytest.approx({**right, "encoded": 0.0}, rel=1e-2, abs=1e-4)
    assert apart(alone, tmp_path / "together", "network", "average") < 0.01
    assert apart(alone, tmp_path / "together", "refiner", "refiner_average") < 0.02


def test_the_best_weights_are_those_that_are_best_at_all_methods() -> None:
    score = BridgeTrainer.score
    assert score(None, {"healthy": 0.4, "tumor": 0.6, "free": 9.0}) == pytest.approx(0.5)  # type: ignore[arg-type]
    values = {"healthy": 0.4, "tumor": 0.6, "swapped": 9.0, "diffusion": 0.0, "flow": 0.0}
    better = score(None, {**values, "flow": 0.4})  # type: ignore[arg-type]
    assert better > score(None, values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "methods", [(), ("flow",), ("diffusion", "bridge"), ("bridge", "flow", "flow"), ("bridge", "bridge"), ("bridge", "gan")]
)
def test_methods_that_are_unknown_or_come_twice_or_without_the_bridge_are_refused(
    methods: tuple[str, ...], data: Path, codec: Path, tmp_path: Path
) -> None:
    with pytest.raises(RequestError) as caught:
        check_methods(replace(BRIDGE, methods=methods))
    assert caught.value.code == "train.methods" and "diffusion, flow" in caught.value.hint
    with pytest.raises(RequestError):
        run("bridge", data, codec, tmp_path, stage(methods))
    assert not (tmp_path / "log.jsonl").exists()


@pytest.mark.parametrize("name", ["healing_rank", "flow_rank"])
def test_a_rank_below_nothing_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match=f"{name} is -1") as caught:
        check_methods(replace(BRIDGE, **{name: -1}))
    assert caught.value.code == "train.rank"


@pytest.mark.parametrize(
    ("setting", "known"),
    [
        ("objective", "grad, residual, preconditioned"),
        ("diffusion_objective", "epsilon, v, residual, preconditioned"),
        ("flow_objective", "velocity, residual, preconditioned"),
    ],
)
def test_an_objective_that_the_method_does_not_have_is_refused(setting: str, known: str) -> None:
    config = replace(BRIDGE, methods=METHODS)
    for objective in known.split(", "):
        check_methods(replace(config, **{setting: objective}))
    with pytest.raises(RequestError) as caught:
        check_methods(replace(config, **{setting: "typo"}))
    assert caught.value.code == "train.objective" and "typo" in str(caught.value) and known in caught.value.hint


def test_flow_needs_whole_tumors(content: TrainingData, codec: Path, tmp_path: Path) -> None:
    parts = tuple(replace(region, kind=TUMOR + 1) if region.kind == TUMOR else region for region in content.regions)
    save_training_data(tmp_path / "parts.npz", replace(content, regions=parts))
    settings = replace(stage(steps=1, batch=2), draw=replace(STAGES["bridge"].draw, fresh=0.0))
    with pytest.raises(DataError, match="no whole tumors"):
        run("bridge", tmp_path / "parts.npz", codec, tmp_path / "out", settings)
    two = replace(settings, network=replace(settings.network, methods=("bridge", "diffusion")))
    done = run("bridge", tmp_path / "parts.npz", codec, tmp_path / "two", two)
    assert finished(done)["step"] == 1 and "refiner" not in finished(done)


@pytest.fixture(scope="module")
def bridge_only(data: Path, codec: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of a bridge that was trained alone."""
    out = tmp_path_factory.mktemp("alone")
    bridge = run("bridge", data, codec, out / "bridge", tiny_training.stage("bridge", batch=2, steps=2))
    shape = run("shape", data, codec, out / "shape", tiny_training.stage("shape", batch=2, steps=2))
    export_bundle(data, Folders(codec, bridge, shape), out / "alone", {**INFO, "id": "alone"})
    return load_bundle(out / "alone")


@pytest.fixture(scope="module")
def several(data: Path, bridge_only: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle that came of it when it learned the other methods."""
    out = tmp_path_factory.mktemp("several")
    settings = stage(steps=8, batch=2, validate_every=4)
    bridge = run("bridge", data, None, out / "bridge", settings, init=bridge_only)  # type: ignore[arg-type]
    (first, *_), last = logged(bridge), logged(bridge)[-1]
    assert first["step"] == 0 and {"diffusion", "flow"} <= first.keys() and last["step"] == 8
    export_bundle(data, Folders(None, bridge, None), out / "bundle", INFO, base=bridge_only)
    return load_bundle(out / "bundle")


def test_a_bundle_of_the_bridge_alone_learns_the_other_methods(bridge_only: Bundle, several: Bundle) -> None:
    assert bridge_only.methods == ("bridge",) and "refiner" not in bridge_only.configs
    assert several.methods == METHODS and several.configs["refiner"]["features"] == 8
    assert several.weights("refiner") and several.info["training"]["networks"]["refiner"]["trained"]
    before, after = bridge_only.weights("bridge"), several.weights("bridge")
    assert after["leave.weight"].shape[0] == before["leave.weight"].shape[0] + 1
    kept = bridge_only.statistics("soft-tissue-ct")["glcm_Contrast"]["quantiles"]
    assert several.statistics("soft-tissue-ct")["glcm_Contrast"]["quantiles"] == kept


def test_a_method_can_be_added_without_changing_a_bit_of_what_the_bundle_does(
    data: Path, bridge_only: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(stage(batch=2, steps=4, validate_every=2), learns=("flow",))
    settings = replace(settings, network=replace(settings.network, flow_rank=2, flow_leveled=True))
    given: dict[str, Any] = {"init": bridge_only}
    out = run("bridge", data, None, tmp_path / "whole", settings, **given)  # type: ignore[arg-type]
    assert followed(out) == ["loss_flow"] * 4
    state, before = finished(out), bridge_only.weights("bridge")
    assert state["config"]["flow_rank"] == 2 and state["config"]["flow_leveled"] is True
    assert all(weight.any() for key, weight in state["average"].items() if key.endswith("flow.1.1.weight"))
    for name in ("network", "average"):
        own = own_weights(BridgeConfig(**state["config"]), ("flow",))
        shared = {key: weight[~own[key]] for key, weight in state[name].items()}
        start = widened(before, BridgeUNet(BridgeConfig(**state["config"])))
        assert all(torch.equal(weight, start[key].to(weight.dtype)[~own[key]]) for key, weight in shared.items())
        assert state[name]["leave.weight"][-1].any() and not equal(state["refiner"], state["refiner_average"])
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        interrupted(context, BridgeTrainer, 3)
        run("bridge", data, None, tmp_path / "killed", settings, **given)  # type: ignore[arg-type]
    again = run("bridge", data, None, tmp_path / "killed", settings, **given)  # type: ignore[arg-type]
    assert equal(finished(out)["network"], finished(again)["network"])


def test_healing_can_be_trained_without_changing_a_bit_of_any_tumor(
    data: Path, several: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stage(batch=2, steps=4, validate_every=2, learning_rate=1e-2)
    settings = replace(settings, learns=(HEALING,), network=replace(settings.network, healing_rank=2))
    given: dict[str, Any] = {"init": several}
    out = run("bridge", data, None, tmp_path / "whole", settings, **given)  # type: ignore[arg-type]
    assert followed(out) == ["loss"] * 4
    assert {"healthy"} <= logged(out)[-1].keys() and "tumor" not in logged(out)[-1]
    state = finished(out)
    config = BridgeConfig(**state["config"])
    own, before = healing_weights(config), widened(several.weights("bridge"), BridgeUNet(config))
    for name in ("network", "average"):
        assert all(
            torch.equal(weight[~own[key]], before[key].to(weight.dtype)[~own[key]]) for key, weight in state[name].items()
        )
        assert all(not weight.any() for key, weight in before.items() if key.endswith("healing.1.1.weight"))
        assert all(weight.any() for key, weight in state[name].items() if key.endswith("healing.1.1.weight"))
        assert not torch.equal(state[name]["path.weight"][0], before["path.weight"][0])
    assert equal(state["refiner"], several.weights("refiner"))
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        interrupted(context, BridgeTrainer, 3)
        run("bridge", data, None, tmp_path / "killed", settings, **given)  # type: ignore[arg-type]
    again = run("bridge", data, None, tmp_path / "killed", settings, **given)  # type: ignore[arg-type]
    assert equal(state["network"], finished(again)["network"])
    export_bundle(data, Folders(None, out, None), tmp_path / "bundle", INFO, base=several)
    healer = load_bundle(tmp_path / "bundle")
    assert healer.network("bridge")["healing_rank"] == 2 and healer.methods == METHODS
    # Trained on, it keeps its rank, whatever the preset has.
    more = run("bridge", data, None, tmp_path / "more", stage(batch=2, steps=1), init=healer)  # type: ignore[arg-type]
    assert BridgeConfig(**finished(more)["config"]).healing_rank == 2


def test_healing_needs_healthy_regions(data: Path, several: Bundle, content: TrainingData, tmp_path: Path) -> None:
    parts = tuple(replace(region, kind=PART) if region.kind == HEALTHY else region for region in content.regions)
    save_training_data(tmp_path / "tumors.npz", replace(content, regions=parts))
    settings = replace(stage(batch=2, steps=1), learns=(HEALING,))
    with pytest.raises(DataError, match="no healthy regions"):
        run("bridge", tmp_path / "tumors.npz", None, tmp_path / "out", settings, init=several)  # type: ignore[arg-type]


@pytest.mark.parametrize("learns", [("bridge",), ("bridge", "flow"), ("vae",), (), (HEALING, "flow")])
def test_what_would_change_the_other_methods_is_not_learned_alone(learns: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match="learns is") as caught:
        check_learns(BridgeConfig(methods=METHODS), learns)
    assert caught.value.code == "train.learns"
    for fine in (METHODS, ("diffusion",), ("flow",), ("diffusion", "flow"), (HEALING,)):
        check_learns(BridgeConfig(methods=METHODS), fine)
    check_learns(BridgeConfig(), METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_trained_bundle_edits_by_all_methods(several: Bundle, scan: Path, tmp_path: Path, method: str) -> None:
    editor, source = Editor(several, "cpu"), read_volume(scan)
    folder = editor.run(insert(scan, tmp_path / "out", method=method, bundle="several"))
    mask = read_mask(folder / "segmentation.seg.nrrd").array
    changed = read_volume(folder / "image.nrrd").array != source.array
    assert mask.any() and changed[mask].mean() > 0.5
    if method == "flow":
        box = [(middle(source) - 12).tolist(), (middle(source) + 12).tolist()]
        small = request("insert", scan, tmp_path / "box", box=box, shape={"volume_ml": 2.0}, method=method, bundle="several")
        found = read_mask(editor.run(small) / "segmentation.seg.nrrd").array
        assert found.sum() > 0


def test_a_bundle_of_all_methods_is_trained_on_with_all_of_them(data: Path, several: Bundle, tmp_path: Path) -> None:
    settings = stage(("bridge",), steps=1, batch=2)
    again = run("bridge", data, None, tmp_path, settings, init=several)  # type: ignore[arg-type]
    state = finished(again)
    assert BridgeConfig(**state["config"]).methods == METHODS
    assert BridgeConfig(**state["config"]).shape_quantiles == BridgeConfig(**load_config(several)).shape_quantiles
    assert equal(load_best(again)["refiner_average"], several.weights("refiner")) or load_best(again)["step"] == 1


def load_config(bundle: Bundle) -> dict[str, Any]:
    """The network's config with tuples."""
    found = dict(bundle.network("bridge"))
    return {**found, "shape_quantiles": tuple(tuple(line) for line in found["shape_quantiles"])}


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_weights_of_the_flow_can_be_set_and_have_one_place(preset: str) -> None:
    settings = PRESETS[preset].stage("bridge")
    values = values_of(settings)
    assert {name: values[f"train.extra.flow_{name}"] for name in WEIGHTS} == WEIGHTS
    assert not any("flow" in name for other in ("codec", "shape") for name in values_of(PRESETS[preset].stage(other)))
    given = ["train.extra.flow_fine=0", "draw.binary=true", "network.methods=bridge,flow", "network.flow_objective=velocity"]
    changed = overridden(settings, given)
    assert isinstance(changed, BridgeStage) and changed.train.extra["flow_fine"] == 0.0 and changed.draw.binary
    assert changed.network.methods == ("bridge", "flow") and changed.network.flow_objective == "velocity"


def test_methods_and_weights_are_set_from_the_command_line(data: Path, codec: Path, tmp_path: Path) -> None:
    values = ["network.channels=8,16", "network.attention=false,true", "network.heads=2", "network.token_width=16"]
    values += ["network.methods=bridge,flow", "train.steps=2", f"train.seed={SEED}", "crop=32,32,32", "train.batch=2"]
    values += ["draw.binary=true", "train.extra.flow_fine=0", "train.extra.flow_refine=0", "network.flow_objective=velocity"]
    options = [text for value in values for text in ("--set", value)]
    files = ["--data", str(data), "--codec", str(codec), "--out", str(tmp_path), "--minutes", "9"]
    done = CliRunner().invoke(app, ["bridge", *files, *options])
    assert done.exit_code == 0, done.output
    state = finished(tmp_path)
    assert state["step"] == 2 and BridgeConfig(**state["config"]).flow_objective == "velocity"
    assert BridgeConfig(**state["config"]).methods == ("bridge", "flow")


@pytest.mark.parametrize("objectives", [("epsilon", "velocity"), ("v", "residual")])
def test_published_objectives_train_too(objectives: tuple[str, str], data: Path, codec: Path, tmp_path: Path) -> None:
    settings = stage(steps=8, batch=2, validate_every=8)
    network = replace(settings.network, diffusion_objective=objectives[0], flow_objective=objectives[1])
    out = run("bridge", data, codec, tmp_path, replace(settings, network=network))
    assert all(np.isfinite(list(line.values())).all() for line in logged(out))


def test_a_bundle_may_have_some_of_the_methods_alone(data: Path, codec: Path, several: Bundle, tmp_path: Path) -> None:
    bridge = run("bridge", data, codec, tmp_path / "bridge", stage(batch=2, steps=2))
    folders = Folders(codec, bridge, None)
    found = load_bundle(export_bundle(data, folders, tmp_path / "two", INFO, base=several, methods=("bridge", "diffusion")))
    assert found.network("bridge")["methods"] == ["bridge", "diffusion"] and "refiner" not in found.configs
    for wrong in (("diffusion",), ("diffusion", "bridge"), ("bridge", "magic")):
        with pytest.raises(RequestError, match="trained are bridge, diffusion, flow"):
            export_bundle(data, folders, tmp_path / "wrong", INFO, base=several, methods=wrong)
    assert not (tmp_path / "wrong").exists()


def main(data: Path, codec: Path, out: Path) -> None:
    """A step of each method, half of each step's samples in each of two processes."""
    from TumorSynthLib.train.team import gathered

    torch.set_num_threads(1)
    with gathered("cpu") as team:
        run("bridge", data, codec, out, stage(batch=2), team)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
