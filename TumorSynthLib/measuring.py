"""What came out: the features of the edited scan, of the tumor and of its parts, and how plausible they are."""

from collections.abc import Callable
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.features import measure_texture
from TumorSynthLib.quality import assess
from TumorSynthLib.scene import Scene
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.volume import mask_box


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
    """How plausible a synthetic tumor is among those that it is made like; see ``quality.assess``."""
    margin = 0.5 * np.array(mask_box(mask).shape) + 4
    box = mask_box(mask).expanded(margin, mask.shape)
    u = scene.intensity.normalize(scene.scan.array[box.slices])
    return assess(bundle, scene.appearance, measured, u, mask[box.slices], scene.scan.geometry.cropped(box))
