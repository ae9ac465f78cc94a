"""From public data sets, as they are downloaded, to one training file."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from TumorSynthLib.configs import ShapeConfig, WorkConfig
from TumorSynthLib.dataset import shapes_file
from TumorSynthLib.errors import DataError
from TumorSynthLib.train.case_cache import CaseCache, Done
from TumorSynthLib.train.case_pool import run_cases
from TumorSynthLib.train.cases import CaseJob, Settings, ShapeJob
from TumorSynthLib.train.lesions import Cut
from TumorSynthLib.train.merge import merge_training_files
from TumorSynthLib.train.prepare import prepare_index
from TumorSynthLib.train.prepare_report import Case, Report, report_of
from TumorSynthLib.train.prepare_shapes import FEATURES, write_shape_rows
from TumorSynthLib.train.readers.find import read_dataset
from TumorSynthLib.train.readers.parts import TEST_SHARE, choose_part
from TumorSynthLib.train.readers.record import ReaderOptions, Record, Skipped
from TumorSynthLib.train.regions import Plan

INDEX = "index"
"""Name of the layout with an ``index.csv``, which ``prepare_index`` reads."""


@dataclass(frozen=True)
class Wanted:
    """Which scans of which data sets."""

    split: str = "train"
    """``train``, ``test`` or ``all``; for an ``index.csv`` a split that it names."""
    dataset: str = ""
    """Name of the reader; empty: the layout is recognized."""
    reader: ReaderOptions = field(default_factory=ReaderOptions)
    """What the files do not say."""
    domains: tuple[str, ...] = ()
    """Domains to keep; empty: all."""
    patients: int | None = None
    """Most patients of each data set."""
    seed: int = 0
    """Seed of split, choice of patients, and regions."""
    test_share: float = TEST_SHARE
    """Share of the patients in the test part, where a data set has no split of its own."""


def prepare_data(
    folders: Sequence[Path],
    out: Path,
    wanted: Wanted,
    processes: int = 2,
    cache: Path | None = None,
    settings: Settings | None = None,
) -> Report:
    """Write the training file of one part of one or several data sets, and its shapes beside it.

    Parameters
    ----------
    folders : data sets as they were downloaded and unpacked, or one folder with an ``index.csv``.
    out : file to write.
    wanted : which scans.
    processes : worker processes; 0 works in this one.
    cache : folder of finished cases; None is ``out`` with the ending ``.cache``. A run that was killed goes on from there.
    settings : how many regions, and how scans are cut.

    Returns
    -------
    What became of each scan. One that cannot be used is left out with its reason, and the others go on.

    Raises
    ------
    DataError : when a folder holds no known data set, or no scan can be used.
    """
    if any((folder / "index.csv").exists() for folder in folders) and wanted.dataset in ("", INDEX):
        if len(folders) > 1:
            raise DataError("data.folders", "A folder with index.csv cannot be mixed with others.", "Prepare it on its own.")
        return prepare_index(folders[0], wanted.split, out, Plan(seed=wanted.seed), processes=processes, cache=cache)
    records, skipped = wanted_records(folders, wanted)
    settings = settings or Settings(Plan(seed=wanted.seed), WorkConfig(), Cut())
    place = CaseCache(cache or out.with_suffix(".cache"))
    place.sweep()
    shapes = _shape_files(records, place, settings, processes) if settings.regions else []
    results = run_cases(records, CaseJob(place, settings, tuple(shapes)), processes, "scans")
    cases = [
        Case(record.id, record.dataset, record.domain, record.patient, result, record.licence)
        for record, result in zip(records, results, strict=True)
    ]
    report = report_of(cases, skipped, out)
    merge_training_files(report.files, out)
    if settings.regions:
        _merge_shapes(shapes, shapes_file(out))
    return report


def wanted_records(folders: Sequence[Path], wanted: Wanted) -> tuple[list[Record], list[Skipped]]:
    """The scans to work on, and those that were left out.

    Raises
    ------
    DataError : when there are none.
    """
    listings = [read_dataset(folder, wanted.dataset, wanted.reader) for folder in folders]
    skipped = [entry for listing in listings for entry in listing.skipped]
    unique: dict[tuple[str, str], Record] = {}
    for record in (record for listing in listings for record in listing.records):
        if unique.setdefault((record.dataset, record.id), record) is not record:
            skipped.append(Skipped(record.id, record.dataset, "Another scan has the same name."))
    chosen = choose_part(list(unique.values()), wanted.split, wanted.seed, wanted.test_share)
    found = sorted({record.domain for record in chosen})
    chosen = [record for record in chosen if not wanted.domains or record.domain in wanted.domains]
    if not chosen:
        message = f"No scan is of the domains {', '.join(wanted.domains)}; found: {', '.join(found)}."
        raise DataError("data.domain", message, "Choose one of those that were found.")
    if wanted.patients is not None:
        chosen = _fewer(chosen, wanted.patients, wanted.seed)
    return chosen, skipped


def _fewer(records: Iterable[Record], most: int, seed: int) -> list[Record]:
    """The records of at most so many patients of each data set, chosen by hash."""
    kept: dict[str, set[str]] = {}
    records = list(records)
    for dataset in {record.dataset for record in records}:
        names = {record.patient for record in records if record.dataset == dataset}
        kept[dataset] = set(sorted(names, key=lambda name: (zlib.crc32(f"{seed}/{name}".encode()), name))[:most])
    return [record for record in records if record.patient in kept[record.dataset]]


def _shape_files(records: Sequence[Record], place: CaseCache, settings: Settings, processes: int) -> list[Path]:
    """Files with the shapes of every mask, once each, without those that have none.

    Raises
    ------
    DataError : when there is no whole tumor.
    """
    masks = {(record.mask, record.tumor, record.roi): record for record in records if record.mask is not None}
    results = run_cases(list(masks.values()), ShapeJob(place, settings.cut), processes, "shapes")
    found = dict.fromkeys(result.path for result in results if isinstance(result, Done))
    whole = [path for path in found if _holds_shapes(path)]
    if not whole:
        reasons = {result.reason for result in results if not isinstance(result, Done)} or {"they are empty, small or cut"}
        message = f"No tumor lies whole in any of {len(masks)} masks ({'; '.join(sorted(reasons)[:3])})."
        raise DataError("data.shapes", message, "Regions are cut with the shapes of whole tumors; give scans that show some.")
    return whole


def _holds_shapes(path: Path) -> bool:
    with np.load(path, allow_pickle=False) as file:
        return bool(len(file["sizes"]))


def _merge_shapes(paths: Sequence[Path], out: Path) -> None:
    """All shapes as the file of the shape generator."""
    rows = []
    names = ("fields", "semi_axes", "features", "organ", "patients")
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            columns = [file[name] for name in names]
        rows += [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    assert len(rows[0]["features"]) == len(FEATURES)
    write_shape_rows(rows, out, ShapeConfig())
