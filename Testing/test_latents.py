"""What ``flow`` is trained on: boxes around tumors, latents with masks, and nothing of the tumor in what it starts from."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from TumorSynthLib.conditioning import joint_latent, without_tumor
from TumorSynthLib.configs import CodecConfig
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.train.common import seeded
from TumorSynthLib.train.latents import WIDENING, Hides, LatentCache, Latents, Wanted, widened_box
from TumorSynthLib.volume import mask_box

SIZE, FACTOR = 32, 4


def ellipsoid(center: tuple[float, ...] = (15.0, 17.0, 13.0), radii: tuple[float, ...] = (7.0, 5.0, 6.0)) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"), axis=-1)
    return (((grid - np.array(center)) / np.array(radii)) ** 2).sum(axis=-1) <= 1.0


@pytest.fixture(scope="module")
def codec() -> Codec:
    with seeded(0):
        return Codec(CodecConfig(channels=(8,), res_layers=1, code_channels=2, patch=2)).requires_grad_(False)


def wanted(patch: np.ndarray, mask: np.ndarray, hides: Hides = Hides.BOX, variant: int = 0) -> Wanted:
    return Wanted((2, 5, variant), lambda: (patch, mask), hides)


def image(mask: np.ndarray, level: float = 1.0) -> np.ndarray:
    noise = 0.1 * np.random.default_rng(0).normal(size=mask.shape)
    return (noise + level * mask).astype(np.float32)


@pytest.fixture(scope="module")
def encode(codec: Codec) -> Callable[..., Latents]:
    def made(*items: Wanted, crop: int = SIZE, binary: bool = False) -> Latents:
        return LatentCache(codec, "cpu", "fp32", (crop,) * 3, 1.0, binary).batch(items)

    return made


@pytest.mark.parametrize("center", [(15.0, 17.0, 13.0), (2.0, 29.0, 15.0)])
def test_a_box_holds_its_tumor_stays_on_the_grid_and_is_widened_by_a_share_of_its_edges(center: tuple[float, ...]) -> None:
    mask, rng = ellipsoid(center), np.random.default_rng(0)
    tight = mask_box(mask)
    edges, moved = np.array(tight.shape), []
    for _ in range(200):
        wide = widened_box(mask, rng)
        box = mask_box(wide)
        assert wide.sum() == np.prod(box.shape), "a box is full"
        assert not (mask & ~wide).any()
        low, high = np.array(tight.start) - box.start, np.array(box.stop) - tight.stop
        assert (low >= 0).all() and (high >= 0).all()
        assert (low <= WIDENING * edges).all() and (high <= WIDENING * edges).all()
        moved.append([*low, *high])
    spread = np.array(moved)
    free = np.array([*tight.start, *(SIZE - np.array(tight.stop))])
    assert (spread.max(axis=0) == np.minimum(free, np.floor(WIDENING * np.tile(edges, 2)))).all(), "all of it is used"
    assert (spread.min(axis=0) == 0).all()
    loose = spread[:, free > 4]
    assert np.abs(np.corrcoef(loose.T) - np.eye(loose.shape[1])).max() < 0.3, "each face moves on its own"


def test_a_tumor_of_one_voxel_has_a_box_of_one_voxel() -> None:
    mask = np.zeros((SIZE,) * 3, bool)
    mask[0, 5, SIZE - 1] = True
    assert np.array_equal(widened_box(mask, np.random.default_rng(0)), mask)


def test_the_mask_channel_is_the_averaged_mask_and_a_binary_one_is_another() -> None:
    mask = torch.from_numpy(ellipsoid())[None, None]
    z = torch.randn(1, 16, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    soft, binary = (joint_latent(z, mask, FACTOR, binary) for binary in (False, True))
    assert soft.shape == binary.shape == (1, 17, 8, 8, 8)
    assert torch.equal(soft[:, :-1], z) and torch.equal(binary[:, :-1], z)
    averaged = mask[0, 0].numpy().reshape(8, 4, 8, 4, 8, 4).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(soft[0, -1].numpy(), 2.0 * averaged - 1.0, atol=1e-6)
    assert float((soft[:, -1:].sum() + 512) / 2 * 64) == pytest.approx(float(mask.sum()), rel=1e-5)
    assert set(binary[:, -1].unique().tolist()) == {-1.0, 1.0} and float((soft[:, -1].abs() < 1).float().mean()) * 10 > 0.3
    assert float((binary[:, -1] - soft[:, -1]).abs().mean()) < 0.2
    assert (without_tumor(z)[:, -1] == -1.0).all() and torch.equal(without_tumor(z)[:, :-1], z)


def test_nothing_of_the_tumor_leaks_out_of_its_box(encode: Callable[..., Latents]) -> None:
    mask = ellipsoid()
    plain = encode(wanted(image(mask), mask))
    for other in (image(mask, level=9.0), np.where(mask, 50.0, image(mask)).astype(np.float32)):
        found = encode(wanted(other, mask))
        assert torch.equal(found.y, plain.y) and torch.equal(found.masks, plain.masks)
        assert torch.equal(found.support, plain.support)
        assert not torch.equal(found.x0, plain.x0)
    # Another tumor in the same box changes what is to be made, and still nothing that is seen.
    corners = np.zeros_like(mask)
    corners[mask_box(mask).slices] = True
    found = encode(wanted(image(mask), corners))
    assert torch.equal(found.y, plain.y) and torch.equal(found.masks, plain.masks)
    assert not torch.equal(found.x0[:, -1], plain.x0[:, -1])


def test_a_boxed_region_comes_with_its_mask_and_twice_its_box(encode: Callable[..., Latents]) -> None:
    mask = ellipsoid()
    found = encode(wanted(image(mask), mask))
    assert found.x0.shape == found.y.shape == (1, 17, 8, 8, 8)
    assert found.tumor is not None and np.array_equal(found.tumor[0, 0].numpy() > 0, mask)
    assert torch.equal(found.masks[:, 0], found.masks[:, 1]) and (found.y[:, -1] == -1.0).all()
    inside = (found.x0[:, -1] > -1.0).float()
    assert bool((found.masks[:, 0] >= 0.01).logical_or(inside == 0).all()), "the tumor lies in its box"
    assert bool((found.support[:, 0] == 1.0).logical_or(found.masks[:, 0] == 0).all())
    plain = encode(wanted(image(mask), mask, hides=Hides.RING))
    assert plain.tumor is None and plain.x0.shape == (1, 16, 8, 8, 8)


def test_a_binary_mask_is_a_setting_of_the_cache(encode: Callable[..., Latents]) -> None:
    mask = ellipsoid()
    soft, binary = (encode(wanted(image(mask), mask), binary=one) for one in (False, True))
    assert not torch.equal(soft.x0[:, -1], binary.x0[:, -1]) and torch.equal(soft.x0[:, :-1], binary.x0[:, :-1])
    assert set(binary.x0[:, -1].unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("variant", [1, 2, 3])
def test_crops_and_flips_keep_tumor_box_and_latent_together(encode: Callable[..., Latents], variant: int) -> None:
    mask = ellipsoid()
    found = encode(wanted(image(mask), mask, variant=variant), crop=16)
    assert found.tumor is not None and found.tumor.shape == (1, 1, 16, 16, 16) and found.tumor.any()
    averaged = torch.nn.functional.avg_pool3d(found.tumor, FACTOR)
    assert torch.allclose(found.x0[:, -1:], 2.0 * averaged - 1.0, atol=1e-3)
    assert torch.equal(found.x0, encode(wanted(image(mask), mask, variant=variant), crop=16).x0)
