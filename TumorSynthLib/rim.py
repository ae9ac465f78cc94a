"""A rim around a tumor: edema, spill-out or reaction in the tissue beside it, as strong and wide as real tumors show it.

The rim spreads by geodesic distance (fast marching): at full speed through tissue like that which borders the tumor, slowly
over edges and into other tissue (in PET, where it is the tumor's own blur, at full speed everywhere), not at all through bone,
air or background. It is added to the scan, so the tissue's own texture and noise stay. How strong and wide comes from real
tumors (``train.rim_statistics``).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from TumorSynthLib.configs import Domain
from TumorSynthLib.obstacles import solid
from TumorSynthLib.volume import Geometry, mask_box

END_MM = 9.5
"""Geodesic distance to the tumor at which the rim has fallen to exactly zero."""
FADE_MM = 6.0
"""Distance from which on it fades faster than real profiles do, to end in time."""
BORDER_MM = 4.0
"""Voxels as near as this decide which tissue borders the tumor."""
CT_CLASSES = (-400.0, -30.0)
"""HU between aerated lung, fat and all else."""
BIMODAL = 0.7
"""Share of an MR's variance between two classes (Otsu) from which on there are two: fat and water. Of a Gaussian it is 0.64."""
_SLOW = 0.3
_SHUT = 1e-3
_SLOWEST_EDGE = 0.2


def rim_change(
    u: np.ndarray,
    mask: np.ndarray,
    geometry: Geometry,
    domain: Domain,
    statistics: Mapping[str, Any],
    strength: float,
    tumor_mean: float | None = None,
) -> np.ndarray:
    """What a rim adds to the domain values, float32 (i, j, k); exactly zero in the mask and from 10 mm on.

    Parameters
    ----------
    u : domain values of the scan; those in the mask do not matter.
    mask : bool; the tumor.
    geometry : grid of both.
    domain : organ and modality.
    statistics : the bundle's ``rim`` entry of the domain.
    strength : 0 none to 1: the contrast that the strongest tenth of real tumors show.
    tumor_mean : mean domain value of the tumor. Where rim and tumor change the tissue in the same direction, the rim is then
        kept to the share of the tumor's contrast that real ones have.

    Raises
    ------
    GeometryError : when the mask is empty.
    """
    change = np.zeros(mask.shape, np.float32)
    box = mask_box(mask).expanded((END_MM + 1.5) / geometry.spacing, mask.shape)
    contrast = strength * float(statistics["contrast"])
    if contrast == 0.0:
        return change
    part, inside, spacing = u[box.slices], mask[box.slices], geometry.spacing
    centers = ndimage.distance_transform_edt(~inside, sampling=tuple(spacing))
    shut = solid(part, domain)
    similar = similar_tissue(part, centers, domain)
    if tumor_mean is not None and similar.any():
        contrast = _kept(contrast, tumor_mean - float(part[similar & (centers <= END_MM)].mean()), statistics.get("share"))
    speed = np.where(shut | inside, _SHUT, 1.0 if domain.unit == "SUV" else _speed(part, inside, similar))
    way = geodesic(inside, speed, spacing)
    low, high = statistics["near_mm"]
    profile = rim_profile(way, float(statistics["width_mm"]), (float(low), float(high)))
    reached = ~inside & ~shut & (centers < END_MM)
    change[box.slices] = np.where(reached, np.float32(contrast) * profile, np.float32(0.0))
    return change


def similar_tissue(u: np.ndarray, distance: np.ndarray, domain: Domain) -> np.ndarray:
    """Voxels outside a tumor of the class of tissue that borders it, bool.

    CT has fixed classes (lung, fat, the rest). In MR there are two classes where the values fall in two groups, else one; in
    PET there is one.

    Parameters
    ----------
    u : domain values.
    distance : to the tumor in mm, 0 inside.
    domain : organ and modality.
    """
    free = (distance > 0) & ~solid(u, domain)
    border = free & (distance <= BORDER_MM)
    if not border.any():
        return free
    if domain.modality == "CT":
        classes = np.digitize(u, CT_CLASSES)
    elif domain.modality.startswith("MR"):
        classes = _two_classes(u, free)
    else:
        return free
    return free & (classes == np.bincount(classes[border]).argmax())


