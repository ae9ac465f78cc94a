"""Real tumor shapes to cut healthy regions with: those of the shape generator's file, or other tumors of the training file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.dataset import TUMOR, TrainingData, shapes_file
from TumorSynthLib.errors import DataError
from TumorSynthLib.resample import resample
from TumorSynthLib.shape_field import BALL_VOLUME, grid_points
from TumorSynthLib.volume import Box, Geometry

MOST = 1000
"""Shapes kept in memory."""


class MaskBank:
    """Tumor shapes in frames of their own.

    Parameters
    ----------
    fields : int8, positive inside the tumor.
    affines : from voxels of a field to mm around the tumor's middle, (n, 4, 4).
    volumes : mm^3.
    """

    def __init__(self, fields: Sequence[np.ndarray], affines: np.ndarray, volumes: np.ndarray) -> None:
        self.fields, self.affines, self.volumes = fields, affines, volumes

    def draw(self, rng: np.random.Generator, geometry: Geometry, center: np.ndarray, radius: float) -> tuple[np.ndarray, Box]:
        """A randomly turned shape of the given equivalent radius (mm) around a point: its mask in a box of ``geometry``."""
        index = int(rng.integers(len(self.fields)))
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        affine = self.affines[index].copy()
        affine[:3] = turn @ affine[:3] * radius / (self.volumes[index] / BALL_VOLUME) ** (1.0 / 3.0)
        affine[:3, 3] += center
        source = Geometry(self.fields[index].shape, affine)
        corners = geometry.to_ijk(source.to_ras(_corners(source.shape)))
        start = np.clip(np.floor(corners.min(axis=0)), 0, np.array(geometry.shape) - 1).astype(int)
        stop = np.clip(np.ceil(corners.max(axis=0)) + 1, start + 1, np.array(geometry.shape)).astype(int)
        box = Box(tuple(start.tolist()), tuple(stop.tolist()))
        return resample(self.fields[index], source, geometry.cropped(box), outside=-127.0) > 0.0, box


def mask_bank(path: Path, data: TrainingData) -> MaskBank:
    """The shapes beside a training file, or where there are none the tumors in it.

    Raises
    ------
    DataError : when there is neither.
    """
    bank = _from_shapes(shapes_file(path)) if shapes_file(path).exists() else _from_tumors(data)
    if not len(bank.fields):
        message = f"There are neither shapes beside {path} nor tumors in it to draw healthy regions with."
        raise DataError("data.shapes", message, "Prepare again with shapes, or set draw.fresh=0.")
    return bank


def _from_shapes(path: Path) -> MaskBank:
    with np.load(path) as file:
        rows = np.arange(len(file["semi_axes"]))[:: max(1, -(-len(file["semi_axes"]) // MOST))]
        fields, axes = file["fields"][rows], file["semi_axes"][rows].astype(np.float64)
        fill = file["features"][rows, list(file["feature_names"]).index("fill")].astype(np.float64)
        line = grid_points(fields.shape[1], float(file["half_width"]) if "half_width" in file else ShapeConfig().half_width)
    affines = np.tile(np.eye(4), (len(rows), 1, 1))
    affines[:, range(3), range(3)] = axes * (line[1] - line[0])
    affines[:, :3, 3] = axes * line[0]
    return MaskBank(fields, affines, BALL_VOLUME * axes.prod(axis=1) * fill)


def _from_tumors(data: TrainingData) -> MaskBank:
    rows = [index for index, region in enumerate(data.regions) if region.kind == TUMOR][:MOST]
    masks = [data.mask(index) for index in rows]
    spacing = np.array([data.regions[index].spacing for index in rows])
    affines = np.tile(np.eye(4), (len(rows), 1, 1)) * spacing[:, None, None]
    for affine, mask in zip(affines, masks, strict=True):
        affine[3] = (0.0, 0.0, 0.0, 1.0)
        affine[:3, 3] = -affine[0, 0] * np.argwhere(mask).mean(axis=0)
    fields = [np.where(mask, 127, -127).astype(np.int8) for mask in masks]
    volumes = np.array([mask.sum() * step**3 for mask, step in zip(masks, spacing, strict=True)])
    return MaskBank(fields, affines, volumes)


def _corners(shape: Sequence[int]) -> np.ndarray:
    return np.array([[i, j, k] for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)])
