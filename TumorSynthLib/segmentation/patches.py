"""Patches of samples for training: half of them around tumor, flipped, and with their intensities varied where wanted."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from TumorSynthLib.segmentation.images import Sample
from TumorSynthLib.segmentation.network import MODALITIES

TUMOR_SHARE = 0.6
"""Share of the patches whose middle lies in a tumor."""
OUTSIDE = -1.5
"""Network input beyond the image: about air."""
_GAIN, _SHIFT, _NOISE, _ZOOM = 0.15, 0.15, 0.1, 0.2

Patch = tuple[np.ndarray, np.ndarray]
"""Network input and tumor, both (size, size, size)."""


def draw_patch(sample: Sample, size: int, rng: np.random.Generator, focus: np.ndarray | None = None) -> Patch:
    """A cube of an image, around a voxel of the focus in ``TUMOR_SHARE`` of the draws, anywhere otherwise.

    Parameters
    ----------
    sample : the image.
    size : edge of the cube in voxels.
    rng : decides.
    focus : bool on the image's grid; its tumors unless told.
    """
    middle = rng.uniform(0.0, 1.0, 3) * sample.v.shape
    focus = sample.tumor if focus is None else focus
    if rng.random() < TUMOR_SHARE and focus.any():
        inside = np.flatnonzero(focus)
        middle = np.array(np.unravel_index(inside[rng.integers(inside.size)], focus.shape), dtype=np.float64)
    # The tumor voxel may lie anywhere in the patch, or the network would learn that tumors are in the middle.
    middle += rng.uniform(-0.35, 0.35, 3) * size
    limits = np.maximum(np.array(sample.v.shape) - size, 0)
    start = np.clip(np.rint(middle - size / 2.0).astype(int), 0, limits)
    return _cube(sample.v, start, size, OUTSIDE), _cube(sample.tumor, start, size, False)


def flipped(patch: Patch, rng: np.random.Generator) -> Patch:
    """A patch flipped along random axes."""
    axes = tuple(int(axis) for axis in np.flatnonzero(rng.random(3) < 0.5))
    return np.flip(patch[0], axes), np.flip(patch[1], axes)


def varied(patch: Patch, rng: np.random.Generator) -> Patch:
    """Classical augmentation: flips, a zoom, and a change of contrast, level and noise."""
    v, tumor = flipped(patch, rng)
    if rng.random() < 0.5:
        zoom = np.full(3, 1.0 + rng.uniform(-_ZOOM, _ZOOM))
        offset = (1.0 - zoom) * (np.array(v.shape) - 1) / 2.0
        v = ndimage.affine_transform(v, zoom, offset, order=1, mode="nearest")
        tumor = ndimage.affine_transform(tumor.astype(np.float32), zoom, offset, order=1, mode="nearest") > 0.5
    v = v * (1.0 + rng.uniform(-_GAIN, _GAIN)) + rng.uniform(-_SHIFT, _SHIFT)
    return (v + rng.normal(0.0, rng.uniform(0.0, _NOISE), v.shape)).astype(np.float32), tumor


def batch_of(patches: Sequence[Patch], kinds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Network input (n, 4, size, size, size) and target (n, 1, size, size, size)."""
    v = np.stack([patch[0] for patch in patches]).astype(np.float32)
    tumor = np.stack([patch[1] for patch in patches]).astype(np.float32)
    return with_modality(torch.from_numpy(v), kinds), torch.from_numpy(tumor)[:, None]


def with_modality(v: Tensor, kinds: Sequence[int]) -> Tensor:
    """Images (n, i, j, k) with one constant channel per modality after them."""
    told = torch.zeros(len(kinds), len(MODALITIES), dtype=v.dtype)
    told[torch.arange(len(kinds)), torch.tensor(list(kinds))] = 1.0
    planes = told[:, :, None, None, None].expand(-1, -1, *v.shape[1:])
    return torch.cat([v[:, None], planes], dim=1)


def _cube(array: np.ndarray, start: np.ndarray, size: int, outside: float) -> np.ndarray:
    """A cube of an array, filled up where the array is smaller."""
    part = array[tuple(slice(int(a), int(a) + size) for a in start)]
    return np.pad(part, [(0, size - n) for n in part.shape], constant_values=outside)
