"""The mask refiner of ``flow``: from a soft mask on the latent grid to the tumor's mask on the working grid.

After the VAE-guided mask refiner of TumorGen (Liu et al., 2025, Eq. 6): what the codec's decoder knows about the image is
added on the way up, so that the mask ends where the tumor ends in the image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from TumorSynthLib.configs import RefinerConfig


class MaskRefiner(nn.Module):
    """Adds to the enlarged soft mask what the image says; untrained, it only enlarges."""

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        width, narrow = config.width, config.width // 2
        self.gain = nn.Parameter(torch.tensor(4.0))
        self.hidden = nn.Conv3d(config.features, width, 1)
        self.halfway = nn.Sequential(
            nn.Conv3d(width + 1, width, 3, padding=1), nn.GroupNorm(4, width), nn.SiLU(), nn.Conv3d(width, narrow, 3, padding=1)
        )
        self.full = nn.Sequential(nn.Conv3d(narrow + 2, narrow, 3, padding=1), nn.GroupNorm(4, narrow), nn.SiLU())
        self.leave = nn.Conv3d(narrow, 1, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, features: tuple[Tensor, Tensor], soft: Tensor) -> Tensor:
        """Logit of the mask (B, 1, D, H, W).

        Parameters
        ----------
        features : of ``Codec.features``: (B, F, D/2, H/2, W/2) and (B, 1, D, H, W).
        soft : mask channel of a joint latent, -1 to 1, (B, 1, d, h, w).
        """
        hidden, image = features
        coarse = F.interpolate(soft, size=hidden.shape[2:], mode="trilinear")
        h = self.halfway(torch.cat([self.hidden(hidden), coarse], dim=1))
        fine = F.interpolate(soft, size=image.shape[2:], mode="trilinear")
        h = F.interpolate(h, size=image.shape[2:], mode="trilinear")
        logit: Tensor = self.gain * fine + self.leave(self.full(torch.cat([h, image, fine], dim=1)))
        return logit
