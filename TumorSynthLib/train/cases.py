"""What is worked out for one scan: its shapes, and the training file of its lesions. Both lie in the cache."""

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from TumorSynthLib.configs import ShapeConfig, WorkConfig
from TumorSynthLib.dataset import TrainImage, TrainingData, save_training_data
from TumorSynthLib.domains import tissue
from TumorSynthLib.errors import ImageError
from TumorSynthLib.intensity import Intensity, fit_intensity
from TumorSynthLib.train.case_cache import CaseCache, Done, save_arrays
from TumorSynthLib.train.case_shapes import chosen_shapes, patient_name, shape_table, stored_shapes
from TumorSynthLib.train.lesions import Cut, healthy_crop, split_lesions
from TumorSynthLib.train.measured import Entry, as_training_data, measured_regions
from TumorSynthLib.train.readers.record import Record, domain_named
from TumorSynthLib.train.readers.scan import Labels, read_labels, read_scan
from TumorSynthLib.train.regions import Plan, ShapeBank
from TumorSynthLib.train.subregions import DEPTH_SHARES, core_if_enough, deepest
from TumorSynthLib.volume import Box, Geometry, Volume


@dataclass(frozen=True)
class Settings:
    """What the result for a scan depends on beside its files."""

    plan: Plan
    """How many regions to draw."""
    work: WorkConfig
    """The working grid."""
    cut: Cut
    """How scans are cut into crops."""
    regions: bool = True
    """False: images alone, which is enough for the codec."""


@dataclass(frozen=True)
class ShapeJob:
    """Works out the shapes of a scan's mask."""

    cache: CaseCache
    """Where they go."""
    cut: Cut
    """Which lesions are left out."""

    def __call__(self, record: Record) -> Done:
        """The shapes of one scan."""
        told = [
            record.patient,
            record.dataset,
            record.tumor,
            record.roi,
            record.shapes,
            asdict(self.cut),
            asdict(ShapeConfig()),
        ]
        path = self.cache.path("shapes", told, *_digests(self.cache, record, record.mask))
        return self.cache.kept(path, lambda place: save_arrays(place, shape_table(record, self.cut)))


@dataclass(frozen=True)
class CaseJob:
    """Works out the training file of a scan."""

    cache: CaseCache
    """Where it goes."""
    settings: Settings
    """How."""
    shapes: tuple[Path, ...] = ()
    """Files of shapes to choose from; none where there are images alone."""

    def __call__(self, record: Record) -> Done:
        """The training file of one scan."""
        chosen = chosen_shapes(record, self.shapes)
        told = {key: value for key, value in asdict(record).items() if key not in ("image", "mask", "split")}
        told["domain"] = asdict(domain_named(record.domain))
        names = [path.stem for path in chosen]
        path = self.cache.path(
            "cases", told, asdict(self.settings), names, *_digests(self.cache, record, record.image, record.mask)
        )
        return self.cache.kept(path, lambda place: save_training_data(place, case_data(record, chosen, self.settings)))


def _digests(cache: CaseCache, record: Record, *paths: Path | None) -> list[str]:
    """Digests of files; the mask of a DICOM object lies on the grid of its scan, which therefore counts too."""
    found = [path for path in paths if path is not None]
    if record.roi and record.image not in found:
        found.append(record.image)
    return [cache.digest(path) for path in found]


