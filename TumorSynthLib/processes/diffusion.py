r"""Conditional diffusion inside a mask, as in DiffTumor, with the latent y of the place without the tumor as condition.

.. math::  x_t = \cos(\tfrac{\pi}{2} t) x_0 + \sin(\tfrac{\pi}{2} t) \epsilon

Chen et al., DiffTumor (CVPR 2024), with the cosine schedule in continuous time (variance preserving, as latents are
standardized), so that any number of steps may be taken: 4 as DiffTumor's early-stage model, 50 as its late-stage one.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from TumorSynthLib.processes.process import RESIDUAL, Process, column

_LAST = 0.99
"""Where the epsilon objective's schedule ends: at pure noise, predicted noise tells nothing about x0."""
_MOST = 4.0


@dataclass(frozen=True)
class Diffusion(Process):
    """Schedule, forward process and objective."""

    published: ClassVar = ("epsilon", "v")

    objective: str = "residual"
    """``epsilon`` as published, ``v`` (Salimans and Ho, 2022, Eq. 11), ``residual``, weighted as ``v``, or
    ``preconditioned``."""

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cosine, 0 and sine."""
        angle = 0.5 * math.pi * t * (_LAST if self.objective == "epsilon" else 1.0)
        return angle.cos(), t.new_zeros(t.shape), angle.sin()

    def published_target(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The noise, or v."""
        a, _, c = map(column, self.coefficients(t))
        return noise if self.objective == "epsilon" else a * noise - c * x0

    def published_estimate(self, prediction: Tensor, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """x0 from the noise, or from v."""
        a, _, c = map(column, self.coefficients(t))
        return (x - c * prediction) / a if self.objective == "epsilon" else a * x - c * prediction

    def weight(self, t: Tensor) -> Tensor:
        """1, or for ``residual`` what the same error of x0 costs as an error of v, at most 4."""
        if self.objective != RESIDUAL:
            return t.new_ones(t.shape)
        return (1.0 / self.coefficients(t)[2].square().clamp(min=1.0 / _MOST)).clamp(max=_MOST)
