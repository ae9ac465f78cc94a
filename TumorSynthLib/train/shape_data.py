"""The shape trainer's data: canonical fields in memory, standardized conditions, and augmentation that keeps them true."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.errors import DataError
from TumorSynthLib.nets.shape_gan import fixed_length
from TumorSynthLib.shape_field import BALL_VOLUME, ball_field
from TumorSynthLib.train.common import is_validation

DROP_TOKEN = 0.25
"""Share of samples in which a given feature is free."""
DROP_ALL = 0.1
"""Share of samples in which every feature is free."""
DROP_ORGAN = 0.1
"""Share of samples with unknown organ."""
TILT = 0.25
"""Standard deviation of the random tilt in radians. The whitened frame allows any rotation; a large one would turn the
stretching of detail along the long axis the wrong way."""


@dataclass(frozen=True)
class Batch:
    """Fields with their conditions."""

    field: Tensor
    """Canonical fields (B, 1, N, N, N)."""
    semi_axes: Tensor
    """Semi-axes in mm (B, 3)."""
    raw: Tensor
    """Smooth sphericity, elongation, flatness, log volume, fill (B, 5)."""
    values: Tensor
    """``raw`` standardized."""
    present: Tensor
    """Which features are given (B, 5)."""
    organ: Tensor
    """Organ index (B,)."""

    def part(self, rows: Tensor | slice) -> "Batch":
        """Some rows."""
        return Batch(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


class ShapeData:
    """Real shapes of one prepared file, split by patient into training and validation."""

    def __init__(self, path: Path, config: ShapeConfig) -> None:
        if not path.exists():
            raise DataError("shapes.missing", f"{path} does not exist.", "Run prepare first.")
        with np.load(path) as file:
            table = {key: file[key] for key in file.files}
        if table["fields"].shape[1] != config.grid or list(table["organs"]) != list(config.organs):
            raise DataError("shapes.config", f"{path} was prepared for another shape config.", "Run prepare again.")
        self.config = config
        self.fields = torch.from_numpy(table["fields"])
        self.semi_axes = torch.from_numpy(table["semi_axes"]).float()
        self.organ = torch.from_numpy(table["organ"]).long()
        self.columns = {str(name): table["features"][:, i].astype(np.float64) for i, name in enumerate(table["feature_names"])}
        held = np.array([is_validation(str(patient)) for patient in table["patients"]])
        self.train_rows, self.validation_rows = np.flatnonzero(~held), np.flatnonzero(held)
        self.raw = self._conditions()
        self.mean = self.raw[self.train_rows].mean(dim=0)
        self.std = self.raw[self.train_rows].std(dim=0).clamp(min=1e-3)

    def _conditions(self) -> Tensor:
        """``Batch.raw`` of every shape as stored."""
        chunks = [rows for rows in np.array_split(np.arange(len(self.organ)), 64) if len(rows)]
        smooth = [smooth_sphericity(self.field(rows), self.semi_axes[rows], self.config) for rows in chunks]
        columns = [self.columns[name] for name in ("elongation", "flatness", "volume_mm3", "fill")]
        columns[2] = np.log(columns[2])
        return torch.cat([torch.cat(smooth)[:, None], torch.from_numpy(np.stack(columns, axis=1)).float()], dim=1)

    def field(self, rows: np.ndarray) -> Tensor:
        """Fields (B, 1, N, N, N) in radii."""
        return self.fields[rows].float()[:, None] / 127.0

    def batch(self, rows: np.ndarray, rng: np.random.Generator, augment: bool = True) -> Batch:
        """A batch with conditions recomputed after augmentation and some of them dropped."""
        field, axes, raw = self.field(rows), self.semi_axes[rows], self.raw[rows].clone()
        if augment:
            field = tilted(field, rng, self.config.half_width)
            raw[:, 0] = smooth_sphericity(field, axes, self.config)
        present = rng.random((len(rows), raw.shape[1])) >= DROP_TOKEN
        present[rng.random(len(rows)) < DROP_ALL] = False
        organ = self.organ[rows].clone()
        organ[torch.from_numpy(rng.random(len(rows)) < DROP_ORGAN)] = len(self.config.organs)
        return Batch(field, axes, raw, (raw - self.mean) / self.std, torch.from_numpy(present).float(), organ)

    def statistics(self) -> dict[str, Any]:
        """What ``shape_targets`` and the tokens need, JSON-ready."""
        kept = {name: values[self.train_rows] for name, values in self.columns.items()}
        smooth = self.raw[self.train_rows, 0].double().numpy()
        regression = np.stack([np.ones(len(smooth)), kept["sphericity"], np.log(kept["voxels"])], axis=1)
        names = ("volume_mm3", "sphericity", "elongation", "flatness", "fill")
        table = np.stack([*(kept[name] for name in names), smooth], axis=1)
        organ = self.organ.numpy()[self.train_rows]
        return {
            "tokens": list(self.config.tokens),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "smooth_sphericity": np.linalg.lstsq(regression, smooth, rcond=None)[0].tolist(),
            "columns": [*names, "smooth_sphericity"],
            "organs": {
                "any": _spread(table),
                **{name: _spread(table[organ == index]) for index, name in enumerate(self.config.organs)},
            },
        }


class Directions:
    """Real fields as noise vectors: whitened principal components of fixed length.

    The generator learns to turn such a vector back into its field. Their directions are close to those of Gaussian noise, so a
    vector drawn from noise is a shape that could have been; their lengths follow sphericity and fill, which have tokens, and
    are dropped.
    """

    def __init__(self, shapes: ShapeData, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        rows = np.tile(shapes.train_rows, 1 + 4 * count // max(1, len(shapes.train_rows)))
        chunks = np.array_split(rows, math.ceil(len(rows) / 64))
        flat = torch.cat([_coarse(tilted(shapes.field(chunk), rng, shapes.config.half_width)) for chunk in chunks])
        self.mean = flat.mean(dim=0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            _, _, basis = torch.pca_lowrank(flat - self.mean, q=count, niter=3)
        deviation = ((flat - self.mean) @ basis).std(dim=0).clamp(min=1e-6)
        self.basis, self.modes = basis / deviation, (basis * deviation).T
        ball = torch.from_numpy(ball_field(shapes.config.grid, shapes.config.half_width))[None, None]
        self.mean_residual = self.mean - _coarse(ball)[0]

    def of(self, field: Tensor) -> Tensor:
        """Vectors (B, count) of fields (B, 1, N, N, N)."""
        return fixed_length((_coarse(field) - self.mean) @ self.basis)


def _coarse(field: Tensor) -> Tensor:
    return F.avg_pool3d(field, 2).flatten(1)


def _spread(table: np.ndarray) -> dict[str, Any]:
    """Joint Gaussian of one organ's features after rank transformation: quantiles and the correlation of normal scores."""
    if len(table) == 0:
        return {"count": 0, "quantiles": [], "correlation": []}
    shares = np.linspace(0.0, 1.0, 21)
    ranks = (table.argsort(axis=0).argsort(axis=0) + 0.5) / len(table)
    scores = torch.special.ndtri(torch.from_numpy(ranks)).numpy()
    correlation = np.corrcoef(scores.T) if len(table) > 2 else np.eye(table.shape[1])
    return {
        "count": len(table),
        "quantiles": np.quantile(table, shares, axis=0).T.round(5).tolist(),
        "correlation": correlation.round(4).tolist(),
    }


