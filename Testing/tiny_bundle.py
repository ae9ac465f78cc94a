"""A complete bundle with small random networks, the same in every run.

``python tiny_bundle.py FOLDER`` makes it in a folder, for tests that may not import the networks themselves.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from TumorSynthLib.bundle import Bundle, domain_entry, load_bundle, write_bundle
from TumorSynthLib.configs import (
    DOMAINS,
    SHAPE_TOKENS,
    BridgeConfig,
    CodecConfig,
    Domain,
    RefinerConfig,
    ShapeConfig,
    to_dict,
)
from TumorSynthLib.feature_names import TEXTURE_FEATURES
from TumorSynthLib.methods import METHODS
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.nets.refiner import MaskRefiner
from TumorSynthLib.nets.shape_gan import Generator
from TumorSynthLib.nets.unet import BridgeUNet
from TumorSynthLib.scaling import KNOTS, feature_statistics

CODEC = CodecConfig(channels=(8,), res_layers=1, code_channels=2, patch=2)
BRIDGE = BridgeConfig(
    latent_channels=16,
    channels=(8, 16),
    attention=(False, True),
    heads=2,
    token_width=16,
    methods=METHODS,
    shape_tokens=SHAPE_TOKENS,
    shape_quantiles=tuple(tuple(np.linspace(low, high, KNOTS).tolist()) for low, high in ((0.3, 0.9),) * 3 + ((100.0, 1e5),)),
)
REFINER = RefinerConfig(features=8, width=8)
SHAPE = ShapeConfig(grid=16, noise=8, channels=(16, 16, 8), token_width=16, heads=2)


def make_tiny_bundle(models: Path, name: str = "tiny", config: BridgeConfig = BRIDGE) -> Bundle:
    """The bundle in a folder; one without the method ``flow`` has no refiner."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec, bridge, shape, refiner = Codec(CODEC), BridgeUNet(config), Generator(SHAPE), MaskRefiner(REFINER)
        torch.nn.init.normal_(bridge.leave.weight, std=0.02)
        assert bridge.leave.bias is not None
        bridge.leave.bias.data[-1] = 1.2  # about half of a box becomes tumor
    info: dict[str, Any] = {
        "id": name,
        "version": "0",
        "licence": "CC0-1.0",
        "intended_use": "tests",
        "training_data": "none",
        "domains": [domain_entry(domain, statistics(domain)) for domain in DOMAINS],
        "networks": {"codec": asdict(CODEC), "bridge": to_dict(config), "shape": to_dict(SHAPE)},
        "shape_statistics": shape_statistics(),
    }
    weights: dict[str, Mapping[str, torch.Tensor]] = {
        "codec": codec.state_dict(),
        "bridge": bridge.state_dict(),
        "shape": shape.state_dict(),
    }
    if config.joint:
        info["networks"]["refiner"], weights["refiner"] = to_dict(REFINER), refiner.state_dict()
    folder: Path = write_bundle(models / name, info, weights, "# Tiny\nRandom weights.\n")
    return load_bundle(folder)


def statistics(domain: Domain) -> dict[str, Any]:
    """Feature statistics around the center of a domain."""
    values = np.random.default_rng(0).normal(domain.center, domain.scale / 2, (40, len(TEXTURE_FEATURES)))
    return feature_statistics(values, TEXTURE_FEATURES, np.ones(40, bool))


def shape_statistics() -> dict[str, Any]:
    """Plausible statistics of shapes, the same for every organ, all columns independent."""
    columns = ["volume_mm3", "sphericity", "elongation", "flatness", "fill", "smooth_sphericity"]
    low, high = (500.0, 0.6, 0.6, 0.5, 0.85, 0.7), (200_000.0, 0.8, 0.95, 0.9, 0.97, 0.95)
    quantiles = [np.geomspace(a, b, 21).tolist() for a, b in zip(low, high, strict=True)]
    spread = {"count": 100, "quantiles": quantiles, "correlation": np.eye(len(columns)).tolist()}
    return {
        "tokens": list(SHAPE.tokens),
        "mean": [0.85, 0.8, 0.7, 9.0, 0.92],
        "std": [0.06, 0.1, 0.1, 1.5, 0.03],
        "smooth_sphericity": [0.0, 1.25, 0.0],
        "columns": columns,
        "organs": dict.fromkeys(("any", *SHAPE.organs), spread),
    }


if __name__ == "__main__":
    make_tiny_bundle(Path(sys.argv[1]))
