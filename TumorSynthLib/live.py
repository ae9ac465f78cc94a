"""The shape that a request would make, while a slider moves: fast, without texture, and nothing is written.

Of the scan only its grid is read. Large tumors are shaped on a coarser grid, so that the time does not depend on their size.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.existing import no_room
from TumorSynthLib.interruptible import interruptible
from TumorSynthLib.json_checks import Point
from TumorSynthLib.live_files import Boxed, LiveFiles
from TumorSynthLib.placing import box_of, handmade_placed, organ_of, place_alone, place_of, placed_targets
from TumorSynthLib.protocol import Request, shape_targets
from TumorSynthLib.scene import inside_box
from TumorSynthLib.shape import ShapeGenerator, measured_shape, organ_token, solve_shape
from TumorSynthLib.shape_targets import kept_targets, plan_shape
from TumorSynthLib.volume import Box, Geometry, Volume, mask_box

MOST_VOXELS = 20_000
"""About as many voxels a tumor has at most; of a larger one, several voxels of the scan are taken together."""
_ALONE = 1023
"""Voxels of 1 mm along the grid of a shape without a scan; there is one in the middle."""
_REACH = 1.7
"""Major semi-axes around the center that the first grid covers."""


@dataclass(frozen=True, eq=False)
class LiveShape:
    """A tumor's mask and its features."""

    mask: Volume
    """The mask, bool, on a grid that ends where it ends."""
    measured: dict[str, float]
    """Shape features by PyRadiomics name: of a new shape volume, sphericity and axes, of one that is kept all."""
    warnings: list[str] = field(default_factory=list)
    """One sentence for each feature that was missed."""


class LiveShapes:
    """Makes the shapes of one bundle.

    Parameters
    ----------
    bundle : names the domains.
    generator : the bundle's shape generator.
    """

    def __init__(self, bundle: Bundle, generator: ShapeGenerator) -> None:
        self.bundle, self.generator = bundle, generator
        self._files = LiveFiles()
        self._alive: Callable[[], None] = lambda: None

    def shape(self, request: Request, alive: Callable[[], None] = lambda: None) -> LiveShape:
        """The shape of an ``insert``, ``edit``, ``move`` or ``shape``.

        The domain ``auto`` would have to read the scan; so where none is named, the shape is that of any organ.

        Parameters
        ----------
        request : with ``preview``.
        alive : called while files are read; may raise to cancel.

        Raises
        ------
        TumorSynthError : with what was found, what was expected and what to do.
        """
        self._alive = alive
        geometry = self._geometry(request)
        if request.method == "flow" and request.op == "insert":
            # The mask is made with the texture, so all that is known is where it will be.
            return self._boxed(box_of(request), geometry)
        if request.handmade is not None:
            return interruptible(lambda: self._handmade(request, geometry), self._alive)
        painted = None if request.mask is None else self._mask(request.mask, _labels(request), geometry)
        if painted is None or (request.op == "insert" and request.shape):
            volume = None if painted is None else painted.volume
            center = place_of(request, geometry, volume)
            return self._solved(request, geometry, placed_targets(request, volume), center, None)
        if request.op == "move":
            return self._moved(request, geometry, painted)
        if request.op == "edit" and request.shape:
            targets = kept_targets(shape_targets(request), painted.measured)
            return self._solved(request, geometry, targets, painted.center, painted.rotation)
        return LiveShape(painted.volume, painted.measured)

    def _boxed(self, box: tuple[Point, Point], geometry: Geometry) -> LiveShape:
        """The box, on a grid that is as coarse as that of a tumor of its size."""
        low, high = np.array(box)
        steps = _steps(float(np.prod(high - low)), geometry.spacing)
        # Voxels thicker than the box could miss it.
        steps = np.minimum(steps, np.maximum(1, np.floor((high - low).min() / geometry.spacing))).astype(int)
        part = _Part.around(geometry, steps, 0.5 * (low + high), 0.5 * float(np.linalg.norm(high - low)))
        return LiveShape(Volume(inside_box(box, part.geometry, None), part.geometry), {})

    def _mask(self, path: str, labels: tuple[int, ...], geometry: Geometry) -> Boxed:
        return self._files.mask(path, labels, geometry, self._alive)

    def _geometry(self, request: Request) -> Geometry:
        if request.image is not None:
            return self._files.geometry(request.image, self._alive)
        affine = np.eye(4)
        affine[:3, 3] = np.array(request.at if request.at is not None else (0.0, 0.0, 0.0)) - _ALONE // 2
        return Geometry((_ALONE, _ALONE, _ALONE), affine)

    def _handmade(self, request: Request, geometry: Geometry) -> LiveShape:
        """A hand-made shape on the scan's own voxels, on which its place depends."""
        if request.image is None:
            new = place_alone(request, self.generator, organ_of(request, self.bundle.domains))
        elif request.region is None:
            new = handmade_placed(request, geometry, None)
        else:
            region = self._mask(request.region, (request.region_label,), geometry).volume
            new = handmade_placed(request, region.geometry, region.array)
        mask = new.mask.cropped(mask_box(new.mask.array))
        return LiveShape(mask, measured_shape(mask.array, mask.geometry), new.warnings)

    def _solved(
        self,
        request: Request,
        geometry: Geometry,
        targets: Mapping[str, float],
        center: np.ndarray,
        rotation: np.ndarray | None,
    ) -> LiveShape:
        """A new shape around a center."""
        organ = organ_of(request, self.bundle.domains)
        # The plan that ``solve_shape`` is going to make, from the same draws.
        rng = np.random.default_rng(request.seed)
        plan = plan_shape(targets, self.generator.statistics, organ_token(organ), rng)
        steps = _steps(plan.volume, geometry.spacing)
        count = plan.volume / (geometry.voxel_volume_mm3 * float(np.prod(steps)))
        reach = _REACH * float(plan.semi_axes[0])
        while True:
            part = _Part.around(geometry, steps, center, reach)
            inside = self._inside(request, geometry, part)
            room = np.prod(part.geometry.shape) if inside is None else inside.sum()
            if room >= count or part.whole:
                break
            reach *= 1.5
        with _one_thread():
            result = solve_shape(
                self.generator, targets, part.geometry, center, organ, request.seed, inside, rotation, preview=True
            )
        mask = Volume(result.mask, part.geometry).cropped(mask_box(result.mask))
        return LiveShape(mask, result.measured, result.warnings)

    def _inside(self, request: Request, geometry: Geometry, part: "_Part") -> np.ndarray | None:
        """Where a tumor may be, on the part; None for everywhere."""
        inside = None
        if request.region is not None:
            region = self._mask(request.region, (request.region_label,), geometry)
            inside = _sampled(region, part.scan_indices(geometry))
        if request.box is not None:
            within = _box_mask(request.box, part.geometry)
            inside = within if inside is None else inside & within
        return inside

    def _moved(self, request: Request, geometry: Geometry, painted: Boxed) -> LiveShape:
        """The painted voxels at their new place; to the scan's own voxels they are brought when the scan is edited."""
        assert request.to is not None
        offset = np.array(request.to) - painted.center
        affine = painted.volume.geometry.affine.copy()
        affine[:3, 3] += offset
        moved = Volume(painted.volume.array, Geometry(painted.volume.geometry.shape, affine))
        voxels = np.rint(geometry.to_ijk(moved.geometry.to_ras(np.argwhere(moved.array)))).astype(int)
        free = bool(np.all((voxels >= 0) & (voxels < np.array(geometry.shape))))
        if free and request.region is not None:
            region = self._mask(request.region, (request.region_label,), geometry)
            local = voxels - np.array(region.box.start)
            free = bool(np.all((local >= 0) & (local < np.array(region.box.shape))))
            free = free and bool(region.volume.array[tuple(local.T)].all())
        if not free:
            raise no_room(np.array(request.to))
        return LiveShape(moved, painted.measured)


