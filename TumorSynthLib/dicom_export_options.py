"""What the user decides about a DICOM export, and what comes out of it (standard library only)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TumorSynthLib.errors import RequestError

MANIFEST_FILE = "manifest.json"
"""Name of the description beside the exported files."""
IMAGE_FOLDER = "image"
"""Folder of the derived slices."""
SEGMENTATION_FILE = "segmentation.dcm"
"""Name of the DICOM segmentation."""
MODALITIES = ("CT", "MR", "PT")
"""Kinds of series that can be made without a source."""

_LONGEST_ID = 64
_LARGEST_NUMBER = 2**31 - 1

Progress = Callable[[str, float], None]
"""Called with a stage and the share of the whole export that is done, at least once per slice; may raise ``Cancelled``."""


@dataclass(frozen=True)
class DicomOptions:
    """What the user decides about an export."""

    patient_id: str | None = None
    """PatientID of the result; None is ``SYNTHETIC_`` and that of the source."""
    keep_study: bool = False
    """Whether study and patient stay those of the source, so that viewers show both series side by side."""
    series_number: int | None = None
    """SeriesNumber of the image, the segmentation gets the next; None is that of the source plus 1000."""
    modality: str | None = None
    """CT, MR or PT where there is no source; None is that of the result's domain."""
    overwrite: bool = False
    """Whether an earlier export is replaced."""

    def check(self, has_source: bool) -> None:
        """Refuse options that DICOM cannot hold or that contradict each other.

        Raises
        ------
        RequestError : ``dicom.options``.
        """
        if self.keep_study and not has_source:
            raise _bad_options("There is no source series whose study could be kept.", "Give the source, or leave it out.")
        if self.keep_study and self.patient_id is not None:
            raise _bad_options("A study belongs to one patient: found a new patient ID and a study to keep.", "Choose one.")
        if self.patient_id is not None and not _is_long_string(self.patient_id):
            message = f"The patient ID {self.patient_id!r} is empty, longer than {_LONGEST_ID} letters, or has letters that "
            raise _bad_options(f"{message}DICOM forbids.", "Use letters, digits, - and _.")
        if self.series_number is not None and not 0 <= self.series_number < _LARGEST_NUMBER:
            raise _bad_options(
                f"The series number {self.series_number} is out of range.", "Give a number from 0 to 2147483646."
            )
        if self.modality is not None and self.modality not in MODALITIES:
            raise _bad_options(f"The modality is {self.modality!r}.", f"Give one of {', '.join(MODALITIES)}.")


@dataclass(frozen=True)
class Exported:
    """What an export has written."""

    out: Path
    """The folder."""
    manifest: dict[str, Any]
    """What ``manifest.json`` says."""
    warnings: tuple[str, ...]
    """Sentences for the user."""

    @property
    def summary(self) -> dict[str, Any]:
        """What a caller wants to know: places, UIDs, counts and warnings, ready for JSON."""
        manifest = self.manifest
        segmentation = manifest["segmentation"]
        return {
            "out": str(self.out),
            "image": str(self.out / IMAGE_FOLDER),
            "segmentation": None if segmentation is None else str(self.out / SEGMENTATION_FILE),
            "manifest": str(self.out / MANIFEST_FILE),
            "slices": len(manifest["image"]["files"]),
            "segments": [] if segmentation is None else segmentation["segments"],
            "uids": manifest["uids"],
            "patient_id": manifest["patient_id"],
            "warnings": list(self.warnings),
        }


def _bad_options(message: str, hint: str) -> RequestError:
    return RequestError("dicom.options", message, hint)


def _is_long_string(text: str) -> bool:
    """Whether DICOM's value representation LO can hold a text that is not empty."""
    return 0 < len(text.strip()) <= len(text) <= _LONGEST_ID and "\\" not in text and text.isascii() and text.isprintable()
