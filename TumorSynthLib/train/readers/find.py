"""Which data set lies in a folder: the readers, and how a layout is recognized."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from TumorSynthLib.errors import DataError
from TumorSynthLib.train.readers import autopet, brats, hecktor, kits23, msd, nsclc, pairs
from TumorSynthLib.train.readers.record import Listing, ReaderOptions

_LISTED = 8


@dataclass(frozen=True)
class Reader:
    """One data set's layout."""

    name: str
    """Name for ``--dataset``."""
    expected: str
    """The layout in words."""
    fits: Callable[[Path], bool]
    """Whether a folder has it."""
    read: Callable[[Path, ReaderOptions], Listing]
    """What is in such a folder."""


READERS = tuple(
    Reader(module.NAME, module.EXPECTED, module.fits, module.read)
    for module in (kits23, brats, hecktor, autopet, msd, nsclc, pairs)
)
"""Every layout, in the order in which they are tried; the most general one comes last."""


def find_reader(folder: Path, name: str = "") -> Reader:
    """The reader for a folder.

    Parameters
    ----------
    folder : a data set as it was downloaded and unpacked.
    name : of the layout, where it should not be recognized.

    Raises
    ------
    DataError : when the folder does not exist, the name is unknown, or no layout (or not that one) is there. The message lists
        what was found and what is expected.
    """
    if not folder.exists():
        raise DataError("data.missing", f"There is no folder {folder}.", "Give the folder of a data set.")
    if name and name not in {reader.name for reader in READERS}:
        names = ", ".join(reader.name for reader in READERS)
        raise DataError("data.dataset", f"There is no reader {name!r}.", f"Choose one of: {names}.")
    candidates = [reader for reader in READERS if not name or reader.name == name]
    for reader in candidates:
        # A list of pairs is a file; every other data set is a folder.
        if (folder.is_dir() or reader.name == pairs.NAME) and reader.fits(folder):
            return reader
    found = sorted(item.name + "/" * item.is_dir() for item in folder.iterdir()) if folder.is_dir() else [folder.name]
    shown = ", ".join(found[:_LISTED]) + (f" and {len(found) - _LISTED} more" if len(found) > _LISTED else "")
    expected = "; ".join(f"{reader.name}: {reader.expected}" for reader in candidates)
    message = f"{folder} holds no data set of a known layout; found: {shown or 'nothing'}. Expected one of: {expected}."
    raise DataError("data.layout", message, "Give the folder that directly holds the data set, or name it with --dataset.")


def read_dataset(folder: Path, name: str = "", options: ReaderOptions | None = None) -> Listing:
    """The scans of a folder, by the reader that fits or is named.

    Raises
    ------
    DataError : as ``find_reader``; ``data.empty`` when there is no scan with a mask.
    """
    reader = find_reader(folder, name)
    listing = reader.read(folder, options or ReaderOptions())
    if not listing.records:
        reasons = "; ".join(sorted({entry.reason for entry in listing.skipped})) or "no scan was found"
        raise DataError(
            "data.empty", f"{folder} ({reader.name}) has no scan with a mask: {reasons}", f"Expected: {reader.expected}."
        )
    return listing
