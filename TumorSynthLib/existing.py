"""A tumor that is already in the scan: its texture, and its mask moved, grown or reshaped."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage

from TumorSynthLib.configs import TEXTURE_TOKENS
from TumorSynthLib.errors import GeometryError, RequestError
from TumorSynthLib.features import measure_texture
from TumorSynthLib.scene import Scene
from TumorSynthLib.shape import ShapeGenerator, solve_shape
from TumorSynthLib.shape_field import frame_of
from TumorSynthLib.shape_level import mask_of_count
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.shape_targets import kept_targets
from TumorSynthLib.volume import Geometry, mask_box

_SMOOTH = 0.7
"""Voxels by which a distance field is smoothed before a level of it is taken, so that staircases do not grow with it."""


def tumor_texture(scene: Scene, mask: np.ndarray) -> dict[str, float]:
    """Measured values of the features that the networks know, in domain values."""
    box = mask_box(mask)
    u = scene.intensity.normalize(scene.scan.array[box.slices])
    measured = measure_texture(u, mask[box.slices], scene.scan.geometry.cropped(box), scene.domain.radiomics)
    return {name: measured[name] for name in TEXTURE_TOKENS if name in measured}


def centroid(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Centroid of a mask, RAS mm."""
    box = mask_box(mask)
    return geometry.to_ras(np.argwhere(mask[box.slices]).mean(axis=0) + np.array(box.start))


def reshaped(
    mask: np.ndarray,
    scene: Scene,
    targets: Mapping[str, float],
    generator: ShapeGenerator,
    seed: int,
    alive: Callable[[], None] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """A tumor of another form at the same place and along the same axes.

    What is not asked for stays as measured: the volume unless a size is asked for, sphericity, elongation and flatness unless
    features are asked for that decide them.
    """
    geometry, box = scene.scan.geometry, mask_box(mask)
    complete = kept_targets(targets, measure_mask(mask, geometry))
    # The frame is found in voxel axes; their directions turn it into RAS.
    directions = geometry.affine[:3, :3] / geometry.spacing
    rotation = directions @ frame_of(mask[box.slices], geometry.spacing).rotation
    result = solve_shape(
        generator, complete, geometry, centroid(mask, geometry), scene.domain.organ, seed, scene.allowed, rotation, alive=alive
    )
    return result.mask, result.warnings


def moved(mask: np.ndarray, scene: Scene, to: np.ndarray) -> np.ndarray:
    """The same mask with its centroid elsewhere; voxel count and form are kept.

    Raises
    ------
    GeometryError : when part of it would lie outside the scan or the allowed region.
    """
    geometry = scene.scan.geometry
    box = mask_box(mask)
    shift = geometry.to_ijk(np.asarray(to)) - geometry.to_ijk(centroid(mask, geometry))
    start = np.floor(np.array(box.start) + shift).astype(int) - 2
    stop = start + np.array(box.shape) + 5
    field = np.pad(_distance(mask[box.slices], geometry.spacing), 6, mode="edge")
    target = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(start, stop, strict=True)), indexing="ij"))
    source = target - (np.array(box.start) - _PAD - 6 + shift).reshape(3, 1, 1, 1)
    values = ndimage.map_coordinates(field, source, order=1, mode="nearest").astype(np.float32)
    inner = mask_of_count(values, int(mask.sum()))
    result = np.zeros(mask.shape, dtype=bool)
    places = np.argwhere(inner) + start
    inside = np.all((places >= 0) & (places < np.array(mask.shape)), axis=1)
    if inside.all():
        result[tuple(places.T)] = True
    if not inside.all() or (scene.allowed is not None and (result & ~scene.allowed).any()):
        raise no_room(to)
    return result


def no_room(to: np.ndarray) -> GeometryError:
    """The error for a tumor that does not fit at a point, RAS mm."""
    message = f"Around {np.round(to, 1).tolist()} (RAS mm) part of the tumor would lie outside the scan or the region."
    return GeometryError("geometry.move", message, "Choose a point farther inside, or make the tumor smaller first.")


def grown(mask: np.ndarray, scene: Scene, volume_mm3: float) -> np.ndarray:
    """The tumor at another volume: a level of the distance to its surface, so that its form remains recognizable.

    Raises
    ------
    RequestError : when there is no room for the volume in the scan or the region.
    """
    geometry = scene.scan.geometry
    count = max(1, round(volume_mm3 / geometry.voxel_volume_mm3))
    radius = (3.0 * volume_mm3 / (4.0 * np.pi)) ** (1.0 / 3.0)
    box = mask_box(mask).expanded(1.5 * radius / geometry.spacing + 3, mask.shape)
    part = mask[box.slices]
    field = _distance(part, geometry.spacing, pad=0)
    if scene.allowed is not None:
        field = np.where(scene.allowed[box.slices], field, -np.inf)
    if int(np.isfinite(field).sum()) < count:
        raise RequestError(
            "request.volume", f"There is no room for {volume_mm3 / 1000.0:g} mL around this tumor.", "Ask for less."
        )
    result = np.zeros(mask.shape, dtype=bool)
    result[box.slices] = mask_of_count(field.astype(np.float32), count)
    return result


_PAD = 3
"""Voxels around a mask that its distance field covers."""


def _distance(mask: np.ndarray, spacing: np.ndarray, pad: int = _PAD) -> np.ndarray:
    """Signed distance to the surface in mm, positive inside, slightly smoothed, with ``pad`` voxels around the mask."""
    wide = np.pad(mask, pad)
    steps = tuple(float(step) for step in spacing)
    inside = ndimage.distance_transform_edt(np.pad(wide, 1), sampling=steps)[1:-1, 1:-1, 1:-1]
    outside = ndimage.distance_transform_edt(~wide, sampling=steps)
    half = 0.5 * min(steps)
    return np.asarray(ndimage.gaussian_filter(np.where(wide, inside - half, half - outside), _SMOOTH))
