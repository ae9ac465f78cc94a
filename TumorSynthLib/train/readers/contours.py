"""RTSTRUCT: contours in patient space onto the voxels of the scan that they were drawn on.

Closed planar contours in one plane are filled together by the even-odd rule, so that an inner contour is a hole. The planes are
those of the scan's own grid, however it is turned in space.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.errors import ImageError
from TumorSynthLib.train.readers.headers import dicom_errors, read_header, text
from TumorSynthLib.train.readers.polygons import fill_even_odd
from TumorSynthLib.volume import Geometry

PLANE_TOLERANCE = 0.3
"""Slices by which a contour's plane may miss the center of a slice."""
_FLAT_TOLERANCE = 0.1
"""Slices by which the corners of one contour may differ."""
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def roi_masks(path: Path, geometry: Geometry, patterns: Sequence[str]) -> list[np.ndarray]:
    """The regions of an RTSTRUCT whose names match each pattern, bool on the grid of the scan.

    Parameters
    ----------
    path : the file.
    geometry : grid of the scan.
    patterns : regular expressions for whole names, any case; a name belongs to the first that matches. An empty one matches
        nothing.

    Raises
    ------
    ImageError : ``mask.roi`` when no name matches the first pattern, ``mask.contours`` when contours do not lie in the slices.
    """
    data = read_header(path)
    with dicom_errors(path):
        names = {int(item.ROINumber): text(item, "ROIName") for item in data.StructureSetROISequence}
        contours = {int(item.ReferencedROINumber): _points(item) for item in getattr(data, "ROIContourSequence", [])}
    chosen = matching(list(names.items()), patterns)
    with_contours = [[contours.get(number, []) for number in numbers] for numbers in chosen]
    if not any(with_contours[0]):
        found = ", ".join(names.values()) or "none"
        message = f"'{path}' has no contours for a region named like '{patterns[0]}'; its regions: {found}."
        raise ImageError("mask.roi", message, "Name the region with --roi.")
    masks = []
    for regions in with_contours:
        inside = np.zeros(geometry.shape, dtype=bool)
        for region in regions:
            inside |= rasterized(region, geometry, path)
        masks.append(inside)
    return masks


def matching(names: Sequence[tuple[int, str]], patterns: Sequence[str]) -> list[list[int]]:
    """Numbers of the names that match each pattern and none before it.

    >>> matching([(1, "GTV-1"), (2, "gtv-2"), (3, "Lung")], ["gtv[ -]?1", "gtv.*", ""])
    [[1], [2], []]
    """
    chosen: list[list[int]] = [[] for _ in patterns]
    for number, name in names:
        for place, pattern in zip(chosen, patterns, strict=True):
            if pattern and re.fullmatch(pattern, name.strip(), re.IGNORECASE):
                place.append(number)
                break
    return chosen


def _points(item: Any) -> list[np.ndarray]:
    """Corners of the closed contours of a region in RAS mm, each once."""
    found: dict[bytes, np.ndarray] = {}
    for contour in getattr(item, "ContourSequence", []):
        if text(contour, "ContourGeometricType") in _CLOSED and len(contour.ContourData) >= 9:
            corners = np.array([float(value) for value in contour.ContourData]).reshape(-1, 3) * (-1.0, -1.0, 1.0)
            # Some programs write a contour twice; by the even-odd rule it would vanish.
            found.setdefault(corners.round(3).tobytes(), corners)
    return list(found.values())


def rasterized(contours: Sequence[np.ndarray], geometry: Geometry, path: Path) -> np.ndarray:
    """Voxels whose centers lie inside the contours, bool on a grid.

    Parameters
    ----------
    contours : corners in RAS mm, (n, 3) each; may be none.
    geometry : the grid.
    path : for messages.

    Raises
    ------
    ImageError : ``mask.contours`` when a contour is not parallel to the slices or lies between them, or when every second
        slice or more has none.
    """
    inside = np.zeros(geometry.shape, dtype=bool)
    corners = [geometry.to_ijk(points) for points in contours]
    if not corners:
        return inside
    axis = _slice_axis(corners, path)
    planes = defaultdict(list)
    for points in corners:
        level = float(points[:, axis].mean())
        if abs(level - round(level)) > PLANE_TOLERANCE:
            message = f"A contour in '{path}' lies {abs(level - round(level)):.2f} slices off the nearest slice of its scan."
            raise ImageError("mask.contours", message, "Was it drawn on another series? Give the scan that it belongs to.")
        planes[round(level)].append(np.delete(points, axis, axis=1))
    _check_steps(sorted(planes), path)
    shape = tuple(n for number, n in enumerate(geometry.shape) if number != axis)
    for level, polygons in planes.items():
        if 0 <= level < geometry.shape[axis]:
            place = [slice(None)] * 3
            place[axis] = level  # type: ignore[call-overload]
            inside[tuple(place)] = fill_even_odd(polygons, (shape[0], shape[1]))
    return inside


def _slice_axis(corners: Sequence[np.ndarray], path: Path) -> int:
    """The axis of the grid along which every contour is flat; that of the slices where several are."""
    spread = np.max([np.ptp(points, axis=0) for points in corners], axis=0)
    for axis in (2, 1, 0):
        if spread[axis] <= _FLAT_TOLERANCE:
            return axis
    message = f"The contours in '{path}' are not parallel to the slices of their scan ({spread[2]:.2f} slices from end to end)."
    raise ImageError("mask.contours", message, "Was it drawn on another series? Give the scan that it belongs to.")


def _check_steps(levels: Sequence[int], path: Path) -> None:
    """Refuse contours on every second slice or fewer: what lies between them would be guessed."""
    if len(levels) > 2 and float(np.median(np.diff(levels))) > 1.0:
        message = f"The contours in '{path}' are on every {np.median(np.diff(levels)):g}th slice of the scan only."
        raise ImageError("mask.contours", message, "Interpolate them in the program that drew them, and export again.")
