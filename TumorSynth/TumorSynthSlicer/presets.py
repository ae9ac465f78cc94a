"""Typical tumors to start from: where in the domain's plausible range each property lies, so that they fit every organ."""

import math
from collections.abc import Mapping
from typing import Any

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.words import changesFor, checkedValue, knobNamed, knobRange

PRESETS: dict[str, dict[str, float]] = {
    "small nodule": {"volume": 0.1, "sphericity": 0.9, "elongation": 0.8},
    "solid, round": {"volume": 0.5, "sphericity": 0.9, "elongation": 0.8, "attenuation": 0.6, "heterogeneity": 0.3},
    "solid, heterogeneous": {"volume": 0.7, "sphericity": 0.5, "attenuation": 0.5, "heterogeneity": 0.75, "coarseness": 0.8},
    "necrotic": {"volume": 0.7, "sphericity": 0.6, "attenuation": 0.6, "coreShare": 0.65, "coreAttenuation": 0.25},
    "infiltrative, irregular": {"volume": 0.6, "sphericity": 0.1, "elongation": 0.3, "heterogeneity": 0.7, "rim": 0.7},
    "cystic, homogeneous": {"sphericity": 0.9, "elongation": 0.8, "attenuation": 0.3, "heterogeneity": 0.0, "coarseness": 0.3},
}
"""By name, for each property a place in its range: 0 is low, 0.5 the middle, 1 high. The rim is a strength."""

_SPREAD = ("volume", "diameter", "heterogeneity")
"""Properties whose ranges span orders of magnitude: their places are taken on a logarithmic scale."""
_BRIGHT_FLUID = ("MR-T2", "MR-FLAIR")
"""Modalities in which necrosis is bright."""


def presetChanges(
    name: str, lesion: Lesion, ranges: Mapping[str, Mapping[str, Any]] | None, domain: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Fields of a lesion as a preset asks for them, for ``LesionList.update``.

    Properties that the preset does not mention become free; those whose range the worker does not know stay free.

    Parameters
    ----------
    name : one of ``PRESETS``.
    lesion : whose fields.
    ranges : the worker's answer for the domain, with nothing asked.
    domain : as the worker tells it.

    Raises
    ------
    RequestError : for an unknown preset.
    """
    if name not in PRESETS:
        raise RequestError("lesion.preset", f"There is no preset {name!r:.60}.", f"Choose one of: {', '.join(PRESETS)}.")
    empty: dict[str, Any] = {"shape": {}, "texture": {}, "core": {}, "rim": 0.0}
    result = lesion.withChanges(**empty)
    for property, place in _turned(PRESETS[name], domain).items():
        knob = knobNamed(property)
        if property == "rim" and not (domain or {}).get("rim", True):
            continue  # the bundle knows nothing about rims
        if knob.kind == "field":
            result = result.withChanges(**changesFor(result, knob, knob.factor * place))
            continue
        found = knobRange(knob, ranges)
        if found is not None:
            value = _within(found, place, property in _SPREAD)
            result = result.withChanges(**changesFor(result, knob, checkedValue(knob, value)))
    return {field: getattr(result, field) for field in empty}


def _turned(places: Mapping[str, float], domain: Mapping[str, Any] | None) -> dict[str, float]:
    """The same places, with a bright core where fluid is bright."""
    modality = str((domain or {}).get("modality", ""))
    bright = "coreAttenuation" in places and modality.startswith(_BRIGHT_FLUID)
    return {**places, "coreAttenuation": 1.0 - places["coreAttenuation"]} if bright else dict(places)


def _within(found: tuple[float, float, float], place: float, logarithmic: bool) -> float:
    """The value at a place of a range, through its low, middle and high."""
    if logarithmic and min(found) > 0.0:
        return math.exp(_within(tuple(map(math.log, found)), place, False))  # type: ignore[arg-type]
    low, middle, high = found
    if place <= 0.5:
        return low + (middle - low) * 2.0 * place
    return middle + (high - middle) * (2.0 * place - 1.0)
