"""DICOM SEG: segments onto the voxels of the scan that they were made on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.errors import ImageError
from TumorSynthLib.train.readers.contours import matching
from TumorSynthLib.train.readers.headers import dicom_errors, read_header, text
from TumorSynthLib.volume import Geometry

_TOLERANCE = 0.1
"""Voxels by which a pixel of a segment may miss the center of a voxel."""


def segment_masks(path: Path, geometry: Geometry, patterns: Sequence[str]) -> list[np.ndarray]:
    """The segments whose names match each pattern, bool on the grid of the scan.

    A segment's names are its label, its description and its property type.

    Parameters
    ----------
    path, geometry, patterns : as for ``roi_masks``.

    Raises
    ------
    ImageError : ``mask.roi`` when no segment matches the first pattern, ``mask.grid`` when it lies on another grid.
    """
    data = read_header(path, pixels=True)
    with dicom_errors(path):
        names = [(int(item.SegmentNumber), name) for item in data.SegmentSequence for name in _names(item)]
        chosen = [set(numbers) for numbers in matching(names, patterns)]
        chosen = [numbers.difference(*chosen[:place]) for place, numbers in enumerate(chosen)]
        if not chosen[0]:
            found = ", ".join(text(item, "SegmentLabel") for item in data.SegmentSequence) or "none"
            message = f"'{path}' has no segment named like '{patterns[0]}'; its segments: {found}."
            raise ImageError("mask.roi", message, "Name the segment with --roi.")
        masks = [np.zeros(geometry.shape, dtype=bool) for _ in patterns]
        for number, pixels, corner, steps in _frames(data):
            for mask, numbers in zip(masks, chosen, strict=True):
                if number in numbers:
                    _paint(mask, geometry, pixels, corner, steps, path)
    return masks


def _names(item: Any) -> list[str]:
    meaning = [text(code, "CodeMeaning") for code in getattr(item, "SegmentedPropertyTypeCodeSequence", [])]
    return [name for name in (text(item, "SegmentLabel"), text(item, "SegmentDescription"), *meaning) if name]


def _frames(data: Any) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Of every frame: segment, pixels (row, column), first pixel in RAS mm, steps from row to row and column to column."""
    frames = np.asarray(data.pixel_array)
    frames = frames.reshape(-1, *frames.shape[-2:])
    fractional = text(data, "SegmentationType") == "FRACTIONAL"
    level = float(data.MaximumFractionalValue) / 2.0 if fractional else 0.0
    shared = data.SharedFunctionalGroupsSequence[0]
    for pixels, own in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(_group(own, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        corner = np.array([float(x) for x in _group(own, shared, "PlanePositionSequence").ImagePositionPatient])
        axes = np.array([float(x) for x in _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient])
        between = [float(x) for x in _group(own, shared, "PixelMeasuresSequence").PixelSpacing]
        steps = np.stack([axes[3:] * between[0], axes[:3] * between[1]])
        to_ras = np.array([-1.0, -1.0, 1.0])
        yield number, pixels > level, corner * to_ras, steps * to_ras


def _group(own: Any, shared: Any, name: str) -> Any:
    """A functional group of a frame, or the one that all frames share."""
    return getattr(own if hasattr(own, name) else shared, name)[0]


def _paint(mask: np.ndarray, geometry: Geometry, pixels: np.ndarray, corner: np.ndarray, steps: np.ndarray, path: Path) -> None:
    """Set the voxels of a mask that the pixels of a frame lie on."""
    at = np.argwhere(pixels)
    ijk = geometry.to_ijk(corner + at @ steps)
    nearest = np.rint(ijk).astype(int)
    voxels = steps @ np.linalg.inv(geometry.affine[:3, :3]).T
    off = max(float(np.abs(ijk - nearest).max(initial=0.0)), float(np.abs(np.abs(voxels).sum(axis=1) - 1.0).max()))
    if off > _TOLERANCE:
        message = f"'{path}' lies on another grid than its scan: a pixel misses the center of a voxel by {off:.2f} voxels."
        raise ImageError("mask.grid", message, "Give the scan that the segmentation was made on.")
    inside = np.all((nearest >= 0) & (nearest < geometry.shape), axis=1)
    mask[tuple(nearest[inside].T)] = True
