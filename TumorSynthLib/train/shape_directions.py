"""Which noise vector each real shape belongs to."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from TumorSynthLib.nets.shape_gan import Generator, fixed_length
from TumorSynthLib.shape_field import ball_field
from TumorSynthLib.train.common import seeded
from TumorSynthLib.train.shape_data import ShapeData
from TumorSynthLib.train.shape_geometry import tilted


@dataclass(frozen=True, eq=False)
class Directions:
    """Real fields as noise vectors: whitened components of fixed length.

    The generator learns to turn such a vector back into its field. Their directions are close to those of Gaussian noise, so a
    vector drawn from noise is a shape that could have been; their lengths follow sphericity and fill, which have tokens, and
    are dropped.
    """

    mean: Tensor
    """Mean field on half the grid (cells,)."""
    basis: Tensor
    """From a field's difference to the mean to its vector (cells, count)."""

    def of(self, field: Tensor) -> Tensor:
        """Vectors (B, count) of fields (B, 1, N, N, N)."""
        return fixed_length((_coarse(field) - self.mean) @ self.basis)


def fitted_directions(shapes: ShapeData, generator: Generator, seed: int) -> Directions:
    """Principal components of the training shapes; the generator's modes of variation start as these."""
    config = generator.config
    rng = np.random.default_rng(seed)
    rows = np.tile(shapes.train_rows, 1 + 4 * config.noise // max(1, len(shapes.train_rows)))
    chunks = np.array_split(rows, math.ceil(len(rows) / 64))
    flat = torch.cat([_coarse(tilted(shapes.field(chunk), [rng] * len(chunk))) for chunk in chunks])
    mean = flat.mean(dim=0)
    with seeded(seed):
        _, _, basis = torch.pca_lowrank(flat - mean, q=config.noise, niter=3)
    deviation = ((flat - mean) @ basis).std(dim=0).clamp(min=1e-6)
    generator.set_modes(mean - _coarse(_ball(generator))[0], (basis * deviation).T)
    return Directions(mean, basis / deviation)


def learned_directions(generator: Generator) -> Directions:
    """The vectors that a trained generator gives shapes: its linear modes of variation, inverted by least squares."""
    modes = generator.modes.weight.detach().cpu().float()
    mean = _coarse(_ball(generator))[0] + generator.modes.bias.detach().cpu().float()
    return Directions(mean, torch.linalg.pinv(modes).T.contiguous())


def _ball(generator: Generator) -> Tensor:
    return torch.from_numpy(ball_field(generator.config.grid, generator.config.half_width))[None, None]


def _coarse(field: Tensor) -> Tensor:
    return F.avg_pool3d(field, 2).flatten(1)
