"""Encoded regions, kept in half precision up to a bound on memory. What is kept changes the time, never the values."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.conditioning import filled_region, latent_masks, without_region
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.train.common import autocast

Key = tuple[int, int, int]
"""Source of a region, its number there, and which of its crops and flips."""
AS_PREPARED = 0
"""The variant of a region that is not flipped, and whose crop is drawn from its number alone."""
_TRIES = 8


@dataclass(frozen=True, eq=False)
class Wanted:
    """A region to encode."""

    key: Key
    """What the encoding is kept under; it also seeds crop and flips."""
    load: Callable[[], tuple[np.ndarray, np.ndarray]]
    """Network input and mask on the working grid, (size, size, size)."""


@dataclass(frozen=True, eq=False)
class Latents:
    """A batch of encoded regions."""

    x0: Tensor
    """Latent of the image, (B, C, d, h, w)."""
    y: Tensor
    """Latent of the filled image."""
    masks: Tensor
    """Soft masks, (B, 2, d, h, w)."""
    support: Tensor
    """Support of the edit, (B, 1, d, h, w)."""


class LatentCache:
    """Encodes regions when they are first used.

    Parameters
    ----------
    codec, device, precision : what encodes them, where and how.
    crop : edges in voxels of the part of the working grid that is kept; multiples of the codec's factor.
    memory_gb : encodings kept; those not used for longest go first.
    """

    def __init__(self, codec: Codec, device: str, precision: str, crop: Sequence[int], memory_gb: float) -> None:
        self.codec, self.device, self.precision = codec.eval(), device, precision
        self.crop, self.limit, self.bytes, self.encoded = tuple(crop), memory_gb * 2**30, 0, 0
        self.items: OrderedDict[Key, tuple[Tensor, ...]] = OrderedDict()

    def batch(self, wanted: Sequence[Wanted]) -> Latents:
        """The encodings of some regions, in float32 on the device."""
        parts = zip(*(self._one(item) for item in wanted), strict=True)
        return Latents(*(torch.stack(part).to(self.device).float() for part in parts))

    def _one(self, wanted: Wanted) -> tuple[Tensor, ...]:
        if wanted.key in self.items:
            self.items.move_to_end(wanted.key)
            return self.items[wanted.key]
        # One by one: what a region's encoding rounds to must not depend on which others were missing.
        made = self._encode(wanted)
        self.items[wanted.key] = made
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
        hidden = filled_region(mask)
        y = without_region(v, hidden)
        place = self._place(inside, rng)
        v, y, mask, hidden = (t[(slice(None), slice(None), *place)] for t in (v, y, mask, hidden))
        with autocast(self.device, self.precision):
            z = self.codec.encode(torch.cat([v, y]))
        masks, support = latent_masks(mask, hidden, self.codec.config.factor)
        return tuple(t.half().cpu().clone() for t in (z[0], z[1], masks[0], support[0]))

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


def _size(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
