"""The texture of a hand-made tumor, as the baseline that needs no learning: one level with noise.

The idea is SynTumor's (Hu et al., Label-free liver tumor segmentation, CVPR 2023); the code is our own. Its form is the bent
ellipsoid of ``handmade_shape``, its border that of ``compositing``. Level and spread are those of a real tumor of the bundle's
training data, so that it knows as much about typical values as the networks do.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from TumorSynthLib.volume import Geometry

BLOB_MM = 3.0
"""Width of the noise's grain."""
Level = tuple[float, float]
"""Mean and standard deviation inside a tumor, in domain units."""


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