@dataclass(frozen=True, eq=False)
class _Part:
    """A part of a scan's grid, several voxels taken together along each axis."""

    geometry: Geometry
    """Its own grid."""
    start: np.ndarray
    """First voxel of the part on the coarser grid, shape (3,)."""
    steps: np.ndarray
    """Voxels of the scan along each edge of one of its voxels, shape (3,)."""
    whole: bool
    """Whether it is the whole scan."""

    @classmethod
    def around(cls, geometry: Geometry, steps: np.ndarray, center: np.ndarray, reach_mm: float) -> "_Part":
        """The part within some distance of a point, and two voxels more."""
        affine = geometry.affine.copy()
        affine[:3, :3] *= steps
        affine[:3, 3] = geometry.to_ras((steps - 1) / 2.0)
        shape = -(-np.array(geometry.shape) // steps)
        coarse = Geometry(tuple(shape.tolist()), affine)
        middle, extent = coarse.to_ijk(center), reach_mm / coarse.spacing + 3.0
        start = np.clip(np.floor(middle - extent).astype(int), 0, shape - 1)
        stop = np.clip(np.ceil(middle + extent).astype(int) + 1, start + 1, shape)
        box = Box(tuple(start.tolist()), tuple(stop.tolist()))
        return cls(coarse.cropped(box), start, steps, box.shape == coarse.shape)

    def scan_indices(self, geometry: Geometry) -> list[np.ndarray]:
        """For each axis the voxels of the scan that stand for those of the part."""
        sizes = zip(self.geometry.shape, self.start, self.steps, geometry.shape, strict=True)
        return [np.minimum((start + np.arange(n)) * step + step // 2, size - 1) for n, start, step, size in sizes]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch work in one thread. On so small grids others gain a few milliseconds, but where the cores are busy with the
    picture on the screen, one waits for the other for a tenth of a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _steps(volume_mm3: float, spacing: np.ndarray) -> np.ndarray:
    """How many voxels are taken together along each axis, so that a tumor has few and they are about isotropic."""
    wanted = np.cbrt(volume_mm3 / MOST_VOXELS)
    return np.maximum(1, np.ceil(wanted / spacing - 0.1)).astype(int)


def _labels(request: Request) -> tuple[int, ...]:
    """Labels that are the tumor: its own, and that of its core."""
    core = (request.core or {}).get("label")
    return (request.label,) if core is None else (request.label, int(core))


def _sampled(mask: Boxed, indices: list[np.ndarray]) -> np.ndarray:
    """A mask at the crossings of some planes of the scan's grid, bool."""
    local = [index - start for index, start in zip(indices, mask.box.start, strict=True)]
    there = [(index >= 0) & (index < n) for index, n in zip(local, mask.box.shape, strict=True)]
    result = np.zeros(tuple(len(index) for index in indices), dtype=bool)
    inner = [index[inside] for index, inside in zip(local, there, strict=True)]
    result[np.ix_(*there)] = mask.volume.array[np.ix_(*inner)]
    return result


def _box_mask(corners: tuple[tuple[float, ...], tuple[float, ...]], geometry: Geometry) -> np.ndarray:
    """Voxels whose centers lie in a box along R, A and S, bool."""
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    i, j, k = (np.arange(n)[:, None] * geometry.affine[:3, axis] for axis, n in enumerate(geometry.shape))
    places = i[:, None, None] + j[None, :, None] + k[None, None] + geometry.affine[:3, 3]
    return np.asarray(((places >= low) & (places <= high)).all(axis=-1))
