"""From a prediction to a finished edit: choose grain and noise, meet first-order targets, composite, measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from TumorSynthLib.compositing import MATCHABLE, check_finite, composite, match_first_order
from TumorSynthLib.descent import Point, descend
from TumorSynthLib.edit import Candidate, EditRegion, Prediction, TextureEdit
from TumorSynthLib.errors import FeatureError
from TumorSynthLib.features import measure_texture
from TumorSynthLib.grain import LARGEST_GAIN, regrained, smoothed_within
from TumorSynthLib.intensity import MEAN, VARIANCE
from TumorSynthLib.noise import NoiseModel, add_noise, noise_power, quiet, sample, scan_noise, surroundings
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.scene import Scene

CORRELATION = "glcm_Correlation"
"""How alike neighbors are, whatever the contrast: unlike the other features it tells grain alone."""
SMOOTH_SHARE = 0.2
"""Least share of an asked variance that the prediction itself keeps, whatever the noise adds."""
TYPICAL_STRETCH = 1.5
"""Most that a prediction is stretched towards the variance of a typical tumor, which nobody asked for."""
_INSIDE, _FEWEST = 0.99, 64
"""Weight from which on a voxel shows the tumor alone, and the voxels that a variance or a grain needs."""
_GRAIN_MM = 2.0
"""Standard deviation in mm of the Gaussian that parts a prediction's patches from its grain."""
NOISE_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Noise levels that may be tried, as shares of the surroundings' sd."""
GRAINS = (-2.0, -1.0, 0.0, 0.7, 1.5, 2.5, 4.0)
"""Grains that may be tried; see ``regrained``."""
_START = (1.0, 0.7)
"""Noise and grain to begin with: near to most tumors of the training data, so that few others have to be tried."""
_NEAR_ENOUGH = 0.05
"""Distance in normal scores from which on nothing nearer is looked for."""
_WORTH = 0.02
"""By how much a step has to come nearer to what nobody asked for: where noise hides the grain, one is as good as another."""


def finish(
    scene: Scene,
    edit: TextureEdit,
    region: EditRegion,
    prediction: Prediction,
    scales: Mapping[str, FeatureScale],
    progress: Callable[[float], None] | None = None,
) -> Candidate:
    """From a smooth prediction to a finished candidate.

    Of the noise levels and grains that may be tried those are taken, by steps from the usual ones, whose features measure
    nearest to what is sought.

    Raises
    ------
    ImageError : when the prediction is not finite where it is used.
    FeatureError : when what is asked for cannot be measured.
    """
    told = _Reports(progress)
    sought, axes = _sought(edit, region, scales)
    maker = _Maker(scene, edit, region, prediction, scales)
    start = tuple(wish if wish in axis else axis[0] for wish, axis in zip(_START, axes, strict=True))

    def make(point: Point) -> tuple[float, Candidate]:
        told.one_more()
        candidate = maker.made(*point)
        return maker.distance(candidate, sought), candidate

    best = descend(make, axes, start, _NEAR_ENOUGH, 0.0 if sought.keys() <= (edit.features or {}).keys() else _WORTH)
    told.end()
    return best


