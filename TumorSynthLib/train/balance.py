"""Gradients of several methods that train one network, brought to the same usual length."""

import math
from collections.abc import Iterable

import torch
from torch import nn

_SHARE = 0.02
"""Share of a new gradient in the usual length of its method's."""
_TINY = 1e-12


class GradientBalance:
    """What limits the gradient of each step.

    AdamW divides by what gradients usually are. The losses of diffusion and flow are ten times the bridge's, whose steps would
    otherwise hardly count.
    """

    def __init__(self) -> None:
        self.lengths: dict[str, float] = {}
        """Usual length of the gradients of each method."""

    def limit(self, weights: Iterable[nn.Parameter], method: str | None) -> None:
        """Clip the gradient to length 1; one of several methods is brought to its usual length first.

        Parameters
        ----------
        weights : of the network.
        method : that the step followed; None where there is but one.
        """
        weights = list(weights)
        if method is not None:
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            length = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
            usual = self.lengths.get(method, length)
            self.lengths[method] = usual + _SHARE * (length - usual)
            for gradient in gradients:
                gradient.div_(max(self.lengths[method], _TINY))
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