def tilted(field: Tensor, rng: np.random.Generator, half_width: float) -> Tensor:
    """Fields mirrored along random axes and tilted by a small random rotation; both keep them whitened."""
    count = len(field)
    axes = rng.normal(size=(count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    matrix = torch.from_numpy(_rotations(axes, rng.normal(scale=TILT, size=count))).float()
    matrix = matrix * torch.from_numpy(rng.choice([-1.0, 1.0], size=(count, 1, 3))).float()
    grid = F.affine_grid(F.pad(matrix, (0, 1)), list(field.shape), align_corners=False)
    return F.grid_sample(field, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _rotations(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Rotation matrices (B, 3, 3) about unit axes (Rodrigues)."""
    zero = np.zeros(len(axes))
    x, y, z = axes.T
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    sine, cosine = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    return np.eye(3) + sine * cross + (1.0 - cosine) * (cross @ cross)


def occupancy(field: Tensor, config: ShapeConfig) -> Tensor:
    """Share of each voxel inside the surface, differentiable within a voxel and a half of it."""
    width = 3.0 * config.half_width / config.grid
    ramp = (field / width).clamp(-1.0, 1.0)
    return 0.5 * (1.0 + ramp + torch.sin(math.pi * ramp) / math.pi)


def smooth_sphericity(field: Tensor, semi_axes: Tensor, config: ShapeConfig) -> Tensor:
    """Sphericity in mm of the surface that canonical fields have under M = diag(semi-axes), differentiable.

    Area is the integral of delta(f) |M^-T grad f| |det M|, free of the staircase that PyRadiomics' mesh has.

    Parameters
    ----------
    field : (B, 1, N, N, N).
    semi_axes : (B, 3), mm.
    """
    pitch = 2.0 * config.half_width / config.grid
    width = 1.5 * pitch
    scale = semi_axes.view(-1, 3, 1, 1, 1)
    slope = torch.stack(torch.gradient(field[:, 0], spacing=pitch, dim=(1, 2, 3)), dim=1) / scale
    ramp = (field / width).clamp(-1.0, 1.0)
    delta = (1.0 + torch.cos(math.pi * ramp)) / (2.0 * width)
    norm = slope.square().sum(dim=1, keepdim=True).add(1e-12).sqrt()
    determinant = semi_axes.prod(dim=1)
    area = (delta * norm).sum(dim=(1, 2, 3, 4)) * pitch**3 * determinant
    volume = occupancy(field, config).sum(dim=(1, 2, 3, 4)) * pitch**3 * determinant
    least = pitch**3 * determinant
    return (36.0 * math.pi * volume.maximum(least).square()).pow(1.0 / 3.0) / area.maximum(least ** (2.0 / 3.0))


def moments(field: Tensor, config: ShapeConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Fill (B,), centroid (B, 3) and second moments times five (B, 3, 3), which are 1, 0 and the identity for the ball."""
    inside = occupancy(field, config)[:, 0]
    pitch = 2.0 * config.half_width / config.grid
    line = (torch.arange(config.grid, device=field.device) + 0.5) * pitch - config.half_width
    points = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1).view(-1, 3)
    weights = inside.flatten(1)
    total = weights.sum(dim=1).clamp(min=1.0)
    center = weights @ points / total[:, None]
    offsets = points[None] - center[:, None]
    second = torch.einsum("bn,bni,bnj->bij", weights, offsets, offsets) / total[:, None, None]
    return total * pitch**3 / BALL_VOLUME, center, 5.0 * second
