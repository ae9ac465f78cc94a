"""What an export reads from a result folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.errors import OutputError, RequestError
from TumorSynthLib.itk_files import read_image, to_volume
from TumorSynthLib.result import RESULT_FILE, read_result
from TumorSynthLib.segments import COLORS, Segment, find_segments
from TumorSynthLib.volume import Box, Geometry, Volume
from TumorSynthLib.volume_io import mask_on_grid, read_volume, sha256_file

_IMAGES = ("image.nrrd", "image.nii.gz")
_SEGMENTATION = "segmentation.seg.nrrd"
_DICOM_MODALITIES = {"CT": "CT", "MR": "MR", "PET": "PT"}


@dataclass(frozen=True, eq=False)
class Lesion:
    """One segment of a result that is not empty."""

    name: str
    """As the segmentation calls it."""
    color: tuple[float, float, float]
    """Red, green, blue from 0 to 1."""
    mask: np.ndarray
    """Bool, on the image's grid."""


@dataclass(frozen=True, eq=False)
class ResultFolder:
    """A result folder whose image and segmentation have been read."""

    folder: Path
    """Where it is."""
    told: Mapping[str, Any]
    """Its ``result.json``."""
    image: Volume
    """The edited scan."""
    lesions: tuple[Lesion, ...]
    """Its tumors; none after a removal."""
    checksums: Mapping[str, str]
    """SHA-256 of its files by name."""

    @cached_property
    def request(self) -> dict[str, Any]:
        """What was asked."""
        return dict(self.told.get("request") or {})

    @cached_property
    def changed(self) -> tuple[Box, ...] | None:
        """Boxes outside of which the image is the input, bit for bit; None where the result does not tell."""
        told = self.told.get("changed")
        if not told:
            return None
        boxes = told if isinstance(told, list) else [told]
        try:
            return tuple(_box(box) for box in boxes)
        except (KeyError, TypeError, ValueError) as error:
            message = f"The field 'changed' of '{self.folder / RESULT_FILE}' cannot be understood: {told}."
            raise OutputError("output.result", message, "Make the result again.") from error

    @property
    def warnings(self) -> list[str]:
        """Sentences for the user about the folder itself."""
        told = self.told.get("result_sha256")
        if told is None or told in self.checksums.values():
            return []
        return ["The image is not the one that result.json describes: its checksum differs."]


def read_result_folder(folder: Path) -> ResultFolder:
    """Read a result folder.

    Raises
    ------
    OutputError : ``output.result`` when it is none, or one without image.
    ImageError : when a file of it is damaged.
    """
    if not (folder / RESULT_FILE).is_file():
        message = f"'{folder}' is not a result folder of TumorSynth: it has no {RESULT_FILE}."
        raise OutputError("output.result", message, "Choose the folder that an edit has written.")
    told = read_result(folder)
    if told.get("series"):
        message = f"'{folder}' holds a series of results: {', '.join(map(str, told['series']))}."
        raise OutputError("output.result", message, "Export its sub-folders one by one.")
    image = next((folder / name for name in _IMAGES if (folder / name).is_file()), None)
    if image is None:
        message = f"The result folder '{folder}' holds no image, expected {' or '.join(_IMAGES)}."
        raise OutputError("output.result", message, "A shape alone cannot be exported as DICOM; insert it into a scan.")
    volume, masks = read_volume(image), folder / _SEGMENTATION
    lesions = tuple(_lesions(masks, volume.geometry)) if masks.is_file() else ()
    files = [path for path in (folder / RESULT_FILE, image, masks) if path.is_file()]
    return ResultFolder(folder, told, volume, lesions, {path.name: sha256_file(path) for path in files})


def modality_of(result: ResultFolder, asked: str | None) -> str:
    """The DICOM modality of a result: as asked, or by its domain.

    Raises
    ------
    RequestError : ``dicom.modality`` where neither tells.
    """
    if asked is not None:
        return asked
    told = result.told.get("domain") or result.request.get("domain")
    name = told.get("id") if isinstance(told, Mapping) else told
    for domain in DOMAINS:
        if domain.id == name:
            return _DICOM_MODALITIES[domain.modality.partition("-")[0]]
    message = f"The result does not tell its modality (domain {name!r})."
    raise RequestError("dicom.modality", message, "Give --modality CT, MR or PT, or the DICOM series that it was made from.")


def _box(told: Mapping[str, Any]) -> Box:
    (a, b, c), (i, j, k) = told["start"], told["stop"]
    return Box((int(a), int(b), int(c)), (int(i), int(j), int(k)))


def _lesions(path: Path, geometry: Geometry) -> list[Lesion]:
    """The segments of a file that are not empty, on a grid."""
    image = read_image(path)
    keys = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("Segment") and key.isascii()}
    try:
        segments = find_segments(keys)
        colors = _colors(keys)
    except ValueError as error:
        raise OutputError("output.result", f"'{path}' has a broken header: {error}.", "Make the result again.") from error
    layers = _layers(image, path)
    found = []
    for number, segment in enumerate(segments):
        if segment.layer >= len(layers):
            message = f"'{path}' has {len(layers)} layers, but a segment lies in layer {segment.layer}."
            raise OutputError("output.result", message, "Make the result again.")
        layer = layers[segment.layer]
        inside = layer.array == segment.label
        if inside.any():
            mask = mask_on_grid(Volume(inside, layer.geometry), geometry)
            found.append(Lesion(segment.name, colors.get(segment, COLORS[number % len(COLORS)]), mask))
    return found


def _layers(image: sitk.Image, path: Path) -> Sequence[Volume]:
    """The label maps of a segmentation, which overlap in space."""
    count = image.GetNumberOfComponentsPerPixel()
    parts = [image] if count == 1 else [sitk.VectorIndexSelectionCast(image, index) for index in range(count)]
    return [to_volume(part, path, "", flat=True) for part in parts]  # 3D Slicer cuts a file to the extent of its segments


def _colors(keys: Mapping[str, str]) -> dict[Segment, tuple[float, float, float]]:
    """The color of each segment whose header has one."""
    found = {}
    for key, text in keys.items():
        stem, _, field = key.rpartition("_")
        label = keys.get(f"{stem}_LabelValue")
        if field == "Color" and label is not None:
            red, green, blue = (min(max(float(part), 0.0), 1.0) for part in text.split())
            segment = Segment(int(label), int(keys.get(f"{stem}_Layer", "0")), keys.get(f"{stem}_Name", stem))
            found[segment] = (red, green, blue)
    return found
