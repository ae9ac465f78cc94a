r"""The Brownian bridge between a tumor's latent x0 and the latent y of the same place without it.

.. math::  q(x_t | x_0, y) = N((1 - m_t) x_0 + m_t y, \delta_t I), \quad \delta_t = 2 s (m_t - m_t^2)

Li et al., BBDM (CVPR 2023), Eq. 4, as used by Kim et al., with m_t = t for t in [0, 1] so that both ends are exact.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from TumorSynthLib.processes.process import Process, column


@dataclass(frozen=True)
class BrownianBridge(Process):
    """Schedule, forward process and objective."""

    published: ClassVar = ("grad",)

    variance: float = 1.0
    """Scale s; the bridge is widest in the middle, with variance s / 2."""
    objective: str = "residual"
    """``grad`` as published (Eq. 6: m_t (y - x0) + sqrt(delta_t) eps), ``residual`` or ``preconditioned``."""

    def delta(self, t: Tensor) -> Tensor:
        """Variance of x_t given both ends; 0 at t = 0 and t = 1."""
        return 2.0 * self.variance * (t - t.square()).clamp(min=0.0)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """1 - t, t and the root of delta_t."""
        return 1.0 - t, t, self.delta(t).sqrt()

    def published_target(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Eq. 6."""
        return column(t) * (y - x0) + column(self.delta(t).sqrt()) * noise

    def published_estimate(self, prediction: Tensor, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """The inverse of Eq. 6."""
        return x - prediction
