"""From a soft mask on the working grid to a tumor's mask on the scan's grid: one part, of the asked volume."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import ndimage

from TumorSynthLib.descent import Point, descend
from TumorSynthLib.resample import resample
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.volume import Geometry, mask_box

VOLUME, SPHERICITY = "shape_VoxelVolume", "shape_Sphericity"
"""Shape features that are met by where a soft mask is cut, and by how much it is rounded."""
ROUNDINGS = (0.0, 0.06, 0.13, 0.19, 0.27, 0.36, 0.5)
"""How much a soft mask may be rounded; see ``rounded``."""
USUAL_ROUNDING = 0.13
"""Rounding with which masks are on average about as spherical as real tumors; others are tried from there."""
USUAL_SPHERICITY = 0.75
"""Sphericity of a mask of which none is asked: that of 33 real soft-tissue sarcomas, on average."""

LEVEL = 0.5
"""Share of its largest value at which a soft mask is cut, where no volume is asked for: a tumor whose border is uncertain
everywhere is blurred, and its half maximum lies where its border is likeliest."""
LEAST = 0.1
"""Least largest value of a soft mask that shows a tumor, where no volume is asked for."""
FAINT = 0.02
"""Least value of the soft mask that a tumor of an asked volume may reach down to."""
_TOLERANCE = 0.02
_PLATEAU = 0.01
_ROUND_ENOUGH = 0.02
"""Difference of sphericity at which no better rounding is looked for."""


def tumor_mask(
    soft: np.ndarray,
    grid: Geometry,
    native: Geometry,
    allowed: np.ndarray,
    targets: Mapping[str, float],
    alive: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, list[str]]:
    """The mask of a soft mask, rounded until it is as spherical as asked or as usual, and cut at the asked volume.

    Cut as it is, a soft mask that is sure of more than the asked volume has thin arms, and its border lies where the image
    shows the tissue beside the tumor. For the parameters see ``mask_of``; ``targets`` are the asked shape features, and
    ``alive`` is called now and then, and may raise to cancel.
    """
    wanted = targets.get(SPHERICITY, USUAL_SPHERICITY)

    def make(point: Point) -> tuple[float, tuple[np.ndarray, list[str]]]:
        alive()
        mask, warnings = mask_of(rounded(soft, point[0]), grid, native, allowed, targets.get(VOLUME))
        if mask.sum() < 2:
            return np.inf, (mask, warnings)
        shape = measure_mask(mask, native)
        missed = abs(shape[SPHERICITY] - wanted)
        # A volume that is missed is worse than any form, the more the more is missing.
        if warnings:
            missed += 1.0 + abs(mask.sum() * native.voxel_volume_mm3 / targets[VOLUME] - 1.0)
        return missed, (mask, warnings)

    return descend(make, (ROUNDINGS,), (USUAL_ROUNDING,), _ROUND_ENOUGH)


def near(soft: np.ndarray, grid: Geometry, at: Sequence[float], volume_mm3: float) -> np.ndarray:
    """A soft mask that falls with the distance from the point where the tumor is wanted, as a Gaussian as wide as the tumor.

    Where the network is sure of much more than the asked volume, the part around the point is cut from it.

    Parameters
    ----------
    soft : 0 to 1 on the working grid.
    grid : the working grid.
    at : the point, RAS mm.
    volume_mm3 : asked volume.
    """
    points = grid.to_ras(np.moveaxis(np.indices(soft.shape), 0, -1))
    radius = np.cbrt(volume_mm3 / BALL_VOLUME)
    return np.asarray(soft * np.exp(-0.5 * np.sum((points - np.asarray(at)) ** 2, axis=-1) / radius**2), dtype=np.float32)


def rounded(soft: np.ndarray, rounding: float) -> np.ndarray:
    """A soft mask smoothed by a Gaussian whose standard deviation is a share of the radius of a ball of its volume."""
    radius = float(np.cbrt(soft.sum(dtype=np.float64) / BALL_VOLUME))
    return ndimage.gaussian_filter(soft, rounding * radius, mode="constant") if rounding * radius > 0.0 else soft


def mask_of(
    soft: np.ndarray, grid: Geometry, native: Geometry, allowed: np.ndarray, volume_mm3: float | None
) -> tuple[np.ndarray, list[str]]:
    """The mask on the scan's grid of a soft mask on the working grid: its largest part, of the asked volume.

    Parameters
    ----------
    soft : 0 to 1 on the working grid.
    grid, native : the working grid and the scan's.
    allowed : where the tumor may be, bool on the scan's grid.
    volume_mm3 : asked volume, met by the level at which the soft mask is cut; None cuts it at its half maximum.

    Returns
    -------
    The mask, empty where the soft mask shows no tumor, and a sentence where the volume is missed by more than 2 % and a voxel.
    """
    box = mask_box(allowed)
    values = resample(soft, grid, native.cropped(box), outside=0.0, smooth=False) * allowed[box.slices]
    wanted = 0 if volume_mm3 is None else max(1, round(volume_mm3 / native.voxel_volume_mm3))
    inside = _largest(_likeliest(values, wanted) if wanted else _half_maximum(values))
    if wanted and inside.any():
        inside = _grown(inside, values, wanted)
    mask = np.zeros(allowed.shape, bool)
    mask[box.slices] = inside
    return mask, _volume_warning(int(inside.sum()), wanted, native)


def _half_maximum(values: np.ndarray) -> np.ndarray:
    peak = float(values.max())
    return np.asarray(values >= LEVEL * peak) if peak >= LEAST else np.zeros(values.shape, bool)


def _likeliest(values: np.ndarray, count: int) -> np.ndarray:
    """So many voxels with the highest values, as far as they reach ``FAINT``. A plateau is cut from its border."""
    flat = values.ravel()
    first = max(0, flat.size - count)
    level = max(FAINT, float(np.partition(flat, first)[first]))
    inside = values >= level
    ties = np.flatnonzero(flat == level)
    spare = int(inside.sum()) - count
    if spare > _PLATEAU * count:
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1, 1:-1].ravel()[ties]
        ties = ties[np.argsort(depth, kind="stable")]
    if spare > 0:
        inside.ravel()[ties[:spare]] = False
    return inside


def _largest(inside: np.ndarray) -> np.ndarray:
    """The largest connected part."""
    parts, count = ndimage.label(inside)
    if count < 2:
        return inside
    return np.asarray(parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])))


def _grown(inside: np.ndarray, values: np.ndarray, wanted: int) -> np.ndarray:
    """A part with the likeliest of its neighbors added until it has so many voxels, as far as there is anything."""
    # With a border of nothing, the neighbors of a voxel are a fixed number of places away in memory.
    likely, grown = np.pad(values, 1), np.pad(inside, 1)
    line, taken = likely.ravel(), grown.ravel()
    steps = np.array([sign * stride // likely.itemsize for stride in likely.strides for sign in (-1, 1)])
    added, missing = np.flatnonzero(grown & ~ndimage.binary_erosion(grown)), wanted - int(inside.sum())
    while missing > 0:
        shell = (added[:, None] + steps).ravel()
        shell = np.unique(shell[~taken[shell] & (line[shell] >= FAINT)])
        if not shell.size:
            break
        added = shell[np.argsort(-line[shell], kind="stable")[:missing]]
        taken[added] = True
        missing -= added.size
    return np.ascontiguousarray(grown[1:-1, 1:-1, 1:-1])


def _volume_warning(found: int, wanted: int, geometry: Geometry) -> list[str]:
    if abs(found - wanted) <= max(1.0, _TOLERANCE * wanted) or not wanted or not found:
        return []
    asked, made = (count * geometry.voxel_volume_mm3 / 1000.0 for count in (wanted, found))
    return [f"A volume of {asked:.4g} mL was asked for, and the model made {made:.4g} mL in this box."]
