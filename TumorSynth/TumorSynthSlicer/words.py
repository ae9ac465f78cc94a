"""The radiologist's words for a tumor <-> the features that are asked for or measured; see ``knobs``."""

import math
from collections.abc import Mapping
from typing import Any

from TumorSynthLib.feature_names import SHAPE_ALIASES
from TumorSynthSlicer.knobs import KNOBS, LONG_AXIS, Knob, checkedValue, knobNamed
from TumorSynthSlicer.lesion import Lesion

__all__ = [
    "CORE_SHARES",
    "KNOBS",
    "LONG_AXIS",
    "Knob",
    "asked",
    "changesFor",
    "checkedValue",
    "contradiction",
    "featuresOf",
    "intensityWord",
    "knobLimits",
    "knobNamed",
    "knobRange",
    "knobValue",
    "longNames",
    "unit",
]

CORE_SHARES = (0.1, 0.3, 0.6)
"""Shares of the tumor that necrotic cores usually have: low, middle, high."""

_FACTORS = {"volume_ml": 1000.0}


def unit(knob: Knob, domain: Mapping[str, Any] | None) -> str:
    """Unit that a knob's value is shown in.

    Parameters
    ----------
    domain : as the worker tells it, with ``unit``; None where it is not known yet.
    """
    if knob.unit != "*":
        return knob.unit
    found = str((domain or {}).get("unit", ""))
    return "%" if found.startswith("%") else found


def intensityWord(domain: Mapping[str, Any] | None) -> str:
    """What radiologists call brightness there: ``attenuation`` (CT), ``uptake`` (PET) or ``signal``."""
    modality = str((domain or {}).get("modality", "CT"))
    words = {"CT": "attenuation", "PE": "uptake", "PT": "uptake"}
    return words.get(modality[:2].upper(), "signal")


def knobValue(knob: Knob, features: Mapping[str, float], domain: Mapping[str, Any] | None = None) -> float | None:
    """What features say in a radiologist's word; None where they do not tell.

    Parameters
    ----------
    features : asked or measured, by PyRadiomics name or a request's short name; for a core those of the core.
    domain : not needed by any knob so far: features are in domain values already.
    """
    if not knob.features:
        return None
    found = longNames(features).get(knob.features[0])
    if found is None or not math.isfinite(found):
        return None
    return knob.factor * math.copysign(abs(found) ** (1.0 / knob.power), found if knob.power == 1.0 else 1.0)


