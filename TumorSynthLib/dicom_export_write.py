"""Write the slices and the segmentation of a planned export into its folder."""

import hashlib
import io
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset

from TumorSynthLib.atomic import AtomicFolder
from TumorSynthLib.dicom_export_options import IMAGE_FOLDER, SEGMENTATION_FILE, Progress
from TumorSynthLib.dicom_export_plan import Plan
from TumorSynthLib.dicom_export_segmentation import Segmented, segmentation_of
from TumorSynthLib.dicom_export_source import BROKEN, broken_header, quiet_pydicom
from TumorSynthLib.errors import OutputError

_HEADER_BYTES = 16_384
"""Room for the header of a slice; more than most take."""


@dataclass(frozen=True, eq=False)
class WrittenSlices:
    """The slices that were written."""

    headers: Sequence[Dataset]
    """Without pixels, in their order."""
    files: Sequence[str]
    """Paths in the exported folder."""
    checksums: Sequence[str]
    """SHA-256 of each file."""
    rounding: float
    """Largest difference between a value of the result and the one that was stored."""


@dataclass(frozen=True, eq=False)
class WrittenSegmentation:
    """The segmentation that was written."""

    made: Segmented
    """What it holds."""
    checksum: str
    """SHA-256 of its file."""


def check_space(folder: Path, plan: Plan) -> None:
    """Refuse to begin where the disk is too full.

    Raises
    ------
    OutputError : ``output.space``.
    """
    voxels = plan.result.image.array.size
    needed = voxels * plan.storages[0].bits // 8 + plan.planes.size[0] * _HEADER_BYTES + len(plan.result.lesions) * voxels // 8
    free = shutil.disk_usage(folder).free
    if free < needed:
        message = f"The export takes {needed / 1e6:.0f} MB, but {free / 1e6:.0f} MB are free in '{folder}'."
        raise OutputError("output.space", message, "Free some space or choose another disk.")


def write_slices(plan: Plan, target: AtomicFolder, progress: Progress) -> WrittenSlices:
    """Write the derived series.

    Parameters
    ----------
    plan : of the export.
    target : the folder that is filled.
    progress : called before each slice with the share that is done.
    """
    count, view = plan.planes.size[0], plan.planes.view(plan.result.image.array)
    digits = len(str(count))
    headers, files, checksums, rounding = [], [], [], 0.0
    for number in range(count):
        progress("writing", number / count)
        values, storage = view[number], plan.storages[number]
        pixels = storage.stored(values)
        rounding = max(rounding, float(np.abs(storage.values(pixels) - values).max()))
        data = plan.header(number)
        _put_pixels(data, pixels)
        files.append(f"{IMAGE_FOLDER}/slice-{number + 1:0{digits}d}.dcm")
        origin = plan.source[number].path if plan.source else target.out
        checksums.append(_write(data, target.path(files[-1]), origin))
        del data.PixelData
        headers.append(data)
    return WrittenSlices(headers, files, checksums, rounding)


def write_segmentation(plan: Plan, slices: WrittenSlices, target: AtomicFolder) -> WrittenSegmentation | None:
    """Write the tumors, if there are any."""
    if not plan.result.lesions:
        return None
    made = segmentation_of(plan.result.lesions, plan.planes, slices.headers, plan.stamp)
    return WrittenSegmentation(made, _write(made.data, target.path(SEGMENTATION_FILE), target.out))


def _put_pixels(data: Dataset, pixels: np.ndarray) -> None:
    """Add the pixels, and set the smallest and largest of them where the header tells these."""
    kind = "SS" if data.PixelRepresentation else "US"
    for name, value in (("SmallestImagePixelValue", pixels.min()), ("LargestImagePixelValue", pixels.max())):
        if name in data:
            delattr(data, name)
            if data.BitsAllocated <= 16:
                data.add_new(name, kind, int(value))
    content = np.ascontiguousarray(pixels).tobytes()
    data.add_new("PixelData", "OB" if data.BitsAllocated == 8 else "OW", content + b"\0" * (len(content) % 2))


def _write(data: Dataset, path: Path, origin: Path) -> str:
    """Write a file; its checksum."""
    buffer = io.BytesIO()
    try:
        with quiet_pydicom():
            dcmwrite(buffer, data, enforce_file_format=True)
    except (*BROKEN, struct.error) as error:
        raise broken_header(origin, error) from error
    content = buffer.getvalue()
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
