"""From stored values to domain values (features are measured there) to network input, and back."""

from dataclasses import dataclass

import numpy as np

from TumorSynthLib.configs import Domain
from TumorSynthLib.errors import ImageError
from TumorSynthLib.volume import some_voxels

MEAN, VARIANCE = "firstorder_Mean", "firstorder_Variance"
"""The features that are the level and the contrast of a tumor."""


@dataclass(frozen=True)
class Intensity:
    """The two invertible maps of one image in one domain.

    ``x`` are stored values (HU, SUV, a scanner's own), ``u`` domain values (HU, SUV, percent of the scan's
    range), ``v`` network input: linear within one domain scale of the domain's center, logarithmic beyond,
    so that soft tissue keeps most of the range and air, bone or hot spots still fit.
    """

    offset: float
    """Stored value that maps to u = 0."""
    gain: float
    """Stored units per domain unit."""
    center: float
    """Domain value that maps to v = 0."""
    scale: float
    """Domain units per unit of v, near the center."""

    def normalize(self, x: np.ndarray) -> np.ndarray:
        """Domain values of stored values, float32."""
        return ((np.asarray(x, dtype=np.float64) - self.offset) / self.gain).astype(np.float32)

    def denormalize(self, u: np.ndarray) -> np.ndarray:
        """Stored values of domain values, float32; the inverse of ``normalize``."""
        return (np.asarray(u, dtype=np.float64) * self.gain + self.offset).astype(np.float32)

    def to_input(self, u: np.ndarray) -> np.ndarray:
        """Network input of domain values, float32."""
        z = (np.asarray(u, dtype=np.float32) - np.float32(self.center)) / np.float32(self.scale)
        size = np.abs(z)
        return np.where(size <= 1.0, z, np.sign(z) * (1.0 + np.log(np.maximum(size, 1.0)))).astype(np.float32)

    def from_input(self, v: np.ndarray) -> np.ndarray:
        """Domain values of network input, float32; the inverse of ``to_input``."""
        v = np.asarray(v, dtype=np.float32)
        size = np.abs(v)
        # Beyond |v| = 6 the exponential would leave every scanner's range; a broken prediction stays finite.
        z = np.where(size <= 1.0, v, np.sign(v) * np.exp(np.clip(size, 1.0, 6.0) - 1.0))
        return (z * self.scale + self.center).astype(np.float32)


def level_of(mean: float | None, intensity: Intensity) -> float | None:
    """The network input of a mean in domain values; None where it is not known."""
    if mean is None or not np.isfinite(mean):
        return None
    return float(intensity.to_input(np.array(mean)))


def fit_intensity(array: np.ndarray, domain: Domain) -> Intensity:
    """The intensity maps of one image (the whole scan, not a crop of it).

    Raises
    ------
    ImageError : when a percentile normalization meets a constant image.
    """
    if domain.normalization.kind == "identity":
        return Intensity(0.0, 1.0, domain.center, domain.scale)
    low, high = np.percentile(foreground(array), [domain.normalization.low, domain.normalization.high])
    if not high > low:
        raise ImageError("image.constant", f"The image is constant (every voxel is {low:g}).", "Choose a scan with contrast.")
    return Intensity(float(low), float(high - low) / 100.0, domain.center, domain.scale)


def foreground(array: np.ndarray) -> np.ndarray:
    """Voxels without the most frequent value, where that fills at least 5 % of the image (skull-stripped or padded scans).

    At most about a million voxels are looked at, on a regular stride, so that the cost does not grow with the scan.
    """
    flat = some_voxels(array, 1_000_000)
    values, counts = np.unique(flat, return_counts=True)
    top = int(np.argmax(counts))
    if counts[top] >= 0.05 * flat.size and values.size > 1:
        return flat[flat != values[top]]
    return flat
