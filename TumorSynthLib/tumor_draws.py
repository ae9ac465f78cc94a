"""Plausible new tumors: shape and texture features drawn together from a bundle's statistics, within what the user fixed.

Volume, elongation, flatness and sphericity are drawn one after the other, each from its normal score given those before it and
truncated to its range; those with a range come first. No tumor is drawn that the scan's voxels could not show: too small a one,
or one smoother than an ellipsoid is on them. Texture is drawn given the whole shape: from the joint model of the domain, or,
where a bundle has none, as that of one real tumor of about the size.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import TEXTURE_TOKENS, Domain
from TumorSynthLib.errors import RequestError
from TumorSynthLib.joint import JointModel, Score
from TumorSynthLib.protocol import SHAPE_ALIASES
from TumorSynthLib.scaling import LEVELS, FeatureScale, fit_scale, scales
from TumorSynthLib.shape import organ_token, random_rotation
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.shape_joint import own_shapes, shape_model
from TumorSynthLib.shape_surface import sphericity
from TumorSynthLib.typical import complete_texture

VOLUME = "shape_VoxelVolume"
_ELONGATION, _FLATNESS, _SPHERICITY = "shape_Elongation", "shape_Flatness", "shape_Sphericity"
DRAWN = (VOLUME, _ELONGATION, _FLATNESS, _SPHERICITY)
"""Shape features that are drawn, in this order; all others follow from them."""
STEERABLE = tuple(
    dict.fromkeys(
        (
            "firstorder_Mean",
            "firstorder_Variance",
            "glcm_Contrast",
            "firstorder_90Percentile",
            "glcm_Idm",
            "firstorder_10Percentile",
            "ngtdm_Contrast",
            *TEXTURE_TOKENS,
        )
    )
)
"""Texture features in the order in which they are asked for: first those that results obey and that say different things."""
_NORMAL = NormalDist()
_OUTERMOST = _NORMAL.inv_cdf(float(LEVELS[-1]))
"""Normal score of the outermost quantile; nothing is known beyond."""
LEAST_VOXELS = 64
"""Voxels that a drawn tumor has at least; fewer show neither proportions nor texture."""
_DIRECTIONS = 3
"""Directions in which an ellipsoid is tried on a scan's voxels."""
_ELLIPSOID_VOXELS = 5_000
"""Voxels by which an ellipsoid's surface is judged; more hardly change it."""
_ORDER = ("firstorder_10Percentile", "firstorder_Mean", "firstorder_90Percentile")
_ORDER_TRIES = 20
"""Textures drawn until mean and percentiles are in order; a copula does not know that they must be, one in 25 is not."""
_ENOUGH = 10
"""Real tumors of a domain from which on their volumes are a distribution."""


