r"""Rectified flow of a tumor and its mask together, as in TumorGen: a straight line between data and noise.

.. math::  x_t = (1 - t) x_0 + t \epsilon, \quad v = \epsilon - x_0

Liu et al., TumorGen (2025), Eq. 3, with time running from data at 0 to noise at 1 as in the other processes (theirs runs the
other way). x0 is the latent with the soft mask as one more channel. One deterministic step of the sampler is one Euler step.
"""

from dataclasses import dataclass

from torch import Tensor

from TumorSynthLib.processes.process import Process, column

_MOST = 4.0


@dataclass(frozen=True)
class RectifiedFlow(Process):
    """Schedule, forward process and objective."""

    objective: str = "residual"
    """``velocity`` as published (eps - x0), or ``residual`` (x0 - y), weighted as ``velocity``."""

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """1 - t, 0 and t."""
        return 1.0 - t, t.new_zeros(t.shape), t

    def target(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """What the network is trained to predict."""
        return noise - x0 if self.objective == "velocity" else x0 - y

    def estimate(self, prediction: Tensor, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """x0 from the network's prediction at x_t."""
        return x - column(t) * prediction if self.objective == "velocity" else y + prediction

    def weight(self, t: Tensor) -> Tensor:
        """1, or for ``residual`` what the same error of x0 costs as an error of the velocity, at most 4."""
        if self.objective != "residual":
            return t.new_ones(t.shape)
        return 1.0 / t.square().clamp(min=1.0 / _MOST)
