"""What the text headers of NRRD and MetaImage files have in common: fields, numbers, and the file that holds the voxels.

SimpleITK's own parsers overrun their memory at long texts, wrong counts and data files named by a pattern. So these never
reach them.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TumorSynthLib.errors import ImageError
from TumorSynthLib.image_errors import broken

_NAME = 200
"""Longest name of a field in letters."""
_NUMBER = re.compile(r"[-+.0-9A-Za-z]+")


@dataclass(frozen=True)
class Payload:
    """Where the voxels of a file lie."""

    path: Path
    """File with the voxels; another than the header's where that names one."""
    start: int
    """Offset in the file of the data, or of the compressed stream that holds it."""
    size: int
    """Bytes of the voxels, uncompressed."""
    compressed: bool
    """Whether the data is a gzip or zlib stream."""
    skip: int = 0
    """Bytes before the voxels inside the (uncompressed) stream."""
    values: np.dtype | None = None
    """Type of the voxels where they must be searched for NaN and infinity here."""


def keep_field(path: Path, fields: dict[str, str], name: str, value: str, longest: int) -> None:
    """Take a field up, unless it is too long or contradicts one that was there.

    Parameters
    ----------
    path : for messages.
    fields : gets the field.
    name, value : of the field.
    longest : bytes that the value may have.
    """
    if len(name) > _NAME or len(value.encode()) > longest:
        raise broken(path, f"'{name[:40]}' is longer than {longest} bytes")
    if fields.setdefault(name, value) != value:
        raise broken(path, f"'{name}' comes twice, with different values")


def data_file(path: Path, name: str) -> Path:
    """The one file beside a header that holds its voxels."""
    if name.startswith("LIST") or "%" in name:
        raise bad_encoding(path, "in several files")
    if not name.isprintable() or not os.path.isfile(path.parent / name):
        message = f"The file {name!r}, which should hold the voxels of '{path}', is not there."
        raise ImageError("image.unreadable", message, "Copy it to the place that the header names.")
    return path.parent / name


def bad_encoding(path: Path, how: str) -> ImageError:
    """The error for voxels that are stored in a way that is not read."""
    message = f"'{path}' stores its voxels {how}, expected raw or gzip data in one file."
    return ImageError("image.encoding", message, "Save the image again, for example as NRRD in one file.")


def numbers(path: Path, text: str) -> list[float]:
    """Numbers separated by commas or blanks."""
    try:
        return [float(number_word(word)) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise broken(path, f"'{text}' holds no numbers") from error


def number_word(word: str) -> str:
    """The word of a number, as long as other programs understand it as Python does."""
    if not _NUMBER.fullmatch(word):
        raise ValueError(f"{word!r} is no number")
    return word
