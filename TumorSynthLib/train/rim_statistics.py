"""How strong and wide the rims of real tumors are, per domain, beside what the same measurement finds around healthy places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage, stats

from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.dataset import HEALTHY, TUMOR, TrainingData, flip
from TumorSynthLib.resample import resample
from TumorSynthLib.rim import rim_profile, similar_tissue
from TumorSynthLib.volume import Box, work_grid

FARTHER_MM = (12.0, 20.0)
"""Where the tissue that a rim is compared with lies."""
NEAR_MM = (1.0, 4.0)
"""Where the rim's contrast is taken; nearer, voxels show part of the tumor."""
CLEAR_MM = 10.0
"""How far healthy places keep their surroundings from a tumor."""
FEWEST_TUMORS = 3
"""Tumors that a domain must have to speak for itself."""
HEALTHY_PER_IMAGE = 4
"""Healthy places measured per image."""
SIGNIFICANT = 0.05
"""Two-sided level of the rank test of tumors against healthy places."""
LENDERS = {
    "brain-t1": "brain-t1c",
    "brain-t2": "brain-flair",
    "abdomen-ct": "soft-tissue-ct",
    "head-neck-pet": "soft-tissue-pet",
}
"""Domains of the same unit whose rims stand in for those of a domain with too few tumors."""
_BINS = 10
PART = 0.02
"""Share of a region in a voxel from which on the voxel shows some of it."""
_NEARLY_ALL = 0.8
_FEWEST_VOXELS = 10
_FEWEST_FARTHER = 50


@dataclass(frozen=True, eq=False)
class Rim:
    """What surrounds one region."""

    profile: np.ndarray
    """Mean value in shells of 1 mm minus that of farther tissue of the same class, shape (10,); NaN where no voxels are."""
    noise: float
    """Standard error of the farther tissue's mean if its voxels were independent."""
    tumor: float
    """Mean value inside the region minus that of farther tissue."""

    def contrast(self, near: tuple[float, float]) -> float:
        """Mean of the profile over a stretch in whole mm; NaN where it has no voxels."""
        shells = self.profile[int(near[0]) : int(near[1])]
        return float(np.nanmean(shells)) if np.isfinite(shells).any() else float("nan")


def rim_entries(data: TrainingData) -> dict[str, dict[str, Any]]:
    """The rim of each domain, JSON-ready, for the bundle.

    Each has ``contrast`` (domain units: the strongest tenth of the tumors, drawn towards their median by how far the
    strongest tenth of as many healthy places is from its own; 0 where no rim can be told from noise), ``width_mm`` (way over
    which it falls by half), ``near_mm`` (where the contrast is taken), ``profile`` (median over tumors in shells of 1 mm,
    None where unknown), ``share`` (of the tumor's own contrast, largest tenth; None where unknown), ``tumors``, ``lender``
    (whose numbers these are, if not its own) and ``reason`` (why the contrast is 0; else empty). For the record: ``median``
    and ``strongest`` of the tumors as measured, ``healthy_median`` and ``healthy_strongest`` of as many healthy places, ``p``
    of the rank test between both, and ``with_tumor``, the rank correlation of a rim with its tumor's contrast (near 1: it is
    the tumor's own blur).
    """
    tumors, healthy = measured_rims(data)
    own = {domain.id: _entry(tumors[domain.id], healthy[domain.id]) for domain in DOMAINS}
    entries = {}
    for domain in DOMAINS:
        entry, lender = own[domain.id], LENDERS.get(domain.id, "")
        if entry["tumors"] < FEWEST_TUMORS and lender and own[lender]["tumors"] >= FEWEST_TUMORS:
            entry = {**own[lender], "lender": lender}
        entries[domain.id] = entry
    return entries


