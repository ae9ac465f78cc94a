"""One texture edit on the scan's own grid: synthesize, restore noise, meet first-order targets, composite, measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from TumorSynthLib.aim import Aim
from TumorSynthLib.compositing import MATCHABLE, composite, match_first_order, soft_border
from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.dataset import choose_spacing
from TumorSynthLib.features import measure_texture
from TumorSynthLib.healing import border_is_blurred, continued, with_border
from TumorSynthLib.intensity import MEAN, VARIANCE, level_of
from TumorSynthLib.noise import NoiseModel, add_noise, noise_power, quiet, sample, scan_noise, surroundings
from TumorSynthLib.resample import resample
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.scene import Scene
from TumorSynthLib.texture import Sampling, Task, TextureModel
from TumorSynthLib.volume import Box, Geometry, Volume, mask_box, work_grid

SURROUNDINGS_MM = 18.0
"""How far around the mask the scan is looked at."""
TOUCHED = 0.1
"""Share of a working voxel in a region to be healed from which on it is hidden: what it shows is partly the tumor."""
SMOOTH_SHARE = 0.2
"""Least share of an asked variance that the prediction itself keeps, whatever the noise adds."""
LARGEST_GAIN = 6.0
"""Most that a prediction's contrast is stretched."""
TYPICAL_STRETCH = 1.5
"""Most that it is stretched towards the variance of a typical tumor, which nobody asked for."""
_INSIDE, _FEWEST_INSIDE = 0.99, 64
"""Weight from which on a voxel shows the tumor alone, and the voxels of this kind that a variance needs."""
_GRAIN_MM = 2.0
"""Standard deviation in mm of the Gaussian that parts a prediction's patches from its grain."""
NOISE_FACTORS = (0.0, 0.5, 1.0, 2.0)
"""Noise levels tried first, as shares of the surroundings' sd, where texture features are asked for; see ``between``."""


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


def edit_texture(
    scene: Scene,
    edit: TextureEdit,
    model: TextureModel,
    sampling: Sampling,
    progress: Callable[[str, float], None],
) -> list[Candidate]:
    """Finished candidates, the best measured first. Each is asked for what the ones before it missed; see ``Aim``.

    Parameters
    ----------
    scene : scan and domain.
    edit : region and what is asked.
    model : warm networks.
    sampling : steps, guidance and one seed per candidate.
    progress : called with a stage and the share of it that is done.
    """
    if edit.features is None:
        edit = without_blurred_border(scene, edit)
    task, grid = work_task(scene, edit, WorkConfig())
    region = edit_region(scene, edit)
    start = scene.intensity.from_input(model.filled(task)) if edit.features is None else None
    scales = model.scales[task.domain.id]
    aim = Aim(task.features, edit.features, scales)
    found: list[Candidate] = []
    for number, seed in enumerate(sampling.seeds):
        sampled, finished = _reports(progress, number, len(sampling.seeds))
        v = model.synthesize(asking(task, scene, aim.features), replace(sampling, seeds=(seed,)), sampled)[0]
        u = scene.intensity.from_input(v)
        if start is None:
            u = resample(u, grid, region.geometry, smooth=False)
        else:
            weight = model.removal_weights[scene.domain.id]
            change = weight * resample(u - start, grid, region.geometry, smooth=False)
            u = continued(
                region.u, region.mask, region.geometry.spacing, change, task.spacing, lambda: progress("sampling", 1.0)
            )
        candidate = finish(scene, edit, region, u, seed, scales, finished)
        aim.correct(candidate.measured)
        found.append(candidate)
    return sorted(found, key=lambda candidate: candidate.distance)


def _reports(progress: Callable[[str, float], None], number: int, count: int) -> tuple[Callable[[float], None], ...]:
    """Progress of sampling and of compositing one of several candidates; but the last they count as sampling altogether."""

    def sampled(share: float) -> None:
        progress("sampling", (number + share) / count)

    def finished(share: float) -> None:
        if number + 1 < count:
            progress("sampling", (number + 1) / count)
        else:
            progress("compositing", share)

    return sampled, finished


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


