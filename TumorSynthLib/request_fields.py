"""Checks of the fields of a request, one by one (standard library only). ``protocol`` checks how they fit together."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from TumorSynthLib import json_checks as check
from TumorSynthLib.errors import RequestError
from TumorSynthLib.feature_names import SHAPE_ALIASES, SHAPE_FEATURES, TEXTURE_FEATURES
from TumorSynthLib.methods import METHODS

SCHEMA = 1
OPS = ("insert", "edit", "remove", "move", "grow", "shape", "lesions")
FORMATS = ("nrrd", "nii.gz")
HANDMADE = ("tiny", "small", "medium", "large")
"""Size classes of hand-made tumors, see ``handmade_shape``."""

_UNIT_RANGE = ("shape_Sphericity", "shape_Elongation", "shape_Flatness")
_MAY_BE_NEGATIVE = (
    *(f"firstorder_{name}" for name in ("10Percentile", "90Percentile", "Maximum", "Mean", "Median", "Minimum", "Skewness")),
    *(f"glcm_{name}" for name in ("ClusterShade", "Correlation", "Imc1")),
)
MOST_LESIONS = 200
"""Edits of one scan in one request."""
_ROUNDING = -1e-6
"""Measured entropies of flat regions are slightly below zero; such values may be asked for again."""


def _shape(name: str, value: Any) -> dict[str, float]:
    """Wanted shape features: all positive, each given once, and possible together."""
    result: dict[str, float] = {}
    seen: dict[str, str] = {}
    for key, number in _items(name, value):
        feature = SHAPE_ALIASES.get(key, key)
        if feature not in SHAPE_FEATURES:
            raise _unknown_feature(name, key, (*SHAPE_ALIASES, *SHAPE_FEATURES))
        if feature in seen:
            raise RequestError("request.feature", f"'{seen[feature]}' and '{key}' are the same feature.", "Give one of them.")
        seen[feature] = key
        high = 1.0 if feature in _UNIT_RANGE else float("inf")
        result[key] = check.number(f"{name}.{key}", number, 0.0, high, open_low=True, unit="mL" if key == "volume_ml" else "")
    if "shape_Flatness" in seen and "shape_Elongation" in seen:
        flatness, elongation = result[seen["shape_Flatness"]], result[seen["shape_Elongation"]]
        if flatness > elongation:
            message = f"Flatness {flatness:g} is above elongation {elongation:g}; no least axis is longer than the middle one."
            raise RequestError("request.range", message, "Give a flatness of at most the elongation.")
    return result


def _texture(name: str, value: Any) -> dict[str, float]:
    """Wanted texture features; those that cannot be negative are checked."""
    result: dict[str, float] = {}
    for key, number in _items(name, value):
        if key not in TEXTURE_FEATURES:
            raise _unknown_feature(name, key, TEXTURE_FEATURES)
        low = float("-inf") if key in _MAY_BE_NEGATIVE else _ROUNDING
        result[key] = check.number(f"{name}.{key}", number, low)
    return result


def _unknown_feature(name: str, key: Any, known: tuple[str, ...]) -> RequestError:
    """The error for a feature that does not exist or stands in the wrong field."""
    hint = check.did_you_mean(str(key), known)
    for other, names in (("shape", (*SHAPE_ALIASES, *SHAPE_FEATURES)), ("texture", TEXTURE_FEATURES)):
        if key in names:
            hint = f"It belongs in the field '{other}'."
    return RequestError("request.feature", f"Field '{name}' asks for the unknown feature {check.shown(key)}.", hint)


def _items(name: str, value: Any) -> list[tuple[str, Any]]:
    """Names and values of a JSON object."""
    if not isinstance(value, Mapping):
        raise check.type_error(name, value, "an object of feature names and numbers")
    return list(value.items())


def _like(name: str, value: Any) -> dict[str, Any]:
    """Image, mask and label of another tumor."""
    if not isinstance(value, Mapping):
        raise check.type_error(name, value, "an object with 'image' and 'mask'")
    known = ("image", "mask", "label")
    for key in value:
        if key not in known:
            message = f"Field '{name}' has the unknown field {check.shown(key)}."
            raise RequestError("request.unknown_field", message, check.did_you_mean(str(key), known))
    for key in ("image", "mask"):
        if value.get(key) is None:
            raise RequestError("request.missing", f"Field '{name}' needs '{key}'.", f"Add '{key}' to '{name}'.")
    paths = {key: check.text(f"{name}.{key}", value[key]) for key in ("image", "mask")}
    return {**paths, "label": check.integer(f"{name}.label", value.get("label", 1), 1)}


def _core(name: str, value: Any) -> dict[str, Any]:
    """The inner sub-region: its label in the mask, its share of the whole tumor's volume, its shape and texture."""
    if not isinstance(value, Mapping):
        raise check.type_error(name, value, "an object with 'label', 'share', 'shape' or 'texture'")
    result: dict[str, Any] = {}
    for key, item in value.items():
        if key not in _CORE_PARSERS:
            message = f"Field '{name}' has the unknown field {check.shown(key)}."
            raise RequestError("request.unknown_field", message, check.did_you_mean(str(key), _CORE_PARSERS))
        if item is not None:
            result[key] = _CORE_PARSERS[key](f"{name}.{key}", item)
    if "share" in result and {"volume_ml", "shape_VoxelVolume"} & set(result.get("shape", ())):
        message = f"Field '{name}' gives the size of the core twice, by 'share' and by its volume."
        raise RequestError("request.feature", message, "Give one of them.")
    return result


