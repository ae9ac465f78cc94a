"""What healing alone is trained on beside its latent: the tissue that a radiologist would see."""

import torch
import torch.nn.functional as F
from torch import Tensor

from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.train.flow_loss import over_cells

FAINT = 2e-4
"""Squared error of the fill, in network input (-1 to 1), below which next to nothing is left to be healed."""


def healing_loss(codec: Codec, estimate: Tensor, x0: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of decoded tissue inside the region as a share of that of the fill, per sample, (B,).

    In latents every channel counts alike, however little of it is seen; decibels are of the image.

    Parameters
    ----------
    codec : its decoder is looked through.
    estimate, x0, y : latents as healed, of the scan, and of the fill, (B, C, d, h, w).
    mask : share of each latent cell in the region, (B, 1, d, h, w).
    """
    inside = F.interpolate(mask, scale_factor=float(codec.config.factor), mode="nearest")
    healed = codec.decode(estimate).float()
    with torch.no_grad():
        truth, fill = (codec.decode(z).float() for z in (x0, y))
    left, before = (over_cells((image - truth).square(), inside) for image in (healed, fill))
    return (left + FAINT) / (before + FAINT)
