"""How well two masks agree: Dice and normalized surface Dice."""

import numpy as np
from scipy import ndimage

from TumorSynthLib.volume import mask_box


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice of two masks; 1 where both are empty.

    >>> dice(np.array([1, 1, 0], bool), np.array([0, 1, 1], bool))
    0.5
    """
    size = int(first.sum()) + int(second.sum())
    return 1.0 if size == 0 else float(2.0 * np.count_nonzero(first & second) / size)


def surface_dice(first: np.ndarray, second: np.ndarray, spacing: np.ndarray, tolerance_mm: float) -> float:
    """Share of both surfaces that lies within a tolerance of the other one (normalized surface Dice).

    The surface of a mask are its voxels with a face neighbor outside it; distances run between voxel centers, so a tolerance
    below the voxel asks for the very same voxels.

    Parameters
    ----------
    first, second : bool (i, j, k); a mask that meets the edge of the grid has a surface there.
    spacing : voxel edges in mm.
    tolerance_mm : largest distance that counts as agreement.

    Source: Nikolov et al., Clinically Applicable Segmentation of Head and Neck Anatomy, JMIR 2021.
    """
    if not first.any() or not second.any():
        return float(first.any() == second.any())
    box = mask_box(first | second).slices
    surfaces = [mask[box] & ~ndimage.binary_erosion(mask[box]) for mask in (first, second)]
    within = total = 0
    for mine, theirs in (surfaces, surfaces[::-1]):
        distance = ndimage.distance_transform_edt(~theirs, sampling=tuple(spacing))
        within += int((distance[mine] <= tolerance_mm + 1e-6).sum())
        total += int(mine.sum())
    return within / total
