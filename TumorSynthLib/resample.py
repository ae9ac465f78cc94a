"""Resampling between two grids, with smoothing where the target is coarser (torch, deterministic on the CPU)."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from TumorSynthLib.volume import Box, Geometry


def resample(
    array: np.ndarray,
    source: Geometry,
    target: Geometry,
    *,
    mode: str = "linear",
    smooth: bool = True,
    outside: float | None = None,
) -> np.ndarray:
    """Values of ``array`` at the voxel centres of ``target``.

    Parameters
    ----------
    array : values on ``source``, shape (i, j, k), any real type.
    source, target : the two grids.
    mode : ``"linear"`` or ``"nearest"``.
    smooth : low-pass along each source axis on which the target is coarser (linear mode), against aliasing.
    outside : value for points outside ``source``; None repeats the nearest border voxel.

    Returns
    -------
    float32 array of ``target.shape``.
    """
    matrix = np.linalg.inv(source.affine) @ target.affine
    box = _needed_box(matrix, source.shape, target.shape)
    matrix[:3, 3] -= box.start
    values = torch.from_numpy(np.ascontiguousarray(array[box.slices], dtype=np.float32))
    if mode == "linear" and smooth:
        values = _low_pass(values, matrix)
    ijk = _target_points(matrix, target.shape)
    sizes = torch.tensor(box.shape, dtype=torch.float32)
    # grid_sample wants x, y, z = k, j, i in [-1, 1] between the outermost voxel centres.
    unit = torch.where(sizes > 1, 2.0 * ijk / (sizes - 1).clamp(min=1) - 1.0, torch.zeros_like(ijk))
    sampled = F.grid_sample(
        values[None, None],
        unit.flip(-1)[None],
        mode="bilinear" if mode == "linear" else "nearest",
        padding_mode="border",
        align_corners=True,
    )[0, 0]
    if outside is not None:
        scan = ijk + torch.tensor(box.start)
        inside = ((scan >= -0.5) & (scan <= torch.tensor(source.shape) - 0.5)).all(dim=-1)
        sampled = torch.where(inside, sampled, torch.tensor(float(outside)))
    return sampled.numpy()


def _needed_box(matrix: np.ndarray, source: tuple[int, int, int], target: tuple[int, int, int]) -> Box:
    """The part of the source that the target can see, so that the cost does not grow with the scan."""
    corners = np.array([[i, j, k, 1.0] for i in (0, target[0] - 1) for j in (0, target[1] - 1) for k in (0, target[2] - 1)])
    points = (corners @ matrix.T)[:, :3]
    reach = 4.0 * np.abs(matrix[:3, :3]).max(axis=1) + 2.0
    start = np.clip(np.floor(points.min(axis=0) - reach), 0, np.array(source) - 1).astype(int)
    stop = np.clip(np.ceil(points.max(axis=0) + reach) + 1, start + 1, np.array(source)).astype(int)
    return Box(tuple(start.tolist()), tuple(stop.tolist()))


def _target_points(matrix: np.ndarray, shape: tuple[int, int, int]) -> torch.Tensor:
    """Source ijk of each target voxel, shape (*shape, 3)."""
    columns = [torch.from_numpy(np.arange(n)[:, None] * matrix[:3, axis]) for axis, n in enumerate(shape)]
    points = columns[0][:, None, None] + columns[1][None, :, None] + columns[2][None, None, :]
    return (points + torch.from_numpy(matrix[:3, 3].copy())).float()


def _low_pass(values: torch.Tensor, matrix: np.ndarray) -> torch.Tensor:
    """Gaussian along each source axis with the width that turns a source voxel into a target voxel."""
    step = np.abs(matrix[:3, :3]).max(axis=1)
    for axis, ratio in enumerate(step):
        if ratio > 1.05:
            values = gaussian(values, 0.42 * math.sqrt(ratio**2 - 1.0), axis)
    return values


def gaussian(values: torch.Tensor, sigma: float, axis: int) -> torch.Tensor:
    """Smooth a (i, j, k) tensor along one axis with a Gaussian of ``sigma`` voxels, borders repeated."""
    radius = max(1, math.ceil(3.0 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    lines = values.movedim(axis, -1)
    flat = lines.reshape(-1, 1, lines.shape[-1])
    padded = F.pad(flat, (radius, radius), mode="replicate")
    return F.conv1d(padded, kernel[None, None]).reshape(lines.shape).movedim(-1, axis)
