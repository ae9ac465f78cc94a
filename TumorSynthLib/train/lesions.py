"""From the labels of a whole scan to single lesions, each in a crop of its own, and to their shapes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from TumorSynthLib.volume import Box, Geometry, closest_axes, mask_box

_NEIGHBORS = np.ones((3, 3, 3), dtype=bool)
"""Voxels that share a corner belong together."""
SHAPE_STEP = 1.0
"""Edge of the voxels of a stored shape in mm."""


@dataclass(frozen=True)
class Cut:
    """How a scan is cut into crops."""

    margin_mm: float = 48.0
    """Surroundings on every side of a lesion."""
    lesions: int = 3
    """Most lesions per scan, the largest first."""
    least_mm3: float = 100.0
    """Smallest lesion."""
    healthy_mm: float = 160.0
    """Edge of the crop of a scan without tumor."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """One connected lesion, without the rest of the scan, which may be large."""

    box: Box
    """Its voxels lie in this box of the scan."""
    mask: np.ndarray
    """Bool on the box."""

    def inside(self, box: Box) -> np.ndarray:
        """The lesion on a box of the scan that holds its own."""
        result = np.zeros(box.shape, dtype=bool)
        place = tuple(slice(a - c, b - c) for a, b, c in zip(self.box.start, self.box.stop, box.start, strict=True))
        result[place] = self.mask
        return result


def split_lesions(tumor: np.ndarray, geometry: Geometry, cut: Cut) -> list[Lesion]:
    """The connected lesions of a scan, the largest first; small ones are left out.

    Parameters
    ----------
    tumor : bool on the scan's grid; may be empty.
    geometry : the grid.
    cut : how many, and how small they may be.
    """
    if not tumor.any():
        return []
    whole = mask_box(tumor)
    numbers, count = ndimage.label(tumor[whole.slices], _NEIGHBORS)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:] * geometry.voxel_volume_mm3
    order = [int(index) for index in np.argsort(-sizes, kind="stable") if sizes[index] >= cut.least_mm3]
    places = ndimage.find_objects(numbers)
    found = []
    for index in order[: cut.lesions]:
        ends = [(part.start + first, part.stop + first) for part, first in zip(places[index], whole.start, strict=True)]
        box = Box((ends[0][0], ends[1][0], ends[2][0]), (ends[0][1], ends[1][1], ends[2][1]))
        found.append(Lesion(box, numbers[places[index]] == index + 1))
    return found


def healthy_crop(places: np.ndarray, geometry: Geometry, cut: Cut, rng: np.random.Generator) -> Box:
    """A box of a scan without tumor, around one of the places, bool on its grid (anywhere where there are none)."""
    found = np.argwhere(places)
    center = found[int(rng.integers(len(found)))] if len(found) else np.array(geometry.shape) // 2
    reach = np.maximum(np.rint(cut.healthy_mm / 2.0 / geometry.spacing), 4).astype(int)
    start = np.clip(center - reach, 0, np.array(geometry.shape) - 2)
    stop = np.clip(center + reach, start + 2, np.array(geometry.shape))
    return Box(tuple(start.tolist()), tuple(stop.tolist()))


def whole_shapes(mask: np.ndarray, geometry: Geometry, cut: Cut) -> Iterator[np.ndarray]:
    """Every lesion that the border of the scan does not cut, bool with axes towards L, P and S, and voxels of 1 mm."""
    for lesion in split_lesions(mask, geometry, cut):
        box = lesion.box
        if min(box.start) > 0 and all(stop < size for stop, size in zip(box.stop, geometry.shape, strict=True)):
            yield toward_lps(isotropic(lesion.mask, geometry.spacing), geometry)


def isotropic(mask: np.ndarray, spacing: np.ndarray, step: float = SHAPE_STEP) -> np.ndarray:
    """A mask on a grid with equal steps, through its signed distance, cut at the level that keeps its volume.

    Parameters
    ----------
    mask : bool (i, j, k), not empty.
    spacing : mm along i, j, k.
    step : edge of the new voxels in mm.

    Returns
    -------
    Boolean array with at least one empty voxel around the shape.
    """
    margin = np.maximum(np.ceil(2.0 * step / spacing), 2).astype(int)
    padded = np.pad(mask, [(n, n) for n in margin])
    outside, inside = (ndimage.distance_transform_edt(part, sampling=spacing) for part in (~padded, padded))
    extent = (np.array(padded.shape) - 1) * spacing
    shape = tuple(int(n) for n in np.floor(extent / step) + 1)
    matrix = step / np.asarray(spacing, dtype=np.float64)
    distance = ndimage.affine_transform(inside - outside, matrix, output_shape=shape, order=3, mode="nearest")
    voxels = round(float(mask.sum()) * float(np.prod(spacing)) / step**3)
    voxels = min(max(voxels, 1), distance.size)
    level = np.partition(distance.ravel(), distance.size - voxels)[distance.size - voxels]
    result: np.ndarray = np.pad(distance >= level, 1)
    box = mask_box(result)
    return np.pad(result[box.slices], 2)


def toward_lps(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A mask with its axes permuted and flipped so that they run nearest to left, posterior and superior."""
    directions = geometry.affine[:3, :3] / geometry.spacing
    axes = closest_axes(directions)
    turned = mask.transpose(axes)
    flips = [number for number, axis in enumerate(axes) if (directions[number, axis] > 0) == (number < 2)]
    return np.ascontiguousarray(np.flip(turned, tuple(flips)))
