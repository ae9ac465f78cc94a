"""Evaluates the shape stage on held-out kidney tumors: does it obey, does it vary, does it look real?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.evaluate import shape_metrics as metrics
from TumorSynthLib.evaluate.agreement import Comparison, mean_estimate
from TumorSynthLib.evaluate.order import Findings, Order
from TumorSynthLib.evaluate.shape_report import Pair, shape_figure, shape_text
from TumorSynthLib.feature_names import SHAPE_FEATURES
from TumorSynthLib.placing import shape_model
from TumorSynthLib.shape import ShapeGenerator, random_rotation, solve_shape
from TumorSynthLib.shape_field import Frame, ball_field, canonical_field, frame_of
from TumorSynthLib.shape_files import read_shapes
from TumorSynthLib.shape_level import mask_of_count
from TumorSynthLib.shape_measure import fast_shape
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
ARMS = ("drawn_orientation", "volume_and_sphericity", "ellipsoid")
"""Tumors made for every case; in ``volume_and_sphericity`` only these two are asked for, ``ellipsoid`` is a null."""
SOURCE = "kits23_tumor"
ORGAN = "kidney"
DIVERSITY_CASES, DIVERSITY_SEEDS, DIVERSITY_VOXELS = 20, 10, 8000
TARGETS = {"definition_c": 0.98, "definition_b": 0.95, "sphericity_pcc": 0.95, "volume_error": 0.01, "dice_below": 0.9}
"""What the project asks of itself."""
PROTOCOL = f"""{SOURCE} masks of the split, 1 mm grid, one tumor per request (N = 1). PyRadiomics features of the result against
those of the real tumor whose volume, sphericity, elongation, flatness and axis lengths were asked for. C: per feature across
cases, mean over {len(SHAPE_FEATURES)} features; B: within case, z-scored. In brackets 95 % intervals over resampled patients.
Nulls: ellipsoid, the right volume and axes without learning; random_patient, another patient's tumor."""
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


def shape_findings(order: Order) -> Findings:
    """The shape table of a bundle: do its shapes obey, do they vary, do they look real?"""
    generator = shape_model(order.bundle)
    cases = _cases(order.data, order.split, order.limit)
    made = _Made(generator)
    for seed, case in enumerate(cases):
        made.add(case, seed)
        order.report("shapes", (seed + 1) / len(cases))
    arms, features, entries = _agreement(cases, made.rows)
    summary = {
        "arms": arms,
        "per_feature": features,
        "diversity": _diversity(generator, cases),
        "realism": _realism(made.surfaces, order.data, order.split, generator.config),
        "data": {
            "source": SOURCE,
            "organ": ORGAN,
            "split": order.split,
            "shapes": len(cases),
            "patients": len({case.patient for case in cases}),
        },
        "asked": list(ASKED),
        "targets": TARGETS,
    }
    size = (max(8.0, 1.6 * len(made.gallery)), 6.4)
    draw = partial(_draw, made.gallery)
    return Findings(PROTOCOL, entries, summary, shape_text, draw, size)


