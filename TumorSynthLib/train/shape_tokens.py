"""Shape features of tumors, and of regions with a changed look, for methods that make the mask as well."""

from dataclasses import dataclass, replace

import numpy as np

from TumorSynthLib.configs import SHAPE_TOKENS, BridgeConfig
from TumorSynthLib.dataset import CHANGED, TUMOR, TrainingData
from TumorSynthLib.scaling import FeatureScale, fit_scale
from TumorSynthLib.shape_measure import fast_shape
from TumorSynthLib.volume import work_grid


@dataclass(frozen=True, eq=False)
class ShapeTokens:
    """Measured shape features and their scales."""

    values: np.ndarray
    """Shape features of each region, float32 (regions, tokens); NaN where ``flow`` does not learn from it."""
    scales: tuple[FeatureScale, ...]
    """Scale of each token, the same in all domains."""


def shape_tokens(data: TrainingData, config: BridgeConfig) -> tuple[BridgeConfig, ShapeTokens]:
    """The config with its shape tokens and their scales, and the values; no tokens where no method makes masks.

    Scales that the config has already are kept.
    """
    if not config.joint:
        return config, ShapeTokens(np.zeros((len(data.regions), 0), np.float32), ())
    names = config.shape_tokens or SHAPE_TOKENS
    values = np.full((len(data.regions), len(names)), np.nan, dtype=np.float32)
    for row, region in enumerate(data.regions):
        if region.kind in (TUMOR, CHANGED):
            values[row] = _measured(data, row, names)
    quantiles = config.shape_quantiles or tuple(fit_scale(column).quantiles for column in values.T)
    scales = tuple(FeatureScale(tuple(line)) for line in quantiles)
    return replace(config, shape_tokens=tuple(names), shape_quantiles=quantiles), ShapeTokens(values, scales)


def _measured(data: TrainingData, row: int, names: tuple[str, ...]) -> list[float]:
    """Of the mask on the working grid, but for the volume, which is that on the scan's own grid."""
    region = data.regions[row]
    grid = work_grid(data.images[region.image].geometry, np.array(region.center), region.spacing, data.work.size)
    mask = data.mask(row)
    found = fast_shape(mask, grid) if mask.sum() > 1 else {}
    return [region.volume_mm3 if name == "shape_VoxelVolume" else found.get(name, np.nan) for name in names]