def rim_profile(distance: np.ndarray, width_mm: float, near_mm: tuple[float, float]) -> np.ndarray:
    """The rim at geodesic distances in mm: falls by half every ``width_mm``, is 1 on average over ``near_mm``, and ends.

    Returns
    -------
    float32, exactly 0 from ``END_MM`` on.
    """

    def shape(d: np.ndarray) -> np.ndarray:
        t = np.clip((d - FADE_MM) / (END_MM - FADE_MM), 0.0, 1.0)
        return np.exp2(-np.minimum(d, END_MM) / width_mm) * (1.0 - t * t * (3.0 - 2.0 * t))

    return np.asarray(shape(distance) / shape(np.linspace(*near_mm, 31)).mean(), dtype=np.float32)


def geodesic(inside: np.ndarray, speed: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Time in which a front from a mask reaches each voxel, in mm of way at speed 1; large where it does not.

    Parameters
    ----------
    inside : bool, shape (i, j, k); not empty.
    speed : 0 to 1; at least ``_SHUT``, for the filter divides by it.
    spacing : voxel edges in mm.
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(speed, dtype=np.float32))
    image.SetSpacing([float(step) for step in spacing[::-1]])
    border = inside & ~ndimage.binary_erosion(inside, border_value=1)
    # SimpleITK wants x, y, z = k, j, i.
    seeds = np.argwhere(border if border.any() else inside)[:, ::-1]
    front = sitk.FastMarchingImageFilter()
    front.SetTrialPoints(seeds.tolist())
    front.SetStoppingValue(END_MM + 1.0)
    return np.asarray(sitk.GetArrayFromImage(front.Execute(image)))


def _two_classes(u: np.ndarray, where: np.ndarray) -> np.ndarray:
    """1 for the brighter of two classes and 0 for the darker, where the values fall in two; else 0 everywhere."""
    values = np.clip(u[where], *np.percentile(u[where], [0.5, 99.5]))
    if np.ptp(values) == 0:
        return np.zeros(u.shape, int)
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(sitk.GetImageFromArray(values[None].astype(np.float32)))
    bright = values > otsu.GetThreshold()
    share = float(bright.mean())
    apart = float(values[bright].mean() - values[~bright].mean()) if 0.0 < share < 1.0 else 0.0
    if share * (1.0 - share) * apart**2 < BIMODAL * float(values.var()):
        return np.zeros(u.shape, int)
    return (u > otsu.GetThreshold()).astype(int)


def _speed(u: np.ndarray, inside: np.ndarray, similar: np.ndarray) -> np.ndarray:
    """How fast the rim spreads: 1 in similar tissue, less over edges and in other tissue."""
    # The tumor is replaced by the tissue beside it, or its own border would be an edge.
    nearest = ndimage.distance_transform_edt(inside, return_distances=False, return_indices=True)
    edges = ndimage.gaussian_gradient_magnitude(u[tuple(nearest)].astype(np.float32), 1.0)
    plain = float(np.median(edges[similar])) if similar.any() else 0.0
    speed = np.where(similar, 1.0, _SLOW)
    if plain > 0.0:
        speed *= np.maximum(1.0 / (1.0 + (edges / (4.0 * plain)) ** 4), _SLOWEST_EDGE)
    return np.asarray(speed)


def _kept(contrast: float, tumor_contrast: float, share: float | None) -> float:
    """The rim's contrast, at most a share of the tumor's where both go in one direction."""
    if share is None or contrast * tumor_contrast <= 0.0:
        return contrast
    return math.copysign(min(abs(contrast), share * abs(tumor_contrast)), contrast)
