"""Requests and events, schema 1 (standard library only, so that the Slicer side can import it).

``parse_request`` refuses everything that can be refused without opening a file. A request that it returns is complete:
``parse_request(request.to_dict()) == request``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from TumorSynthLib import json_checks as check
from TumorSynthLib.errors import RequestError
from TumorSynthLib.feature_names import SHAPE_ALIASES, SHAPE_FEATURES, TEXTURE_FEATURES
from TumorSynthLib.json_checks import Point
from TumorSynthLib.request_fields import FORMATS, METHODS, OPS, PARSERS, SCHEMA

__all__ = [
    "EVENTS",
    "FORMATS",
    "METHODS",
    "OPS",
    "SCHEMA",
    "SHAPE_ALIASES",
    "SHAPE_FEATURES",
    "TEXTURE_FEATURES",
    "Request",
    "event",
    "load_object",
    "parse_cancel",
    "parse_line",
    "parse_request",
    "shape_targets",
]

EVENTS = ("ready", "progress", "log", "preview", "done", "failed", "cancelled")

_REQUIRED = {
    "insert": ("image",),
    "edit": ("image", "mask"),
    "remove": ("image", "mask"),
    "move": ("image", "mask", "to"),
    "grow": ("image", "mask", "volumes_ml"),
    "shape": (),
}
_FORBIDDEN = {
    "insert": ("to", "volumes_ml"),
    "edit": ("at", "box", "to", "volumes_ml"),
    "remove": ("at", "box", "to", "volumes_ml", "shape", "texture", "like"),
    "move": ("at", "box", "volumes_ml", "shape", "texture", "like"),
    "grow": ("at", "box", "to"),
    "shape": ("mask", "to", "volumes_ml", "texture"),
}


@dataclass(frozen=True)
class Request:
    """One edit. Positions are RAS mm, volumes mL, paths as the user gave them."""

    schema: int
    """Version of this protocol, 1."""
    op: str
    """One of ``OPS``."""
    image: str | None = None
    """Scan to edit; only ``shape`` may come without."""
    bundle: str = "base"
    """Name of the model bundle."""
    domain: str = "auto"
    """Organ and modality by the bundle's id, or ``auto``."""
    at: Point | None = None
    """Centroid of the new tumor."""
    mask: str | None = None
    """Painted or segmented region."""
    label: int = 1
    """Value of the region in ``mask``."""
    box: tuple[Point, Point] | None = None
    """Lower and upper corner of a box that holds the whole tumor."""
    to: Point | None = None
    """New centroid of a moved tumor."""
    region: str | None = None
    """Mask that the tumor must stay inside of, for example the organ."""
    volumes_ml: tuple[float, ...] = ()
    """Volumes of the time points of ``grow``."""
    shape: dict[str, float] = field(default_factory=dict)
    """Wanted shape features, by short name or PyRadiomics name."""
    texture: dict[str, float] = field(default_factory=dict)
    """Wanted texture features by PyRadiomics name, on domain values."""
    like: dict[str, Any] | None = None
    """Another tumor (``image``, ``mask``, ``label``) whose features are wanted."""
    method: str = "bridge"
    """One of ``METHODS``."""
    steps: int = 10
    """Sampling steps."""
    guidance: float = 1.5
    """Weight of the features; 1 is none beyond the condition."""
    candidates: int = 1
    """Samples to draw; the best measured is kept."""
    seed: int = 0
    """Seed of everything random in this request."""
    device: str = "auto"
    """``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``."""
    noise: bool = True
    """Whether the scan's high-frequency noise is restored."""
    mass_effect: float = 0.0
    """Displacement of the surroundings, 0 none to 1 full."""
    rim: float = 0.0
    """Strength of a peritumoral rim, 0 to 1."""
    format: str = "nrrd"
    """Format of the result image, one of ``FORMATS``."""
    overwrite: bool = False
    """Whether an existing result folder is replaced."""
    out: str | None = None
    """Result folder; None leaves the choice to the caller."""
    id: str | int | None = None
    """Name of the request in the worker's events."""

    def to_dict(self) -> dict[str, Any]:
        """The complete request with defaults, ready for JSON."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}


def parse_line(line: str) -> Request:
    """A request from one line of JSON.

    Raises
    ------
    RequestError : when the line is not a JSON object, or as ``parse_request``.
    """
    return parse_request(load_object(line))


def load_object(line: str) -> dict[str, Any]:
    """The JSON object in a line; NaN, Infinity and repeated fields are refused.

    Raises
    ------
    RequestError : with code ``request.json``.
    """
    try:
        values = json.loads(line, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        message = f"The line is not valid JSON: {error}."
        raise RequestError("request.json", message, "Write one JSON object per line.") from error
    if not isinstance(values, dict):
        message = f"The line holds a {type(values).__name__}, not an object."
        raise RequestError("request.json", message, 'Write {"schema": 1, ...}.')
    return values


def parse_request(values: Mapping[str, Any]) -> Request:
    """A checked request.

    Parameters
    ----------
    values : the request as in DESIGN section 3. Fields that are null or absent get their defaults.

    Raises
    ------
    RequestError : with a code that starts with ``request.``; see the module's first lines.
    """
    if not isinstance(values, Mapping):
        raise check.type_error("request", values, "an object with the fields of a request")
    _check_schema(values)
    names = [item.name for item in fields(Request)]
    for name in values:
        if name not in names:
            raise RequestError("request.unknown_field", f"Field {name!r} is unknown.", check.did_you_mean(str(name), names))
    nullable = [item.name for item in fields(Request) if item.default is None]
    given = {name: value for name, value in values.items() if value is not None or name not in nullable}
    request = Request(**{name: PARSERS[name](name, value) for name, value in given.items()})
    _check_op(request)
    return request


def parse_cancel(values: Mapping[str, Any]) -> str | int | None:
    """The id in ``{"schema": 1, "op": "cancel", "id": ...}``; None means the running request."""
    _check_schema(values)
    for name in values:
        if name not in ("schema", "op", "id"):
            message = f"Field {name!r} is unknown in a cancel message."
            raise RequestError("request.unknown_field", message, "Only 'id' may be given.")
    return None if values.get("id") is None else PARSERS["id"]("id", values["id"])


def shape_targets(request: Request) -> dict[str, float]:
    """Wanted shape features by PyRadiomics name; volumes in mm^3."""
    factors = {"volume_ml": 1000.0}
    return {SHAPE_ALIASES.get(name, name): value * factors.get(name, 1.0) for name, value in request.shape.items()}


def event(kind: str, **values: Any) -> dict[str, Any]:
    """A line of the worker: ``{"event": kind, ...}`` with ``kind`` one of ``EVENTS``."""
    if kind not in EVENTS:
        raise ValueError(f"unknown event {kind!r}, expected one of {', '.join(EVENTS)}")
    return {"event": kind, **values}


def _plain(value: Any) -> Any:
    """Tuples as lists and dictionaries as copies."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number in JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's fields, each of which may come once."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a field comes twice")
    return values


