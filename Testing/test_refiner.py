"""The mask refiner: it begins with enlarging, listens to the image, and learns where a tumor ends."""

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.conditioning import joint_latent
from TumorSynthLib.configs import CodecConfig, RefinerConfig
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.nets.refiner import MaskRefiner
from TumorSynthLib.train.common import seeded
from TumorSynthLib.train.flow_loss import REFINED_UP_TO, refinement

CODEC = CodecConfig(channels=(8,), res_layers=1, code_channels=2, patch=2)
REFINER = RefinerConfig(features=8, width=8)
SIZE = 16


def built(seed: int = 0) -> tuple[Codec, MaskRefiner]:
    with seeded(seed):
        return Codec(CODEC).eval().requires_grad_(False), MaskRefiner(REFINER)


def ball(radius: float, center: tuple[float, float, float] = (7.2, 8.1, 7.7)) -> Tensor:
    """A ball on the working grid, float (1, 1, SIZE, SIZE, SIZE)."""
    grid = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"), axis=-1)
    return torch.from_numpy(((grid - np.array(center)) ** 2).sum(axis=-1) <= radius**2).float()[None, None]


def joint(tumor: Tensor, codec: Codec, seed: int = 0) -> Tensor:
    """The joint latent of a bright tumor in noise."""
    noise = 0.1 * torch.randn(tumor.shape, generator=torch.Generator().manual_seed(seed))
    return joint_latent(codec.encode(tumor + noise), tumor, codec.config.factor)


def dice(logit: Tensor, tumor: Tensor) -> float:
    found = logit > 0
    return float(2.0 * (found * tumor).sum() / (found.sum() + tumor.sum()))


def test_untrained_it_enlarges_the_soft_mask() -> None:
    codec, refiner = built()
    latent = joint(ball(5.0), codec)
    logit = refiner(codec.features(latent[:, :-1]), latent[:, -1:])
    expected = torch.nn.functional.interpolate(latent[:, -1:], scale_factor=4.0, mode="trilinear")
    assert logit.shape == (1, 1, SIZE, SIZE, SIZE) and torch.allclose(logit, 4.0 * expected, atol=1e-6)
    assert dice(logit, ball(5.0)) > 0.7


def test_trained_it_listens_to_the_image_and_every_weight_learns() -> None:
    codec, refiner = built()
    for parameter in refiner.leave.parameters():
        torch.nn.init.normal_(parameter)
    latent = joint(ball(5.0), codec)
    logit = refiner(codec.features(latent[:, :-1]), latent[:, -1:])
    other = refiner(codec.features(latent[:, :-1] + 1.0), latent[:, -1:])
    assert float((logit - other).detach().abs().max()) > 1e-3
    logit.square().sum().backward()
    assert [name for name, value in refiner.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_the_decoder_gives_the_refiner_what_it_gives_everyone() -> None:
    codec, _ = built()
    z = torch.randn(2, 16, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    hidden, image = codec.features(z)
    assert hidden.shape == (2, CODEC.channels[0], SIZE // 2, SIZE // 2, SIZE // 2)
    assert torch.equal(image, codec.decode(z)) and image.shape == (2, 1, SIZE, SIZE, SIZE)


def test_a_few_steps_teach_it_a_ball_that_the_latent_grid_blurs() -> None:
    codec, refiner = built()
    tumor = ball(5.0)
    latent, t = joint(tumor, codec), torch.zeros(1)
    optimizer = torch.optim.Adam(refiner.parameters(), 1e-2)
    before = dice(refiner(codec.features(latent[:, :-1]), latent[:, -1:]), tumor)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = refinement(refiner, codec, latent, tumor, t).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        after = dice(refiner(codec.features(latent[:, :-1]), latent[:, -1:]), tumor)
        if after > 0.97:
            break
    assert after > 0.95 > before and losses[-1] < 0.5 * losses[0]


TIMES = torch.tensor([0.9, 0.1, 0.7, REFINED_UP_TO, 0.8, 0.25])


def several(codec: Codec) -> tuple[Tensor, Tensor]:
    """Joint latents and tumors of six samples."""
    tumors = torch.cat([ball(radius) for radius in (3.0, 4.0, 5.0, 6.0, 5.5, 4.5)])
    return torch.cat([joint(tumor[None], codec) for tumor in tumors]), tumors


def test_early_samples_are_refined_and_nothing_flows_back_into_the_estimate() -> None:
    codec, refiner = built()
    latents, tumors = several(codec)
    latents.requires_grad_(True)
    loss = refinement(refiner, codec, latents, tumors, TIMES)
    assert loss.shape == (6,) and ((loss.detach() > 0.0) == (TIMES <= REFINED_UP_TO)).all()
    loss.sum().backward()
    assert latents.grad is None and refiner.gain.grad is not None


def test_what_a_sample_costs_does_not_depend_on_the_others() -> None:
    codec, refiner = built()
    latents, tumors = several(codec)
    together = refinement(refiner, codec, latents, tumors, TIMES)
    for n in range(6):
        row = slice(n, n + 1)
        alone = refinement(refiner, codec, latents[row], tumors[row], TIMES[row])
        assert torch.allclose(alone, together[row], rtol=1e-4, atol=1e-6)


def test_where_all_samples_are_late_the_refiner_takes_part_without_learning() -> None:
    codec, refiner = built()
    latents, tumors = several(codec)
    loss = refinement(refiner, codec, latents, tumors, torch.full((6,), 0.9))
    assert not loss.any()
    loss.sum().backward()
    assert all(value.grad is not None and not value.grad.any() for value in refiner.parameters())


def test_a_better_mask_costs_less() -> None:
    codec, refiner = built()
    tumor, t = ball(5.0), torch.zeros(1)
    costs = [
        float(refinement(refiner, codec, joint_of(codec, tumor, ball(radius)), tumor, t).detach()) for radius in (5.0, 4.0, 2.5)
    ]
    assert costs == sorted(costs) and costs[2] > 1.2 * costs[0]


def joint_of(codec: Codec, tumor: Tensor, mask: Tensor) -> Tensor:
    """The latent of a tumor with another mask."""
    return joint_latent(codec.encode(tumor), mask, codec.config.factor)
