"""One tumor of the texture table: what is measured on the real one, what the networks draw, and how each arm is finished.

The tumor is real and lies in the scan, so it is taken out first: its mask and a band of 1.5 voxels are filled harmonically
(``cases.blanked``), and every arm edits that scan. What the scan says about the tumor beyond this band stays, for example
the spill of a hot spot in PET, and the intensity scale of MR is that of the whole scan; the arms without network see the
same.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.candidates import edit_texture
from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.edit import Candidate, EditRegion, Prediction, TextureEdit, edit_region, work_task
from TumorSynthLib.errors import FeatureError
from TumorSynthLib.evaluate.cases import Case, Row, blanked, read_case
from TumorSynthLib.feature_names import TEXTURE_FEATURES
from TumorSynthLib.features import measure_texture
from TumorSynthLib.finishing import finish
from TumorSynthLib.intensity import MEAN
from TumorSynthLib.resample import resample
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.scene import Scene
from TumorSynthLib.synthesis import candidate_seeds
from TumorSynthLib.texture import Sampling, TextureModel
from TumorSynthLib.volume import Geometry, Volume

CANDIDATES = 4
"""Samples of which the best is kept."""

Features = dict[str, float]


@dataclass(frozen=True, eq=False)
class Tumor:
    """A real tumor, and its scan without it."""

    case: Case
    """The scan as it is."""
    mask: np.ndarray
    """The tumor, bool on the scan's grid."""
    blank: Volume
    """The scan without the tumor."""
    features: Features
    """What PyRadiomics measures on the real tumor."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the networks made of a tumor, as network input on the working grid, and what had been asked for."""

    tumor: Tumor
    """Whose mask."""
    grid: Geometry
    """The working grid."""
    asked: Features
    """The tumor's own features that the bundle has tokens for."""
    other: Features | None
    """Those of another patient's tumor; None where there is no other patient."""
    own: Mapping[bool, list[Candidate]]
    """Candidates for ``asked``, without and with calibration, as an edit makes and sorts them; none where they cannot be
    measured."""
    free: np.ndarray
    """A sample for a tumor of which nothing is asked, (size, size, size)."""
    swapped: np.ndarray | None
    """A sample for ``other``."""
    codec: np.ndarray
    """The real scan after encoding and decoding."""
    seed: int
    """Seed of all samples but the further candidates."""
    scales: Mapping[str, FeatureScale]
    """Scales of the features, by which candidates are compared."""


def read_tumor(row: Row, data: Path, bundle: Bundle) -> Tumor:
    """The tumor of an index row (label 1), measured on the scan's own grid."""
    case = read_case(data, row, bundle)
    mask = case.labels == 1
    region = edit_region(case.scene(), TextureEdit(mask, {}))
    return Tumor(case, mask, blanked(case, mask), measured(region, region.u, case))


def measured(region: EditRegion, u: np.ndarray, case: Case, names: Sequence[str] | None = None) -> Features:
    """Features of domain values inside the mask, all unless named; none where they cannot be measured."""
    try:
        return measure_texture(u, region.mask, region.geometry, case.domain.radiomics, names)
    except FeatureError:
        return {}


def draw(tumor: Tumor, other: Tumor | None, model: TextureModel, steps: int, guidance: float) -> Drawn:
    """Run the networks for every arm of one tumor.

    Parameters
    ----------
    tumor : the mask and its own features.
    other : another patient's tumor of the same modality, whose features are asked for in the swap.
    model : warm networks.
    steps, guidance : of the sampler.
    """
    seeds = candidate_seeds(zlib.crc32(tumor.case.id.encode()), CANDIDATES)
    scene, tokens = tumor.case.scene(tumor.blank), model.config.tokens

    def sampled(features: Features) -> np.ndarray:
        task, _ = work_task(scene, TextureEdit(tumor.mask, features), WorkConfig())
        return model.synthesize(task, Sampling(steps, guidance, seeds[:1]))[0]

    def edited(match: bool) -> list[Candidate]:
        edit = TextureEdit(tumor.mask, asked, match=match)
        try:
            return edit_texture(scene, edit, model, Sampling(steps, guidance, seeds), lambda stage, share: None)
        except FeatureError:
            return []

    asked = {name: tumor.features[name] for name in tokens if name in tumor.features}
    wanted = None if other is None else {name: other.features[name] for name in tokens if name in other.features}
    real, grid = work_task(tumor.case.scene(), TextureEdit(tumor.mask, asked), WorkConfig())
    return Drawn(
        tumor,
        grid,
        asked,
        wanted,
        {match: edited(match) for match in (False, True)},
        sampled({}),
        None if wanted is None else sampled(wanted),
        model.reconstruct(real.v),
        seeds[0],
        model.scales[tumor.case.domain.id],
    )


