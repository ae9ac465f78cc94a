"""From settings to a bundle: presets and what overrides them, one command for everything, and fine-tuning of a bundle."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_data
import tiny_training
import torch
from tiny_training import BRIDGE, CODEC, SHAPE, STAGES, run, stage
from typer.testing import CliRunner, Result

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.configs import BridgeConfig, CodecConfig, to_dict
from TumorSynthLib.dataset import TrainingData, save_training_data
from TumorSynthLib.errors import DataError, RequestError, TumorSynthError
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.nets.unet import BridgeUNet
from TumorSynthLib.train import codec_trainer
from TumorSynthLib.train.__main__ import app
from TumorSynthLib.train.all_stages import planned
from TumorSynthLib.train.card import UNKNOWN
from TumorSynthLib.train.checkpoints import load_best, load_checkpoint
from TumorSynthLib.train.export import Folders, export_bundle
from TumorSynthLib.train.overrides import overridden, values_of
from TumorSynthLib.train.presets import PRESETS, named_preset
from TumorSynthLib.train.settings import Asked, listing, stage_settings

INFO = {"id": "mine", "version": "0.0.1", "intended_use": "tests"}


@pytest.fixture(autouse=True)
def little_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_trainer, "STATISTICS", 16)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    made = tiny_data.training_data(tiny_data.write_folder(tmp_path_factory.mktemp("data")))
    images = tuple(replace(image, licence="CC BY 3.0" if n else "CC BY-NC 3.0") for n, image in enumerate(made.images))
    return replace(made, images=images)


@pytest.fixture(scope="module")
def data(content: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_training.write_data(content, tmp_path_factory.mktemp("file"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two steps of every training."""
    out = tmp_path_factory.mktemp("trained")
    folders = {}
    for name in STAGES:
        folders[name] = run(name, data, folders.get("codec", out), out / name, stage(name, batch=2, steps=2))
    return folders


