"""What a tumor looks like where the user leaves it open: drawn from real tumors of the bundle's training data."""

from collections.abc import Mapping, Sequence

import numpy as np

from TumorSynthLib.scaling import FeatureScale

VOLUME = "shape_VoxelVolume"
"""Exemplars carry their volume (mm^3): texture features change with size."""
_PLACES = ("firstorder_Mean", "firstorder_10Percentile", "firstorder_90Percentile")
_SPREAD = "firstorder_Variance"
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
    return follow({name: float(value) for name, value in exemplars[int(chosen)].items() if name != VOLUME}, asked)


def complete_core(
    rest: Mapping[str, float],
    core: Mapping[str, float],
    volumes_mm3: tuple[float, float],
    pairs: Sequence[Mapping[str, Mapping[str, float]]],
    scales: Mapping[str, FeatureScale],
    seed: int,
) -> tuple[dict[str, float], dict[str, float]]:
    """Texture features of the rest of a tumor and of its core that were not asked for, taken together from one real tumor.

    Parameters
    ----------
    rest, core : features the user wants of either; never changed.
    volumes_mm3 : volumes of the rest and of the core to be.
    pairs : features of real tumors, ``rest`` and ``core`` of each, with their volumes.
    scales : normal scores of the domain.
    seed : decides among the tumors that fit, the better the likelier.

    Returns
    -------
    The features drawn of the rest and of the core, without the asked ones; empty where the bundle has no pairs.
    """
    if not pairs:
        return {}, {}
    sides = ((rest, "rest", volumes_mm3[0]), (core, "core", volumes_mm3[1]))
    distance = np.array([sum(_distance(asked, volume, pair[name], scales) for asked, name, volume in sides) for pair in pairs])
    likelihood = np.exp(-0.5 * (distance - distance.min()))
    chosen = pairs[int(np.random.default_rng((seed, 8)).choice(len(pairs), p=likelihood / likelihood.sum()))]
    first, second = ({key: float(value) for key, value in chosen[name].items() if key != VOLUME} for name in ("rest", "core"))
    return follow(first, rest), follow(second, core)


def follow(features: Mapping[str, float], asked: Mapping[str, float]) -> dict[str, float]:
    """The features of a tumor that were not asked for, moved along with those that were.

    Whoever asks for another mean does not want the old percentiles: values are thought to shift and stretch together, so that
    the mean, the percentiles and the variance that were not asked for stay in keeping with the asked ones.

    Parameters
    ----------
    features : of a real tumor, with the features that are asked for as well.
    asked : features the user wants.
    """
    known = {name: value for name, value in asked.items() if name in features}
    places = [name for name in _PLACES if name in features]
    low, high = _PLACES[1], _PLACES[2]
    stretch = 1.0
    if _SPREAD in known and features[_SPREAD] > 0 and known[_SPREAD] >= 0:
        stretch = float(np.sqrt(known[_SPREAD] / features[_SPREAD]))
    elif low in known and high in known and features[high] > features[low]:
        stretch = max(0.0, (known[high] - known[low]) / (features[high] - features[low]))
    moved = {name: value for name, value in features.items() if name not in known}
    if not places:
        return moved
    middle = features[places[0]]
    shifts = [known[name] - middle - stretch * (features[name] - middle) for name in places if name in known]
    shift = float(np.mean(shifts)) if shifts else 0.0
    for name in places:
        if name in moved:
            moved[name] = middle + stretch * (features[name] - middle) + shift
    if _SPREAD in moved:
        moved[_SPREAD] *= stretch**2
    return moved


def _distance(
    asked: Mapping[str, float], volume_mm3: float, exemplar: Mapping[str, float], scales: Mapping[str, FeatureScale]
) -> float:
    """Squared distance of an exemplar from what is asked."""
    total = (np.log(volume_mm3 / exemplar[VOLUME]) / _VOLUME_WIDTH) ** 2
    for name, value in asked.items():
        if name in exemplar and name in scales:
            total += ((scales[name].score(value) - scales[name].score(exemplar[name])) / _WIDTH) ** 2
    return float(total)
