"""What came out: the features of the edited scan, of the tumor and of its parts, and how plausible they are."""

from collections.abc import Callable
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.features import measure_shape, measure_texture
from TumorSynthLib.quality import assess
from TumorSynthLib.scene import Scene
from TumorSynthLib.shape_measure import fast_shape
from TumorSynthLib.volume import Geometry, mask_box

LARGE = 50_000
"""Voxels from which on PyRadiomics takes more than a fifth of a second for diameters that ``fast_shape`` finds at once."""


def measure_mask(mask: np.ndarray, geometry: Geometry) -> dict[str, float]:
    """Shape features of a mask on a grid; those of large masks are computed faster, with the same values."""
    box = mask_box(mask)
    inside = mask[box.slices]
    measured = fast_shape if int(inside.sum()) > LARGE else measure_shape
    return measured(inside, geometry.cropped(box))


def measure(scene: Scene, mask: np.ndarray, alive: Callable[[], None]) -> dict[str, float]:
    """Shape and texture features of a region, as far as it is large enough to have them.

    Parameters
    ----------
    scene : with the scan that is measured.
    mask : the region, bool on its grid.
    alive : called on the way; may raise to cancel.
    """
    geometry = scene.scan.geometry
    box = mask_box(mask)
    inside = mask[box.slices]
    u = scene.intensity.normalize(scene.scan.array[box.slices])
    found: dict[str, float] = {}
    for part in (
        lambda: measure_mask(mask, geometry),
        lambda: measure_texture(u, inside, geometry.cropped(box), scene.domain.radiomics, alive=alive),
    ):
        alive()
        try:
            found |= part()
        except TumorSynthError as error:
            if error.code != "feature.small":
                raise
    return found


def judged(scene: Scene, mask: np.ndarray, measured: dict[str, float], bundle: Bundle) -> dict[str, Any]:
    """How plausible a synthetic tumor is among those of the training data; see ``quality.assess``."""
    margin = 0.5 * np.array(mask_box(mask).shape) + 4
    box = mask_box(mask).expanded(margin, mask.shape)
    u = scene.intensity.normalize(scene.scan.array[box.slices])
    return assess(bundle, scene.domain, measured, u, mask[box.slices], scene.scan.geometry.cropped(box))
