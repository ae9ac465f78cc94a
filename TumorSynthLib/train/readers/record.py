"""What every reader of a data set gives: one frozen record per scan (standard library only)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from TumorSynthLib.configs import DOMAINS, Domain
from TumorSynthLib.errors import DataError

TRAIN, TEST = "train", "test"
"""The two parts of a data set."""
NIFTI = (".nii.gz", ".nii")
"""Endings of the public data sets' images."""


@dataclass(frozen=True)
class Record:
    """One scan with its tumor mask."""

    id: str
    """Name of the scan, unique in the data set."""
    patient: str
    """Whose it is; scans of one patient never fall into different parts."""
    dataset: str
    """Name of the data set."""
    domain: str
    """Domain by its id."""
    image: Path
    """Image file, or folder of DICOM slices."""
    mask: Path | None = None
    """Label map, DICOM SEG or RTSTRUCT; None where the scan is known to show no tumor."""
    channel: int | None = None
    """Which volume of a 4D file."""
    tumor: tuple[int, ...] = (1,)
    """Labels that are tumor; every other one in ``other`` is kept clear of."""
    core: tuple[int, ...] = ()
    """Labels of the tumor's core; without, the deepest part stands for it."""
    other: tuple[int, ...] = ()
    """Labels of further lesions: cysts, nodes."""
    organ: tuple[int, ...] = ()
    """Labels of the healthy organ around the tumor."""
    roi: str = ""
    """Regular expression for the tumor's name in an RTSTRUCT or DICOM SEG; what matches has label 1."""
    other_roi: str = ""
    """The same for further lesions; what matches has label 2."""
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """For the shape generator: organ tokens with the labels that make up a shape."""
    split: str = ""
    """Part by the data set's own split; empty where it has none."""
    licence: str = ""
    """Licence of the data set, a sentence."""

    @property
    def modality(self) -> str:
        """CT, MR-T1 and so on."""
        return domain_named(self.domain).modality


@dataclass(frozen=True)
class Skipped:
    """A scan that is left out."""

    id: str
    """Name of the scan."""
    dataset: str
    """Name of the data set."""
    reason: str
    """Why, a sentence."""


@dataclass(frozen=True)
class Listing:
    """What a reader found in a folder."""

    records: tuple[Record, ...] = ()
    """Scans that can be used."""
    skipped: tuple[Skipped, ...] = ()
    """Scans that cannot."""


@dataclass(frozen=True)
class ReaderOptions:
    """What a user may have to say about a folder, because its files do not."""

    domain: str = ""
    """Domain of all scans, by its id."""
    labels: tuple[int, ...] = ()
    """Labels that are tumor."""
    roi: str = ""
    """Regular expression for the tumor's name in RTSTRUCT and DICOM SEG files."""
    patient: str = ""
    """Regular expression whose first group, found in a scan's path below the folder, is the patient."""
    licence: str = ""
    """Licence of the data, a sentence."""


def domain_named(name: str) -> Domain:
    """The domain of that id.

    Raises
    ------
    DataError : when there is none; the hint lists them.
    """
    for domain in DOMAINS:
        if domain.id == name:
            return domain
    listing = ", ".join(domain.id for domain in DOMAINS)
    raise DataError("data.domain", f"There is no domain {name!r}.", f"Choose one of: {listing}.")


def stem(path: Path) -> str:
    """A file's name without its ending.

    >>> stem(Path("a/CHUM-001__CT.nii.gz"))
    'CHUM-001__CT'
    """
    return next((path.name.removesuffix(ending) for ending in NIFTI if path.name.endswith(ending)), path.stem)


def files_below(folder: Path, endings: tuple[str, ...] = NIFTI) -> Iterator[Path]:
    """Files with one of the endings, in order, without the ``._`` copies that macOS puts into archives."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(endings) and not name.startswith("."):
                yield Path(place) / name
