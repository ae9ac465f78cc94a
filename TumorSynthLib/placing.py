"""Where a new tumor goes and what form it takes: from a request to a mask."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import Domain, ShapeConfig, from_dict
from TumorSynthLib.domains import named_domain, tissue
from TumorSynthLib.existing import centroid
from TumorSynthLib.handmade_place import HandmadePlacer
from TumorSynthLib.handmade_shape import drawn_form
from TumorSynthLib.interruptible import interruptible
from TumorSynthLib.json_checks import Point
from TumorSynthLib.protocol import Request, shape_targets
from TumorSynthLib.scene import Scene
from TumorSynthLib.shape import ShapeGenerator, solve_shape
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.volume import Geometry, Volume, mask_box

BOX_SHARE = 0.35
"""Share of a box that a tumor fills where no size is asked for; a ball that touches all sides fills 0.52."""
ROOM = 1.4
"""Edge of the cube around a point that stands for a box, over the diameter of the ball of the asked volume."""
AIR_SHARE = 0.3
"""Share of a new tumor in air from which on the user is told."""
_FORM_STREAM, _PLACE_STREAM = 11, 12
"""What is added to the seed of a hand-made tumor's form and of its place."""
_HANDMADE_EDGE = 512
"""Voxels of 1 mm along the grid of a hand-made tumor without a scan; the largest reach about 130 mm from their center."""


@dataclass(frozen=True, eq=False)
class NewTumor:
    """Where a new tumor is."""

    mask: Volume
    """Its voxels, bool."""
    warnings: list[str]
    """What could not be met."""
    placed: Mapping[str, object] = field(default_factory=dict)
    """Place and class of a hand-made tumor, JSON-ready; empty for all others."""


def shape_model(bundle: Bundle) -> ShapeGenerator:
    """The bundle's shape generator, on the CPU: it is small."""
    return ShapeGenerator(from_dict(ShapeConfig, bundle.network("shape")), bundle.weights("shape"), bundle.shape_statistics)


def place_in_scan(
    request: Request, scene: Scene, generator: ShapeGenerator, alive: Callable[[], None] | None = None
) -> NewTumor:
    """A new tumor on the scan's grid.

    The tumor's centroid is ``at``, or the middle of the box, or the centroid of the painted mask, whose volume it then takes
    unless told otherwise. It stays inside the region and the box. A hand-made tumor without ``at`` gets a place in the region.
    ``alive`` is called on the way and may raise to cancel.

    Raises
    ------
    TumorSynthError : when it does not fit.
    """
    if request.handmade is not None:
        return interruptible(lambda: _handmade_in_scan(request, scene), alive or _on)
    painted = None if scene.painted is None else Volume(scene.painted, scene.scan.geometry)
    result = solve_shape(
        generator,
        placed_targets(request, painted),
        scene.scan.geometry,
        place_of(request, scene.scan.geometry, painted),
        scene.domain.organ,
        request.seed,
        scene.allowed,
        alive=alive,
    )
    return NewTumor(Volume(result.mask, scene.scan.geometry), [*result.warnings, *air_warning(scene, result.mask)])


def handmade_placed(request: Request, geometry: Geometry, allowed: np.ndarray | None) -> NewTumor:
    """A hand-made tumor on a grid. The same seed gives the same form wherever it lies.

    Parameters
    ----------
    request : with ``handmade``.
    geometry : the grid.
    allowed : where tumor may be, bool on the grid; None for everywhere.

    Raises
    ------
    RequestError : ``handmade.no_room`` when the tumor does not fit.
    """
    assert request.handmade is not None
    volume = shape_targets(request).get("shape_VoxelVolume")
    form = drawn_form(request.handmade, np.random.default_rng((request.seed, _FORM_STREAM)), volume)
    where = "the grid" if request.image is None else "the scan"
    if request.region is not None:
        where = "the region"
    placer = HandmadePlacer(form, request.handmade, geometry, allowed, where)
    if request.at is None and request.region is not None:
        found = placer.drawn(np.random.default_rng((request.seed, _PLACE_STREAM)))
    else:
        found = placer.at(place_of(request, geometry, None))
    return NewTumor(Volume(found.mask, geometry), placer.warnings(found), placer.told(found))


def _on() -> None:
    """Nobody cancels."""


def _handmade_in_scan(request: Request, scene: Scene) -> NewTumor:
    """A hand-made tumor; where its place is drawn, it is clear of those that were made before."""
    allowed = scene.allowed
    if request.at is None and allowed is not None:
        for other in scene.carried.values():
            allowed = allowed & ~other
    new = handmade_placed(request, scene.scan.geometry, allowed)
    return replace(new, warnings=[*new.warnings, *air_warning(scene, new.mask.array)])