class _Maker:
    """Makes candidates of one prediction.

    Parameters
    ----------
    scene, edit, region, prediction, scales : as of ``finish``.
    """

    def __init__(
        self, scene: Scene, edit: TextureEdit, region: EditRegion, prediction: Prediction, scales: Mapping[str, FeatureScale]
    ) -> None:
        check_finite(prediction.u, region.weights > 0)
        self.scene, self.edit, self.region, self.prediction, self.scales = scene, edit, region, prediction, scales
        self._asked = {name: value for name, value in (edit.features or {}).items() if name in scales}
        self._targets = _targets(edit)
        tumor = edit.features is not None
        self._noise = _Noise.around(region, prediction.u, prediction.seed, tumor) if edit.noise else None
        identity = scene.domain.normalization.kind == "identity"
        self._limits = (float(region.x.min()), np.inf) if identity else None

    def made(self, level: float, grain: float) -> Candidate:
        """The candidate of a noise level and a grain."""
        region, edit, prediction = self.region, self.edit, self.prediction
        sd = 0.0 if self._noise is None else level * self._noise.model.sd
        u = regrained(prediction.u, region.weights > 0, region.judged, grain, prediction.detail_mm, region.geometry.spacing)
        u = _typically_stretched(u, region, edit, sd) if _is_typical(edit) else _leveled(u, region.judged, self._targets, sd)
        noisy = u if self._noise is None else self._noise.added(u, level)
        matched = match_first_order(noisy, region.judged, self._targets, region.u, region.weights)
        stored = self.scene.intensity.denormalize(matched.values)
        values = composite(region.x, stored, region.weights, limits=self._limits)
        measured = self._measured(values, list(self._asked))
        # A drawn feature that could not be met is nobody's loss.
        warnings = matched.warnings if edit.features else []
        missed = _distance(measured, self._asked, self.scales)
        return Candidate(values, region.box, prediction.seed, missed, warnings, measured, level, grain)

    def distance(self, candidate: Candidate, sought: Mapping[str, float]) -> float:
        """How far a candidate is from what is sought; what nobody asked for and cannot be measured is infinitely far."""
        if sought == self._asked:
            return candidate.distance
        try:
            return _distance(self._measured(candidate.values, list(sought)), sought, self.scales)
        except FeatureError:
            return np.inf

    def _measured(self, values: np.ndarray, names: Sequence[str]) -> dict[str, float]:
        """Features of an edit, where any are to be measured."""
        if not names:
            return {}
        u = self.scene.intensity.normalize(values)
        found = measure_texture(u, self.region.judged, self.region.geometry, self.scene.domain.radiomics, names)
        return {name: found[name] for name in names}


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


def _sought(
    edit: TextureEdit, region: EditRegion, scales: Mapping[str, FeatureScale]
) -> tuple[dict[str, float], tuple[Sequence[float], ...]]:
    """Features by which noise and grain are chosen, and what there is to choose from.

    Where texture is asked for it decides. Else the noise is the scan's, and the grain follows the real tumor that was drawn,
    but in the smallest tumors, which have none; as that tumor's border was another, nothing is sharpened for its sake.
    """
    asked = {name: value for name, value in (edit.features or {}).items() if name in scales}
    plain = (1.0,) if edit.noise else (0.0,)
    if _beyond_histogram(asked):
        return asked, (NOISE_LEVELS if edit.noise else plain, GRAINS)
    large = int(region.judged.sum()) >= _FEWEST
    drawn = {name: value for name, value in edit.drawn.items() if name == CORRELATION and name in scales and large}
    return drawn, (plain, [grain for grain in GRAINS if grain >= 0.0] if drawn else (0.0,))


def _beyond_histogram(features: Mapping[str, float]) -> dict[str, float]:
    """Those that depend on where the values are."""
    return {name: value for name, value in features.items() if not name.startswith("firstorder_")}


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
    mask = inside if inside.sum() >= _FEWEST else region.judged
    variance, mean = float(u[mask].var()), float(u[mask].mean())
    wanted = min(_without_noise(edit.drawn[VARIANCE], noise_sd), TYPICAL_STRETCH**2 * variance)
    if wanted <= variance:
        return (mean + np.sqrt(wanted / max(variance, 1e-12)) * (u - mean)).astype(np.float32)
    patches = smoothed_within(u - mean, mask, _GRAIN_MM, region.geometry.spacing)
    (spread, shared), (_, grain) = np.cov(patches[mask], (u - mean - patches)[mask], bias=True)
    more = np.sqrt(max(shared**2 + spread * (wanted - grain), 0.0)) - shared
    gain = float(np.clip(more / max(spread, 1e-12), 1.0, LARGEST_GAIN))
    return (u + (gain - 1.0) * patches).astype(np.float32)


def _without_noise(variance: float, noise_sd: float) -> float:
    """The share of a variance that is left to the prediction."""
    return max(variance - noise_sd**2, SMOOTH_SHARE * variance, 0.0)


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


def _distance(measured: Mapping[str, float], asked: Mapping[str, float], scales: Mapping[str, FeatureScale]) -> float:
    if not measured:
        return 0.0
    errors = [scales[name].score(value) - scales[name].score(asked[name]) for name, value in measured.items()]
    return float(np.sqrt(np.mean(np.square(errors))))


class _Reports:
    """Progress of a search of unknown length: it nears its end by the same share with everything that is tried."""

    def __init__(self, progress: Callable[[float], None] | None) -> None:
        self._progress, self._share = progress, 0.0

    def one_more(self) -> None:
        """Something else is tried."""
        self._share += 0.2 * (1.0 - self._share)
        self._tell()

    def end(self) -> None:
        """The best was found."""
        self._share = 1.0
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._share)
