"""Encoded regions, kept in half precision up to a bound on memory. What is kept changes the time, never the values."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.conditioning import (
    box_leveled,
    filled_region,
    joint_latent,
    latent_masks,
    leveled,
    without_region,
    without_tumor,
)
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.train.common import autocast
from TumorSynthLib.volume import mask_box

Key = tuple[int, int, int]
"""Source of a region, its number there, and which of its crops and flips."""
AS_PREPARED = 0
"""The variant of a region that is not flipped, and whose crop is drawn from its number alone."""
WIDENING = 0.35
"""Most that each face of a tumor's box is moved out for ``flow``, as a share of the box's edge (BA-PMG of TumorGen)."""
_TRIES = 8


class Hides(Enum):
    """What of an image is hidden around a region."""

    RING = "ring"
    """The region and one voxel around it, where a tumor's border blurs into the surroundings."""
    REGION = "region"
    """The region alone: healthy tissue is continued from its very border."""
    BOX = "box"
    """A box around it, for ``flow``, which makes the mask as well."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """A region to encode."""

    key: Key
    """What the encoding is kept under, together with what is hidden and shown; it also seeds crop and flips."""
    load: Callable[[], tuple[np.ndarray, np.ndarray]]
    """Network input and mask on the working grid, (size, size, size)."""
    hides: Hides = Hides.RING
    """What is hidden."""
    level: float | None = None
    """Network input all over the mask, or in the middle of the box, instead of the fill; see ``conditioning.leveled``."""


@dataclass(frozen=True, eq=False)
class Latents:
    """A batch of encoded regions."""

    x0: Tensor
    """Latent of the image, (B, C, d, h, w); of boxed regions with the soft mask as one more channel."""
    y: Tensor
    """Latent of the filled image, alike."""
    masks: Tensor
    """Soft masks, (B, 2, d, h, w); of boxed regions twice the box."""
    support: Tensor
    """Support of the edit, (B, 1, d, h, w)."""
    tumor: Tensor | None = None
    """Of boxed regions the tumor's mask on the working grid, (B, 1, D, H, W)."""


class LatentCache:
    """Encodes regions when they are first used.

    Parameters
    ----------
    codec, device, precision : what encodes them, where and how.
    crop : edges in voxels of the part of the working grid that is kept; multiples of the codec's factor.
    memory_gb : encodings kept; those not used for longest go first.
    binary : whether masks that are made are binary on the latent grid rather than soft.
    """

    def __init__(
        self, codec: Codec, device: str, precision: str, crop: Sequence[int], memory_gb: float, binary: bool = False
    ) -> None:
        self.codec, self.device, self.precision, self.binary = codec.eval(), device, precision, binary
        self.crop, self.limit, self.bytes, self.encoded = tuple(crop), memory_gb * 2**30, 0, 0
        self.items: OrderedDict[tuple[Key, Hides, float | None], tuple[Tensor, ...]] = OrderedDict()

    def batch(self, wanted: Sequence[Wanted]) -> Latents:
        """The encodings of some regions, in float32 on the device."""
        parts = zip(*(self._one(item) for item in wanted), strict=True)
        return Latents(*(torch.stack(part).to(self.device).float() for part in parts))

    def _one(self, wanted: Wanted) -> tuple[Tensor, ...]:
        name = (wanted.key, wanted.hides, wanted.level)
        if name in self.items:
            self.items.move_to_end(name)
            return self.items[name]
        # One by one: what a region's encoding rounds to must not depend on which others were missing.
        made = self._encode(wanted)
        self.items[name] = made
        self.encoded += 1
        self.bytes += _size(made)
        while self.bytes > self.limit and len(self.items) > 1:
            self.bytes -= _size(self.items.popitem(last=False)[1])
        return made

    @torch.no_grad()
    def _encode(self, wanted: Wanted) -> tuple[Tensor, ...]:
        rng = np.random.default_rng(wanted.key[1] if wanted.key[2] == AS_PREPARED else wanted.key)
        patch, inside = wanted.load()
        if wanted.key[2] != AS_PREPARED:
            axes = tuple(int(axis) for axis in np.flatnonzero(rng.integers(0, 2, 3)))
            patch, inside = np.flip(patch, axes), np.flip(inside, axes)
        v, mask = (torch.from_numpy(np.ascontiguousarray(a))[None, None].to(self.device) for a in (patch, inside))
        tumor, factor, boxed = mask, self.codec.config.factor, wanted.hides is Hides.BOX
        if boxed:
            mask = torch.from_numpy(widened_box(inside, rng))[None, None].to(self.device)
        hidden = filled_region(mask) if wanted.hides is Hides.RING else mask
        y = without_region(v, hidden)
        if wanted.level is not None:
            y = box_leveled(y, mask, wanted.level) if boxed else leveled(y, mask, wanted.level)
        place = self._place(inside, rng)
        v, y, mask, hidden, tumor = (t[(slice(None), slice(None), *place)] for t in (v, y, mask, hidden, tumor))
        with autocast(self.device, self.precision):
            z = self.codec.encode(torch.cat([v, y]))
        masks, support = latent_masks(mask, hidden, factor)
        x0, y = z[:1], z[1:]
        whole: tuple[Tensor, ...] = ()
        if boxed:
            x0, y, whole = joint_latent(x0, tumor, factor, self.binary), without_tumor(y), (tumor[0].cpu().bool(),)
        return (*(t.half().cpu().clone() for t in (x0[0], y[0], masks[0], support[0])), *whole)

    def _place(self, inside: np.ndarray, rng: np.random.Generator) -> tuple[slice, ...]:
        """Where the crop of a region is: anywhere on the latent grid that has some of the mask in it."""
        factor = self.codec.config.factor
        free = (np.array(inside.shape, dtype=np.int64) - np.array(self.crop, dtype=np.int64)) // factor
        place: tuple[slice, ...] = ()
        for _ in range(_TRIES):
            start = rng.integers(0, free + 1) * factor
            place = tuple(slice(int(first), int(first) + edge) for first, edge in zip(start, self.crop, strict=True))
            if inside[place].any():
                break
        return place


def widened_box(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The box of a mask with each face moved out by a random share of its edge, bool, within the grid.

    Each face moves on its own, so that the tumor is not always in the middle, and never fills the box by rule.
    """
    box = mask_box(mask)
    edges = np.array(box.shape)
    low = np.maximum(0, np.array(box.start) - np.floor(rng.uniform(0.0, WIDENING, 3) * edges).astype(int))
    high = np.minimum(mask.shape, np.array(box.stop) + np.floor(rng.uniform(0.0, WIDENING, 3) * edges).astype(int))
    wide = np.zeros(mask.shape, bool)
    wide[tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))] = True
    return wide


def _size(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
