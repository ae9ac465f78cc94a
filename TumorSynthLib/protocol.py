"""Requests and events, schema 1 (standard library only, so that the Slicer side can import it).

``parse_request`` refuses everything that can be refused without opening a file. A request that it returns is complete:
``parse_request(request.to_dict()) == request``. Questions that write nothing are inquiries, see ``inquiry``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from TumorSynthLib import json_checks as check
from TumorSynthLib.errors import RequestError
from TumorSynthLib.feature_names import SHAPE_ALIASES, SHAPE_FEATURES, TEXTURE_FEATURES
from TumorSynthLib.inquiry import INQUIRIES, Inquiry, parse_inquiry
from TumorSynthLib.json_checks import Point
from TumorSynthLib.methods import METHODS
from TumorSynthLib.request_fields import FORMATS, HANDMADE, OPS, PARSERS, SCHEMA, check_schema

__all__ = [
    "EVENTS",
    "FORMATS",
    "HANDMADE",
    "INQUIRIES",
    "METHODS",
    "OPS",
    "SCHEMA",
    "SHAPE_ALIASES",
    "SHAPE_FEATURES",
    "TEXTURE_FEATURES",
    "Inquiry",
    "Request",
    "check_fields",
    "event",
    "lesion_names",
    "lesion_requests",
    "line_id",
    "load_object",
    "parse_cancel",
    "parse_inquiry",
    "parse_line",
    "parse_message",
    "parse_request",
    "shape_targets",
]

EVENTS = ("started", "ready", "progress", "log", "preview", "have", "received", "file", "done", "failed", "cancelled")

_REQUIRED = {
    "insert": ("image",),
    "edit": ("image", "mask"),
    "remove": ("image", "mask"),
    "move": ("image", "mask", "to"),
    "grow": ("image", "mask", "volumes_ml"),
    "shape": (),
    "lesions": ("image", "lesions"),
}
_LOOK = ("shape", "texture", "handmade", "tumor_domain")
_FORBIDDEN = {
    "insert": ("to", "volumes_ml", "lesions"),
    "edit": ("at", "box", "to", "volumes_ml", "lesions", "handmade"),
    "remove": (
        "at",
        "box",
        "to",
        "volumes_ml",
        "shape",
        "texture",
        "like",
        "lesions",
        "preview",
        "rim",
        "handmade",
        "tumor_domain",
    ),
    "move": ("at", "box", "volumes_ml", "shape", "texture", "like", "lesions", "handmade"),
    "grow": ("at", "box", "to", "lesions", "preview", "handmade"),
    "shape": ("mask", "to", "volumes_ml", "texture", "labels", "lesions", "mass_effect", "rim", "tumor_domain"),
    "lesions": ("at", "mask", "box", "to", "volumes_ml", "shape", "texture", "like", "core", "preview", "handmade"),
}
_OF_A_LESION = ("insert", "edit", "remove", "move")
"""Operations that may follow one another on one scan."""
_INHERITED = ("bundle", "domain", "method", "steps", "guidance", "candidates", "device", "noise", "mass_effect")
"""Fields that the edits of ``lesions`` take from the request, unless they have their own."""
_NOT_BY_REMOVAL = ("rim", "region", "region_label", "tumor_domain")
"""Those that only tumors take."""
_OF_THE_WHOLE = ("schema", "image", "bundle", "device", "labels", "lesions", "preview", "format", "overwrite", "out", "id")
"""Fields that only the request itself can have."""


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
    tumor_domain: str | None = None
    """Domain whose tumors the new one looks like, where that is not ``domain``; both have the same unit and normalization."""
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
    region_label: int = 1
    """Value of the organ in ``region``."""
    volumes_ml: tuple[float, ...] = ()
    """Volumes of the time points of ``grow``."""
    shape: dict[str, float] = field(default_factory=dict)
    """Wanted shape features, by short name or PyRadiomics name."""
    handmade: str | None = None
    """Size class of a bent ellipsoid in place of a learned shape. Without ``at``, its place is drawn in ``region``."""
    texture: dict[str, float] = field(default_factory=dict)
    """Wanted texture features by PyRadiomics name, on domain values."""
    core: dict[str, Any] | None = None
    """An inner sub-region (necrosis, or the core inside its rim): any of ``label`` in ``mask``, ``share`` of the whole volume,
    ``shape`` and ``texture``. The tumor is then both together, and ``texture`` is that of the rest."""
    like: dict[str, Any] | None = None
    """Another tumor (``image``, ``mask``, ``label``) whose features are wanted."""
    method: str = "bridge"
    """One of ``METHODS``."""
    steps: int = 10
    """Sampling steps."""
    guidance: float = 1.5
    """Weight of the features; 1 is none beyond the condition."""
    candidates: int = 1
    """Samples to draw; the best measured is kept. But with ``flow``, each is asked for more of what the last had too little
    of."""
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
    labels: str | None = None
    """A label map that the mass effect moves along with the tissue; it is written beside the image."""
    lesions: tuple[dict[str, Any], ...] = ()
    """The edits of ``lesions``, carried out one on the other: fields of a request, and a ``name``."""
    preview: bool = False
    """Whether only the mask is wanted, at once; nothing is then written."""
    format: str = "nrrd"
    """Format of the result image, one of ``FORMATS``."""
    overwrite: bool = False
    """Whether an existing result folder is replaced."""
    out: str | None = None
    """Result folder; None leaves the choice to the caller."""
    id: str | int | None = None
    """Name of the request in the worker's events."""

    @property
    def drawn_at_once(self) -> int:
        """Candidates that are in memory together. With ``flow`` it is all of them; else each waits for what the last missed."""
        return self.candidates if self.method == "flow" else 1

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
    check_schema(values)
    names = [item.name for item in fields(Request)]
    for name in values:
        if name not in names:
            message = f"Field {check.shown(name)} is unknown."
            raise RequestError("request.unknown_field", message, check.did_you_mean(str(name), names))
    nullable = [item.name for item in fields(Request) if item.default is None]
    given = {name: value for name, value in values.items() if value is not None or name not in nullable}
    request = Request(**{name: PARSERS[name](name, value) for name, value in given.items()})
    _check_op(request)
    return request


