"""A hand-made tumor, as the baseline that needs no learning: a bent ellipsoid of one level with noise and a soft border.

The idea is SynTumor's (Hu et al., Label-free liver tumor segmentation, CVPR 2023); the code is our own. Level and spread are
those of a real tumor of the bundle's training data, so that it knows as much about typical values as the networks do.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from TumorSynthLib.shape import random_rotation
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.volume import Geometry

PROPORTIONS = (0.75, 1.25)
"""Semi-axes over the radius of the ball of the same volume, before they are scaled to it."""
BEND = 0.15
"""Standard deviation of the displacement that bends the ellipsoid, in radii."""
_BEND_WIDTH = 0.5
BLOB_MM = 3.0
"""Width of the noise's grain."""
Level = tuple[float, float]
"""Mean and standard deviation inside a tumor, in domain units."""


def bent_ellipsoid(geometry: Geometry, center: np.ndarray, volume_mm3: float, rng: np.random.Generator) -> np.ndarray:
    """A randomly turned and bent ellipsoid, bool on the grid; what reaches beyond the grid is cut off.

    Parameters
    ----------
    geometry : the grid.
    center : RAS mm.
    volume_mm3 : met to the voxel where the grid has room.
    rng : decides on everything else.
    """
    radius = float(np.cbrt(volume_mm3 / BALL_VOLUME))
    axes = rng.uniform(*PROPORTIONS, size=3)
    axes *= radius / np.cbrt(axes.prod())
    index = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    offsets = geometry.to_ras(index) - center
    sigma = _BEND_WIDTH * radius / geometry.spacing
    for axis in range(3):
        field = ndimage.gaussian_filter(rng.standard_normal(geometry.shape), sigma)
        offsets[..., axis] += BEND * radius * field / max(float(field.std()), 1e-9)
    distance = np.linalg.norm(offsets @ random_rotation(rng) / axes, axis=-1).ravel()
    count = int(np.clip(round(volume_mm3 / geometry.voxel_volume_mm3), 1, distance.size))
    mask = np.zeros(distance.size, bool)
    mask[np.argpartition(distance, count - 1)[:count]] = True
    return mask.reshape(geometry.shape)


def plain_texture(geometry: Geometry, level: Level, rng: np.random.Generator) -> np.ndarray:
    """A constant with grain of ``BLOB_MM``, domain values on a grid."""
    noise = ndimage.gaussian_filter(rng.standard_normal(geometry.shape), BLOB_MM / 2.355 / geometry.spacing)
    return (level[0] + level[1] * noise / max(float(noise.std()), 1e-9)).astype(np.float32)


def typical_level(exemplars: Sequence[Mapping[str, float]], rng: np.random.Generator) -> Level | None:
    """Mean and standard deviation of one real training tumor; None where the bundle has none of the domain."""
    if not exemplars:
        return None
    chosen = exemplars[int(rng.integers(len(exemplars)))]
    return chosen["firstorder_Mean"], float(np.sqrt(max(0.0, chosen["firstorder_Variance"])))
