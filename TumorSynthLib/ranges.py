"""Where features lie given the ones asked for so far, and what of a request no training tumor looks like.

Texture features and volume vary together as the domain's joint model says, shape features as the organ's copula says; the
volume links the two. Bundles without joint statistics know of each texture feature alone, and answers then say so.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import chi2

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import Domain
from TumorSynthLib.feature_names import SHAPE_ALIASES
from TumorSynthLib.joint import JointModel, Range, independent
from TumorSynthLib.scaling import scales
from TumorSynthLib.shape import organ_token
from TumorSynthLib.shape_joint import shape_model
from TumorSynthLib.typical import VOLUME

FAR = 3.0
"""Normal score beyond which an asked feature is far from what the training tumors show."""
RARE = 0.001
"""Share of tumors that would be as far, as a whole, from the typical ones, below which a combination is implausible."""
_ELONGATION, _FLATNESS = "shape_Elongation", "shape_Flatness"


def conditional_ranges(
    bundle: Bundle, domain_id: str, shape: Mapping[str, float], texture: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Range of each feature given the others asked for, JSON-ready.

    Parameters
    ----------
    bundle : its training statistics are asked.
    domain_id : a domain of the bundle.
    shape : asked shape features by their PyRadiomics names or the request's short ones; others than volume, sphericity,
        elongation, flatness and axis lengths change nothing.
    texture : asked texture features.

    Returns
    -------
    By PyRadiomics name ``low``, ``middle`` and ``high`` (5, 50 and 95 %), their ``unit``, and whether they are
    ``conditional``, or those of the feature alone. An asked feature has the range that the other asked ones leave it.

    Raises
    ------
    BundleError : ``bundle.domain`` for an unknown domain.
    """
    domain = bundle.domain(domain_id)
    asked, known = pyradiomics_names(shape), Statistics(bundle, domain)
    found: dict[str, Range] = {}
    if known.shapes is not None:
        found |= _in_order(_ranges(known.shapes, asked), asked)
    of_texture = known.alone or _ranges(known.texture, {**_only(asked, VOLUME), **texture})
    found |= {name: one for name, one in of_texture.items() if name not in found}
    return {
        name: {
            "low": one.low,
            "middle": one.middle,
            "high": one.high,
            "unit": unit_of(name, domain),
            "conditional": known.joint or name.startswith("shape_"),
        }
        for name, one in found.items()
    }


def implausible(bundle: Bundle, domain_id: str, shape_targets: Mapping[str, float], texture: Mapping[str, float]) -> list[str]:
    """A sentence for each asked feature, and for the whole, that no training tumor comes near; none where all is plausible.

    Parameters
    ----------
    bundle, domain_id, texture : as for ``conditional_ranges``.
    shape_targets : asked shape features.

    Raises
    ------
    BundleError : ``bundle.domain`` for an unknown domain.
    """
    domain = bundle.domain(domain_id)
    asked, known = pyradiomics_names(shape_targets), Statistics(bundle, domain)
    told: list[str] = []
    if known.shapes is not None:
        # Tumors with an image are fewer than shapes, but often larger: a volume is far only where it is among neither.
        usual = abs(known.texture.scores(asked).get(VOLUME, np.inf)) < FAR
        told += _judged(known.shapes, asked, domain, VOLUME if usual else "")
    told += _judged(known.texture, {**_only(asked, VOLUME), **texture}, domain, "" if known.shapes is None else VOLUME)
    if told and texture and not known.joint:
        told.append("This bundle has no joint statistics: texture features were judged one by one.")
    return told


def pyradiomics_names(shape: Mapping[str, float]) -> dict[str, float]:
    """Shape features by PyRadiomics name, volumes in mm^3, from those or from a request's short names."""
    named = {SHAPE_ALIASES.get(name, name): value * (1000.0 if name == "volume_ml" else 1.0) for name, value in shape.items()}
    if "shape_MeshVolume" in named:
        named.setdefault(VOLUME, named["shape_MeshVolume"])
    return named


def unit_of(name: str, domain: Domain) -> str:
    """Unit of a feature; empty where it has none.

    >>> from TumorSynthLib.configs import DOMAINS
    >>> unit_of("firstorder_Variance", DOMAINS[0]), unit_of("shape_MajorAxisLength", DOMAINS[0])
    ('HU^2', 'mm')
    """
    kind, feature = name.split("_", 1)
    if kind == "shape":
        endings = {"Volume": "mm^3", "Area": "mm^2", "VolumeRatio": "1/mm", "Length": "mm"}
        found = [unit for ending, unit in endings.items() if feature.endswith(ending)]
        return found[0] if found else "mm" if "Diameter" in feature else ""
    if kind != "firstorder" or feature in ("Entropy", "Kurtosis", "Skewness", "Uniformity"):
        return ""
    square = f"({domain.unit})^2" if " " in domain.unit else f"{domain.unit}^2"
    squared = {"Variance": square, "Energy": square, "TotalEnergy": f"{square} mm^3"}
    return squared.get(feature, domain.unit)


