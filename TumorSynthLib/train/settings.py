"""From options of the command line to the settings of one training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from TumorSynthLib.configs import TrainConfig
from TumorSynthLib.errors import RequestError
from TumorSynthLib.train.overrides import overridden, values_of
from TumorSynthLib.train.presets import PRESETS, BridgeStage, CodecStage, Preset, ShapeStage, fine_tuning, named_preset

AnyStage = TypeVar("AnyStage", CodecStage, ShapeStage, BridgeStage)


@dataclass(frozen=True)
class Asked:
    """Options that every training has; None leaves the preset's value."""

    preset: str
    """Name of the preset."""
    minutes: float | None
    """Wall time; unlimited where steps alone are given."""
    steps: int | None
    """Step at which training ends."""
    seed: int
    """Seed of weights, order and noise."""
    batch: int | None
    """Samples per process and part of a step."""
    init: bool
    """Whether training starts from a bundle."""
    assignments: Sequence[str]
    """``NAME=VALUE``, after everything else."""


def stage_settings(stage: AnyStage, asked: Asked) -> AnyStage:
    """The settings of a preset with what was asked for.

    Raises
    ------
    RequestError : for an unknown name or a value of another kind.
    """
    train = replace(stage.train, seed=asked.seed)
    if asked.init:
        train = fine_tuning(train)
    changes: dict[str, Any] = {"steps": asked.steps, "minutes": asked.minutes, "batch": asked.batch}
    if asked.steps is not None and asked.minutes is None:
        changes["minutes"] = float("inf")
    train = replace(train, **{name: value for name, value in changes.items() if value is not None})
    settings = overridden(replace(stage, train=train), asked.assignments)
    check_train(settings.train)
    return settings


def check_train(train: TrainConfig) -> None:
    """Whether counts are counts.

    Raises
    ------
    RequestError : for the first that is not.
    """
    least = {"batch": 1, "accumulate": 1, "validate_every": 1, "log_every": 1, "warmup": 1, "steps": 0, "patience": 0}
    for name, smallest in least.items():
        if getattr(train, name) < smallest:
            raise RequestError("train.value", f"{name} is {getattr(train, name)}; at least {smallest} is needed.")
    if train.precision not in ("bf16", "fp32"):
        raise RequestError("train.value", f"precision is {train.precision!r}.", "Choose bf16 or fp32.")


def crop_of(text: str) -> tuple[int, ...]:
    """Edges of a crop from one number or three.

    >>> crop_of("48"), crop_of("112,112,96")
    ((48, 48, 48), (112, 112, 96))

    Raises
    ------
    RequestError : for anything else.
    """
    try:
        edges = tuple(int(part) for part in text.split(","))
    except ValueError:
        edges = ()
    if len(edges) not in (1, 3):
        raise RequestError("train.crop", f"{text!r} is not a crop.", "Give one edge in voxels, or three: 112,112,96.")
    return edges * 3 if len(edges) == 1 else edges


def listing(names: Sequence[str] = ()) -> str:
    """All values of some presets, of every one where none is named."""
    lines = []
    for preset in [named_preset(name) for name in names] or PRESETS.values():
        lines += [f"{preset.name}: {preset.about}", f"  minutes = {preset.minutes:g} (all three together)"]
        for name in preset.shares:
            lines += [f"  {name}.{key} = {_text(value)}" for key, value in values_of(preset.stage(name)).items()]
    return "\n".join(lines)


def help_text() -> str:
    """What each preset is for, one after the other."""
    return "; ".join(f"{preset.name}: {preset.about}" for preset in PRESETS.values())


def stage_of(preset: Preset, name: str, kind: type[AnyStage]) -> AnyStage:
    """One training of a preset."""
    stage = preset.stage(name)
    assert isinstance(stage, kind)
    return stage


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
