"""What a tumor does to its surroundings: it displaces them, and leaves a rim. Both are off unless asked for."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.compositing import composite
from TumorSynthLib.mass_effect import Field, displacement, push, push_labels, relax, relax_labels
from TumorSynthLib.obstacles import stiff_tissue
from TumorSynthLib.rim import END_MM, rim_change
from TumorSynthLib.scene import Scene
from TumorSynthLib.volume import Volume, mask_box

Warp = Callable[[np.ndarray, Field], np.ndarray]
"""How values or labels are moved."""


def displaced(scene: Scene, mask: np.ndarray, amount: float) -> tuple[Scene, list[str]]:
    """The scene with tissue, labels and earlier tumors pushed away by a tumor that is to come, and what the user should know.

    Parameters
    ----------
    scene : without that tumor.
    mask : of the tumor, bool on the scan's grid.
    amount : 0 none to 1 full.
    """
    if amount == 0.0:
        return scene, []
    field = displacement(mask, scene.scan.geometry, amount, _stiff(scene, mask, None))
    return _warped(scene, field, push, push_labels), field.warnings


def relaxed(scene: Scene, mask: np.ndarray, amount: float) -> tuple[Scene, np.ndarray, list[str]]:
    """The scene with the tissue around a tumor come back into its place, what is left of the tumor's mask, and warnings."""
    if amount == 0.0:
        return scene, mask, []
    field = displacement(mask, scene.scan.geometry, amount, _stiff(scene, mask, mask))
    hole = relax_labels(mask, field)
    # A tumor of a few voxels may vanish altogether; then it is healed where it is.
    return _warped(scene, field, relax, relax_labels), hole if hole.any() else mask, field.warnings


def with_rim(
    scene: Scene, mask: np.ndarray, strength: float, bundle: Bundle, tumor_mean: float | None
) -> tuple[Scene, list[str]]:
    """The scene with a rim around a tumor that is to come, and what the user should know.

    Parameters
    ----------
    scene : without that tumor.
    mask : of the tumor, bool on the scan's grid.
    strength : 0 none to 1, the rim of the strongest tenth of real tumors.
    bundle : knows the rims of real tumors.
    tumor_mean : mean domain value that the tumor will have, where it is known.
    """
    if strength == 0.0:
        return scene, []
    known = bundle.rim(scene.domain.id)
    if known is None or known["contrast"] == 0.0:
        reason = f": {known['reason']}" if known and known["reason"] else ""
        return scene, [f"There is no rim, because none is known for {scene.domain.id}{reason}."]
    box = mask_box(mask).expanded(END_MM / scene.scan.geometry.spacing + 3, mask.shape)
    x = scene.scan.array[box.slices]
    u = scene.intensity.normalize(x)
    grid = scene.scan.geometry.cropped(box)
    change = rim_change(u, mask[box.slices], grid, scene.domain, known, strength, tumor_mean)
    values = composite(x, scene.intensity.denormalize(u + change), (change != 0.0).astype(np.float32))
    return replace(scene, scan=scene.scan.pasted(values, box)), []


def _stiff(scene: Scene, mask: np.ndarray, tumor: np.ndarray | None) -> np.ndarray:
    """What cannot move around a tumor."""
    scan = scene.scan
    return stiff_tissue(scan.array, mask, scan.geometry, scene.intensity, scene.domain, scene.region, tumor)


def _warped(scene: Scene, field: Field, values: Warp, labels: Warp) -> Scene:
    scan = Volume(values(scene.scan.array, field), scene.scan.geometry, scene.scan.unit)
    moved = scene.labels
    if moved is not None:
        moved = Volume(labels(moved.array, field), moved.geometry)
    carried: Mapping[str, np.ndarray] = {name: labels(mask, field) for name, mask in scene.carried.items()}
    return replace(scene, scan=scan, labels=moved, carried=carried)
