"""From a folder with ``index.csv`` to one compact training file, so that training needs torch, monai and numpy alone."""

import zlib
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.dataset import TrainImage, TrainingData, load_training_data, save_training_data, shapes_file
from TumorSynthLib.index import domain_of, read_index
from TumorSynthLib.intensity import fit_intensity
from TumorSynthLib.train.case_cache import CaseCache, Done
from TumorSynthLib.train.case_pool import run_cases
from TumorSynthLib.train.measured import Entry, as_training_data, measured_regions
from TumorSynthLib.train.merge import merge_training_files
from TumorSynthLib.train.prepare_report import Case, Report, report_of
from TumorSynthLib.train.prepare_shapes import SOURCES, prepare_shapes
from TumorSynthLib.train.regions import Plan, ShapeBank, draw_regions
from TumorSynthLib.train.subregions import core_of, subregion_file
from TumorSynthLib.volume_io import read_volume

__all__ = ["Plan", "ShapeBank", "draw_regions", "prepare", "prepare_index", "prepare_row", "read_image"]


def read_image(data: Path, row: dict[str, str]) -> TrainImage:
    """The image of an index row, in domain values as int16 counts."""
    domain = domain_of(row)
    volume = read_volume(data / row["file"])
    u = fit_intensity(volume.array, domain).normalize(volume.array)
    step = 1.0 if domain.modality == "CT" else float(np.abs(u).max()) / 32000.0
    counts = np.clip(np.rint(u / step), -32768, 32767).astype(np.int16)
    return TrainImage(row["id"], row["patient_id"], domain, counts, step, volume.geometry, licence=row.get("license") or "")


def prepare_row(
    row: dict[str, str], data: Path, bank: ShapeBank | None, plan: Plan, work: WorkConfig
) -> tuple[TrainImage, list[Entry]]:
    """One image with its regions, packed masks and features; without a bank the image alone."""
    image = read_image(data, row)
    if bank is None:
        return image, []
    tumor, core, other = (np.zeros(image.counts.shape, bool) for _ in range(3))
    if row["mask_file"]:
        labels = read_volume(data / row["mask_file"]).array
        tumor, other = labels == 1, labels > 1
        core = core_of(data, row, tumor, image.geometry, np.random.default_rng((plan.seed, 2, zlib.crc32(image.id.encode()))))
    # Training draws more healthy places, which have to keep clear of these.
    image = replace(image, tumors=np.packbits(tumor | other))
    return image, measured_regions(image, tumor, core, other, bank, plan, work)


@lru_cache(maxsize=1)
def _bank(data: Path, split: str) -> ShapeBank:
    return ShapeBank(data, split)


@dataclass(frozen=True)
class RowJob:
    """Works out the training file of one index row."""

    data: Path
    """Folder of the index."""
    split: str
    """Its split, for the shapes."""
    cache: CaseCache
    """Where the result goes."""
    plan: Plan
    """How many regions to draw."""
    work: WorkConfig
    """The working grid."""
    regions: bool
    """False: the image alone."""

    def __call__(self, row: dict[str, str]) -> Done:
        """The training file of one row."""
        masks = [self.data / row["mask_file"], subregion_file(self.data, row)] if row["mask_file"] else []
        shapes = [self.data / "shapes" / f"{name}_{self.split}.npz" for name in SOURCES] if self.regions else []
        files = [self.data / row["file"], *(path for path in (*masks, *shapes) if path is not None and path.exists())]
        settings = [row, asdict(domain_of(row)), asdict(self.plan), asdict(self.work), self.regions]
        path = self.cache.path("rows", settings, *(self.cache.digest(file) for file in files))
        return self.cache.kept(path, lambda place: save_training_data(place, self._made(row)))

    def _made(self, row: dict[str, str]) -> TrainingData:
        bank = _bank(self.data, self.split) if self.regions else None
        image, entries = prepare_row(row, self.data, bank, self.plan, self.work)
        return as_training_data([image], entries, self.work)


def prepare_index(
    data: Path,
    split: str,
    out: Path,
    plan: Plan | None = None,
    regions: bool = True,
    processes: int = 2,
    cache: Path | None = None,
) -> Report:
    """Read every image of a split, draw regions, measure their features, and write the training file.

    Parameters
    ----------
    data : folder with ``index.csv``, ``images/`` and ``shapes/``.
    split : name of the split in the index.
    out : file to write; the shapes go into ``shapes_file(out)`` beside it.
    plan : how many regions to draw.
    regions : False writes the images alone (enough for the codec).
    processes : worker processes; 0 works in this one.
    cache : folder of finished cases; None is ``out`` with the ending ``.cache``.

    Returns
    -------
    What became of each image. One that cannot be used is left out.

    Raises
    ------
    DataError : when there are no images of the split, or none that can be used.
    """
    rows = read_index(data, split)
    if regions:
        _bank(data, split)  # where there are no shapes, that is known before any work
    place = CaseCache(cache or out.with_suffix(".cache"))
    place.sweep()
    job = RowJob(data, split, place, plan or Plan(), WorkConfig(), regions)
    results = run_cases(rows, job, processes, "prepare")
    cases = [
        Case(row["id"], row["dataset"], domain_of(row).id, row["patient_id"], result, row.get("license") or "")
        for row, result in zip(rows, results, strict=True)
    ]
    report = report_of(cases, (), out)
    merge_training_files(report.files, out)
    if regions:
        prepare_shapes(data, split, shapes_file(out))
    return report


def prepare(
    data: Path, split: str, out: Path, plan: Plan | None = None, regions: bool = True, processes: int = 2
) -> TrainingData:
    """As ``prepare_index``, and the content of the training file."""
    prepare_index(data, split, out, plan, regions, processes)
    return load_training_data(out)
