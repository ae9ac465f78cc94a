"""Which series, RTSTRUCT and SEG objects lie in a tree of DICOM folders, and which belong together.

NBIA's downloads have a folder for each series, so that one file tells what all of a folder is.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TumorSynthLib.errors import ImageError
from TumorSynthLib.train.readers.headers import check_pydicom, read_header, text
from TumorSynthLib.train.readers.record import Listing, Record, Skipped

_OBJECTS = ("RTSTRUCT", "SEG")
"""Modalities of masks, the preferred one first."""


@dataclass(frozen=True)
class Series:
    """What one folder of a DICOM tree holds."""

    path: Path
    """The folder of a scan, or the file of a mask."""
    modality: str
    """CT, PT, RTSTRUCT, SEG ..."""
    uid: str
    """Series Instance UID."""
    patient: str
    """Patient ID."""
    study: str
    """Study Instance UID."""
    refers_to: tuple[str, ...]
    """Series that a mask was drawn on."""


def holds_dicom(folder: Path) -> bool:
    """Whether a folder has DICOM files somewhere below it."""
    return next(_first_files(folder), None) is not None


def _first_files(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders with DICOM files below a folder, in order, with those files."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        found = sorted(name for name in names if name.lower().endswith((".dcm", ".ima")) and not name.startswith("."))
        if found:
            yield Path(place), found


def series_below(folder: Path) -> tuple[list[Series], list[tuple[Path, str]]]:
    """The series of a tree, and the files that could not be read with the reason.

    Raises
    ------
    DataError : when pydicom is missing.
    """
    check_pydicom()
    found: list[Series] = []
    broken: list[tuple[Path, str]] = []
    for place, names in _first_files(folder):
        try:
            first = _series(place, place / names[0])
            found.append(first)
            # A folder of masks may hold several, one of images holds one series.
            if first.modality in _OBJECTS:
                found += [_series(place, place / name) for name in names[1:]]
        except ImageError as error:
            broken.append((place, str(error)))
    return found, broken


def _series(folder: Path, file: Path) -> Series:
    data = read_header(file)
    modality = text(data, "Modality")
    return Series(
        file if modality in _OBJECTS else folder,
        modality,
        text(data, "SeriesInstanceUID"),
        text(data, "PatientID") or folder.name,
        text(data, "StudyInstanceUID"),
        tuple(_references(data)) if modality in _OBJECTS else (),
    )


def _references(data: Any) -> Iterator[str]:
    """Series that an RTSTRUCT or a SEG refers to."""
    for item in getattr(data, "ReferencedSeriesSequence", []):
        yield text(item, "SeriesInstanceUID")
    for frame in getattr(data, "ReferencedFrameOfReferenceSequence", []):
        for study in getattr(frame, "RTReferencedStudySequence", []):
            for series in getattr(study, "RTReferencedSeriesSequence", []):
                yield text(series, "SeriesInstanceUID")


def dicom_records(
    folder: Path, dataset: str, domains: Mapping[str, str], roi: str, other_roi: str, licence: str, organ: str = ""
) -> Listing:
    """A record for every series of the wanted modalities that a mask was drawn on.

    Parameters
    ----------
    folder : the tree.
    dataset : name for the records.
    domains : domain by DICOM modality; other series are no scans.
    roi, other_roi, licence : as ``Record`` has them.
    organ : token of the shape generator.

    Raises
    ------
    DataError : when pydicom is missing.
    """
    found, broken = series_below(folder)
    skipped = [Skipped(place.name, dataset, reason) for place, reason in broken]
    masks: dict[str, list[Series]] = defaultdict(list)
    for series in found:
        for uid in series.refers_to or _in_study(series, found, domains):
            masks[uid].append(series)
    records = []
    for series in (series for series in found if series.modality in domains):
        name = f"{series.patient}_{series.modality}_{series.uid.rpartition('.')[2][-8:]}"
        drawn = sorted(masks[series.uid], key=lambda mask: (_OBJECTS.index(mask.modality), mask.uid))
        if not drawn:
            skipped.append(Skipped(name, dataset, "No RTSTRUCT or SEG refers to it."))
            continue
        records.append(
            Record(
                id=name,
                patient=series.patient,
                dataset=dataset,
                domain=domains[series.modality],
                image=series.path,
                mask=drawn[0].path,
                other=(2,),
                roi=roi,
                other_roi=other_roi,
                shapes=((organ, (1,)),),
                licence=licence,
            )
        )
    return Listing(tuple(records), tuple(skipped))


def _in_study(mask: Series, found: list[Series], domains: Mapping[str, str]) -> list[str]:
    """The only scan of the study of a mask that does not say what it was drawn on."""
    if mask.modality not in _OBJECTS:
        return []
    scans = [series.uid for series in found if series.study == mask.study and series.modality in domains]
    return scans if len(scans) == 1 else []
