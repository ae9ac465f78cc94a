"""The codec trainer's data: random isotropic patches of every image, and fixed ones of held-out patients."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.dataset import TrainImage, TrainingData, flip
from TumorSynthLib.train.common import is_validation, numpy_generator
from TumorSynthLib.train.team import generators
from TumorSynthLib.volume import work_grid

PATCH = 32
"""Edge of a training patch in voxels; the codec is convolutional, so small patches serve and give more variety."""
_STATISTICS_SEED = 77
_VALIDATION_SEED = 999


def draw_patch(image: TrainImage, rng: np.random.Generator, size: int = PATCH) -> np.ndarray:
    """A random isotropic patch of network input, float32 (size, size, size), with body in it."""
    finest = max(0.75, float(min(image.geometry.spacing)))
    for _ in range(6):
        spacing = float(np.exp(rng.uniform(np.log(finest), np.log(max(4.0, 1.3 * finest)))))
        at = rng.uniform(0.1, 0.9, 3) * (np.array(image.geometry.shape) - 1)
        grid = work_grid(image.geometry, image.geometry.to_ras(at), spacing, size)
        patch = image.patch(grid)
        if patch.std() > 0.02:
            break
    return flip(patch, tuple(bool(f) for f in rng.integers(0, 2, 3)))


def image_weights(images: Sequence[TrainImage]) -> np.ndarray:
    """How often each image is drawn: images of rare domains more often than one by one, less than domain by domain."""
    counts: dict[str, int] = {}
    for image in images:
        counts[image.domain.id] = counts.get(image.domain.id, 0) + 1
    weights = np.array([counts[image.domain.id] ** -0.5 for image in images])
    return np.asarray(weights / weights.sum())


class Patches:
    """Patches of a training file.

    Parameters
    ----------
    data : its images; those of held-out patients serve validation alone.
    """

    def __init__(self, data: TrainingData) -> None:
        self.images = data.images
        self.training = [image for image in data.images if not is_validation(image.patient)] or list(data.images)
        self.weights = image_weights(self.training)
        self.validation = validation_patches([image for image in data.images if is_validation(image.patient)])

    def batch(self, seed: int, step: int, items: range) -> Tensor:
        """Patches (B, 1, 32, 32, 32) of some samples of a step."""
        rngs = generators(seed, step, items)
        chosen = [int(rng.choice(len(self.training), p=self.weights)) for rng in rngs]
        patches = [draw_patch(self.training[n], rng) for n, rng in zip(chosen, rngs, strict=True)]
        return torch.from_numpy(np.stack(patches))[:, None]

    def typical(self, count: int) -> Tensor:
        """The same patches of training images every time, for the statistics of the code."""
        return self.batch(_STATISTICS_SEED, 0, range(count))


def validation_patches(images: Sequence[TrainImage], count: int = 12) -> dict[str, Tensor]:
    """Fixed patches by modality, two of each image."""
    found: dict[str, list[np.ndarray]] = {}
    for number, image in enumerate(images):
        kind = image.domain.modality.split("-")[0]
        rng = numpy_generator(_VALIDATION_SEED, number)
        found.setdefault(kind, []).extend(draw_patch(image, rng) for _ in range(2))
    return {kind: torch.from_numpy(np.stack(patches[:count]))[:, None] for kind, patches in found.items()}
