"""How far the network's healthy tissue can be trusted beyond the membrane fill, measured on held-out training patients."""

import numpy as np

from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.dataset import HEALTHY, TrainingData, flip
from TumorSynthLib.healing import continued
from TumorSynthLib.resample import resample
from TumorSynthLib.texture import Sampling, Task, TextureModel
from TumorSynthLib.train.common import is_validation
from TumorSynthLib.volume import Box, work_grid

LIMIT = 40
"""Regions looked at per unit."""


def removal_weights(data: TrainingData, model: TextureModel) -> dict[str, float]:
    """For each domain the factor in [0, 1] that makes the network's change fit best, by least squares.

    With H the membrane through the surroundings of a healthy region on the scan's own grid, c the network's change to it (taken
    back at the border) and u the truth, the factor is <c, u - H> / <c, c> over all regions of held-out patients whose domain
    has the same unit.
    """
    sums: dict[str, np.ndarray] = {}
    seen: dict[str, int] = {}
    for index, region in enumerate(data.regions):
        image = data.images[region.image]
        unit = image.domain.unit
        if region.kind != HEALTHY or not is_validation(image.patient) or seen.get(unit, 0) >= LIMIT:
            continue
        seen[unit] = seen.get(unit, 0) + 1
        sums[unit] = sums.get(unit, np.zeros(2)) + _products(data, index, model)
    return {domain.id: _weight(sums.get(domain.unit)) for domain in DOMAINS}


def _products(data: TrainingData, index: int, model: TextureModel) -> np.ndarray:
    """<c, u - H> and <c, c> inside one region, in units of the domain's scale."""
    region = data.regions[index]
    image = data.images[region.image]
    grid = work_grid(image.geometry, np.array(region.center), region.spacing, data.work.size)
    task = Task(data.patch(index), data.mask(index), image.domain, region.spacing, None)
    to_u = image.intensity.from_input
    change = to_u(model.synthesize(task, Sampling(1, 1.0, (0,)))[0]) - to_u(model.filled(task))
    near = _covered(data, index)
    native = image.geometry.cropped(near)
    mask = resample(flip(task.mask, region.flips), grid, native, outside=0.0) > 0.5
    if not mask.any():
        return np.zeros(2)
    u = image.counts[near.slices] * np.float32(image.step)
    moved = resample(flip(change, region.flips), grid, native, smooth=False)
    membrane, healed = (continued(u, mask, native.spacing, values, region.spacing) for values in (np.zeros_like(moved), moved))
    own, missing = ((values - membrane)[mask] / image.domain.scale for values in (healed, u))
    return np.array([float((own * missing).sum()), float((own * own).sum())]) / mask.sum()


def _covered(data: TrainingData, index: int) -> Box:
    """The part of the scan that a region's working grid covers."""
    region = data.regions[index]
    geometry = data.images[region.image].geometry
    middle = geometry.to_ijk(np.array(region.center))
    reach = 0.5 * data.work.size * region.spacing / geometry.spacing
    start = np.clip(np.floor(middle - reach), 0, np.array(geometry.shape) - 1).astype(int)
    stop = np.clip(np.ceil(middle + reach) + 1, start + 1, np.array(geometry.shape)).astype(int)
    return Box(tuple(start.tolist()), tuple(stop.tolist()))


def _weight(products: np.ndarray | None) -> float:
    if products is None or products[1] <= 0.0:
        return 1.0
    return round(float(np.clip(products[0] / products[1], 0.0, 1.0)), 3)
