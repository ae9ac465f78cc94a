"""What is hidden where healthy tissue is made: the region to its very border, and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_training
import torch
from phantoms import ball, insert, phantom
from scipy import ndimage

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import CodecConfig, WorkConfig
from TumorSynthLib.dataset import HEALTHY, TrainingData
from TumorSynthLib.edit import TOUCHED, TextureEdit, without_blurred_border, work_task
from TumorSynthLib.healing import continued
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.nets.unet import Condition
from TumorSynthLib.resample import resample
from TumorSynthLib.scene import Scene, read_scene, read_source
from TumorSynthLib.texture import TextureModel
from TumorSynthLib.train.bridge_loss import BridgeLoss
from TumorSynthLib.train.common import seeded
from TumorSynthLib.train.draws import PREPARED
from TumorSynthLib.train.latents import Hides, LatentCache, Latents, Wanted
from TumorSynthLib.volume import Volume
from TumorSynthLib.volume_io import write_volume

SIZE = 32


@pytest.fixture(scope="module")
def codec() -> Codec:
    with seeded(0):
        return Codec(CodecConfig(channels=(8,), res_layers=1, code_channels=2, patch=2)).requires_grad_(False)


def encoded(codec: Codec, patch: np.ndarray, mask: np.ndarray, hides: Hides) -> Latents:
    return LatentCache(codec, "cpu", "fp32", (SIZE,) * 3, 1.0).batch([Wanted((0, 5, 0), lambda: (patch, mask), hides)])


def test_healing_sees_the_voxels_next_to_its_region_and_a_tumor_does_not(codec: Codec) -> None:
    grid = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"), axis=-1)
    mask = ((grid - 15.3) ** 2).sum(axis=-1) <= 7.0**2
    ring = ndimage.binary_dilation(mask) & ~mask
    patch = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32)
    inside, beside = (np.where(where, np.float32(5.0), patch) for where in (mask, ring))
    for hides, sees in ((Hides.REGION, True), (Hides.RING, False)):
        plain, within, nearby = (encoded(codec, image, mask, hides) for image in (patch, inside, beside))
        assert torch.equal(plain.y, within.y) and torch.equal(plain.masks, within.masks), "nothing of the region itself is seen"
        assert torch.equal(plain.y, nearby.y) is not sees
        assert torch.equal(plain.masks[:, 0], plain.masks[:, 1]) is sees, "the network is told what is hidden"


def test_one_region_is_kept_once_for_each_way_of_hiding(codec: Codec) -> None:
    mask = np.zeros((SIZE,) * 3, bool)
    mask[10:20, 10:20, 10:20] = True
    cache = LatentCache(codec, "cpu", "fp32", (SIZE,) * 3, 1.0)
    ways = [Wanted((0, 5, 0), lambda: (mask.astype(np.float32), mask), hides) for hides in Hides]
    for way in (*ways, *ways):
        cache.batch([way])
    assert cache.encoded == len(Hides)


def test_training_hides_a_ring_from_tumors_alone(
    content: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[Wanted] = []
    tumors: list[bool] = []
    batch, loss = LatentCache.batch, BridgeLoss.__call__

    def watched(cache: LatentCache, items: Sequence[Wanted]) -> Latents:
        wanted.extend(items)
        return batch(cache, items)

    def told(self: BridgeLoss, latents: Latents, condition: Condition, *more: Any) -> torch.Tensor:
        tumors.extend(condition.tumor.tolist())
        return loss(self, latents, condition, *more)

    monkeypatch.setattr(LatentCache, "batch", watched)
    monkeypatch.setattr(BridgeLoss, "__call__", told)
    path = tiny_training.write_data(content, tmp_path)
    settings = tiny_training.stage("bridge", steps=2, batch=32, validate_every=9)
    tiny_training.run("bridge", path, tiny_training.untrained_codec(tmp_path), tmp_path / "out", settings)
    trained = wanted[: len(tumors)]
    assert [item.hides for item in trained] == [Hides.RING if tumor else Hides.REGION for tumor in tumors]
    healed = [content.regions[item.key[1]].kind for item in trained if item.hides is Hides.REGION and item.key[0] == PREPARED]
    assert set(healed) == {HEALTHY} and not all(tumors)


@pytest.fixture
def scene(tmp_path: Path, tiny_bundle: Bundle) -> Scene:
    return scene_of(phantom(), tmp_path, tiny_bundle)


def scene_of(scan: Volume, folder: Path, bundle: Bundle) -> Scene:
    path = folder / "scan.nrrd"
    write_volume(scan, path)
    return read_scene(insert(path, folder / "out"), bundle, read_source(str(path)))


def test_healing_starts_from_the_scan_up_to_every_voxel_that_the_region_touches(scene: Scene, tiny_bundle: Bundle) -> None:
    model, mask = TextureModel(tiny_bundle, "cpu"), ball(scene.scan, 8.3).array > 0
    healing, grid = work_task(scene, TextureEdit(mask, None), WorkConfig())
    tumor, _ = work_task(scene, TextureEdit(mask, {}), WorkConfig())
    share = resample(mask, scene.scan.geometry, grid, outside=0.0)
    np.testing.assert_array_equal(tumor.mask, share > 0.5)
    np.testing.assert_array_equal(healing.mask, share > TOUCHED)
    assert (healing.mask & ~tumor.mask).any()
    np.testing.assert_array_equal((model.filled(healing) != healing.v) & ~healing.mask, False)
    hidden = model.filled(tumor) != tumor.v
    assert (hidden & ~tumor.mask).any() and not (hidden & ~ndimage.binary_dilation(tumor.mask, np.ones((3, 3, 3)))).any()


@pytest.mark.parametrize(("sigma", "more"), [(0.0, False), (1.5, True)])
def test_the_border_of_a_blurred_tumor_goes_with_it(sigma: float, more: bool, tmp_path: Path, tiny_bundle: Bundle) -> None:
    scan = phantom()
    mask = ball(scan, 8.0).array > 0
    lesion = ndimage.gaussian_filter(400.0 * mask, sigma) if sigma else 400.0 * mask
    scene = scene_of(Volume((scan.array + lesion).astype(scan.array.dtype), scan.geometry), tmp_path, tiny_bundle)
    found = without_blurred_border(scene, TextureEdit(mask, None)).mask
    np.testing.assert_array_equal(found, ndimage.binary_dilation(mask) if more else mask)


def test_a_change_is_taken_back_at_the_border_and_kept_deep_inside() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(48)] * 3, indexing="ij"), axis=-1)
    depth = 18.0 - np.linalg.norm(grid - 23.5, axis=-1)
    mask, spacing = depth > 0, np.array([1.0, 1.0, 1.0])
    u = (0.5 * grid[..., 0] - 0.25 * grid[..., 2]).astype(np.float32)
    healed = continued(u, mask, spacing, np.full_like(u, 10.0), 2.0)
    np.testing.assert_array_equal(healed[~mask], u[~mask])
    change = healed - u
    # A linear scan is its own membrane, so what is left is the change alone.
    deep, edge = change[depth > 15.0], change[(depth > 0.0) & (depth < 1.0)]
    np.testing.assert_allclose(deep, 10.0, atol=0.1)
    assert edge.min() >= 0.0 and edge.max() < 5.0
    rising = [change[(depth > low) & (depth <= low + 2.0)].mean() for low in (0.0, 4.0, 8.0, 12.0)]
    assert rising == sorted(rising)


def test_a_change_that_vanishes_at_the_border_is_kept_as_it_is() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(32)] * 3, indexing="ij"), axis=-1)
    depth = np.maximum(0.0, 12.0 - np.linalg.norm(grid - 15.5, axis=-1))
    mask, u = depth > 0, np.full(depth.shape, 40.0, np.float32)
    healed = continued(u, mask, np.array([1.0, 1.0, 2.0]), depth.astype(np.float32), 2.0)
    np.testing.assert_allclose(healed - u, depth, atol=1e-4)
