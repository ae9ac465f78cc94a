"""The shape trainer's data: canonical fields in memory, standardized conditions, and augmentation that keeps them true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.errors import DataError
from TumorSynthLib.train.common import is_validation
from TumorSynthLib.train.shape_geometry import smooth_sphericity, tilted

MIN_SHAPES = 30
"""Shapes that an organ must have for its statistics to replace those of the bundle that training starts from."""
DROP_TOKEN = 0.25
"""Share of samples in which a given feature is free."""
DROP_ALL = 0.1
"""Share of samples in which every feature is free."""
DROP_ORGAN = 0.1
"""Share of samples with unknown organ."""


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

    def to(self, device: str) -> "Batch":
        """The same on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class ShapeData:
    """Real shapes of one prepared file, split by patient into training and validation.

    Parameters
    ----------
    path : file of ``prepare_shapes``.
    config : the generator's.
    known : statistics of the bundle that training starts from: its generator knows features as standardized there.
    """

    def __init__(self, path: Path, config: ShapeConfig, known: Mapping[str, Any] | None = None) -> None:
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
        self.known = known
        self.mean = torch.tensor(known["mean"]) if known else self.raw[self.train_rows].mean(dim=0)
        self.std = torch.tensor(known["std"]) if known else self.raw[self.train_rows].std(dim=0).clamp(min=1e-3)

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

    def batch(self, rows: np.ndarray, rngs: Sequence[np.random.Generator], augment: bool = True) -> Batch:
        """A batch with conditions recomputed after augmentation and some of them dropped, each sample by its own generator."""
        field, axes, raw = self.field(rows), self.semi_axes[rows], self.raw[rows].clone()
        if augment:
            field = tilted(field, rngs)
            raw[:, 0] = smooth_sphericity(field, axes, self.config)
        present = np.stack([rng.random(raw.shape[1]) >= DROP_TOKEN for rng in rngs])
        present[[rng.random() < DROP_ALL for rng in rngs]] = False
        organ = self.organ[rows].clone()
        organ[torch.tensor([bool(rng.random() < DROP_ORGAN) for rng in rngs])] = len(self.config.organs)
        return Batch(field, axes, raw, (raw - self.mean) / self.std, torch.from_numpy(present).float(), organ)

    def statistics(self) -> dict[str, Any]:
        """What ``shape_targets`` and the tokens need, JSON-ready."""
        kept = {name: values[self.train_rows] for name, values in self.columns.items()}
        smooth = self.raw[self.train_rows, 0].double().numpy()
        regression = np.stack([np.ones(len(smooth)), kept["sphericity"], np.log(kept["voxels"])], axis=1)
        names = ("volume_mm3", "sphericity", "elongation", "flatness", "fill")
        table = np.stack([*(kept[name] for name in names), smooth], axis=1)
        organ = self.organ.numpy()[self.train_rows]
        spreads = {name: _spread(table[organ == index]) for index, name in enumerate(self.config.organs)}
        if self.known is not None:
            enough = {name: spread for name, spread in spreads.items() if spread["count"] >= MIN_SHAPES}
            return {**self.known, "organs": {**self.known["organs"], **enough}}
        return {
            "tokens": list(self.config.tokens),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "smooth_sphericity": np.linalg.lstsq(regression, smooth, rcond=None)[0].tolist(),
            "columns": [*names, "smooth_sphericity"],
            "organs": {"any": _spread(table), **spreads},
        }


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
