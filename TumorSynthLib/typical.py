"""What a tumor looks like where the user leaves it open: drawn from real tumors of the bundle's training data."""

from collections.abc import Mapping, Sequence

import numpy as np

from TumorSynthLib.scaling import FeatureScale

VOLUME = "shape_VoxelVolume"
"""Exemplars carry their volume (mm^3): texture features change with size."""
BESIDE = "dark_tissue"
"""And, where it is known, how dark the tissue beside the tumor was, in domain units; see ``tissue_beside``."""
_PLACES = ("firstorder_Mean", "firstorder_10Percentile", "firstorder_90Percentile")
_SPREAD = "firstorder_Variance"
_WIDTH = 0.6
"""How far from the asked features, in normal scores, an exemplar still counts."""
_VOLUME_WIDTH = 0.7
"""The same for the logarithm of the volume."""
_LOOK = (*_PLACES, _SPREAD, "firstorder_Skewness", "firstorder_Kurtosis")
_USUAL_WIDTH = 0.5
"""How far from the middle of all tumors, in normal scores, an exemplar still counts as typical."""


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
    seed : decides among the tumors that fit, the better and the more usual the likelier.

    Returns
    -------
    The features drawn, without the asked ones; empty where the bundle has no exemplar.
    """
    if not exemplars:
        return {}
    distance = np.array([_distance(asked, volume_mm3, exemplar, scales) for exemplar in exemplars])
    likelihood = np.exp(-0.5 * (distance - distance.min()))
    chosen = np.random.default_rng((seed, 7)).choice(len(exemplars), p=likelihood / likelihood.sum())
    return follow(_texture(exemplars[int(chosen)]), asked)


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
    return follow(_texture(chosen["rest"]), rest), follow(_texture(chosen["core"]), core)


def among(exemplar: Mapping[str, float], share: float, dark: float | None) -> dict[str, float]:
    """An exemplar as it would be among other tissue: mean and percentiles move with it.

    Parameters
    ----------
    exemplar : features of a real tumor, with its volume and the tissue beside it.
    share : of the difference of the tissues by which it moves; what that of the domain's real tumors does.
    dark : the tissue beside the tumor to be, as ``BESIDE``; None where it is not known.
    """
    if share == 0.0 or dark is None or BESIDE not in exemplar:
        return dict(exemplar)
    mean = {_PLACES[0]: exemplar[_PLACES[0]] + share * (dark - exemplar[BESIDE])}
    return follow(exemplar, mean) | mean


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
    """Squared distance of an exemplar from what is asked, and of the rest of its look from what tumors usually look like.

    Masks of real tumors reach into bone, fat or fluid here and there; their variance would be made as speckle. Whoever asks for
    an unusual look gets a tumor as unusual otherwise.
    """
    total = (np.log(volume_mm3 / exemplar[VOLUME]) / _VOLUME_WIDTH) ** 2
    known = [name for name in _LOOK if name in exemplar and name in scales]
    allowed = max((abs(scales[name].score(asked[name])) for name in known if name in asked), default=0.0)
    look = [scales[name].score(exemplar[name]) for name in known if name not in asked]
    if look:
        total += (max(0.0, float(np.sqrt(np.mean(np.square(look)))) - allowed) / _USUAL_WIDTH) ** 2
    for name, value in asked.items():
        if name in exemplar and name in scales:
            total += ((scales[name].score(value) - scales[name].score(exemplar[name])) / _WIDTH) ** 2
    return float(total)


def _texture(exemplar: Mapping[str, float]) -> dict[str, float]:
    """The texture features of an exemplar."""
    return {name: float(value) for name, value in exemplar.items() if name not in (VOLUME, BESIDE)}
