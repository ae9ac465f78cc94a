"""From a folder with ``index.csv`` to one compact training file, so that training needs torch, monai and numpy alone."""

import multiprocessing
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.dataset import (
    CORE,
    HEALTHY,
    PART,
    REST,
    TUMOR,
    Region,
    TrainImage,
    TrainingData,
    choose_spacing,
    flip,
    save_training_data,
    shapes_file,
)
from TumorSynthLib.domains import tissue
from TumorSynthLib.errors import DataError, FeatureError
from TumorSynthLib.features import measure_texture
from TumorSynthLib.index import domain_of, read_index
from TumorSynthLib.intensity import fit_intensity
from TumorSynthLib.protocol import TEXTURE_FEATURES
from TumorSynthLib.resample import resample
from TumorSynthLib.shape_files import read_shapes
from TumorSynthLib.train.prepare_shapes import SOURCES, prepare_shapes
from TumorSynthLib.train.subregions import core_of
from TumorSynthLib.volume import Box, Geometry, mask_box, work_grid
from TumorSynthLib.volume_io import read_volume

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
    seed: int = 0
    """Seed of all draws."""


def read_image(data: Path, row: dict[str, str]) -> TrainImage:
    """The image of an index row, in domain values as int16 counts."""
    domain = domain_of(row)
    volume = read_volume(data / row["file"])
    u = fit_intensity(volume.array, domain).normalize(volume.array)
    step = 1.0 if domain.modality == "CT" else float(np.abs(u).max()) / 32000.0
    counts = np.clip(np.rint(u / step), -32768, 32767).astype(np.int16)
    return TrainImage(row["id"], row["patient_id"], domain, counts, step, volume.geometry)


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
    image: TrainImage, tumor: np.ndarray, core: np.ndarray, other: np.ndarray, bank: ShapeBank, plan: Plan
) -> Iterator[Draw]:
    """Regions of one image: the tumor, its core and the rest of it, parts, and healthy places that keep clear of any tumor."""
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
    tumors = tumor | other
    free = inside & ~tumors
    places = np.argwhere(free)
    found = tries = 0
    while found < plan.healthy and tries < 8 * plan.healthy and len(places):
        tries += 1
        center = image.geometry.to_ras(places[int(rng.integers(len(places)))])
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


def prepare_row(
    row: dict[str, str], data: Path, bank: ShapeBank | None, plan: Plan, work: WorkConfig
) -> tuple[TrainImage, list[tuple[Region, np.ndarray, list[float]]]]:
    """One image with its regions, packed masks and features; without a bank the image alone."""
    image = read_image(data, row)
    if bank is None:
        return image, []
    tumor, core, other = (np.zeros(image.counts.shape, bool) for _ in range(3))
    rng = np.random.default_rng((plan.seed, 1, zlib.crc32(image.id.encode())))
    if row["mask_file"]:
        labels = read_volume(data / row["mask_file"]).array
        tumor, other = labels == 1, labels > 1
        core = core_of(data, row, tumor, image.geometry, np.random.default_rng((plan.seed, 2, zlib.crc32(image.id.encode()))))
    entries = []
    for draw in draw_regions(image, tumor, core, other, bank, plan):
        u = image.counts[draw.box.slices] * np.float32(image.step)
        geometry = image.geometry.cropped(draw.box)
        try:
            measured = measure_texture(u, draw.mask, geometry, image.domain.radiomics)
        except FeatureError:
            continue
        values = [measured.get(name, float("nan")) for name in TEXTURE_FEATURES]
        views = plan.tumor if draw.kind == TUMOR else 1
        for region, mask in region_views(image, 0, draw, views, work, rng):
            entries.append((region, np.packbits(mask), values))
    return image, entries


def prepare(
    data: Path, split: str, out: Path, plan: Plan | None = None, regions: bool = True, processes: int = 2
) -> TrainingData:
    """Read every image of a split, draw regions, measure their features, and write the training file.

    Parameters
    ----------
    data : folder with ``index.csv``, ``images/`` and ``shapes/``.
    split : name of the split in the index.
    out : file to write; the shapes go into ``shapes_file(out)`` beside it.
    plan : how many regions to draw.
    regions : False writes the images alone (enough for the codec).
    processes : worker processes.
    """
    rows = read_index(data, split)
    plan, work = plan or Plan(), WorkConfig()
    bank = ShapeBank(data, split) if regions else None
    job = partial(prepare_row, data=data, bank=bank, plan=plan, work=work)
    images: list[TrainImage] = []
    entries: list[tuple[Region, np.ndarray, list[float]]] = []
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for image, found in tqdm(pool.imap(job, rows), total=len(rows), desc="prepare", unit="image"):
            entries += [(replace(region, image=len(images)), mask, values) for region, mask, values in found]
            images.append(image)
    result = TrainingData(
        tuple(images),
        tuple(region for region, _, _ in entries),
        np.array([mask for _, mask, _ in entries], dtype=np.uint8).reshape(len(entries), (work.size**3 + 7) // 8),
        np.array([values for _, _, values in entries], dtype=np.float32).reshape(len(entries), len(TEXTURE_FEATURES)),
        TEXTURE_FEATURES,
        work,
    )
    save_training_data(out, result)
    if regions:
        prepare_shapes(data, split, shapes_file(out))
    return result
