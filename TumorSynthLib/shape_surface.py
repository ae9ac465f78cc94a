"""Surface area, volume and diameters of a mask's mesh, equal to PyRadiomics' and fast enough for a closed loop.

PyRadiomics runs marching cubes on the binary mask. A cube of 2 x 2 x 2 voxels then has only 256 patterns. Each adds a fixed
area, and to the volume (a sum of signed tetrahedra from the origin) a term that is affine in the cube's position. The tables
are not written here: they are measured by handing PyRadiomics each pattern alone, so they agree with it by construction.

Source: van Griethuysen et al. 2017 (PyRadiomics, shape class); Lorensen and Cline 1987 (marching cubes).
"""

from functools import lru_cache

import numpy as np
from radiomics import cShape
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist


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


def diameters(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, float, float, float]:
    """PyRadiomics' largest 3D diameter and 2D diameters Slice, Column and Row of a mask, in mm.

    They are distances between vertices of the mesh, which lie halfway between neighboring voxels of which one is tumor. Only
    the ends of a line of vertices can be the ends of a diameter, and in 3D only corners of the convex hull.

    Parameters
    ----------
    mask : boolean, shape (i, j, k), with at least one empty voxel on every side.
    spacing : mm along i, j, k.
    """
    halves = [np.argwhere(np.diff(mask, axis=axis)) * 2 + np.eye(3, dtype=int)[axis] for axis in range(3)]
    vertices = np.concatenate(halves)
    ends = _line_ends(vertices, (0, 1), 2)
    corners = ends[ConvexHull(ends).vertices]
    scale = np.asarray(spacing) / 2.0
    flat = [_planar(vertices, axis, scale) for axis in (2, 1, 0)]
    return _longest(corners * scale), flat[0], flat[1], flat[2]


def _line_ends(vertices: np.ndarray, fixed: tuple[int, int], along: int) -> np.ndarray:
    """The first and last vertex of every line of vertices."""
    order = np.lexsort((vertices[:, along], vertices[:, fixed[1]], vertices[:, fixed[0]]))
    ordered = vertices[order]
    change = np.any(np.diff(ordered[:, fixed], axis=0) != 0, axis=1)
    first = np.concatenate([[True], change])
    return ordered[first | np.concatenate([change, [True]])]


def _planar(vertices: np.ndarray, axis: int, scale: np.ndarray) -> float:
    """The largest distance between vertices that share their position along ``axis``."""
    row, along = (a for a in range(3) if a != axis)
    ends = _line_ends(vertices, (axis, row), along)
    planes = np.split(ends, np.flatnonzero(np.diff(ends[:, axis])) + 1)
    return max(_longest(plane * scale) for plane in planes)


def _longest(points: np.ndarray) -> float:
    """The largest distance between points (n, 3)."""
    return float(pdist(points).max()) if len(points) > 1 else 0.0


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


def _meshed(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, float]:
    """PyRadiomics' area and volume; it walks k, j, i, which decides how ambiguous patterns are closed."""
    area, volume, _ = cShape.calculate_coefficients(np.ascontiguousarray(mask.T), np.ascontiguousarray(spacing[::-1]))
    return float(area), float(volume)


@lru_cache(maxsize=32)
def _area_table(spacing: tuple[float, float, float]) -> np.ndarray:
    """Area of the mesh inside a cube of each pattern, mm^2, shape (256,)."""
    return np.array([_meshed(_pattern_mask(pattern), np.array(spacing))[0] for pattern in range(256)])


@lru_cache(maxsize=1)
def _volume_tables() -> tuple[np.ndarray, np.ndarray]:
    """Volume terms of each pattern in voxels: at the origin (256,), and per voxel of shift along each axis (3, 256)."""
    at_origin = np.array([_meshed(_pattern_mask(pattern), np.ones(3))[1] for pattern in range(256)])
    slopes = np.zeros((3, 256))
    for axis in range(3):
        for pattern in range(256):
            # An empty layer in front shifts the pattern by one voxel and adds one cube, whose own term is known.
            shifted = np.pad(_pattern_mask(pattern), [(1, 0) if a == axis else (0, 0) for a in range(3)])
            front = int(_patterns(np.take(shifted, [0, 1], axis=axis).astype(bool))[0, 0, 0])
            slopes[axis, pattern] = _meshed(shifted, np.ones(3))[1] - at_origin[front] - at_origin[pattern]
    return at_origin, slopes
