"""What a bundle says about its domains: statistics, and what real tumors of each look like."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from TumorSynthLib.bundle import Bundle, domain_entry
from TumorSynthLib.configs import DOMAINS, TEXTURE_TOKENS, Domain
from TumorSynthLib.dataset import CORE, PART, REST, TUMOR, TrainingData
from TumorSynthLib.scaling import feature_statistics
from TumorSynthLib.train.feature_scales import domain_members
from TumorSynthLib.train.joint_statistics import joint_entries
from TumorSynthLib.train.rim_statistics import rim_entries
from TumorSynthLib.train.tissue_statistics import dark_tissues, follows_tissue
from TumorSynthLib.typical import BESIDE, VOLUME

Found = TypeVar("Found")
"""What is known of the tumors of a domain."""


def domain_entries(
    data: TrainingData, scales: Mapping[str, Sequence[Sequence[float]]], tokens: Sequence[str], base: Bundle | None = None
) -> list[dict[str, Any]]:
    """Domains with the statistics of their training regions, what real tumors look like, and what lies around them.

    Parameters
    ----------
    data : training file.
    scales : quantiles of each token's feature by domain, as the bridge was trained with; the others come from the data.
    tokens : names of these features.
    base : bundle that training started from; it speaks for domains that the data do not have.
    """
    members, tumors = domain_members(data), np.array([region.kind == TUMOR for region in data.regions], dtype=bool)
    present = {image.domain.id for image in data.images}
    known = {} if base is None else {entry["id"]: dict(entry) for entry in base.info["domains"]}
    joint, rims, dark = joint_entries(data), rim_entries(data), dark_tissues(data)
    entries = []
    for index, domain in enumerate(DOMAINS):
        if domain.id in known and domain.id not in present:
            entries.append(known[domain.id])
            continue
        statistics = feature_statistics(data.features[members[index]], data.names, tumors[members[index]])
        for name, quantiles in zip(tokens, scales.get(domain.id, ()), strict=False):
            if name in statistics:
                statistics[name]["quantiles"] = [float(f"{quantile:.6g}") for quantile in quantiles]
        looks = {
            "exemplars": exemplars(data, domain, dark),
            "part_exemplars": part_exemplars(data, domain, dark),
            "follows_tissue": follows_tissue(data, domain, dark),
        }
        entries.append({**domain_entry(domain, statistics), **looks, **joint.get(domain.id, {}), "rim": rims[domain.id]})
    return entries


def exemplars(data: TrainingData, domain: Domain, dark: Mapping[int, float]) -> list[dict[str, float]]:
    """Token features and volume of each tumor, and of each part of one, of a domain, with the tissue beside it."""
    found: dict[str, dict[tuple[float, ...], dict[str, float]]] = {}
    for number, region in enumerate(data.regions):
        entry = _exemplar(data, number, dark)
        if region.kind in (TUMOR, PART) and entry:
            # Several views of one tumor have the same features: one is enough.
            found.setdefault(data.images[region.image].domain.id, {})[tuple(entry.values())] = entry
    return list(_own_or_borrowed(found, domain, {}).values())


def part_exemplars(data: TrainingData, domain: Domain, dark: Mapping[int, float]) -> list[dict[str, dict[str, float]]]:
    """Token features and volume of the core and of the rest of each tumor of a domain, with the tissue beside it."""
    sides: dict[int, dict[str, dict[str, float]]] = {}
    for number, region in enumerate(data.regions):
        entry = _exemplar(data, number, dark)
        if region.kind in (CORE, REST) and entry:
            sides.setdefault(region.image, {})["core" if region.kind == CORE else "rest"] = entry
    found: dict[str, list[dict[str, dict[str, float]]]] = {}
    for image, pair in sides.items():
        if len(pair) == 2:
            found.setdefault(data.images[image].domain.id, []).append(pair)
    return _own_or_borrowed(found, domain, [])


def _exemplar(data: TrainingData, number: int, dark: Mapping[int, float]) -> dict[str, float]:
    """Token features and volume of a region, with the tissue beside it; empty where one of them is undefined."""
    values = data.features[number][[data.names.index(name) for name in TEXTURE_TOKENS]]
    if not np.isfinite(values).all():
        return {}
    entry = dict(zip((*TEXTURE_TOKENS, VOLUME), (*values, data.regions[number].volume_mm3), strict=True))
    image = data.regions[number].image
    if image in dark:
        entry[BESIDE] = dark[image]
    return {name: float(f"{value:.5g}") for name, value in entry.items()}


def _own_or_borrowed(found: Mapping[str, Found], domain: Domain, nothing: Found) -> Found:
    """What was found for a domain, or for the first one with the same unit and intensity range."""
    for other in (domain, *DOMAINS):
        same = (other.unit, other.center, other.scale) == (domain.unit, domain.center, domain.scale)
        if same and other.id in found:
            return found[other.id]
    return nothing
