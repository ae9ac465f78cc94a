"""One tumor of the methods table: what each method is asked for, and what it draws on the working grid."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.edit import TextureEdit, work_task
from TumorSynthLib.evaluate.texture import GUIDANCE, STEPS
from TumorSynthLib.evaluate.texture_arms import Features, Tumor
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.synthesis import candidate_seeds
from TumorSynthLib.texture import Sampling, Task, TextureModel
from TumorSynthLib.volume import Geometry, mask_box

WIDENING = 0.1
"""How far each face of a tumor's box is moved out for ``flow``, as a share of the box's edge."""


@dataclass(frozen=True)
class Arm:
    """A way of asking a method for a tumor."""

    method: str
    """The method."""
    boxed: bool
    """Whether it is told a box around the tumor, rather than the tumor's mask."""
    asks: bool
    """Whether it is asked for the features of the real tumor."""


ARMS = {
    "bridge": Arm("bridge", False, True),
    "diffusion": Arm("diffusion", False, True),
    "flow": Arm("flow", True, True),
    "flow_box": Arm("flow", True, False),
}
"""Arms of networks."""
SMOOTH, HANDMADE, CODEC = "smooth_fill_calibrated", "handmade", "codec"
OTHERS = (SMOOTH, HANDMADE, CODEC)
"""Two nulls and the ceiling."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What one arm drew for a tumor."""

    arm: Arm
    """Which arm."""
    grid: Geometry
    """The working grid."""
    asked: Features
    """Asked features, of texture and, for an arm that makes the mask, of shape."""
    seeds: tuple[int, ...]
    """Seeds of the samples."""
    images: np.ndarray
    """Network input, (samples, size, size, size)."""
    soft: np.ndarray | None
    """Soft masks, alike, where the arm makes masks."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the networks drew for one tumor."""

    tumor: Tumor
    """Which one."""
    seeds: tuple[int, int]
    """Seeds of its two samples."""
    samples: Mapping[str, Samples]
    """By label; two of each arm, and one for every other number of steps."""
    asked: Features
    """The tumor's own texture features that the bundle has tokens for."""
    codec: np.ndarray
    """The real scan after encoding and decoding."""
    grid: Geometry
    """Its working grid."""
    scales: Mapping[str, FeatureScale]
    """Scales of the features."""
    exemplars: list[dict[str, float]]
    """Features of real tumors of the training data, of which the hand-made tumor takes its level."""


def label(arm: str, steps: int) -> str:
    """The name of an arm at a number of steps.

    >>> label("bridge", STEPS), label("bridge", 4)
    ('bridge', 'bridge_4')
    """
    return arm if steps == STEPS else f"{arm}_{steps}"


def widened_box(mask: np.ndarray) -> np.ndarray:
    """The box of a mask with each face moved out by ``WIDENING`` of its edge, rounded up to whole voxels; bool."""
    box = mask_box(mask)
    wide = np.zeros(mask.shape, bool)
    wide[box.expanded(WIDENING * np.array(box.shape), mask.shape).slices] = True
    return wide


def tasks_of(tumor: Tumor, model: TextureModel) -> dict[str, tuple[Task, Geometry]]:
    """What the networks see of each arm that they know, and the grid they see it on."""
    scene, texture = tumor.case.scene(tumor.blank), asked_texture(tumor, model)
    shape = measure_mask(tumor.mask, tumor.case.scan.geometry)
    whole = {**texture, **{name: shape[name] for name in model.config.shape_tokens}}
    found = {}
    for name, arm in ARMS.items():
        if arm.method in model.config.methods:
            region, features = (widened_box(tumor.mask), whole) if arm.boxed else (tumor.mask, texture)
            found[name] = work_task(scene, TextureEdit(region, features if arm.asks else {}), WorkConfig())
    return found


def asked_texture(tumor: Tumor, model: TextureModel) -> Features:
    """The tumor's own texture features that the networks have tokens for."""
    return {name: tumor.features[name] for name in model.config.tokens if name in tumor.features}


def sampled(
    model: TextureModel, arm: Arm, task: Task, steps: int, seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Network input with the tumors that an arm draws, and their soft masks where it makes them."""
    sampling = Sampling(steps, GUIDANCE, seeds, method=arm.method)
    return model.joint(task, sampling) if arm.boxed else (model.synthesize(task, sampling), None)


def draw(tumor: Tumor, model: TextureModel, bundle: Bundle, sweep: Sequence[int]) -> Drawn:
    """Run the networks for one tumor.

    Parameters
    ----------
    tumor : the mask and its own features.
    model : warm networks.
    bundle : of typical levels.
    sweep : other numbers of steps than ``STEPS``.
    """
    first, second = candidate_seeds(zlib.crc32(tumor.case.id.encode()), 2)
    samples = {}
    for name, (task, grid) in tasks_of(tumor, model).items():
        for steps in (STEPS, *sweep):
            kept = (first, second) if steps == STEPS else (first,)
            images, soft = sampled(model, ARMS[name], task, steps, kept)
            samples[label(name, steps)] = Samples(ARMS[name], grid, dict(task.features or {}), kept, images, soft)
    real, grid = work_task(tumor.case.scene(), TextureEdit(tumor.mask, {}), WorkConfig())
    domain, codec = tumor.case.domain.id, model.reconstruct(real.v)
    asked = asked_texture(tumor, model)
    return Drawn(tumor, (first, second), samples, asked, codec, grid, model.scales[domain], bundle.exemplars(domain))