def case_data(record: Record, shapes: Sequence[Path], settings: Settings) -> TrainingData:
    """The lesions of a scan, each a crop with its regions; of a scan without tumor one healthy crop.

    Raises
    ------
    ImageError : when scan or mask cannot be read, or the mask has no tumor although there should be one.
    """
    scan = read_scan(record)
    domain = domain_named(record.domain)
    intensity = fit_intensity(scan.array, domain)
    labels = read_labels(record).on(scan.geometry) if record.mask is not None else _no_labels(scan)
    bank = ShapeBank.of([mask for path in shapes for mask in stored_shapes(path)]) if settings.regions else None
    lesions = split_lesions(labels.tumor, scan.geometry, settings.cut)
    if labels.tumor.any() and not lesions:
        message = f"Every tumor of '{record.id}' is smaller than {settings.cut.least_mm3:g} mm3."
        raise ImageError("mask.too_small", message, "It is left out.")
    boxes = [lesion.box.expanded(settings.cut.margin_mm / scan.geometry.spacing, scan.geometry.shape) for lesion in lesions]
    if not lesions:
        boxes = [_healthy_box(scan, intensity, labels, record, settings)]
    images: list[TrainImage] = []
    entries: list[Entry] = []
    for number, box in enumerate(boxes):
        name = f"{record.dataset}/{record.id}" + (f"_{number + 1}" if number else "")
        lesion = lesions[number].inside(box) if lesions else np.zeros(box.shape, dtype=bool)
        image, found = _crop(name, record, scan.cropped(box), intensity, lesion, _cropped(labels, box), bank, settings)
        entries += [(replace(region, image=len(images)), mask, values) for region, mask, values in found]
        images.append(image)
    return as_training_data(images, entries, settings.work)


def _healthy_box(scan: Volume, intensity: Intensity, labels: Labels, record: Record, settings: Settings) -> Box:
    """A crop of a scan without tumor."""
    rng = np.random.default_rng((settings.plan.seed, 3, zlib.crc32(f"{record.dataset}/{record.id}".encode())))
    places = labels.organ if labels.organ.any() else tissue(intensity.normalize(scan.array), domain_named(record.domain))
    return healthy_crop(places & ~labels.other, scan.geometry, settings.cut, rng)


def _crop(
    name: str,
    record: Record,
    crop: Volume,
    intensity: Intensity,
    lesion: np.ndarray,
    labels: Labels,
    bank: ShapeBank | None,
    settings: Settings,
) -> tuple[TrainImage, list[Entry]]:
    """A crop with its regions."""
    other = (labels.tumor | labels.other) & ~lesion
    image = train_image(name, record, crop, intensity)
    image = replace(image, tumors=np.packbits(lesion | other))
    if bank is None:
        return image, []
    core = core_if_enough(_core(name, lesion, labels, crop.geometry, settings), lesion)
    organ = labels.organ if labels.organ.any() else None
    return image, measured_regions(image, lesion, core, other, bank, settings.plan, settings.work, organ)


def train_image(name: str, record: Record, crop: Volume, intensity: Intensity) -> TrainImage:
    """A crop in domain values as int16 counts."""
    domain = domain_named(record.domain)
    u = intensity.normalize(crop.array)
    step = 1.0 if domain.modality == "CT" else max(float(np.abs(u).max()), 1e-6) / 32000.0
    counts = np.clip(np.rint(u / step), -32768, 32767).astype(np.int16)
    return TrainImage(name, patient_name(record), domain, counts, step, crop.geometry, licence=record.licence)


def _core(name: str, lesion: np.ndarray, labels: Labels, geometry: Geometry, settings: Settings) -> np.ndarray:
    """The labeled core of a lesion, else its deepest part."""
    if labels.core is not None:
        return labels.core & lesion
    rng = np.random.default_rng((settings.plan.seed, 2, zlib.crc32(name.encode())))
    return deepest(lesion, geometry, float(rng.uniform(*DEPTH_SHARES)))


def _no_labels(scan: Volume) -> Labels:
    empty = np.zeros(scan.geometry.shape, dtype=bool)
    return Labels(scan.geometry, empty, None, empty, empty)


def _cropped(labels: Labels, box: Box) -> Labels:
    core = None if labels.core is None else labels.core[box.slices]
    geometry = labels.geometry.cropped(box)
    return Labels(geometry, labels.tumor[box.slices], core, labels.other[box.slices], labels.organ[box.slices])
