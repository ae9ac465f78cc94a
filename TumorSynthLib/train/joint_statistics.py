"""What a bundle knows of how the features of real tumors vary together, and of how far real tumors are from typical ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from TumorSynthLib.agreement import agreement_on_grid
from TumorSynthLib.configs import DOMAINS, Domain
from TumorSynthLib.dataset import PART, TUMOR, TrainingData, flip
from TumorSynthLib.joint import fit_joint
from TumorSynthLib.quality import texture_distance
from TumorSynthLib.resample import resample
from TumorSynthLib.train.feature_scales import MIN_REGIONS
from TumorSynthLib.typical import VOLUME
from TumorSynthLib.volume import work_grid

MIN_PATIENTS = 5
"""Fewer patients say nothing about others."""
SHARE_PER_PATIENT = 0.1
"""Weight of each patient of a domain that borrows from others; all of them together have at most half."""
_QUANTILES = 401


@dataclass(frozen=True, eq=False)
class Tumors:
    """Whole tumors and parts of them, one view of each."""

    rows: np.ndarray
    """Indices of the regions."""
    values: np.ndarray
    """Texture features and volume, float64 (n, names)."""
    names: tuple[str, ...]
    """Names of the columns."""
    patients: np.ndarray
    """Patient of each."""
    domains: np.ndarray
    """Domain id of each."""
    units: np.ndarray
    """Unit of each."""
    whole: np.ndarray
    """Which are whole tumors, bool."""


def joint_entries(data: TrainingData) -> dict[str, dict[str, Any]]:
    """For each domain with tumors, what ``bundle.json`` says in ``joint`` and ``agreement`` of its entry.

    ``joint`` is the joint model of all texture features and the volume, with ``distances``, quantiles of the distance of each
    tumor and each part of one from the model of all other patients. ``agreement`` has the quantiles of the agreement of mask
    and image of whole tumors. A domain with few regions borrows those of all domains with its unit. A domain without images
    of its own (``trained_as``) has no entry.
    """
    tumors = distinct_tumors(data)
    agreements: dict[int, float] = dict(_agreements(data, tumors))
    entries = {}
    for domain in DOMAINS:
        chosen, repeats = members(tumors, domain)
        if domain.trained_as or len(set(tumors.patients[chosen])) < MIN_PATIENTS:
            continue
        model = fit_joint(tumors.values[chosen], tumors.names, tumors.patients[chosen], repeats)
        distances = left_out_distances(tumors, chosen, repeats)
        known = np.array([position in agreements for position in chosen])
        shown = [agreements[position] for position in chosen[known]]
        entries[domain.id] = {
            "joint": {**model.to_dict(), "distances": _line(np.repeat(distances, repeats), 4)},
            "agreement": {"count": len(shown), "quantiles": _line(np.repeat(shown, repeats[known]), 3)},
        }
    return entries


def distinct_tumors(data: TrainingData) -> Tumors:
    """Whole tumors and parts of them; of several views of one tumor, which have the same features, the first."""
    first: dict[tuple[int, int, bytes], int] = {}
    for row, (region, features) in enumerate(zip(data.regions, data.features, strict=True)):
        if region.kind in (TUMOR, PART):
            first.setdefault((region.image, region.kind, features.tobytes()), row)
    rows = np.array(sorted(first.values()), dtype=int)
    images = [data.images[data.regions[row].image] for row in rows]
    volumes = np.array([data.regions[row].volume_mm3 for row in rows], dtype=np.float64)
    return Tumors(
        rows,
        np.concatenate([data.features[rows].astype(np.float64), volumes[:, None]], axis=1),
        (*data.names, VOLUME),
        np.array([image.patient for image in images], dtype=str),
        np.array([image.domain.id for image in images], dtype=str),
        np.array([image.domain.unit for image in images], dtype=str),
        np.array([data.regions[row].kind == TUMOR for row in rows], dtype=bool),
    )


def members(tumors: Tumors, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """The tumors that stand for a domain, as positions, and how many times each counts."""
    own = tumors.domains == domain.id
    if own.sum() >= MIN_REGIONS:
        return np.flatnonzero(own), np.ones(int(own.sum()), dtype=int)
    chosen = np.flatnonzero(tumors.units == domain.unit)
    mine = own[chosen]
    share = min(0.5, SHARE_PER_PATIENT * len(set(tumors.patients[own])))
    times = 1
    if mine.any() and not mine.all():
        times = max(1, round(share / (1.0 - share) * int((~mine).sum()) / int(mine.sum())))
    return chosen, np.where(mine, times, 1)


def left_out_distances(tumors: Tumors, chosen: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """Distance of each chosen tumor from the joint model of the other patients, fitted as the model of all of them is."""
    values, patients = tumors.values[chosen], tumors.patients[chosen]
    distances = np.zeros(len(chosen))
    for patient in np.unique(patients):
        others = patients != patient
        model = fit_joint(values[others], tumors.names, patients[others], repeats[others])
        for row in np.flatnonzero(~others):
            distances[row] = texture_distance(model, dict(zip(tumors.names, values[row].tolist(), strict=True)))
    return distances


def _agreements(data: TrainingData, tumors: Tumors) -> Iterator[tuple[int, float]]:
    """Position and agreement of each whole tumor that has one, on its working grid."""
    for position in np.flatnonzero(tumors.whole).tolist():
        row = int(tumors.rows[position])
        region = data.regions[row]
        image = data.images[region.image]
        grid = work_grid(image.geometry, np.array(region.center), region.spacing, data.work.size)
        u = resample(image.counts, image.geometry, grid) * np.float32(image.step)
        there = resample(np.ones(image.counts.shape, np.uint8), image.geometry, grid, smooth=False, outside=0.0) > 0.5
        found = agreement_on_grid(flip(u, region.flips), data.mask(row), flip(there, region.flips))
        if found is not None:
            yield position, found


def _line(values: np.ndarray, digits: int) -> str:
    """Equally spaced quantiles as one string."""
    if len(values) == 0:
        return ""
    return " ".join(f"{q:.{digits}g}" for q in np.quantile(values, np.linspace(0.0, 1.0, _QUANTILES)))
