"""From finished trainings to a bundle."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.bundle import domain_entry, load_bundle, write_bundle
from TumorSynthLib.configs import DOMAINS, TEXTURE_TOKENS, Domain, to_dict
from TumorSynthLib.dataset import HEALTHY, TrainingData, load_training_data
from TumorSynthLib.errors import DataError
from TumorSynthLib.scaling import feature_statistics
from TumorSynthLib.texture import TextureModel
from TumorSynthLib.train.bridge import domain_members, tumor_rows
from TumorSynthLib.train.common import load_checkpoint
from TumorSynthLib.train.shape import export_shape
from TumorSynthLib.train.trust import removal_weights
from TumorSynthLib.typical import VOLUME


def domain_entries(data: TrainingData) -> list[dict[str, Any]]:
    """Domains with the statistics of their training regions, and with real tumors as exemplars of texture."""
    members, tumors = domain_members(data), tumor_rows(data)
    entries = []
    for index, domain in enumerate(DOMAINS):
        statistics = feature_statistics(data.features[members[index]], data.names, tumors[members[index]])
        entries.append({**domain_entry(domain, statistics), "exemplars": exemplars(data, domain)})
    return entries


def exemplars(data: TrainingData, domain: Domain) -> list[dict[str, float]]:
    """Token features and volume of each tumor, and of each part of one, of a domain.

    A domain without tumors borrows those of the first domain with the same unit and intensity range.
    """
    columns = [data.names.index(name) for name in TEXTURE_TOKENS]
    by_domain: dict[str, dict[tuple[float, ...], dict[str, float]]] = {}
    for region, row in zip(data.regions, data.features, strict=True):
        values = row[columns]
        if region.kind != HEALTHY and np.isfinite(values).all():
            numbers = [float(f"{value:.5g}") for value in (*values, region.volume_mm3)]
            # Several views of one tumor have the same features: one is enough.
            entry = dict(zip((*TEXTURE_TOKENS, VOLUME), numbers, strict=True))
            by_domain.setdefault(data.images[region.image].domain.id, {})[tuple(numbers)] = entry
    for other in (domain, *DOMAINS):
        same = (other.unit, other.center, other.scale) == (domain.unit, domain.center, domain.scale)
        if same and other.id in by_domain:
            return list(by_domain[other.id].values())
    return []


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
