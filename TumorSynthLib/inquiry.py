"""Inquiries, schema 1: questions to the worker, which answers them with fields of ``done`` and writes nothing.

``ranges``
    Where features lie given the asked ones: ``bundle``, ``domain``, ``shape``, ``texture``. Answer: ``ranges``, by PyRadiomics
    name ``low``, ``middle``, ``high``, ``unit`` and ``conditional``, and ``warnings`` about implausible wishes.
``measure``
    The features of a region: ``image``, ``mask``, ``label``, ``core_label``, ``domain``, ``bundle``. Answer: ``measured`` (with
    a core of both together), the ``domain`` that the texture was measured for, ``warnings``; with a core also ``measured_core``
    and ``measured_rest``.
``domain``
    What an image shows: ``image``, ``bundle``, ``at``, ``modality`` (as DICOM writes it, where the client knows what the file
    does not tell). Answer: ``domain`` (null where it cannot be told), ``modality`` (CT, MR, PET or null), ``candidates``,
    ``warnings``.
``bundles``
    What there is. Answer: ``bundles``, each with ``id``, ``version``, ``licence``, ``intended_use``, ``methods`` and
    ``domains``, or for one that is broken ``id`` and ``error``.

(Standard library only, so that the Slicer side can import it.)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from TumorSynthLib import json_checks as check
from TumorSynthLib.errors import RequestError
from TumorSynthLib.json_checks import Point
from TumorSynthLib.request_fields import PARSERS, check_schema

MODALITIES = ("CT", "MR", "PT")
"""Modalities as DICOM writes them."""
_FIELDS = {
    "ranges": ("bundle", "domain", "shape", "texture"),
    "measure": ("image", "mask", "label", "core_label", "domain", "bundle"),
    "domain": ("image", "bundle", "at", "modality"),
    "bundles": (),
}
INQUIRIES = tuple(_FIELDS)
"""What can be asked."""
_REQUIRED = {"ranges": ("domain",), "measure": ("image", "mask"), "domain": ("image",), "bundles": ()}
_PARSERS = {
    **PARSERS,
    "core_label": lambda name, value: check.integer(name, value, 1),
    "modality": lambda name, value: check.choice(name, value, MODALITIES),
}


@dataclass(frozen=True)
class Inquiry:
    """One question. Positions are RAS mm, paths as the user gave them."""

    schema: int
    """Version of the protocol, 1."""
    op: str
    """One of ``INQUIRIES``."""
    bundle: str = "base"
    """Name of the model bundle."""
    domain: str = "auto"
    """Organ and modality by the bundle's id, or ``auto``."""
    image: str | None = None
    """A scan."""
    mask: str | None = None
    """A label map with the region to be measured."""
    label: int = 1
    """Value of the region in ``mask``."""
    core_label: int | None = None
    """Value of the region's core in ``mask``."""
    at: Point | None = None
    """Where in the scan the user is; a CT shows lung there or it does not."""
    modality: str | None = None
    """One of ``MODALITIES``; None is what the file tells."""
    shape: dict[str, float] = field(default_factory=dict)
    """Wanted shape features, by short name or PyRadiomics name."""
    texture: dict[str, float] = field(default_factory=dict)
    """Wanted texture features by PyRadiomics name, on domain values."""
    id: str | int | None = None
    """Name of the inquiry in the worker's events."""

    def to_dict(self) -> dict[str, Any]:
        """The complete inquiry with the defaults of its operation, ready for JSON."""
        values = {name: getattr(self, name) for name in ("schema", "op", *_FIELDS[self.op], "id")}
        values = {name: dict(value) if isinstance(value, dict) else value for name, value in values.items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def parse_inquiry(values: Mapping[str, Any]) -> Inquiry:
    """A checked inquiry. Fields that are null or absent get their defaults.

    Raises
    ------
    RequestError : with a code that starts with ``request.``, for unknown, missing, wrongly typed and impossible fields.
    """
    check_schema(values)
    op = check.choice("op", values["op"], INQUIRIES)
    known = ("schema", "op", *_FIELDS[op], "id")
    for name in values:
        if name not in known:
            message = f"Field {check.shown(name)} is unknown in a line with the op '{op}'."
            raise RequestError("request.unknown_field", message, check.did_you_mean(str(name), known))
    for name in _REQUIRED[op]:
        if values.get(name) is None:
            raise RequestError("request.missing", f"Operation '{op}' needs the field '{name}'.", f"Add '{name}'.")
    given = {name: _PARSERS[name](name, value) for name, value in values.items() if value is not None and name != "op"}
    inquiry = Inquiry(op=op, **given)
    if inquiry.core_label == inquiry.label:
        message = f"Fields 'label' and 'core_label' are both {inquiry.label}."
        raise RequestError("request.core", message, "Give the core a label of its own.")
    if op == "ranges" and inquiry.domain == "auto":
        message = "Operation 'ranges' reads no scan, from which the domain 'auto' could be told."
        raise RequestError("request.domain", message, "Name a domain; the operation 'domain' tells that of a scan.")
    return inquiry