def _check_schema(values: Mapping[str, Any]) -> None:
    """``schema`` and ``op`` are there, and the schema is ours."""
    for name in ("schema", "op"):
        if values.get(name) is None:
            hint = f"Add it; schema is {SCHEMA}, op one of {', '.join(OPS)}."
            raise RequestError("request.missing", f"Field '{name}' is missing.", hint)
    schema = values["schema"]
    if isinstance(schema, bool) or not isinstance(schema, int):
        raise check.type_error("schema", schema, f"the number {SCHEMA}")
    if schema != SCHEMA:
        message = f"The request has schema {schema}, expected {SCHEMA}."
        raise RequestError("request.schema", message, "Update the older of the two programs.")


def _check_op(request: Request) -> None:
    """The fields fit the operation."""
    for name in _REQUIRED[request.op]:
        if getattr(request, name) in (None, ()):
            raise RequestError("request.missing", f"Operation '{request.op}' needs the field '{name}'.", f"Add '{name}'.")
    for name in _FORBIDDEN[request.op]:
        if getattr(request, name) not in (None, (), {}):
            raise RequestError("request.forbidden", f"Operation '{request.op}' takes no field '{name}'.", f"Remove '{name}'.")
    if request.op == "shape" and request.region is not None and request.image is None:
        raise RequestError("request.missing", "Field 'region' needs a scan to lie in.", "Add 'image' or remove 'region'.")
    if request.op == "grow" and "shape_VoxelVolume" in shape_targets(request):
        message = "Operation 'grow' takes its volumes from 'volumes_ml', not from 'shape'."
        raise RequestError("request.forbidden", message, "Remove the volume from 'shape'.")
    _check_place(request)


def _check_place(request: Request) -> None:
    """``insert`` has exactly one place, ``shape`` at most one."""
    places = [name for name in ("at", "mask", "box") if getattr(request, name) is not None]
    found = " and ".join(repr(name) for name in places) or "none"
    if request.op == "insert" and len(places) != 1:
        message = f"Operation 'insert' found {found} of 'at', 'mask' and 'box', expected one."
        raise RequestError("request.place", message, "Give exactly one of them.")
    if request.op == "shape" and len(places) > 1:
        raise RequestError("request.place", f"Operation 'shape' found {found}, expected one.", "Give at most one of them.")