_CORE_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "label": lambda name, value: check.integer(name, value, 1),
    "share": lambda name, value: check.number(name, value, 0.0, 0.95, open_low=True),
    "shape": _shape,
    "texture": _texture,
}


def _lesions(name: str, value: Any) -> tuple[dict[str, Any], ...]:
    """Several edits; ``protocol`` checks each as a request of its own."""
    if not isinstance(value, (list, tuple)):
        raise check.type_error(name, value, "a list of objects")
    if len(value) > MOST_LESIONS:
        message = f"Field '{name}' has {len(value)} entries, at most {MOST_LESIONS} are taken."
        raise RequestError("request.range", message, "Spread them over several requests.")
    for index, item in enumerate(value):
        if not isinstance(item, Mapping):
            raise check.type_error(f"{name}[{index}]", item, "an object with the fields of one edit")
    return tuple(dict(item) for item in value)


def _volumes(name: str, value: Any) -> tuple[float, ...]:
    """Positive volumes in mL; an empty list counts as absent."""
    if not isinstance(value, (list, tuple)):
        raise check.type_error(name, value, "a list of volumes in mL")
    return tuple(check.number(f"{name}[{index}]", item, 0.0, open_low=True, unit="mL") for index, item in enumerate(value))


def _device(name: str, value: Any) -> str:
    word = check.text(name, value)
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", word):
        raise RequestError("request.device", f"Field 'device' is {check.shown(word)}.", "Give auto, cpu, mps, cuda or cuda:0.")
    return word


def _id(name: str, value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise check.type_error(name, value, "a text or a whole number")
    return check.text(name, value) if isinstance(value, str) else check.integer(name, value)


PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "schema": lambda name, value: check.integer(name, value, SCHEMA, SCHEMA),
    "op": lambda name, value: check.choice(name, value, OPS),
    "image": check.text,
    "bundle": check.plain_name,
    "domain": check.text,
    "tumor_domain": check.text,
    "at": check.point,
    "mask": check.text,
    "label": lambda name, value: check.integer(name, value, 1),
    "box": check.box,
    "to": check.point,
    "region": check.text,
    "region_label": lambda name, value: check.integer(name, value, 1),
    "volumes_ml": _volumes,
    "shape": _shape,
    "handmade": lambda name, value: check.choice(name, value, HANDMADE),
    "texture": _texture,
    "core": _core,
    "like": _like,
    "method": lambda name, value: check.choice(name, value, METHODS),
    "steps": lambda name, value: check.integer(name, value, 1, 1000),
    "guidance": lambda name, value: check.number(name, value, 0.0, 10.0),
    "candidates": lambda name, value: check.integer(name, value, 1, 64),
    "seed": lambda name, value: check.integer(name, value, 0, 2**63 - 1),
    "device": _device,
    "noise": check.boolean,
    "mass_effect": lambda name, value: check.number(name, value, 0.0, 1.0),
    "rim": lambda name, value: check.number(name, value, 0.0, 1.0),
    "labels": check.text,
    "lesions": _lesions,
    "preview": check.boolean,
    "format": lambda name, value: check.choice(name, value, FORMATS),
    "overwrite": check.boolean,
    "out": check.text,
    "id": _id,
}
"""How the value of each field is checked and turned into its final type."""


def check_schema(values: Mapping[str, Any]) -> None:
    """Refuse a line unless it is an object, ``schema`` and ``op`` are there, and the schema is ours.

    Raises
    ------
    RequestError : with what was found and expected.
    """
    if not isinstance(values, Mapping):
        raise check.type_error("request", values, "an object with the fields of a request")
    for name in ("schema", "op"):
        if values.get(name) is None:
            hint = f"Add it; schema is {SCHEMA}, op one of {', '.join(OPS)}."
            raise RequestError("request.missing", f"Field '{name}' is missing.", hint)
    schema = values["schema"]
    if isinstance(schema, bool) or not isinstance(schema, int):
        raise check.type_error("schema", schema, f"the number {SCHEMA}")
    if schema != SCHEMA:
        message = f"The request has schema {check.shown(schema)}, expected {SCHEMA}."
        raise RequestError("request.schema", message, "Update the older of the two programs.")
