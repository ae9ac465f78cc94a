"""The headers of the series that a result was made from. Its pixels are not needed; nothing is written."""

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError

from TumorSynthLib.dicom_elements import check_elements
from TumorSynthLib.dicom_export_options import Progress
from TumorSynthLib.dicom_export_pixels import Storage, storage_of
from TumorSynthLib.dicom_export_planes import SlicePlace
from TumorSynthLib.errors import ImageError, RequestError

_PLACE = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
_LISTED = 5
"""Most names in a message."""
BROKEN = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, NotImplementedError, TypeError, ValueError)
"""What pydicom raises for elements that it cannot understand."""


@dataclass(frozen=True, eq=False)
class SourceSlice:
    """One file of a series."""

    path: Path
    """The file."""
    header: FileDataset
    """All of it but the pixels."""
    place: SlicePlace
    """Where it lies."""
    storage: Storage
    """How it stores its values."""


def read_source(source: str | Path | Sequence[str | Path], progress: Progress) -> list[SourceSlice]:
    """The slices of a series, in the order of their files.

    Parameters
    ----------
    source : a folder with one series, a text file with one path per line (relative ones from its folder), or the paths.
        In a folder files that are no images are left out.
    progress : called once per file with the share of files that have been read.

    Raises
    ------
    ImageError : ``image.*`` for missing or damaged files, ``dicom.source`` for no, several or unusual series.
    """
    files, listed = _files(source)
    headers: list[tuple[Path, FileDataset]] = []
    skipped_frames: Path | None = None
    for number, path in enumerate(files):
        progress("reading", number / len(files))
        header = _header(path, listed)
        if header is None or "SOPClassUID" not in header:
            continue
        if int(header.get("NumberOfFrames") or 1) > 1:
            skipped_frames = path
        elif "Rows" in header and "ImagePositionPatient" in header:
            headers.append((path, header))
        elif listed:
            raise _unusual(f"'{path}' is no slice of a scan", "Give only the slices that the edited scan was read from.")
    if not headers:
        raise _no_slices(source, skipped_frames)
    _check_one_series(headers)
    return [_slice(path, header) for path, header in headers]


def _files(source: str | Path | Sequence[str | Path]) -> tuple[list[Path], bool]:
    """The files of a source, and whether they were named one by one."""
    if not isinstance(source, str | Path):
        return [Path(item) for item in source], True
    path = Path(source)
    if path.is_dir():
        return sorted(item for item in path.iterdir() if item.is_file() and item.name != "DICOMDIR"), False
    if not path.is_file():
        raise ImageError("image.missing", f"The source '{path}' does not exist.", "Give a folder, or a text file with paths.")
    with path.open("rb") as file:
        if file.read(132).endswith(b"DICM"):
            return [path], True
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        message = f"The source '{path}' is neither a folder nor a list of files."
        raise RequestError("dicom.source", message, "Give a folder, or a text file (UTF-8) with one path per line.") from error
    return [path.parent / line for line in lines if line], True


def _header(path: Path, listed: bool) -> FileDataset | None:
    """What a file says before its pixels; None for a file of a folder that is no DICOM."""
    try:
        check_elements(path)
        with path.open("rb") as file:
            bare = file.read(2) == b"\x08\x00"  # without the preamble, as old software wrote it
        with quiet_pydicom():
            return pydicom.dcmread(path, stop_before_pixels=True, force=bare)
    except InvalidDicomError as error:
        if not listed:
            return None
        message = f"'{path}' is not a DICOM file."
        raise ImageError("dicom.source", message, "Give only the slices that the edited scan was read from.") from error
    except FileNotFoundError as error:
        message = f"The slice '{path}' does not exist (any more)."
        raise ImageError(
            "image.missing", message, "Was the series deleted or moved? Import it again, or export without it."
        ) from error
    except OSError as error:
        raise ImageError("image.unreadable", f"'{path}' cannot be read: {error.strerror}.", "Check its permissions.") from error
    except (*BROKEN, struct.error) as error:
        raise broken_header(path, error) from error


def _slice(path: Path, header: FileDataset) -> SourceSlice:
    """One slice with what its geometry and its values depend on."""
    try:
        with quiet_pydicom():
            numbers = {name: tuple(float(part) for part in header[name].value) for name in _PLACE}
            size = (int(header.Rows), int(header.Columns))
            storage = storage_of(path.name, header)
    except BROKEN as error:
        raise broken_header(path, error) from error
    for name, count in _PLACE.items():
        if len(numbers[name]) != count:
            raise broken_header(path, f"{name} has {len(numbers[name])} numbers, expected {count}")
    position, orientation, spacing = (numbers[name] for name in _PLACE)
    return SourceSlice(path, header, SlicePlace(path.name, position, orientation, spacing, size), storage)


def _check_one_series(headers: Sequence[tuple[Path, FileDataset]]) -> None:
    """Refuse slices of several series, and files that are the same slice."""
    series: dict[str, str] = {}
    for _, header in headers:
        uid = str(header.get("SeriesInstanceUID", ""))
        series.setdefault(uid, f"{header.get('SeriesNumber', '?')} {header.get('SeriesDescription', '')!r}".strip())
    if len(series) > 1:
        found = ", ".join(list(series.values())[:_LISTED])
        hint = "Move the series to a folder of its own, or give a text file with the paths of its slices."
        raise _unusual(f"The source holds {len(series)} series: {found}", hint)
    images = {str(header.get("SOPInstanceUID", "")) for _, header in headers}
    if len(images) < len(headers) or "" in images:
        found = f"{len(headers)} files hold {len(images)} different slices"
        raise _unusual(f"In the source {found}", "Take out the copies.")


def _no_slices(source: str | Path | Sequence[str | Path], frames: Path | None) -> ImageError:
    if frames is not None:
        hint = "Export the result without a source, or convert the series to single slices."
        return _unusual(f"'{frames}' holds several frames (enhanced DICOM), whose headers cannot be taken over", hint)
    name = f"'{source}'" if isinstance(source, str | Path) else "The list of files"
    return _unusual(f"{name} holds no slices of a DICOM series", "Give the folder that holds the slices themselves.")


def _unusual(message: str, hint: str) -> ImageError:
    return ImageError("dicom.source", f"{message}.", hint)


def broken_header(path: Path, reason: object) -> ImageError:
    """The error for a header that cannot be understood."""
    message = f"The header of '{path}' cannot be taken over: {reason}."
    return ImageError("dicom.header", message, "Copy or export the series again, or export the result without a source.")


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Without pydicom's warnings about values that scanners write against the standard: they are taken over as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
