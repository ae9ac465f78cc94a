"""A tumor from a box alone, by the method ``flow``: mask and texture are made together, so that they fit each other.

What lies in the box but outside the mask stays as it is in the scan; the network's guess of it is thrown away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.edit import Candidate, Prediction, TextureEdit, edit_region, work_task
from TumorSynthLib.errors import GeometryError
from TumorSynthLib.finishing import finish
from TumorSynthLib.placing import air_warning, box_of
from TumorSynthLib.protocol import Request, shape_targets
from TumorSynthLib.resample import resample
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.scene import Scene, inside_box
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.soft_mask import VOLUME, near, tumor_mask
from TumorSynthLib.texture import Sampling, TextureModel
from TumorSynthLib.volume import Geometry

FEWEST = 2
"""Voxels that features need; less is no tumor."""
FILL = 0.3
"""Share of a box that a tumor fills, where its volume is not asked for: an ellipsoid fills half of one that fits tightly."""


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
    drawn: Mapping[str, float],
    progress: Callable[[str, float], None],
) -> list[BoxTumor]:
    """Finished tumors in the box of a request, the best measured first.

    Parameters
    ----------
    request : an ``insert`` with a box, or with a point and a volume.
    scene : scan and domain.
    model : warm networks.
    seeds : one per candidate.
    drawn : texture features of a typical tumor for what was not asked.
    progress : called with a stage and the share of it that is done; may raise to cancel.

    Raises
    ------
    GeometryError : ``flow.empty`` when there is no tumor in any of the samples, ``geometry.box`` for a box without a voxel of
        the scan or of the region.
    """
    box = inside_box(box_of(request), scene.scan.geometry, None)
    allowed = _allowed(box, scene.region)
    targets = shape_targets(request)
    task, grid = work_task(scene, TextureEdit(box, {**scene.texture, **targets}, drawn=drawn), WorkConfig())
    sampling = Sampling(request.steps, request.guidance, seeds)
    images, soft = model.joint(task, sampling, lambda share: progress("sampling", share))
    found = []
    for number, (image, one, seed) in enumerate(zip(images, soft, seeds, strict=True)):
        one = one if request.at is None else near(one, grid, request.at, targets[VOLUME])

        def alive(number: int = number) -> None:
            progress("compositing", number / len(seeds))

        mask, warnings = tumor_mask(one, grid, scene.scan.geometry, allowed, targets, alive)
        if mask.sum() < FEWEST:
            continue
        edit = TextureEdit(mask, dict(scene.texture), noise=request.noise, drawn=drawn, typical=True)
        region = edit_region(scene, edit)
        u = resample(scene.intensity.from_input(image), grid, region.geometry, smooth=False)

        def report(share: float, number: int = number) -> None:
            progress("compositing", (number + share) / len(seeds))

        prediction = Prediction(u, task.spacing, seed)
        candidate = finish(scene, edit, region, prediction, model.scales[scene.appearance.id], report)
        missed = shape_distance(mask, scene.scan.geometry, targets, model.shape_scales)
        distance = float(np.hypot(candidate.distance, missed))
        kept = replace(candidate, distance=distance)
        found.append(BoxTumor(mask, kept, [*warnings, *air_warning(scene, mask), *_grid_warning(grid)]))
    if not found:
        message = f"The model made no tumor in the box, in {len(seeds)} sample(s)."
        raise GeometryError("flow.empty", message, "Try another seed or a larger box, or the method 'bridge'.")
    return sorted(found, key=lambda tumor: tumor.candidate.distance)


def likely_volume(request: Request) -> float:
    """Volume in mm^3 of the tumor to be: the asked one, or ``FILL`` of the box."""
    low, high = (np.array(corner) for corner in box_of(request))
    return float(shape_targets(request).get(VOLUME, FILL * np.prod(high - low)))


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


def _allowed(box: np.ndarray, region: np.ndarray | None) -> np.ndarray:
    """Where the tumor may be, bool."""
    allowed = box if region is None else box & region
    if not allowed.any():
        raise GeometryError("geometry.box", "The region has no voxel in the box.", "Draw the box where the region is.")
    return allowed


def _grid_warning(grid: Geometry) -> list[str]:
    spacing = float(grid.spacing[0])
    if spacing <= WorkConfig().max_spacing:
        return []
    return [f"The box is so large that the tumor was made of voxels of {spacing:.2g} mm; a smaller box shows finer texture."]
