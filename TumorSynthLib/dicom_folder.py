"""Read a folder that holds one DICOM series."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TumorSynthLib.dicom_files import check_entries, check_left_out, check_pixels
from TumorSynthLib.dicom_slices import check_frames, check_slices, check_spacing, scaled_by_fractions
from TumorSynthLib.dicom_tags import Tags
from TumorSynthLib.errors import ImageError
from TumorSynthLib.image_errors import check_size

_READER = "GDCMImageIO"
_TAGS = {
    "modality": "0008|0060",
    "series_description": "0008|103e",
    "protocol": "0018|1030",
    "body_part": "0018|0015",
    "contrast": "0018|0010",
    "units": "0054|1001",
}


def read_series(folder: Path) -> sitk.Image:
    """The image of the only series in a folder, slices in order of position.

    Raises
    ------
    ImageError : when there is no series or there are several, or when slices are missing, doubled, shifted or cut.
    """
    names = _series_files(folder)
    first = _header(names[0])
    bits = re.findall(r"\d+", sitk.GetPixelIDValueAsString(first.GetPixelID())) or ["8"]
    check_size(folder, math.prod(first.GetSize()) * int(bits[0]) // 8 * len(names))
    check_pixels(names[0], _header_tags(first))
    if len(names) == 1:
        check_frames(names[0], _header_tags(first))
        return sitk.ReadImage(names[0], imageIO=_READER)
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO(_READER)
    reader.SetFileNames(names)
    reader.MetaDataDictionaryArrayUpdateOn()
    image = reader.Execute()
    slices = [{tag: reader.GetMetaData(index, tag) for tag in reader.GetMetaDataKeys(index)} for index in range(len(names))]
    check_slices(folder, names, slices)
    if image.GetDimension() == 3:
        check_spacing(folder, slices, image.GetSpacing())
    for name, tags in zip(names[1:], slices[1:], strict=True):
        check_pixels(name, tags)
    if "integer" in image.GetPixelIDTypeAsString() and any(map(scaled_by_fractions, names, slices)):
        # SimpleITK takes the first slice's type for all and cuts the values of the others.
        reader.SetOutputPixelType(sitk.sitkFloat64)
        image = reader.Execute()
    return image


@dataclass(frozen=True)
class Grid:
    """Where voxels lie, in SimpleITK's words and axes."""

    size: tuple[int, ...]
    """Voxels along each axis."""
    spacing: tuple[float, ...]
    """Mm along each axis."""
    origin: tuple[float, ...]
    """The first voxel, LPS mm."""
    direction: tuple[float, ...]
    """Axes as columns, row by row."""

    @classmethod
    def of(cls, image: sitk.Image | sitk.ImageFileReader) -> "Grid":
        """The grid of an image, or of the header that a reader has read."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def series_grid(folder: Path) -> Grid:
    """The grid of the only series in a folder, from the headers of its first and last slice.

    Whether the slices between them are there and at equal distances is seen when the series is read.

    Raises
    ------
    ImageError : when there is no series or there are several.
    """
    names = _series_files(folder)
    headers = [_header(names[0]), _header(names[-1])]
    first, last = map(Grid.of, headers)
    if len(names) == 1:
        check_frames(names[0], _header_tags(headers[0]))
        return first
    tags = [_header_tags(header) for header in headers]
    check_slices(folder, [names[0], names[-1]], tags)
    across = np.array(last.origin) - np.array(first.origin)
    length = float(np.linalg.norm(across))
    check_spacing(folder, tags, (*first.spacing[:2], length))
    direction = np.array(first.direction).reshape(3, 3)
    direction[:, 2] = across / length
    spacing = (*first.spacing[:2], length / (len(names) - 1))
    return Grid((*first.size[:2], len(names)), spacing, first.origin, tuple(direction.ravel().tolist()))


def _header(name: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_READER)
    reader.SetFileName(name)
    reader.ReadImageInformation()
    return reader


def _header_tags(reader: sitk.ImageFileReader) -> Tags:
    return {tag: reader.GetMetaData(tag) for tag in reader.GetMetaDataKeys()}


def series_metadata(folder: Path) -> dict[str, str]:
    """Modality, descriptions and units of the only series in a folder; absent or empty tags are left out."""
    reader = _header(_series_files(folder)[0])
    found = {name: _readable(reader.GetMetaData(tag)) for name, tag in _TAGS.items() if reader.HasMetaDataKey(tag)}
    return {name: value for name, value in found.items() if value}


def _readable(text: str) -> str:
    """A tag on one line, with a mark for every letter that is not UTF-8."""
    letters = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in letters).strip()


def _series_files(folder: Path) -> list[str]:
    """Files of the only series, in order."""
    check_entries(folder)
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        hint = "Give the folder that holds the slices themselves."
        raise ImageError("image.dicom", f"The folder '{folder}' holds no DICOM series.", hint)
    if len(series) > 1:
        message = f"The folder '{folder}' holds {len(series)} DICOM series: {', '.join(series)}. One was expected."
        raise ImageError("image.dicom", message, "Move each series to a folder of its own.")
    names = list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0]))
    check_left_out(folder, names, _header_tags(_header(names[0])))
    return names
