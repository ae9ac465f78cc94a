"""The segmentation network, its configuration, and the folder that holds both."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from monai.networks.nets.dynunet import DynUNet
from torch import nn

from TumorSynthLib.configs import from_dict
from TumorSynthLib.errors import DataError

MODALITIES = ("CT", "MR", "PET")
"""Kinds of image that one network tells apart, each by a constant input channel."""
_WEIGHTS, _CONFIG = "segmenter.safetensors", "segmenter.json"


@dataclass(frozen=True)
class SegmenterConfig:
    """A segmentation network and the grid that it works on."""

    spacing_mm: float = 4.0
    """Edge of an isotropic working voxel."""
    patch: int = 40
    """Edge of a patch in voxels."""
    channels: tuple[int, ...] = (16, 32, 64, 96)
    """Channels of each resolution; each halves the one before it."""


def build_network(config: SegmenterConfig) -> nn.Module:
    """MONAI's DynUNet, the architecture of nnU-Net: one logit per voxel from the image and a channel per modality.

    Source: Isensee et al., nnU-Net, Nature Methods 2021.
    """
    levels = len(config.channels)
    return DynUNet(
        3,
        1 + len(MODALITIES),
        1,
        kernel_size=[3] * levels,
        strides=[1] + [2] * (levels - 1),
        upsample_kernel_size=[2] * (levels - 1),
        filters=list(config.channels),
        norm_name=("INSTANCE", {"affine": True}),
    )


def save_segmenter(folder: Path, config: SegmenterConfig, network: nn.Module, about: Mapping[str, Any]) -> None:
    """Write weights and configuration.

    Parameters
    ----------
    folder : made where needed.
    config : of the network.
    network : trained.
    about : what it was trained on, plain values, for the reports.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # DynUNet holds every layer under two names; this keeps one of them.
    safetensors.torch.save_model(network, str(folder / _WEIGHTS))
    text = json.dumps({"config": asdict(config), "about": dict(about)}, indent=1)
    (folder / _CONFIG).write_text(text + "\n", encoding="utf-8")


def load_network(folder: Path) -> tuple[nn.Module, SegmenterConfig, dict[str, Any]]:
    """A trained network, its configuration, and what it was trained on.

    Raises
    ------
    DataError : when the folder does not hold them.
    """
    hint = "Train one with `python -m TumorSynthLib.train segmenter`."
    try:
        told = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        config = from_dict(SegmenterConfig, told["config"])
        network = build_network(config)
        safetensors.torch.load_model(network, folder / _WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise DataError("segmenter.broken", f"{folder} does not hold a segmenter: {error}", hint) from error
    return network.eval().requires_grad_(False), config, dict(told["about"])
