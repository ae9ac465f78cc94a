"""Codec, shape generator and bridge one after the other from one training file, and the bundle of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.dataset import shapes_file
from TumorSynthLib.errors import RequestError
from TumorSynthLib.train.bridge import train_bridge
from TumorSynthLib.train.checkpoints import load_checkpoint
from TumorSynthLib.train.codec import train_codec
from TumorSynthLib.train.export import Folders, export_bundle
from TumorSynthLib.train.journal import Say, silent
from TumorSynthLib.train.overrides import overridden
from TumorSynthLib.train.presets import BridgeStage, CodecStage, Preset, ShapeStage, fine_tuning
from TumorSynthLib.train.shape import train_shape
from TumorSynthLib.train.team import Team

STAGES = ("codec", "shape", "bridge")
"""In the order in which they are trained."""


@dataclass(frozen=True)
class Plan:
    """The three trainings, each with its share of the time."""

    codec: CodecStage
    """Of the codec."""
    shape: ShapeStage
    """Of the shape generator."""
    bridge: BridgeStage
    """Of the bridge."""


def planned(preset: Preset, minutes: float | None, seed: int, init: bool, assignments: Sequence[str]) -> Plan:
    """Settings of the three trainings.

    Parameters
    ----------
    preset : where they come from.
    minutes : wall time of all three; the preset's where None.
    seed : of all three.
    init : whether they start from a bundle, with the encoder fixed and at a lower rate.
    assignments : ``codec.train.batch=4`` and so on, after everything else.

    Raises
    ------
    RequestError : for an assignment that names no value.
    """
    timed = replace(preset, minutes=preset.minutes if minutes is None else minutes)
    stages = {}
    for name in STAGES:
        stage = timed.stage(name)
        train = replace(stage.train, seed=seed)
        stage = replace(stage, train=fine_tuning(train) if init else train)
        own = [text.removeprefix(f"{name}.") for text in assignments if text.startswith(f"{name}.")]
        stages[name] = overridden(stage, own)
    for text in assignments:
        if not text.startswith(tuple(f"{name}." for name in STAGES)):
            message = f"{text!r} does not say which training it is for."
            raise RequestError("preset.value", message, "Write codec.NAME=VALUE, shape.NAME=VALUE or bridge.NAME=VALUE.")
    codec, shape, bridge = (stages[name] for name in STAGES)
    assert isinstance(codec, CodecStage) and isinstance(shape, ShapeStage) and isinstance(bridge, BridgeStage)
    return Plan(replace(codec, decoder_only=codec.decoder_only or init), shape, bridge)


def train_all(
    data: Path, out: Path, plan: Plan, team: Team, info: Mapping[str, str], init: Bundle | None = None, say: Say = silent
) -> Path:
    """Train what is not finished yet, and write the bundle.

    Parameters
    ----------
    data : training file of ``prepare``.
    out : folder; ``codec``, ``shape`` and ``bridge`` in it are the trainings', ``bundle`` is the result.
    plan : settings of the trainings.
    team : the processes that train together.
    info : id, version and so on of the bundle, see ``export_bundle``.
    init : bundle to start from.
    say : takes lines for whoever watches.

    Returns
    -------
    The folder of the bundle.
    """
    say = say if team.leads else silent
    folders = {name: out / name for name in STAGES}
    shapes: Path | None = folders["shape"]
    if not _over(folders["codec"], plan.codec):
        say("codec")
        train_codec(data, folders["codec"], plan.codec, team, init, say, whole=True)
    if init is not None and not shapes_file(data).exists():
        shapes = None
    elif not _over(folders["shape"], plan.shape):
        say("shape generator")
        train_shape(shapes_file(data), folders["shape"], plan.shape, team, init, say, whole=True)
    if not _over(folders["bridge"], plan.bridge):
        say("bridge")
        train_bridge(data, folders["codec"], folders["bridge"], plan.bridge, team, init, say, whole=True)
    bundle = out / "bundle"
    if team.leads:
        say("bundle")
        export_bundle(data, Folders(folders["codec"], folders["bridge"], shapes), bundle, info, base=init)
    return bundle


def _over(folder: Path, stage: CodecStage | ShapeStage | BridgeStage) -> bool:
    """Whether a training has used up its steps, its patience or its time."""
    saved = load_checkpoint(folder)
    if saved is None:
        return False
    train = stage.train
    enough = bool(train.steps) and saved["step"] >= train.steps
    stale = bool(train.patience) and saved["step"] - saved.get("best_step", saved["step"]) >= train.patience
    return enough or stale or saved.get("seconds", 0.0) >= 60.0 * train.minutes
