"""How well a shape generator does on held-out patients, in numbers and in pictures."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.nets.shape_gan import Generator
from TumorSynthLib.train.common import autocast, torch_generator
from TumorSynthLib.train.journal import picture
from TumorSynthLib.train.shape_data import Batch, ShapeData
from TumorSynthLib.train.shape_geometry import moments, occupancy, smooth_sphericity

MOST = 48
"""Held-out shapes validated on."""
SHOWN = 6
"""Held-out shapes in a picture."""


class ShapeValidation:
    """Held-out shapes with every feature given.

    Parameters
    ----------
    shapes : real shapes.
    device, precision : where and how the generator runs.
    """

    def __init__(self, shapes: ShapeData, device: str, precision: str) -> None:
        self.shapes, self.device, self.precision = shapes, device, precision

    def numbers(self, generator: Generator) -> dict[str, float]:
        """Numbers on held-out patients' features and plain noise; empty where nobody is held out.

        Returns
        -------
        Mean absolute error of smooth sphericity and of fill, deviation from white moments, and mean Dice between two draws at
        the same features (1 would mean that noise does nothing).
        """
        asked, config = self._held(MOST), self.shapes.config
        if asked is None:
            return {}
        draws = [self._made(generator, asked, seed) for seed in (0, 1)]
        fill, center, second = moments(draws[0], config)
        smooth = smooth_sphericity(draws[0], asked.semi_axes, config)
        first, other = (occupancy(draw, config).flatten(1) for draw in draws)
        dice = 2.0 * torch.minimum(first, other).sum(dim=1) / (first.sum(dim=1) + other.sum(dim=1))
        return {
            "validation_sphericity_error": float((smooth - asked.raw[:, 0]).abs().mean()),
            "validation_fill_error": float((fill - asked.raw[:, 4]).abs().mean()),
            "validation_moments": float(center.abs().mean() + (second - torch.eye(3, device=self.device)).abs().mean()),
            "validation_dice": float(dice.mean()),
        }

    def panels(self, generator: Generator) -> dict[str, np.ndarray]:
        """Held-out shapes above generated ones with their features."""
        asked = self._held(SHOWN)
        if asked is None:
            return {}
        rows = (asked.field, self._made(generator, asked, 0))
        return {"shapes": picture([list(fields[:, 0].cpu().numpy()) for fields in rows], -0.1, 0.1)}

    def _held(self, count: int) -> Batch | None:
        rows = self.shapes.validation_rows[:: max(1, len(self.shapes.validation_rows) // count)][:count]
        if len(rows) == 0:
            return None
        asked = self.shapes.batch(rows, [np.random.default_rng((0, row)) for row in range(len(rows))], augment=False)
        return replace(asked, present=torch.ones_like(asked.present)).to(self.device)

    @torch.no_grad()
    def _made(self, generator: Generator, asked: Batch, seed: int) -> Tensor:
        vector, voxel_noise = generator.noise(len(asked.field), torch_generator(seed))
        noise = [level.to(self.device) for level in voxel_noise]
        with autocast(self.device, self.precision):
            made: Tensor = generator(vector.to(self.device), noise, asked.values, asked.present, asked.organ)
        return made.float()
