"""From a mask or a box on the working grid to what the network sees: the filled patch, soft masks and the support."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from TumorSynthLib.fill import harmonic_fill
from TumorSynthLib.scaling import FeatureScale


def grow(mask: Tensor, voxels: int) -> Tensor:
    """A mask (B, 1, D, H, W) grown by a number of voxels in the 18-neighborhood, as bool."""
    grown = mask.float()
    for _ in range(voxels):
        # Two of three axes at a time: rounder than a cube, cheaper than a ball.
        grown = torch.maximum(
            torch.maximum(F.max_pool3d(grown, (3, 3, 1), 1, (1, 1, 0)), F.max_pool3d(grown, (3, 1, 3), 1, (1, 0, 1))),
            F.max_pool3d(grown, (1, 3, 3), 1, (0, 1, 1)),
        )
    return grown > 0.5


def filled_region(mask: Tensor) -> Tensor:
    """What is hidden from the bridge: the mask and one voxel around it, where its border blurs into the surroundings."""
    return grow(mask, 1)


def without_region(v: Tensor, hidden: Tensor) -> Tensor:
    """Network input (B, 1, D, H, W) with the hidden region filled harmonically from its surroundings.

    The bridge thus starts from the smoothest continuation of the healthy tissue, and never from an intensity that
    some tissue could really have, as when masks are painted into images.
    """
    return harmonic_fill(v, hidden)


_CORE = 1.5
"""The level of a box is whole up to a third of the way from its middle to its faces, where it has fallen to none."""
_BORDER = 0.75
"""Share of the level in a voxel of the border, which a plane's own blur gives it."""


def leveled(filled: Tensor, mask: Tensor, level: float) -> Tensor:
    """Filled network input (B, 1, D, H, W) with the level of the tumor to come all over its mask, blurred at its border.

    The mean is asked for as a number, and a convolutional network with normalized groups does not know absolute values well: of
    the way from the fill to the asked mean it went 67 % in CT and 80 % in T1, on the tumors that it was trained on. Shown as
    an image the mean needs no learning, and what is left to be made is the texture. A scanner shows no step from one voxel to
    the next; a codec that is shown one answers with a dark and a bright rim. So the step is spread over the border's voxel
    inside and outside, the latter of which is hidden as well.
    """
    return torch.lerp(filled, torch.full_like(filled, level), _blurred(mask))


def box_leveled(filled: Tensor, box: Tensor, level: float) -> Tensor:
    """Filled network input with the level of the tumor to come in the middle of its box (B, 1, D, H, W), for ``flow``.

    Where in the box the tumor will be is not known, but it is likelier in the middle; towards the faces the fill remains, which
    tells of the tissue beside it. A level all over the box would hide that.
    """
    share = torch.zeros_like(filled)
    for number, inside in enumerate(box[:, 0].bool()):
        places = inside.nonzero()
        low, high = places.amin(dim=0), places.amax(dim=0)
        away = (2.0 * places - (low + high)) / (high - low + 1)
        share[number, 0][inside] = (_CORE * (1.0 - away.norm(dim=1))).clamp(0.0, 1.0).to(share.dtype)
    return torch.lerp(filled, torch.full_like(filled, level), share)


def _blurred(mask: Tensor) -> Tensor:
    """Share of the level in each voxel: 1 inside, at least 3/4 beside the border, up to 1/4 or so behind it, 0 beyond."""
    share = mask.float()
    for axis in (2, 3, 4):
        spread = [0, 0, 0, 0, 0, 0]
        spread[2 * (4 - axis)] = spread[2 * (4 - axis) + 1] = 1
        wide = F.pad(share, spread)
        share = 0.5 * share + 0.25 * (wide.narrow(axis, 0, share.shape[axis]) + wide.narrow(axis, 2, share.shape[axis]))
    # However thin a tumor is, its level is seen.
    return torch.where(mask, share.clamp(min=_BORDER), share * filled_region(mask))


def latent_masks(mask: Tensor, hidden: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Soft masks (B, 2, d, h, w) and support (B, 1, d, h, w) on the latent grid.

    Masks are averaged over each latent cell, so that tumors smaller than a cell are still seen (a nearest-neighbor mask
    loses them). The support holds every cell that the hidden region touches, and the cells next to them.
    """
    soft = F.avg_pool3d(torch.cat([mask, hidden], dim=1).float(), factor)
    touched = (soft[:, 1:] > 0).float()
    return soft, F.max_pool3d(touched, 3, 1, 1)


def joint_latent(z: Tensor, tumor: Tensor, factor: int, binary: bool = False) -> Tensor:
    """What ``flow`` makes: a latent (B, C, d, h, w) with the tumor's mask (B, 1, D, H, W) as one more channel, -1 to 1.

    The mask is averaged over each latent cell, or, where ``binary``, sampled at its center as in TumorGen.
    """
    if binary:
        middle = factor // 2
        soft = tumor[..., middle::factor, middle::factor, middle::factor].float()
    else:
        soft = F.avg_pool3d(tumor.float(), factor)
    return torch.cat([z, 2.0 * soft - 1.0], dim=1)


def without_tumor(y: Tensor) -> Tensor:
    """A latent with the mask channel of ``joint_latent`` for a place without a tumor."""
    return torch.cat([y, -torch.ones_like(y[:, :1])], dim=1)


def feature_scores(
    features: Mapping[str, float], tokens: Sequence[str], scales: Mapping[str, FeatureScale]
) -> tuple[list[float], list[bool]]:
    """Normal scores of the features that have a token, and which are present."""
    present = [name in features and name in scales for name in tokens]
    return [scales[name].score(features[name]) if there else 0.0 for name, there in zip(tokens, present, strict=True)], present
