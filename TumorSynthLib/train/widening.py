"""Weights of a network that knows fewer methods, for one that knows more, whose new parts start without effect; and back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from TumorSynthLib.configs import BridgeConfig
from TumorSynthLib.methods import METHODS
from TumorSynthLib.nets.unet import BridgeUNet

_POOL = "tokens.pool.0.weight"
_HEALING = (".healing.", ".own.")
_INWARD = tuple(f".{change}.{number}.0.weight" for change in ("healing", "flow") for number in (0, 1))
_PATH = "path.weight"


def widened(weights: Mapping[str, Tensor], network: BridgeUNet) -> dict[str, Tensor]:
    """Weights that fit the network and do with the old tokens and channels what they did.

    Old channels and tokens come first in the network, so old weights keep their places. New input channels and new tokens' part
    in the pooled features have weight zero; the identity of a new token is the network's own random one. So is the first factor
    of a change of low rank, whose second is zero: were both, neither would ever learn.

    Parameters
    ----------
    weights : of a network with the same sizes otherwise.
    network : the new one.
    """
    fresh, made = network.state_dict(), {}
    for name, like in fresh.items():
        old = weights.get(name)
        if old is None:
            made[name] = like if name.endswith(_INWARD) else torch.zeros_like(like)
        elif old.shape == like.shape:
            made[name] = old
        elif name == _POOL:
            made[name] = _pool(old, like)
        else:
            made[name] = _placed(old, like if name.startswith("tokens.") else torch.zeros_like(like))
    return made


def narrowed(
    weights: Mapping[str, Tensor], config: BridgeConfig, methods: Sequence[str]
) -> tuple[BridgeConfig, dict[str, Tensor]]:
    """A network that knows some of the methods alone, and does with them what the larger one did.

    Parameters
    ----------
    weights, config : of the larger network.
    methods : in the order of ``config.methods``, the bridge first.
    """
    smaller = replace(config, methods=tuple(methods))
    if "flow" not in methods:
        smaller = replace(smaller, shape_tokens=(), shape_quantiles=(), flow_leveled=False, flow_rank=0)
    fresh, made = _shapes(smaller), {}
    for name, like in fresh.items():
        old = weights[name]
        if name == _POOL:
            before, after = old.shape[1] // 2, like.shape[1] // 2
            made[name] = torch.cat([old[:, :after], old[:, before : before + after]], dim=1)
        else:
            made[name] = old[tuple(slice(size) for size in like.shape)].contiguous()
    if "method.weight" in weights and "method.weight" not in fresh:
        # The embedding of the one method that is left is a constant, as is what it is added to.
        made[_PATH] = made[_PATH] + weights["method.weight"][0]
    return smaller, made


def healing_weights(config: BridgeConfig) -> dict[str, Tensor]:
    """Which weights only healthy tissue uses, bool like each weight; no tumor of any method depends on them."""
    own = {name: torch.full(weight.shape, any(part in name for part in _HEALING)) for name, weight in _shapes(config).items()}
    own[_PATH][0] = True
    return own


def own_weights(config: BridgeConfig, methods: Sequence[str]) -> dict[str, Tensor]:
    """Which weights some methods do not share with the other methods of the network, bool like each weight.

    Parameters
    ----------
    config : of the network.
    methods : some of ``config.methods``; with all of them every weight is their own.
    """
    others = [method for method in config.methods if method not in methods]
    shapes = {name: weight.shape for name, weight in _shapes(config).items()}
    own = {name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()}
    if not others:
        return own
    places = {name: torch.arange(shape.numel()).view(shape) for name, shape in shapes.items()}
    # The embeddings of all methods are kept together, and that of the bridge alone is added to another weight.
    places["method.weight"].zero_()
    for name, shared in narrowed(places, config, others)[1].items():
        own[name].view(-1)[shared.flatten()] = False
    own["method.weight"] = torch.tensor([[method in methods] for method in METHODS]).expand(shapes["method.weight"])
    return own


def _shapes(config: BridgeConfig) -> dict[str, Tensor]:
    """Weights of a network without their values."""
    with torch.device("meta"):
        return BridgeUNet(config).state_dict()


def _placed(old: Tensor, into: Tensor) -> Tensor:
    """Old values in the first places of a larger tensor."""
    made = into.clone()
    made[tuple(slice(size) for size in old.shape)] = old.to(made.dtype)
    return made


def _pool(old: Tensor, like: Tensor) -> Tensor:
    """Columns are the values of all tokens, then their presence."""
    before, after = old.shape[1] // 2, like.shape[1] // 2
    made = nn.init.zeros_(torch.empty_like(like))
    made[:, :before] = old[:, :before]
    made[:, after : after + before] = old[:, before:]
    return made