def parse_message(values: Mapping[str, Any]) -> Request | Inquiry:
    """A checked inquiry where ``op`` is one of ``INQUIRIES``, a checked request otherwise.

    Raises
    ------
    RequestError : as ``parse_request``.
    """
    asks = isinstance(values, Mapping) and values.get("op") in INQUIRIES
    return parse_inquiry(values) if asks else parse_request(values)


def parse_cancel(values: Mapping[str, Any]) -> str | int | None:
    """The id in ``{"schema": 1, "op": "cancel", "id": ...}``; None means the running request."""
    check_fields(values, ())
    return line_id(values)


def check_fields(values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuse a line that is no request unless its schema is ours and it has no fields but ``op``, ``id`` and ``known``.

    Raises
    ------
    RequestError : with what was found and expected.
    """
    check_schema(values)
    for name in values:
        if name not in ("schema", "op", "id", *known):
            message = f"Field {check.shown(name)} is unknown in a line with the op {check.shown(values['op'])}."
            raise RequestError("request.unknown_field", message, f"It may have: {', '.join(('id', *known))}.")


def line_id(values: Mapping[str, Any]) -> str | int | None:
    """The id of a line, if it has one."""
    return None if values.get("id") is None else PARSERS["id"]("id", values["id"])


def lesion_requests(request: Request) -> tuple[Request, ...]:
    """The edits of a ``lesions`` request as requests of their own.

    Each has the image of the whole and what it does not say itself: bundle, domain, sampling, surroundings and, for new
    tumors, the region. Seeds count up from that of the request, so that lesions asked for alike do not come out alike.

    Raises
    ------
    RequestError : when one of them is wrong; the message says which.
    """
    found = []
    for number, entry in enumerate(request.lesions):
        try:
            found.append(_lesion_request(request, number, entry))
        except RequestError as error:
            message = f"Lesion {number + 1}: {error.message}"
            raise RequestError(error.code, message, error.hint) from error
    return tuple(found)


def lesion_names(request: Request) -> tuple[str, ...]:
    """The name of each edit of a ``lesions`` request."""
    return tuple(str(entry.get("name") or f"Lesion {number}") for number, entry in enumerate(request.lesions, start=1))


def _lesion_request(request: Request, number: int, entry: Mapping[str, Any]) -> Request:
    own = {name: value for name, value in entry.items() if name != "name"}
    if entry.get("name") is not None:
        check.text("name", entry["name"])
    for name in own:
        if name in _OF_THE_WHOLE:
            raise RequestError("request.forbidden", f"A lesion takes no field '{name}'.", f"Give '{name}' once, outside of it.")
    op = check.choice("op", own.get("op", "insert"), _OF_A_LESION)
    names = _INHERITED if op == "remove" else (*_INHERITED, *_NOT_BY_REMOVAL)
    inherited = {name: getattr(request, name) for name in names}
    seed = (request.seed + number) % 2**63
    return parse_request({"schema": SCHEMA, "image": request.image, "seed": seed, **inherited, **own, "op": op})


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
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number in JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's fields, each of which may come once."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a field comes twice")
    return values


def _check_op(request: Request) -> None:
    """The fields fit the operation."""
    for name in _REQUIRED[request.op]:
        if getattr(request, name) in (None, ()):
            raise RequestError("request.missing", f"Operation '{request.op}' needs the field '{name}'.", f"Add '{name}'.")
    for name in _FORBIDDEN[request.op]:
        if getattr(request, name) not in (None, (), {}, False):
            raise RequestError("request.forbidden", f"Operation '{request.op}' takes no field '{name}'.", f"Remove '{name}'.")
    if request.op == "shape" and request.region is not None and request.image is None:
        raise RequestError("request.missing", "Field 'region' needs a scan to lie in.", "Add 'image' or remove 'region'.")
    if request.op == "grow" and "shape_VoxelVolume" in shape_targets(request):
        message = "Operation 'grow' takes its volumes from 'volumes_ml', not from 'shape'."
        raise RequestError("request.forbidden", message, "Remove the volume from 'shape'.")
    if request.core is not None:
        _check_core(request, request.core)
    if request.op == "lesions":
        lesion_requests(request)
    _check_place(request)


def _check_core(request: Request, core: Mapping[str, Any]) -> None:
    """A core's label needs a mask and is not the tumor's own; an operation that keeps a tumor as it is takes no more."""
    if "label" in core and request.mask is None:
        raise RequestError("request.core", "Field 'core.label' needs a mask to lie in.", "Add 'mask' or remove 'core.label'.")
    if core.get("label") == request.label:
        message = f"Fields 'label' and 'core.label' are both {request.label}."
        raise RequestError("request.core", message, "Give the core a label of its own.")
    if request.op in ("remove", "move") and set(core) - {"label"}:
        message = f"Operation '{request.op}' takes of 'core' the 'label' alone."
        raise RequestError("request.forbidden", message, "Remove the rest of 'core'.")
    texture = request.op == "shape" and core.get("texture")
    if texture:
        raise RequestError("request.forbidden", "Operation 'shape' takes no 'core.texture'.", "Remove it.")


def _check_handmade(request: Request) -> None:
    """A hand-made shape has a volume at most, and a point or a region to be placed in."""
    for name in ("mask", "box"):
        if getattr(request, name) is not None:
            message = f"Field 'handmade' takes its place from 'at' or 'region', found '{name}'."
            raise RequestError("request.place", message, f"Remove '{name}', or 'handmade'.")
    others = [name for name in request.shape if SHAPE_ALIASES.get(name, name) != "shape_VoxelVolume"]
    if others:
        message = f"Field 'handmade' decides the shape, but 'shape' asks for {', '.join(others)} as well."
        raise RequestError("request.shape", message, "Ask for 'volume_ml' alone, or remove 'handmade'.")
    if request.op == "insert" and request.at is None and request.region is None:
        message = "Operation 'insert' found no place for a hand-made tumor, expected 'at', 'region' or both."
        raise RequestError("request.place", message, "Give 'at', or a 'region' in which a place is drawn.")


def _check_place(request: Request) -> None:
    """``insert`` has exactly one place, ``shape`` at most one."""
    if request.handmade is not None:
        _check_handmade(request)
        return
    places = [name for name in ("at", "mask", "box") if getattr(request, name) is not None]
    found = " and ".join(repr(name) for name in places) or "none"
    if request.op == "insert" and len(places) != 1:
        message = f"Operation 'insert' found {found} of 'at', 'mask' and 'box', expected one."
        raise RequestError("request.place", message, "Give exactly one of them.")
    if request.op == "shape" and len(places) > 1:
        raise RequestError("request.place", f"Operation 'shape' found {found}, expected one.", "Give at most one of them.")
