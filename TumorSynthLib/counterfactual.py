"""Regions that look otherwise than they did, so that features do not follow from the surroundings.

Where every tumor is seen in its own surroundings only, a network may read its texture off them and ignore the features that it
is given; whoever asks for another texture at the same place then gets the old one (the swap test of the evaluation). So some
regions are learned with their brightness, contrast and grain changed, and the features measured anew. A change is defined in
physical space, so that it is the same on the image's own grid, where features are measured, and on any working grid.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from TumorSynthLib.volume import Geometry

COARSE_MM = 3.0
"""Standard deviation in mm of the Gaussian that parts coarse from fine structure."""
WAVES = 48
"""Plane waves that make a random pattern; their sum is nearly Gaussian."""


@dataclass(frozen=True)
class Change:
    """What is done to the values inside a region."""

    shift: float
    """Added to all of them, domain units."""
    coarse: float
    """Factor of the coarse structure about the region's mean."""
    fine: float
    """Factor of the fine structure."""
    pattern: float
    """Standard deviation of a random pattern that is added, domain units."""
    length_mm: float
    """Wavelength of that pattern."""
    seed: int
    """Seed of that pattern."""

    def apply(self, u: np.ndarray, inside: np.ndarray, geometry: Geometry, lowest: float) -> np.ndarray:
        """Domain values with the change, float32; outside the region they are the same.

        Parameters
        ----------
        u : domain values (i, j, k).
        inside : the region, bool (i, j, k).
        geometry : their grid.
        lowest : value that nothing falls below.
        """
        result = np.array(u, dtype=np.float32)
        if not inside.any():
            return result
        smooth = ndimage.gaussian_filter(result, COARSE_MM / geometry.spacing, mode="nearest", truncate=3.0)
        mean = float(result[inside].mean())
        value = mean + self.shift + self.coarse * (smooth[inside] - mean) + self.fine * (result[inside] - smooth[inside])
        if self.pattern > 0.0:
            value += self.pattern * self._pattern(geometry.to_ras(np.argwhere(inside)))
        result[inside] = np.maximum(value, lowest)
        return result

    def _pattern(self, points: np.ndarray) -> np.ndarray:
        """A random pattern with mean 0 and variance 1 at points in RAS mm, (n, 3) to (n,)."""
        rng = np.random.default_rng(self.seed)
        direction = rng.normal(size=(WAVES, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        lengths = self.length_mm * np.exp(rng.normal(0.0, 0.3, WAVES))
        phases = rng.uniform(0.0, 2.0 * np.pi, WAVES)
        angles = points @ (2.0 * np.pi * direction / lengths[:, None]).T + phases
        return np.asarray(np.cos(angles).sum(axis=1) * np.sqrt(2.0 / WAVES))


def draw_change(rng: np.random.Generator, spread: float) -> Change:
    """A random change: the mean moves by up to two spreads, structure is softened or sharpened, and half get a new pattern.

    Parameters
    ----------
    spread : typical standard deviation inside tumors of the domain, domain units.
    """
    pattern = float(rng.uniform(0.2, 1.0) * spread) if rng.random() < 0.5 else 0.0
    return Change(
        shift=float(np.clip(rng.normal(0.0, 1.0), -2.0, 2.0) * spread),
        coarse=float(np.exp(rng.uniform(np.log(0.3), np.log(1.8)))),
        fine=float(np.exp(rng.uniform(np.log(0.4), np.log(1.6)))),
        pattern=pattern,
        length_mm=float(np.exp(rng.uniform(np.log(4.0), np.log(25.0)))),
        seed=int(rng.integers(2**31)),
    )
