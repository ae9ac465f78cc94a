"""Features as the panel's tables show them: a radiologist's name, and the unit that such values have on the screen."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from TumorSynthSlicer.knobs import KNOBS, Knob
from TumorSynthSlicer.words import intensityWord, knobValue, unit

_IN_DOMAIN_UNITS = (
    "firstorder_10Percentile",
    "firstorder_90Percentile",
    "firstorder_InterquartileRange",
    "firstorder_Maximum",
    "firstorder_MeanAbsoluteDeviation",
    "firstorder_Median",
    "firstorder_Minimum",
    "firstorder_Range",
    "firstorder_RobustMeanAbsoluteDeviation",
    "firstorder_RootMeanSquared",
)
_SHARE = 0.1
"""Share of the usual range, or of the asked value, that a texture may be off before it is pointed at."""
_SHARE_OF_VOLUME = 0.02
_VOLUMES = ("shape_VoxelVolume", "shape_MeshVolume")
_KNOBS = {knob.features[0]: knob for knob in KNOBS if knob.features and knob.kind != "core"}


@dataclass(frozen=True)
class Shown:
    """How a feature is shown."""

    feature: str
    """Its PyRadiomics name."""
    name: str
    """In words where there are any."""
    unit: str = ""
    """After the number; empty for none."""
    factor: float = 1.0
    """From the feature's value to the number on the screen, where no knob does that."""
    knob: Knob | None = None
    """The slider that shows the same feature."""

    def number(self, value: float | None) -> float | None:
        """A value of the feature as the number on the screen; None for none."""
        if value is None or not math.isfinite(value):
            return None
        return value * self.factor if self.knob is None else knobValue(self.knob, {self.feature: value})

    def text(self, number: float | None, sign: bool = False) -> str:
        """A number with its unit; a dash for none."""
        return "–" if number is None else f"{plain(number, sign)} {self.unit}".strip()


def shown(feature: str, domain: Mapping[str, Any] | None = None) -> Shown:
    """How a feature is shown: as its slider does, where it has one.

    Parameters
    ----------
    feature : PyRadiomics name.
    domain : as the worker tells it, with ``unit`` and ``modality``; None where it is not known.
    """
    knob = _KNOBS.get(feature)
    if knob is not None:
        return Shown(feature, knobName(knob.name, domain), unit(knob, domain), knob=knob)
    name = _names().get(feature, feature)
    if feature in _VOLUMES:
        return Shown(feature, name, "mL", 1e-3)
    if feature == "shape_SurfaceArea":
        return Shown(feature, name, "cm²", 1e-2)
    if feature.startswith("shape_") and ("Axis" in feature or "Diameter" in feature):
        return Shown(feature, name, "mm")
    return Shown(feature, name, unit(_KNOBS["firstorder_Mean"], domain) if feature in _IN_DOMAIN_UNITS else "")


def knobName(name: str, domain: Mapping[str, Any] | None = None) -> str:
    """A slider's name in words."""
    brightness = {"attenuation": _("Attenuation"), "uptake": _("Uptake"), "signal": _("Signal")}[intensityWord(domain)]
    names = {
        "volume": _("Volume"),
        "diameter": _("Longest diameter"),
        "sphericity": _("Roundness"),
        "elongation": _("Elongation"),
        "attenuation": brightness,
        "heterogeneity": _("Heterogeneity"),
        "coarseness": _("Coarseness"),
        "coreShare": _("Necrotic core"),
        "coreAttenuation": _("{brightness} of the core").format(brightness=brightness),
        "rim": _("Rim"),
        "massEffect": _("Mass effect"),
    }
    return names.get(name, name)


def presetName(name: str) -> str:
    """A preset's name in words."""
    names = {
        "small nodule": _("Small nodule"),
        "solid, round": _("Solid, round"),
        "solid, heterogeneous": _("Solid, heterogeneous"),
        "necrotic": _("Necrotic"),
        "infiltrative, irregular": _("Infiltrative, irregular"),
        "cystic, homogeneous": _("Cystic, homogeneous"),
    }
    return names[name]


def tolerance(feature: str, requested: float, ranges: Mapping[str, Mapping[str, Any]] | None) -> float:
    """Difference from which on a result is said to miss what was asked for, in the feature's own unit.

    Parameters
    ----------
    feature : PyRadiomics name.
    requested : its asked value.
    ranges : what is plausible, as the worker tells it, or None.
    """
    if feature in _VOLUMES:
        return _SHARE_OF_VOLUME * abs(requested)
    found = (ranges or {}).get(feature)
    if found is None:
        return _SHARE * abs(requested)
    return _SHARE * (float(found["high"]) - float(found["low"]))


def plain(value: float, sign: bool = False) -> str:
    """A number with the digits that matter, in powers of ten only where it is huge or tiny.

    >>> plain(8.04), plain(1234.5), plain(0.78123), plain(-3.0, sign=True)
    ('8.04', '1234', '0.781', '-3')
    """
    size = abs(value)
    if size >= 1e6 or 0.0 < size < 1e-4:
        text = f"{value:.3g}"
    elif size >= 1000.0:
        text = f"{value:.0f}"
    else:
        digits = 3 if size < 1.0 else 2 if size < 10.0 else 1
        text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    text = "0" if text in ("-0", "") else text
    return f"+{text}" if sign and value > 0.0 and text != "0" else text


def _names() -> Mapping[str, str]:
    return {
        "shape_MinorAxisLength": _("Middle axis"),
        "shape_LeastAxisLength": _("Short axis"),
        "shape_Maximum3DDiameter": _("Largest distance of two points"),
        "shape_Flatness": _("Flatness"),
        "shape_SurfaceArea": _("Surface"),
        "firstorder_Median": _("Median"),
        "firstorder_10Percentile": _("10th percentile"),
        "firstorder_90Percentile": _("90th percentile"),
        "firstorder_Entropy": _("Entropy"),
    }
