"""All that is known of an export before its first slice is written; what does not fit is refused here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydicom.dataset import Dataset

from TumorSynthLib.dicom_export_check import check_agreement
from TumorSynthLib.dicom_export_headers import derived_header
from TumorSynthLib.dicom_export_marks import Stamp, new_stamp
from TumorSynthLib.dicom_export_options import DicomOptions, Progress
from TumorSynthLib.dicom_export_pixels import Storage, fitting_storages, new_storage, value_ranges
from TumorSynthLib.dicom_export_plain import PlainSeries
from TumorSynthLib.dicom_export_planes import Planes, conventional_planes, matched_planes
from TumorSynthLib.dicom_export_result import ResultFolder, modality_of
from TumorSynthLib.dicom_export_source import BROKEN, SourceSlice, broken_header, quiet_pydicom, read_source

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Plan:
    """What will be written."""

    result: ResultFolder
    """From what."""
    planes: Planes
    """Its slices."""
    storages: Sequence[Storage]
    """How each slice stores its values, in the order of ``planes``."""
    source: Sequence[SourceSlice]
    """Slices of the source in that order; none without one."""
    stamp: Stamp
    """What all objects share."""
    header: Callable[[int], Dataset]
    """Makes the header of a slice."""
    warnings: Sequence[str]
    """Sentences for the user."""


def plan_export(
    result: ResultFolder,
    source: str | Path | Sequence[str | Path] | None,
    options: DicomOptions,
    time: datetime,
    progress: Progress,
) -> Plan:
    """Plan an export.

    Parameters
    ----------
    result : the result.
    source : of its headers; None makes new ones.
    options : of the user.
    time : now.
    progress : called once per file of the source, and per slice that is compared, with the share of the planning.

    Raises
    ------
    TumorSynthError : as ``read_source``, ``matched_planes``, ``check_agreement``, ``fitting_storages`` and ``modality_of``.
    """
    if source is None:
        return _plan_alone(result, options, time)
    found = read_source(source, lambda stage, share: progress(stage, 0.75 * share))
    planes, numbers = matched_planes(result.image.geometry, [one.place for one in found])
    slices = [one for _, one in sorted(zip(numbers, found, strict=True), key=lambda pair: pair[0])]
    warnings = check_agreement(result, planes, slices, lambda: progress("checking", 0.75))
    ranges = value_ranges(planes.view(result.image.array))
    storages = fitting_storages([one.storage for one in slices], ranges)
    stamp = _understood(slices[0], lambda: new_stamp(result.told, options, slices[0].header, time))

    def header(number: int) -> Dataset:
        one = slices[number]
        return _understood(one, lambda: derived_header(one.header, storages[number], stamp, options))

    return Plan(result, planes, storages, slices, stamp, header, [*result.warnings, *warnings])


def _understood(one: SourceSlice, read: Callable[[], Value]) -> Value:
    """What is read from a header, whose elements pydicom looks at only now."""
    try:
        with quiet_pydicom():
            return read()
    except BROKEN as error:
        raise broken_header(one.path, error) from error


def _plan_alone(result: ResultFolder, options: DicomOptions, time: datetime) -> Plan:
    """A series from the grid alone."""
    planes, array = conventional_planes(result.image.geometry), result.image.array
    modality = modality_of(result, options.modality)
    whole = array.dtype.kind in "iu" or bool(np.all(np.rint(array) == array))
    storage = new_storage(float(array.min()), float(array.max()), whole, modality)
    stamp = new_stamp(result.told, options, None, time)
    series = PlainSeries(result, planes, modality, storage, stamp, options)
    return Plan(result, planes, [storage] * planes.size[0], (), stamp, series.header, result.warnings)
