"""What a tumor looks like where the user leaves it open: drawn from real tumors of the bundle's training data."""

from collections.abc import Mapping, Sequence

import numpy as np

from TumorSynthLib.scaling import FeatureScale

VOLUME = "shape_VoxelVolume"
"""Exemplars carry their volume (mm^3): texture features change with size."""
_WIDTH = 0.6
"""How far from the asked features, in normal scores, an exemplar still counts."""
_VOLUME_WIDTH = 0.7
"""The same for the logarithm of the volume."""


def complete_texture(
    asked: Mapping[str, float],
    volume_mm3: float,
    exemplars: Sequence[Mapping[str, float]],
    scales: Mapping[str, FeatureScale],
    seed: int,
) -> dict[str, float]:
    """Texture features for everything that was not asked for, taken together from one real tumor.

    Parameters
    ----------
    asked : features the user wants; never changed.
    volume_mm3 : volume of the tumor to be.
    exemplars : features of real tumors and of parts of them, with their volume.
    scales : normal scores of the domain.
    seed : decides among the tumors that fit, the better the likelier.

    Returns
    -------
    The features drawn, without the asked ones; empty where the bundle has no exemplar.
    """
    if not exemplars:
        return {}
    distance = np.array([_distance(asked, volume_mm3, exemplar, scales) for exemplar in exemplars])
    likelihood = np.exp(-0.5 * (distance - distance.min()))
    chosen = np.random.default_rng((seed, 7)).choice(len(exemplars), p=likelihood / likelihood.sum())
    return {name: float(value) for name, value in exemplars[int(chosen)].items() if name != VOLUME and name not in asked}


def _distance(
    asked: Mapping[str, float], volume_mm3: float, exemplar: Mapping[str, float], scales: Mapping[str, FeatureScale]
) -> float:
    """Squared distance of an exemplar from what is asked."""
    total = (np.log(volume_mm3 / exemplar[VOLUME]) / _VOLUME_WIDTH) ** 2
    for name, value in asked.items():
        if name in exemplar and name in scales:
            total += ((scales[name].score(value) - scales[name].score(exemplar[name])) / _WIDTH) ** 2
    return float(total)