def finish(
    scene: Scene,
    edit: TextureEdit,
    region: EditRegion,
    u: np.ndarray,
    seed: int,
    scales: Mapping[str, FeatureScale],
    progress: Callable[[float], None] | None = None,
) -> Candidate:
    """From a smooth prediction on the scan's grid (domain values) to a finished candidate."""
    asked = dict(edit.features or {})
    noise = _Noise.around(region, u, seed, edit.features is not None) if edit.noise else None
    limits = (float(region.x.min()), np.inf) if scene.domain.normalization.kind == "identity" else None

    def made(level: float) -> Candidate:
        sd = 0.0 if noise is None else level * noise.model.sd
        targets = _targets(edit)
        stretched = _typically_stretched(u, region, edit, sd) if _is_typical(edit) else _leveled(u, region.judged, targets, sd)
        noisy = stretched if noise is None else noise.added(stretched, level)
        matched = match_first_order(noisy, region.judged, targets, region.u, region.weights)
        values = composite(region.x, scene.intensity.denormalize(matched.values), region.weights, limits=limits)
        measured = _measured(scene, region, values, [name for name in asked if name in scales])
        # A drawn feature that could not be met is nobody's loss.
        warnings = matched.warnings if asked else []
        return Candidate(values, region.box, seed, _distance(measured, asked, scales), warnings, measured, level)

    def better(best: Candidate, levels: Sequence[float], begins: float, ends: float) -> Candidate:
        for number, level in enumerate(levels):
            if progress is not None:
                progress(begins + (ends - begins) * number / len(levels))
            best = min(best, made(level), key=lambda candidate: candidate.distance)
        return best

    first, *others = _noise_levels(edit, asked)
    best = better(made(first), others, 0.2, 0.7)
    best = better(best, between(best.noise, (first, *others)), 0.7, 1.0)
    if progress is not None:
        progress(1.0)
    return best


def between(best: float, levels: Sequence[float]) -> list[float]:
    """Levels to try after some levels, of which one was the best: half-way to its neighbors, or half as far again.

    >>> between(1.0, (0.0, 0.5, 1.0, 2.0)), between(2.0, (0.0, 0.5, 1.0, 2.0))
    ([0.75, 1.5], [1.5, 3.0])
    """
    if len(levels) == 1:
        return []
    at = levels.index(best)
    lower = [0.5 * (levels[at - 1] + best)] if at else []
    return [*lower, 0.5 * (best + levels[at + 1]) if at + 1 < len(levels) else 1.5 * best]


def _targets(edit: TextureEdit) -> dict[str, float]:
    """First-order features to be met after the network: all that are asked, of the drawn ones mean and variance alone.

    Tails that nobody asked for are not worth bending the values: the bend would turn noise into speckle. Nor is a typical
    variance to be met in the whole mask, of whose border fat beside it may make more than that: it is met inside.
    """
    if not edit.match:
        return {}
    names = (MEAN,) if _is_typical(edit) else (MEAN, VARIANCE)
    drawn = {name: edit.drawn[name] for name in names if name in edit.drawn}
    return {name: value for name, value in {**drawn, **(edit.features or {})}.items() if name in MATCHABLE}


def _is_typical(edit: TextureEdit) -> bool:
    """Whether the variance is that of a typical tumor."""
    return edit.match and edit.typical and VARIANCE in edit.drawn and VARIANCE not in (edit.features or {})


def _noise_levels(edit: TextureEdit, asked: Mapping[str, float]) -> Sequence[float]:
    """Shares of the surroundings' noise to try: what is asked decides the level, where it can."""
    if not edit.noise:
        return (0.0,)
    steered = any(not name.startswith("firstorder_") for name in asked)
    return NOISE_FACTORS if steered else (1.0,)


def _leveled(u: np.ndarray, mask: np.ndarray, targets: Mapping[str, float], noise_sd: float) -> np.ndarray:
    """The smooth prediction brought to the asked mean and variance, less what the noise is going to add.

    Stretched after the noise was added, it would stretch the noise as well.
    """
    mean, variance = float(u[mask].mean()), float(u[mask].var())
    if VARIANCE not in targets or variance <= 0.0:
        return u
    gain = min(float(np.sqrt(_without_noise(targets[VARIANCE], noise_sd) / variance)), LARGEST_GAIN)
    return (targets.get(MEAN, mean) + gain * (u - mean)).astype(np.float32)


