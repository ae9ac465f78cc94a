"""One tumor of the synthesis table: what the networks draw for it, and every arm as an edited scan."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.compositing import composite, soft_border
from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.edit import Candidate, EditRegion, TextureEdit, work_task
from TumorSynthLib.evaluate.cases import Case
from TumorSynthLib.evaluate.handmade import plain_texture, typical_level
from TumorSynthLib.evaluate.texture_arms import Features, Finisher, Tumor, measured
from TumorSynthLib.existing import centroid
from TumorSynthLib.handmade_shape import bent_ellipsoid
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.synthesis import candidate_seeds
from TumorSynthLib.texture import Sampling, TextureModel
from TumorSynthLib.volume import Box, Geometry

ARMS = (
    "bridge",
    "bridge_raw",
    "bridge_mean",
    "no_features",
    "random_patient",
    "smooth_fill",
    "smooth_fill_calibrated",
    "handmade",
    "codec",
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the networks made of a tumor, as network input on the working grid."""

    tumor: Tumor
    """Whose mask."""
    grid: Geometry
    """The working grid."""
    asked: Features
    """The tumor's own features that the bundle has tokens for."""
    other: Features | None
    """Those of another patient's tumor; None where there is no other patient."""
    volumes: Mapping[str, np.ndarray]
    """Predictions by arm."""
    scales: Mapping[str, FeatureScale]
    """Scales of the features."""
    exemplars: list[dict[str, float]]
    """Features of real tumors of the training data, of which the hand-made tumor takes its level."""


@dataclass(frozen=True, eq=False)
class Remade:
    """One arm of one tumor."""

    values: np.ndarray
    """Stored values in the box."""
    mask: np.ndarray
    """The tumor that was made, bool in the box."""
    features: Features
    """What PyRadiomics measures in it; empty where it cannot."""


@dataclass(frozen=True, eq=False)
class Remakes:
    """All arms of one tumor."""

    box: Box
    """Part of the scan that they fill."""
    arms: Mapping[str, Remade]
    """By name, as far as they could be made."""


def predict(tumor: Tumor, other: Tumor | None, model: TextureModel, bundle: Bundle, steps: int, guidance: float) -> Predictions:
    """Run the networks for one tumor.

    Parameters
    ----------
    tumor : the mask and its own features.
    other : another patient's tumor of the same modality, whose features are asked for in ``random_patient``.
    model : warm networks.
    bundle : of typical levels.
    steps, guidance : of the sampler.
    """
    scene, tokens = tumor.case.scene(tumor.blank), model.config.tokens
    seeds = seeds_of(tumor.case)

    def sampled(features: Features, sampling: Sampling) -> np.ndarray:
        task, _ = work_task(scene, TextureEdit(tumor.mask, features), WorkConfig())
        return model.synthesize(task, sampling)[0]

    asked = {name: tumor.features[name] for name in tokens if name in tumor.features}
    wanted = None if other is None else {name: other.features[name] for name in tokens if name in other.features}
    real, grid = work_task(tumor.case.scene(), TextureEdit(tumor.mask, asked), WorkConfig())
    usual = Sampling(steps, guidance, seeds)
    volumes = {
        "bridge": sampled(asked, usual),
        "bridge_mean": sampled(asked, Sampling(1, 1.0, seeds)),
        "no_features": sampled({}, usual),
        "codec": model.reconstruct(real.v),
    }
    if wanted is not None:
        volumes["random_patient"] = sampled(wanted, usual)
    name = tumor.case.domain.id
    return Predictions(tumor, grid, asked, wanted, volumes, model.scales[name], bundle.exemplars(name))


def seeds_of(case: Case) -> list[int]:
    """The one seed of a case, which does not depend on the other cases."""
    return candidate_seeds(zlib.crc32(case.id.encode()), 1)


def remake(predictions: Predictions) -> Remakes:
    """Every arm of one tumor, finished on the scan's grid and measured."""
    tumor = predictions.tumor
    work = Finisher(tumor, predictions.grid, predictions.scales)
    native = {name: work.native(v) for name, v in predictions.volumes.items()}
    (seed,), smooth, asked = seeds_of(tumor.case), work.region.u, predictions.asked
    candidates = {
        "bridge": work.candidate(native["bridge"], asked, True, seed),
        "bridge_raw": work.candidate(native["bridge"], asked, False, seed),
        "bridge_mean": work.candidate(native["bridge_mean"], asked, False, seed, noise=False),
        "no_features": work.candidate(native["no_features"], {}, False, seed),
        "smooth_fill_calibrated": work.candidate(smooth, asked, True, seed),
    }
    if predictions.other is not None:
        candidates["random_patient"] = work.candidate(native["random_patient"], predictions.other, True, seed)
    arms = {name: _remade(work, candidate) for name, candidate in candidates.items() if candidate is not None}
    arms["smooth_fill"] = Remade(work.region.x, work.region.mask, measured(work.region, smooth, tumor.case))
    arms["codec"] = through_codec(work.region, native["codec"], tumor)
    made = by_hand(work.region, tumor, predictions.exemplars, seed)
    if made is not None:
        arms["handmade"] = made
    return Remakes(work.region.box, arms)


def _remade(work: Finisher, candidate: Candidate) -> Remade:
    return Remade(candidate.values, work.region.mask, work.features(candidate))


def through_codec(region: EditRegion, u: np.ndarray, tumor: Tumor) -> Remade:
    """The real tumor after encoding and decoding, in the real scan."""
    intensity = tumor.case.intensity
    values = composite(tumor.case.scan.array[region.box.slices], intensity.denormalize(u), region.weights)
    return Remade(values, region.mask, measured(region, intensity.normalize(values), tumor.case))


def by_hand(region: EditRegion, tumor: Tumor, exemplars: list[dict[str, float]], seed: int) -> Remade | None:
    """A hand-made tumor of the real one's volume and place; None where the bundle knows no level."""
    rng = np.random.default_rng((seed, 2))
    level = typical_level(exemplars, rng)
    if level is None:
        return None
    geometry, case = region.geometry, tumor.case
    volume = float(region.mask.sum() * geometry.voxel_volume_mm3)
    mask = bent_ellipsoid(geometry, centroid(region.mask, geometry), volume, rng)
    made = case.intensity.denormalize(plain_texture(geometry, level, rng))
    values = composite(region.x, made, soft_border(mask, geometry.spacing))
    own = replace(region, mask=mask, judged=mask)
    return Remade(values, mask, measured(own, case.intensity.normalize(values), case))
