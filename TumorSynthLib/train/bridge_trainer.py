"""One step of a training of the bridge and of the methods that share its network, and what is validated and kept of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from TumorSynthLib.configs import BridgeConfig, RefinerConfig, TrainConfig
from TumorSynthLib.methods import HEALING, METHODS
from TumorSynthLib.nets.refiner import MaskRefiner
from TumorSynthLib.nets.unet import BridgeUNet, Condition
from TumorSynthLib.sampler import processes
from TumorSynthLib.train.balance import GradientBalance
from TumorSynthLib.train.bridge_loss import BridgeLoss
from TumorSynthLib.train.bridge_validation import Validation
from TumorSynthLib.train.codec import fingerprint
from TumorSynthLib.train.common import Average, learning_rate, seeded, set_learning_rate
from TumorSynthLib.train.conditions import Row, draw_condition, stacked
from TumorSynthLib.train.draws import RegionDraws
from TumorSynthLib.train.feature_scales import stored_scales
from TumorSynthLib.train.latents import Hides, LatentCache, Latents, Wanted
from TumorSynthLib.train.team import Team, generators, gradient_part
from TumorSynthLib.train.widening import healing_weights, own_weights, widened

SHARES = {"bridge": 3.0, "diffusion": 1.0, "flow": 3.0}
"""How often a step follows each of the methods. The bridge heals as well, and flow has the mask to learn; what diffusion
learns of tumors the bridge learns too."""
_METHOD_STREAM = 11
WITHOUT_LEVEL = 0.1
"""Share of the tumors that start from the fill although their mean is known, so that nothing need be asked."""
AT_THE_START, HEALING_AT_THE_START = 0.2, 0.8
"""Share of the samples trained where sampling starts, at t = 1: all there is at one step, and the posterior mean. The second
where healing alone is learned, which takes one step."""
ASKED = 0.1
"""Share of the healthy regions whose features are asked for, where the others are healed."""

SCORED = ("healthy", "tumor", "diffusion", "flow")
"""Validations that make the score, which the best weights are chosen by."""


class BridgeTrainer:
    """Network and optimizer of a bridge training.

    Parameters
    ----------
    draws : which regions samples are, by method.
    cache : encodes them.
    validation : held-out regions.
    config, train : of the network and of the training.
    team : the processes that train together.
    base : finished weights to start from, of ``bridge`` and, where there is one, of ``refiner``.
    learns : methods that are trained, or ``HEALING`` alone; weights that anything else uses stay as they are, bit for bit.
    """

    def __init__(
        self,
        draws: Mapping[str, RegionDraws],
        cache: LatentCache,
        validation: Validation,
        config: BridgeConfig,
        train: TrainConfig,
        team: Team,
        base: Mapping[str, Mapping[str, Tensor]] | None = None,
        learns: Sequence[str] = METHODS,
    ) -> None:
        self.healing = tuple(learns) == (HEALING,)
        self.learns = ("bridge",) if self.healing else tuple(method for method in config.methods if method in learns)
        self.draws, self.cache, self.validation = draws, cache, validation
        self.config, self.train, self.team, self.device = config, train, team, team.device
        self.processes = processes(config)
        self.warm = base is not None
        with seeded(train.seed):
            self.network = BridgeUNet(config)
            self.refiner = MaskRefiner(RefinerConfig(features=cache.codec.config.channels[0])) if config.joint else None
        if base is not None:
            self.network.load_state_dict(widened(base["bridge"], self.network))
        self.network.to(self.device)
        self.average = Average(self.network, train.ema)
        self.partly = limited_to(self.network, healing_weights(config) if self.healing else own_weights(config, self.learns))
        parameters = [weight for weight in self.network.parameters() if weight.requires_grad]
        parallel_refiner = None
        if self.refiner is not None:
            if base is not None and "refiner" in base:
                self.refiner.load_state_dict(base["refiner"])
            parallel_refiner = team.wrap(self.refiner.to(self.device))
            self.refiner_average = Average(self.refiner, train.ema)
            parameters += list(self.refiner.parameters())
        self.loss = BridgeLoss(
            team.wrap(self.network), parallel_refiner, self.processes, cache.codec, config, train, self.healing
        )
        self.balance = GradientBalance()
        self.optimizer = torch.optim.AdamW(parameters, train.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)

    def step(self, number: int, share: float) -> dict[str, float]:
        """One step; regions, conditions, times and noise of each sample come from the sample's own generator."""
        rate = learning_rate(self.train, number, share)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        encoded, total, method = self.cache.encoded, 0.0, self._method(number)
        for part in range(self.train.accumulate):
            rngs = generators(self.train.seed, number, self.team.items(self.train, part))
            latents, condition = self._batch(rngs, number, method)
            t, noise = self._noise(rngs, latents)
            with gradient_part(*self.loss.networks(method), last=part == self.train.accumulate - 1):
                loss = self.loss(latents, condition, t, noise).mean() / self.train.accumulate
                loss.backward()
            total += float(loss.detach())
        self.balance.limit(self.network.parameters(), method if len(self.config.methods) > 1 else None)
        before = [weight.detach().clone() for weight, _ in self.partly]
        self.optimizer.step()
        with torch.no_grad():
            for (weight, own), old in zip(self.partly, before, strict=True):
                # Without a gradient a weight would still decay.
                weight.copy_(torch.where(own, weight, old))
        self.average.update(self.network, number)
        if self.refiner is not None:
            self.refiner_average.update(self.refiner, number)
        name = "loss" if method == self.config.methods[0] else f"loss_{method}"
        return {name: total, "rate": rate, "encoded": float(self.cache.encoded - encoded)}

    def _method(self, number: int) -> str:
        """The method that all samples of a step follow."""
        shares = np.array([SHARES[method] for method in self.learns])
        rng = np.random.default_rng((self.train.seed, number, _METHOD_STREAM))
        return self.learns[int(rng.choice(len(shares), p=shares / shares.sum()))]

    def _batch(self, rngs: list[np.random.Generator], number: int, method: str) -> tuple[Latents, Condition]:
        samples = [self.draws[method].sample(rng, number) for rng in rngs]
        rows = [row for row, _ in samples]
        asked = 0.0 if self.healing else ASKED if method == "bridge" else 1.0
        shown = [draw_condition(rng, np.array([row.kind]), len(row.values), asked) for rng, row in zip(rngs, rows, strict=True)]
        present, tumor = (np.concatenate(parts) for parts in zip(*shown, strict=True))
        parts = zip(rngs, samples, tumor, strict=True)
        wanted = [self._wanted(rng, row, item, method if path else "") for rng, (row, item), path in parts]
        latents = self.cache.batch(wanted)
        if method != "flow":
            # A mask that is given tells its shape.
            present[:, len(self.config.tokens) :] = False
        return latents, stacked(rows, latents.masks, present, tumor, method)

    def _wanted(self, rng: np.random.Generator, row: Row, item: Wanted, method: str) -> Wanted:
        """What is encoded of a sample: to heal it without a method; for a tumor most often with its mean as its level."""
        if not method:
            return replace(item, hides=Hides.REGION)
        leveled = self.config.flow_leveled if method == "flow" else self.config.leveled
        if not leveled or rng.random() < WITHOUT_LEVEL:
            return item
        return replace(item, level=row.level)

    def _noise(self, rngs: list[np.random.Generator], latents: Latents) -> tuple[Tensor, Tensor]:
        """Times (B,) on the grid of the bridge's time steps, and noise like the latents."""
        start = HEALING_AT_THE_START if self.healing else AT_THE_START
        drawn = [1.0 if rng.random() < start else rng.random() for rng in rngs]
        t = torch.tensor([math.ceil(u * self.config.steps) / self.config.steps for u in drawn])
        noise = np.stack([rng.standard_normal(latents.x0.shape[1:], dtype=np.float32) for rng in rngs])
        return t.to(self.device), torch.from_numpy(noise).to(self.device)

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs."""
        return {
            **self._about(),
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lengths": dict(self.balance.lengths),
            **({} if self.refiner is None else {"refiner": self.refiner.state_dict()}),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state``."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.balance.lengths = dict(state.get("lengths", {}))
        if self.refiner is not None:
            self.refiner.load_state_dict(state["refiner"])
            self.refiner_average.network.load_state_dict(state["refiner_average"])

    def exported(self) -> dict[str, Any]:
        """Config, feature scales and averaged weights."""
        return {**self._about(), "average": self.average.network.state_dict()}

    def _about(self) -> dict[str, Any]:
        scales = stored_scales(self.validation.conditions.scales)
        about = {"config": asdict(self.config), "scales": scales, "encoder": fingerprint(self.cache.codec)}
        if self.refiner is not None:
            about |= {
                "refiner_config": asdict(self.refiner.config),
                "refiner_average": self.refiner_average.network.state_dict(),
            }
        return about

    def validate(self) -> dict[str, float]:
        """See ``Validation.numbers``."""
        return self.validation.numbers(self.average.network, self.processes)

    def score(self, values: Mapping[str, float]) -> float:
        """Mean of what is explained of healthy regions, and of tumors with their features by each method.

        All methods count: one that is added to a finished bridge would otherwise be exported as it was at the start.
        """
        return float(np.mean([values[name] for name in SCORED if name in values]))

    def panels(self) -> dict[str, np.ndarray]:
        """See ``Validation.panels``."""
        return self.validation.panels(self.average.network, self.processes)


def limited_to(network: nn.Module, own: Mapping[str, Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
    """Let a network learn some of its weights alone.

    Parameters
    ----------
    network : the network.
    own : which of its weights are learned, bool like each weight.

    Returns
    -------
    Parameters of which only a part is learned, each with that part, on its device.
    """
    partly = []
    for name, weight in network.named_parameters():
        part = own[name].to(weight.device)
        if not part.any():
            weight.requires_grad_(False)
        elif not part.all():
            weight.register_hook(lambda gradient, part=part: gradient * part)
            partly.append((weight, part))
    return partly
