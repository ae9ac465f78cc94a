"""What became of every scan of a preparation: a table for people, and a JSON file beside the training file."""

import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.atomic import write_text
from TumorSynthLib.dataset import TUMOR
from TumorSynthLib.errors import DataError
from TumorSynthLib.train.case_cache import Done
from TumorSynthLib.train.case_pool import Failure
from TumorSynthLib.train.readers.record import Skipped

_EXAMPLES = 3
"""Scans named for each reason why some are left out."""


@dataclass(frozen=True)
class Case:
    """One scan and what became of it."""

    id: str
    """Name of the scan."""
    dataset: str
    """Its data set."""
    domain: str
    """Its domain."""
    patient: str
    """Whose it is."""
    result: Done | Failure
    """Its training file, or why there is none."""
    licence: str
    """Licence of the data set."""


@dataclass(frozen=True)
class Row:
    """What one domain of one data set brought."""

    dataset: str
    """Name of the data set."""
    domain: str
    """Id of the domain."""
    patients: int
    """Patients with a scan in the training file."""
    scans: int
    """Scans."""
    tumors: int
    """Tumors."""
    regions: int
    """Regions, views counted one by one."""
    skipped: int
    """Scans that were left out."""


@dataclass(frozen=True)
class Report:
    """What became of all scans."""

    rows: tuple[Row, ...]
    """Data sets and domains."""
    skipped: tuple[Skipped, ...]
    """Scans that were left out, and why."""
    licences: dict[str, str]
    """Licence by data set."""
    kept: int
    """Scans whose result was in the cache already."""
    voxel_gb: float
    """Memory that the voxels take when the training file is read."""
    files: tuple[Path, ...]
    """Training files of the scans, in order."""

    @property
    def told(self) -> dict[str, Any]:
        """The report for machines, without the files in the cache."""
        return {key: value for key, value in asdict(self).items() if key != "files"}

    @property
    def table(self) -> str:
        """The report for people."""
        head = ("dataset", "domain", "patients", "scans", "tumors", "regions", "skipped")
        lines = [head, *(tuple(str(value) for value in asdict(row).values()) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        aligned = [[f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)] for line in lines]
        shown = ["  ".join(line).rstrip() for line in aligned]
        return "\n".join([*shown, *self._reasons(), *(f"licence: {name}: {text}" for name, text in self.licences.items())])

    def _reasons(self) -> list[str]:
        """One line per reason, the most frequent first, with some of its scans."""
        counts = Counter((entry.dataset, entry.reason) for entry in self.skipped)
        lines = []
        for (dataset, reason), count in counts.most_common():
            names = [entry.id for entry in self.skipped if (entry.dataset, entry.reason) == (dataset, reason)]
            more = ", ..." if count > _EXAMPLES else ""
            lines.append(f"skipped {count} of {dataset}: {reason} ({', '.join(names[:_EXAMPLES])}{more})")
        return lines


def report_of(cases: Sequence[Case], skipped: Iterable[Skipped], out: Path) -> Report:
    """The report of a preparation, also written as ``<out>.report.json``.

    Parameters
    ----------
    cases : all scans that were worked on.
    skipped : scans that were left out before.
    out : the training file.

    Raises
    ------
    DataError : when no scan can be used; the message tells the most frequent reasons.
    """
    left_out = [*skipped]
    left_out += [Skipped(case.id, case.dataset, case.result.reason) for case in cases if isinstance(case.result, Failure)]
    done = [(case, case.result) for case in cases if isinstance(case.result, Done)]
    if not done:
        reasons = Counter(entry.reason for entry in left_out).most_common(_EXAMPLES)
        message = f"None of {len(cases)} scans can be used: {'; '.join(reason for reason, _ in reasons)}"
        raise DataError("data.none", message, "See the reasons.")
    counts = {result.path: _counts(result.path) for _, result in done}
    groups = dict.fromkeys((case.dataset, case.domain) for case in cases)
    report = Report(
        tuple(_row([case for case in cases if (case.dataset, case.domain) == group], counts) for group in groups),
        tuple(left_out),
        {case.dataset: case.licence for case, _ in done},
        sum(result.kept for _, result in done),
        sum(count[2] for count in counts.values()) / 1e9,
        tuple(result.path for _, result in done),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out.with_suffix(".report.json"), json.dumps(report.told, indent=2))
    return report


def _row(cases: Sequence[Case], counts: Mapping[Path, tuple[int, int, int]]) -> Row:
    """The line of one data set and domain."""
    done = [(case, case.result.path) for case in cases if isinstance(case.result, Done)]
    tumors, regions = (sum(counts[path][number] for _, path in done) for number in (0, 1))
    patients = len({case.patient for case, _ in done})
    return Row(cases[0].dataset, cases[0].domain, patients, len(done), tumors, regions, len(cases) - len(done))


def _counts(path: Path) -> tuple[int, int, int]:
    """Tumors, regions and bytes of voxels of a training file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(file["meta"].tobytes())
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist() if item.filename.startswith("image_"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        path.unlink(missing_ok=True)
        raise DataError("data.broken", f"{path} was damaged, and is removed: {error}", "Run the same command again.") from error
    tumors = {region["image"] for region in meta["regions"] if region["kind"] == TUMOR}
    return len(tumors), len(meta["regions"]), size
