"""Shapes on request: a mask with the volume, axes and sphericity asked for, its irregularity learned from real tumors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.errors import GeometryError, RequestError
from TumorSynthLib.nets.shape_gan import Generator
from TumorSynthLib.shape_measure import fast_shape
from TumorSynthLib.shape_solver import Goal, Irregularity, Region, Solution, irregularity_of, region_around, solve
from TumorSynthLib.shape_targets import AXES, DIAMETERS, SEMI_AXIS, Plan, plan_shape
from TumorSynthLib.volume import Geometry, mask_box

ORGANS = {"kidney": "kidney", "abdomen": "kidney", "lung": "lung", "brain": "brain-core"}
"""Organ token of each domain's organ; organs that are not here have none and use the statistics of all."""
TOLERANCES = {"shape_VoxelVolume": 0.02, "shape_Sphericity": 0.025}
"""Relative differences between asked and measured that are not worth a warning; 5 % for all other features."""
_REACH = 1.7
"""Radius of the part of the canonical frame that can hold tumor."""


class ShapeGenerator:
    """The trained generator with the statistics of its training data.

    Parameters
    ----------
    config : of the network.
    state : its weights.
    statistics : what ``ShapeData.statistics`` returned.
    device : where it runs; noise is drawn on the CPU, so the device changes no more than rounding.
    """

    def __init__(
        self, config: ShapeConfig, state: Mapping[str, Tensor], statistics: Mapping[str, Any], device: str = "cpu"
    ) -> None:
        self.config, self.statistics, self.device = config, statistics, device
        self.network = Generator(config)
        self.network.load_state_dict({name: value.float() for name, value in state.items()})
        self.network.eval().requires_grad_(False).to(device)

    def tokens(self, features: Mapping[str, float], organ: str, voxel_volume: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Standardized values (1, T), presence (1, T) and organ index (1,) of features by their PyRadiomics names.

        PyRadiomics' sphericity carries the staircase of the voxels, the token does not; a regression on the training data
        turns one into the other.
        """
        statistics = self.statistics
        values, present = torch.zeros(1, len(self.config.tokens)), torch.zeros(1, len(self.config.tokens))
        for index, name in enumerate(self.config.tokens):
            if name not in features:
                continue
            value = float(features[name])
            if name == "shape_VoxelVolume":
                value = float(np.log(value))
            elif name == "shape_Sphericity":
                voxels = max(1.0, features.get("shape_VoxelVolume", 10_000.0) / voxel_volume)
                value = float(np.dot(statistics["smooth_sphericity"], [1.0, value, np.log(voxels)]))
            # Beyond three standard deviations the generator has seen nothing.
            values[0, index] = float(np.clip((value - statistics["mean"][index]) / statistics["std"][index], -3.0, 3.0))
            present[0, index] = 1.0
        known = organ_token(organ)
        index = self.config.organs.index(known) if known in self.config.organs else len(self.config.organs)
        return values, present, torch.tensor([index])

    @torch.no_grad()
    def field(self, features: Mapping[str, float], organ: str, seed: int, voxel_volume: float = 1.0) -> np.ndarray:
        """A canonical field (grid, grid, grid), float32, positive inside, in radii.

        Parameters
        ----------
        features : any subset of the config's tokens.
        organ : organ of a domain, or one of the config's; any other has no token.
        seed : of the noise.
        voxel_volume : mm^3 of the grid on which sphericity is going to be measured.
        """
        conditions = [tensor.to(self.device) for tensor in self.tokens(features, organ, voxel_volume)]
        vector, voxel_noise = self.network.noise(1, torch.Generator().manual_seed(seed))
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            made = self.network(vector.to(self.device), [noise.to(self.device) for noise in voxel_noise], *conditions)
        return np.asarray(made[0, 0].float().cpu().numpy())


def organ_token(organ: str) -> str:
    """The organ token of a domain's organ; names without one are returned as they are."""
    return ORGANS.get(organ, organ)


@dataclass(frozen=True, eq=False)
class ShapeResult:
    """A tumor mask and how well it obeys."""

    mask: np.ndarray
    """Boolean, on the whole grid, shape (i, j, k)."""
    measured: dict[str, float]
    """PyRadiomics shape features of the mask on the grid (a preview: volume, sphericity and axes alone)."""
    warnings: list[str] = field(default_factory=list)
    """One sentence for each feature that was missed."""


def solve_shape(
    generator: ShapeGenerator,
    targets: Mapping[str, float],
    geometry: Geometry,
    center_ras: np.ndarray,
    organ: str,
    seed: int,
    inside: np.ndarray | None = None,
    rotation: np.ndarray | None = None,
    preview: bool = False,
    alive: Callable[[], None] | None = None,
) -> ShapeResult:
    """A tumor mask with the features asked for.

    The voxel count is exact. Proportions and sphericity are reached by a closed loop on what PyRadiomics measures; what the
    grid or the other targets forbid is approached and said in ``warnings``. What was not asked for is drawn.
    The cost depends on the tumor's size in voxels, never on the scan's.

    Parameters
    ----------
    generator : the trained generator.
    targets : any subset of the 14 PyRadiomics shape features (mm, mm^2, mm^3).
    geometry : grid of the mask.
    center_ras : centroid of the tumor, RAS mm, shape (3,).
    organ : see ``ShapeGenerator.field``.
    seed : the same seed gives the same mask.
    inside : boolean, on the grid: where tumor may be.
    rotation : orientation of the principal axes as columns, RAS; drawn from the seed where None.
    preview : fewer rounds and no diameters, for a slider that moves.
    alive : called on the way; may raise to cancel.

    Raises
    ------
    GeometryError : when the center lies outside the grid.
    RequestError : when the tumor does not fit into the grid or into ``inside``.
    """
    center = np.asarray(center_ras, dtype=np.float64)
    if not geometry.contains(center):
        raise GeometryError(
            "shape.center", f"The center {center.round(1).tolist()} lies outside the image.", "Choose a point inside it."
        )
    rng = np.random.default_rng(seed)
    plan = plan_shape(targets, generator.statistics, organ_token(organ), rng)
    if rotation is None:
        rotation = random_rotation(rng)
    canonical = generator.field(plan.features, organ, seed, geometry.voxel_volume_mm3)
    voxel_radii = float(geometry.spacing.max() / np.cbrt(np.prod(plan.semi_axes)))
    irregularity = irregularity_of(canonical, generator.config.half_width, voxel_radii, rng)
    region = _region(geometry, center, rotation * plan.semi_axes, inside, _count(plan.volume, geometry))
    region, solution = _solved(targets, plan, irregularity, region, center, rotation, preview, alive)
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[region.box.slices] = solution.mask
    measured = quick_measure(solution.mask, region) if preview else measured_shape(solution.mask, region.geometry)
    return ShapeResult(mask, measured, warnings_for(targets, measured, geometry.voxel_volume_mm3))


def _solved(
    targets: Mapping[str, float],
    plan: Plan,
    irregularity: Irregularity,
    region: Region,
    center: np.ndarray,
    rotation: np.ndarray,
    preview: bool,
    alive: Callable[[], None] | None,
) -> tuple[Region, Solution]:
    """Run the closed loop, once more with other axes or volume where the first result asks for it."""
    bounded = region.allowed is not None and not bool(region.allowed.all())
    goal = Goal(
        count=_count(plan.volume, region.geometry),
        center=None if bounded else center,
        semi_axes=plan.semi_axes if plan.axes_fixed else None,
        excess=_excess(targets),
        rounds=2 if preview else 4 if plan.axes_fixed else 3,
        searches=4 if preview else 8,
        alive=alive,
    )
    axes = plan.semi_axes
    solution = solve(irregularity, region, goal, rotation * axes, center)
    for _ in range(0 if preview else 4):
        if abs(solution.excess) > 5 * goal.tolerance and not plan.axes_fixed:
            # The drawn proportions are in the way of the sphericity asked for: rounder, or longer.
            power = 0.6 if solution.excess < 0 else 1.5
            axes = np.exp(np.log(axes).mean() + power * (np.log(axes) - np.log(axes).mean()))
        elif plan.diameter is not None and (scale := _diameter_scale(plan.diameter, solution.mask, region)) != 1.0:
            axes = np.sort(axes * np.array([scale, scale**-0.5, scale**-0.5]))[::-1]
            goal = replace(goal, semi_axes=axes)
        elif "shape_MeshVolume" in targets and "shape_VoxelVolume" not in targets:
            missing = targets["shape_MeshVolume"] / max(region.surface(solution.mask)[1], 1e-6)
            count = min(max(1, round(goal.count * missing)), region.capacity)
            if abs(count - goal.count) <= 0.002 * goal.count:
                break
            goal = replace(goal, count=count)
        else:
            break
        solution = solve(irregularity, region, goal, rotation * axes, center)
    return region, solution


def _count(volume: float, geometry: Geometry) -> int:
    return max(1, round(volume / geometry.voxel_volume_mm3))


def _region(geometry: Geometry, center: np.ndarray, matrix: np.ndarray, inside: np.ndarray | None, count: int) -> Region:
    """A region with room for the tumor."""
    available = int(np.prod(geometry.shape)) if inside is None else int(np.count_nonzero(inside))
    if available < count:
        unit = geometry.voxel_volume_mm3 / 1000.0
        raise RequestError(
            "shape.too_large",
            f"The tumor of {count * unit:.3g} mL does not fit: there is room for {available * unit:.3g} mL.",
            "Ask for a smaller volume, or allow a larger region.",
        )
    reach = _REACH
    while (region := region_around(geometry, center, matrix, reach, inside)).capacity < count:
        reach *= 1.5
    return region


def _excess(targets: Mapping[str, float]) -> Callable[[float, float], float] | None:
    """How much too smooth a surface is, from mesh area and mesh volume; None where nothing about the surface was asked."""
    if "shape_Sphericity" in targets:
        wanted = targets["shape_Sphericity"]
        return lambda area, volume: np.cbrt(36.0 * np.pi * volume**2) / max(area, 1e-9) - wanted
    if "shape_SurfaceArea" in targets:
        asked = targets["shape_SurfaceArea"]
        return lambda area, volume: float(np.log(asked / max(area, 1e-9)))
    if "shape_SurfaceVolumeRatio" in targets:
        ratio = targets["shape_SurfaceVolumeRatio"]
        return lambda area, volume: float(np.log(ratio * max(volume, 1e-9) / max(area, 1e-9)))
    return None


def _diameter_scale(wanted: float, mask: np.ndarray, region: Region) -> float:
    """By how much the major axis must grow for the largest diameter; 1 where it is right to 2 %."""
    measured = measured_shape(mask, region.geometry).get("shape_Maximum3DDiameter", wanted)
    scale = float(np.clip(wanted / max(measured, 1e-6), 0.6, 1.6))
    return 1.0 if abs(scale - 1.0) < 0.02 else scale


def measured_shape(mask: np.ndarray, geometry: Geometry) -> dict[str, float]:
    """All shape features, or the volume alone where a single voxel has no others."""
    if int(mask.sum()) < 2:
        return {"shape_VoxelVolume": float(mask.sum()) * geometry.voxel_volume_mm3}
    box = mask_box(mask)
    return fast_shape(mask[box.slices], geometry.cropped(box))


def quick_measure(mask: np.ndarray, region: Region) -> dict[str, float]:
    """Volume, sphericity and axes as PyRadiomics defines them, without its diameters."""
    area, volume = region.surface(mask)
    _, moments = region.moments(mask)
    semi_axes = np.sqrt(5.0 * np.clip(np.linalg.eigvalsh(moments)[::-1], 0.0, None))
    major = max(float(semi_axes[0]), 1e-9)
    return {
        "shape_VoxelVolume": float(mask.sum()) * region.geometry.voxel_volume_mm3,
        "shape_Sphericity": float(np.cbrt(36.0 * np.pi * volume**2) / max(area, 1e-9)),
        "shape_Elongation": float(semi_axes[1]) / major,
        "shape_Flatness": float(semi_axes[2]) / major,
        **{name: float(axis) / SEMI_AXIS for name, axis in zip(AXES, semi_axes, strict=True)},
    }


def warnings_for(targets: Mapping[str, float], measured: Mapping[str, float], voxel_volume: float) -> list[str]:
    """A sentence for each feature that was asked for and missed."""
    found = []
    for name, asked in targets.items():
        if name not in measured:
            found.append(f"{name} cannot be measured on so small a tumor.")
            continue
        slack = voxel_volume if name == "shape_VoxelVolume" else 0.0
        if abs(measured[name] - asked) > max(TOLERANCES.get(name, 0.05) * abs(asked), slack):
            hint = " Its direction on the image grid was not controlled." if name in DIAMETERS[1:] else ""
            found.append(f"{name}: {asked:.4g} was asked for, the nearest reached is {measured[name]:.4g}.{hint}")
    return found


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A uniformly random rotation matrix (QR of a Gaussian matrix)."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.sign(np.linalg.det(q))
    return np.asarray(q)
