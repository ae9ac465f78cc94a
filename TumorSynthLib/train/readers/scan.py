"""Reads the scan and the labels of a record."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TumorSynthLib.errors import ImageError
from TumorSynthLib.itk_files import itk_errors, to_volume
from TumorSynthLib.train.readers.contours import roi_masks
from TumorSynthLib.train.readers.dicom_mask import segment_masks
from TumorSynthLib.train.readers.headers import check_pydicom, read_header, text
from TumorSynthLib.train.readers.record import Record, domain_named
from TumorSynthLib.train.readers.suv import suv_factor
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import mask_on_grid, read_geometry, read_metadata, read_volume

_LARGEST_SUV = 1000.0
"""More than any tissue takes up; activity in Bq/mL is in the thousands."""


@dataclass(frozen=True, eq=False)
class Labels:
    """What a mask tells, bool arrays on one grid."""

    geometry: Geometry
    """The grid."""
    tumor: np.ndarray
    """All tumors."""
    core: np.ndarray | None
    """Their labeled cores; None where none are labeled."""
    other: np.ndarray
    """Further lesions."""
    organ: np.ndarray
    """The healthy organ around."""

    def on(self, geometry: Geometry) -> "Labels":
        """The same on another grid; a part that misses it is empty there."""
        if self.geometry.same_grid(geometry):
            return self
        arrays = (self.tumor, self.core, self.other, self.organ)
        tumor, core, other, organ = (None if array is None else self._moved(array, geometry) for array in arrays)
        assert tumor is not None and other is not None and organ is not None
        return Labels(geometry, tumor, core, other, organ)

    def _moved(self, array: np.ndarray, geometry: Geometry) -> np.ndarray:
        empty = np.zeros(geometry.shape, dtype=bool)
        return mask_on_grid(Volume(array, self.geometry), geometry) if array.any() else empty


def read_scan(record: Record) -> Volume:
    """The scan of a record; PET in SUV.

    Raises
    ------
    ImageError : when it cannot be read, or a PET is not in SUV and cannot be turned into it.
    """
    if record.channel is not None:
        return read_channel(record.image, record.channel)
    volume = read_volume(record.image)
    if domain_named(record.domain).unit != "SUV":
        return volume
    if record.image.is_dir() and read_metadata(record.image).get("modality") == "PT":
        check_pydicom()
        values = volume.array.astype(np.float32) * np.float32(suv_factor(record.image))
        return Volume(values, volume.geometry, "SUV")
    if float(volume.array.max()) > _LARGEST_SUV:
        message = (
            f"The PET '{record.image}' has values up to {float(volume.array.max()):g}, expected SUV (below {_LARGEST_SUV:g})."
        )
        raise ImageError("image.suv", message, "Is it in Bq/mL? Convert it to SUV, or give the DICOM series.")
    return volume


def read_channel(path: Path, channel: int) -> Volume:
    """One volume of a 4D NIfTI file.

    Raises
    ------
    ImageError : when the file is broken or has no such channel.
    """
    _check_whole(path)
    with itk_errors(path):
        reader = sitk.ImageFileReader()
        reader.SetImageIO("NiftiImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size = list(reader.GetSize())
        if len(size) != 4 or not 0 <= channel < size[3]:
            message = f"'{path}' has the size {' x '.join(map(str, size))}, expected 4D with channel {channel}."
            raise ImageError("image.dimensions", message, "Download it again.")
        image = reader.Execute()[:, :, :, channel]
    return to_volume(image, path, "")


def _check_whole(path: Path) -> None:
    """Refuse a compressed file that ends too early or is damaged: ITK would show what it has."""
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
            while stream.read(1 << 22):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise ImageError("image.truncated", f"'{path}' cannot be read to its end: {error}.", "Download it again.") from error


def read_labels(record: Record) -> Labels:
    """What the mask of a record tells, on the mask's grid (that of the scan for DICOM objects).

    Raises
    ------
    ImageError : when it cannot be read, or lacks the tumor's name.
    """
    assert record.mask is not None, "only records with a mask have labels"
    if record.mask.is_file() and record.mask.suffix.lower() in (".dcm", ".ima"):
        return _dicom_labels(record, record.mask)
    volume = read_volume(record.mask)
    values = np.rint(volume.array).astype(np.int16) if volume.array.dtype.kind == "f" else volume.array
    core = np.isin(values, record.core) if record.core else None
    tumor, other, organ = (np.isin(values, labels) for labels in (record.tumor, record.other, record.organ))
    return Labels(volume.geometry, tumor, core, other & ~tumor, organ)


def _dicom_labels(record: Record, path: Path) -> Labels:
    """Labels from an RTSTRUCT or a DICOM SEG."""
    check_pydicom()
    geometry = read_geometry(record.image)
    read = roi_masks if text(read_header(path), "Modality") == "RTSTRUCT" else segment_masks
    tumor, other = read(path, geometry, (record.roi, record.other_roi))
    return Labels(geometry, tumor, None, other & ~tumor, np.zeros(geometry.shape, dtype=bool))


def shape_masks(record: Record) -> list[tuple[str, np.ndarray, Geometry]]:
    """Organ token, mask and grid of everything that a record tells the shape generator."""
    assert record.mask is not None, "only records with a mask have shapes"
    if record.roi and record.mask.suffix.lower() in (".dcm", ".ima"):
        labels = read_labels(record)
        return [(organ, labels.tumor, labels.geometry) for organ, _ in record.shapes]
    volume = read_volume(record.mask)
    values = np.rint(volume.array)
    return [(organ, np.isin(values, wanted), volume.geometry) for organ, wanted in record.shapes]
