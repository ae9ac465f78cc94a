"""Whether a tumor looks like one of the training data: how unusual its features are, and whether mask and image agree.

Three things are looked at, each compared with real tumors.

* Texture and volume: squared Mahalanobis distance of the normal scores of the token features and the volume under the domain's
  joint model. Many tokens say nearly the same, so directions in which real tumors hardly differ would decide by their noise:
  the correlation is shrunken (``shrinkage``), and only the principal components that hold 98 % of the variance count. The
  reference are the distances of real tumors and parts of them from models that have not seen their patient.
* Shape, given the volume: distance of sphericity, elongation and flatness under the organ's copula, chi-square distributed.
* Agreement of mask and image (``agreement``); the reference are the whole tumors of the training data.

The plausibility is the share of real tumors that are at least as unusual. With p the smaller of the shares for texture and
shape it is 1 - (1 - p)^2 (Sidak), so that it is uniform in [0, 1] for real tumors, up to what the model gets wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

from TumorSynthLib.agreement import agreement
from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import TEXTURE_TOKENS, Domain
from TumorSynthLib.joint import JointModel
from TumorSynthLib.shape import organ_token
from TumorSynthLib.shape_joint import NAMES, shape_model
from TumorSynthLib.typical import VOLUME
from TumorSynthLib.volume import Geometry

JUDGED = (*TEXTURE_TOKENS, VOLUME)
"""Features that the distance is made of."""
KEEP = 0.98
"""Share of the variance that the distance counts. With 95 % a tumor without any texture passes."""
RARE = 0.01
"""Share of real tumors below which a tumor is out of distribution."""
UNUSUAL = 3.0
"""Standard deviations from which on a feature is named."""
UNUSUAL_COUNT = 3
"""Features named at most."""
_SHAPES = tuple(NAMES.values())


def assess(
    bundle: Bundle,
    domain: Domain,
    measured: Mapping[str, float],
    u: np.ndarray | None,
    mask: np.ndarray,
    geometry: Geometry,
) -> dict[str, Any]:
    """How plausible a tumor is, JSON-ready.

    Parameters
    ----------
    bundle : its statistics are the reference.
    domain : organ and modality.
    measured : shape and texture features by PyRadiomics name.
    u : domain values (i, j, k) in a box around the mask, with a margin of a fifth of its longest edge; None without an image.
    mask : bool, on the same grid.
    geometry : the grid.

    Returns
    -------
    ``plausibility`` : share of real tumors that are at least as unusual, 0 to 1.
    ``agreement`` : Dice between the mask and what the image alone shows.
    ``agreement_rank`` : share of real tumors with a lower agreement.
    ``out_of_distribution`` : whether plausibility or rank is below 1 %.
    ``unusual`` : the features that fit the others least, each with ``feature``, ``value``, ``low`` and ``high``.
    What cannot be told is None; without joint statistics (an old bundle, no image) the plausibility is that of the shape.
    """
    model, shapes = bundle.joint(domain.id), _shapes(bundle, domain)
    shares = (_texture_share(bundle, domain, model, measured), shape_share(shapes, measured))
    plausibility = _rounded(_combined([share for share in shares if share is not None]))
    found = None if u is None else agreement(u, mask, geometry)
    reference = bundle.agreements(domain.id)
    rank = None if found is None or reference.size == 0 else _rounded(share_below(found, reference))
    return {
        "plausibility": plausibility,
        "agreement": _rounded(found),
        "agreement_rank": rank,
        "out_of_distribution": any(share is not None and share < RARE for share in (plausibility, rank)),
        "unusual": _unusual(model, shapes, measured),
    }


def warnings(quality: Mapping[str, Any]) -> list[str]:
    """Sentences for the user about a result of ``assess``; none where all is well."""
    told = []
    if quality["plausibility"] is not None and quality["plausibility"] < RARE:
        names = ", ".join(
            f"{one['feature']} {one['value']:.4g} (here typically {one['low']:.4g} to {one['high']:.4g})"
            for one in quality["unusual"]
        )
        reason = f": {names}" if names else " as a whole"
        told.append(f"Out of distribution: fewer than 1 % of real tumors have features as unusual{reason}.")
    if quality["agreement_rank"] is not None and quality["agreement_rank"] < RARE:
        told.append(
            f"Out of distribution: mask and image agree by {quality['agreement']:.2f} (Dice; chance is about 0.5, a clear "
            "border 1), less than in 99 % of real tumors; the tumor hardly stands out, or lies elsewhere than its mask."
        )
    return told


def texture_distance(model: JointModel, measured: Mapping[str, float]) -> float:
    """The robust squared distance of the token features and the volume; see the module."""
    return model.distance(_judged(measured), KEEP)


def shape_share(model: JointModel | None, measured: Mapping[str, float]) -> float | None:
    """Share of real shapes of that volume that are at least as unusual; None where it cannot be told."""
    if model is None or any(name not in measured for name in _SHAPES):
        return None
    whole = model.distance({name: measured[name] for name in _SHAPES})
    volume = model.distance({VOLUME: measured[VOLUME]})
    return float(chi2.sf(whole - volume, len(_SHAPES) - 1))


def share_below(value: float, quantiles: np.ndarray) -> float:
    """Share of a distribution below a value.

    Parameters
    ----------
    value : the value.
    quantiles : equally spaced ones, from the smallest to the largest value.

    >>> share_below(2.5, np.array([1.0, 2.0, 3.0]))
    0.75
    """
    return float(np.interp(value, quantiles, np.linspace(0.0, 1.0, len(quantiles)), left=0.0, right=1.0))


def _texture_share(bundle: Bundle, domain: Domain, model: JointModel | None, measured: Mapping[str, float]) -> float | None:
    """Share of real tumors that are at least as far from the joint model; None where it cannot be told."""
    reference = bundle.joint_distances(domain.id)
    if model is None or reference.size == 0 or not any(name in measured for name in TEXTURE_TOKENS):
        return None
    return 1.0 - share_below(texture_distance(model, measured), reference)


def _combined(shares: Sequence[float]) -> float | None:
    """Sidak's share of independent ones."""
    return 1.0 - (1.0 - min(shares)) ** len(shares) if shares else None


def _shapes(bundle: Bundle, domain: Domain) -> JointModel | None:
    statistics = bundle.shape_statistics
    return shape_model(statistics, organ_token(domain.organ)) if statistics.get("organs") else None


def _unusual(model: JointModel | None, shapes: JointModel | None, measured: Mapping[str, float]) -> list[dict[str, Any]]:
    """The features, texture and shape together, that fit the others least."""
    found = []
    if model is not None:
        # The volume is judged alone: that a texture does not go with it is told better by the texture.
        found += [one for one in model.farthest(_judged(measured), len(JUDGED)) if one.name != VOLUME]
        found += model.farthest({VOLUME: measured[VOLUME]} if VOLUME in measured else {})
    if shapes is not None:
        given = {name: measured[name] for name in _SHAPES if name in measured}
        found += [one for one in shapes.farthest(given) if one.name != VOLUME]
    far = sorted((one for one in found if abs(one.score) >= UNUSUAL), key=lambda one: -abs(one.score))
    return [
        {"feature": one.name, "value": one.value, "low": one.range.low, "high": one.range.high} for one in far[:UNUSUAL_COUNT]
    ]


def _judged(measured: Mapping[str, float]) -> dict[str, float]:
    return {name: measured[name] for name in JUDGED if name in measured}


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
