"""The manifest beside exported files: from what, how and with what they were made, with a checksum of each."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import highdicom
import pydicom

from TumorSynthLib.dicom_export_options import SEGMENTATION_FILE, Progress
from TumorSynthLib.dicom_export_plan import Plan
from TumorSynthLib.dicom_export_source import SourceSlice
from TumorSynthLib.dicom_export_write import WrittenSegmentation, WrittenSlices
from TumorSynthLib.input_files import with_files
from TumorSynthLib.result import SYNTHETIC, versions
from TumorSynthLib.version import VERSION
from TumorSynthLib.volume_io import sha256_file

SCHEMA = 1
"""Version of ``manifest.json``."""
_EXACT = 1e-6
"""Share of the range of values below which a difference is only that of number formats."""


def source_checksums(source: Sequence[SourceSlice], progress: Progress) -> list[str]:
    """SHA-256 of each file of a source."""
    found = []
    for number, one in enumerate(source):
        progress("manifest", number / len(source))
        found.append(sha256_file(one.path))
    return found


def manifest_of(
    plan: Plan, slices: WrittenSlices, segmentation: WrittenSegmentation | None, checksums: Sequence[str]
) -> dict[str, Any]:
    """The contents of ``manifest.json``.

    Parameters
    ----------
    plan : of the export.
    slices, segmentation : what was written; None where there is no tumor.
    checksums : of the source's files.
    """
    told, stamp, first = plan.result.told, plan.stamp, slices.headers[0]
    files = [
        {"file": file, "sha256": checksum, "sop_instance_uid": str(header.SOPInstanceUID)}
        for file, checksum, header in zip(slices.files, slices.checksums, slices.headers, strict=True)
    ]
    origin = [
        {"file": one.path.name, "sha256": checksum, "sop_instance_uid": str(one.header.SOPInstanceUID)}
        for one, checksum in zip(plan.source, checksums, strict=True)
    ]
    uids = {
        "study": stamp.study_uid,
        "series": stamp.series_uid,
        "segmentation_series": None if segmentation is None else segmentation.made.series_uid,
        "segmentation": None if segmentation is None else str(segmentation.made.data.SOPInstanceUID),
        "frame_of_reference": str(first.get("FrameOfReferenceUID", "")) or None,
        "source_study": str(plan.source[0].header.get("StudyInstanceUID", "")) if plan.source else None,
        "source_series": str(plan.source[0].header.get("SeriesInstanceUID", "")) if plan.source else None,
    }
    return {
        "schema": SCHEMA,
        "synthetic": SYNTHETIC,
        "description": stamp.description,
        "created": stamp.time.isoformat(timespec="seconds"),
        "versions": {**versions(), "tumorsynth": VERSION, "pydicom": pydicom.__version__, "highdicom": highdicom.__version__},
        "bundle": told.get("bundle"),
        "seed": plan.result.request.get("seed"),
        "request": _without_folders(plan.result.request),
        "edits": told.get("edits"),
        "source_sha256": told.get("source_sha256"),
        "result": {"files": dict(plan.result.checksums)},
        "source": origin,
        "image": {"modality": str(first.Modality), "files": files, "largest_rounding": slices.rounding},
        "segmentation": _segmentation(segmentation),
        "uids": uids,
        "patient_id": str(first.PatientID),
        "warnings": [*plan.warnings, *_warnings(plan, slices, segmentation)],
    }


def _without_folders(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request with the names of its files alone: folders often bear the names of patients."""
    named = with_files(request, lambda path: re.split(r"[/\\]", path)[-1])
    return {name: value for name, value in named.items() if name != "out"}


def _segmentation(written: WrittenSegmentation | None) -> dict[str, Any] | None:
    if written is None:
        return None
    return {"file": SEGMENTATION_FILE, "sha256": written.checksum, "segments": list(written.made.names)}


def _warnings(plan: Plan, slices: WrittenSlices, segmentation: WrittenSegmentation | None) -> list[str]:
    """What the user should know about the files."""
    found = []
    if segmentation is None:
        found.append("The result has no tumor in its segmentation (as after a removal), so no DICOM segmentation was written.")
    array = plan.result.image.array
    if slices.rounding > _EXACT * max(float(array.max()) - float(array.min()), _EXACT):
        bits = plan.storages[0].used
        found.append(f"Values were rounded to whole numbers of {bits} bits; the largest difference is {slices.rounding:.3g}.")
    if plan.source and any(one.storage != new for one, new in zip(plan.source, plan.storages, strict=True)):
        new = plan.storages[0]
        found.append(f"The values need another stored type than the source's: now {new.dtype.name}, {new.used} bits used.")
    return found