def featuresOf(knob: Knob, value: float, domain: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Features that a knob's value asks for, by the names of the request.

    Raises
    ------
    RequestError : for an impossible value.
    """
    checked = checkedValue(knob, value)
    if knob.name == "volume":
        return {"volume_ml": checked}
    short = {long: short for short, long in SHAPE_ALIASES.items()}
    return {short.get(name, name): (checked / knob.factor) ** knob.power for name in knob.features}


def knobRange(knob: Knob, ranges: Mapping[str, Mapping[str, Any]] | None) -> tuple[float, float, float] | None:
    """Low, middle and high of what is plausible, from the worker's ``ranges``; None where that is not known."""
    if knob.name == "coreShare":
        return tuple(knob.factor * share for share in CORE_SHARES)  # type: ignore[return-value]
    found = (ranges or {}).get(knob.features[0]) if knob.features else None
    if found is None:
        return None
    values = [knobValue(knob, {knob.features[0]: float(found[name])}) for name in ("low", "middle", "high")]
    return None if None in values else tuple(values)  # type: ignore[return-value,arg-type]


def knobLimits(knob: Knob, ranges: Mapping[str, Mapping[str, Any]] | None) -> tuple[float, float] | None:
    """Ends of a knob's slider: a good deal beyond what is plausible, but nothing impossible; None where nothing is known."""
    if math.isfinite(knob.low) and math.isfinite(knob.high):
        return knob.low if knob.closed else knob.low + 10.0**-knob.decimals, knob.high
    found = knobRange(knob, ranges)
    if found is None:
        return None
    low, middle, high = found
    if knob.low == 0.0:
        return (0.0 if knob.closed else min(low / 4.0, 10.0**-knob.decimals)), high * 1.5
    reach = max(high - low, abs(middle), 1e-6)
    return low - reach, high + reach


def asked(lesion: Lesion, knob: Knob) -> float | None:
    """What a lesion asks for in a radiologist's word; None where it leaves that free."""
    if knob.kind == "field":
        return knob.factor * getattr(lesion, knob.name)
    if knob.name == "coreShare":
        share = lesion.core.get("share")
        return None if share is None else knob.factor * share
    where = lesion.core.get("texture", {}) if knob.kind == "core" else getattr(lesion, knob.kind)
    return knobValue(knob, where)


def changesFor(lesion: Lesion, knob: Knob, value: float | None) -> dict[str, Any]:
    """Fields of a lesion that ask for a value, for ``LesionList.update``.

    Parameters
    ----------
    value : None leaves it free, and switches off a core by its share, the rim and the mass effect.

    Raises
    ------
    RequestError : for an impossible value.
    """
    if knob.kind == "field":
        return {knob.name: 0.0 if value is None else checkedValue(knob, value) / knob.factor}
    if knob.kind == "core":
        return {"core": _coreWith(lesion.core, knob, value)}
    features = {name: number for name, number in getattr(lesion, knob.kind).items() if _long(name) not in knob.features}
    return {knob.kind: features if value is None else {**features, **featuresOf(knob, value)}}


def longNames(features: Mapping[str, float]) -> dict[str, float]:
    """Features by PyRadiomics name, volumes in mm^3, from those or from a request's short names.

    >>> longNames({"volume_ml": 8.0, "firstorder_Mean": 40.0})
    {'shape_VoxelVolume': 8000.0, 'firstorder_Mean': 40.0}
    """
    return {_long(name): value * _FACTORS.get(name, 1.0) for name, value in features.items()}


def contradiction(shape: Mapping[str, float]) -> str:
    """A sentence where asked shape features cannot come together, empty where they can.

    No tumor has more volume than the ellipsoid with its axes; the worker would keep the volume and miss the others.

    Parameters
    ----------
    shape : asked shape features, by any of their names.
    """
    named = longNames(shape)
    volume, axis = named.get("shape_VoxelVolume"), named.get("shape_MajorAxisLength")
    long, flat = named.get("shape_Elongation", 1.0), named.get("shape_Flatness")
    if flat is not None and flat > long:
        return f"Flatness {flat:.2g} is above elongation {long:.2g}; no least axis is longer than the middle one."
    if volume is None or axis is None:
        return ""
    diameter = LONG_AXIS * axis
    most = math.pi / 6.0 * diameter**3 * long * (long if flat is None else flat)
    if volume <= most * 1.02:
        return ""
    return (
        f"{volume / 1000.0:.3g} mL do not fit into a diameter of {diameter:.3g} mm with these proportions, at most "
        f"{most / 1000.0:.3g} mL. Change the volume or the diameter, or leave one of them free."
    )


def _coreWith(core: Mapping[str, Any], knob: Knob, value: float | None) -> dict[str, Any]:
    """A core with another share or mean."""
    if knob.name == "coreShare":
        if value is None:
            return {}
        others = {name: item for name, item in core.items() if name != "share"}
        return {**others, "share": checkedValue(knob, value) / knob.factor}
    texture = {name: item for name, item in core.get("texture", {}).items() if name not in knob.features}
    if value is not None:
        texture |= featuresOf(knob, value)
    others = {name: item for name, item in core.items() if name != "texture"}
    if texture and not others:
        others = {"share": CORE_SHARES[1]}
    return {**others, "texture": texture} if texture else others


def _long(name: str) -> str:
    return SHAPE_ALIASES.get(name, name)
