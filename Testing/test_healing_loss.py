"""The loss of healing alone: a share of the fill's error as the image shows it, inside the region and nowhere else."""

import pytest
import torch
from torch import Tensor

from TumorSynthLib.configs import CodecConfig
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.train.healing_loss import FAINT, healing_loss

CONFIG = CodecConfig(channels=(8,))
EDGE = 4


@pytest.fixture(scope="module")
def codec() -> Codec:
    torch.manual_seed(5)
    return Codec(CONFIG).eval().requires_grad_(False)


def latents(codec: Codec, seed: int) -> Tensor:
    channels = codec.config.latent_channels
    return torch.randn((2, channels, EDGE, EDGE, EDGE), generator=torch.Generator().manual_seed(seed))


def cell() -> Tensor:
    """A region of one latent cell in the first sample, and of one corner in the second."""
    mask = torch.zeros(2, 1, EDGE, EDGE, EDGE)
    mask[0, 0, 1, 1, 1] = mask[1, 0, 3, 3, 3] = 1.0
    return mask


def test_the_fill_costs_one_and_the_truth_next_to_nothing(codec: Codec) -> None:
    x0, y, mask = latents(codec, 0), latents(codec, 1), cell()
    assert healing_loss(codec, y, x0, y, mask).tolist() == pytest.approx([1.0, 1.0])
    assert float(healing_loss(codec, x0, x0, y, mask).max()) < 0.05


def test_it_is_the_share_of_the_squared_error_inside_the_region_alone(codec: Codec) -> None:
    x0, y, other, mask = latents(codec, 0), latents(codec, 1), latents(codec, 2), cell()
    f = codec.config.factor
    inside = torch.zeros(2, 1, EDGE * f, EDGE * f, EDGE * f, dtype=torch.bool)
    inside[0, 0, f : 2 * f, f : 2 * f, f : 2 * f] = inside[1, 0, 3 * f :, 3 * f :, 3 * f :] = True
    truth, fill, healed = (codec.decode(z) for z in (x0, y, other))
    wanted = []
    for sample in range(2):
        part = inside[sample]
        left, before = (float((image[sample] - truth[sample])[part].square().mean()) for image in (healed, fill))
        wanted.append((left + FAINT) / (before + FAINT))
    assert healing_loss(codec, other, x0, y, mask).tolist() == pytest.approx(wanted, rel=1e-4)


def test_where_nothing_is_to_be_healed_noise_is_not_chased(codec: Codec) -> None:
    x0, mask = latents(codec, 0), cell()
    near = x0 + 1e-4 * latents(codec, 3)
    found = healing_loss(codec, near, x0, x0 + 1e-5 * latents(codec, 4), mask)
    assert float((found - 1.0).abs().max()) < 1e-2, "a plain share would be about 100"