class Statistics:
    """What a bundle knows of the tumors of a domain.

    Parameters
    ----------
    bundle, domain : whose tumors.
    """

    def __init__(self, bundle: Bundle, domain: Domain) -> None:
        organ, statistics = organ_token(domain.organ), bundle.shape_statistics
        joint, single = bundle.joint(domain.id), bundle.statistics(domain.id)
        self.joint = joint is not None
        """Whether the bundle knows how texture features vary together."""
        self.texture = joint or independent(scales(single))
        """Texture features, and the volume where they vary together."""
        alone = {name: Range(one["range"][0], one["median"], one["range"][1]) for name, one in single.items()}
        self.alone = {} if joint else alone
        """Ranges of texture features where the bundle knows of each alone."""
        volumes = joint.scale(VOLUME) if joint else None
        self.shapes = shape_model(statistics, organ, volumes) if statistics.get("organs") else None
        """Shape features; None where the bundle has no shapes."""


def _only(values: Mapping[str, float], name: str) -> dict[str, float]:
    return {name: values[name]} if name in values else {}


def _ranges(model: JointModel, asked: Mapping[str, float]) -> dict[str, Range]:
    """Ranges of all features of a model, each given the asked ones apart from itself."""
    found = model.range(asked)
    for name in asked:
        others = {other: value for other, value in asked.items() if other != name}
        found |= {known: one for known, one in model.range(others).items() if known == name}
    return {name: found[name] for name in model.names}


def _in_order(found: Mapping[str, Range], asked: Mapping[str, float]) -> dict[str, Range]:
    """Ranges in which no least axis is longer than the middle one."""
    top = asked.get(_ELONGATION, np.inf)
    bottom = asked.get(_FLATNESS, 0.0)
    flat, long = found[_FLATNESS], found[_ELONGATION]
    flat = Range(*(min(value, top) for value in (flat.low, flat.middle, flat.high)))
    long = Range(*(max(value, bottom) for value in (long.low, long.middle, long.high)))
    return {**found, _FLATNESS: flat, _ELONGATION: long}


def _judged(model: JointModel, asked: Mapping[str, float], domain: Domain, without: str) -> list[str]:
    """Sentences about the asked features that a model knows, ``without`` one that only goes with the others."""
    scores = model.scores(asked)
    told = []
    for name, score in scores.items():
        if name == without:
            continue
        others = {other: asked[other] for other in scores if other != name}
        given = model.conditional(others)[name]
        if abs(score) > FAR:
            told.append(_far_alone(name, asked[name], model.range({})[name], domain))
        elif abs(score - given.mean) > FAR * given.sd:
            told.append(_far_given(name, asked[name], model.range(others)[name], domain))
    if not told and len(scores) > 1 and model.distance(asked) > chi2.isf(RARE, len(scores)):
        told.append(
            f"Together {', '.join(scores)} are implausible, though each alone is not: fewer than 1 in 1000 tumors would be as "
            "unusual as this combination. The result will be a compromise."
        )
    return told


def _far_alone(name: str, value: float, typical: Range, domain: Domain) -> str:
    side = "above" if value > typical.middle else "below"
    return (
        f"{_quantity(name, value, domain)} is far {side} what training tumors show, typically {_span(name, typical, domain)}. "
        "The model has seen nothing like it, and the result may miss it."
    )


def _far_given(name: str, value: float, typical: Range, domain: Domain) -> str:
    return (
        f"{_quantity(name, value, domain)} does not go with the other features asked for: training tumors with those have "
        f"{_span(name, typical, domain)}. The result will be a compromise."
    )


def _quantity(name: str, value: float, domain: Domain) -> str:
    factor, unit = _shown(name, domain)
    return f"{name} {factor * value:.4g}{unit}"


def _span(name: str, typical: Range, domain: Domain) -> str:
    factor, unit = _shown(name, domain)
    return f"{factor * typical.low:.4g} to {factor * typical.high:.4g}{unit}"


def _shown(name: str, domain: Domain) -> tuple[float, str]:
    """Factor and unit, with a space, in which people read a feature."""
    unit = unit_of(name, domain)
    return (1e-3, " mL") if name == VOLUME else (1.0, f" {unit}" if unit else "")
