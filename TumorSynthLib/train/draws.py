"""Which region each sample of a bridge training is, and in which crop and flips.

Two windows slide along: over the crops and flips of each prepared region, and over the sequence of fresh healthy regions. What
is in the windows depends on the step alone, so that encodings are kept and reused, and yet no region stays the same for ever.
"""

from functools import partial

import numpy as np

from TumorSynthLib.configs import DrawConfig
from TumorSynthLib.dataset import HEALTHY, TrainingData
from TumorSynthLib.train.conditions import Conditions, Row
from TumorSynthLib.train.fresh import FreshRegions
from TumorSynthLib.train.latents import AS_PREPARED, Hides, Wanted

PREPARED, FRESH = 0, 1
"""Sources of regions."""


class RegionDraws:
    """Draws samples.

    Parameters
    ----------
    data, conditions : the prepared regions.
    weights : how often each is drawn, (regions,).
    draw : settings of the windows.
    fresh : newly drawn healthy regions; None where there are none.
    hides : what is hidden of a region that is not to heal.
    """

    def __init__(
        self,
        data: TrainingData,
        conditions: Conditions,
        weights: np.ndarray,
        draw: DrawConfig,
        fresh: FreshRegions | None,
        hides: Hides = Hides.RING,
    ) -> None:
        self.data, self.conditions, self.draw, self.fresh, self.hides = data, conditions, draw, fresh, hides
        self.rows = np.flatnonzero(weights)
        self.levels = np.cumsum(weights[self.rows] / weights.sum())

    def sample(self, rng: np.random.Generator, step: int) -> tuple[Row, Wanted]:
        """The condition of a sample of a step, and what to encode for it."""
        at = min(int(np.searchsorted(self.levels, rng.random(), side="right")), len(self.rows) - 1)
        index = int(self.rows[at])
        other, number = rng.random(), self._fresh_number(rng, step)
        if self.fresh is not None and self.conditions.kind[index] == HEALTHY and other < self.draw.share:
            found = self.fresh.region(number)
            if found is not None:
                domain = self.conditions.index_of(self.data.images[found.region.image].domain.id)
                intensity = self.data.images[found.region.image].intensity
                row = self.conditions.fresh(found.features, domain, found.region.spacing, intensity)
                return row, Wanted((FRESH, number, AS_PREPARED + 1), partial(self.fresh.load, number))
        return self.conditions.row(index), prepared(self.data, index, self._variant(rng, step, at), self.hides)

    def _variant(self, rng: np.random.Generator, step: int, at: int) -> int:
        """Which variant of the region at a place of ``rows``; the regions take turns in getting a new one."""
        if self.draw.variants == 0:
            return AS_PREPARED
        newest = int((step * self.draw.renew + at) / len(self.rows)) + 1
        return int(rng.integers(max(1, newest - self.draw.variants + 1), newest + 1))

    def _fresh_number(self, rng: np.random.Generator, step: int) -> int:
        return int(step * self.draw.fresh) + int(rng.integers(self.draw.window))


def prepared(
    data: TrainingData, index: int, variant: int = AS_PREPARED, hides: Hides = Hides.RING, level: float | None = None
) -> Wanted:
    """A region of the training file."""

    def load() -> tuple[np.ndarray, np.ndarray]:
        return data.patch(index), data.mask(index)

    return Wanted((PREPARED, index, variant), load, hides, level)
