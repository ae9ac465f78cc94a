"""The DICOM segmentation of a result's tumors (PS3.3 A.51): binary, one segment per tumor, only slices that hold some of it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highdicom
import numpy as np
from highdicom.color import CIELabColor
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from TumorSynthLib.dicom_export_marks import MANUFACTURER, TAG, Stamp, mark
from TumorSynthLib.dicom_export_planes import Planes
from TumorSynthLib.dicom_export_result import Lesion
from TumorSynthLib.version import VERSION

_CATEGORY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_NEOPLASM = Code("108369006", "SCT", "Neoplasm")
_FAMILY = Code("123110", "DCM", "Artificial Intelligence")
_LONG_STRING = 64
_SERIAL = "0"
"""Software has no serial number, but the standard asks for one."""


@dataclass(frozen=True, eq=False)
class Segmented:
    """A segmentation that has been made."""

    data: Any
    """The data set, to be written."""
    series_uid: str
    """Its series."""
    names: tuple[str, ...]
    """Label of each segment, from number 1 on."""


def segmentation_of(lesions: Sequence[Lesion], planes: Planes, headers: Sequence[Dataset], stamp: Stamp) -> Segmented:
    """The segmentation of the tumors on a derived series.

    Parameters
    ----------
    lesions : at least one, none of them empty.
    planes : slices of the series.
    headers : of its slices, in the order of ``planes``.
    stamp : of the export.
    """
    filled = np.flatnonzero(np.any([planes.view(lesion.mask).any(axis=(1, 2)) for lesion in lesions], axis=0))
    pixels = np.stack([planes.view(lesion.mask)[filled] for lesion in lesions], axis=-1).astype(np.uint8)
    inside = set(filled.tolist())
    across, down, through = planes.spacing
    measures = highdicom.PixelMeasuresSequence((down, across), slice_thickness=through, spacing_between_slices=through)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the source has against the standard is taken over
        data: Dataset = highdicom.seg.Segmentation(
            source_images=[headers[number] for number in filled.tolist()],
            further_source_images=[header for number, header in enumerate(headers) if number not in inside] or None,
            pixel_array=pixels,
            pixel_measures=measures,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_described(number, lesion) for number, lesion in enumerate(lesions, start=1)],
            series_instance_uid=stamp.segmentation_series_uid,
            series_number=stamp.series_number + 1,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=VERSION,
            device_serial_number=_SERIAL,
            content_label="TUMOR",
            content_description="Synthetic tumors",
            series_description=f"{TAG} Tumor segmentation",
            specific_character_set="ISO_IR 192",
        )
    for element in data:
        if element.VR == "PN" and element.value:
            element.value = str(element.value)  # else the bytes of the source's letters are written
    mark(data, stamp)
    data.SeriesDate, data.SeriesTime = stamp.time.strftime("%Y%m%d"), stamp.time.strftime("%H%M%S")
    return Segmented(data, stamp.segmentation_series_uid, tuple(lesion.name for lesion in lesions))


def _described(number: int, lesion: Lesion) -> Any:
    """What a segment is, who made it, and its color."""
    algorithm = highdicom.AlgorithmIdentificationSequence(name=MANUFACTURER, family=_FAMILY, version=VERSION)
    red, green, blue = (round(255 * part) for part in lesion.color)
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=lesion.name[:_LONG_STRING],
        segmented_property_category=_CATEGORY,
        segmented_property_type=_NEOPLASM,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=generate_uid(prefix=None),
        tracking_id=lesion.name[:_LONG_STRING],
        display_color=CIELabColor.from_rgb(red, green, blue),
    )
