"""The options of the edit commands: one per field of a request, and which operation takes which."""

from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from TumorSynthLib import methods
from TumorSynthLib.protocol import FORMATS, HANDMADE, SCHEMA

Point = tuple[float, float, float]
Corners = tuple[float, float, float, float, float, float]


def _option(kind: Any, *flags: str, help: str, default: Any = None, **extra: Any) -> Parameter:
    """A keyword parameter that typer turns into an option; its name is the first flag's."""
    name = flags[0].split("/")[0].lstrip("-").replace("-", "_")
    annotation = Annotated[kind, typer.Option(*flags, help=help, **extra)]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _image(kind: Any, default: Any) -> Parameter:
    annotation = Annotated[
        kind, typer.Argument(help="Scan to edit: NRRD, NIfTI, MetaImage or a DICOM folder.", metavar="IMAGE")
    ]
    return Parameter("image", Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_RAS = "R A S"
_PLACE = (
    _option(Point | None, "--at", help="Centroid of the new tumor, RAS mm.", metavar=_RAS),
    _option(Corners | None, "--box", help="Two corners of a box that holds the tumor.", metavar="R A S R A S"),
)
_MASK = (
    _option(Path | None, "--mask", help="Painted or segmented region."),
    _option(int | None, "--label", help="Value of the region in the mask. [default: 1]"),
)
_REGION = (
    _option(Path | None, "--region", help="Mask that the tumor must stay inside of, for example the organ."),
    _option(int | None, "--region-label", help="Value of the organ in that mask. [default: 1]"),
)
_TO = (_option(Point | None, "--to", help="New centroid, RAS mm.", metavar=_RAS),)
_VOLUMES = (_option(list[float] | None, "--volumes-ml", help="Volume of one time point; repeat it.", metavar="ML"),)
_SHAPE = (
    _option(float | None, "--volume-ml", help="Wanted volume in mL."),
    _option(float | None, "--sphericity", help="Wanted sphericity, up to 1."),
    _option(float | None, "--elongation", help="Wanted middle over longest axis, up to 1."),
    _option(float | None, "--flatness", help="Wanted shortest over longest axis, up to 1."),
    _option(
        list[str] | None, "--shape", help="Any wanted shape feature by its PyRadiomics name; repeat it.", metavar="NAME=VALUE"
    ),
)
_HANDMADE = (
    _option(
        str | None,
        "--handmade",
        help=f"Bent ellipsoid of a size class, in place of a learned shape: {', '.join(HANDMADE)}. Without --at, a place is "
        "drawn in the region.",
        metavar="CLASS",
    ),
)
_TEXTURE = (
    _option(list[str] | None, "--texture", help="Any wanted texture feature by its name; repeat it.", metavar="NAME=VALUE"),
)
_LIKE = (
    _option(Path | None, "--like-image", help="Scan with another tumor whose features are wanted."),
    _option(Path | None, "--like-mask", help="Mask of that tumor."),
    _option(int | None, "--like-label", help="Value of that tumor in its mask. [default: 1]"),
)
_CORE_LABEL = (_option(int | None, "--core-label", help="Value of the tumor's core in the mask; both belong to the tumor."),)
_CORE_FORM = (
    _option(float | None, "--core-share", help="Make a core with this share of the tumor's volume."),
    _option(list[str] | None, "--core-shape", help="Any wanted shape feature of the core; repeat it.", metavar="NAME=VALUE"),
)
_CORE_TEXTURE = (
    _option(list[str] | None, "--core-texture", help="Any wanted texture feature of the core.", metavar="NAME=VALUE"),
)
_LABELS = (_option(Path | None, "--labels", help="Label map that the mass effect moves along; written beside the image."),)
_MODEL = (
    _option(str | None, "--domain", help="Organ and modality, see the command bundles. [default: auto]"),
    _option(str | None, "--bundle", help="Model bundle. [default: base]"),
    _option(int | None, "--seed", help="Seed of everything random. [default: 0]"),
    _option(str | None, "--device", help="auto, cpu, mps, cuda or cuda:N. [default: auto]"),
)
_LOOK = (_option(str | None, "--tumor-domain", help="Domain whose tumors the new one looks like. [default: that of the scan]"),)
_SAMPLING = (
    _option(str | None, "--method", help=methods.told()),
    _option(int | None, "--steps", help="Sampling steps. [default: 10]"),
    _option(int | None, "--candidates", help="Samples to draw, each aimed better; the nearest is kept. [default: 1]"),
    _option(bool | None, "--noise/--no-noise", help="Restore the scan's high-frequency noise, or write the smooth prediction."),
)
_GUIDED = (
    _option(float | None, "--guidance", help="Weight of the wanted features. [default: 1.5]"),
    _option(float | None, "--mass-effect", help="Displacement of the surroundings, 0 to 1. [default: 0]"),
    _option(float | None, "--rim", help="Strength of a rim around the tumor, 0 to 1. [default: 0]"),
)
_OUTPUT = (
    _option(str | None, "--format", help=f"Format of the result image: {' or '.join(FORMATS)}."),
    _option(bool, "--overwrite", help="Replace an existing result folder.", default=False),
    _option(Path, "--out", help="Result folder.", default=Parameter.empty),
    _option(bool, "--json", help="Print the result as JSON.", default=False),
    _option(
        str | None,
        "--worker",
        help='Work on another computer: a command that starts Python there, such as "ssh gpu-host python". Files are sent.',
        metavar="COMMAND",
    ),
)
_SCAN = (_image(Path, Parameter.empty),)

_CORE = (*_CORE_LABEL, *_CORE_FORM, *_CORE_TEXTURE)
_ASKED = (*_SHAPE, *_TEXTURE, *_LIKE, *_CORE)
_HOW = (*_MODEL, *_SAMPLING, *_GUIDED, *_LABELS, *_OUTPUT)
_ROOM = (_GUIDED[1], *_LABELS)

PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    "insert": (*_SCAN, *_PLACE, *_MASK, *_REGION, *_HANDMADE, *_ASKED, *_LOOK, *_HOW),
    "edit": (*_SCAN, *_MASK, *_REGION, *_ASKED, *_LOOK, *_HOW),
    "remove": (*_SCAN, *_MASK, *_CORE_LABEL, *_MODEL, *_SAMPLING, *_ROOM, *_OUTPUT),
    "move": (*_SCAN, *_MASK, *_CORE_LABEL, *_TO, *_REGION, *_LOOK, *_HOW),
    "grow": (*_SCAN, *_MASK, *_VOLUMES, *_REGION, *_TEXTURE, *_LIKE, *_CORE, *_LOOK, *_HOW),
    "shape": (_image(Path | None, None), *_PLACE, *_REGION, *_HANDMADE, *_SHAPE, *_CORE_FORM, *_LIKE, *_MODEL, *_OUTPUT),
}
"""Parameters of each operation's command, in the order of its help."""

