"""Trains the shape GAN on canonical fields.

Half of each batch starts from the real shapes' own directions in the space of principal components and must become those
shapes, so that noise spreads over the shapes that exist; the other half starts from plain noise. The critic judges both (hinge
loss, matched against mismatched conditions, R1 every 16th step), and both must have the features they were asked for, by
differentiable geometry in mm.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from TumorSynthLib.configs import ShapeConfig, TrainConfig, from_dict, to_dict
from TumorSynthLib.errors import DataError
from TumorSynthLib.nets.shape_gan import Discriminator, Generator, fixed_length
from TumorSynthLib.train import common
from TumorSynthLib.train.shape_data import Batch, Directions, ShapeData, moments, occupancy, smooth_sphericity

WEIGHTS = {"reconstruct": 10.0, "critic": 0.1, "sphericity": 0.15, "fill": 0.15, "moments": 1.0}
"""Weights of the generator's losses."""
CRITIC_FROM = 60
"""Step at which the critic starts; before, the generator is not worth judging."""
JITTER = 0.15
"""Standard deviation of what is added to a real shape's noise vector, so that its neighborhood makes similar shapes."""
R1_EVERY = 16
R1_WEIGHT = 0.2


@dataclass
class State:
    """Networks and optimizers of a run."""

    generator: Generator
    critic: Discriminator
    average: common.Average
    makers: torch.optim.Optimizer
    judges: torch.optim.Optimizer
    step: int = 0

    def dump(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        parts = ("generator", "critic", "makers", "judges")
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in parts}
        return {**state, "average": self.average.network.state_dict(), "step": self.step}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of ``dump``."""
        for name in ("generator", "critic", "makers", "judges"):
            getattr(self, name).load_state_dict(state[name])
        self.average.network.load_state_dict(state["average"])
        self.step = state["step"]


def train_shape(
    data: Path,
    out: Path,
    minutes: float,
    device: str = "cpu",
    seed: int = 0,
    batch: int = 16,
    resume: bool = True,
    config: ShapeConfig | None = None,
    max_steps: int | None = None,
    validate_every: int = 100,
) -> dict[str, float]:
    """Train until the time is over and leave a checkpoint that a later call continues.

    Parameters
    ----------
    data : file of ``prepare_shapes``.
    out : folder for ``checkpoint.pt``, ``log.jsonl``, and the moving average as ``shape.safetensors`` with ``shape.json``.
    minutes : wall time.
    device, seed : where, and the seed of initialization, order and noise.
    batch : fields per step, half of them reconstructed.
    resume : continue the checkpoint in ``out`` where there is one.
    config : the generator; the default one where None.
    max_steps : stop at this step number, where given.
    validate_every : steps between validations and checkpoints.

    Returns
    -------
    The last validation's numbers.
    """
    settings = TrainConfig(
        minutes=minutes, batch=batch, learning_rate=1e-3, warmup=50, ema=0.995, seed=seed, validate_every=validate_every
    )
    config = config or ShapeConfig()
    shapes = ShapeData(data, config)
    directions = Directions(shapes, config.noise, seed)
    log, clock = common.Log(out), common.Clock(minutes)
    state = new_state(config, settings, device)
    state.generator.set_modes(directions.mean_residual.to(device), directions.modes.to(device))
    state.average.network.load_state_dict(state.generator.state_dict())
    saved = common.load_checkpoint(out) if resume else None
    if saved is not None:
        state.restore(saved)
    for step in common.steps(state.step, clock, max_steps):
        for optimizer in (state.makers, state.judges):
            common.set_learning_rate(optimizer, common.learning_rate(settings, step, clock.share))
        losses = train_step(state, shapes, directions, settings, device)
        if step % 10 == 0:
            log.write(step=step, seconds=clock.elapsed, **losses)
        if state.step % validate_every == 0:
            log.write(step=step, seconds=clock.elapsed, **validate(state.average.network, shapes, device))
            common.save_checkpoint(out, state.dump())
            save_average(out, state, shapes)
    common.save_checkpoint(out, state.dump())
    save_average(out, state, shapes)
    result = validate(state.average.network, shapes, device)
    log.write(step=state.step, seconds=clock.elapsed, **result)
    return result


def new_state(config: ShapeConfig, settings: TrainConfig, device: str) -> State:
    """Freshly initialized networks; the seed decides the weights without touching torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        generator, critic = Generator(config).to(device), Discriminator(config).to(device)
    return State(
        generator,
        critic,
        common.Average(generator, settings.ema),
        torch.optim.AdamW(generator.parameters(), lr=settings.learning_rate, betas=(0.5, 0.99), weight_decay=1e-3),
        torch.optim.AdamW(critic.parameters(), lr=settings.learning_rate, betas=(0.5, 0.99), weight_decay=1e-3),
    )


