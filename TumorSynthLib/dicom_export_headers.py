"""The header of a derived slice: its source's, without what no longer holds."""

from copy import deepcopy

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, generate_uid

from TumorSynthLib.dicom_export_elements import (
    NEVER_MISSING,
    OF_FILE,
    OF_PATIENT,
    OF_PIXELS,
    OF_STUDY,
    SAFE_PRIVATE,
    STORED_NUMBERS,
)
from TumorSynthLib.dicom_export_marks import Stamp, mark, mark_derived, prefixed, tagged
from TumorSynthLib.dicom_export_options import DicomOptions
from TumorSynthLib.dicom_export_pixels import Storage

_OVERLAYS = range(0x6000, 0x6100)
_LOSSY = {JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless}
"""Transfer syntaxes that always lose something."""


def derived_header(source: FileDataset, storage: Storage, stamp: Stamp, options: DicomOptions) -> Dataset:
    """The header of a derived slice; pixels are not there yet.

    Parameters
    ----------
    source : header of the slice that it is made from, which stays as it is.
    storage : how the new pixels are stored.
    stamp, options : of the export.
    """
    data = deepcopy(source)
    tags = list(data.keys())
    for tag in [tag for tag in tags if _no_longer_holds(data, tag)]:
        del data[tag]
    for name in (*OF_PIXELS, *OF_FILE):
        if name in data:
            delattr(data, name)
    if not options.keep_study:
        _change_identity(data, options)
    for name in NEVER_MISSING:
        if name not in data:
            setattr(data, name, None)
    _describe_pixels(data, storage)
    if source.file_meta.get("TransferSyntaxUID") in _LOSSY:
        data.LossyImageCompression = "01"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.SeriesNumber = stamp.study_uid, stamp.series_uid, stamp.series_number
    data.SOPInstanceUID = generate_uid(prefix=None)
    if not data.get("FrameOfReferenceUID"):
        data.FrameOfReferenceUID = stamp.frame_of_reference_uid
    mark(data, stamp)
    mark_derived(data, stamp, source)
    add_file_meta(data)
    return data


def add_file_meta(data: Dataset) -> None:
    """Let a data set be written in explicit little-endian notation, whatever it was read in."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta


def _no_longer_holds(data: Dataset, tag: BaseTag) -> bool:
    """Whether an element is the maker's own, or part of an overlay."""
    if tag.is_private:
        return not _is_safe(data, tag)
    return tag.group in _OVERLAYS


def _is_safe(data: Dataset, tag: BaseTag) -> bool:
    """Whether a private element is known to stay true, or reserves the block of such elements."""
    block = tag.element if tag.is_private_creator else tag.element >> 8
    creator = data.get(Tag(tag.group, block))
    known = SAFE_PRIVATE.get((tag.group, "" if creator is None else str(creator.value).strip()))
    return known is not None and (tag.is_private_creator or tag.element & 0xFF in known)


def _change_identity(data: Dataset, options: DicomOptions) -> None:
    """Make sure that an archive takes patient and study for others than the source's."""
    for name in (*OF_STUDY, *OF_PATIENT):
        if name in data:
            delattr(data, name)
    data.PatientID = options.patient_id if options.patient_id is not None else prefixed(data.get("PatientID"))
    data.PatientName = prefixed(data.get("PatientName"))
    data.AccessionNumber = ""
    data.StudyDescription = tagged(data.get("StudyDescription"))


def _describe_pixels(data: Dataset, storage: Storage) -> None:
    """Bits and sign; where the sign has changed, also of the numbers that have the pixels' kind of value."""
    changed = storage.signed and data.PixelRepresentation == 0
    data.BitsAllocated, data.BitsStored, data.HighBit = storage.bits, storage.used, storage.used - 1
    data.PixelRepresentation = int(storage.signed)
    if not changed:
        return
    for name in STORED_NUMBERS:
        if name in data:
            value = int(data[name].value)
            del data[name]
            if storage.limits[0] <= value <= storage.limits[1]:
                data.add_new(Tag(name), "SS", value)
    if "VOILUTSequence" in data:
        del data.VOILUTSequence  # its first entry would have another sign