_SHAPE_NAMES = ("volume_ml", "sphericity", "elongation", "flatness")
_LIKE_NAMES = ("like_image", "like_mask", "like_label")


def request_values(op: str, options: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request from the options of its command; what was not given is left to the request's defaults.

    Parameters
    ----------
    op : the operation.
    options : value of each parameter by name, without ``json`` and ``worker``.

    Raises
    ------
    typer.BadParameter : for a NAME=VALUE that is none, or a feature that is given twice.
    """
    given = {name: _plain(value) for name, value in options.items() if value is not None}
    if not given.get("overwrite"):
        given.pop("overwrite", None)
    return {"schema": SCHEMA, "op": op} | _nested(given) | given


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _nested(given: dict[str, Any]) -> dict[str, Any]:
    """The fields that are made of several options, which are taken out of ``given``."""
    shape = [(name, given.pop(name)) for name in _SHAPE_NAMES if name in given]
    shape += [_assignment("--shape", text) for text in given.pop("shape", ())]
    texture = [_assignment("--texture", text) for text in given.pop("texture", ())]
    like = {name.removeprefix("like_"): given.pop(name) for name in _LIKE_NAMES if name in given}
    values = {"shape": _unique("--shape", shape), "texture": _unique("--texture", texture), "like": like, "core": _core(given)}
    corners = given.pop("box", None)
    box = {} if corners is None else {"box": [corners[:3], corners[3:]]}
    return {name: value for name, value in values.items() if value} | box


def _core(given: dict[str, Any]) -> dict[str, Any]:
    """The field ``core``, whose options are taken out of ``given``."""
    lists = {name: given.pop(f"core_{name}", ()) for name in ("shape", "texture")}
    flags = {name: f"--core-{name}" for name in lists}
    core = {name: _unique(flags[name], [_assignment(flags[name], text) for text in texts]) for name, texts in lists.items()}
    numbers = {name: given.pop(f"core_{name}") for name in ("label", "share") if f"core_{name}" in given}
    return {**numbers, **{name: values for name, values in core.items() if values}}


def _assignment(flag: str, text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        _refuse(f"{flag} found {text!r}, expected NAME=VALUE.")
    try:
        return name.strip(), float(value)
    except ValueError:
        _refuse(f"{flag} {name.strip()} found {value!r}, expected a number.")


def _unique(flag: str, pairs: list[tuple[str, float]]) -> dict[str, float]:
    values = dict(pairs)
    for name in values:
        if sum(name == other for other, _ in pairs) > 1:
            _refuse(f"{flag}: {name!r} is given twice.")
    return values


def _refuse(message: str) -> NoReturn:
    raise typer.BadParameter(message)
