"""How the shape features of an organ's tumors vary together, from what a bundle knows of the shapes it was trained on.

Volume, sphericity, elongation and flatness are the bundle's own columns. The axis lengths follow from volume, proportions and
the share of its ellipsoid that a tumor fills: they are computed on draws from the bundle's copula.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtri

from TumorSynthLib.joint import JointModel
from TumorSynthLib.normal_scores import NORMAL_SCORES, normal_scores, rounded_quantiles
from TumorSynthLib.scaling import LEVELS, FeatureScale
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.shape_targets import AXES, SEMI_AXIS
from TumorSynthLib.shrinkage import positive_definite

NAMES = {
    "volume_mm3": "shape_VoxelVolume",
    "sphericity": "shape_Sphericity",
    "elongation": "shape_Elongation",
    "flatness": "shape_Flatness",
}
"""PyRadiomics names of columns of a bundle's shape statistics."""
FEWEST = 3
"""Tumors that an organ needs to have statistics of its own."""
VOLUME = NAMES["volume_mm3"]
_DRAWS = 4096


def own_shapes(statistics: Mapping[str, Any], organ: str) -> bool:
    """Whether the statistics know an organ; otherwise all organs together stand for it."""
    organs = statistics.get("organs") or {}
    return organ in organs and int(organs[organ]["count"]) >= FEWEST


def shape_model(statistics: Mapping[str, Any], organ: str, volumes: FeatureScale | None = None) -> JointModel:
    """The joint model of volume (mm^3), sphericity, elongation, flatness and axis lengths (mm) by their PyRadiomics names.

    Parameters
    ----------
    statistics : ``Bundle.shape_statistics``.
    organ : a name from ``statistics["organs"]``; any other stands for all organs together.
    volumes : volumes of tumors in an organ that the statistics do not know; tumors have these, and the proportions that tumors
        of their volume have in all organs together. An organ that the statistics know keeps its own.
    """
    own = own_shapes(statistics, organ)
    entry = statistics["organs"][organ if own else "any"]
    columns = list(statistics["columns"])
    rows = [columns.index(name) for name in (*NAMES, "fill")]
    known = np.array(entry["quantiles"])[rows]
    # The statistics' quantiles are equally spaced from the smallest to the largest tumor, which count as one in two hundred.
    shares = np.linspace(0.0, 1.0, known.shape[1]).clip(LEVELS[0], LEVELS[-1])
    quantiles = [tuple(np.interp(NORMAL_SCORES, ndtri(shares), line).tolist()) for line in known]
    correlation = positive_definite(np.array(entry["correlation"])[np.ix_(rows, rows)])
    base = JointModel((*NAMES.values(), "fill"), tuple(quantiles), correlation, int(entry["count"]))
    sampled = _fitted(_drawn(base, None if own else volumes), base.count)
    if volumes is not None and not own:
        return sampled
    correlation = sampled.correlation.copy()
    correlation[: len(NAMES), : len(NAMES)] = base.correlation[: len(NAMES), : len(NAMES)]
    quantiles[len(NAMES) :] = sampled.quantiles[len(NAMES) :]
    return JointModel(sampled.names, tuple(quantiles), positive_definite(correlation), base.count)


def _drawn(base: JointModel, volumes: FeatureScale | None) -> np.ndarray:
    """Draws of the columns and the axis lengths, (draws, 7); the volume comes from ``volumes`` where they are given."""
    normal = np.random.default_rng(0).standard_normal((_DRAWS, len(base.names)))
    if volumes is not None:
        values = np.interp(normal[:, 0], NORMAL_SCORES, volumes.quantiles)
        normal[:, 0] = normal_scores(base.scale(VOLUME), values)
    # The first column of the root is the volume's, so the others get what goes with it.
    scores = normal @ np.linalg.cholesky(base.correlation).T
    volume, sphericity, elongation, flatness, fill = (
        np.interp(line, NORMAL_SCORES, scale.quantiles) for line, scale in zip(scores.T, base.scales, strict=True)
    )
    volume = volume if volumes is None else values
    flatness = np.minimum(flatness, elongation)
    major = np.cbrt(volume / (BALL_VOLUME * fill * elongation * flatness)) / SEMI_AXIS
    return np.stack([volume, sphericity, elongation, flatness, major, elongation * major, flatness * major], axis=1)


def _fitted(table: np.ndarray, count: int) -> JointModel:
    """The joint model of draws."""
    quantiles = tuple(map(rounded_quantiles, table.T))
    scores = [np.interp(line, known, NORMAL_SCORES) for line, known in zip(table.T, quantiles, strict=True)]
    return JointModel((*NAMES.values(), *AXES), quantiles, positive_definite(np.corrcoef(scores)), count)
