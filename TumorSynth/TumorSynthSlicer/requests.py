"""What the worker is asked, made of lesions, settings and places. Positions are the volume's own RAS mm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from TumorSynthLib.errors import RequestError
from TumorSynthLib.possible import check_possible
from TumorSynthLib.protocol import SCHEMA, parse_request
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.method_words import BRIDGE
from TumorSynthSlicer.words import contradiction

Point = tuple[float, float, float]
"""R, A, S in mm, without the volume's parent transform."""


@dataclass(frozen=True)
class Place:
    """Where a lesion is, as far as its operation needs it."""

    at: Point | None = None
    """Centroid of a new tumor."""
    box: tuple[Point, Point] | None = None
    """Lower and upper corner of the box that a new tumor lies in."""
    to: Point | None = None
    """New centroid of a moved tumor."""
    mask: str | None = None
    """File with the painted or segmented region, in which it has the lesion's label."""


@dataclass(frozen=True)
class Settings:
    """What holds for all lesions."""

    bundle: str = "base"
    """Name of the model bundle."""
    domain: str = "auto"
    """Organ and modality by the bundle's id."""
    device: str = "auto"
    """``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``."""
    method: str = "bridge"
    """Synthesis method; removal is the bridge's in any case."""
    steps: int = 10
    """Sampling steps."""
    guidance: float = 1.5
    """Weight of the features."""
    candidates: int = 1
    """Samples of which the best is kept."""
    noise: bool = True
    """Whether the scan's noise is restored."""
    region: str | None = None
    """File with the region that new tumors stay inside of."""
    regionLabel: int = 1
    """Its value in the file."""


def editRequest(
    lesion: Lesion, settings: Settings, image: str, place: Place, out: str, seed: int | None = None
) -> dict[str, Any]:
    """The request for one lesion.

    Parameters
    ----------
    lesion, settings, place : what is asked for.
    image : file of the scan.
    out : the result folder, which is made.
    seed : None for the lesion's.

    Returns
    -------
    A request that ``protocol.parse_request`` accepts.

    Raises
    ------
    RequestError : for what is missing or cannot come together.
    """
    values = {**_common(settings), "image": image, "out": out, **_fields(lesion, place), **_region(lesion.operation, settings)}
    values["seed"] = lesion.seed if seed is None else seed
    return _checked(values, lesion)


def lesionsRequest(
    edits: Sequence[tuple[Lesion, Place]], settings: Settings, image: str, out: str, seed: int | None = None
) -> dict[str, Any]:
    """One request for several lesions, carried out one on the other.

    Parameters
    ----------
    edits : the lesions with their places, in order; none of them grows.
    seed : added to the seed of every lesion; None for 0.

    Raises
    ------
    RequestError : as ``editRequest``; the message names the lesion.
    """
    entries = []
    for lesion, place in edits:
        if lesion.operation == "grow":
            message = f"{lesion.name} is to grow, which makes a series of its own."
            raise RequestError("request.lesions", message, "Generate it alone.")
        alone = editRequest(lesion, settings, image, place, out)
        fields = {**_fields(lesion, place), **_region(lesion.operation, settings)}
        entries.append({**fields, "name": lesion.name, "seed": alone["seed"] + (seed or 0)})
    if all(lesion.operation == "remove" for lesion, _ in edits):
        settings = replace(settings, method=BRIDGE)
    return _complete({**_common(settings), "op": "lesions", "image": image, "out": out, "lesions": entries})


def previewRequest(lesion: Lesion, settings: Settings, image: str, place: Place) -> dict[str, Any] | None:
    """The request for a lesion's outline alone; None for operations that have none.

    Raises
    ------
    RequestError : as ``editRequest``.
    """
    if lesion.operation not in ("insert", "edit", "move"):
        return None
    values = {**_common(settings), "image": image, **_fields(lesion, place), **_region(lesion.operation, settings)}
    return _checked({**values, "preview": True}, lesion)


def rangesInquiry(settings: Settings, shape: Mapping[str, float], texture: Mapping[str, float]) -> dict[str, Any]:
    """Asks what is plausible beside what is asked for."""
    about = {"bundle": settings.bundle, "domain": settings.domain}
    return {"schema": SCHEMA, "op": "ranges", **about, "shape": dict(shape), "texture": dict(texture)}


def measureInquiry(settings: Settings, image: str, mask: str, label: int = 1, coreLabel: int | None = None) -> dict[str, Any]:
    """Asks for the features of a tumor that is there."""
    about = {"bundle": settings.bundle, "domain": settings.domain}
    values = {"schema": SCHEMA, "op": "measure", "image": image, "mask": mask, "label": label, **about}
    return values if coreLabel is None else {**values, "core_label": coreLabel}


def domainInquiry(settings: Settings, image: str, modality: str = "", at: Point | None = None) -> dict[str, Any]:
    """Asks what a scan shows.

    Parameters
    ----------
    modality : that DICOM or the voxels' unit tell: CT, MR, PET, or another, which says nothing.
    at : where the user is, in the scan's own RAS mm.
    """
    values: dict[str, Any] = {"schema": SCHEMA, "op": "domain", "image": image, "bundle": settings.bundle}
    known = {"CT": "CT", "MR": "MR", "PET": "PT", "PT": "PT"}.get(modality)
    return {**values, "modality": known, "at": None if at is None else list(at)}


def bundlesInquiry() -> dict[str, Any]:
    """Asks which bundles the worker has."""
    return {"schema": SCHEMA, "op": "bundles"}


def _common(settings: Settings) -> dict[str, Any]:
    names = ("bundle", "domain", "device", "method", "steps", "guidance", "candidates", "noise")
    return {"schema": SCHEMA, **{name: getattr(settings, name) for name in names}}


def _region(operation: str, settings: Settings) -> dict[str, Any]:
    if settings.region is None or operation == "remove":
        return {}
    return {"region": settings.region, "region_label": settings.regionLabel}


def _fields(lesion: Lesion, place: Place) -> dict[str, Any]:
    """Fields that are the lesion's own."""
    values: dict[str, Any] = {"op": lesion.operation, "seed": lesion.seed, "mass_effect": lesion.massEffect}
    if lesion.operation == "insert" and place.mask is None:
        values |= {"at": place.at} if place.box is None else {"box": place.box}
    else:
        values |= {"mask": place.mask, "label": lesion.label}
    kept = {"label": lesion.label + 1} if lesion.coreSegmentId and lesion.operation != "insert" else {}
    if lesion.operation == "move":
        return {**values, "to": place.to, "rim": lesion.rim, "core": kept or None}
    if lesion.operation == "remove":
        return {**values, "core": kept or None, "method": BRIDGE}
    values |= {"shape": dict(lesion.shape), "texture": dict(lesion.texture), "rim": lesion.rim}
    values["core"] = {**kept, **lesion.core} or None
    if lesion.operation == "grow":
        values |= {"volumes_ml": list(lesion.volumesMl), "shape": {}}  # time points keep the tumor's form
    return values


def _checked(values: dict[str, Any], lesion: Lesion) -> dict[str, Any]:
    """The request, once it is sure that the worker takes it."""
    against = contradiction(lesion.shape) if lesion.operation in ("insert", "edit") else ""
    if against:
        raise RequestError("request.contradiction", f"{lesion.name}: {against}")
    try:
        return _complete(values)
    except RequestError as error:
        raise RequestError(error.code, f"{lesion.name}: {error.message}", error.hint) from error


def _complete(values: dict[str, Any]) -> dict[str, Any]:
    request = parse_request(values)
    check_possible(request)
    return request.to_dict()
