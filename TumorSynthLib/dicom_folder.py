"""Read a folder that holds one DICOM series."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TumorSynthLib.errors import ImageError
from TumorSynthLib.nifti_header import sheared

_TAGS = {
    "modality": "0008|0060",
    "series_description": "0008|103e",
    "protocol": "0018|1030",
    "body_part": "0018|0015",
    "contrast": "0018|0010",
    "units": "0054|1001",
}
_POSITION = "0020|0032"
_ORIENTATION = "0020|0037"
_TOLERANCE_MM = 0.02


def read_series(folder: Path) -> sitk.Image:
    """The image of the only series in a folder, slices in order of position.

    Raises
    ------
    ImageError : when there is no series or there are several, or when slices are missing, doubled or shifted.
    """
    names = _series_files(folder)
    if len(names) == 1:
        return sitk.ReadImage(names[0])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    reader.MetaDataDictionaryArrayUpdateOn()
    image = reader.Execute()
    tags = [[_tag(reader, index, tag) for tag in (_POSITION, _ORIENTATION)] for index in range(len(names))]
    _check_slices(folder, tags)
    return image


def series_metadata(folder: Path) -> dict[str, str]:
    """Modality, descriptions and units of the only series in a folder; absent or empty tags are left out."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(_series_files(folder)[0])
    reader.ReadImageInformation()
    found = {name: reader.GetMetaData(tag).strip() for name, tag in _TAGS.items() if reader.HasMetaDataKey(tag)}
    return {name: value for name, value in found.items() if value}


def _series_files(folder: Path) -> list[str]:
    """Files of the only series, in order."""
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        hint = "Give the folder that holds the slices themselves."
        raise ImageError("image.dicom", f"The folder '{folder}' holds no DICOM series.", hint)
    if len(series) > 1:
        message = f"The folder '{folder}' holds {len(series)} DICOM series: {', '.join(series)}. One was expected."
        raise ImageError("image.dicom", message, "Move each series to a folder of its own.")
    return list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0]))


def _tag(reader: sitk.ImageSeriesReader, index: int, tag: str) -> str:
    return reader.GetMetaData(index, tag) if reader.HasMetaDataKey(index, tag) else ""


def _check_slices(folder: Path, tags: list[list[str]]) -> None:
    """All slices are parallel, at equal distances, and stacked at a right angle to their plane."""
    try:
        positions = np.array([[float(word) for word in position.split("\\")] for position, _ in tags])
        axes = np.array([[float(word) for word in orientation.split("\\")] for _, orientation in tags]).reshape(-1, 2, 3)
    except ValueError as error:
        message = f"Slices in '{folder}' lack their position or orientation."
        raise ImageError("image.dicom", message, "Export the series again as ordinary DICOM slices.") from error
    normal = np.cross(axes[0, 0], axes[0, 1])
    if np.abs(axes - axes[0]).max() > 1e-3:
        raise ImageError("image.dicom", f"The slices in '{folder}' are not parallel.", "Export one orientation per folder.")
    steps = np.diff(positions, axis=0)
    along = steps @ normal
    usual = float(np.median(np.abs(along)))
    tolerance = max(_TOLERANCE_MM, 0.02 * usual)
    uneven = np.flatnonzero((np.abs(np.abs(along) - usual) > tolerance) | (np.abs(along) < 1e-4))
    if uneven.size:
        gap = abs(float(along[uneven[0]]))
        where = f"after slice {uneven[0] + 1} the step is {gap:g} mm, usually {usual:g} mm"
        message = f"Slices in '{folder}' are missing or doubled: {where}."
        raise ImageError("image.dicom", message, "Complete the series, or resample it to equal distances.")
    if np.linalg.norm(steps - along[:, None] * normal, axis=1).max() > tolerance:
        raise sheared(folder)
