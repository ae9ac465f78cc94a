r"""What the three processes have in common: a straight Gaussian path from the data x0 to where sampling starts.

.. math::  x_t = a_t x_0 + b_t y + c_t \epsilon, \quad t \in [0, 1]

with x0 at t = 0. The bridge ends in y (a = c = 0, b = 1), diffusion and flow in noise. Everything a sampler or a trainer needs
follows from the three coefficients; a process adds them, and what a network may be trained to predict. Nothing is assumed about
where x0 and y come from.
"""

from abc import ABC, abstractmethod

from torch import Tensor, where

TINY = 1e-12


def column(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1, 1)


class Process(ABC):
    """A process; times t are (B,), everything else (B, C, d, h, w)."""

    @abstractmethod
    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """a, b and c at the times, each (B,)."""

    @abstractmethod
    def target(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """What the network is trained to predict."""

    @abstractmethod
    def estimate(self, prediction: Tensor, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """x0 from the network's prediction at x_t."""

    def weight(self, t: Tensor) -> Tensor:
        """How heavily the squared error of a prediction counts in training, (B,)."""
        return t.new_ones(t.shape)

    def forward(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t for given standard normal noise."""
        a, b, c = map(column, self.coefficients(t))
        return a * x0 + b * y + c * noise

    def posterior_variance(self, s: Tensor, t: Tensor) -> Tensor:
        """Variance of q(x_s | x_t, x0, y) for s < t, (B,); where x_t tells nothing new (the bridge at t = 1), that of x_s."""
        (ahead_a, _, ahead), (behind_a, _, behind) = self.coefficients(t), self.coefficients(s)
        ratio = ahead_a / behind_a.clamp(min=TINY)
        full = (ahead.square() - (ratio * behind).square()) * behind.square() / ahead.square().clamp(min=TINY)
        return where(ahead.square() <= TINY, behind.square(), full.clamp(min=0.0))
