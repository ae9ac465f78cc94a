"""How far the network's healthy tissue can be trusted beyond the harmonic fill, measured on held-out training patients."""

import numpy as np
import torch

from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.dataset import HEALTHY, TrainingData
from TumorSynthLib.fill import harmonic_fill
from TumorSynthLib.texture import Sampling, Task, TextureModel
from TumorSynthLib.train.common import is_validation

LIMIT = 40
"""Regions looked at per unit."""


def removal_weights(data: TrainingData, model: TextureModel) -> dict[str, float]:
    """For each domain the factor in [0, 1] that makes the network's change fit best, by least squares.

    With H the harmonic fill of a healthy region, c the network's change to it (made to vanish at the border) and v the
    truth, the factor is <c, v - H> / <c, c> over all regions of held-out patients whose domain has the same unit.
    """
    sums: dict[str, np.ndarray] = {}
    seen: dict[str, int] = {}
    for index, region in enumerate(data.regions):
        image = data.images[region.image]
        unit = image.domain.unit
        if region.kind != HEALTHY or not is_validation(image.patient) or seen.get(unit, 0) >= LIMIT:
            continue
        seen[unit] = seen.get(unit, 0) + 1
        task = Task(data.patch(index), data.mask(index), image.domain, region.spacing, None)
        sums[unit] = sums.get(unit, np.zeros(2)) + _products(task, model)
    return {domain.id: _weight(sums.get(domain.unit)) for domain in DOMAINS}


def _products(task: Task, model: TextureModel) -> np.ndarray:
    """<c, v - H> and <c, c> inside one region."""
    change = model.synthesize(task, Sampling(1, 1.0, (0,)))[0] - model.filled(task)
    mask = torch.from_numpy(task.mask)[None, None]
    membrane, rim = (harmonic_fill(torch.from_numpy(values)[None, None], mask)[0, 0].numpy() for values in (task.v, change))
    own, missing = (change - rim)[task.mask], (task.v - membrane)[task.mask]
    return np.array([float((own * missing).sum()), float((own * own).sum())])


def _weight(products: np.ndarray | None) -> float:
    if products is None or products[1] <= 0.0:
        return 1.0
    return round(float(np.clip(products[0] / products[1], 0.0, 1.0)), 3)

