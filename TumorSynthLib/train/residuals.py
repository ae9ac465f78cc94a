"""How much a region's latent differs from that of its fill, by domain: what the preconditioned objective is measured in."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from TumorSynthLib.configs import DOMAINS, BridgeConfig
from TumorSynthLib.dataset import CHANGED, HEALTHY, TrainingData
from TumorSynthLib.processes.process import PRECONDITIONED
from TumorSynthLib.train.conditions import Conditions
from TumorSynthLib.train.draws import prepared
from TumorSynthLib.train.flow_loss import over_cells
from TumorSynthLib.train.latents import Hides, LatentCache

LOOKED_AT = 16
"""Most regions of each domain and path."""
LEAST = 0.02
"""Smallest deviation: rounding of a region that is its own fill is not to be learned."""


def with_residual_sd(
    config: BridgeConfig, data: TrainingData, conditions: Conditions, rows: np.ndarray, cache: LatentCache
) -> BridgeConfig:
    """The network's configuration with ``residual_sd``, where an objective needs it and it is not there yet.

    A domain without regions takes the median of the others, and 1 where no domain has any.

    Parameters
    ----------
    config : of the network.
    data, conditions : the regions.
    rows : those to learn from.
    cache : encodes them.
    """
    if PRECONDITIONED not in (config.objective, config.diffusion_objective, config.flow_objective) or config.residual_sd:
        return config
    kind, domain = conditions.kind[rows], conditions.domain[rows]
    healthy, tumor = kind == HEALTHY, (kind != HEALTHY) & (kind != CHANGED)
    table = np.full((len(DOMAINS), 2), np.nan)
    for path, (chosen, hides) in enumerate(((healthy, Hides.REGION), (tumor, Hides.RING))):
        for number in np.unique(domain[chosen]):
            some = rows[chosen & (domain == number)]
            some = some[:: max(1, len(some) // LOOKED_AT)][:LOOKED_AT]
            levels = [conditions.row(int(row)).level if path and config.leveled else None for row in some]
            table[number, path] = _deviation(data, some, hides, levels, cache)
    for column in table.T:
        known = column[np.isfinite(column)]
        column[~np.isfinite(column)] = np.median(known) if known.size else 1.0
    return replace(config, residual_sd=tuple((round(float(a), 4), round(float(b), 4)) for a, b in table))


def _deviation(data: TrainingData, rows: np.ndarray, hides: Hides, levels: Sequence[float | None], cache: LatentCache) -> float:
    """Root of the median over regions of the mean square inside the mask."""
    squares = []
    for row, level in zip(rows, levels, strict=True):
        latents = cache.batch([prepared(data, int(row), hides=hides, level=level)])
        squares.append(float(over_cells((latents.x0 - latents.y).square().mean(dim=1, keepdim=True), latents.masks[:, :1])))
    return max(LEAST, float(np.sqrt(np.median(squares))))
