"""One step of a bridge training, and what is validated, kept and shown of it."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.configs import BridgeConfig, TrainConfig
from TumorSynthLib.nets.unet import BridgeUNet, Condition
from TumorSynthLib.processes.bridge import BrownianBridge
from TumorSynthLib.train.bridge_validation import Validation
from TumorSynthLib.train.codec import fingerprint
from TumorSynthLib.train.common import Average, autocast, learning_rate, seeded, set_learning_rate
from TumorSynthLib.train.conditions import draw_condition, stacked
from TumorSynthLib.train.draws import RegionDraws
from TumorSynthLib.train.feature_scales import stored_scales
from TumorSynthLib.train.latents import LatentCache, Latents
from TumorSynthLib.train.team import Team, generators, gradient_part

AT_THE_START = 0.2
"""Share of the samples trained where sampling starts, at t = 1: all there is at one step, and the posterior mean."""


class BridgeTrainer:
    """Network and optimizer of a bridge training.

    Parameters
    ----------
    draws : which regions samples are.
    cache : encodes them.
    validation : held-out regions.
    config, train : of the network and of the training.
    team : the processes that train together.
    base : finished weights to start from.
    """

    def __init__(
        self,
        draws: RegionDraws,
        cache: LatentCache,
        validation: Validation,
        config: BridgeConfig,
        train: TrainConfig,
        team: Team,
        base: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.draws, self.cache, self.validation = draws, cache, validation
        self.config, self.train, self.team, self.device = config, train, team, team.device
        self.warm = base is not None
        with seeded(train.seed):
            self.network = BridgeUNet(config)
        if base is not None:
            self.network.load_state_dict(base)
        self.network.to(self.device)
        self.average = Average(self.network, train.ema)
        self.bridge = BrownianBridge(config.variance, config.objective)
        self.parallel = team.wrap(self.network)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), train.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)

    def step(self, number: int, share: float) -> dict[str, float]:
        """One step; regions, conditions, times and noise of each sample come from the sample's own generator."""
        rate = learning_rate(self.train, number, share)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        encoded, total = self.cache.encoded, 0.0
        for part in range(self.train.accumulate):
            rngs = generators(self.train.seed, number, self.team.items(self.train, part))
            latents, condition = self._batch(rngs, number)
            t, noise = self._noise(rngs, latents)
            with gradient_part(self.parallel, last=part == self.train.accumulate - 1):
                loss = self.loss(latents, condition, t, noise).mean() / self.train.accumulate
                loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.network, number)
        return {"loss": total, "rate": rate, "encoded": float(self.cache.encoded - encoded)}

    def _batch(self, rngs: list[np.random.Generator], number: int) -> tuple[Latents, Condition]:
        samples = [self.draws.sample(rng, number) for rng in rngs]
        rows = [row for row, _ in samples]
        latents = self.cache.batch([wanted for _, wanted in samples])
        shown = [draw_condition(rng, np.array([row.kind]), len(row.values)) for rng, row in zip(rngs, rows, strict=True)]
        present, tumor = (np.concatenate(parts) for parts in zip(*shown, strict=True))
        return latents, stacked(rows, latents.masks, present, tumor)

    def _noise(self, rngs: list[np.random.Generator], latents: Latents) -> tuple[Tensor, Tensor]:
        """Times (B,) on the grid of the bridge's time steps, and noise like the latents."""
        drawn = [1.0 if rng.random() < AT_THE_START else rng.random() for rng in rngs]
        t = torch.tensor([math.ceil(u * self.config.steps) / self.config.steps for u in drawn])
        noise = np.stack([rng.standard_normal(latents.x0.shape[1:], dtype=np.float32) for rng in rngs])
        return t.to(self.device), torch.from_numpy(noise).to(self.device)

    def loss(self, latents: Latents, condition: Condition, t: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error on the support, three times as heavy inside the mask; per sample, (B,)."""
        noise = noise * latents.support
        x0 = latents.y + latents.support * (latents.x0 - latents.y)
        x = self.bridge.forward(x0, latents.y, t, noise)
        with autocast(self.device, self.train.precision):
            prediction = self.parallel(x, latents.y, t, condition)
        error = (prediction.float() - self.bridge.target(x0, latents.y, t, noise)).square().mean(dim=1, keepdim=True)
        weight = latents.support * (0.5 + condition.mask[:, :1])
        return (weight * error).sum(dim=(1, 2, 3, 4)) / weight.sum(dim=(1, 2, 3, 4)).clamp(min=1e-6)

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs."""
        return {
            **self._about(),
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state``."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])

    def exported(self) -> dict[str, Any]:
        """Config, feature scales and averaged weights."""
        return {**self._about(), "average": self.average.network.state_dict()}

    def _about(self) -> dict[str, Any]:
        scales = stored_scales(self.draws.conditions.scales)
        return {"config": asdict(self.config), "scales": scales, "encoder": fingerprint(self.cache.codec)}

    def validate(self) -> dict[str, float]:
        """See ``Validation.numbers``."""
        return self.validation.numbers(self.average.network, self.bridge)

    def score(self, values: Mapping[str, float]) -> float:
        """Mean of what is explained of healthy regions and of tumors with their features."""
        return float(np.mean([values[name] for name in ("healthy", "tumor") if name in values]))

    def panels(self) -> dict[str, np.ndarray]:
        """See ``Validation.panels``."""
        return self.validation.panels(self.average.network, self.bridge)