def train_step(state: State, shapes: ShapeData, directions: Directions, settings: TrainConfig, device: str) -> dict[str, float]:
    """One update of the generator, and of the critic once it has started; returns the losses."""
    rng = common.numpy_generator(settings.seed, state.step)
    noise = common.torch_generator(settings.seed, state.step)
    rows = rng.choice(shapes.train_rows, settings.batch)
    real = _on(shapes.batch(rows, rng), device)
    order = torch.from_numpy(rng.permutation(settings.batch)).to(device)
    half = settings.batch // 2
    vector, voxel_noise = state.generator.noise(settings.batch, noise)
    own = directions.of(real.field[:half].cpu())
    vector[:half] = fixed_length(own + JITTER * torch.randn(own.shape, generator=noise))
    with common.autocast(device):
        fake = state.generator(vector.to(device), [n.to(device) for n in voxel_noise], real.values, real.present, real.organ)
    losses: dict[str, Tensor] = {}
    judging = state.step >= CRITIC_FROM
    if judging:
        critic_loss = _critic_loss(state, real, fake.detach(), order, device)
        _update(state.judges, critic_loss, state.critic)
        losses["critic_loss"] = critic_loss
    losses |= _feature_losses(fake, real, shapes)
    losses["reconstruct"] = _surface_l1(fake[:half], real.field[:half])
    if judging:
        state.critic.requires_grad_(False)
        with common.autocast(device):
            losses["critic"] = -state.critic.judge(state.critic(fake), real.values, real.present, real.organ).mean()
        state.critic.requires_grad_(True)
    total = torch.stack([WEIGHTS[name] * value for name, value in losses.items() if name in WEIGHTS]).sum()
    _update(state.makers, total, state.generator)
    state.step += 1
    state.average.update(state.generator, state.step)
    return {name: float(value.detach()) for name, value in losses.items()}


def _critic_loss(state: State, real: Batch, fake: Tensor, order: Tensor, device: str) -> Tensor:
    """Hinge loss: real with its own features against fakes, and against real ones with another patient's features."""
    penalize = state.step % R1_EVERY == 0
    field = real.field.detach().requires_grad_(penalize)
    other = real.part(order)
    with common.autocast(device):
        seen = state.critic(field)
        matched = state.critic.judge(seen, real.values, real.present, real.organ)
        mismatched = state.critic.judge(seen, other.values, other.present, other.organ)
        made = state.critic.judge(state.critic(fake), real.values, real.present, real.organ)
    loss = F.relu(1.0 - matched).mean() + 0.75 * F.relu(1.0 + made).mean() + 0.25 * F.relu(1.0 + mismatched).mean()
    if penalize:
        (slope,) = torch.autograd.grad(matched.sum(), field, create_graph=True)
        loss = loss + R1_EVERY * R1_WEIGHT * 0.5 * slope.square().sum(dim=(1, 2, 3, 4)).mean()
    return loss


def _feature_losses(fake: Tensor, real: Batch, shapes: ShapeData) -> dict[str, Tensor]:
    """How far the fakes are from what was asked, in standard deviations, and from being whitened."""
    fill, center, second = moments(fake, shapes.config)
    smooth = smooth_sphericity(fake, real.semi_axes, shapes.config)
    std = shapes.std.to(fake.device)
    identity = torch.eye(3, device=fake.device)
    asked = real.present
    return {
        "sphericity": (asked[:, 0] * (smooth - real.raw[:, 0]).abs()).mean() / std[0],
        "fill": (asked[:, 4] * (fill - real.raw[:, 4]).abs()).mean() / std[4],
        "moments": center.abs().mean() + (second - identity).abs().mean(),
    }


