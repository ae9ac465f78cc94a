"""Evaluates the shape stage on held-out kidney tumors: does it obey, does it vary, does it look real?"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.evaluate import shape_metrics as metrics
from TumorSynthLib.evaluate.shape_report import write_figure, write_markdown
from TumorSynthLib.feature_names import SHAPE_FEATURES
from TumorSynthLib.features import measure_shape
from TumorSynthLib.shape import ShapeGenerator, random_rotation, solve_shape
from TumorSynthLib.shape_field import Frame, ball_field, canonical_field, frame_of
from TumorSynthLib.shape_files import read_shapes
from TumorSynthLib.shape_level import mask_of_count
from TumorSynthLib.shape_solver import region_around
from TumorSynthLib.volume import Geometry, mask_box

ASKED = (
    "shape_VoxelVolume",
    "shape_Sphericity",
    "shape_Elongation",
    "shape_Flatness",
    "shape_MajorAxisLength",
    "shape_MinorAxisLength",
    "shape_LeastAxisLength",
)
"""Features asked for in the main table; the other 7 follow or not."""
SOURCE = "kits23_tumor"
ORGAN = "kidney"
DIVERSITY_CASES, DIVERSITY_SEEDS, DIVERSITY_VOXELS = 20, 10, 8000
_NOISE_WIDTH = 0.3
"""Width in radii of the band-limited noise that stands for a tumor without learning."""


@dataclass(frozen=True, eq=False)
class Case:
    """A real tumor."""

    patient: str
    mask: np.ndarray
    geometry: Geometry
    features: dict[str, float]
    frame: Frame

    def grid(self, spacing: float) -> Geometry:
        """A cube around the origin with room for any tumor with these axes."""
        size = int(np.ceil(4.0 * self.frame.semi_axes[0] / spacing)) + 8
        affine = np.diag([spacing, spacing, spacing, 1.0])
        affine[:3, 3] = -spacing * (size - 1) / 2.0
        return Geometry((size, size, size), affine)


@dataclass(frozen=True)
class NoiseShapes:
    """Band-limited noise in the generator's place."""

    config: ShapeConfig
    statistics: dict[str, Any]

    def field(self, features: dict[str, float], organ: str, seed: int, voxel_volume: float = 1.0) -> np.ndarray:
        """The ball's field plus smooth noise, strong enough for any sphericity."""
        size = self.config.grid
        white = np.random.default_rng(seed).standard_normal((size, size, size))
        smooth = ndimage.gaussian_filter(white, _NOISE_WIDTH / 2.0 * size / (2.0 * self.config.half_width), mode="wrap")
        return ball_field(size, self.config.half_width) + (0.3 * smooth / smooth.std()).astype(np.float32)


