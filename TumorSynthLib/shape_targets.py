"""What a request for a shape means: which volume and axes the tumor gets, and what is drawn where nothing was asked.

Features that were not asked for are drawn from the training data's joint distribution given those that were (a Gaussian copula
per organ), so that a large tumor gets the irregularity and the proportions of a large tumor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from TumorSynthLib.shape_field import BALL_VOLUME

AXES = ("shape_MajorAxisLength", "shape_MinorAxisLength", "shape_LeastAxisLength")
"""PyRadiomics' axis lengths, 4 sqrt(lambda)."""
DIAMETERS = (
    "shape_Maximum3DDiameter",
    "shape_Maximum2DDiameterSlice",
    "shape_Maximum2DDiameterColumn",
    "shape_Maximum2DDiameterRow",
)
SEMI_AXIS = np.sqrt(5.0) / 4.0
"""Semi-axis of the ellipsoid over PyRadiomics' axis length."""
_DIAMETER_TO_SEMI_AXIS = 0.46
"""Typical major semi-axis over the largest diameter, a start for the closed loop."""
_FILL_RANGE = (0.45, 0.99)
"""Shares of its ellipsoid that a tumor can fill."""


@dataclass(frozen=True)
class Plan:
    """What the closed loop aims at."""

    volume: float
    """Voxel volume in mm^3."""
    semi_axes: np.ndarray
    """Semi-axes in mm, descending; their product is the one at which ``volume`` and ``fill`` agree."""
    axes_fixed: bool
    """Whether proportions were asked for, rather than drawn."""
    diameter: float | None
    """Largest diameter in mm, where it decides the size of the major axis."""
    features: dict[str, float]
    """Features for the generator's tokens."""


def plan_shape(targets: Mapping[str, float], statistics: Mapping[str, Any], organ: str, rng: np.random.Generator) -> Plan:
    """Complete a request.

    Where volume and axes contradict each other the volume wins: axes keep their proportions.

    Parameters
    ----------
    targets : any subset of the 14 PyRadiomics shape features, in mm, mm^2 and mm^3.
    statistics : those of the training data.
    organ : a name from ``statistics["organs"]``; any other name stands for all organs together.
    rng : decides what was not asked for.
    """
    asked = {name: float(value) for name, value in targets.items()}
    known = _known(asked)
    drawn = {**draw(statistics, organ, known, rng), **known}
    start = np.log([1.0, drawn["elongation"], min(drawn["flatness"], drawn["elongation"])])
    start += (np.log(drawn["volume_mm3"] / (BALL_VOLUME * drawn["fill"])) - start.sum()) / 3.0
    diameter = _diameter(asked)
    rows, values = _axis_constraints(asked, diameter)
    determined = len(rows) > 0 and np.linalg.matrix_rank(np.array(rows)) == 3
    if "volume_mm3" in known and not determined:
        rows.append([1.0, 1.0, 1.0])
        values.append(float(np.log(drawn["volume_mm3"] / (BALL_VOLUME * drawn["fill"]))))
    axes = start
    if rows:
        # The smallest change of the drawn proportions that satisfies everything asked for.
        axes = start + np.linalg.pinv(np.array(rows)) @ (np.array(values) - np.array(rows) @ start)
    semi_axes = np.sort(np.exp(axes))[::-1]
    volume = known.get("volume_mm3", float(np.prod(semi_axes)) * BALL_VOLUME * drawn["fill"])
    fill = float(np.clip(volume / (BALL_VOLUME * np.prod(semi_axes)), *_FILL_RANGE)) if determined else drawn["fill"]
    semi_axes = semi_axes * (volume / (BALL_VOLUME * fill * np.prod(semi_axes))) ** (1.0 / 3.0)
    features = {
        "shape_VoxelVolume": volume,
        "shape_Sphericity": drawn["sphericity"],
        "shape_Elongation": float(semi_axes[1] / semi_axes[0]),
        "shape_Flatness": float(semi_axes[2] / semi_axes[0]),
        "fill": fill,
    }
    fixed = bool(rows) and any(name not in ("shape_VoxelVolume", "shape_MeshVolume") for name in asked if name in _PROPORTIONS)
    return Plan(volume, semi_axes, fixed, diameter if len(rows) > 0 and diameter else None, features)