def place_alone(request: Request, generator: ShapeGenerator, organ: str) -> NewTumor:
    """A tumor without a scan, on a 1 mm grid: inside the box, or with its centroid at ``at`` or the origin.

    Parameters
    ----------
    request : with the place and the wanted features.
    generator : of shapes.
    organ : of the request's domain, or ``any``.
    """
    targets = placed_targets(request, None)
    center = np.array(request.at if request.at is not None else (0.0, 0.0, 0.0))
    if request.handmade is not None:
        return _cropped(
            handmade_placed(replace(request, at=tuple(center.tolist())), _grid_around(center, _HANDMADE_EDGE), None)
        )
    if request.box is not None:
        geometry = _grid_in_box(request.box)
        result = solve_shape(generator, targets, geometry, np.array(request.box).mean(axis=0), organ, request.seed)
        return NewTumor(Volume(result.mask, geometry), result.warnings)
    edge = 64
    while True:
        geometry = _grid_around(center, edge)
        result = solve_shape(generator, targets, geometry, center, organ, request.seed)
        box = mask_box(result.mask)
        if edge >= 512 or (min(box.start) > 0 and max(box.stop) < edge):
            break
        edge *= 2
    return _cropped(NewTumor(Volume(result.mask, geometry), result.warnings))


def _cropped(new: NewTumor) -> NewTumor:
    """The same on a grid that ends two voxels beside the tumor."""
    kept = mask_box(new.mask.array).expanded(np.full(3, 2), new.mask.geometry.shape)
    return replace(new, mask=new.mask.cropped(kept))


def _grid_around(center: np.ndarray, edge: int) -> Geometry:
    """A 1 mm grid with a voxel at a point, RAS mm, about in its middle."""
    affine = np.eye(4)
    affine[:3, 3] = center - (edge - 1) // 2
    return Geometry((edge, edge, edge), affine)


def box_of(request: Request) -> tuple[Point, Point]:
    """The box of a request, RAS mm; around a point, a cube that leaves room around a ball of the asked volume."""
    if request.box is not None:
        return request.box
    assert request.at is not None
    volume = shape_targets(request)["shape_VoxelVolume"]
    half = 0.5 * ROOM * 2.0 * float(np.cbrt(volume / BALL_VOLUME))
    low, high = (tuple(value + side * half for value in request.at) for side in (-1.0, 1.0))
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _grid_in_box(box: tuple[Point, Point]) -> Geometry:
    """The 1 mm grid of the voxels that lie inside a box."""
    low, high = np.array(box)
    shape = np.maximum(1, np.floor(high - low + 1e-6)).astype(int)
    affine = np.eye(4)
    affine[:3, 3] = 0.5 * (low + high) - 0.5 * (shape - 1)
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def organ_of(request: Request, domains: Sequence[Domain]) -> str:
    """The organ of the request's domain, for shapes without a scan.

    Raises
    ------
    RequestError : when there is no such domain.
    """
    return "any" if request.domain == "auto" else named_domain(request.domain, domains).organ


def air_warning(scene: Scene, mask: np.ndarray) -> list[str]:
    """A sentence when a good part of a new tumor would hang in the air."""
    box = mask_box(mask)
    u = scene.intensity.normalize(scene.scan.array[box.slices])
    share = 1.0 - float(tissue(u, scene.domain)[mask[box.slices]].mean())
    return [f"{share:.0%} of the tumor lies in air or background."] if share > AIR_SHARE else []


def place_of(request: Request, geometry: Geometry, painted: Volume | None) -> np.ndarray:
    """Where the centroid of a new tumor shall be, RAS mm, shape (3,).

    Parameters
    ----------
    request : whose place it is; without one it is the middle of the scan.
    geometry : the scan's grid.
    painted : the request's mask, if it names one.
    """
    if request.at is not None:
        return np.array(request.at)
    if request.box is not None:
        return np.array(request.box).mean(axis=0)
    if painted is not None:
        return centroid(painted.array, painted.geometry)
    return geometry.to_ras((np.array(geometry.shape) - 1) / 2)


def placed_targets(request: Request, painted: Volume | None) -> dict[str, float]:
    """Wanted shape features of a new tumor, with the volume (mm^3) that its place implies where no size is asked for: that of
    the painted mask, or a share of the box."""
    targets = shape_targets(request)
    if any(name.endswith(("Volume", "AxisLength", "Diameter", "SurfaceArea")) for name in targets):
        return targets
    if painted is not None:
        targets["shape_VoxelVolume"] = float(painted.array.sum() * painted.geometry.voxel_volume_mm3)
    elif request.box is not None:
        targets["shape_VoxelVolume"] = float(BOX_SHARE * np.prod(np.abs(np.diff(np.array(request.box), axis=0))))
    return targets
