"""The scales on which features of each domain are told to the bridge: fitted to the data, kept from a bundle, or restored."""

from collections.abc import Mapping, Sequence

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.dataset import CHANGED, TrainingData
from TumorSynthLib.scaling import KNOTS, FeatureScale, fit_scale, scales

MIN_REGIONS = 150
"""Domains with fewer regions borrow the feature scales of all domains with their unit."""
STRANGE = 0.05
"""A domain is new to a bundle when so large a share of its features lies outside the bundle's outermost quantiles, beyond which
one in a hundred lies where the data are alike."""

Scales = dict[str, list[FeatureScale]]
"""Scale of each token's feature, by domain."""


def token_features(data: TrainingData, tokens: Sequence[str]) -> np.ndarray:
    """Measured features with a token, float32 (regions, tokens); NaN where undefined."""
    return data.features[:, [data.names.index(name) for name in tokens]]


def region_domains(data: TrainingData) -> np.ndarray:
    """Index of each region's domain."""
    ids = [domain.id for domain in DOMAINS]
    return np.array([ids.index(data.images[region.image].domain.id) for region in data.regions], dtype=np.int64)


def domain_members(data: TrainingData) -> dict[int, np.ndarray]:
    """For each domain with regions, the regions that its feature scales come from; none whose look was changed."""
    true = np.array([region.kind != CHANGED for region in data.regions], dtype=bool)
    names = np.where(true, [data.images[region.image].domain.id for region in data.regions], "")
    units = np.where(true, [data.images[region.image].domain.unit for region in data.regions], "")
    members = {}
    for index, domain in enumerate(DOMAINS):
        own = np.flatnonzero(names == (domain.trained_as or domain.id))
        members[index] = own if own.size >= MIN_REGIONS else np.flatnonzero(units == domain.unit)
    return members


def fitted_scales(data: TrainingData, tokens: tuple[str, ...]) -> Scales:
    """Feature scales of every domain from the regions of a training file."""
    raw, members = token_features(data, tokens), domain_members(data)
    return {DOMAINS[index].id: [fit_scale(column) for column in raw[rows].T] for index, rows in members.items()}


def bundle_scales(data: TrainingData, tokens: tuple[str, ...], bundle: Bundle) -> tuple[Scales, tuple[str, ...]]:
    """The feature scales that a fine-tuning uses, and the domains whose scales were refitted.

    The network has learned what a score means by the bundle's scales, so they are kept, also for domains that the new data do
    not have. Where the new data's features do not lie within them (``STRANGE``), the scores would all be extremes: then the
    scales of the domain come from the new data, if there are ``MIN_REGIONS`` regions.
    """
    raw, domain = token_features(data, tokens), region_domains(data)
    # A changed look says nothing about what the data look like.
    real = np.array([region.kind != CHANGED for region in data.regions], dtype=bool)
    known = {entry.id: scales(bundle.statistics(entry.id)) for entry in bundle.domains}
    kept: Scales = {id_: [of[name] for name in tokens] for id_, of in known.items() if all(name in of for name in tokens)}
    refitted = []
    for index, entry in enumerate(DOMAINS):
        own = raw[real & (domain == index)]
        enough = len(own) >= MIN_REGIONS
        if entry.id not in kept or (enough and outside(own, kept[entry.id]) > STRANGE):
            kept.pop(entry.id, None)
            refitted += [entry.id] if len(own) else []
    return kept, tuple(refitted)


def outside(raw: np.ndarray, chosen: Sequence[FeatureScale]) -> float:
    """Share of the known features (regions, tokens) that lie outside the outermost quantiles of their scale."""
    low, high = (np.array([scale.quantiles[end] for scale in chosen]) for end in (0, KNOTS - 1))
    beyond = (raw < low) | (raw > high)
    return float(beyond[np.isfinite(raw)].mean()) if np.isfinite(raw).any() else 0.0


def stored_scales(chosen: Scales) -> dict[str, list[list[float]]]:
    """Scales as plain values, for a checkpoint."""
    return {id_: [list(scale.quantiles) for scale in of] for id_, of in chosen.items()}


def restored_scales(stored: Mapping[str, Sequence[Sequence[float]]]) -> Scales:
    """The inverse of ``stored_scales``."""
    return {id_: [FeatureScale(tuple(quantiles)) for quantiles in of] for id_, of in stored.items()}
