"""Differentiable geometry of canonical fields, and the augmentation that keeps them canonical."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.shape_field import BALL_VOLUME

TILT = 0.25
"""Standard deviation of the random tilt in radians. The whitened frame allows any rotation; a large one would turn the
stretching of detail along the long axis the wrong way."""


def tilted(field: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Fields mirrored along random axes and tilted by a small random rotation; both keep them whitened."""
    axes = np.stack([rng.normal(size=3) for rng in rngs])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.array([rng.normal(scale=TILT) for rng in rngs])
    signs = np.stack([rng.choice([-1.0, 1.0], size=(1, 3)) for rng in rngs])
    matrix = torch.from_numpy(_rotations(axes, angles) * signs).float()
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
