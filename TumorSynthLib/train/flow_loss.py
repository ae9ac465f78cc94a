r"""What the rectified flow of tumor and mask is trained on (TumorGen, Eq. 3 to 5).

The published coarse constraint :math:`\|B \hat z - B z\|^2` (Eq. 4) is the flow's own error inside the box with the weight
:math:`t^2` (in our direction of time), because the estimate of the data misses by t times what the velocity misses by. It is
therefore a weight map here and costs nothing.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from monai.losses.dice import DiceLoss
from monai.losses.ssim_loss import SSIMLoss
from torch import Tensor, nn

from TumorSynthLib.nets.codec import Codec

MASK, COARSE, FINE, REFINE = "mask", "coarse", "fine", "refine"
WEIGHTS = {MASK: 0.2, COARSE: 1.0, FINE: 0.1, REFINE: 0.2}
"""Share of the mask in the error, and weights of the coarse constraint, the fine constraint and the mask refiner."""
REFINED_UP_TO = 0.3
"""Latest time of samples that are refined: later ones show little of the tumor, and decoding costs."""
_LATENT_RANGE = 6.0
_SSIM = SSIMLoss(spatial_dims=3, data_range=_LATENT_RANGE, win_size=3, kernel_sigma=1.0, reduction="none")
_DICE = DiceLoss(sigmoid=True, reduction="none")


def flow_weights(extra: Mapping[str, float]) -> dict[str, float]:
    """``WEIGHTS`` with those that a training sets as ``flow_mask`` and so on."""
    return {name: float(extra.get(f"flow_{name}", value)) for name, value in WEIGHTS.items()}


def over_cells(error: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the latent grid of (B, 1, d, h, w), per sample, (B,)."""
    return (weight * error).sum(dim=(1, 2, 3, 4)) / weight.sum(dim=(1, 2, 3, 4)).clamp(min=1e-6)


def flow_loss(
    error: Tensor,
    weight: Tensor,
    estimate: Tensor,
    x0: Tensor,
    box: Tensor,
    support: Tensor,
    t: Tensor,
    extra: Mapping[str, float],
) -> Tensor:
    """The loss of each sample, (B,).

    Parameters
    ----------
    error : squared error of the prediction, (B, C + 1, d, h, w); the mask comes last.
    weight : of each sample by its time, (B,).
    estimate, x0 : data as the network sees them and as they are, alike.
    box, support : share of each latent cell in the box, and where the latent may change, (B, 1, d, h, w).
    t : times, (B,).
    extra : weights that differ from ``WEIGHTS``.
    """
    weights = flow_weights(extra)
    share = weights[MASK]
    mixed = (1.0 - share) * error[:, :-1].mean(dim=1, keepdim=True) + share * error[:, -1:]
    # Three times as heavy inside the box as at its border, and the more so the earlier in sampling.
    inside = 0.5 + box * (1.0 + weights[COARSE] * t.square().view(-1, 1, 1, 1, 1))
    loss = weight * over_cells(mixed, support * inside)
    if weights[FINE] > 0.0:
        loss = loss + weights[FINE] * fine_constraint(estimate, x0)
    return loss


def fine_constraint(estimate: Tensor, x0: Tensor) -> Tensor:
    """1 - SSIM between latents within their masks (Eq. 5), per sample, (B,)."""

    def tumor(joint: Tensor) -> Tensor:
        soft = 0.5 * (joint[:, -1:].clamp(-1.0, 1.0) + 1.0)
        return soft * joint[:, :-1]

    with torch.autocast(estimate.device.type, enabled=False):
        return _SSIM(tumor(estimate.float()), tumor(x0.float())).flatten(1).mean(dim=1)


def refinement(refiner: nn.Module, codec: Codec, estimate: Tensor, tumor: Tensor, t: Tensor) -> Tensor:
    """What the refiner's masks miss (Eq. 6; Dice and cross-entropy instead of a squared error, in which small tumors get lost).

    Each sample's is its own, 0 where it is later than ``REFINED_UP_TO``, so that the layout of a batch over processes and parts
    changes nothing; where all are, one still takes part, because processes that average gradients wait for each other.

    Parameters
    ----------
    refiner : takes the decoder's features and the soft mask.
    codec : whose decoder knows the image.
    estimate : joint latents as the network sees them, (B, C + 1, d, h, w).
    tumor : true masks on the working grid, (B, 1, D, H, W).
    t : times, (B,).

    Returns
    -------
    (B,)
    """
    early = t <= REFINED_UP_TO
    rows = early.nonzero()[:, 0] if bool(early.any()) else t.argmin()[None]
    with torch.no_grad():
        features = codec.features(estimate[rows, :-1].detach())
    logit, truth = refiner(features, estimate[rows, -1:].detach()).float(), tumor[rows]
    crossed = F.binary_cross_entropy_with_logits(logit, truth, reduction="none").flatten(1).mean(dim=1)
    missed = _DICE(logit, truth).flatten(1).mean(dim=1) + crossed
    return torch.zeros_like(t).index_put((rows,), missed * early[rows])
