"""Differences between a true and a made image inside a mask, in domain values."""

import numpy as np
import torch
from monai.metrics.regression import compute_ssim_and_cs

from TumorSynthLib.configs import Domain
from TumorSynthLib.volume import mask_box

_KERNEL, _SIGMA = 11, 1.5


def window(domain: Domain) -> tuple[float, float]:
    """The display window of a domain in domain values. Its width is the data range of PSNR and SSIM.

    CT: -160 to 240 HU (lung: -1000 to 400 HU). MR: 0 to 100 % of the scan's range. PET: SUV 0 to 5.
    """
    if domain.modality == "CT":
        return (-1000.0, 400.0) if domain.organ == "lung" else (-160.0, 240.0)
    return (0.0, 5.0) if domain.unit == "SUV" else (0.0, 100.0)


def data_range(domain: Domain) -> float:
    """Width of the display window, in domain units."""
    low, high = window(domain)
    return high - low


def psnr(true: np.ndarray, made: np.ndarray, mask: np.ndarray, peak: float) -> float:
    """Peak signal-to-noise ratio in dB over the voxels of a mask, at most 100; values are not clipped to the window."""
    error = float(np.mean((true[mask].astype(np.float64) - made[mask].astype(np.float64)) ** 2))
    return float(min(100.0, 10.0 * np.log10(peak**2 / max(error, 1e-30))))


def ssim(true: np.ndarray, made: np.ndarray, mask: np.ndarray, domain: Domain) -> float:
    """Mean over the mask of the structural similarity map (MONAI; Gaussian window of 11 voxels, sigma 1.5).

    The map is that of the whole images, so windows at the border of the mask see its surroundings. Values are counted
    from the lower end of the domain's window, and not clipped.
    """
    low, high = window(domain)
    margin = _KERNEL // 2
    box = mask_box(mask).expanded(np.full(3, margin), mask.shape).slices
    pads = [(margin, margin)] * 3
    shown = ((image[box].astype(np.float32) - low) / (high - low) for image in (true, made))
    first, second = (torch.from_numpy(np.pad(image, pads, mode="symmetric"))[None, None] for image in shown)
    maps, _ = compute_ssim_and_cs(first, second, 3, [_KERNEL] * 3, [_SIGMA] * 3, data_range=1.0, kernel_type="gaussian")
    return float(maps[0, 0].numpy()[mask[box]].mean())
