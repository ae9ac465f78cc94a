"""Train the shape GAN on canonical fields."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import ShapeConfig, from_dict
from TumorSynthLib.errors import DataError
from TumorSynthLib.train.checkpoints import BEST, STATE, load_best, load_checkpoint
from TumorSynthLib.train.common import half
from TumorSynthLib.train.journal import Say, silent
from TumorSynthLib.train.loop import Loop
from TumorSynthLib.train.presets import ShapeStage
from TumorSynthLib.train.shape_data import ShapeData
from TumorSynthLib.train.shape_trainer import ShapeTrainer
from TumorSynthLib.train.team import Team


def train_shape(
    data: Path, out: Path, stage: ShapeStage, team: Team, init: Bundle | None = None, say: Say = silent, whole: bool = False
) -> Path:
    """Train in a folder, or go on with the training there.

    Parameters
    ----------
    data : file of ``prepare_shapes``.
    out : folder of checkpoints and log.
    stage : settings; the network of a checkpoint or bundle wins over theirs.
    team : the processes that train together.
    init : bundle whose generator is the start; its features stay standardized as the bundle has them.
    say, whole : as ``Loop``.

    Returns
    -------
    The folder.
    """
    saved = load_checkpoint(out)
    config, known, base = stage.network, None, None
    if saved is not None:
        config = from_dict(ShapeConfig, saved["config"]) if "config" in saved else config
        known = saved["statistics"] if saved.get("fine_tuned") else None
    elif init is not None:
        config, known = from_dict(ShapeConfig, init.network("shape")), init.shape_statistics
        base = init.weights("shape")
    trainer = ShapeTrainer(ShapeData(data, config, known), stage.train, team, base)
    Loop(trainer, out, team, say, whole).run()
    return out


def export_shape(checkpoint: Path) -> tuple[ShapeConfig, dict[str, Tensor], dict[str, Any]]:
    """Config, fp16 state of the averaged generator, and JSON-ready statistics of a training folder, for a bundle.

    Raises
    ------
    DataError : when the folder holds no trained generator.
    """
    older = checkpoint / "shape.json", checkpoint / "shape.safetensors"
    if not (checkpoint / BEST).exists() and all(path.exists() for path in older):
        about = json.loads(older[0].read_text(encoding="utf-8"))
        return from_dict(ShapeConfig, about["config"]), load_file(older[1]), about["statistics"]
    if not any((checkpoint / name).exists() for name in (BEST, STATE)):
        raise DataError("checkpoint.missing", f"{checkpoint} holds no trained shape generator.", "Train one first.")
    state = load_best(checkpoint)
    return from_dict(ShapeConfig, state["config"]), half(state["average"]), state["statistics"]
