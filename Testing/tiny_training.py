"""Trainings small enough for tests. Run as a script under ``torchrun``, it does three steps of each as part of a team."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.configs import BridgeConfig, CodecConfig, DrawConfig, ShapeConfig, TrainConfig
from TumorSynthLib.dataset import TrainingData, save_training_data, shapes_file
from TumorSynthLib.shape_field import BALL_VOLUME, grid_points
from TumorSynthLib.train import shape_trainer
from TumorSynthLib.train.bridge import train_bridge
from TumorSynthLib.train.checkpoints import BEST, save_checkpoint
from TumorSynthLib.train.codec import train_codec
from TumorSynthLib.train.prepare_shapes import FEATURES
from TumorSynthLib.train.presets import BridgeStage, CodecStage, ShapeStage, Stage
from TumorSynthLib.train.shape import train_shape
from TumorSynthLib.train.team import Team, gathered

CODEC = CodecConfig(channels=(8,), res_layers=1)
BRIDGE = BridgeConfig(channels=(8, 16), attention=(False, True), heads=2, token_width=16)
SHAPE = ShapeConfig(grid=24, noise=8, channels=(16, 16, 8), token_width=8, heads=2)
TRAIN = TrainConfig(
    float("inf"),
    8,
    3e-3,
    warmup=1,
    validate_every=3,
    log_every=1,
    steps=3,
    precision="fp32",
    extra={"adversarial": 0.02, "adversarial_from": 0.5},
)
STAGES = {
    "codec": CodecStage(TRAIN, CODEC),
    "shape": ShapeStage(TRAIN, SHAPE),
    "bridge": BridgeStage(TRAIN, BRIDGE, DrawConfig(variants=2, renew=1.0, fresh=0.5, window=4, memory_gb=0.1), (32, 32, 32)),
}
"""Three steps of 8 samples, in float32, validated and logged."""
EARLY_CRITIC = (1, 2)
"""First step of the shape trainer's critic, and steps between its penalties, so that three steps show both."""


def stage(name: str, **changes: Any) -> Any:
    """One of ``STAGES`` with other values of the run."""
    return replace(STAGES[name], train=replace(STAGES[name].train, **changes))


def run(name: str, data: Path, codec: Path, out: Path, settings: Stage, team: Team | None = None, **more: Any) -> Path:
    """One training."""
    team = team or Team()
    if isinstance(settings, CodecStage):
        return train_codec(data, out, settings, team, **more)
    if isinstance(settings, ShapeStage):
        return train_shape(shapes_file(data), out, settings, team, **more)
    return train_bridge(data, codec, out, settings, team, **more)


def untrained_codec(folder: Path) -> Path:
    """The folder of a codec that nobody trained."""
    from TumorSynthLib.nets.codec import Codec
    from TumorSynthLib.train.common import seeded

    with seeded(0):
        weights = Codec(CODEC).state_dict()
    save_checkpoint(folder, {"config": vars(CODEC), "average": weights, "step": 0, "seconds": 0.0}, BEST)
    return folder


def write_data(content: TrainingData, folder: Path) -> Path:
    """The training file of some content, with shapes beside it."""
    path = folder / "train.npz"
    save_training_data(path, content)
    write_shapes(shapes_file(path))
    return path


def ellipsoid_field(semi_axes: list[float], grid: int = 32, half_width: float = 1.75) -> Tensor:
    """About the signed distance to an ellipsoid, (1, 1, grid, grid, grid)."""
    line = torch.from_numpy(grid_points(grid, half_width))
    x, y, z = torch.meshgrid(line, line, line, indexing="ij")
    radius = torch.sqrt((x / semi_axes[0]) ** 2 + (y / semi_axes[1]) ** 2 + (z / semi_axes[2]) ** 2)
    return ((1.0 - radius) * min(semi_axes)).float()[None, None]


def write_shapes(path: Path, config: ShapeConfig = SHAPE, count: int = 48) -> Path:
    """A training file of the shape generator made of random ellipsoids."""
    rng = np.random.default_rng(0)
    axes = np.sort(rng.uniform(0.85, 1.2, (count, 3)))[:, ::-1]
    fields = torch.cat([ellipsoid_field(a.tolist(), config.grid) for a in axes])
    fill = (fields > 0.0).sum(dim=(1, 2, 3, 4)).numpy() * (2.0 * config.half_width / config.grid) ** 3 / BALL_VOLUME
    volume = BALL_VOLUME * fill * (10.0 * axes).prod(axis=1)
    flat = [volume, rng.uniform(0.6, 0.9, count), *(axes[:, 1:] / axes[:, :1]).T, fill, rng.uniform(1e3, 1e4, count)]
    np.savez_compressed(
        path,
        fields=(127.0 * fields[:, 0].clamp(-1, 1)).round().numpy().astype(np.int8),
        semi_axes=(10.0 * axes).astype(np.float32),
        features=np.column_stack(flat).astype(np.float32),
        organ=np.arange(count) % 5,
        patients=np.array([f"patient-{i}" for i in range(count)]),
        organs=np.array(config.organs),
        feature_names=np.array(FEATURES),
        half_width=config.half_width,
    )
    return path


def main(data: Path, codec: Path, out: Path) -> None:
    """Three steps of every training, half of each step's samples in each of two processes."""
    torch.set_num_threads(1)
    shape_trainer.CRITIC_FROM, shape_trainer.R1_EVERY = EARLY_CRITIC
    with gathered("cpu") as team:
        for name in STAGES:
            run(name, data, codec, out / name, stage(name, batch=4), team)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
