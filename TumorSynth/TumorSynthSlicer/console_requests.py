"""What the worker is asked by the console: tumors with their places, made into requests when their files are written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from TumorSynthLib.errors import RequestError
from TumorSynthLib.protocol import SCHEMA, parse_request
from TumorSynthSlicer.console_files import JobFiles
from TumorSynthSlicer.console_places import Segment, placeNamed
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.requests import Place, Point, Settings, editRequest, lesionsRequest
from TumorSynthSlicer.tasks import Steps


@dataclass(frozen=True)
class Tumor:
    """One tumor, and what is to be done with it."""

    lesion: Lesion
    """What is asked for; its place is the kind of ``where``."""
    where: Any
    """A position or a box in the volume's own RAS, or a segment, as ``placeNamed`` gives it."""
    to: Point | None = None
    """Where it is to go, in the volume's own RAS."""


def goalNamed(to: Any, volume: Any) -> Point:
    """Where a tumor is to go, in the volume's own RAS.

    Raises
    ------
    RequestError, GeometryError : as ``placeNamed``; also for a place that is no point.
    """
    kind, where = placeNamed(to, volume)
    if kind != "point":
        raise RequestError("console.place", "A tumor moves to a point.", "Give (R, A, S) in mm, or a fiducial.")
    return where  # type: ignore[no-any-return]


def checkTumor(tumor: Tumor, settings: Settings) -> None:
    """Refuse what the worker would refuse, before any file is written.

    Raises
    ------
    RequestError : as ``requests``.
    """
    where = {"point": "at", "box": "box"}.get(tumor.lesion.place)
    place = Place(mask="mask", to=tumor.to) if where is None else Place(**{where: tumor.where})
    editRequest(tumor.lesion, settings, "scan", place, "out")


def editSteps(
    tumors: Sequence[Tumor], settings: Settings, region: Segment | None, files: JobFiles, several: bool
) -> Steps[dict[str, Any]]:
    """The request for tumors in a scan, when its files are written.

    Parameters
    ----------
    tumors : one, or with ``several`` any number, carried out one on the other.
    settings : what holds for all.
    region : the segment that new tumors stay inside of, or None.
    files : of the job.

    Raises
    ------
    TumorSynthError : as ``requests`` and ``JobFiles``.
    """
    edits = []
    for tumor in tumors:
        place = yield from _placeSteps(tumor, files)
        edits.append((tumor.lesion, place))
    settings = yield from _settingsSteps(settings, region, files)
    image = yield from files.scan()
    if several:
        return lesionsRequest(edits, settings, image, files.result())
    (lesion, place) = edits[0]
    return editRequest(lesion, settings, image, place, files.result())


def shapeSteps(
    lesion: Lesion, where: tuple[str, Any] | None, settings: Settings, region: Segment | None, files: JobFiles
) -> Steps[dict[str, Any]]:
    """The request for a mask alone, when its files are written.

    Parameters
    ----------
    lesion : what is asked for.
    where : of ``placeNamed``; None leaves it to the worker.
    settings, region, files : as for ``editSteps``.

    Raises
    ------
    TumorSynthError : as ``protocol`` and ``JobFiles``.
    """
    values: dict[str, Any] = {"schema": SCHEMA, "op": "shape", "seed": lesion.seed, "shape": lesion.shape}
    values |= {"core": lesion.core or None, "bundle": settings.bundle, "domain": settings.domain, "device": settings.device}
    if files.volume is not None:
        settings = yield from _settingsSteps(settings, region, files)
        image = yield from files.scan()
        values |= {"image": image, "region": settings.region}
    if where is not None:
        values["at" if where[0] == "point" else "box"] = where[1]
    return parse_request({**values, "out": files.result()}).to_dict()


def _placeSteps(tumor: Tumor, files: JobFiles) -> Steps[Place]:
    if tumor.lesion.place == "segment":
        mask = yield from files.mask(tumor.where)
        return Place(to=tumor.to, mask=mask)
    return Place(at=tumor.where) if tumor.lesion.place == "point" else Place(box=tumor.where)


def _settingsSteps(settings: Settings, region: Segment | None, files: JobFiles) -> Steps[Settings]:
    if region is None:
        return settings
    path = yield from files.mask(region)
    return replace(settings, region=path)
