"""Where the core of a tumor lies: made anew inside it, or carried along when the tumor changes its form."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import ndimage

from TumorSynthLib.existing import centroid
from TumorSynthLib.feature_names import SHAPE_ALIASES
from TumorSynthLib.shape import ShapeGenerator, solve_shape
from TumorSynthLib.shape_field import Frame, frame_of
from TumorSynthLib.shape_level import mask_of_count
from TumorSynthLib.volume import Geometry, mask_box

SHARE = 0.3
"""Share of the tumor's volume that a core has where nobody asked for another: about the median of tumors with labeled cores
whose core is not the whole."""
_CROSS = ndimage.generate_binary_structure(3, 1)


def new_core(
    whole: np.ndarray,
    geometry: Geometry,
    asked: Mapping[str, Any],
    generator: ShapeGenerator,
    organ: str,
    seed: int,
    alive: Callable[[], None] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """A core inside a tumor, and what could not be met.

    It has its own irregularity, along the tumor's axes. One voxel of the rest is left around it wherever there is room.

    Parameters
    ----------
    whole : the tumor, bool (i, j, k).
    geometry : its grid.
    asked : the request's ``core``: ``share`` of the tumor's volume, or ``shape`` features.
    generator : of shapes.
    organ : of the domain.
    seed : of everything random.
    alive : called on the way; may raise to cancel.

    Raises
    ------
    RequestError : when the core does not fit into the tumor.
    """
    box = mask_box(whole).expanded(np.full(3, 1), geometry.shape)
    part, grid = whole[box.slices], geometry.cropped(box)
    factors = {"volume_ml": 1000.0}
    targets = {SHAPE_ALIASES.get(name, name): value * factors.get(name, 1.0) for name, value in asked.get("shape", {}).items()}
    if not any(name.endswith(("Volume", "AxisLength", "Diameter", "SurfaceArea")) for name in targets):
        targets["shape_VoxelVolume"] = asked.get("share", SHARE) * float(part.sum()) * geometry.voxel_volume_mm3
    frame = frame_of(part, grid.spacing)
    proportions = {"shape_Elongation": 1, "shape_Flatness": 2}
    if not targets.keys() & {*proportions, "shape_MinorAxisLength", "shape_LeastAxisLength", "shape_MajorAxisLength"}:
        targets |= {name: float(frame.semi_axes[axis] / frame.semi_axes[0]) for name, axis in proportions.items()}
    count = targets.get("shape_VoxelVolume", 0.0) / geometry.voxel_volume_mm3
    inner = ndimage.binary_erosion(part, _CROSS)
    allowed = inner if inner.sum() >= count else part
    rotation = geometry.affine[:3, :3] / geometry.spacing @ frame.rotation
    result = solve_shape(generator, targets, grid, _middle(part, grid), organ, seed, allowed, rotation, alive=alive)
    core = np.zeros_like(whole)
    core[box.slices] = result.mask
    return core, [f"Core: {warning}" for warning in result.warnings]


def carried_core(old: np.ndarray, core: np.ndarray, new: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The core of a tumor that has changed its form or place: at the same place between its axes, with the same share.

    Parameters
    ----------
    old, core : the tumor and its core as they were, bool (i, j, k).
    new : the tumor as it is.
    geometry : grid of all.
    """
    before, after = (_frame(mask, geometry) for mask in (old, new))
    # Axes of nearly equal length may change places; the core must not turn with them.
    order, signs = _kept_turn(before.rotation, after.rotation)
    source = mask_box(core).expanded(np.full(3, 3), geometry.shape)
    depth = _signed_distance(core[source.slices], geometry.spacing)
    box = mask_box(new)
    points = np.indices(box.shape).reshape(3, -1).T * geometry.spacing + np.array(box.start) * geometry.spacing
    scale = before.semi_axes / after.semi_axes[order]
    local = ((points - after.center) @ after.rotation)[:, order] * signs * scale
    there = (local @ before.rotation.T + before.center) / geometry.spacing - np.array(source.start)
    values = ndimage.map_coordinates(depth, there.T, order=1, mode="nearest").reshape(box.shape)
    # Outside the box of the old core its distance field goes on falling.
    beyond = (there - np.clip(there, 0, np.array(depth.shape) - 1)) * geometry.spacing
    values -= np.linalg.norm(beyond, axis=1).reshape(box.shape)
    count = max(1, round(float(core.sum()) / float(old.sum()) * float(new.sum())))
    result = np.zeros_like(new)
    result[box.slices] = mask_of_count(np.where(new[box.slices], values, -np.inf).astype(np.float32), count)
    return result


def _kept_turn(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each axis of one frame the axis of another that continues it, and 1 or -1 for its direction."""
    alike = before.T @ after
    order = np.argmax(np.abs(alike), axis=1)
    if len(set(order.tolist())) < 3:  # turned by 45 degrees: the order by length is all that is left
        order = np.arange(3)
    return order, np.where(alike[np.arange(3), order] < 0.0, -1.0, 1.0)


def _frame(mask: np.ndarray, geometry: Geometry) -> Frame:
    """The frame of a mask in mm along the grid's axes, from its first voxel."""
    box = mask_box(mask)
    frame = frame_of(mask[box.slices], geometry.spacing)
    return Frame(frame.center + np.array(box.start) * geometry.spacing, frame.rotation, frame.semi_axes)


def _signed_distance(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    steps = tuple(float(step) for step in spacing)
    inside = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=steps)[1:-1, 1:-1, 1:-1]
    return np.asarray(inside - ndimage.distance_transform_edt(~mask, sampling=steps), np.float64)


def _middle(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The centroid of a mask, or its deepest voxel where the centroid lies outside, RAS mm."""
    middle = centroid(mask, geometry)
    at = np.rint(geometry.to_ijk(middle)).astype(int)
    if mask[tuple(at)]:
        return middle
    steps = tuple(float(step) for step in geometry.spacing)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=steps)[1:-1, 1:-1, 1:-1]
    return geometry.to_ras(np.array(np.unravel_index(int(np.argmax(depth)), depth.shape)))
