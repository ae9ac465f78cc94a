r"""The Brownian bridge between a tumor's latent x0 and the latent y of the same place without it.

.. math::  q(x_t | x_0, y) = N((1 - m_t) x_0 + m_t y, \delta_t S), \quad \delta_t = 2 s (m_t - m_t^2)

Li et al., BBDM (CVPR 2023), Eq. 4, as used by Kim et al., with m_t = t for t in [0, 1] so that both ends are exact. S is the
support: latent cells that the edit can touch. Outside it x0 = y, so neither noise nor prediction is spent there.
Nothing is assumed about where x0 and y come from.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def column(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1, 1)


@dataclass(frozen=True)
class BrownianBridge:
    """Schedule, forward process and objective."""

    variance: float = 1.0
    """Scale s; the bridge is widest in the middle, with variance s / 2."""
    objective: str = "residual"
    """``grad`` as published (Eq. 6: m_t (y - x0) + sqrt(delta_t) eps), or ``residual`` (x0 - y)."""

    def delta(self, t: Tensor) -> Tensor:
        """Variance of x_t given both ends; 0 at t = 0 and t = 1."""
        return 2.0 * self.variance * (t - t.square()).clamp(min=0.0)

    def forward(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t for given standard normal noise; t is (B,)."""
        m = column(t)
        return (1.0 - m) * x0 + m * y + column(self.delta(t).sqrt()) * noise

    def target(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """What the network is trained to predict."""
        if self.objective == "grad":
            return column(t) * (y - x0) + column(self.delta(t).sqrt()) * noise
        return x0 - y

    def estimate(self, prediction: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """x0 from the network's prediction at x_t."""
        return x - prediction if self.objective == "grad" else y + prediction

    def posterior_variance(self, s: Tensor, t: Tensor) -> Tensor:
        """Variance of q(x_s | x_t, x0, y) for s < t (BBDM Eq. 13); at t = 1, where x_t = y tells nothing new, it is delta_s."""
        ahead, behind = self.delta(t), self.delta(s)
        ratio = (1.0 - t) / (1.0 - s).clamp(min=1e-12)
        full = (ahead - behind * ratio.square()) * behind / ahead.clamp(min=1e-12)
        return torch.where(ahead <= 1e-12, behind, full.clamp(min=0.0))
