"""The canonical frame of a tumor: its own second moments turned into those of the unit ball.

A tumor with centroid c, principal directions R and semi-axes a (those of the ellipsoid with the same second moments,
a_i = sqrt(5 lambda_i)) is the image of a whitened tumor under x = c + M q, M = R diag(a). The whitened tumor carries everything
that volume and axis lengths do not say: lobes, dents, roughness. It is stored as a field on a cube, the signed distance to its
surface, positive inside, in units of the ball's radius; for the ball itself the field is 1 - |q|.

Needs numpy and scipy alone.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

BALL_VOLUME = 4.0 / 3.0 * np.pi
"""Volume of the unit ball."""
_FINE = 2
"""Fine voxels per voxel of the field along each axis, where masks are whitened."""


@dataclass(frozen=True)
class Frame:
    """Where the canonical frame lies in physical space."""

    center: np.ndarray
    """Centroid, shape (3,), mm."""
    rotation: np.ndarray
    """Principal directions as columns, major first, shape (3, 3), right-handed."""
    semi_axes: np.ndarray
    """Semi-axes in mm, descending, shape (3,)."""

    @property
    def matrix(self) -> np.ndarray:
        """M = R diag(a)."""
        return self.rotation * self.semi_axes


def grid_points(size: int, half_width: float) -> np.ndarray:
    """Canonical coordinates of the voxel centers along one axis of a field, shape (size,)."""
    pitch = 2.0 * half_width / size
    return (np.arange(size) + 0.5) * pitch - half_width


def ball_field(size: int, half_width: float) -> np.ndarray:
    """1 - |q| on the field's grid, float32, shape (size, size, size)."""
    line = grid_points(size, half_width)
    squares = line**2
    radius = np.sqrt(squares[:, None, None] + squares[None, :, None] + squares[None, None, :])
    return (1.0 - radius).astype(np.float32)


def frame_of(mask: np.ndarray, spacing: np.ndarray) -> Frame:
    """The canonical frame of a mask on an orthogonal grid.

    The moments are those of voxels as boxes (a voxel adds its own spacing^2 / 12), so that one voxel still has axes.

    Parameters
    ----------
    mask : boolean, shape (i, j, k), not empty.
    spacing : mm along i, j, k.
    """
    points = np.argwhere(mask) * np.asarray(spacing, dtype=np.float64)
    center = points.mean(axis=0)
    offsets = points - center
    moments = offsets.T @ offsets / len(points) + np.diag(np.asarray(spacing, dtype=np.float64) ** 2 / 12.0)
    values, vectors = np.linalg.eigh(moments)
    rotation = vectors[:, ::-1].copy()
    if np.linalg.det(rotation) < 0:
        rotation[:, 2] *= -1.0
    return Frame(center, rotation, np.sqrt(5.0 * values[::-1]))


def canonical_field(mask: np.ndarray, spacing: np.ndarray, size: int, half_width: float) -> tuple[np.ndarray, Frame]:
    """The whitened signed distance field of a mask.

    Parameters
    ----------
    mask : boolean, shape (i, j, k), with at least one empty voxel around the tumor.
    spacing : mm along i, j, k.
    size, half_width : voxels along each edge of the field, and half its edge in radii.

    Returns
    -------
    Field (size, size, size), float32, clipped to [-1, 1], and the frame.
    """
    frame = frame_of(mask, spacing)
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 0.6)
    line = grid_points(size * _FINE, half_width)
    matrix = frame.matrix / np.asarray(spacing)[:, None]
    start = frame.center / spacing + matrix @ np.full(3, line[0])
    shape = (len(line),) * 3
    soft = ndimage.affine_transform(smooth, matrix * (line[1] - line[0]), start, shape, order=1, cval=0.0)
    level = _volume_level(soft, mask.sum() * float(np.prod(spacing)) / float(np.prod(frame.semi_axes)), line[1] - line[0])
    distance = signed_distance(soft > level) * (line[1] - line[0])
    distance = ndimage.gaussian_filter(distance, 0.8)
    coarse = distance.reshape(size, _FINE, size, _FINE, size, _FINE).mean(axis=(1, 3, 5))
    return np.clip(coarse, -1.0, 1.0).astype(np.float32), frame


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance to the mask's surface in voxels, positive inside."""
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    return np.where(mask, inside - 0.5, 0.5 - outside)


def _volume_level(soft: np.ndarray, volume: float, pitch: float) -> float:
    """The level of ``soft`` whose super-level set has a volume (canonical units), at most 0.5 from below."""
    count = int(np.clip(round(volume / pitch**3), 1, soft.size - 1))
    return float(np.clip(np.partition(soft.ravel(), soft.size - count)[soft.size - count], 0.05, 0.8))
