"""Train the latent Brownian bridge on tumors, on parts of tumors, and on healthy regions with and without their features."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.conditioning import filled_region, latent_masks, without_region
from TumorSynthLib.configs import DOMAINS, BridgeConfig, CodecConfig, TrainConfig
from TumorSynthLib.dataset import HEALTHY, TUMOR, TrainingData, load_training_data
from TumorSynthLib.errors import DataError
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.nets.unet import BridgeUNet, Condition
from TumorSynthLib.processes.bridge import BrownianBridge
from TumorSynthLib.scaling import fit_scale
from TumorSynthLib.train.common import (
    Average,
    Clock,
    Log,
    autocast,
    is_validation,
    learning_rate,
    load_checkpoint,
    numpy_generator,
    save_checkpoint,
    set_learning_rate,
    steps,
    torch_generator,
)

MIN_REGIONS = 150
"""Domains with fewer regions borrow the feature scales of all domains with their unit."""


@dataclass(frozen=True, eq=False)
class Latents:
    """A batch of encoded regions."""

    x0: Tensor
    """Latent of the image, (B, C, d, h, w)."""
    y: Tensor
    """Latent of the filled image."""
    masks: Tensor
    """Soft masks, (B, 2, d, h, w)."""
    support: Tensor
    """Support of the edit, (B, 1, d, h, w)."""


class LatentCache:
    """Encodes each region when it is first used and keeps it in half precision.

    Parameters
    ----------
    data, codec, device : regions, and what encodes them where.
    crop : edge in voxels of the part of the working grid that is kept, at a place drawn per region. The network is
        convolutional; three quarters of the edge cost less than half.
    """

    def __init__(self, data: TrainingData, codec: Codec, device: str, crop: int) -> None:
        self.data, self.codec, self.device, self.crop = data, codec.eval(), device, crop
        self.items: dict[int, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    @torch.no_grad()
    def _encode(self, indices: list[int]) -> None:
        v = torch.from_numpy(np.stack([self.data.patch(n) for n in indices]))[:, None].to(self.device)
        mask = torch.from_numpy(np.stack([self.data.mask(n) for n in indices]))[:, None].to(self.device)
        hidden = filled_region(mask)
        pair = torch.cat([v, without_region(v, hidden)], dim=1)
        places = [self._place(n, one) for n, one in zip(indices, mask, strict=True)]
        pair, mask, hidden = (
            torch.stack([one[place] for one, place in zip(t, places, strict=True)]) for t in (pair, mask, hidden)
        )
        with autocast(self.device):
            z = self.codec.encode(torch.cat([pair[:, :1], pair[:, 1:]]))
        x0, y = z.half().cpu().chunk(2)
        masks, support = latent_masks(mask, hidden, self.codec.config.factor)
        for row, n in enumerate(indices):
            self.items[n] = (x0[row].clone(), y[row].clone(), masks[row].half().cpu(), support[row].half().cpu())

    def _place(self, index: int, mask: Tensor) -> tuple[slice, ...]:
        """Where the crop of a region is: anywhere on the latent grid that has some of the mask in it."""
        factor, free = self.codec.config.factor, self.data.work.size - self.crop
        rng = np.random.default_rng(index)
        place: tuple[slice, ...] = (slice(None),)
        for _ in range(8):
            start = rng.integers(0, free // factor + 1, 3) * factor
            place = (slice(None), *(slice(int(s), int(s) + self.crop) for s in start))
            if bool(mask[place].any()):
                break
        return place

    def batch(self, indices: list[int]) -> Latents:
        """The regions with the given indices."""
        missing = [n for n in dict.fromkeys(indices) if n not in self.items]
        for start in range(0, len(missing), 8):
            self._encode(missing[start : start + 8])
        parts = zip(*(self.items[n] for n in indices), strict=True)
        return Latents(*(torch.stack(part).float().to(self.device) for part in parts))


class Conditions:
    """Standardized features and domains of all regions."""

    def __init__(self, data: TrainingData, tokens: tuple[str, ...]) -> None:
        self.data = data
        columns = [data.names.index(name) for name in tokens]
        raw = data.features[:, columns]
        ids = [domain.id for domain in DOMAINS]
        region_domain = [data.images[region.image].domain for region in data.regions]
        self.domain = np.array([ids.index(domain.id) for domain in region_domain])
        self.spacing = np.array([region.spacing for region in data.regions], dtype=np.float32)
        self.kind = np.array([region.kind for region in data.regions])
        self.values = np.zeros_like(raw)
        self.known = np.isfinite(raw)
        for index, members in domain_members(data).items():
            rows = np.flatnonzero(self.domain == index)
            for column in range(raw.shape[1]):
                scale = fit_scale(raw[members, column])
                for row in rows[self.known[rows, column]]:
                    self.values[row, column] = scale.score(float(raw[row, column]))

    def batch(self, indices: list[int], masks: Tensor, present: np.ndarray, tumor: np.ndarray) -> Condition:
        """Condition of a batch; features that are unknown count as absent."""
        device = masks.device
        return Condition(
            masks,
            torch.from_numpy(self.values[indices]).to(device),
            torch.from_numpy(present & self.known[indices]).to(device),
            torch.from_numpy(tumor).to(device),
            torch.from_numpy(self.domain[indices]).to(device),
            torch.from_numpy(self.spacing[indices]).to(device),
        )


def domain_members(data: TrainingData) -> dict[int, np.ndarray]:
    """For each domain with regions, the regions that its feature scales come from."""
    names = np.array([data.images[region.image].domain.id for region in data.regions])
    units = np.array([data.images[region.image].domain.unit for region in data.regions])
    members = {}
    for index, domain in enumerate(DOMAINS):
        own = np.flatnonzero(names == (domain.trained_as or domain.id))
        members[index] = own if own.size >= MIN_REGIONS else np.flatnonzero(units == domain.unit)
    return members


def region_weights(conditions: Conditions, chosen: np.ndarray) -> np.ndarray:
    """How often each region is drawn: half tumors and parts, half healthy; rare domains more often than their share."""
    weights = np.zeros(len(conditions.kind))
    for healthy in (False, True):
        rows = chosen[(conditions.kind[chosen] == HEALTHY) == healthy]
        counts = np.bincount(conditions.domain[rows], minlength=len(DOMAINS)).astype(float)
        line = counts[conditions.domain[rows]] ** -0.5
        weights[rows] = 0.5 * line / max(line.sum(), 1e-12)
    return np.asarray(weights / weights.sum())


def draw_condition(rng: np.random.Generator, kind: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which features each sample is given, and whether it takes the tumor path.

    Healthy regions take the healthy path half the time, else the tumor path with most of their features: any region
    teaches what a feature looks like. Tumors lose all features in 15 % (the average tumor, for guidance), keep each
    with a probability of 0.85, or with one drawn for the sample, so that any subset may be asked for.
    """
    size = len(kind)
    tumor = (kind != HEALTHY) | (rng.random(size) < 0.5)
    keep = np.where(rng.random(size) < 0.6, 0.85, rng.random(size))
    keep = np.where(kind == HEALTHY, np.maximum(keep, 0.5), keep)
    present = rng.random((size, count)) < keep[:, None]
    present &= ~((kind != HEALTHY) & (rng.random(size) < 0.15))[:, None]
    return present & tumor[:, None], tumor