def _surface_l1(made: Tensor, real: Tensor) -> Tensor:
    """Absolute difference with more weight near the surface; beyond the clipped range only the side matters."""
    difference = (made - real).abs()
    beyond = ((real <= -1.0) & (made < real)) | ((real >= 1.0) & (made > real))
    weight = 0.5 + 2.0 * torch.exp(-((real / 0.25) ** 2))
    return (difference * weight * ~beyond).mean()


def _update(optimizer: torch.optim.Optimizer, loss: Tensor, network: torch.nn.Module) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    # One step without a finite gradient must not spoil the weights.
    if bool(torch.isfinite(norm)):
        optimizer.step()


def _on(batch: Batch, device: str) -> Batch:
    return Batch(*(getattr(batch, name).to(device) for name in batch.__dataclass_fields__))


@torch.no_grad()
def validate(generator: Generator, shapes: ShapeData, device: str, count: int = 48) -> dict[str, float]:
    """Numbers on held-out patients' features, every feature given, plain noise.

    Returns
    -------
    Mean absolute error of smooth sphericity and of fill, deviation from white moments, and mean Dice between two draws at the
    same features (1 would mean that noise does nothing).
    """
    rows = shapes.validation_rows[:: max(1, len(shapes.validation_rows) // count)][:count]
    if len(rows) == 0:
        return {}
    asked = _on(shapes.batch(rows, np.random.default_rng(0), augment=False), device)
    present = torch.ones_like(asked.present)
    draws = []
    for seed in (0, 1):
        vector, voxel_noise = generator.noise(len(rows), common.torch_generator(seed, 0))
        with common.autocast(device):
            draws.append(generator(vector.to(device), [n.to(device) for n in voxel_noise], asked.values, present, asked.organ))
    fill, center, second = moments(draws[0], shapes.config)
    smooth = smooth_sphericity(draws[0], asked.semi_axes, shapes.config)
    first, other = (occupancy(draw, shapes.config).flatten(1) for draw in draws)
    dice = 2.0 * torch.minimum(first, other).sum(dim=1) / (first.sum(dim=1) + other.sum(dim=1))
    return {
        "validation_sphericity_error": float((smooth - asked.raw[:, 0]).abs().mean()),
        "validation_fill_error": float((fill - asked.raw[:, 4]).abs().mean()),
        "validation_moments": float(center.abs().mean() + (second - torch.eye(3, device=device)).abs().mean()),
        "validation_dice": float(dice.mean()),
    }


def save_average(out: Path, state: State, shapes: ShapeData) -> None:
    """Write the averaged generator as ``shape.safetensors`` (fp16) and config and statistics as ``shape.json``."""
    weights = common.half(state.average.network.state_dict())
    save_file({name: tensor.contiguous().cpu() for name, tensor in weights.items()}, out / ".shape.safetensors")
    (out / ".shape.safetensors").replace(out / "shape.safetensors")
    about = {"config": to_dict(shapes.config), "statistics": shapes.statistics(), "step": state.step}
    (out / "shape.json").write_text(json.dumps(about), encoding="utf-8")


def export_shape(checkpoint: Path) -> tuple[ShapeConfig, dict[str, Tensor], dict[str, Any]]:
    """Config, fp16 state of the averaged generator, and JSON-ready statistics of a training folder, for a bundle.

    Raises
    ------
    DataError : when the folder holds no trained generator.
    """
    if not (checkpoint / "shape.json").exists() or not (checkpoint / "shape.safetensors").exists():
        raise DataError("checkpoint.missing", f"{checkpoint} holds no trained shape generator.", "Train one first.")
    about = json.loads((checkpoint / "shape.json").read_text(encoding="utf-8"))
    return from_dict(ShapeConfig, about["config"]), load_file(checkpoint / "shape.safetensors"), about["statistics"]
