"""A row of the panel's table: a place in the scan, what is to be done there, and what was asked for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from TumorSynthLib.errors import RequestError
from TumorSynthLib.protocol import SCHEMA, parse_request

OPERATIONS = ("insert", "edit", "remove", "move", "grow")
"""What can be done to a lesion."""
PLACES = ("point", "segment", "box")
"""What can tell where it is."""
STATES = ("draft", "running", "result", "kept", "failed")
"""How far it has come: nothing made yet, being made, shown to choose, kept, or ended by an error."""

_OF_PLACES = {"point": ("insert",), "box": ("insert",), "segment": OPERATIONS}


def operationsFor(place: str) -> tuple[str, ...]:
    """What can be done at a place: only a segment may be a tumor that is there already.

    Raises
    ------
    RequestError : for a place that is none of ``PLACES``.
    """
    if place not in PLACES:
        raise _wrongChoice("place", place, PLACES)
    return _OF_PLACES[place]


@dataclass(frozen=True)
class Lesion:
    """One lesion; it is never changed, ``withChanges`` makes another.

    The nodes that tell its place belong to the scene, and are references of the parameter node by the lesion's key.
    """

    key: str
    """Its name in node references and signals; it never changes."""
    name: str
    """What the user calls it, and its segment in the result."""
    place: str
    """One of ``PLACES``."""
    operation: str = "insert"
    """One of ``operationsFor(place)``."""
    shape: dict[str, float] = field(default_factory=dict)
    """Asked shape features, by the request's short names or PyRadiomics names: mL, mm, mm^2, mm^3."""
    texture: dict[str, float] = field(default_factory=dict)
    """Asked texture features by PyRadiomics name, in domain values."""
    core: dict[str, Any] = field(default_factory=dict)
    """Asked necrotic core, as the request's ``core``: ``share``, ``shape`` and ``texture``; empty for none."""
    rim: float = 0.0
    """Strength of the peritumoral rim, 0 to 1."""
    massEffect: float = 0.0
    """How much the surroundings give way, 0 to 1."""
    seed: int = 0
    """Seed of everything random."""
    volumesMl: list[float] = field(default_factory=list)
    """Volumes of the time points of ``grow``, in mL."""
    segmentId: str = ""
    """The segment, where the place is one."""
    coreSegmentId: str = ""
    """The segment of its core beside it, where the tumor that is there has one."""
    pointId: str = ""
    """The control point, where the place is one."""
    label: int = 1
    """Its value in the mask that the worker gets."""
    visible: bool = True
    """Whether its place or outline is shown."""
    state: str = "draft"
    """One of ``STATES``."""
    message: str = ""
    """Why it failed, or what else is to be told of it."""
    measured: dict[str, float] = field(default_factory=dict)
    """Measured features by PyRadiomics name: of the result, or else of the tumor that is there."""

    def __post_init__(self) -> None:
        _check(self)

    def withChanges(self, **changes: Any) -> "Lesion":
        """The same lesion with other values in some of its fields.

        Raises
        ------
        RequestError : for an unknown field or feature, and for impossible values. Implausible ones are the user's choice.
        """
        known = [item.name for item in fields(self)]
        for name in changes:
            if name not in known:
                raise RequestError("lesion.field", f"A lesion has no field '{name}'.", f"It has: {', '.join(known)}.")
        if changes.get("key", self.key) != self.key:
            raise RequestError("lesion.key", "The key of a lesion cannot change.", "Add another lesion.")
        return replace(self, **changes)

    def toDict(self) -> dict[str, Any]:
        """Its fields, ready for JSON."""
        return asdict(self)

    @staticmethod
    def fromDict(values: Mapping[str, Any]) -> "Lesion":
        """The inverse of ``toDict``; fields that are not there have their defaults.

        Raises
        ------
        RequestError : as ``withChanges``, and where the key, the name or the place is missing.
        """
        if not isinstance(values, Mapping) or not all(values.get(name) for name in ("key", "name", "place")):
            raise RequestError("lesion.missing", "A lesion without key, name or place was found.", "Add the lesion again.")
        start = Lesion(*(_text(name, values[name]) for name in ("key", "name", "place")))
        return start.withChanges(**values)


def _check(lesion: Lesion) -> None:
    """Everything that can be checked without the scan; the worker's own checks judge what is asked for."""
    if lesion.operation not in operationsFor(lesion.place):
        raise _wrongChoice(f"operation at a {lesion.place}", lesion.operation, operationsFor(lesion.place))
    if lesion.state not in STATES:
        raise _wrongChoice("state", lesion.state, STATES)
    for name in ("key", "name"):
        if not _text(name, getattr(lesion, name)).strip():
            raise RequestError("lesion.missing", f"The {name} of a lesion is empty.", "Type at least one letter.")
    for name in ("segmentId", "coreSegmentId", "pointId", "message"):
        _text(name, getattr(lesion, name))
    anywhere = {"schema": SCHEMA, "image": "scan"}
    asked = {"shape": lesion.shape, "texture": lesion.texture, "core": lesion.core or None, "seed": lesion.seed}
    around = {"rim": lesion.rim, "mass_effect": lesion.massEffect}
    parse_request({**anywhere, "op": "insert", "at": (0.0, 0.0, 0.0), **asked, **around})
    if lesion.volumesMl:
        parse_request({**anywhere, "op": "grow", "mask": "mask", "label": lesion.label, "volumes_ml": lesion.volumesMl})


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RequestError("lesion.type", f"The {name} of a lesion is {value!r:.60}, expected a text.", "Add the lesion again.")
    return value


def _wrongChoice(what: str, found: Any, known: tuple[str, ...]) -> RequestError:
    return RequestError("lesion.choice", f"The {what} is {found!r:.60}.", f"Choose one of: {', '.join(known)}.")