class Finisher:
    """Brings predictions to the scan's grid, gives them noise and calibration as an edit does, and measures them.

    Parameters
    ----------
    tumor : that is remade.
    grid : the working grid of the predictions.
    scales : by which noise levels and candidates are compared.
    """

    def __init__(self, tumor: Tumor, grid: Geometry, scales: Mapping[str, FeatureScale]) -> None:
        self.tumor, self.case, self.grid, self.scales = tumor, tumor.case, grid, scales
        self.scene: Scene = self.case.scene(tumor.blank)
        self.region = edit_region(self.scene, TextureEdit(tumor.mask, {}))

    def native(self, v: np.ndarray) -> np.ndarray:
        """Domain values on the scan's grid."""
        return resample(self.case.intensity.from_input(v), self.grid, self.region.geometry, smooth=False)

    def candidate(self, u: np.ndarray, features: Features, match: bool, seed: int, noise: bool = True) -> Candidate | None:
        """The finished edit; None where its features cannot be measured."""
        return self.finished(u, TextureEdit(self.tumor.mask, features, noise, match), seed)

    def finished(self, u: np.ndarray, edit: TextureEdit, seed: int) -> Candidate | None:
        """The same of an edit that may draw what it does not ask for."""
        try:
            return finish(self.scene, edit, self.region, Prediction(u, float(self.grid.spacing[0]), seed), self.scales)
        except FeatureError:
            return None

    def features(self, candidate: Candidate | None) -> Features:
        """Features of a finished edit."""
        if candidate is None:
            return {}
        return measured(self.region, self.case.intensity.normalize(candidate.values), self.case)

    def arm(self, u: np.ndarray, features: Features, match: bool, seed: int) -> Features:
        """Features of a prediction after finishing."""
        return self.features(self.candidate(u, features, match, seed))


def finish_arms(drawn: Drawn) -> dict[str, Features]:
    """Features of every arm of one tumor, measured on the scan's own grid."""
    work = Finisher(drawn.tumor, drawn.grid, drawn.scales)
    seed = drawn.seed
    free, smooth = work.native(drawn.free), work.region.u
    arms = {"real": drawn.tumor.features}
    for match, suffix in ((False, ""), (True, "_calibrated")):
        candidates = drawn.own[match]
        first = next((candidate for candidate in candidates if candidate.seed == seed), None)
        arms["bridge_1" + suffix] = work.features(first)
        arms["bridge_4" + suffix] = work.features(candidates[0] if candidates else None)
    arms["no_features"] = work.arm(free, {}, False, seed)
    arms["no_features_calibrated"] = work.arm(free, drawn.asked, True, seed)
    arms["smooth_fill"] = measured(work.region, smooth, work.case)
    arms["smooth_fill_noise"] = work.arm(smooth, drawn.asked, False, seed)
    flat = np.where(work.region.mask, np.float32(drawn.asked.get(MEAN, np.nan)), smooth)
    arms["flat_noise"] = work.arm(flat, drawn.asked, False, seed) if MEAN in drawn.asked else {}
    arms["smooth_fill_calibrated"] = work.arm(smooth, drawn.asked, True, seed)
    codec = work.native(drawn.codec)
    arms["codec"] = measured(work.region, codec, work.case)
    arms["codec_noise"] = work.arm(codec, drawn.asked, False, seed)
    if drawn.swapped is not None and drawn.other is not None:
        swapped = work.native(drawn.swapped)
        arms["swap"] = work.arm(swapped, drawn.other, False, seed)
        arms["swap_calibrated"] = work.arm(swapped, drawn.other, True, seed)
        arms["swap_smooth_fill_calibrated"] = work.arm(smooth, drawn.other, True, seed)
    return arms


def table(features: list[Features]) -> np.ndarray:
    """Features of cases as an array (cases, all features); NaN where unknown."""
    return np.array([[line.get(name, np.nan) for name in TEXTURE_FEATURES] for line in features], dtype=np.float64)
