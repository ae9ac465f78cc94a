r"""What the three processes have in common: a straight Gaussian path from the data x0 to where sampling starts.

.. math::  x_t = a_t x_0 + b_t y + c_t \epsilon, \quad t \in [0, 1]

with x0 at t = 0. The bridge ends in y (a = c = 0, b = 1), diffusion and flow in noise. Everything a sampler or a trainer needs
follows from the three coefficients; a process adds them, and what a network may be trained to predict. Nothing is assumed about
where x0 and y come from.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, where

TINY = 1e-12
RESIDUAL, PRECONDITIONED = "residual", "preconditioned"
"""Objectives that any process may have beside its published one; see ``Process.target``."""


def column(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1, 1)


class Process(ABC):
    """A process; times t are (B,), everything else (B, C, d, h, w)."""

    published: ClassVar[tuple[str, ...]]
    """Objectives of the publications."""
    objective: str
    """What the network is trained to predict: one of ``published``, ``residual`` or ``preconditioned``."""

    @abstractmethod
    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """a, b and c at the times, each (B,)."""

    @abstractmethod
    def published_target(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The published objective."""

    @abstractmethod
    def published_estimate(self, prediction: Tensor, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """x0 from what is predicted with the published objective."""

    def target(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor, sd: Tensor | None = None) -> Tensor:
        """What the network is trained to predict.

        ``residual``: x0 - y. ``preconditioned``: what of it x_t itself does not tell (see ``known``), in units of how much
        that is. Near t = 0 x_t tells nearly all, down to the noise of the image; a network that has to say it anew blurs it.
        """
        if self.objective == RESIDUAL:
            return x0 - y
        if self.objective == PRECONDITIONED:
            mean, left, _ = self.known(self.forward(x0, y, t, noise), y, t, sd)
            return (x0 - y - mean) / left.clamp(min=TINY)
        return self.published_target(x0, y, t, noise)

    def estimate(self, prediction: Tensor, x: Tensor, y: Tensor, t: Tensor, sd: Tensor | None = None) -> Tensor:
        """x0 from the network's prediction at x_t."""
        if self.objective == RESIDUAL:
            return y + prediction
        if self.objective == PRECONDITIONED:
            mean, left, _ = self.known(x, y, t, sd)
            return y + mean + left * prediction
        return self.published_estimate(prediction, x, y, t)

    def shown(self, x: Tensor, y: Tensor, t: Tensor, sd: Tensor | None = None) -> Tensor:
        """x_t as the network sees it: for ``preconditioned`` without what y tells of it, with a variance of 1."""
        return self.known(x, y, t, sd)[2] if self.objective == PRECONDITIONED else x

    def known(self, x: Tensor, y: Tensor, t: Tensor, sd: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        r"""What x_t alone tells of x0 - y, if that is :math:`N(0, \sigma^2)`.

        .. math::

           s = x_t - (a + b) y, \quad v = a^2 \sigma^2 + c^2, \quad
           E[x_0 - y | s] = \frac{a \sigma^2}{v} s, \quad Var[x_0 - y | s] = \frac{\sigma^2 c^2}{v}

        Karras et al., EDM (NeurIPS 2022, Eq. 7), for any of the processes; for bridges as Zhou et al., DDBM (ICLR 2024).

        Returns
        -------
        That mean, the root of that variance, and s over the root of v; where v is 0, as the bridge starts, 0, sigma and 0.
        """
        sd = torch.ones_like(column(t)) if sd is None else sd
        a, b, c = map(column, self.coefficients(t))
        own, spread = x - (a + b) * y, (a * sd).square() + c.square()
        told = spread > TINY
        safe = where(told, spread, torch.ones_like(spread))
        mean = where(told, a * sd.square() / safe, torch.zeros_like(safe)) * own
        return mean, where(told, sd * c / safe.sqrt(), sd + torch.zeros_like(safe)), own * told / safe.sqrt()

    def weight(self, t: Tensor) -> Tensor:
        """How heavily the squared error of a prediction counts in training, (B,)."""
        return t.new_ones(t.shape)

    def shaped(self, noise: Tensor) -> Tensor:
        """The process's own noise from standard normal noise; the noise itself, unless its ends have correlated noise."""
        return noise

    def forward(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t for given noise of the process."""
        a, b, c = map(column, self.coefficients(t))
        return a * x0 + b * y + c * noise

    def posterior_variance(self, s: Tensor, t: Tensor) -> Tensor:
        """Variance of q(x_s | x_t, x0, y) for s < t, (B,); where x_t tells nothing new (the bridge at t = 1), that of x_s."""
        (ahead_a, _, ahead), (behind_a, _, behind) = self.coefficients(t), self.coefficients(s)
        ratio = ahead_a / behind_a.clamp(min=TINY)
        full = (ahead.square() - (ratio * behind).square()) * behind.square() / ahead.square().clamp(min=TINY)
        return where(ahead.square() <= TINY, behind.square(), full.clamp(min=0.0))