def measured_rims(data: TrainingData) -> tuple[dict[str, list[Rim]], dict[str, list[Rim]]]:
    """By domain, what surrounds the tumors and what surrounds healthy places of the same images."""
    tumors: dict[str, list[Rim]] = {domain.id: [] for domain in DOMAINS}
    healthy: dict[str, list[Rim]] = {domain.id: [] for domain in DOMAINS}
    finest = finest_views(data)
    for number, image in enumerate(data.images):
        members = [index for index, region in enumerate(data.regions) if region.image == number]
        places = [index for index in members if data.regions[index].kind == HEALTHY]
        apart = np.zeros(image.counts.shape, bool)
        if number in finest:
            box, soft = native_mask(data, finest[number])
            steps = tuple(image.geometry.spacing)
            apart[box.slices] = ndimage.distance_transform_edt(soft <= 0.5, sampling=steps) <= CLEAR_MM
            tumors[image.domain.id] += measured_rim(data, number, box, soft, np.zeros(soft.shape, bool))
        for index in places[:: max(1, len(places) // HEALTHY_PER_IMAGE)][:HEALTHY_PER_IMAGE]:
            box, soft = native_mask(data, index)
            healthy[image.domain.id] += measured_rim(data, number, box, soft, apart[box.slices])
    return tumors, healthy


def finest_views(data: TrainingData) -> dict[int, int]:
    """By image, the region that shows its whole tumor finest; all its views show the same tumor."""
    views: dict[int, int] = {}
    for index, region in enumerate(data.regions):
        before = views.get(region.image)
        if region.kind == TUMOR and (before is None or region.spacing < data.regions[before].spacing):
            views[region.image] = index
    return views


def native_mask(data: TrainingData, index: int) -> tuple[Box, np.ndarray]:
    """A region's share of each voxel on its image's own grid, with surroundings as far as farther tissue is looked for."""
    region = data.regions[index]
    geometry = data.images[region.image].geometry
    grid = work_grid(geometry, np.array(region.center), region.spacing, data.work.size)
    middle = geometry.to_ijk(np.array(region.center))
    reach = (0.5 * data.work.size * region.spacing + FARTHER_MM[1]) / geometry.spacing
    start = np.clip(np.floor(middle - reach), 0, np.array(geometry.shape) - 1).astype(int)
    stop = np.clip(np.ceil(middle + reach) + 1, start + 1, np.array(geometry.shape)).astype(int)
    box = Box(tuple(start.tolist()), tuple(stop.tolist()))
    mask = flip(data.mask(index), region.flips).astype(np.float32)
    return box, resample(mask, grid, geometry.cropped(box), outside=0.0)


def measured_rim(data: TrainingData, number: int, box: Box, soft: np.ndarray, apart: np.ndarray) -> list[Rim]:
    """What surrounds a region, without voxels of ``apart`` or with a part of the region; empty where there is too little."""
    image, mask = data.images[number], soft > 0.5
    if not mask.any():
        return []
    u = image.counts[box.slices] * np.float32(image.step)
    distance = ndimage.distance_transform_edt(~mask, sampling=tuple(image.geometry.spacing))
    # What lies beyond has no say in which classes there are.
    around = np.where(distance <= FARTHER_MM[1], distance, 0.0)
    tissue = similar_tissue(u, around, image.domain) & ~apart & (soft < PART)
    farther = tissue & (distance > FARTHER_MM[0])
    if int(farther.sum()) < _FEWEST_FARTHER:
        return []
    level = float(u[farther].mean())
    shells = [u[tissue & (distance > n) & (distance <= n + 1)] for n in range(_BINS)]
    profile = np.array([values.mean() - level if values.size >= _FEWEST_VOXELS else np.nan for values in shells])
    noise = float(u[farther].std() / np.sqrt(farther.sum()))
    rim = Rim(profile, noise, float(u[mask].mean()) - level)
    return [rim] if np.isfinite(rim.contrast(NEAR_MM)) else []


def _entry(tumors: Sequence[Rim], healthy: Sequence[Rim]) -> dict[str, Any]:
    """The entry of one domain from its own tumors."""
    empty = {"contrast": 0.0, "width_mm": 2.0, "near_mm": list(NEAR_MM), "profile": [None] * _BINS, "share": None}
    entry: dict[str, Any] = {**empty, "tumors": len(tumors), "lender": ""}
    if len(tumors) < FEWEST_TUMORS or len(healthy) < FEWEST_TUMORS:
        return {**entry, "reason": f"only {len(tumors)} tumors with enough tissue around them were there to measure"}
    profile, near = _median_profile(tumors), _near(tumors)
    contrasts, null = (_contrasts(rims, near) for rims in (tumors, healthy))
    p = float(stats.mannwhitneyu(contrasts, null).pvalue)
    median, usual = float(np.median(contrasts)), float(np.median(null))
    sign = float(np.sign(median - usual)) or 1.0
    strongest = sign * _strongest(sign * contrasts)
    # As many healthy places as there are tumors have a strongest tenth as well; only what exceeds it is the tumors' own.
    alike = np.quantile(sign * null, (np.arange(contrasts.size) + 0.5) / contrasts.size)
    chance = _strongest(alike) - float(np.median(alike))
    contrast = median + sign * float(np.sqrt(max((strongest - median) ** 2 - chance**2, 0.0)))
    known = p < SIGNIFICANT and sign * contrast > 0.0
    return entry | {
        "contrast": _short(contrast) if known else 0.0,
        "width_mm": _width(sign * profile, near),
        "near_mm": list(near),
        "profile": [_short(value) if np.isfinite(value) else None for value in profile],
        "share": _share(tumors, near),
        "median": _short(median),
        "strongest": _short(strongest),
        "healthy_median": _short(usual),
        "healthy_strongest": _short(usual + sign * chance),
        "p": _short(p),
        "with_tumor": _short(float(stats.spearmanr(contrasts, [rim.tumor for rim in _having(tumors, near)]).statistic)),
        "reason": "" if known else "the tissue around real tumors cannot be told from that around healthy places",
    }


def _having(rims: Sequence[Rim], near: tuple[float, float]) -> list[Rim]:
    """The rims that have voxels in a stretch."""
    return [rim for rim in rims if np.isfinite(rim.contrast(near))]


def _contrasts(rims: Sequence[Rim], near: tuple[float, float]) -> np.ndarray:
    """Their contrasts in a stretch."""
    return np.array([rim.contrast(near) for rim in _having(rims, near)])


def _strongest(values: np.ndarray) -> float:
    """Mean of the largest tenth (at least one)."""
    count = max(1, -(-values.size // 10))
    return float(np.sort(values)[-count:].mean())


def _median_profile(rims: Sequence[Rim]) -> np.ndarray:
    """Median over tumors of each shell that at least half of them have."""
    stacked = np.stack([rim.profile for rim in rims])
    enough = np.isfinite(stacked).mean(axis=0) >= 0.5
    return np.array([np.nanmedian(stacked[:, n]) if enough[n] else np.nan for n in range(_BINS)])


def _near(rims: Sequence[Rim]) -> tuple[float, float]:
    """The part of ``NEAR_MM`` of which nearly all tumors have voxels, or else the shell of which most have."""
    shares = np.isfinite(np.stack([rim.profile for rim in rims])).mean(axis=0)
    known = [n for n in range(int(NEAR_MM[0]), int(NEAR_MM[1])) if shares[n] >= _NEARLY_ALL]
    if not known:
        known = [int(NEAR_MM[0]) + int(np.argmax(shares[int(NEAR_MM[0]) : int(NEAR_MM[1])]))]
    return float(known[0]), float(known[-1] + 1)


def _width(profile: np.ndarray, near: tuple[float, float]) -> float:
    """Way in mm over which the rim falls by half: the best fit of ``rim_profile`` to a profile, by least squares."""
    known = np.isfinite(profile) & (np.arange(_BINS) >= near[0])
    middles, level = np.arange(_BINS)[known] + 0.5, profile[known]
    widths = np.arange(1.0, 5.01, 0.25)

    def misfit(width: float) -> float:
        model = rim_profile(middles, width, near)
        return float(np.sum((level - model * max(level @ model, 0.0) / (model @ model)) ** 2))

    return float(min(widths, key=misfit))


def _share(rims: Sequence[Rim], near: tuple[float, float]) -> float | None:
    """The rim's contrast as a share of the tumor's in the largest tenth of the tumors that differ clearly from tissue."""
    scale = float(np.median([abs(rim.tumor) for rim in rims]))
    clear = [rim for rim in _having(rims, near) if abs(rim.tumor) >= max(0.5 * scale, 3.0 * rim.noise)]
    shares = [rim.contrast(near) / rim.tumor for rim in clear]
    return _short(min(_strongest(np.array(shares)), 1.0)) if len(shares) >= FEWEST_TUMORS and np.median(shares) > 0 else None


def _short(value: float) -> float:
    return float(f"{value:.4g}")
