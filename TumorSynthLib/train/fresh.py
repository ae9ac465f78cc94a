"""Healthy regions drawn from the scans while training goes on, so that the bridge never runs out of tissue it has not seen.

Any masked region with its own measured features is an example. A training file holds a fixed number of them, which a long
training learns by heart. Region number n of a seed is always the same region, whoever asks for it and whenever.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TumorSynthLib.dataset import HEALTHY, TUMOR, Region, TrainImage, TrainingData, flip
from TumorSynthLib.domains import tissue
from TumorSynthLib.errors import FeatureError
from TumorSynthLib.features import measure_texture
from TumorSynthLib.train.codec_data import image_weights
from TumorSynthLib.train.common import is_validation
from TumorSynthLib.train.mask_bank import MaskBank, mask_bank
from TumorSynthLib.train.regions import Draw, region_views
from TumorSynthLib.train.rim_statistics import native_mask
from TumorSynthLib.volume import Box, work_grid

RADIUS_MM = (4.0, 26.0)
"""Smallest and largest equivalent radius of a region."""
LEAST_VOXELS = 60
"""Smallest region on the scan's own grid."""
LEAST_TISSUE = 0.9
"""Share of a region that must be tissue rather than air."""
_IMAGES, _PLACES = 3, 40
_STREAM = 7
_KNOWN_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class FreshRegion:
    """A healthy region that is not in the training file."""

    region: Region
    """Where it is."""
    mask: np.ndarray
    """Bit-packed mask on its (flipped) working grid."""
    features: np.ndarray
    """Measured features that have a token, float32."""


class FreshRegions:
    """An endless sequence of healthy regions.

    Parameters
    ----------
    data : training file; images of held-out patients, and those in which nobody found a healthy place, are left alone.
    bank : shapes to cut with.
    tokens : names of the features to measure; none where nobody asks for them.
    seed : of the sequence.
    kept : regions kept in memory.
    """

    def __init__(self, data: TrainingData, bank: MaskBank, tokens: Sequence[str], seed: int, kept: int) -> None:
        self.data, self.bank, self.tokens, self.seed, self.kept = data, bank, tokens, seed, kept
        usable = {region.image for region in data.regions if region.kind == HEALTHY}
        self.numbers = sorted(n for n in usable if not is_validation(data.images[n].patient))
        self.weights = image_weights([data.images[n] for n in self.numbers])
        self.tumors = {n: self._tumors(n) for n in self.numbers}
        self.found: OrderedDict[int, FreshRegion | None] = OrderedDict()

    def region(self, number: int) -> FreshRegion | None:
        """The region of that number; None where a fair number of tries found no place, or a feature is undefined there."""
        if number not in self.found:
            self.found[number] = self._draw(np.random.default_rng((self.seed, _STREAM, number))) if self.numbers else None
            if len(self.found) > self.kept:
                self.found.popitem(last=False)
        return self.found[number]

    def load(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Network input and mask on the working grid, (size, size, size)."""
        found = self.region(number)
        assert found is not None
        image, size = self.data.images[found.region.image], self.data.work.size
        grid = work_grid(image.geometry, np.array(found.region.center), found.region.spacing, size)
        mask = np.unpackbits(found.mask)[: size**3].reshape(size, size, size).astype(bool)
        return flip(image.patch(grid), found.region.flips), mask

    def _draw(self, rng: np.random.Generator) -> FreshRegion | None:
        for _ in range(_IMAGES):
            # Places are tried in one image: an image full of air must not lose its turn to one that is all tissue.
            number = self.numbers[int(rng.choice(len(self.numbers), p=self.weights))]
            geometry, tumors = self.data.images[number].geometry, self._unpacked(number)
            for _ in range(_PLACES):
                at = rng.integers(0, geometry.shape)
                radius = float(np.exp(rng.uniform(*np.log(RADIUS_MM))))
                if not self._is_clear(
                    number, tumors, Box(tuple(at.tolist()), tuple((at + 1).tolist())), np.ones((1, 1, 1), bool)
                ):
                    continue
                mask, box = self.bank.draw(rng, geometry, geometry.to_ras(at), radius)
                if mask.sum() >= LEAST_VOXELS and self._is_clear(number, tumors, box, mask):
                    return self._measured(number, mask, box, rng)
        return None

    def _is_clear(self, number: int, tumors: np.ndarray, box: Box, mask: np.ndarray) -> bool:
        """Whether a mask in a box of an image lies in tissue and touches no tumor."""
        image = self.data.images[number]
        u = image.counts[box.slices] * np.float32(image.step)
        return bool(tissue(u, image.domain)[mask].mean() >= LEAST_TISSUE and not tumors[box.slices][mask].any())

    def _unpacked(self, number: int) -> np.ndarray:
        shape = self.data.images[number].geometry.shape
        return np.unpackbits(self.tumors[number])[: math.prod(shape)].reshape(shape)

    def _measured(self, number: int, mask: np.ndarray, box: Box, rng: np.random.Generator) -> FreshRegion | None:
        image = self.data.images[number]
        u = image.counts[box.slices] * np.float32(image.step)
        try:
            measured = measure_texture(u, mask, image.geometry.cropped(box), image.domain.radiomics, self.tokens)
        except FeatureError:
            return None
        features = np.array([measured[name] for name in self.tokens], dtype=np.float32)
        for region, view in region_views(image, number, Draw(HEALTHY, mask, box), 1, self.data.work, rng):
            return FreshRegion(region, np.packbits(view), features)
        return None

    def _tumors(self, number: int) -> np.ndarray:
        """Bit-packed voxels of the tumors of an image; from its tumor regions where the training file does not say."""
        image = self.data.images[number]
        if image.tumors is not None:
            return image.tumors
        found = np.zeros(image.geometry.shape, dtype=bool)
        for index, region in enumerate(self.data.regions):
            if region.image == number and region.kind == TUMOR:
                box, share = native_mask(self.data, index)
                found[box.slices] |= share > _KNOWN_SHARE
        return np.packbits(found)


def fresh_regions(path: Path, data: TrainingData, tokens: Sequence[str], seed: int, kept: int) -> FreshRegions:
    """Fresh regions of a training file, cut with the shapes beside it."""
    return FreshRegions(data, mask_bank(path, data), tokens, seed, kept)


def says_where_tumors_are(images: Sequence[TrainImage]) -> bool:
    """Whether a training file knows all tumors of its images; older ones know those that are regions."""
    return all(image.tumors is not None for image in images)
