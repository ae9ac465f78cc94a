"""The arms of the downstream table: where the training patches of a segmenter come from.

All arms see the same real images in the same order. Those that make tumors put them into real training images, at sites that
are drawn in the same way, in half of the patches; what differs is the tumor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from TumorSynthLib.compositing import composite, soft_border
from TumorSynthLib.errors import GeometryError
from TumorSynthLib.evaluate.handmade import plain_texture, typical_level
from TumorSynthLib.handmade_shape import bent_ellipsoid
from TumorSynthLib.insertion import Inserter, Site
from TumorSynthLib.resample import resample
from TumorSynthLib.segmentation.images import LabeledImage, Sample, isotropic, kind_of
from TumorSynthLib.segmentation.patches import batch_of, draw_patch, varied
from TumorSynthLib.volume import Geometry, Volume, mask_box

ARMS = ("real", "augmented", "copy_paste", "handmade", "tumorsynth")
"""``real`` as it is; ``augmented`` classically; the others augmented as well, with made tumors beside."""
MADE_SHARE = 0.5
"""Share of the patches that show a made tumor."""
POOL, EVERY = 8, 4
"""Made tumors that are kept for later patches, and steps between two new ones: a new one costs more than a step."""


@dataclass(frozen=True, eq=False)
class Working:
    """A training image on the isotropic working grid, in stored values."""

    image: LabeledImage
    """As read."""
    scan: Volume
    """Stored values on the working grid."""
    tumor: np.ndarray
    """Its tumors there, bool."""

    def sample(self, scan: Volume | None = None, tumor: np.ndarray | None = None) -> Sample:
        """What the network sees, of this scan or of another one made from it."""
        array = (scan or self.scan).array
        v = self.image.intensity.to_input(self.image.intensity.normalize(array))
        return Sample(v, self.tumor if tumor is None else self.tumor | tumor, kind_of(self.image.domain))


@dataclass(frozen=True, eq=False)
class Made:
    """A training image with a made tumor."""

    sample: Sample
    """Image and all tumors."""
    new: np.ndarray
    """The made one."""


Maker = Callable[[Working, Site, np.random.Generator], tuple[Volume, np.ndarray]]
"""Puts a tumor at a site: the scan with it, and its mask."""


def working(image: LabeledImage, spacing_mm: float) -> Working:
    """An image on the working grid."""
    grid = isotropic(image.scan.geometry, spacing_mm)
    array = resample(image.scan.array, image.scan.geometry, grid)
    tumor = resample(image.tumor, image.scan.geometry, grid, outside=0.0) > 0.5
    return Working(image, Volume(array, grid, image.scan.unit), tumor)


class Arm:
    """Draws the batches of one training; each depends on the seed and the step alone.

    Parameters
    ----------
    images : of the training patients.
    augment : whether patches are varied classically.
    maker : of tumors, with the finder of their sites; None leaves the images as they are.
    seed : of the training.
    """

    def __init__(
        self, images: Sequence[Working], augment: bool, maker: tuple[Maker, Inserter] | None = None, seed: int = 0
    ) -> None:
        self.images, self.augment, self.maker, self.seed = images, augment, maker, seed
        self._samples = [image.sample() for image in images]
        self._pool: dict[int, Made | None] = {}

    def batch(self, step: int, count: int, size: int) -> tuple[Tensor, Tensor]:
        """Network input and target of a step."""
        patches = []
        for number in range(count):
            rng = np.random.default_rng((self.seed, step, number))
            sample, focus = self._samples[int(rng.integers(len(self._samples)))], None
            if self.maker is not None and rng.random() < MADE_SHARE:
                made = self._made(step, rng)
                if made is not None:
                    sample, focus = made.sample, made.new
            patch = draw_patch(sample, size, rng, focus)
            patches.append(varied(patch, rng) if self.augment else patch)
        return batch_of(patches, [self._samples[0].kind] * count)

    def _made(self, step: int, rng: np.random.Generator) -> Made | None:
        """One of the newest made tumors; None where the one drawn found no place."""
        newest = step // EVERY
        oldest = max(0, newest - POOL + 1)
        for number in [key for key in self._pool if key < oldest]:
            del self._pool[number]
        number = int(rng.integers(oldest, newest + 1))
        if number not in self._pool:
            self._pool[number] = self._make(np.random.default_rng((self.seed, 1_000_003, number)))
        return self._pool[number]

    def _make(self, rng: np.random.Generator) -> Made | None:
        assert self.maker is not None
        make, inserter = self.maker
        host = self.images[int(rng.integers(len(self.images)))]
        try:
            site = inserter.sites.find(host.scan, rng, None, host.tumor)
            scan, new = make(host, site, rng)
        except GeometryError:
            return None
        return Made(host.sample(scan, new), new)


def arm(name: str, images: Sequence[Working], inserter: Inserter, seed: int) -> Arm:
    """An arm by its name in ``ARMS``."""
    makers: dict[str, Maker] = {
        "copy_paste": CopyPaste(images),
        "handmade": HandMade(inserter.models.bundle.exemplars(inserter.domain.id)),
        "tumorsynth": Synthetic(inserter),
    }
    return Arm(images, name != "real", (makers[name], inserter) if name in makers else None, seed)


class Synthetic:
    """Tumors of the bundle under test."""

    def __init__(self, inserter: Inserter) -> None:
        self.inserter = inserter

    def __call__(self, host: Working, site: Site, rng: np.random.Generator) -> tuple[Volume, np.ndarray]:
        """A tumor whose texture is drawn for its shape."""
        made = self.inserter.insert_at(host.scan, site, rng)
        return made.scan, made.mask


class HandMade:
    """Bent ellipsoids of a real tumor's level with plain noise."""

    def __init__(self, exemplars: list[dict[str, float]]) -> None:
        self.exemplars = exemplars

    def __call__(self, host: Working, site: Site, rng: np.random.Generator) -> tuple[Volume, np.ndarray]:
        """An ellipsoid of the site's volume."""
        level = typical_level(self.exemplars, rng)
        if level is None:
            raise GeometryError("handmade.level", "The bundle knows no tumor of this domain.", "Choose another modality.")
        geometry = host.scan.geometry
        mask = bent_ellipsoid(geometry, np.array(site.at), site.volume_mm3, rng)
        return _blended(host, plain_texture(geometry, level, rng), mask)