def kept_targets(asked: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
    """Targets for a tumor that is there already: what is not asked for stays as measured.

    That is the volume unless a size is asked for, and sphericity, elongation and flatness unless features are asked for that
    decide them.

    Parameters
    ----------
    asked : any subset of the 14 PyRadiomics shape features, in mm, mm^2 and mm^3.
    measured : those of the tumor.
    """
    complete = dict(asked)
    if not any(name.endswith(_SIZES) for name in asked):
        complete["shape_VoxelVolume"] = measured["shape_VoxelVolume"]
    if not any(name.endswith(_DECIDE_FORM) for name in asked):
        complete = {name: measured[name] for name in _FORM} | complete
        # Flatness cannot exceed elongation; the one that was asked for wins.
        if "shape_Flatness" not in asked:
            complete["shape_Flatness"] = min(complete["shape_Flatness"], complete["shape_Elongation"])
        elif "shape_Elongation" not in asked:
            complete["shape_Elongation"] = max(complete["shape_Flatness"], complete["shape_Elongation"])
    return complete


_SIZES = ("Volume", "AxisLength", "Diameter", "SurfaceArea")
_DECIDE_FORM = ("AxisLength", "Diameter", "SurfaceArea", "SurfaceVolumeRatio")
_FORM = ("shape_Sphericity", "shape_Elongation", "shape_Flatness")
_PROPORTIONS = (*AXES, *DIAMETERS, "shape_Elongation", "shape_Flatness")


def _known(asked: Mapping[str, float]) -> dict[str, float]:
    """The copula's columns that the request fixes."""
    known: dict[str, float] = {}
    for name, column in (
        ("shape_Elongation", "elongation"),
        ("shape_Flatness", "flatness"),
        ("shape_Sphericity", "sphericity"),
    ):
        if name in asked:
            known[column] = asked[name]
    volume = asked.get("shape_VoxelVolume", asked.get("shape_MeshVolume"))
    if volume is not None:
        known["volume_mm3"] = volume
    area, ratio = asked.get("shape_SurfaceArea"), asked.get("shape_SurfaceVolumeRatio")
    if area is None and ratio is not None and volume is not None:
        area = ratio * volume
    if area is not None and "sphericity" not in known:
        if volume is None and ratio is not None:
            volume = known["volume_mm3"] = area / ratio
        if volume is not None:
            known["sphericity"] = float(np.clip(np.cbrt(36.0 * np.pi * volume**2) / area, 0.05, 1.0))
    return known


def _diameter(asked: Mapping[str, float]) -> float | None:
    """The largest diameter asked for; None where an axis length decides the size already."""
    if AXES[0] in asked:
        return None
    found = [asked[name] for name in DIAMETERS if name in asked]
    return max(found) if found else None


def _axis_constraints(asked: Mapping[str, float], diameter: float | None) -> tuple[list[list[float]], list[float]]:
    """Rows A and values b of A log(semi-axes) = b."""
    rows: list[list[float]] = []
    values: list[float] = []
    for index, name in enumerate(AXES):
        if name in asked:
            rows.append([float(index == axis) for axis in range(3)])
            values.append(float(np.log(max(asked[name], 1e-3) * SEMI_AXIS)))
    for index, name in ((1, "shape_Elongation"), (2, "shape_Flatness")):
        if name in asked:
            rows.append([-1.0, float(index == 1), float(index == 2)])
            values.append(float(np.log(np.clip(asked[name], 0.02, 1.0))))
    if diameter is not None:
        rows.append([1.0, 0.0, 0.0])
        values.append(float(np.log(diameter * _DIAMETER_TO_SEMI_AXIS)))
    return rows, values


def draw(statistics: Mapping[str, Any], organ: str, known: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Every column of the copula: the known ones as given, the others drawn given them."""
    organs = statistics["organs"]
    spread = organs.get(organ, organs["any"])
    if spread["count"] < 3:
        spread = organs["any"]
    columns = list(statistics["columns"])
    quantiles, correlation = np.array(spread["quantiles"]), np.array(spread["correlation"])
    fixed = [columns.index(name) for name in known if name in columns]
    free = [index for index in range(len(columns)) if index not in fixed]
    scores = np.zeros(len(columns))
    for index in fixed:
        scores[index] = _score(known[columns[index]], quantiles[index])
    across = correlation[np.ix_(free, fixed)] @ np.linalg.pinv(correlation[np.ix_(fixed, fixed)] + 1e-3 * np.eye(len(fixed)))
    mean = across @ scores[fixed]
    covariance = correlation[np.ix_(free, free)] - across @ correlation[np.ix_(fixed, free)]
    values, vectors = np.linalg.eigh(covariance)
    # A little narrower than the data, so that a default tumor is a typical one.
    scores[free] = mean + 0.8 * vectors @ (np.sqrt(np.clip(values, 0.0, None)) * rng.standard_normal(len(free)))
    drawn = {columns[index]: _value(scores[index], quantiles[index]) for index in free}
    return {**drawn, **{columns[index]: float(known[columns[index]]) for index in fixed}}


def _scores_of(quantiles: np.ndarray) -> np.ndarray:
    """Normal scores of equally spaced quantiles; the extremes count as one in two hundred."""
    shares = np.linspace(0.0, 1.0, len(quantiles)).clip(0.005, 0.995)
    return np.asarray(ndtri(shares))


def _score(value: float, quantiles: np.ndarray) -> float:
    return float(np.interp(value, quantiles, _scores_of(quantiles)))


def _value(score: float, quantiles: np.ndarray) -> float:
    return float(np.interp(score, _scores_of(quantiles), quantiles))
