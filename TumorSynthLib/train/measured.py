"""The regions of an image with the features of the tissue inside, as a training file has them."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.counterfactual import COARSE_MM, draw_change
from TumorSynthLib.dataset import CHANGED, CORE, HEALTHY, PART, REST, TUMOR, Region, TrainImage, TrainingData
from TumorSynthLib.errors import FeatureError
from TumorSynthLib.features import measure_texture
from TumorSynthLib.protocol import TEXTURE_FEATURES
from TumorSynthLib.train.regions import Draw, Plan, ShapeBank, draw_regions, region_views
from TumorSynthLib.volume import Box

Entry = tuple[Region, np.ndarray, list[float]]
"""A region, its packed mask on the working grid, and its features."""
CHANGES = {TUMOR: 6.0, PART: 1.0, CORE: 1.0, REST: 1.0, HEALTHY: 0.5}
"""How often a region of each kind is learned with another look, times ``Plan.changed``."""
LEAST_SPREAD = 0.05
"""Least spread of a change, in domain scales; a region may be all but constant."""


def measured_regions(
    image: TrainImage,
    tumor: np.ndarray,
    core: np.ndarray,
    other: np.ndarray,
    bank: ShapeBank,
    plan: Plan,
    work: WorkConfig,
    organ: np.ndarray | None = None,
) -> list[Entry]:
    """Regions of an image on working grids with the features of the tissue inside; parameters as for ``draw_regions``.

    ``work`` is the working grid.
    """
    key = zlib.crc32(image.id.encode())
    rng, other_rng = (np.random.default_rng((plan.seed, stream, key)) for stream in (1, 3))
    entries: list[Entry] = []
    for draw in draw_regions(image, tumor, core, other, bank, plan, organ):
        u = image.counts[draw.box.slices] * np.float32(image.step)
        values = _features(image, draw, u)
        if values is None:
            continue
        views = plan.tumor if draw.kind == TUMOR else 1
        for region, mask in region_views(image, 0, draw, views, work, rng):
            entries.append((region, np.packbits(mask), values))
        entries += _changed(image, draw, plan, work, other_rng)
    return entries


def _changed(image: TrainImage, draw: Draw, plan: Plan, work: WorkConfig, rng: np.random.Generator) -> Iterator[Entry]:
    """The region with its look changed and its features measured anew, as often as the plan says for its kind."""
    wanted = plan.changed * CHANGES[draw.kind]
    for _ in range(int(wanted) + int(rng.random() < wanted % 1.0)):
        box, inner = _widened(draw.box, image)
        inside = np.zeros(box.shape, bool)
        inside[inner] = draw.mask
        u = image.counts[box.slices] * np.float32(image.step)
        change = draw_change(rng, max(float(u[inside].std()), LEAST_SPREAD * image.domain.scale))
        changed = change.apply(u, inside, image.geometry.cropped(box), image.lowest)
        values = _features(image, draw, changed[inner])
        if values is None:
            continue
        for region, mask in region_views(image, 0, draw, 1, work, rng):
            yield replace(region, kind=CHANGED, change=change), np.packbits(mask), values


def _widened(box: Box, image: TrainImage) -> tuple[Box, tuple[slice, ...]]:
    """A box with as much around it as a change looks at, and where the box lies in it."""
    around = np.ceil(3.0 * COARSE_MM / image.geometry.spacing).astype(int)
    start = np.maximum(np.array(box.start) - around, 0)
    stop = np.minimum(np.array(box.stop) + around, image.geometry.shape)
    inner = tuple(slice(a - b, a - b + n) for a, b, n in zip(box.start, start.tolist(), box.shape, strict=True))
    return Box(tuple(start.tolist()), tuple(stop.tolist())), inner


def _features(image: TrainImage, draw: Draw, u: np.ndarray) -> list[float] | None:
    """Texture features of values in the region's box, NaN where undefined; None where the region has too few voxels."""
    try:
        measured = measure_texture(u, draw.mask, image.geometry.cropped(draw.box), image.domain.radiomics)
    except FeatureError:
        return None
    return [measured.get(name, float("nan")) for name in TEXTURE_FEATURES]


def as_training_data(images: Sequence[TrainImage], entries: Sequence[Entry], work: WorkConfig) -> TrainingData:
    """Images and regions as a training file has them."""
    return TrainingData(
        tuple(images),
        tuple(region for region, _, _ in entries),
        np.array([mask for _, mask, _ in entries], dtype=np.uint8).reshape(len(entries), (work.size**3 + 7) // 8),
        np.array([values for _, _, values in entries], dtype=np.float32).reshape(len(entries), len(TEXTURE_FEATURES)),
        TEXTURE_FEATURES,
        work,
    )
