"""The tiny bundle with joint statistics, made from tumors whose features are drawn from a known normal distribution."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.feature_names import TEXTURE_FEATURES
from TumorSynthLib.joint import JointModel, fit_joint
from TumorSynthLib.quality import texture_distance
from TumorSynthLib.typical import VOLUME

DOMAIN = "soft-tissue-ct"
NAMES = (*TEXTURE_FEATURES, VOLUME)
MEAN, SPREAD = 40.0, 10.0
"""Every texture feature, so that no request is far by its unit."""


def tumors(count: int, seed: int = 0) -> np.ndarray:
    """Features and volume of tumors (n, names): all features go with a common cause, the mean falls with the volume."""
    rng = np.random.default_rng(seed)
    cause, volume = rng.standard_normal((2, count))
    scores = 0.6 * cause[:, None] + 0.8 * rng.standard_normal((count, len(NAMES)))
    scores[:, NAMES.index("firstorder_Mean")] = -0.8 * volume + 0.6 * rng.standard_normal(count)
    values = MEAN + SPREAD * scores
    values[:, -1] = 20_000.0 * np.exp(volume)
    return values


def named(row: np.ndarray) -> dict[str, float]:
    """A tumor's features by name."""
    return dict(zip(NAMES, row.tolist(), strict=True))


@cache
def joint_model() -> JointModel:
    """The joint model of 300 tumors."""
    return fit_joint(tumors(300), NAMES)


def entry(model: JointModel) -> dict[str, Any]:
    """What the bundle says: distances are those of tumors that the model has not seen."""
    distances = np.quantile([texture_distance(model, named(row)) for row in tumors(300, 1)], np.linspace(0.0, 1.0, 101))
    agreements = np.linspace(0.6, 0.9, 101)
    return {
        "joint": {**model.to_dict(), "distances": " ".join(f"{d:.4g}" for d in distances)},
        "agreement": {"count": 101, "quantiles": " ".join(f"{a:.4g}" for a in agreements)},
    }


def with_joint(bundle: Bundle, domain_id: str = DOMAIN) -> Bundle:
    """The bundle with joint statistics of one domain."""
    known = entry(joint_model())
    domains = [one | known if one["id"] == domain_id else one for one in bundle.info["domains"]]
    return replace(bundle, info={**bundle.info, "domains": domains})
