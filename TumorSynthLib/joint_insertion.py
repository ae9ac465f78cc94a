"""A tumor from a box alone, by the method ``flow``: mask and texture are made together, so that they fit each other.

What lies in the box but outside the mask stays as it is in the scan; the network's guess of it is thrown away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.edit import Candidate, TextureEdit, edit_region, finish, work_task
from TumorSynthLib.errors import GeometryError
from TumorSynthLib.placing import box_of
from TumorSynthLib.protocol import Request, shape_targets
from TumorSynthLib.resample import resample
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.scene import Scene, inside_box
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.texture import Sampling, TextureModel
from TumorSynthLib.volume import Geometry, mask_box

LEVEL = 0.5
"""Of the soft mask, where no volume is asked for."""
FAINT = 0.02
"""Least value of the soft mask that a tumor of an asked volume may reach down to."""
_VOLUME = "shape_VoxelVolume"
_TOLERANCE = 0.02


@dataclass(frozen=True, eq=False)
class BoxTumor:
    """A tumor with the mask that was made for it."""

    mask: np.ndarray
    """Bool on the scan's grid."""
    candidate: Candidate
    """The finished edit; its distance is that of texture and shape together."""
    warnings: list[str]
    """What could not be met."""


def tumors_in_box(
    request: Request,
    scene: Scene,
    model: TextureModel,
    seeds: Sequence[int],
    progress: Callable[[str, float], None],
) -> list[BoxTumor]:
    """Finished tumors in the box of a request, the best measured first.

    Parameters
    ----------
    request : an ``insert`` with a box, or with a point and a volume.
    scene : scan and domain.
    model : warm networks.
    seeds : one per candidate.
    progress : called with a stage and the share of it that is done; may raise to cancel.

    Raises
    ------
    GeometryError : ``flow.empty`` when there is no tumor in any of the samples, ``geometry.box`` for a box without a voxel.
    """
    box = inside_box(box_of(request), scene.scan.geometry, None)
    allowed = box if scene.region is None else box & scene.region
    targets = shape_targets(request)
    task, grid = work_task(scene, TextureEdit(box, {**scene.texture, **targets}), WorkConfig())
    sampling = Sampling(request.steps, request.guidance, seeds)
    images, soft = model.joint(task, sampling, lambda share: progress("sampling", share))
    found = []
    for number, (image, one, seed) in enumerate(zip(images, soft, seeds, strict=True)):
        mask, warnings = mask_of(one, grid, scene.scan.geometry, allowed, targets.get(_VOLUME))
        if not mask.any():
            continue
        edit = TextureEdit(mask, dict(scene.texture), noise=request.noise)
        region = edit_region(scene, edit)
        u = resample(scene.intensity.from_input(image), grid, region.geometry, smooth=False)

        def report(share: float, number: int = number) -> None:
            progress("compositing", (number + share) / len(seeds))

        candidate = finish(scene, edit, region, u, seed, model.scales[scene.appearance.id], report)
        missed = shape_distance(mask, scene.scan.geometry, targets, model.shape_scales)
        distance = float(np.hypot(candidate.distance, missed))
        kept = Candidate(candidate.values, candidate.box, seed, distance, candidate.warnings)
        found.append(BoxTumor(mask, kept, warnings))
    if not found:
        message = f"The model made no tumor in the box, in {len(seeds)} sample(s)."
        raise GeometryError("flow.empty", message, "Try another seed or a larger box, or the method 'bridge'.")
    return sorted(found, key=lambda tumor: tumor.candidate.distance)


def mask_of(
    soft: np.ndarray, grid: Geometry, native: Geometry, allowed: np.ndarray, volume_mm3: float | None
) -> tuple[np.ndarray, list[str]]:
    """The mask on the scan's grid of a soft mask on the working grid: its largest part, of the asked volume.

    Parameters
    ----------
    soft : 0 to 1 on the working grid.
    grid, native : the working grid and the scan's.
    allowed : where the tumor may be, bool on the scan's grid.
    volume_mm3 : asked volume, met by the level at which the soft mask is cut; None cuts it at ``LEVEL``.

    Returns
    -------
    The mask, empty where the soft mask shows no tumor, and a sentence where the volume is missed by more than 2 % and a voxel.
    """
    box = mask_box(allowed)
    values = resample(soft, grid, native.cropped(box), outside=0.0, smooth=False) * allowed[box.slices]
    wanted = 0 if volume_mm3 is None else max(1, round(volume_mm3 / native.voxel_volume_mm3))
    inside = _largest(values >= (_level(values, wanted) if wanted else LEVEL))
    if wanted and inside.any():
        inside = _grown(inside, values, wanted)
    mask = np.zeros(allowed.shape, bool)
    mask[box.slices] = inside
    return mask, _volume_warning(int(inside.sum()), wanted, native)


def shape_distance(
    mask: np.ndarray, geometry: Geometry, targets: Mapping[str, float], scales: Mapping[str, FeatureScale]
) -> float:
    """Root mean square difference between asked and measured shape features, in normal scores; 0 where none is asked."""
    names = [name for name in targets if name in scales]
    if not names:
        return 0.0
    measured = measure_mask(mask, geometry)
    errors = [scales[name].score(measured[name]) - scales[name].score(targets[name]) for name in names]
    return float(np.sqrt(np.mean(np.square(errors))))


def _level(values: np.ndarray, count: int) -> float:
    """The level at which a soft mask holds so many voxels, at least ``FAINT``."""
    flat = values.ravel()
    if count >= flat.size:
        return FAINT
    return max(FAINT, float(np.partition(flat, flat.size - count)[flat.size - count]))


def _largest(inside: np.ndarray) -> np.ndarray:
    """The largest connected part."""
    parts, count = ndimage.label(inside)
    if count < 2:
        return inside
    return np.asarray(parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])))


def _grown(inside: np.ndarray, values: np.ndarray, wanted: int) -> np.ndarray:
    """A part with the likeliest of its neighbors added until it has so many voxels, as far as there is anything."""
    grown = inside.copy()
    while (missing := wanted - int(grown.sum())) > 0:
        shell = np.flatnonzero(ndimage.binary_dilation(grown) & ~grown & (values >= FAINT))
        if not shell.size:
            break
        best = shell[np.argsort(-values.ravel()[shell], kind="stable")[:missing]]
        grown.ravel()[best] = True
    return grown


def _volume_warning(found: int, wanted: int, geometry: Geometry) -> list[str]:
    if abs(found - wanted) <= max(1.0, _TOLERANCE * wanted) or not wanted or not found:
        return []
    asked, made = (count * geometry.voxel_volume_mm3 / 1000.0 for count in (wanted, found))
    return [f"A volume of {asked:.4g} mL was asked for, and the model made {made:.4g} mL in this box."]
