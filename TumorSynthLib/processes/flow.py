r"""Rectified flow of a tumor and its mask together, as in TumorGen: a straight line between data and noise.

.. math::  x_t = (1 - t) x_0 + t \epsilon, \quad v = \epsilon - x_0

Liu et al., TumorGen (2025), Eq. 3, with time running from data at 0 to noise at 1 as in the other processes (theirs runs the
other way). x0 is the latent with the soft mask as one more channel. One deterministic step of the sampler is one Euler step.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from TumorSynthLib.processes.process import RESIDUAL, Process, column

_MOST = 4.0


@dataclass(frozen=True)
class RectifiedFlow(Process):
    """Schedule, forward process and objective."""

    published: ClassVar = ("velocity",)

    objective: str = "residual"
    """``velocity`` as published (eps - x0), ``residual``, weighted as ``velocity``, or ``preconditioned``."""

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """1 - t, 0 and t."""
        return 1.0 - t, t.new_zeros(t.shape), t

    def published_target(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The velocity, Eq. 3."""
        return noise - x0

    def published_estimate(self, prediction: Tensor, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """x0 from the velocity."""
        return x - column(t) * prediction

    def weight(self, t: Tensor) -> Tensor:
        """1, or for ``residual`` what the same error of x0 costs as an error of the velocity, at most 4."""
        if self.objective != RESIDUAL:
            return t.new_ones(t.shape)
        return 1.0 / t.square().clamp(min=1.0 / _MOST)
