"""One step of a shape training, and what is validated, kept and shown of it.

Every other sample starts from a real shape's own direction in the space of principal components and must become that shape, so
that noise spreads over the shapes that exist; the others start from plain noise. The critic judges both (hinge loss, matched
against mismatched conditions, R1 every 16th step), and both must have the features they were asked for, by differentiable
geometry in mm.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from TumorSynthLib.configs import TrainConfig, to_dict
from TumorSynthLib.nets.shape_gan import CRITIC_GROUP, Discriminator, Generator, fixed_length
from TumorSynthLib.train.common import Average, autocast, learning_rate, seeded, set_learning_rate, torch_generator
from TumorSynthLib.train.shape_data import Batch, ShapeData
from TumorSynthLib.train.shape_directions import Directions, fitted_directions, learned_directions
from TumorSynthLib.train.shape_losses import R1_EVERY, CriticLoss, feature_losses, surface_l1
from TumorSynthLib.train.shape_validation import ShapeValidation
from TumorSynthLib.train.team import Team, generators, gradient_part

WEIGHTS = {"reconstruct": 10.0, "critic": 0.1, "sphericity": 0.15, "fill": 0.15, "moments": 1.0}
"""Weights of the generator's losses."""
CRITIC_FROM = 60
"""Step at which the critic starts; before, the generator is not worth judging."""
JITTER = 0.15
"""Standard deviation of what is added to a real shape's noise vector, so that its neighborhood makes similar shapes."""


