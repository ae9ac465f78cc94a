"""The tissue beside a tumor, which MR tumors are bright or dark against: a scan's range depends on what else is in it."""

import numpy as np
from scipy import ndimage

from TumorSynthLib.configs import Domain
from TumorSynthLib.obstacles import solid
from TumorSynthLib.volume import mask_box

REACH_MM = 20.0
"""How far from the tumor tissue is looked at."""
_NEAR_MM = 1.5
"""Nearer voxels show part of the tumor."""
_DARK = 10.0
"""Percentile that is taken: in T1 muscle, beside which fat may be more or less of the surroundings."""
_FEWEST = 50


def dark_tissue(u: np.ndarray, mask: np.ndarray, spacing: np.ndarray, domain: Domain) -> float | None:
    """The value that a tenth of the tissue around a tumor is below; None where there is hardly any tissue.

    Parameters
    ----------
    u : domain values, (i, j, k); those in the mask do not matter.
    mask : bool; the tumor.
    spacing : voxel edges in mm.
    domain : organ and modality; bone, air and background do not count.
    """
    box = mask_box(mask).expanded(REACH_MM / spacing, mask.shape).slices
    distance = ndimage.distance_transform_edt(~mask[box], sampling=tuple(spacing))
    values = u[box]
    beside = values[(distance > _NEAR_MM) & (distance <= REACH_MM) & ~solid(values, domain)]
    return float(np.percentile(beside, _DARK)) if beside.size >= _FEWEST else None