class CopyPaste:
    """Real tumors of other training images, scaled to the site's volume and turned about by flips."""

    def __init__(self, donors: Sequence[Working]) -> None:
        self.donors = [donor for donor in donors if donor.tumor.any()]

    def __call__(self, host: Working, site: Site, rng: np.random.Generator) -> tuple[Volume, np.ndarray]:
        """A donor's tumor, its values as the donor's normalization sees them."""
        donor = self.donors[int(rng.integers(len(self.donors)))]
        box = mask_box(donor.tumor).expanded(np.full(3, 1), donor.tumor.shape)
        axes = tuple(int(axis) for axis in np.flatnonzero(rng.random(3) < 0.5))
        u = np.flip(donor.image.intensity.normalize(donor.scan.array[box.slices]), axes)
        tumor = np.flip(donor.tumor[box.slices], axes)
        geometry = host.scan.geometry
        shrunk = float(np.cbrt(site.volume_mm3 / (tumor.sum() * donor.scan.geometry.voxel_volume_mm3)))
        affine = geometry.affine.copy()
        affine[:3, :3] *= shrunk * donor.scan.geometry.spacing / geometry.spacing
        affine[:3, 3] = np.array(site.at) - affine[:3, :3] @ np.argwhere(tumor).mean(axis=0)
        grid = Geometry(tumor.shape, affine)
        mask = resample(np.ascontiguousarray(tumor), grid, geometry, outside=0.0) > 0.5
        if not mask.any():
            raise GeometryError("copy_paste.empty", "The pasted tumor is smaller than a voxel.", "Wish for larger tumors.")
        return _blended(host, resample(np.ascontiguousarray(u), grid, geometry), mask)


def _blended(host: Working, u: np.ndarray, mask: np.ndarray) -> tuple[Volume, np.ndarray]:
    """A tumor's domain values in a scan, with the soft border of every edit."""
    made = host.image.intensity.denormalize(u)
    values = composite(host.scan.array, made, soft_border(mask, host.scan.geometry.spacing))
    return Volume(values, host.scan.geometry, host.scan.unit), mask
