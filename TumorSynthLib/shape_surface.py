"""Surface area and volume of a mask's mesh, equal to PyRadiomics' and fast enough for a closed loop.

PyRadiomics runs marching cubes on the binary mask. A cube of 2 x 2 x 2 voxels then has only 256 patterns. Each adds a fixed
area, and to the volume (a sum of signed tetrahedra from the origin) a term that is affine in the cube's position. The tables
are not written here: they are measured by handing PyRadiomics each pattern alone, so they agree with it by construction.

Source: van Griethuysen et al. 2017 (PyRadiomics, shape class); Lorensen and Cline 1987 (marching cubes).
"""

from functools import lru_cache

import numpy as np
from radiomics import cShape


def surface_and_volume(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, float]:
    """Mesh surface area (mm^2) and mesh volume (mm^3) of a mask, as PyRadiomics computes them.

    Parameters
    ----------
    mask : boolean, shape (i, j, k), with at least one empty voxel on every side.
    spacing : mm along i, j, k.
    """
    patterns = _patterns(mask)
    where = np.flatnonzero((patterns > 0) & (patterns < 255))
    crossed = patterns.ravel()[where]
    area = np.bincount(crossed, minlength=256) @ _area_table(tuple(float(s) for s in spacing))
    at_origin, slopes = _volume_tables()
    volume = at_origin[crossed].sum()
    for position, slope in zip(np.unravel_index(where, patterns.shape), slopes, strict=True):
        volume += position @ slope[crossed]
    return float(area), float(volume * np.prod(spacing))


def sphericity(mask: np.ndarray, spacing: np.ndarray) -> float:
    """PyRadiomics' sphericity of a mask with an empty voxel on every side; 0 where the mesh has no area."""
    area, volume = surface_and_volume(mask, spacing)
    if area <= 0.0:
        return 0.0
    return float(np.cbrt(36.0 * np.pi * volume**2) / area)


def _patterns(mask: np.ndarray) -> np.ndarray:
    """Index of the pattern of each cube of 2 x 2 x 2 voxels, uint8, one smaller along each axis."""
    bits = np.ascontiguousarray(mask, dtype=bool).view(np.uint8)
    line = bits[:-1] | (bits[1:] << 1)
    plane = line[:, :-1] | (line[:, 1:] << 2)
    return plane[:, :, :-1] | (plane[:, :, 1:] << 4)


def _pattern_mask(pattern: int) -> np.ndarray:
    """The 2 x 2 x 2 mask of a pattern."""
    mask = np.zeros((2, 2, 2), dtype=np.int8)
    for bit in range(8):
        mask[bit & 1, (bit >> 1) & 1, (bit >> 2) & 1] = (pattern >> bit) & 1
    return mask


@lru_cache(maxsize=32)
def _area_table(spacing: tuple[float, float, float]) -> np.ndarray:
    """Area of the mesh inside a cube of each pattern, mm^2, shape (256,)."""
    step = np.array(spacing)
    return np.array([cShape.calculate_coefficients(_pattern_mask(pattern), step)[0] for pattern in range(256)])


@lru_cache(maxsize=1)
def _volume_tables() -> tuple[np.ndarray, np.ndarray]:
    """Volume terms of each pattern in voxels: at the origin (256,), and per voxel of shift along each axis (3, 256)."""
    step = np.ones(3)
    at_origin = np.array([cShape.calculate_coefficients(_pattern_mask(pattern), step)[1] for pattern in range(256)])
    slopes = np.zeros((3, 256))
    for axis in range(3):
        for pattern in range(256):
            # An empty layer in front shifts the pattern by one voxel and adds one cube, whose own term is known.
            shifted = np.pad(_pattern_mask(pattern), [(1, 0) if a == axis else (0, 0) for a in range(3)])
            front = int(_patterns(np.take(shifted, [0, 1], axis=axis).astype(bool))[0, 0, 0])
            slopes[axis, pattern] = cShape.calculate_coefficients(shifted, step)[1] - at_origin[front] - at_origin[pattern]
    return at_origin, slopes