def _draw(gallery: Sequence[Pair], figure: Any, cases: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """The figure shows masks, which no JSON holds."""
    shape_figure(figure, gallery)


class _Made:
    """Everything made for the cases so far."""

    def __init__(self, generator: ShapeGenerator) -> None:
        self.generator = generator
        self.noise = NoiseShapes(generator.config, dict(generator.statistics))
        self.rows: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
        self.surfaces: dict[str, list[np.ndarray]] = {name: [] for name in ("real", "made", "noise")}
        self.gallery: list[tuple[str, np.ndarray, np.ndarray]] = []

    def add(self, case: Case, seed: int) -> None:
        """Make the tumors of every arm for one case."""
        mask, measured = _made(self.generator, case, ASKED, seed)
        self.rows["drawn_orientation"].append(measured)
        self.rows["volume_and_sphericity"].append(_made(self.generator, case, ASKED[:2], seed)[1])
        self.rows["ellipsoid"].append(_ellipsoid(case, random_rotation(np.random.default_rng(seed))))
        noisy = _made(self.noise, case, ASKED[:4], seed, preview=True)[0]  # type: ignore[arg-type]
        for name, found in (("real", case.mask), ("made", mask), ("noise", noisy)):
            self.surfaces[name].append(_described(found, case.geometry.spacing, self.generator.config))
        volume = case.features["shape_VoxelVolume"]
        if len(self.gallery) < 12 and 3e3 < volume < 3e5:
            self.gallery.append((f"{volume / 1000:.1f} mL", case.mask, mask))


def _cases(data: Path, split: str, limit: int | None) -> list[Case]:
    cases = []
    for stored in islice(read_shapes(data / "shapes" / f"{SOURCE}_{split}.npz"), limit):
        geometry = Geometry(stored.mask.shape, np.diag([*stored.spacing, 1.0]))
        box = mask_box(stored.mask)
        features = fast_shape(stored.mask[box.slices], geometry.cropped(box))
        cases.append(Case(stored.patient, stored.mask, geometry, features, frame_of(stored.mask, stored.spacing)))
    return cases


def _made(
    generator: ShapeGenerator, case: Case, names: tuple[str, ...], seed: int, preview: bool = False
) -> tuple[np.ndarray, dict[str, float]]:
    """Mask (cropped, two empty voxels around) and measured features of a tumor with some features of a real one."""
    grid = case.grid(float(case.geometry.spacing[0]))
    targets = {name: case.features[name] for name in names}
    result = solve_shape(generator, targets, grid, np.zeros(3), ORGAN, seed, preview=preview)
    return np.pad(result.mask[mask_box(result.mask).slices], 2), result.measured


def _ellipsoid(case: Case, rotation: np.ndarray) -> dict[str, float]:
    """Features of the ellipsoid with the real volume and axes."""
    matrix = rotation * case.frame.semi_axes
    region = region_around(case.grid(float(case.geometry.spacing[0])), np.zeros(3), matrix, 1.5, None)
    values = -np.linalg.norm(region.canonical(matrix, np.zeros(3)), axis=-1)
    return fast_shape(mask_of_count(values, int(case.mask.sum())), region.geometry)


def _described(mask: np.ndarray, spacing: np.ndarray, config: ShapeConfig) -> np.ndarray:
    field, _ = canonical_field(mask, spacing, config.grid, config.half_width)
    return metrics.descriptor(field, config.half_width)


def _table(rows: list[dict[str, float]]) -> np.ndarray:
    return np.array([[row[name] for name in SHAPE_FEATURES] for row in rows])


def _others(patients: list[str], rng: np.random.Generator) -> np.ndarray:
    """For each row a row of another patient."""
    found = np.arange(len(patients))
    for index, patient in enumerate(patients):
        others = [other for other, name in enumerate(patients) if name != patient]
        found[index] = rng.choice(others) if others else index
    return found


def _agreement(
    cases: list[Case], rows: dict[str, list[dict[str, float]]]
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Every arm and null, each feature of the first arm, and what each case got."""
    patients = [case.patient for case in cases]
    real = _table([case.features for case in cases])
    made = {name: _table(values) for name, values in rows.items()}
    made["random_patient"] = real[_others(patients, np.random.default_rng(0))]
    columns, sphericity = range(len(SHAPE_FEATURES)), SHAPE_FEATURES.index("shape_Sphericity")
    compared = {name: Comparison(real, table, patients) for name, table in made.items()}
    arms = {
        name: {
            "definition_c": comparison.definition_c(columns),
            "definition_b": comparison.definition_b(columns),
            "sphericity": comparison.definition_c([sphericity]),
            **_errors(real, made[name], patients),
        }
        for name, comparison in compared.items()
    }
    features = {name: compared[ARMS[0]].definition_c([i]) for i, name in enumerate(SHAPE_FEATURES)}
    entries = [
        {
            "id": f"{case.patient}_{i}",
            "patient": case.patient,
            "features": {"real": case.features, **{name: values[i] for name, values in rows.items()}},
        }
        for i, case in enumerate(cases)
    ]
    return arms, features, entries


def _errors(real: np.ndarray, made: np.ndarray, patients: list[str]) -> dict[str, Any]:
    """Relative volume error and absolute sphericity error."""
    volume, sphericity = SHAPE_FEATURES.index("shape_VoxelVolume"), SHAPE_FEATURES.index("shape_Sphericity")
    relative = np.abs(made[:, volume] / real[:, volume] - 1.0)
    absolute = np.abs(made[:, sphericity] - real[:, sphericity])
    return {
        "volume_error": {"median": float(np.median(relative)), "largest": float(relative.max())},
        "sphericity_error": {**mean_estimate(absolute.tolist(), patients), "largest": float(absolute.max())},
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


def _realism(surfaces: dict[str, list[np.ndarray]], data: Path, split: str, config: ShapeConfig) -> dict[str, Any]:
    """Energy distance of surface descriptors to those of the real test shapes; real training shapes give the reference."""
    sets = {name: np.array(values) for name, values in surfaces.items()}
    other = data / "shapes" / f"{SOURCE}_train.npz"
    if other.exists() and split != "train":
        stored = list(read_shapes(other))
        picked = np.random.default_rng(0).choice(len(stored), min(len(stored), len(sets["real"])), replace=False)
        sets["other_real"] = np.array([_described(stored[i].mask, stored[i].spacing, config) for i in picked])
    mean, std = sets["real"].mean(axis=0), sets["real"].std(axis=0) + 1e-9
    scaled = {name: (values - mean) / std for name, values in sets.items()}
    distance = {name: metrics.energy_distance(values, scaled["real"]) for name, values in scaled.items() if name != "real"}
    return {
        "descriptor": "log power in 6 bands and 4 curvature statistics of the whitened signed distance field",
        "energy_distance_to_real": distance,
        "mean_z": {name: values.mean(axis=0).round(3).tolist() for name, values in scaled.items()},
    }
