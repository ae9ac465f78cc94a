"""Training data seen on a larger working grid than they were prepared on: the same regions with more of their surroundings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from TumorSynthLib.dataset import TrainingData


@dataclass(frozen=True, eq=False)
class WiderData(TrainingData):
    """Images are resampled when they are asked for, so only the masks have to grow, by empty voxels on every side."""

    rim: int
    """Voxels added on every side."""

    def mask(self, index: int) -> np.ndarray:
        """Mask of a region, bool (size, size, size)."""
        stored = self.work.size - 2 * self.rim
        inside = np.unpackbits(self.masks[index])[: stored**3].reshape(stored, stored, stored).astype(bool)
        return np.pad(inside, self.rim)


def wide_enough(data: TrainingData, crop: Sequence[int]) -> TrainingData:
    """The data on a working grid that holds a crop."""
    rim = -(-(max(crop, default=0) - data.work.size) // 2)
    if rim <= 0:
        return data
    work = replace(data.work, size=data.work.size + 2 * rim)
    return WiderData(data.images, data.regions, data.masks, data.features, data.names, work, rim)
