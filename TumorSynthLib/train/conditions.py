"""What the bridge is conditioned on: standardized features, domain and voxel size of a region, and which features are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.dataset import CHANGED, HEALTHY, TrainingData
from TumorSynthLib.intensity import MEAN, Intensity, level_of
from TumorSynthLib.methods import METHODS
from TumorSynthLib.nets.unet import Condition
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.train.feature_scales import Scales, fitted_scales, region_domains, token_features
from TumorSynthLib.train.shape_tokens import ShapeTokens


@dataclass(frozen=True, eq=False)
class Row:
    """The condition of one region."""

    values: np.ndarray
    """Standardized features, float32 (tokens,)."""
    known: np.ndarray
    """Which of them could be measured, bool (tokens,)."""
    domain: int
    """Index of the domain."""
    spacing: float
    """Working voxel in mm."""
    kind: int
    """TUMOR, PART, HEALTHY, CORE or REST."""
    level: float | None = None
    """The mean as network input of its image; None where it is not known."""


class Conditions:
    """Conditions of the regions of a training file.

    Parameters
    ----------
    data : the training file.
    tokens : names of the texture features with a token.
    known_scales : feature scales of some domains, those of a checkpoint or bundle; the others are fitted to the data.
    shapes : shape features with a token, which follow the others; None where the network has no such tokens.
    """

    def __init__(
        self,
        data: TrainingData,
        tokens: tuple[str, ...],
        known_scales: Scales | None = None,
        shapes: ShapeTokens | None = None,
    ) -> None:
        self.raw = token_features(data, tokens)
        self._intensities = [data.images[region.image].intensity for region in data.regions]
        self._mean = tokens.index(MEAN) if MEAN in tokens else None
        self.shape_scales: tuple[FeatureScale, ...] = ()
        if shapes is not None:
            self.raw, self.shape_scales = np.concatenate([self.raw, shapes.values], axis=1), shapes.scales
        self.domain = region_domains(data)
        self.spacing = np.array([region.spacing for region in data.regions], dtype=np.float32)
        self.kind = np.array([region.kind for region in data.regions])
        self.scales = fitted_scales(data, tokens) | (known_scales or {})
        self.values, self.known = np.zeros_like(self.raw), np.isfinite(self.raw)
        for row in range(len(self.raw)):
            self.values[row] = self._scores(self.raw[row], int(self.domain[row]))

    def _scores(self, raw: np.ndarray, domain: int) -> np.ndarray:
        chosen = [*self.scales[DOMAINS[domain].id], *self.shape_scales]
        return np.array(
            [scale.score(float(value)) if np.isfinite(value) else 0.0 for scale, value in zip(chosen, raw, strict=True)],
            dtype=np.float32,
        )

    @staticmethod
    def index_of(domain: str) -> int:
        """Index of a domain's embedding."""
        return [entry.id for entry in DOMAINS].index(domain)

    def row(self, index: int) -> Row:
        """The condition of a region of the training file."""
        spacing, kind = float(self.spacing[index]), int(self.kind[index])
        level = self._level(self.raw[index], self._intensities[index])
        return Row(self.values[index], self.known[index], int(self.domain[index]), spacing, kind, level)

    def fresh(self, raw: np.ndarray, domain: int, spacing: float, intensity: Intensity) -> Row:
        """The condition of a healthy region that is not in the training file, with the given features in domain values.

        Tokens without a feature, the last ones, are not known.
        """
        raw = np.concatenate([raw, np.full(self.raw.shape[1] - len(raw), np.nan, dtype=np.float32)])
        return Row(self._scores(raw, domain), np.isfinite(raw), domain, spacing, HEALTHY, self._level(raw, intensity))

    def _level(self, raw: np.ndarray, intensity: Intensity) -> float | None:
        mean = np.nan if self._mean is None else raw[self._mean]
        return level_of(float(mean), intensity)


def stacked(rows: Sequence[Row], masks: Tensor, present: np.ndarray, tumor: np.ndarray, method: str = "bridge") -> Condition:
    """The condition of a batch; features that are unknown count as absent.

    Parameters
    ----------
    rows : of the B regions.
    masks : (B, 2, d, h, w), on the device of the network.
    present : which features are shown, bool (B, tokens).
    tumor : which samples take the tumor path, bool (B,).
    method : that all of them follow.
    """
    device = masks.device
    return Condition(
        masks,
        torch.from_numpy(np.stack([row.values for row in rows])).to(device),
        torch.from_numpy(present & np.stack([row.known for row in rows])).to(device),
        torch.from_numpy(tumor).to(device),
        torch.tensor([row.domain for row in rows]).to(device),
        torch.tensor([row.spacing for row in rows], dtype=torch.float32).to(device),
        METHODS.index(method),
    )


def region_weights(kind: np.ndarray, domain: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """How often each region is drawn: half tumors and parts, half healthy; rare domains more often than their share.

    Parameters
    ----------
    kind, domain : of every region.
    chosen : indices of the regions that are drawn at all.
    """
    weights = np.zeros(len(kind))
    for healthy in (False, True):
        rows = chosen[(kind[chosen] == HEALTHY) == healthy]
        counts = np.bincount(domain[rows], minlength=len(DOMAINS)).astype(float)
        line = counts[domain[rows]] ** -0.5
        weights[rows] = 0.5 * line / max(line.sum(), 1e-12)
    return np.asarray(weights / weights.sum())


def draw_condition(rng: np.random.Generator, kind: np.ndarray, count: int, asked: float) -> tuple[np.ndarray, np.ndarray]:
    """Which features each sample is given, bool (B, count), and whether it takes the tumor path, bool (B,).

    Healthy regions are healed but for a share, ``asked``, that takes the tumor path with most of their features: any region
    teaches what a feature looks like, and those with a changed look, which keep most features too, that it does not follow from
    the surroundings. Tumors lose all features in 15 % (the average tumor, for guidance), keep each
    with a probability of 0.85, or with one drawn for the sample, so that any subset may be asked for.
    """
    size = len(kind)
    tumor = (kind != HEALTHY) | (rng.random(size) < asked)
    real = (kind != HEALTHY) & (kind != CHANGED)
    keep = np.where(rng.random(size) < 0.6, 0.85, rng.random(size))
    keep = np.where(real, keep, np.maximum(keep, 0.5))
    present = rng.random((size, count)) < keep[:, None]
    present &= ~(real & (rng.random(size) < 0.15))[:, None]
    return present & tumor[:, None], tumor
