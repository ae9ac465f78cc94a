"""One texture edit on the scan's own grid: what it is, what the networks see of it, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from TumorSynthLib.compositing import soft_border
from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.dataset import choose_spacing
from TumorSynthLib.healing import border_is_blurred, with_border
from TumorSynthLib.intensity import MEAN, level_of
from TumorSynthLib.resample import resample
from TumorSynthLib.scene import Scene
from TumorSynthLib.texture import Task
from TumorSynthLib.volume import Box, Geometry, Volume, mask_box, work_grid

SURROUNDINGS_MM = 18.0
"""How far around the mask the scan is looked at."""
TOUCHED = 0.1
"""Share of a working voxel in a region to be healed from which on it is hidden: what it shows is partly the tumor."""


@dataclass(frozen=True, eq=False)
class TextureEdit:
    """What to do with one region of a scan."""

    mask: np.ndarray
    """The region on the scan's grid, bool."""
    features: Mapping[str, float] | None
    """Asked texture features for a tumor; None for healthy tissue."""
    noise: bool = True
    """Whether the scan's noise is restored."""
    match: bool = True
    """Whether asked first-order features are met by a remapping after the network."""
    drawn: Mapping[str, float] = field(default_factory=dict)
    """Features of a typical tumor for what was not asked; they steer the networks but are no target to be judged by."""
    judged: np.ndarray | None = None
    """Where the features hold, bool on the scan's grid, where that is less than ``mask``: the rest around a core to come."""
    typical: bool = False
    """Whether ``drawn`` is of a typical tumor rather than of the one that is there: its variance then is one of many, and what
    the network makes of it counts as much."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the networks made of an edit."""

    u: np.ndarray
    """Domain values on the scan's grid, smooth, shape of the edit's region."""
    detail_mm: float
    """Working voxel that it was made with: it has nothing finer."""
    seed: int
    """Of the sample, and of the noise that it gets."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One finished edit."""

    values: np.ndarray
    """Stored values inside ``box``."""
    box: Box
    """Part of the scan that may have changed."""
    seed: int
    """Seed of the sample."""
    distance: float
    """Root mean square difference between asked and measured features, in normal scores; 0 where nothing is asked."""
    warnings: list[str]
    """What could not be met."""
    measured: Mapping[str, float]
    """Those of the asked features that have a scale, as measured."""
    noise: float
    """Its noise, as a share of the surroundings' sd."""
    grain: float
    """How much coarser (above 0) or finer its texture is than what the network predicted; see ``regrained``."""

    def apply(self, scan: Volume) -> Volume:
        """The scan with this edit."""
        return scan.pasted(self.values, self.box)


@dataclass(frozen=True, eq=False)
class EditRegion:
    """The neighborhood of an edit on the scan's grid."""

    box: Box
    geometry: Geometry
    x: np.ndarray
    u: np.ndarray
    mask: np.ndarray
    judged: np.ndarray
    weights: np.ndarray


def working_grid(scan: Volume, mask: np.ndarray, work: WorkConfig) -> Geometry:
    """The working grid around a mask."""
    box = mask_box(mask)
    geometry = scan.geometry
    ends = geometry.to_ras(np.array([box.start, np.array(box.stop) - 1]))
    extent = float((np.array(box.shape) * geometry.spacing).max())
    return work_grid(geometry, ends.mean(axis=0), choose_spacing(extent, geometry.spacing, work), work.size)


def work_task(scene: Scene, edit: TextureEdit, work: WorkConfig) -> tuple[Task, Geometry]:
    """What the networks see of an edit, and the grid they see it on."""
    grid = working_grid(scene.scan, edit.mask, work)
    near = mask_box(edit.mask).expanded(np.full(3, 2), edit.mask.shape)
    soft = resample(edit.mask[near.slices], scene.scan.geometry.cropped(near), grid, outside=0.0)
    # A tumor thinner than a working voxel still marks the voxel that it is in.
    mask = soft > min(0.5 if edit.features is not None else TOUCHED, 0.999 * float(soft.max()))
    u = scene.intensity.normalize(resample(scene.scan.array, scene.scan.geometry, grid))
    features = None if edit.features is None else {**edit.drawn, **edit.features}
    # Healthy tissue is the scan's own, a tumor may be another organ's; the two share their values.
    domain = scene.domain if features is None else scene.appearance
    return asking(Task(scene.intensity.to_input(u), mask, domain, float(grid.spacing[0]), None), scene, features), grid


def asking(task: Task, scene: Scene, features: Mapping[str, float] | None) -> Task:
    """A task with other features asked for."""
    return replace(task, features=features, level=level_of((features or {}).get(MEAN), scene.intensity))


def edit_region(scene: Scene, edit: TextureEdit) -> EditRegion:
    """The part of a scan that an edit reads and writes."""
    scan = scene.scan
    box = mask_box(edit.mask).expanded(SURROUNDINGS_MM / scan.geometry.spacing, scan.array.shape)
    geometry, x, mask = scan.geometry.cropped(box), scan.array[box.slices], edit.mask[box.slices]
    judged = mask if edit.judged is None else edit.judged[box.slices]
    # Healthy tissue continues its surroundings, so there is nothing to feather.
    weights = mask.astype(np.float32) if edit.features is None else soft_border(mask, geometry.spacing)
    return EditRegion(box, geometry, x, scene.intensity.normalize(x), mask, judged, weights)


def without_blurred_border(scene: Scene, edit: TextureEdit) -> TextureEdit:
    """A removal that takes the first voxels outside as well, where the tumor's border has blurred into them."""
    box = mask_box(edit.mask).expanded(np.full(3, 4), edit.mask.shape).slices
    if not border_is_blurred(scene.intensity.normalize(scene.scan.array[box]), edit.mask[box]):
        return edit
    mask = edit.mask.copy()
    mask[box] = with_border(edit.mask[box])
    return replace(edit, mask=mask)