def evaluate_shape(
    data: Path,
    model: ShapeGenerator | Path,
    out: Path,
    split: str = "test",
    limit: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Write ``shape.json``, ``shape.md`` and ``shape.png`` and return what the JSON holds.

    Parameters
    ----------
    data : data folder with ``shapes/``.
    model : generator, or the folder of a training run.
    out : folder for the results.
    split : whose shapes are asked for.
    limit : use only the first cases, where given.
    progress : called with a share from 0 to 1.
    """
    generator = ShapeGenerator.from_checkpoint(model) if isinstance(model, Path) else model
    cases = _cases(data, split, limit)
    rng = np.random.default_rng(0)
    asked = _table([case.features for case in cases])
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in ("all", "volume_sphericity", "ellipsoid", "orientation")}
    surfaces: dict[str, list[np.ndarray]] = {name: [] for name in ("real", "made", "noise")}
    gallery: list[tuple[str, np.ndarray, np.ndarray]] = []
    for seed, case in enumerate(cases):
        made = _made(generator, case, ASKED, seed)
        rows["all"].append(made[1])
        rows["orientation"].append(_made(generator, case, ASKED, seed, rotation=case.frame.rotation)[1])
        rows["volume_sphericity"].append(_made(generator, case, ASKED[:2], seed)[1])
        rows["ellipsoid"].append(_ellipsoid(case, random_rotation(np.random.default_rng(seed))))
        noise = NoiseShapes(generator.config, dict(generator.statistics))
        noisy = _made(noise, case, ASKED[:4], seed, preview=True)[0]  # type: ignore[arg-type]
        for name, mask in (("real", case.mask), ("made", made[0]), ("noise", noisy)):
            surfaces[name].append(_described(mask, case.geometry.spacing, generator.config))
        if len(gallery) < 12 and 3e3 < case.features["shape_VoxelVolume"] < 3e5:
            gallery.append((f"{case.features['shape_VoxelVolume'] / 1000:.1f} mL", case.mask, made[0]))
        if progress is not None:
            progress((seed + 1) / len(cases))
    found = {name: _table(values) for name, values in rows.items()}
    found["random_patient"] = asked[_derangement([case.patient for case in cases], rng)]
    patients = np.array([case.patient for case in cases])
    result = {
        "data": {"source": SOURCE, "split": split, "shapes": len(cases), "patients": len(set(patients.tolist()))},
        "asked": list(ASKED),
        "features": list(SHAPE_FEATURES),
        "agreement": {name: _agreement(asked, found[name], patients, rng) for name in found if name != "volume_sphericity"},
        "per_feature_pcc": _per_feature(asked, found["all"], patients, rng),
        "volume_and_sphericity_alone": _errors(asked, found["volume_sphericity"], patients, rng),
        "all_asked_errors": _errors(asked, found["all"], patients, rng),
        "diversity": _diversity(generator, cases),
        "realism": _realism(surfaces, data, split, generator.config, rng),
        "targets": {"definition_c": 0.98, "definition_b": 0.95, "sphericity_pcc": 0.95, "volume_error": 0.01, "dice_below": 0.9},
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "shape.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    write_markdown(result, out / "shape.md")
    write_figure(gallery, out / "shape.png")
    return result


def _cases(data: Path, split: str, limit: int | None) -> list[Case]:
    cases = []
    for stored in islice(read_shapes(data / "shapes" / f"{SOURCE}_{split}.npz"), limit):
        geometry = Geometry(stored.mask.shape, np.diag([*stored.spacing, 1.0]))
        box = mask_box(stored.mask)
        features = measure_shape(stored.mask[box.slices], geometry.cropped(box))
        cases.append(Case(stored.patient, stored.mask, geometry, features, frame_of(stored.mask, stored.spacing)))
    return cases


def _made(
    generator: ShapeGenerator, case: Case, names: tuple[str, ...], seed: int, rotation: np.ndarray | None = None, preview: bool = False
) -> tuple[np.ndarray, dict[str, float]]:
    """Mask (cropped, two empty voxels around) and measured features of a tumor with some features of a real one."""
    grid = case.grid(float(case.geometry.spacing[0]))
    targets = {name: case.features[name] for name in names}
    result = solve_shape(generator, targets, grid, np.zeros(3), ORGAN, seed, rotation=rotation, preview=preview)
    return np.pad(result.mask[mask_box(result.mask).slices], 2), result.measured


def _ellipsoid(case: Case, rotation: np.ndarray) -> dict[str, float]:
    """Features of the ellipsoid with the real volume and axes."""
    matrix = rotation * case.frame.semi_axes
    region = region_around(case.grid(float(case.geometry.spacing[0])), np.zeros(3), matrix, 1.5, None)
    values = -np.linalg.norm(region.canonical(matrix, np.zeros(3)), axis=-1)
    return measure_shape(mask_of_count(values, int(case.mask.sum())), region.geometry)


def _described(mask: np.ndarray, spacing: np.ndarray, config: ShapeConfig) -> np.ndarray:
    field, _ = canonical_field(mask, spacing, config.grid, config.half_width)
    return metrics.descriptor(field, config.half_width)


def _table(rows: list[dict[str, float]]) -> np.ndarray:
    return np.array([[row[name] for name in SHAPE_FEATURES] for row in rows])


def _derangement(patients: list[str], rng: np.random.Generator) -> np.ndarray:
    """For each row another patient's row."""
    order = np.arange(len(patients))
    for index, patient in enumerate(patients):
        others = [other for other, name in enumerate(patients) if name != patient]
        order[index] = rng.choice(others) if others else index
    return order


def _agreement(asked: np.ndarray, found: np.ndarray, patients: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Definitions B and C, and sphericity alone, with 95 % intervals."""
    sphericity = SHAPE_FEATURES.index("shape_Sphericity")
    b, c = metrics.definition_b(asked, found), metrics.definition_c(asked, found)
    std, mean = asked.std(axis=0) + 1e-12, asked.mean(axis=0)
    within = np.array([metrics.pearson((x - mean) / std, (y - mean) / std) for x, y in zip(asked, found, strict=True)])
    return {
        "definition_c": c,
        "definition_c_pcc_interval": metrics.interval(lambda i: metrics.definition_c(asked[i], found[i])["pcc"], patients, rng),
        "definition_c_scc_interval": metrics.interval(lambda i: metrics.definition_c(asked[i], found[i])["scc"], patients, rng, 200),
        "definition_b": b,
        "definition_b_pcc_interval": metrics.interval(lambda i: float(within[i].mean()), patients, rng),
        "sphericity_pcc": metrics.pearson(asked[:, sphericity], found[:, sphericity]),
        "sphericity_pcc_interval": metrics.interval(
            lambda i: metrics.pearson(asked[i, sphericity], found[i, sphericity]), patients, rng
        ),
    }


def _per_feature(asked: np.ndarray, found: np.ndarray, patients: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    table = {}
    for index, name in enumerate(SHAPE_FEATURES):
        a, b = asked[:, index], found[:, index]
        ends = metrics.interval(lambda i, a=a, b=b: metrics.pearson(a[i], b[i]), patients, rng, 200)  # type: ignore[misc]
        table[name] = {"pcc": metrics.pearson(a, b), "scc": metrics.spearman(a, b), "pcc_interval": ends}
    return table


def _errors(asked: np.ndarray, found: np.ndarray, patients: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Relative volume error and absolute sphericity error."""
    volume, sphericity = SHAPE_FEATURES.index("shape_VoxelVolume"), SHAPE_FEATURES.index("shape_Sphericity")
    relative = np.abs(found[:, volume] / asked[:, volume] - 1.0)
    absolute = np.abs(found[:, sphericity] - asked[:, sphericity])
    return {
        "volume_error_median": float(np.median(relative)),
        "volume_error_max": float(relative.max()),
        "sphericity_mae": float(absolute.mean()),
        "sphericity_mae_interval": metrics.interval(lambda i: float(absolute[i].mean()), patients, rng),
        "sphericity_error_max": float(absolute.max()),
    }


def _diversity(generator: ShapeGenerator, cases: list[Case]) -> dict[str, Any]:
    """Mean pairwise Dice of tumors made with different seeds for the same features, centroids aligned."""
    chosen = cases[:: max(1, len(cases) // DIVERSITY_CASES)][:DIVERSITY_CASES]
    dice: dict[str, list[float]] = {"same_orientation": [], "random_orientation": []}
    for case in chosen:
        grid = case.grid(float(np.cbrt(case.features["shape_VoxelVolume"] / DIVERSITY_VOXELS)))
        targets = {name: case.features[name] for name in ASKED[:4]}
        for kind, rotation in (("same_orientation", np.eye(3)), ("random_orientation", None)):
            masks = [
                solve_shape(generator, targets, grid, np.zeros(3), ORGAN, seed, rotation=rotation, preview=True).mask
                for seed in range(DIVERSITY_SEEDS)
            ]
            dice[kind].append(metrics.mean_pairwise_dice(masks))
    return {
        "cases": len(chosen),
        "seeds": DIVERSITY_SEEDS,
        "voxels": DIVERSITY_VOXELS,
        **{f"dice_{kind}": float(np.mean(values)) for kind, values in dice.items()},
    }


def _realism(
    surfaces: dict[str, list[np.ndarray]], data: Path, split: str, config: ShapeConfig, rng: np.random.Generator
) -> dict[str, Any]:
    """Energy distance of surface descriptors to those of the real test shapes; real training shapes give the reference."""
    sets = {name: np.array(values) for name, values in surfaces.items()}
    other = data / "shapes" / f"{SOURCE}_train.npz"
    if other.exists() and split != "train":
        stored = list(read_shapes(other))
        picked = rng.choice(len(stored), min(len(stored), len(sets["real"])), replace=False)
        sets["other_real"] = np.array([_described(stored[i].mask, stored[i].spacing, config) for i in picked])
    mean, std = sets["real"].mean(axis=0), sets["real"].std(axis=0) + 1e-9
    scaled = {name: (values - mean) / std for name, values in sets.items()}
    distance = {name: metrics.energy_distance(values, scaled["real"]) for name, values in scaled.items() if name != "real"}
    return {
        "descriptor": "log power in 6 bands and 4 curvature statistics of the whitened signed distance field",
        "energy_distance_to_real": distance,
        "mean_z": {name: values.mean(axis=0).round(3).tolist() for name, values in scaled.items()},
    }