class ShapeTrainer:
    """Networks and optimizers of a shape training.

    Parameters
    ----------
    shapes : real shapes.
    train : settings.
    team : the processes that train together.
    base : a finished generator's weights to start from.
    """

    def __init__(self, shapes: ShapeData, train: TrainConfig, team: Team, base: Mapping[str, Tensor] | None = None) -> None:
        self.shapes, self.train, self.team, self.device, self.warm = shapes, train, team, team.device, base is not None
        with seeded(train.seed):
            self.generator, self.critic = Generator(shapes.config), Discriminator(shapes.config)
        if base is not None:
            self.generator.load_state_dict(base)
            self.directions = learned_directions(self.generator)
        else:
            self.directions = fitted_directions(shapes, self.generator, train.seed)
        self.validation = ShapeValidation(shapes, self.device, train.precision)
        self.generator.to(self.device)
        self.critic.to(self.device)
        self.average = Average(self.generator, train.ema)
        self.parallel = team.wrap(self.generator)
        self.parallel_critic = team.wrap(CriticLoss(self.critic, train.precision))
        self.makers, self.judges = (
            torch.optim.AdamW(network.parameters(), lr=train.learning_rate, betas=(0.5, 0.99), weight_decay=1e-3)
            for network in (self.generator, self.critic)
        )

    def step(self, number: int, share: float) -> dict[str, float]:
        """One update of the generator, and then of the critic once it has started; returns the losses."""
        judging = number >= CRITIC_FROM
        for optimizer in (self.makers, self.judges):
            set_learning_rate(optimizer, learning_rate(self.train, number, share))
            optimizer.zero_grad(set_to_none=True)
        parts = []
        for part in range(self.train.accumulate):
            rngs = generators(self.train.seed, number, self.team.items(self.train, part))
            with gradient_part(self.parallel, self.parallel_critic, last=part == self.train.accumulate - 1):
                parts.append(self._part(rngs, number, judging))
        _update(self.makers, self.generator)
        if judging:
            _update(self.judges, self.critic)
        self.average.update(self.generator, number + 1)
        return {name: sum(values[name] for values in parts) / len(parts) for name in parts[0]}

    def _part(self, rngs: list[np.random.Generator], number: int, judging: bool) -> dict[str, float]:
        """Gradients of one part of the step."""
        rows = np.array([rng.choice(self.shapes.train_rows) for rng in rngs])
        real = self.shapes.batch(rows, rngs).to(self.device)
        own = torch.arange(len(rows)) % 2 == 0
        vector, voxel_noise = self._noise(rngs, real, own)
        with autocast(self.device, self.train.precision):
            fake = self.parallel(vector, voxel_noise, real.values, real.present, real.organ)
        losses = feature_losses(fake, real, self.shapes)
        losses["reconstruct"] = surface_l1(fake[own], real.field[own])
        # The critic has judged nothing yet at its first step.
        if judging and number > CRITIC_FROM:
            losses["critic"] = self._deceived(fake, real)
        total = torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum()
        (total / self.train.accumulate).backward()
        if judging:
            losses["critic_loss"] = self.parallel_critic(real, fake.detach(), others(len(rows)), number % R1_EVERY == 0)
            (losses["critic_loss"] / self.train.accumulate).backward()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _noise(self, rngs: list[np.random.Generator], real: Batch, own: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Noise of each sample by its own generator; a real shape's direction where ``own``."""
        drawn = [self.generator.noise(1, torch_generator(int(rng.integers(2**62)))) for rng in rngs]
        vector = torch.cat([one for one, _ in drawn])
        jitter = torch.from_numpy(np.stack([rng.standard_normal(vector.shape[1], dtype=np.float32) for rng in rngs]))
        directed = fixed_length(self.directions.of(real.field.cpu()) + JITTER * jitter)
        vector = torch.where(own[:, None], directed, vector)
        voxel_noise = [torch.cat(level).to(self.device) for level in zip(*(levels for _, levels in drawn), strict=True)]
        return vector.to(self.device), voxel_noise

    def _deceived(self, fake: Tensor, real: Batch) -> Tensor:
        """How far the critic is from taking the fakes for real; its own weights get no gradient from this."""
        self.critic.requires_grad_(False)
        with autocast(self.device, self.train.precision):
            judged = self.critic.judge(self.critic(fake), real.values, real.present, real.organ)
        self.critic.requires_grad_(True)
        return -judged.mean()

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs."""
        parts = ("generator", "critic", "makers", "judges")
        return {
            **{name: getattr(self, name).state_dict() for name in parts},
            **self._about(),
            "average": self.average.network.state_dict(),
            "directions": {"mean": self.directions.mean, "basis": self.directions.basis},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state``."""
        for name in ("generator", "critic", "makers", "judges"):
            getattr(self, name).load_state_dict(state[name])
        self.average.network.load_state_dict(state["average"])
        if "directions" in state:
            self.directions = Directions(**state["directions"])

    def exported(self) -> dict[str, Any]:
        """Config, statistics and averaged weights."""
        return {**self._about(), "average": self.average.network.state_dict()}

    def _about(self) -> dict[str, Any]:
        known = self.shapes.known is not None
        return {"config": to_dict(self.shapes.config), "statistics": self.shapes.statistics(), "fine_tuned": known}

    def validate(self) -> dict[str, float]:
        """See ``ShapeValidation.numbers``."""
        return self.validation.numbers(self.average.network)

    def score(self, values: Mapping[str, float]) -> float:
        """Less the errors of sphericity and fill in standard deviations, and of the moments."""
        sphericity, fill = (float(self.shapes.std[column]) for column in (0, 4))
        errors = (values["validation_sphericity_error"] / sphericity, values["validation_fill_error"] / fill)
        return -sum(errors) - values["validation_moments"]

    def panels(self) -> dict[str, np.ndarray]:
        """See ``ShapeValidation.panels``."""
        return self.validation.panels(self.average.network)


def others(count: int) -> Tensor:
    """For each sample another one of the group that the critic looks at together."""
    group = CRITIC_GROUP if count % CRITIC_GROUP == 0 else count
    index = torch.arange(count)
    return index - index % group + (index + 1) % group


def _update(optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    # One step without a finite gradient must not spoil the weights.
    if bool(torch.isfinite(norm)):
        optimizer.step()
