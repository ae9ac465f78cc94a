"""The codec: a 3D VQ-GAN between network input and a latent of a quarter of its resolution, with optional quantization."""

import torch
from monai.networks.nets.vqvae import VQVAE
from torch import Tensor, nn

from TumorSynthLib.configs import CodecConfig


class Codec(nn.Module):
    """MONAI's VQ-VAE with standardized codes, folded into the latent that the bridge works on.

    With ``quantize`` the decoder sees the nearest codes, as in Kim et al. (section 3.2) and Esser et al.; the bridge works on
    the unquantized code in both cases. Without, it is a plain autoencoder, which kept more detail at equal training.

    The network halves the resolution, and blocks of 2x2x2 code cells become channels of one latent cell, as vision
    transformers make patches. The bridge thus costs what f = 4 costs, while the codec keeps the detail of f = 2.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        levels = len(config.channels)
        self.net = VQVAE(
            spatial_dims=3,
            in_channels=1,
            out_channels=1,
            channels=config.channels,
            num_res_layers=config.res_layers,
            num_res_channels=config.channels,
            downsample_parameters=((2, 4, 1, 1),) * levels,
            upsample_parameters=((2, 4, 1, 1, 0),) * levels,
            num_embeddings=config.codes if config.quantize else 2,
            embedding_dim=config.code_channels,
            decay=0.97,
        )
        self.register_buffer("mean", _channels(config.code_mean or (0.0,) * config.code_channels), persistent=False)
        self.register_buffer("std", _channels(config.code_std or (1.0,) * config.code_channels), persistent=False)

    def encode(self, v: Tensor) -> Tensor:
        """Standardized latent (B, C, D/f, H/f, W/f) of network input (B, 1, D, H, W)."""
        return fold((self.net.encoder(v).float() - self.mean) / self.std, self.config.patch)

    def decode(self, z: Tensor) -> Tensor:
        """Network input (B, 1, D, H, W) of a standardized latent (B, C, D/f, H/f, W/f)."""
        return self.features(z)[1]

    def features(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder knows of a latent before its last step, at half the resolution of the network input, and its output.

        (B, channels[0], D/2, H/2, W/2) and (B, 1, D, H, W).
        """
        hidden = unfold(z, self.config.patch) * self.std + self.mean
        if self.config.quantize:
            hidden, _ = self.net.quantize(hidden)
        *steps, last = self.net.decoder.blocks
        for step in steps:
            hidden = step(hidden)
        return hidden.float(), last(hidden).float()

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, code and quantization loss (0 without quantization), for training."""
        code = self.net.encoder(v)
        if self.config.quantize:
            coded, loss = self.net.quantize(code)
            return self.net.decoder(coded), code, loss
        return self.net.decoder(code), code, v.new_zeros(())


def fold(code: Tensor, patch: int) -> Tensor:
    """Blocks of ``patch``^3 cells become channels: (B, C, pD, pH, pW) to (B, C p^3, D, H, W)."""
    batch, channels, *size = code.shape
    d, h, w = (n // patch for n in size)
    blocks = code.reshape(batch, channels, d, patch, h, patch, w, patch)
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, channels * patch**3, d, h, w)


def unfold(latent: Tensor, patch: int) -> Tensor:
    """The inverse of ``fold``."""
    batch, channels, d, h, w = latent.shape
    blocks = latent.reshape(batch, channels // patch**3, patch, patch, patch, d, h, w)
    return blocks.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, channels // patch**3, d * patch, h * patch, w * patch)


def _channels(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1, 1)
