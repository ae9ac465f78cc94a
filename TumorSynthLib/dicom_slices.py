"""Do the slices of a DICOM series make a volume?

GDCM, which reads them for SimpleITK, takes 1 mm for a voxel size that is missing or zero, and crooked axes for right ones. It
does so without a word.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from TumorSynthLib.dicom_tags import (
    FRAME_DISTANCE,
    INTERCEPT,
    MODALITY,
    ORIENTATION,
    POSITION,
    SLOPE,
    SPACING,
    Tags,
    frame_count,
    numbers,
    word,
)
from TumorSynthLib.errors import ImageError
from TumorSynthLib.image_errors import bad_spacing, sheared

_TOLERANCE_MM = 0.02
_RIGHT_ANGLE = 1e-3
_SAME_SIZE = 1e-3


def check_frames(name: str, tags: Tags) -> None:
    """Refuse a file of several slices that does not tell how far apart they are; newer kinds have a position for each.

    Raises
    ------
    ImageError : with code ``image.spacing``.
    """
    if frame_count(name, tags) > 1 and POSITION in tags and FRAME_DISTANCE not in tags:
        message = f"'{name}' holds several slices, but not how far apart they are."
        raise ImageError("image.spacing", message, "Export the series again as single slices.")
    if SPACING in tags and min(numbers(name, tags, SPACING, 2)) <= 0:
        raise bad_spacing(Path(name), word(tags, SPACING))


def check_slices(folder: Path, names: Sequence[str], slices: Sequence[Tags]) -> None:
    """Refuse slices that differ in kind or size of pixel, are not parallel, not at equal distances or not stacked straight up.

    Parameters
    ----------
    folder : for messages.
    names, slices : files and tags of the slices, in order of position.

    Raises
    ------
    ImageError : with code ``image.dicom``, ``image.spacing`` or ``image.shear``.
    """
    found = list(zip(names, slices, strict=True))
    _check_pixel_size(folder, np.array([numbers(name, tags, SPACING, 2) for name, tags in found]))
    modalities = sorted({word(tags, MODALITY) for tags in slices})
    if len(modalities) > 1:
        raise _odd(folder, f"are of several modalities: {', '.join(modalities)}")
    if any(numbers(name, tags, SLOPE, 1) == [0.0] for name, tags in found if SLOPE in tags):
        raise _odd(folder, "have the rescale slope 0, so that their values mean nothing")
    positions = np.array([numbers(name, tags, POSITION, 3) for name, tags in found])
    axes = np.array([numbers(name, tags, ORIENTATION, 6) for name, tags in found]).reshape(-1, 2, 3)
    if np.abs(axes - axes[0]).max() > _RIGHT_ANGLE:
        raise _odd(folder, "are not parallel")
    if np.abs(axes[0] @ axes[0].T - np.eye(2)).max() > _RIGHT_ANGLE:
        raise sheared(folder)
    _check_steps(folder, np.diff(positions, axis=0), np.cross(axes[0, 0], axes[0, 1]))


def scaled_by_fractions(name: str, tags: Tags) -> bool:
    """Whether the values of a slice are not whole numbers once they are scaled."""
    return not all(numbers(name, tags, tag, 1)[0].is_integer() for tag in (SLOPE, INTERCEPT) if tag in tags)


def check_spacing(folder: Path, slices: Sequence[Tags], spacing: Sequence[float]) -> None:
    """Refuse a series of a kind whose voxel size GDCM does not look for where it stands.

    Parameters
    ----------
    folder : for messages.
    slices : tags of slices at equal distances that ``check_slices`` has passed.
    spacing : mm along i, j and, between these slices, k as GDCM has read them.

    Raises
    ------
    ImageError : with code ``image.spacing``.
    """
    row, column = numbers(str(folder), slices[0], SPACING, 2)
    ends = np.array([numbers(str(folder), slices[end], POSITION, 3) for end in (0, -1)])
    told = (column, row, float(np.linalg.norm(ends[1] - ends[0])) / (len(slices) - 1))
    if not np.allclose(spacing, told, rtol=_SAME_SIZE, atol=_TOLERANCE_MM):
        found = " x ".join(f"{number:g}" for number in told)
        raise bad_spacing(folder, f"{found} in its headers, but {' x '.join(f'{number:g}' for number in spacing)} as read")


def _check_pixel_size(folder: Path, spacings: np.ndarray) -> None:
    """The pixels of all slices, mm, (slices, 2), have one size, which is positive."""
    if spacings.min() <= 0:
        raise bad_spacing(folder, " x ".join(f"{number:g}" for number in spacings[spacings.min(axis=1).argmin()]))
    if np.ptp(spacings, axis=0).max() > _SAME_SIZE * spacings.min():
        raise _odd(folder, "have pixels of several sizes")


def _odd(folder: Path, what: str) -> ImageError:
    """The error for slices that are no volume together."""
    return ImageError("image.dicom", f"The slices in '{folder}' {what}.", "Export one series per folder.")


def _check_steps(folder: Path, steps: np.ndarray, normal: np.ndarray) -> None:
    """The steps between slices, mm, are equal and run along the normal of the slices."""
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
