"""Which regions of an image are trained on: views of its tumor, parts of it, and healthy places, cut with real tumor shapes."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.dataset import CORE, HEALTHY, PART, REST, TUMOR, Region, TrainImage, choose_spacing, flip
from TumorSynthLib.domains import tissue
from TumorSynthLib.errors import DataError
from TumorSynthLib.resample import resample
from TumorSynthLib.shape_files import read_shapes
from TumorSynthLib.train.prepare_shapes import SOURCES
from TumorSynthLib.volume import Box, Geometry, mask_box, work_grid

COUNTS = {"tumor": 2, "part": 8, "healthy": 18}
"""Regions drawn per image: views of the whole tumor, parts of it, and healthy places."""
SHAPES_PER_SOURCE = 150
"""About how many shapes of each source regions are cut with."""


@dataclass(frozen=True)
class Plan:
    """How many regions to draw."""

    tumor: int = COUNTS["tumor"]
    """Views of the whole tumor per image."""
    part: int = COUNTS["part"]
    """Parts of the tumor per image."""
    healthy: int = COUNTS["healthy"]
    """Healthy places per image."""
    changed: float = 1.0
    """How many regions have their look changed, as a multiple of the usual number; 0 leaves all as they are."""
    seed: int = 0
    """Seed of all draws."""


class ShapeBank:
    """Real tumor shapes to cut regions with."""

    def __init__(self, data: Path, split: str) -> None:
        self.items: list[np.ndarray] = []
        for name in SOURCES:
            path = data / "shapes" / f"{name}_{split}.npz"
            if path.exists():
                masks = [stored.mask for stored in read_shapes(path)]
                self.items += [mask.astype(np.float32) for mask in masks[:: max(1, len(masks) // SHAPES_PER_SOURCE)]]
        if not self.items:
            raise DataError("data.shapes", f"No shapes of the split {split!r} in {data / 'shapes'}.")

    @classmethod
    def of(cls, masks: Sequence[np.ndarray]) -> "ShapeBank":
        """A bank of the given masks, bool (i, j, k) on grids of equal steps along all axes."""
        bank = cls.__new__(cls)
        bank.items = [mask.astype(np.float32) for mask in masks]
        return bank

    def draw(self, rng: np.random.Generator, geometry: Geometry, center: np.ndarray, radius: float) -> tuple[np.ndarray, Box]:
        """A randomly turned real shape of the given equivalent radius (mm): its mask in a box of ``geometry``."""
        values = self.items[int(rng.integers(len(self.items)))]
        scale = radius / (3.0 * values.sum() / (4.0 * np.pi)) ** (1.0 / 3.0)
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        affine = np.eye(4)
        affine[:3, :3] = turn * scale
        middle = np.array(
            [
                np.average(np.arange(n), weights=values.sum(axis=tuple(a for a in range(3) if a != axis)))
                for axis, n in enumerate(values.shape)
            ]
        )
        affine[:3, 3] = center - affine[:3, :3] @ middle
        reach = np.ceil(np.linalg.norm(np.array(values.shape)) * scale / 2 / geometry.spacing) + 1
        at = np.rint(geometry.to_ijk(center))
        start = np.clip(at - reach, 0, np.array(geometry.shape) - 1).astype(int)
        stop = np.clip(at + reach + 1, start + 1, np.array(geometry.shape)).astype(int)
        box = Box(tuple(start.tolist()), tuple(stop.tolist()))
        inside = resample(values, Geometry(values.shape, affine), geometry.cropped(box), outside=0.0) > 0.5
        return inside, box


@dataclass(frozen=True, eq=False)
class Draw:
    """One region before it is put on working grids."""

    kind: int
    mask: np.ndarray
    box: Box


def draw_regions(
    image: TrainImage,
    tumor: np.ndarray,
    core: np.ndarray,
    other: np.ndarray,
    bank: ShapeBank,
    plan: Plan,
    organ: np.ndarray | None = None,
) -> Iterator[Draw]:
    """Regions of one image: the tumor, its core and the rest of it, parts, and healthy places that keep clear of any tumor.

    Parameters
    ----------
    image : the image.
    tumor, core, other : the tumor, its core, and further lesions, bool on the image's grid.
    bank : shapes to cut with.
    plan : how many regions to draw.
    organ : the healthy organ around, where it is labeled; every second healthy place then lies in it.
    """
    rng = np.random.default_rng((plan.seed, zlib.crc32(image.id.encode())))
    u = image.counts * np.float32(image.step)
    inside = tissue(u, image.domain)
    if tumor.any():
        box = mask_box(tumor)
        yield Draw(TUMOR, tumor[box.slices], box)
        if core.any():
            inner = mask_box(core)
            yield Draw(CORE, core[inner.slices], inner)
            yield Draw(REST, (tumor & ~core)[box.slices], box)
        yield from _parts(image, tumor, bank, plan, rng)
    yield from _healthy(image, inside & ~(tumor | other), tumor | other, organ, bank, plan, rng)


def _healthy(
    image: TrainImage,
    free: np.ndarray,
    tumors: np.ndarray,
    organ: np.ndarray | None,
    bank: ShapeBank,
    plan: Plan,
    rng: np.random.Generator,
) -> Iterator[Draw]:
    """Real shapes at places without tumor."""
    places = np.argwhere(free)
    within = np.argwhere(free & organ) if organ is not None else places[:0]
    found = tries = 0
    while found < plan.healthy and tries < 8 * plan.healthy and len(places):
        tries += 1
        chosen = within if len(within) and tries % 2 else places
        center = image.geometry.to_ras(chosen[int(rng.integers(len(chosen)))])
        radius = float(np.exp(rng.uniform(np.log(4.0), np.log(26.0))))
        mask, box = bank.draw(rng, image.geometry, center, radius)
        if mask.sum() < 60 or free[box.slices][mask].mean() < 0.9 or tumors[box.slices][mask].any():
            continue
        found += 1
        yield Draw(HEALTHY, mask, box)


def _parts(image: TrainImage, tumor: np.ndarray, bank: ShapeBank, plan: Plan, rng: np.random.Generator) -> Iterator[Draw]:
    """Real shapes cut out of the tumor."""
    places = np.argwhere(tumor)
    whole = (3.0 * len(places) * image.geometry.voxel_volume_mm3 / (4.0 * np.pi)) ** (1.0 / 3.0)
    for _ in range(plan.part):
        center = image.geometry.to_ras(places[int(rng.integers(len(places)))])
        radius = float(rng.uniform(0.35, 0.75) * whole)
        mask, box = bank.draw(rng, image.geometry, center, min(radius, 30.0))
        mask = mask & tumor[box.slices]
        if mask.sum() >= 100:
            yield Draw(PART, mask, box)


def region_views(
    image: TrainImage, number: int, draw: Draw, views: int, work: WorkConfig, rng: np.random.Generator
) -> Iterator[tuple[Region, np.ndarray]]:
    """The region on working grids with jittered center, spacing and flips, and its mask there."""
    tight = mask_box(draw.mask)
    points = image.geometry.cropped(draw.box)
    corners = points.to_ras(np.array([tight.start, np.array(tight.stop) - 1]))
    extent = float((np.array(tight.shape) * image.geometry.spacing).max())
    volume = float(draw.mask.sum() * image.geometry.voxel_volume_mm3)
    for _ in range(views):
        spacing = choose_spacing(extent, image.geometry.spacing, work) * float(rng.uniform(1.0, 1.25))
        center = corners.mean(axis=0) + rng.uniform(-2.0, 2.0, 3) * spacing
        flips = tuple(bool(f) for f in rng.integers(0, 2, 3))
        grid = work_grid(image.geometry, center, spacing, work.size)
        mask = resample(draw.mask, points, grid, outside=0.0) > 0.5
        if mask.sum() >= 8:
            place = (float(center[0]), float(center[1]), float(center[2]))
            yield Region(number, draw.kind, place, spacing, (flips[0], flips[1], flips[2]), volume), flip(mask, flips)
