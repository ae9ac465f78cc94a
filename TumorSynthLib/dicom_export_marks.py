"""What marks a DICOM object as synthetic, and what is new in a derived series.

Codes are from DICOM PS3.16: CID 7203 (image derivation), CID 7202 (source image), CID 7005 (contributing equipment).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from TumorSynthLib.dicom_export_options import DicomOptions
from TumorSynthLib.version import VERSION

TAG = "[SYNTHETIC]"
"""Begins the description of series and studies."""
PREFIX = "SYNTHETIC_"
"""Begins patient ID and name."""
MANUFACTURER = "TumorSynth"
"""Told as maker and model of the software; there is no company."""
_LONG_STRING = 64
_SHORT_TEXT = 1024
_SERIES_STEP = 1000
"""Added to the series number of the source."""
_NEW_NUMBER = 1
_LISTED = 12
"""Most operations in a description."""
_LARGEST_NUMBER = 2**31 - 2


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


@dataclass(frozen=True)
class Stamp:
    """What all objects of one export share."""

    study_uid: str
    """Study of the derived series."""
    series_uid: str
    """The derived series."""
    segmentation_series_uid: str
    """Series of the segmentation."""
    frame_of_reference_uid: str
    """Of a series without source; a source's is kept."""
    series_number: int
    """Number of the derived series; the segmentation has the next."""
    description: str
    """How the images were made, for a radiologist."""
    time: datetime
    """When the export began."""


def new_stamp(told: Mapping[str, Any], options: DicomOptions, header: Dataset | None, time: datetime) -> Stamp:
    """The shared part of an export.

    Parameters
    ----------
    told : ``result.json``.
    options : of the user.
    header : of a slice of the source; None without one.
    time : now.
    """
    keep = options.keep_study and header is not None
    study = str(header.StudyInstanceUID) if keep and header is not None else generate_uid(prefix=None)
    number = options.series_number
    if number is None:
        number = _NEW_NUMBER if header is None else min(int(header.get("SeriesNumber") or 0) + _SERIES_STEP, _LARGEST_NUMBER)
    series, segmentation, frame = (str(generate_uid(prefix=None)) for _ in range(3))
    return Stamp(str(study), series, segmentation, frame, number, derivation(told), time)


def derivation(told: Mapping[str, Any]) -> str:
    """How a result was made, in words: operations with their seeds, bundle and software.

    Parameters
    ----------
    told : ``result.json``; one of several edits lists them, oldest first, as ``edits``.

    >>> edits = [{"request": {"op": "insert", "seed": 7}}, {"request": {"op": "remove", "seed": 0}}]
    >>> derivation({"edits": edits, "bundle": {"id": "base", "version": "0.1"}}).partition(" by ")[0]
    "SYNTHETIC image: tumor operations 'insert' (seed 7), 'remove' (seed 0)"
    """
    requests = [edit.get("request") or {} for edit in told.get("edits") or [told]]
    operations = [f"'{request.get('op', 'unknown')}' (seed {request.get('seed', 'unknown')})" for request in requests]
    listed = ", ".join(operations[:_LISTED]) + (f" and {len(operations) - _LISTED} more" if len(operations) > _LISTED else "")
    bundle = told.get("bundle") or {}
    made = f"SYNTHETIC image: tumor operation{'s' if len(operations) > 1 else ''} {listed} by TumorSynth {VERSION}"
    made += f", bundle {bundle.get('id', 'unknown')} {bundle.get('version', '')}".rstrip()
    return f"{made}. For research only, not for clinical use."


def mark(data: Dataset, stamp: Stamp) -> None:
    """Mark an image or a segmentation as synthetic."""
    data.SyntheticData = "YES"
    data.ContentQualification = "RESEARCH"
    data.BurnedInAnnotation = data.get("BurnedInAnnotation") or "NO"
    data.ContributingEquipmentSequence = [*(data.get("ContributingEquipmentSequence") or []), _equipment(stamp)]
    data.InstanceCreationDate = data.ContentDate = stamp.time.strftime("%Y%m%d")
    data.InstanceCreationTime = data.ContentTime = stamp.time.strftime("%H%M%S.%f")
    data.SeriesDescription = tagged(data.get("SeriesDescription"))


def mark_derived(data: Dataset, stamp: Stamp, source: Dataset | None) -> None:
    """Say that an image was derived, how, and from which slice.

    Parameters
    ----------
    data : the derived image, with the type and the derivation of its source where there is one.
    stamp : of the export.
    source : the slice that it was made from.
    """
    kinds = list(data.get("ImageType") or [])[2:]
    data.ImageType = ["DERIVED", "SECONDARY", *kinds]
    earlier = str(data.get("DerivationDescription") or "")
    data.DerivationDescription = f"{stamp.description}{' Before that: ' + earlier if earlier else ''}"[:_SHORT_TEXT]
    editing = code("113077", "DCM", "Volume Editing")
    data.DerivationCodeSequence = [*(data.get("DerivationCodeSequence") or []), editing]
    if source is None:
        return
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [code("121322", "DCM", "Source image for image processing operation")]
    item.SpatialLocationsPreserved = "YES"
    data.SourceImageSequence = [item]


def _equipment(stamp: Stamp) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
    item.Manufacturer = item.ManufacturerModelName = MANUFACTURER
    item.SoftwareVersions = VERSION
    item.ContributionDateTime = stamp.time.strftime("%Y%m%d%H%M%S.%f")
    item.ContributionDescription = "Synthetic change of a tumor, for research only"
    return item


def tagged(text: object) -> str:
    """A description that begins with the tag.

    >>> tagged("Abdomen venous"), tagged("[SYNTHETIC] Abdomen"), tagged(None)
    ('[SYNTHETIC] Abdomen venous', '[SYNTHETIC] Abdomen', '[SYNTHETIC]')
    """
    words = str(text or "")
    return words[:_LONG_STRING] if words.startswith(TAG) else f"{TAG} {words}".strip()[:_LONG_STRING].rstrip()


def prefixed(text: object) -> str:
    """A patient ID or name that nobody takes for a real patient's; every spelling of a name gets the prefix.

    >>> prefixed("Doe^Jane"), prefixed("Yamada=山田"), prefixed("")
    ('SYNTHETIC_Doe^Jane', 'SYNTHETIC_Yamada=SYNTHETIC_山田', 'SYNTHETIC_')
    """
    groups = str(text or "").split("=")
    marked = [part if part.startswith(PREFIX) else f"{PREFIX}{part}" for part in groups if part] or [PREFIX]
    return "=".join(part[:_LONG_STRING] for part in marked)
