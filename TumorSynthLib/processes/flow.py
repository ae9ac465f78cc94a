r"""Rectified flow of a tumor and its mask together, as in TumorGen: a straight line between data and noise.

.. math::  x_t = (1 - t) x_0 + t \epsilon, \quad v = \epsilon - x_0

Liu et al., TumorGen (2025), Eq. 3, with time running from data at 0 to noise at 1 as in the other processes (theirs runs the
other way). x0 is the latent with the soft mask as one more channel. One deterministic step of the sampler is one Euler step.

The line may start from any distribution that is easy to draw from. A mask is one coherent body, so its channel may start from
smooth noise: from white noise a network has to learn from data that neighbors belong together, and one that has learned little
of it makes ragged masks.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from TumorSynthLib.processes.process import RESIDUAL, Process, column

_MOST = 4.0


@dataclass(frozen=True)
class RectifiedFlow(Process):
    """Schedule, forward process and objective."""

    published: ClassVar = ("velocity",)

    objective: str = "residual"
    """``velocity`` as published (eps - x0), ``residual``, weighted as ``velocity``, or ``preconditioned``."""
    mask_noise: float = 0.0
    """Width in latent cells of the Gaussian that smooths the noise of the last channel, the mask; 0 leaves it white."""

    def shaped(self, noise: Tensor) -> Tensor:
        """Noise (B, C + 1, d, h, w) with a smooth last channel."""
        if self.mask_noise == 0.0:
            return noise
        return torch.cat([noise[:, :-1], smoothed(noise[:, -1:], self.mask_noise)], dim=1)

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


def smoothed(noise: Tensor, width: float) -> Tensor:
    """White noise (B, C, d, h, w) after a Gaussian of a width in cells, still with a variance of 1 everywhere.

    The grid is taken as periodic, so that no place differs from another.
    """
    for axis in (2, 3, 4):
        cells = torch.arange(noise.shape[axis], device=noise.device)
        apart = (cells[:, None] - cells[None]).abs()
        near = torch.minimum(apart, noise.shape[axis] - apart).to(noise.dtype)
        weights = (-0.5 * (near / width).square()).exp()
        weights = weights / weights.square().sum(dim=1, keepdim=True).sqrt()
        with torch.autocast(noise.device.type, enabled=False):
            noise = (noise.movedim(axis, -1) @ weights).movedim(-1, axis)
    return noise
