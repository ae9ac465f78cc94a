"""From finished trainings to a bundle."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from TumorSynthLib.bundle import Bundle, load_bundle, write_bundle
from TumorSynthLib.configs import BridgeConfig, CodecConfig, from_dict, to_dict
from TumorSynthLib.dataset import TrainingData, load_training_data
from TumorSynthLib.errors import DataError, RequestError
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.texture import TextureModel
from TumorSynthLib.train.card import card_text, licence_of, training_data_of
from TumorSynthLib.train.checkpoints import load_best
from TumorSynthLib.train.codec import fingerprint
from TumorSynthLib.train.domain_entries import domain_entries
from TumorSynthLib.train.shape import export_shape
from TumorSynthLib.train.trust import removal_weights
from TumorSynthLib.train.widening import narrowed


@dataclass(frozen=True)
class Folders:
    """Where finished trainings are; None takes that network of the base bundle."""

    codec: Path | None
    """Of the codec."""
    bridge: Path | None
    """Of the bridge."""
    shape: Path | None
    """Of the shape generator."""


@dataclass(frozen=True)
class Network:
    """A network for a bundle."""

    config: Mapping[str, Any]
    """Its config, JSON-ready."""
    weights: Mapping[str, Tensor]
    """Its weights."""
    about: Mapping[str, Any]
    """Steps, seconds and validation score."""


def export_bundle(
    data: Path,
    folders: Folders,
    out: Path,
    info: Mapping[str, str],
    card: str = "",
    base: Bundle | None = None,
    methods: Sequence[str] = (),
) -> Path:
    """Write the bundle of finished trainings, whole or not at all.

    Parameters
    ----------
    data : training file, for the statistics of the domains.
    folders : of the trainings.
    out : folder of the bundle.
    info : id, version, intended_use, and where they are to differ from what the training file says licence and training_data.
    card : the text of ``CARD.md``; written from what the trainings know where empty.
    base : bundle that training started from; gives networks that were not trained, and domains that the data do not have.
    methods : those that the bundle is to have; all that were trained where empty.

    Raises
    ------
    DataError : when a network is missing, or when the bridge was trained on the latents of another encoder.
    RequestError : for a method that was not trained.
    """
    content = load_training_data(data)
    networks, bridge_state, statistics = _networks(folders, base)
    _check_encoder(networks["codec"], bridge_state)
    if methods:
        networks = _with_methods(networks, tuple(methods))
    training = _training(content, networks, base)
    complete: dict[str, Any] = {
        "licence": licence_of(content, base),
        "training_data": training_data_of(content),
        **{name: text for name, text in info.items() if text},
        "networks": {name: dict(network.config) for name, network in networks.items()},
        "shape_statistics": statistics,
        "training": training,
    }
    tokens = networks["bridge"].config["tokens"]
    complete["domains"] = domain_entries(content, bridge_state.get("scales", {}), tokens, base)
    weights = {name: network.weights for name, network in networks.items()}
    card = card or card_text(complete, content, training)
    write_bundle(out, complete, weights, card, overwrite=True)
    # How far removal can be trusted is measured with the finished networks.
    trusted = removal_weights(content, TextureModel(load_bundle(out), "cpu"))
    own = {image.domain.unit for image in content.images}
    complete["domains"] = [
        entry if base is not None and entry["unit"] not in own else {**entry, "removal_weight": trusted[entry["id"]]}
        for entry in complete["domains"]
    ]
    return write_bundle(out, complete, weights, card, overwrite=True)


def _networks(folders: Folders, base: Bundle | None) -> tuple[dict[str, Network], Mapping[str, Any], dict[str, Any]]:
    """The networks, the bridge's checkpoint (empty where it is the base's), and the statistics of shapes."""
    state: Mapping[str, Any] = {}
    if folders.codec is not None:
        codec = _trained(load_best(folders.codec))
    else:
        codec = _of_base("codec", base)
    networks = {}
    if folders.bridge is not None:
        state = load_best(folders.bridge)
        networks["bridge"] = _trained(state)
        if "refiner_average" in state:
            networks["refiner"] = Network(dict(state["refiner_config"]), state["refiner_average"], _about(state))
    else:
        networks = {name: _of_base(name, base) for name in ("bridge", "refiner") if name == "bridge" or _has(base, name)}
    if folders.shape is not None:
        config, weights, statistics = export_shape(folders.shape)
        shape = Network(to_dict(config), weights, _about(load_best(folders.shape)))
    else:
        shape, statistics = _of_base("shape", base), _base(base, "shape").shape_statistics
    return {"codec": codec, **networks, "shape": shape}, state, statistics


def _with_methods(networks: Mapping[str, Network], methods: tuple[str, ...]) -> dict[str, Network]:
    """The networks with some methods alone."""
    bridge = networks["bridge"]
    config = from_dict(BridgeConfig, bridge.config)
    if methods != tuple(name for name in config.methods if name in methods) or methods[:1] != ("bridge",):
        message = f"The methods {', '.join(methods)} were asked for; trained are {', '.join(config.methods)}."
        raise RequestError("bundle.methods", message, "Name trained methods, in this order, the bridge first.")
    smaller, weights = narrowed(bridge.weights, config, methods)
    kept = {name: network for name, network in networks.items() if name != "refiner" or smaller.joint}
    return {**kept, "bridge": Network(to_dict(smaller), weights, bridge.about)}


def _trained(state: Mapping[str, Any]) -> Network:
    return Network(dict(state["config"]), state["average"], _about(state))


def _about(state: Mapping[str, Any]) -> dict[str, Any]:
    score = float(state.get("score", math.nan))
    told = {"score": round(score, 6)} if math.isfinite(score) else {}
    return {"trained": True, "steps": int(state["step"]), "seconds": round(float(state.get("seconds", 0.0))), **told}


def _of_base(name: str, base: Bundle | None) -> Network:
    found = _base(base, name)
    steps = found.info.get("training", {}).get("steps", {}).get(name, 0)
    return Network(found.network(name), found.weights(name), {"trained": False, "steps": steps, "seconds": 0})


def _has(base: Bundle | None, name: str) -> bool:
    return base is not None and name in base.configs


def _base(base: Bundle | None, name: str) -> Bundle:
    if base is None:
        hint = f"Give the folder of the {name}'s training, or the bundle that training started from."
        raise DataError("checkpoint.missing", f"There is no {name} for the bundle.", hint)
    return base


def _training(data: TrainingData, networks: Mapping[str, Network], base: Bundle | None) -> dict[str, Any]:
    origin = {} if base is None else {"fine_tuned_from": base.identity}
    return {
        **origin,
        "images": len(data.images),
        "patients": len({image.patient for image in data.images}),
        "regions": len(data.regions),
        "steps": {name: network.about["steps"] for name, network in networks.items()},
        "networks": {
            name: {**network.about, "parameters": sum(weight.numel() for weight in network.weights.values())}
            for name, network in networks.items()
        },
        "work": asdict(data.work),
    }


def _check_encoder(network: Network, bridge: Mapping[str, Any]) -> None:
    codec = Codec(from_dict(CodecConfig, network.config))
    codec.load_state_dict(network.weights)
    if bridge.get("encoder", fingerprint(codec)) != fingerprint(codec):
        message = "The bridge was trained on the latents of another encoder than this codec's."
        raise DataError("codec.other", message, "Give the codec that the bridge was trained on.")
