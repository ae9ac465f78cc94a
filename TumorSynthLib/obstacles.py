"""What displaced tissue cannot move and a rim cannot enter: bone, air and the background."""

import numpy as np
from scipy import ndimage

from TumorSynthLib.configs import Domain
from TumorSynthLib.domains import tissue
from TumorSynthLib.intensity import Intensity
from TumorSynthLib.volume import Geometry, mask_box

BONE_HU = 250.0
"""CT value above which tissue counts as bone."""
REACH_MM = 12.0
"""How far from a mask obstacles are looked for; the edit itself ends at 10 mm."""
SPECK_MM3 = 150.0
"""Obstacles below this volume are noise, clips or gas bubbles: they move along."""
SHELL_MM = 20.0
"""Dark voxels of a head less deep than this are skull; deeper ones are ventricles."""
_COARSE = 400_000
"""Voxels of the thinned scan on which the outside is found."""


def solid(u: np.ndarray, domain: Domain) -> np.ndarray:
    """Voxels of bone (in CT), air or background, bool, one by one.

    Parameters
    ----------
    u : domain values.
    domain : organ and modality.
    """
    bone = u > BONE_HU if domain.modality == "CT" else np.zeros(u.shape, bool)
    return bone | ~tissue(u, domain)


def stiff_tissue(
    x: np.ndarray,
    mask: np.ndarray,
    geometry: Geometry,
    intensity: Intensity,
    domain: Domain,
    region: np.ndarray | None = None,
    tumor: np.ndarray | None = None,
) -> np.ndarray:
    """What a growing tumor cannot move, bool on the scan's grid, filled in within 12 mm of the mask.

    Bone in CT, and air or background; in the brain, dark ventricles are not background. Without a region, skull in MR is
    known only as what is dark near the skin.

    Parameters
    ----------
    x : stored values, shape (i, j, k).
    mask : bool; the tumor that pushes.
    geometry : grid of both.
    intensity, domain : of the scan.
    region : bool; an organ whose border holds the tissue. What lies outside of it is stiff.
    tumor : bool; a tumor that the scan shows. It is never stiff, whatever its values are.
    """
    stiff = np.zeros(mask.shape, bool)
    box = mask_box(mask).expanded(REACH_MM / geometry.spacing, mask.shape)
    part = solid(intensity.normalize(x[box.slices]), domain)
    if domain.organ == "brain" and domain.modality != "CT":
        part &= outside_head(x, geometry, intensity, domain)[box.slices]
    part = _without_specks(part, geometry.voxel_volume_mm3)
    if region is not None:
        part |= ~region[box.slices]
    if tumor is not None:
        part &= ~tumor[box.slices]
    stiff[box.slices] = part
    return stiff


def outside_head(x: np.ndarray, geometry: Geometry, intensity: Intensity, domain: Domain) -> np.ndarray:
    """Where dark voxels of a head are air, background or skull rather than ventricles, bool on the scan's grid.

    The outside is what is dark and connected to the border of the scan. Around a brain that was cut out it is constant; where
    it is not, the head is whole, and the skull lies less than 20 mm below it.
    """
    steps = np.maximum(1, np.rint((x.size / _COARSE) ** (1 / 3) * geometry.spacing.min() / geometry.spacing)).astype(int)
    thin = x[:: steps[0], :: steps[1], :: steps[2]]
    dark = ~tissue(intensity.normalize(thin), domain)
    # One voxel around the scan joins what touches its border.
    labels = ndimage.label(np.pad(dark, 1, constant_values=True))[0]
    outside = (labels == labels[0, 0, 0])[1:-1, 1:-1, 1:-1]
    if not outside.any():
        return np.zeros(x.shape, bool)
    depth = 0.0 if np.ptp(thin[outside]) == 0 else SHELL_MM
    pitch = geometry.spacing * steps
    near = ndimage.distance_transform_edt(~outside, sampling=tuple(pitch)) <= max(depth, float(pitch.max()))
    return near[np.ix_(*(np.arange(n) // step for n, step in zip(x.shape, steps, strict=True)))]


def _without_specks(part: np.ndarray, voxel_mm3: float) -> np.ndarray:
    """The same voxels without connected pieces below ``SPECK_MM3``."""
    labels, count = ndimage.label(part)
    if count == 0:
        return part
    large = np.bincount(labels.reshape(-1)) * voxel_mm3 >= SPECK_MM3
    large[0] = False
    return np.asarray(large[labels])
