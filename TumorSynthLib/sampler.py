r"""Sampling the bridge: DBIM with a booting step (few steps), or ancestral as published (many steps).

Both step from t to s < t by

.. math::

   x_s = (1 - m_s) \hat x_0 + m_s y + \sqrt{(\delta_s - \rho^2) / \delta_t} (x_t - (1 - m_t) \hat x_0 - m_t y) + \rho \epsilon

which keeps the marginals of the bridge for every rho (Zheng et al., DBIM, ICLR 2025). Ancestral: rho^2 is the posterior
variance. DBIM: rho = 0, but for the first step, which starts at y, where there is no noise to carry on, and draws the full
variance instead ("booting noise"). Without it all samples would coincide.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from TumorSynthLib.processes.bridge import BrownianBridge

Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""x_t, y (B, C, d, h, w) and t (B,) to the estimate of x0."""


def times(steps: int, spacing: str = "quadratic") -> list[float]:
    """``steps + 1`` times from 1 to 0; quadratic puts more of them near 0, where detail is decided.

    In closed form for Gaussian data, 10 quadratic steps keep 81 % of a standard deviation of 0.3, cosine steps 73 %.

    >>> times(2)
    [1.0, 0.25, 0.0]
    """
    line = [1.0 - n / steps for n in range(steps + 1)]
    return line if spacing == "linear" else [value**2 for value in line]


def guided(conditioned: Denoiser, free: Denoiser, weight: float) -> Denoiser:
    """Classifier-free guidance: x0_free + weight (x0_conditioned - x0_free) (Ho and Salimans, on x0)."""
    if weight == 1.0:
        return conditioned

    def denoise(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        base = free(x, y, t)
        return base + weight * (conditioned(x, y, t) - base)

    return denoise


def sample(
    denoiser: Denoiser,
    bridge: BrownianBridge,
    y: Tensor,
    support: Tensor,
    *,
    steps: int,
    noise: Callable[[], Tensor],
    ancestral: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """A sample of x0 given y.

    Parameters
    ----------
    denoiser : estimates x0.
    bridge : schedule.
    y : latent of the place without the tumor, (B, C, d, h, w).
    support : 1 where the edit can touch the latent, 0 elsewhere, (B, 1, d, h, w).
    steps : evaluations of the denoiser; 1 gives the posterior mean.
    noise : draws a standard normal of y's shape; one generator per sample, so the batch size changes nothing.
    ancestral : the published sampler, with linear time steps.
    progress : called after each step with the number of steps done; may raise to cancel.
    """
    line = times(steps, "linear" if ancestral else "quadratic")
    x = y
    for number, (now, then) in enumerate(pairwise(line)):
        t, s = torch.full_like(y[:, 0, 0, 0, 0], now), torch.full_like(y[:, 0, 0, 0, 0], then)
        x0 = y + support * (denoiser(x, y, t) - y)
        fresh = bridge.posterior_variance(s, t) if ancestral or number == 0 else torch.zeros_like(s)
        x = _step(bridge, x0, x, y, (t, s, fresh), noise, support)
        if progress is not None:
            progress(number + 1)
    return x


def _step(
    bridge: BrownianBridge,
    x0: Tensor,
    x: Tensor,
    y: Tensor,
    at: tuple[Tensor, Tensor, Tensor],
    noise: Callable[[], Tensor],
    support: Tensor,
) -> Tensor:
    t, s, fresh = (value.view(-1, 1, 1, 1, 1) for value in at)
    ahead, behind = bridge.delta(t), bridge.delta(s)
    carried = ((behind - fresh).clamp(min=0.0) / ahead.clamp(min=1e-12)).sqrt() * (ahead > 1e-12)
    moved = (1.0 - s) * x0 + s * y + carried * (x - (1.0 - t) * x0 - t * y)
    if float(fresh.max()) > 0.0:
        moved = moved + fresh.sqrt() * noise() * support
    return moved
