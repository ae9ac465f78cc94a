"""Reads DICOM objects that are no images with pydicom, which the extra ``train`` brings."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from TumorSynthLib.errors import DataError, ImageError, TumorSynthError

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_BROKEN = (ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, TypeError, ValueError, struct.error)
"""What pydicom raises for elements that it cannot understand."""


def check_pydicom() -> None:
    """Refuse to start without pydicom.

    Raises
    ------
    DataError : with the command that installs it.
    """
    if find_spec("pydicom") is None:
        message = "DICOM data sets need the Python package pydicom, which is missing."
        raise DataError("data.packages", message, "Install it: python -m pip install pydicom")


@contextmanager
def dicom_errors(path: Path) -> Iterator[None]:
    """Turn what pydicom raises for broken or unusual files into our error, and keep it from warning."""
    import warnings

    from pydicom.errors import InvalidDicomError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TumorSynthError:
        raise
    except InvalidDicomError as error:
        raise ImageError("image.dicom", f"'{path}' is not a DICOM file.", "Download it again.") from error
    except OSError as error:
        raise ImageError("image.unreadable", f"'{path}' cannot be read: {error.strerror}.", "Check its permissions.") from error
    except _BROKEN as error:
        message = f"'{path}' cannot be understood as DICOM: {type(error).__name__}: {error}."
        raise ImageError("image.dicom", message, "Download it again.") from error


def read_header(path: Path, pixels: bool = False) -> "FileDataset":
    """A DICOM file, without its pixels unless they are asked for.

    Raises
    ------
    ImageError : when it cannot be read.
    """
    import pydicom

    with dicom_errors(path):
        return pydicom.dcmread(path, stop_before_pixels=not pixels)


def text(data: object, name: str) -> str:
    """A text element; empty where it is missing."""
    return str(getattr(data, name, "") or "").strip()
