"""Segmenting a scan with a trained network."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from torch import nn

from TumorSynthLib.configs import Domain
from TumorSynthLib.intensity import Intensity
from TumorSynthLib.resample import resample
from TumorSynthLib.segmentation.images import kind_of, network_input
from TumorSynthLib.segmentation.network import SegmenterConfig, load_network
from TumorSynthLib.segmentation.patches import OUTSIDE, with_modality
from TumorSynthLib.volume import Volume


class Segmenter:
    """A trained network with its working grid.

    Parameters
    ----------
    network : trained, without gradients.
    config : of the network.
    about : what it was trained on, for the reports.
    device : where it runs.
    """

    def __init__(
        self, network: nn.Module, config: SegmenterConfig, about: dict[str, Any] | None = None, device: str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self.network, self.config, self.about = network.to(self.device), config, about or {}

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "Segmenter":
        """The segmenter of a folder; raises DataError where there is none."""
        network, config, about = load_network(folder)
        return cls(network, config, about, device)

    def segment(self, scan: Volume, domain: Domain, intensity: Intensity) -> np.ndarray:
        """Where the network sees tumor, bool on the scan's grid.

        Parameters
        ----------
        scan : stored values.
        domain : organ and modality.
        intensity : fitted to the scan as it was before any edit, so that an edit elsewhere does not shift its values.
        """
        v, grid = network_input(scan, intensity, self.config.spacing_mm)
        return resample(self.logits(v, kind_of(domain)), grid, scan.geometry, smooth=False) > 0.0

    def logits(self, v: np.ndarray, kind: int) -> np.ndarray:
        """Logits of an image on the working grid, float32, by overlapping windows."""
        size = self.config.patch
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16):
            image = with_modality(torch.from_numpy(np.ascontiguousarray(v))[None], [kind]).to(self.device)
            found = sliding_window_inference(
                image, (size, size, size), 2, self.network, overlap=0.5, mode="gaussian", cval=OUTSIDE
            )
        assert isinstance(found, torch.Tensor)
        return found[0, 0].float().cpu().numpy()