def _typically_stretched(u: np.ndarray, region: EditRegion, edit: TextureEdit, noise_sd: float) -> np.ndarray:
    """The smooth prediction brought to the variance of a typical tumor inside of the feather, as far as it is worth it.

    The variance of a real tumor is often the fat that its mask touches; in the midst of muscle it would become mottles of black
    and white. So it is stretched by ``TYPICAL_STRETCH`` at most, and only in patches, as real tumors vary: the prediction's own
    grain, as strong as these, would be speckle.
    """
    inside = region.judged & (region.weights > _INSIDE)
    mask = inside if inside.sum() >= _FEWEST_INSIDE else region.judged
    variance, mean = float(u[mask].var()), float(u[mask].mean())
    wanted = min(_without_noise(edit.drawn[VARIANCE], noise_sd), TYPICAL_STRETCH**2 * variance)
    if wanted <= variance:
        return (mean + np.sqrt(wanted / max(variance, 1e-12)) * (u - mean)).astype(np.float32)
    patches = _patches(u - mean, mask, region.geometry.spacing)
    (spread, shared), (_, grain) = np.cov(patches[mask], (u - mean - patches)[mask], bias=True)
    more = np.sqrt(max(shared**2 + spread * (wanted - grain), 0.0)) - shared
    gain = float(np.clip(more / max(spread, 1e-12), 1.0, LARGEST_GAIN))
    return (u + (gain - 1.0) * patches).astype(np.float32)


def _without_noise(variance: float, noise_sd: float) -> float:
    """The share of a variance that is left to the prediction."""
    return max(variance - noise_sd**2, SMOOTH_SHARE * variance, 0.0)


def _patches(u: np.ndarray, mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """What of a prediction is coarser than ``_GRAIN_MM`` in the mask, looking at nothing outside of it."""
    sigma = [_GRAIN_MM / step for step in spacing]
    within, share = (ndimage.gaussian_filter(array, sigma) for array in (np.where(mask, u, 0.0), mask.astype(np.float64)))
    return np.asarray(within / np.maximum(share, 1e-3))


@dataclass(frozen=True, eq=False)
class _Noise:
    """The scan's noise around an edit, and one draw of it."""

    model: NoiseModel
    field: np.ndarray
    power: float
    written: np.ndarray
    spacing: np.ndarray

    @classmethod
    def around(cls, region: EditRegion, u: np.ndarray, seed: int, tumor: bool) -> "_Noise":
        """The noise of tissue like the prediction, near the edit.

        Healthy tissue goes on as it is around. A tumor has no muscle fibers or vessels: only the scanner's noise goes on in it,
        as the quiet part of the surroundings shows it (on real T1 tumors 0.7 of that power, but 0.2 of all surroundings').
        """
        spacing = region.geometry.spacing
        near = surroundings(region.u, region.mask, spacing, like=u[region.mask], or_brighter=tumor)
        if tumor:
            near = quiet(region.u, near, spacing)
        model = scan_noise(region.u, near, spacing)
        field = sample(model, u.shape, np.random.default_rng((seed, 1)))
        return cls(model, field, noise_power(region.u, near, spacing), region.weights > 0, spacing)

    def added(self, u: np.ndarray, level: float) -> np.ndarray:
        """The prediction with the noise at a share of its level."""
        if level == 0.0:
            return u
        return add_noise(u, self.field, self.written, level**2 * self.power, self.spacing)[0]


def _measured(scene: Scene, region: EditRegion, values: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Features of an edit, where any are to be measured."""
    if not names:
        return {}
    u = scene.intensity.normalize(values)
    found = measure_texture(u, region.judged, region.geometry, scene.domain.radiomics, names)
    return {name: found[name] for name in names}


def _distance(measured: Mapping[str, float], asked: Mapping[str, float], scales: Mapping[str, FeatureScale]) -> float:
    if not measured:
        return 0.0
    errors = [scales[name].score(value) - scales[name].score(asked[name]) for name, value in measured.items()]
    return float(np.sqrt(np.mean(np.square(errors))))
