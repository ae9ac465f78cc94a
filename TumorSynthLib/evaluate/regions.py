"""Healthy regions to be removed: seeded ellipsoids inside the body, clear of any tumor."""

import zlib

import numpy as np
from scipy import ndimage

from TumorSynthLib.domains import tissue
from TumorSynthLib.evaluate.cases import Case
from TumorSynthLib.volume import Geometry

RADII_MM = (8.0, 20.0)
"""Equivalent radii."""
PROPORTIONS = (0.75, 1.3)
"""Semi-axes over their geometric mean, before they are scaled to the equivalent radius."""
CLEARANCE_MM = 3.0
"""Distance to any tumor label."""
BODY_SHARE = 0.97
"""Share of the voxels that must be tissue."""
_TRIES = 60
_BORDER = 2


def healthy_regions(case: Case, count: int, seed: int = 0) -> list[np.ndarray]:
    """Up to ``count`` ellipsoids on the scan's grid that do not touch each other, bool.

    Each lies at least two voxels inside the image, in tissue, and 3 mm or more from any tumor. Small images hold fewer.

    Parameters
    ----------
    case : image and labels.
    count : how many are wanted.
    seed : together with the name of the case it decides all of them.
    """
    rng = np.random.default_rng((seed, zlib.crc32(case.id.encode())))
    geometry = case.scan.geometry
    inside = ndimage.binary_fill_holes(tissue(case.intensity.normalize(case.scan.array), case.domain))
    free = np.ones(case.labels.shape, bool)
    if (case.labels > 0).any():
        free = ndimage.distance_transform_edt(case.labels == 0, sampling=tuple(geometry.spacing)) > CLEARANCE_MM
    places = np.argwhere(inside & free)
    found: list[np.ndarray] = []
    for _ in range(_TRIES * count):
        if len(found) == count or len(places) == 0:
            break
        mask = ellipsoid(geometry, geometry.to_ras(places[int(rng.integers(len(places)))]), rng)
        if mask is not None and free[mask].all() and inside[mask].mean() >= BODY_SHARE:
            found.append(mask)
            free &= ndimage.distance_transform_edt(~mask, sampling=tuple(geometry.spacing)) > CLEARANCE_MM
    return found


def ellipsoid(geometry: Geometry, center: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """A randomly turned ellipsoid around a point (RAS mm), bool; None where it does not lie inside the image."""
    radius = float(np.exp(rng.uniform(*np.log(RADII_MM))))
    axes = rng.uniform(*PROPORTIONS, size=3)
    axes *= radius / np.prod(axes) ** (1.0 / 3.0)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    # Half the extent along each voxel axis: |A^-1 M y| over the unit ball.
    inverse = np.linalg.inv(geometry.affine[:3, :3])
    half = np.linalg.norm(inverse @ (turn * axes), axis=1)
    middle = geometry.to_ijk(center)
    low, high = np.ceil(middle - half).astype(int), np.floor(middle + half).astype(int)
    if (low < _BORDER).any() or (high >= np.array(geometry.shape) - _BORDER).any() or (high < low).any():
        return None
    points = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
    offsets = (geometry.to_ras(points) - center) @ (turn / axes)
    mask = np.zeros(geometry.shape, bool)
    mask[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))] = (offsets**2).sum(axis=-1) <= 1.0
    return mask if int(mask.sum()) >= 20 else None
