"""Losses of the shape GAN."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from TumorSynthLib.nets.shape_gan import Discriminator
from TumorSynthLib.train.common import autocast
from TumorSynthLib.train.shape_data import Batch, ShapeData
from TumorSynthLib.train.shape_geometry import moments, smooth_sphericity

R1_EVERY = 16
R1_WEIGHT = 0.2


class CriticLoss(nn.Module):
    """Hinge loss: real with its own features against fakes, and against real ones with another patient's features.

    A module of its own, so that one call is what is averaged over processes.

    Parameters
    ----------
    critic : judges fields.
    precision : see ``TrainConfig``.
    """

    def __init__(self, critic: Discriminator, precision: str) -> None:
        super().__init__()
        self.critic, self.precision = critic, precision

    def forward(self, real: Batch, fake: Tensor, order: Tensor, penalize: bool) -> Tensor:
        """The loss, with R1 (Mescheder et al. 2018) where ``penalize``; ``order``: whose features are the other patient's."""
        field = real.field.detach().requires_grad_(penalize)
        other = real.part(order)
        with autocast(field.device.type, self.precision):
            seen = self.critic(field)
            matched = self.critic.judge(seen, real.values, real.present, real.organ)
            mismatched = self.critic.judge(seen, other.values, other.present, other.organ)
            made = self.critic.judge(self.critic(fake), real.values, real.present, real.organ)
        loss = F.relu(1.0 - matched).mean() + 0.75 * F.relu(1.0 + made).mean() + 0.25 * F.relu(1.0 + mismatched).mean()
        if penalize:
            (slope,) = torch.autograd.grad(matched.sum(), field, create_graph=True)
            loss = loss + R1_EVERY * R1_WEIGHT * 0.5 * slope.square().sum(dim=(1, 2, 3, 4)).mean()
        return loss


def feature_losses(fake: Tensor, real: Batch, shapes: ShapeData) -> dict[str, Tensor]:
    """How far the fakes are from what was asked, in standard deviations, and from being whitened."""
    fill, center, second = moments(fake, shapes.config)
    smooth = smooth_sphericity(fake, real.semi_axes, shapes.config)
    std = shapes.std.to(fake.device)
    identity = torch.eye(3, device=fake.device)
    asked = real.present
    return {
        "sphericity": (asked[:, 0] * (smooth - real.raw[:, 0]).abs()).mean() / std[0],
        "fill": (asked[:, 4] * (fill - real.raw[:, 4]).abs()).mean() / std[4],
        "moments": center.abs().mean() + (second - identity).abs().mean(),
    }


def surface_l1(made: Tensor, real: Tensor) -> Tensor:
    """Absolute difference with more weight near the surface; beyond the clipped range only the side matters."""
    difference = (made - real).abs()
    beyond = ((real <= -1.0) & (made < real)) | ((real >= 1.0) & (made > real))
    weight = 0.5 + 2.0 * torch.exp(-((real / 0.25) ** 2))
    return (difference * weight * ~beyond).mean()