@dataclass(frozen=True)
class Wishes:
    """What the user wants of the tumors' features."""

    shape: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest value of shape features by PyRadiomics name (volumes in mm^3); equal ones fix the feature."""
    texture: Mapping[str, float] = field(default_factory=dict)
    """Fixed texture features by PyRadiomics name."""
    count: int = 3
    """How many further texture features are asked for."""

    def __post_init__(self) -> None:
        for name, (low, high) in self.shape.items():
            if name not in DRAWN:
                known = [alias for alias, full in SHAPE_ALIASES.items() if full in DRAWN]
                message = f"{name} is not among the shape features that are drawn."
                raise RequestError("plan.feature", message, f"Give {', '.join(known)}; all others follow from these.")
            if not low <= high:
                raise RequestError(
                    "plan.range", f"{name} has the range {_shown(name, low, high)}.", "Give the lower end first."
                )
        if self.range(_FLATNESS)[0] > self.range(_ELONGATION)[1]:
            message = "The flatness asked for is above the elongation; no least axis is longer than the middle one."
            raise RequestError("plan.range", message, "Give a flatness of at most the elongation.")

    def range(self, name: str) -> tuple[float, float]:
        """Lowest and highest value of a shape feature."""
        return self.shape.get(name, (0.0, np.inf))

    @property
    def fixed(self) -> dict[str, float]:
        """Shape features that have one value."""
        return {name: low for name, (low, high) in self.shape.items() if low == high}


class TumorDraws:
    """Draws tumors of one domain.

    Raises
    ------
    RequestError : ``plan.range`` when a range holds nothing that the statistics know.
    """

    def __init__(self, bundle: Bundle, domain: Domain, wishes: Wishes) -> None:
        self.wishes = wishes
        self.joint = bundle.joint(domain.id)
        self._exemplars = bundle.exemplars(domain.id)
        self._scales = scales(bundle.statistics(domain.id))
        organ = organ_token(domain.organ)
        self.shapes: JointModel = shape_model(bundle.shape_statistics, organ)
        self._shape_scales = dict(zip(self.shapes.names, self.shapes.scales, strict=True))
        volumes = np.array([exemplar[VOLUME] for exemplar in self._exemplars])
        if not own_shapes(bundle.shape_statistics, organ) and len(volumes) >= _ENOUGH:
            # The shapes of all organs together say nothing about the size of a tumor in this one, its own tumors do.
            self._shape_scales[VOLUME] = fit_scale(volumes)
        for name in self.wishes.shape.keys() - self.wishes.fixed.keys():
            self._check_range(name)

    def shape(self, rng: np.random.Generator, spacing: np.ndarray, below_mm3: float = np.inf) -> dict[str, float] | None:
        """Volume (mm^3), elongation, flatness and sphericity by PyRadiomics name; None where no volume is left.

        Parameters
        ----------
        rng : decides.
        spacing : voxel edges of the scan in mm.
        below_mm3 : upper bound of the volume beside the user's; a fixed volume ignores it.
        """
        known = self.wishes.fixed
        # Features with a range come first, so that those without one follow them.
        for name in sorted((name for name in DRAWN if name not in known), key=lambda name: name not in self.wishes.shape):
            low, high = self._bounds(name, known, spacing)
            if name == VOLUME:
                high = min(high, below_mm3)
                known_volumes = self._shape_scales[VOLUME].quantiles
                if low >= min(high, known_volumes[-1]) or high <= known_volumes[0]:
                    return None
            score = self.shapes.conditional(known)[name]
            drawn = _truncated(self._shape_scales[name], score, low, high, rng)
            known[name] = float(np.clip(rounded(drawn), low, high))
        return {name: known[name] for name in DRAWN}

    def texture(self, shape: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
        """The texture features to ask for in a tumor of that shape, the fixed ones among them."""
        fixed = dict(self.wishes.texture)
        if self.joint is None:
            drawn = complete_texture(fixed, shape[VOLUME], self._exemplars, self._scales, int(rng.integers(2**31)))
        else:
            for _ in range(_ORDER_TRIES):
                drawn = self.joint.draw({**shape, **fixed}, rng)
                if _in_order(drawn | fixed):
                    break
        names = [name for name in STEERABLE if name in drawn and name not in fixed][: self.wishes.count]
        return {**fixed, **{name: rounded(drawn[name]) for name in names}}

    def _bounds(self, name: str, known: Mapping[str, float], spacing: np.ndarray) -> tuple[float, float]:
        """The range of a feature, narrowed to what the voxels and the features before it leave."""
        low, high = self.wishes.range(name)
        if name == VOLUME:
            low = max(low, LEAST_VOXELS * float(np.prod(spacing)))
        elif name == _ELONGATION:
            low = max(low, known.get(_FLATNESS, self.wishes.range(_FLATNESS)[0]))
        elif name == _FLATNESS:
            high = min(high, known.get(_ELONGATION, np.inf))
        elif name not in self.wishes.shape:
            high = min(high, smoothest(known[VOLUME], known[_ELONGATION], known[_FLATNESS], spacing))
        return low, high

    def _check_range(self, name: str) -> None:
        low, high = self.wishes.range(name)
        known = self._shape_scales[name].quantiles
        if low > known[-1] or high < known[0]:
            found = f"the bundle's tumors have {_shown(name, known[0], known[-1])}"
            message = f"{name} of {_shown(name, low, high)} was asked for; {found}."
            raise RequestError("plan.range", message, "Widen the range, or fix the feature to one value.")


def _in_order(texture: Mapping[str, float]) -> bool:
    """Whether the mean lies between the percentiles, as it does in all but the strangest real tumors."""
    known = [texture[name] for name in _ORDER if name in texture]
    return known == sorted(known)


def _shown(name: str, low: float, high: float) -> str:
    """A range as the user gives it, volumes in mL."""
    factor, unit = (1e-3, " mL") if name == VOLUME else (1.0, "")
    return f"{factor * low:.4g} to {factor * high:.4g}{unit}"


def rounded(value: float) -> float:
    """A value with five significant digits."""
    return float(f"{value:.5g}")


def smoothest(volume_mm3: float, elongation: float, flatness: float, spacing: np.ndarray) -> float:
    """The sphericity that PyRadiomics measures on an ellipsoid in the least favorable of a few directions.

    Parameters
    ----------
    volume_mm3, elongation, flatness : of the ellipsoid.
    spacing : voxel edges in mm; the staircase of thick slices costs a smooth tumor a tenth of its sphericity.
    """
    semi_axes = np.array([1.0, elongation, flatness])
    semi_axes *= np.cbrt(volume_mm3 / (BALL_VOLUME * semi_axes.prod()))
    voxel = np.asarray(spacing) * max(1.0, np.cbrt(volume_mm3 / np.prod(spacing) / _ELLIPSOID_VOXELS))
    reach = np.ceil(semi_axes[0] / voxel).astype(int) + 1
    lines = [np.arange(-n, n + 1) * edge for n, edge in zip(reach, voxel, strict=True)]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
    rng = np.random.default_rng(0)
    masks = (np.square(points @ random_rotation(rng) / semi_axes).sum(axis=-1) <= 1.0 for _ in range(_DIRECTIONS))
    return min(sphericity(mask, voxel) for mask in masks)


def _truncated(scale: FeatureScale, score: Score, low: float, high: float, rng: np.random.Generator) -> float:
    """A value whose normal score is normal with ``score``'s mean and spread, between two values."""
    ends = np.clip([scale.score(low), scale.score(min(high, scale.quantiles[-1]))], -_OUTERMOST, _OUTERMOST)
    spread = max(score.sd, 1e-6)
    shares = [_NORMAL.cdf(float(end - score.mean) / spread) for end in ends]
    share = float(np.clip(rng.uniform(min(shares), max(shares)), 1e-12, 1.0 - 1e-12))
    drawn = score.mean + spread * _NORMAL.inv_cdf(share)
    return scale.value(float(np.clip(drawn, *ends)))
