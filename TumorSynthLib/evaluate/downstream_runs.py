"""Training and testing one arm in one fold: the unit of work that is kept, so that a table can be finished in many sittings."""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from TumorSynthLib.evaluate.downstream_arms import Working, arm
from TumorSynthLib.insertion import Inserter
from TumorSynthLib.segmentation.images import LabeledImage
from TumorSynthLib.segmentation.inference import Segmenter
from TumorSynthLib.segmentation.network import SegmenterConfig
from TumorSynthLib.segmentation.overlap import dice, surface_dice
from TumorSynthLib.segmentation.training import Fit, Schedule

BATCH = 2
"""Patches per step."""
TOLERANCE_MM = 2.0
"""Tolerance of the normalized surface Dice."""
Scores = dict[str, dict[str, float]]
"""Dice and surface Dice of every tested image, by its id."""


@dataclass(frozen=True)
class Key:
    """Which training."""

    seed: int
    """Of weights and patches."""
    fold: int
    """Whose patients are tested."""
    arm: str
    """One of ``ARMS``."""

    @property
    def name(self) -> str:
        """Of its files."""
        return f"seed{self.seed}_fold{self.fold}_{self.arm}"


@dataclass(frozen=True, eq=False)
class Store:
    """The folder of finished and unfinished trainings. Those of other settings are never mixed in: they are made anew."""

    folder: Path
    """Where they are kept."""
    settings: dict[str, Any]
    """What decides on the scores, JSON-ready."""

    def scores(self, key: Key) -> Scores | None:
        """Scores of a training that is finished under the same settings."""
        path = self.folder / f"{key.name}.json"
        if not path.exists():
            return None
        told = json.loads(path.read_text(encoding="utf-8"))
        scores: Scores = told["scores"]
        return scores if told["settings"] == self.settings else None

    def keep(self, key: Key, scores: Scores) -> None:
        """Keep the scores of a finished training; its state is no longer needed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial_file = self.folder / f"{key.name}.partial"
        partial_file.write_text(json.dumps({"settings": self.settings, "scores": scores}, indent=1) + "\n", encoding="utf-8")
        partial_file.replace(self.folder / f"{key.name}.json")
        self.state(key).unlink(missing_ok=True)

    def state(self, key: Key) -> Path:
        """Where the state of an unfinished training lies."""
        settings = zlib.crc32(json.dumps(self.settings, sort_keys=True).encode())
        return self.folder / f"{key.name}_{settings:08x}.pt"


def train_and_test(
    key: Key,
    train: Sequence[Working],
    test: Sequence[LabeledImage],
    inserter: Inserter,
    config: SegmenterConfig,
    steps: int,
    state: Path,
    enough: Callable[[], bool],
    told: Callable[[float], None],
) -> Scores | None:
    """Scores of one training; None where there was not enough time, and a later call goes on.

    Parameters
    ----------
    key : arm, fold and seed.
    train, test : images of different patients.
    inserter : of tumors, for the arms that make some.
    config, steps : of the segmenter.
    state : file of the unfinished training.
    enough : asked before each step whether to stop.
    told : called with the share of the steps that are done.
    """
    device = inserter.models.device
    fit = Fit(config, Schedule(steps), key.seed, state, device)
    source = arm(key.arm, train, inserter, key.seed)
    batch = partial(source.batch, count=BATCH, size=config.patch)
    network = fit.run(batch, lambda step, loss: told(step / steps), enough)
    if not fit.finished:
        return None
    segmenter = Segmenter(network, config, device=device)
    return {image.id: _score(segmenter, image) for image in test}


def _score(segmenter: Segmenter, image: LabeledImage) -> dict[str, float]:
    seen = segmenter.segment(image.scan, image.domain, image.intensity)
    spacing = image.scan.geometry.spacing
    return {"dice": dice(image.tumor, seen), "nsd": surface_dice(image.tumor, seen, spacing, TOLERANCE_MM)}