class BridgeTrainer:
    """Holds the network, its optimizer and their states."""

    def __init__(self, config: BridgeConfig, train: TrainConfig, device: str) -> None:
        torch.manual_seed(train.seed)
        self.config, self.train, self.device = config, train, device
        self.network = BridgeUNet(config).to(device)
        self.average = Average(self.network, train.ema)
        self.bridge = BrownianBridge(config.variance, config.objective)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), train.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)

    def loss(self, network: torch.nn.Module, latents: Latents, condition: Condition, t: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error on the support, three times as heavy inside the mask; per sample, (B,)."""
        noise = noise * latents.support
        x0 = latents.y + latents.support * (latents.x0 - latents.y)
        x = self.bridge.forward(x0, latents.y, t, noise)
        with autocast(self.device):
            prediction = network(x, latents.y, t, condition)
        error = (prediction.float() - self.bridge.target(x0, latents.y, t, noise)).square().mean(dim=1, keepdim=True)
        weight = latents.support * (0.5 + condition.mask[:, :1])
        return (weight * error).sum(dim=(1, 2, 3, 4)) / weight.sum(dim=(1, 2, 3, 4)).clamp(min=1e-6)

    def step(self, latents: Latents, condition: Condition, number: int, share: float) -> dict[str, float]:
        """One optimizer step; times and noise come from the step's own generator."""
        rate = learning_rate(self.train, number, share)
        set_learning_rate(self.optimizer, rate)
        generator = torch_generator(self.train.seed, number)
        size = latents.x0.shape[0]
        # One in five samples is trained where sampling starts, at t = 1: all there is at one step, and the posterior mean.
        t = torch.rand(size, generator=generator)
        t = torch.where(torch.rand(size, generator=generator) < 0.2, torch.ones(size), t).to(self.device)
        noise = torch.randn(latents.x0.shape, generator=generator).to(self.device)
        loss = self.loss(self.network, latents, condition, t, noise).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.network, number)
        return {"loss": float(loss.detach()), "rate": rate}

    def state(self, step: int, seconds: float) -> dict[str, Any]:
        """Everything a resumed run needs."""
        return {
            "step": step,
            "seconds": seconds,
            "config": asdict(self.config),
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> int:
        """Restore a checkpoint; returns the next step."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])


@torch.no_grad()
def validate(trainer: BridgeTrainer, cache: LatentCache, conditions: Conditions, held: np.ndarray) -> dict[str, float]:
    """Share of the masked error of the harmonic fill that one step explains, on held-out patients (1 is perfect, 0 nothing).

    ``healthy``: the healthy path on healthy regions. ``tumor``: tumors and parts with their features. ``free``: without.
    ``swapped``: with the features of another region; control shows as tumor > free > swapped.
    """
    result = {}
    healthy, tumors = held[conditions.kind[held] == HEALTHY][::3][:64], held[conditions.kind[held] != HEALTHY][:64]
    plans = {
        "healthy": (healthy, 0, False),
        "tumor": (tumors, 1, True),
        "free": (tumors, 0, True),
        "swapped": (tumors, 2, True),
    }
    for name, (rows, features, path) in plans.items():
        if len(rows) == 0:
            continue
        latents = cache.batch(rows.tolist())
        present = np.full((len(rows), len(trainer.config.tokens)), features > 0)
        source = np.roll(rows, len(rows) // 2) if features == 2 else rows
        condition = conditions.batch(source.tolist(), latents.masks, present, np.full(len(rows), path))
        with autocast(trainer.device):
            prediction = trainer.average.network(latents.y, latents.y, torch.ones(len(rows), device=trainer.device), condition)
        error = (trainer.bridge.estimate(prediction, latents.y, latents.y) - latents.x0).square()
        weight = latents.masks[:, :1]
        base = (weight * (latents.y - latents.x0).square()).sum()
        result[name] = float(1.0 - (weight * error).sum() / base)
    return result


def load_codec(checkpoint: Path, device: str) -> Codec:
    """The averaged codec of a finished codec training.

    Raises
    ------
    DataError : when there is none.
    """
    state = load_checkpoint(checkpoint)
    if state is None:
        raise DataError("codec.missing", f"There is no codec checkpoint in {checkpoint}.", "Train the codec first.")
    codec = Codec(CodecConfig(**state["config"])).to(device)
    codec.load_state_dict(state["average"])
    return codec.eval()


def index_batches(weights: np.ndarray, batch: int, seed: int, start: int) -> Iterator[tuple[list[int], np.random.Generator]]:
    """Indices of each batch, and the generator of its step."""
    step, rows = start, np.flatnonzero(weights)
    while True:
        rng = numpy_generator(seed, step)
        yield rng.choice(rows, size=batch, p=weights[rows]).tolist(), rng
        step += 1


def train_bridge(
    data: Path,
    codec: Path,
    out: Path,
    minutes: float,
    *,
    device: str = "cpu",
    seed: int = 0,
    batch: int = 8,
    crop: int = 48,
    config: BridgeConfig | None = None,
) -> Path:
    """Train until the time is over; resumes from ``out/checkpoint.pt``; logs to ``out/log.jsonl``.

    Parameters
    ----------
    data : training file of ``prepare``, with regions.
    codec : folder of the codec's checkpoint.
    out : folder for checkpoint and log.
    minutes : wall time of this call.
    device : torch device.
    seed : of weights, order and noise.
    batch : regions per step.
    crop : edge in voxels of what is trained on; finish with the whole working grid.
    config : network; by default the shipped one.
    """
    content = load_training_data(data)
    if not content.regions:
        raise DataError("data.regions", f"{data} has no regions.", "Make it with `tumorsynth prepare`.")
    cache = LatentCache(content, load_codec(codec, device), device, crop)
    trainer = BridgeTrainer(config or BridgeConfig(), TrainConfig(minutes, batch, 4e-4, seed=seed), device)
    conditions = Conditions(content, trainer.config.tokens)
    held = np.array([is_validation(content.images[region.image].patient) for region in content.regions])
    weights = region_weights(conditions, np.flatnonzero(~held))
    before = load_checkpoint(out)
    start = trainer.load(before) if before else 0
    log, clock = Log(out), Clock(minutes)
    source = index_batches(weights, batch, seed, start)
    last = start
    for number in steps(start, clock):
        began = time.monotonic()
        indices, rng = next(source)
        latents = cache.batch(indices)
        present, tumor = draw_condition(rng, conditions.kind[indices], len(trainer.config.tokens))
        values = trainer.step(latents, conditions.batch(indices, latents.masks, present, tumor), number, clock.share)
        last = number + 1
        if number % 25 == 0:
            log.write(step=number, **values, seconds=time.monotonic() - began, encoded=len(cache.items))
        if last % trainer.train.validate_every == 0:
            log.write(step=last, **validate(trainer, cache, conditions, np.flatnonzero(held)))
            save_checkpoint(out, trainer.state(last, clock.elapsed))
    save_checkpoint(out, trainer.state(last, clock.elapsed))
    log.write(step=last, **validate(trainer, cache, conditions, np.flatnonzero(held)))
    return out / "checkpoint.pt"


def tumor_rows(data: TrainingData) -> np.ndarray:
    """Which regions are whole tumors, bool (n,)."""
    return np.array([region.kind == TUMOR for region in data.regions])