@pytest.fixture(scope="module")
def bundle(data: Path, trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("models") / "mine"
    export_bundle(data, Folders(trained["codec"], trained["bridge"], trained["shape"]), out, INFO)
    return load_bundle(out)


@pytest.fixture(scope="module")
def own(content: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own data: CT alone, without shapes."""
    keep = [n for n, image in enumerate(content.images) if image.domain.id == "soft-tissue-ct"]
    rows = [n for n, region in enumerate(content.regions) if region.image in keep][:-2]
    path = tmp_path_factory.mktemp("own") / "own.npz"
    save_training_data(
        path,
        replace(
            content,
            images=tuple(content.images[n] for n in keep),
            regions=tuple(replace(content.regions[n], image=keep.index(content.regions[n].image)) for n in rows),
            masks=content.masks[rows],
            features=content.features[rows],
        ),
    )
    return path


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key].float(), other[key].float()) for key in one)


def test_finished_trainings_become_a_bundle(content: TrainingData, trained: dict[str, Path], bundle: Bundle) -> None:
    training = bundle.info["training"]
    assert training["patients"] == 4 and training["steps"] == {"codec": 2, "shape": 2, "bridge": 2}
    for name, folder in trained.items():
        average = load_best(folder)["average"]
        assert same(bundle.weights(name), {key: value.half() for key, value in average.items()})
        assert training["networks"][name]["parameters"] == sum(value.numel() for value in average.values())
    tumors = [n for n, r in enumerate(content.regions) if r.kind == 0 and content.images[r.image].domain.unit == "HU"]
    column = content.features[tumors, content.names.index("firstorder_Mean")]
    assert bundle.statistics("soft-tissue-ct")["firstorder_Mean"]["count"] >= len(tumors) > 0
    low, high = bundle.statistics("soft-tissue-ct")["firstorder_Mean"]["range"]
    assert low <= column.max() and column.min() <= high
    scales = load_best(trained["bridge"])["scales"]["soft-tissue-ct"]
    assert bundle.statistics("soft-tissue-ct")["firstorder_Mean"]["quantiles"] == pytest.approx(scales[0], rel=1e-5)


def test_a_card_says_where_the_weights_come_from_and_under_which_licences(bundle: Bundle) -> None:
    assert bundle.licence == "training data: CC BY 3.0; training data: CC BY-NC 3.0"
    for text in (
        "# Bundle `mine`, version 0.0.1",
        "- CC BY-NC 3.0",
        "| soft-tissue-ct |",
        "not for clinical use",
        "| bridge |",
    ):
        assert text in bundle.card, text
    assert UNKNOWN not in bundle.card and "Fine-tuned" not in bundle.card


def test_a_bundle_is_refused_whose_bridge_knows_another_encoder(data: Path, trained: dict[str, Path], tmp_path: Path) -> None:
    other = tiny_training.untrained_codec(tmp_path / "codec")
    with pytest.raises(DataError) as caught:
        export_bundle(data, Folders(other, trained["bridge"], trained["shape"]), tmp_path / "out", INFO)
    assert caught.value.code == "codec.other" and not (tmp_path / "out").exists()
    for missing in (Folders(None, trained["bridge"], trained["shape"]), Folders(tmp_path, trained["bridge"], None)):
        with pytest.raises(DataError) as caught:
            export_bundle(data, missing, tmp_path / "out", INFO)
        assert caught.value.code == "checkpoint.missing"


def test_fine_tuning_a_codec_changes_the_decoder_alone(own: Path, bundle: Bundle, tmp_path: Path) -> None:
    settings = replace(STAGES["codec"], decoder_only=True)
    out = run("codec", own, tmp_path, tmp_path / "codec", settings, init=bundle)
    tuned, before = load_checkpoint(out), bundle.weights("codec")
    assert tuned is not None and CodecConfig(**tuned["config"]).code_mean == pytest.approx(bundle.network("codec")["code_mean"])
    changed = {key for key, value in before.items() if not torch.equal(value, tuned["codec"][key])}
    assert changed and not any("encoder" in key for key in changed)
    assert logged(out)[0]["step"] == 0, "the bundle's own validation comes first"


def logged(out: Path) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, (out / "log.jsonl").read_text().splitlines()) if "note" not in line]


def test_fine_tuning_a_bridge_starts_from_the_bundle_and_never_ends_worse(own: Path, bundle: Bundle, tmp_path: Path) -> None:
    said: list[str] = []
    spoiling = stage("bridge", batch=2, steps=3, learning_rate=10.0)
    out = run("bridge", own, None, tmp_path / "bridge", spoiling, init=bundle, say=said.append)  # type: ignore[arg-type]
    first, *_, last = logged(out)
    assert first["step"] == 0 and not last["tumor"] >= first["tumor"], "that rate spoils everything"
    best, state = load_best(out), load_checkpoint(out)
    assert best["step"] == 0 and same(best["average"], bundle.weights("bridge"))
    assert state is not None and not same(state["average"], bundle.weights("bridge"))
    kept = bundle.statistics("soft-tissue-ct")["glcm_Contrast"]["quantiles"]
    assert best["scales"]["soft-tissue-ct"][BRIDGE.tokens.index("glcm_Contrast")] == pytest.approx(kept)
    assert any("Feature scales are those of bundle 'mine'." in line for line in said)


def test_fine_tuning_a_shape_generator_keeps_what_its_features_mean(data: Path, bundle: Bundle, tmp_path: Path) -> None:
    tiny_training.write_shapes(tmp_path / "more.shapes.npz", count=20)
    settings = stage("shape", batch=4, steps=3)
    out = run("shape", tmp_path / "more.npz", tmp_path, tmp_path / "shape", settings, init=bundle)
    state, known = load_best(out), bundle.shape_statistics
    assert state["fine_tuned"] and logged(out)[0]["step"] == 0
    assert state["statistics"]["mean"] == pytest.approx(known["mean"]) and state["statistics"]["std"] == pytest.approx(
        known["std"]
    )
    assert state["statistics"]["organs"] == known["organs"], "four shapes of an organ say too little about it"
    again = load_checkpoint(run("shape", tmp_path / "more.npz", tmp_path, out, stage("shape", batch=4, steps=4), init=bundle))
    assert again is not None and again["step"] == 4 and again["statistics"]["mean"] == pytest.approx(known["mean"])


def test_a_fine_tuned_bundle_keeps_what_was_not_trained(own: Path, bundle: Bundle, tmp_path: Path) -> None:
    bridge = run("bridge", own, None, tmp_path / "bridge", stage("bridge", batch=2, steps=2), init=bundle)  # type: ignore[arg-type]
    export_bundle(own, Folders(None, bridge, None), tmp_path / "tuned", {**INFO, "id": "tuned"}, base=bundle)
    tuned = load_bundle(tmp_path / "tuned")
    assert same(tuned.weights("codec"), bundle.weights("codec")) and same(tuned.weights("shape"), bundle.weights("shape"))
    assert tuned.shape_statistics == bundle.shape_statistics
    before, after = ({entry["id"]: entry for entry in one.info["domains"]} for one in (bundle, tuned))
    assert after["soft-tissue-t1"] == before["soft-tissue-t1"] and after["soft-tissue-pet"] == before["soft-tissue-pet"]
    old, new = (entries["soft-tissue-ct"]["statistics"] for entries in (before, after))
    assert new["glcm_Contrast"]["quantiles"] == old["glcm_Contrast"]["quantiles"], "the bridge's scales"
    assert new["glcm_Autocorrelation"]["quantiles"] != old["glcm_Autocorrelation"]["quantiles"], "the new data's"
    assert (
        tuned.info["training"]["fine_tuned_from"] == bundle.identity and f"Fine-tuned from bundle `{bundle.id}`" in tuned.card
    )
    assert tuned.licence.startswith(f"bundle 'mine': {bundle.licence}; training data: CC BY"), "the base binds it too"
    assert "| codec | " in tuned.card and "as in the base" in tuned.card


BY_PRESET = replace(
    BRIDGE,
    **{name: "preconditioned" for name in ("objective", "diffusion_objective", "flow_objective")},
    leveled=True,
    mask_noise=1.0,
)
"""The tiny network with all that a preset decides beside its size."""


def sets(**more: str) -> list[str]:
    """Options that make a training tiny."""
    values = {
        "codec.network.channels": "8",
        "codec.network.res_layers": "1",
        "shape.network.grid": "24",
        "shape.network.noise": "8",
        "shape.network.channels": "16,16,8",
        "shape.network.token_width": "8",
        "shape.network.heads": "2",
        "bridge.network.channels": "8,16",
        "bridge.network.attention": "false,true",
        "bridge.network.heads": "2",
        "bridge.network.token_width": "16",
        "bridge.crop": "32,32,32",
        **{f"{name}.train.batch": "2" for name in STAGES},
        **{f"{name}.train.steps": "2" for name in STAGES},
        **more,
    }
    return [text for name, value in values.items() for text in ("--set", f"{name}={value}")]


def invoked(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_one_command_trains_everything_and_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    command = ["all", "--data", str(data), "--out", str(tmp_path), "--id", "everything", "--minutes", "5"]
    first = invoked(*command, *sets())
    assert first.exit_code == 0, first.output
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.id == "everything" and bundle.info["training"]["steps"] == {"codec": 2, "shape": 2, "bridge": 2}
    assert bundle.configs["bridge"] | {"residual_sd": []} == to_dict(BY_PRESET) and bundle.configs["shape"] == to_dict(SHAPE)
    assert bundle.configs["bridge"]["residual_sd"], "the preset's objective needs it"
    assert bundle.configs["codec"] | {"code_mean": [], "code_std": []} == to_dict(CODEC)
    times = {name: (tmp_path / name / "checkpoint.pt").stat().st_mtime_ns for name in STAGES}
    again = invoked(*command, *sets(**{"bridge.train.steps": "3"}))
    assert again.exit_code == 0, again.output
    assert {name for name in STAGES if (tmp_path / name / "checkpoint.pt").stat().st_mtime_ns != times[name]} == {"bridge"}
    assert load_bundle(tmp_path / "bundle").info["training"]["networks"]["bridge"]["trained"] is True
    state = load_checkpoint(tmp_path / "bridge")
    assert state is not None and state["step"] == 3


def test_one_command_fine_tunes_a_bundle(own: Path, bundle: Bundle, tmp_path: Path) -> None:
    small = sets(**{"codec.train.steps": "1", "bridge.train.steps": "1"})
    done = invoked("all", "--data", str(own), "--out", str(tmp_path), "--init", str(bundle.path), *small)
    assert done.exit_code == 0, done.output
    tuned = load_bundle(tmp_path / "bundle")
    assert tuned.info["training"]["fine_tuned_from"] == bundle.identity
    assert not tuned.info["training"]["networks"]["shape"]["trained"], "there were no shapes to train on"
    assert not (tmp_path / "shape").exists()


def test_the_time_of_all_trainings_is_shared_out_and_fine_tuning_is_gentle() -> None:
    plan = planned(named_preset("cpu"), 100.0, 7, False, ["bridge.train.batch=3"])
    assert [one.train.minutes for one in (plan.codec, plan.shape, plan.bridge)] == pytest.approx([25.0, 20.0, 55.0])
    assert plan.bridge.train.batch == 3 and plan.codec.train.seed == 7 and not plan.codec.decoder_only
    gentle = planned(named_preset("cpu"), None, 0, True, [])
    assert gentle.codec.decoder_only and gentle.bridge.train.learning_rate == pytest.approx(0.25 * 4e-4)
    assert gentle.bridge.train.minutes == pytest.approx(0.55 * named_preset("cpu").minutes)
    with pytest.raises(RequestError) as caught:
        planned(named_preset("cpu"), None, 0, False, ["batch=3"])
    assert caught.value.code == "preset.value"


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_parts_of_a_preset_fit_together(name: str) -> None:
    preset = PRESETS[name]
    codec, network, crop = preset.codec.network, preset.bridge.network, preset.bridge.crop
    assert sum(preset.shares.values()) == pytest.approx(1.0)
    assert network.latent_channels == codec.latent_channels
    assert all(edge % (codec.factor * 2 ** (len(network.channels) - 1)) == 0 for edge in crop)
    with torch.device("meta"):
        bridge = BridgeUNet(network)
        Codec(codec)
    count = sum(parameter.numel() for parameter in bridge.parameters())
    assert count < 16e6 or name == "paper"


def test_the_papers_scale_is_the_papers() -> None:
    stage = named_preset("paper").bridge
    factor = named_preset("paper").codec.network.factor
    assert factor == 2 and stage.crop == (112, 112, 96) and [edge // factor for edge in stage.crop] == [56, 56, 48]
    assert stage.train.batch == 1 and stage.network.steps == 1000 and "200" in named_preset("paper").about


def test_every_value_of_a_preset_can_be_overridden() -> None:
    for preset in PRESETS.values():
        for name in preset.shares:
            chosen = preset.stage(name)
            for key, value in values_of(chosen).items():
                other = changed(value)
                text = ",".join(map(str, other)) if isinstance(other, tuple) else str(other)
                assert values_of(overridden(chosen, [f"{key}={text}"]))[key] == other, key


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return (*value, changed(value[0])) if value and isinstance(value, tuple) else ((0.5,) if value == () else "fp32")


@pytest.mark.parametrize("text", ["train.batch", "train.size=3", "train.batch=many", "decoder_only=perhaps", "network=1"])
def test_an_override_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        overridden(named_preset("cpu").codec, [text])
    assert caught.value.code == "preset.value"


@pytest.mark.parametrize("text", ["train.batch=0", "train.accumulate=0", "train.precision=fp8", "train.validate_every=0"])
def test_counts_must_be_counts(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        stage_settings(named_preset("cpu").codec, Asked("cpu", 1.0, None, 0, None, False, [text]))
    assert caught.value.code == "train.value"


def test_steps_alone_have_no_limit_of_time() -> None:
    chosen = named_preset("cpu").stage("bridge")
    assert stage_settings(chosen, Asked("cpu", None, 10, 0, None, False, ())).train.minutes == float("inf")
    assert stage_settings(chosen, Asked("cpu", 3.0, 10, 0, None, False, ())).train.minutes == 3.0
    assert stage_settings(chosen, Asked("cpu", None, None, 0, None, False, ())).train.minutes == pytest.approx(66.0)


def test_the_listing_shows_every_value_and_help_names_every_preset() -> None:
    text = invoked("presets").output
    assert text.strip() == listing().strip()
    for preset in PRESETS.values():
        assert f"{preset.name}: {preset.about}" in text
    assert "bridge.draw.fresh = 0.5" in text and "bridge.crop = 112,112,96" in text
    assert "shape." not in "".join(line for line in invoked("presets", "gpu").output.splitlines() if line.startswith("cpu"))
    told = " ".join(invoked("bridge", "--help").output.replace("│", " ").split())
    for name in PRESETS:
        assert f"{name}:" in told
    with pytest.raises(RequestError):
        named_preset("huge")


def test_options_of_a_command_reach_its_training(data: Path, trained: dict[str, Path], tmp_path: Path) -> None:
    network = ["network.channels=8,16", "network.attention=false,true", "network.heads=2", "network.token_width=16"]
    small = [text for value in [*network, "train.steps=1"] for text in ("--set", value)]
    files = ["--data", str(data), "--codec", str(trained["codec"]), "--out", str(tmp_path)]
    done = invoked("bridge", *files, "--crop", "16", "--no-augment", "--minutes", "9", "--batch", "3", *small)
    assert done.exit_code == 0, done.output
    state = load_checkpoint(tmp_path)
    assert state is not None and state["step"] == 1 and BridgeConfig(**{**state["config"], "residual_sd": ()}) == BY_PRESET
    refused = invoked("bridge", "--data", str(data), "--out", str(tmp_path / "x"), "--crop", "1,2")
    assert isinstance(refused.exception, TumorSynthError) and refused.exception.code == "train.crop"
    assert not (tmp_path / "x").exists()
