"""From finished trainings to a bundle."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from TumorSynthLib.bundle import domain_entry, load_bundle, write_bundle
from TumorSynthLib.configs import DOMAINS, TEXTURE_TOKENS, Domain, to_dict
from TumorSynthLib.dataset import CORE, PART, REST, TUMOR, TrainingData, load_training_data
from TumorSynthLib.errors import DataError
from TumorSynthLib.scaling import feature_statistics
from TumorSynthLib.texture import TextureModel
from TumorSynthLib.train.bridge import domain_members, tumor_rows
from TumorSynthLib.train.common import load_checkpoint
from TumorSynthLib.train.joint_statistics import joint_entries
from TumorSynthLib.train.rim_statistics import rim_entries
from TumorSynthLib.train.shape import export_shape
from TumorSynthLib.train.trust import removal_weights
from TumorSynthLib.typical import VOLUME

Found = TypeVar("Found")
"""What is known of the tumors of a domain."""


def domain_entries(data: TrainingData) -> list[dict[str, Any]]:
    """Domains with the statistics of their training regions, what real tumors look like, and what lies around them."""
    members, tumors = domain_members(data), tumor_rows(data)
    joint, rims = joint_entries(data), rim_entries(data)
    entries = []
    for index, domain in enumerate(DOMAINS):
        statistics = feature_statistics(data.features[members[index]], data.names, tumors[members[index]])
        known = {"exemplars": exemplars(data, domain), "part_exemplars": part_exemplars(data, domain)}
        entries.append({**domain_entry(domain, statistics), **known, **joint.get(domain.id, {}), "rim": rims[domain.id]})
    return entries


def exemplars(data: TrainingData, domain: Domain) -> list[dict[str, float]]:
    """Token features and volume of each tumor, and of each part of one, of a domain."""
    found: dict[str, dict[tuple[float, ...], dict[str, float]]] = {}
    for number, region in enumerate(data.regions):
        entry = _exemplar(data, number)
        if region.kind in (TUMOR, PART) and entry:
            # Several views of one tumor have the same features: one is enough.
            found.setdefault(data.images[region.image].domain.id, {})[tuple(entry.values())] = entry
    return list(_own_or_borrowed(found, domain, {}).values())


def part_exemplars(data: TrainingData, domain: Domain) -> list[dict[str, dict[str, float]]]:
    """Token features and volume of the core and of the rest of each tumor of a domain."""
    sides: dict[int, dict[str, dict[str, float]]] = {}
    for number, region in enumerate(data.regions):
        entry = _exemplar(data, number)
        if region.kind in (CORE, REST) and entry:
            sides.setdefault(region.image, {})["core" if region.kind == CORE else "rest"] = entry
    found: dict[str, list[dict[str, dict[str, float]]]] = {}
    for image, pair in sides.items():
        if len(pair) == 2:
            found.setdefault(data.images[image].domain.id, []).append(pair)
    return _own_or_borrowed(found, domain, [])


def _exemplar(data: TrainingData, number: int) -> dict[str, float]:
    """Token features and volume of a region; empty where one of them is undefined."""
    values = data.features[number][[data.names.index(name) for name in TEXTURE_TOKENS]]
    if not np.isfinite(values).all():
        return {}
    numbers = [float(f"{value:.5g}") for value in (*values, data.regions[number].volume_mm3)]
    return dict(zip((*TEXTURE_TOKENS, VOLUME), numbers, strict=True))


def _own_or_borrowed(found: Mapping[str, Found], domain: Domain, nothing: Found) -> Found:
    """What was found for a domain, or for the first one with the same unit and intensity range."""
    for other in (domain, *DOMAINS):
        same = (other.unit, other.center, other.scale) == (domain.unit, domain.center, domain.scale)
        if same and other.id in found:
            return found[other.id]
    return nothing


def finished(folder: Path) -> Mapping[str, Any]:
    """The checkpoint of a training.

    Raises
    ------
    DataError : when there is none.
    """
    state = load_checkpoint(folder)
    if state is None:
        raise DataError("checkpoint.missing", f"There is no checkpoint in {folder}.", "Train first, or give another folder.")
    return state


def export_bundle(data: Path, codec: Path, bridge: Path, shape: Path, out: Path, info: Mapping[str, str], card: str) -> Path:
    """Write the bundle of three trainings, whole or not at all.

    Parameters
    ----------
    data : training file, for the statistics of the domains.
    codec, bridge, shape : folders of the trainings' checkpoints.
    out : folder of the bundle.
    info : id, version, licence, intended_use and training_data.
    card : the text of ``CARD.md``.
    """
    content = load_training_data(data)
    codec_state, bridge_state = finished(codec), finished(bridge)
    shape_config, shape_weights, shape_statistics = export_shape(shape)
    seconds = {name: round(float(state["seconds"])) for name, state in (("codec", codec_state), ("bridge", bridge_state))}
    entries = domain_entries(content)
    complete = {
        **info,
        "domains": entries,
        "networks": {
            "codec": dict(codec_state["config"]),
            "bridge": dict(bridge_state["config"]),
            "shape": to_dict(shape_config),
        },
        "shape_statistics": shape_statistics,
        "training": {
            "images": len(content.images),
            "patients": len({image.patient for image in content.images}),
            "regions": len(content.regions),
            "steps": {"codec": codec_state["step"], "bridge": bridge_state["step"]},
            "seconds_of_last_run": seconds,
            "work": asdict(content.work),
        },
    }
    weights = {"codec": codec_state["average"], "bridge": bridge_state["average"], "shape": shape_weights}
    write_bundle(out, complete, weights, card, overwrite=True)
    # How far removal can be trusted is measured with the finished networks.
    trusted = removal_weights(content, TextureModel(load_bundle(out), "cpu"))
    complete["domains"] = [{**entry, "removal_weight": trusted[entry["id"]]} for entry in entries]
    return write_bundle(out, complete, weights, card, overwrite=True)
