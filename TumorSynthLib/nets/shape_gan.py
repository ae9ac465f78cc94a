"""The shape GAN: a generator of canonical tumor fields from noise and feature tokens, and its critic.

Every feature has a token of its own (identity, value, presence), so any subset may be given; the generator sees the tokens by
cross-attention and, pooled, by a scale and shift in every block. The critic sees the features by projection.

Source: Kim et al. 2025 section 3.1 (3D GigaGAN); Kang et al. 2023 (GigaGAN); Miyato and Koyama 2018 (projection critic).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.shape_field import ball_field

CRITIC_GROUP = 4
"""Samples that the critic looks at together, so that its verdict does not depend on how a batch is laid out."""


class FeatureTokens(nn.Module):
    """One token for each feature and one for the organ."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        count, width = len(config.tokens), config.token_width
        self.identity = nn.Parameter(0.5 * torch.randn(count, width))
        self.absent = nn.Parameter(0.5 * torch.randn(count, width))
        self.slope = nn.Parameter(torch.randn(count, width))
        self.offset = nn.Parameter(torch.randn(count, width))
        self.mix = nn.Linear(width, width)
        self.organ = nn.Embedding(len(config.organs) + 1, width)
        self.pool = nn.Sequential(nn.Linear((count + 1) * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, 2 * width))

    def forward(self, values: Tensor, present: Tensor, organ: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, T + 1, W) and their pooled vector (B, 2 W).

        Parameters
        ----------
        values : standardized features (B, T).
        present : 1 where a feature is given, 0 where it is free (B, T).
        organ : index of the organ (B,); the number of organs means unknown.
        """
        given = present[..., None]
        known = self.identity + self.mix(torch.tanh(values[..., None] * self.slope + self.offset))
        tokens = torch.cat([given * known + (1.0 - given) * self.absent, self.organ(organ)[:, None]], dim=1)
        return tokens, self.pool(tokens.flatten(1))


class Block(nn.Module):
    """Two convolutions with a scale and shift from the style, per-voxel noise and a shortcut; ``grows`` doubles the edge."""

    def __init__(self, channels_in: int, channels_out: int, style: int, grows: bool) -> None:
        super().__init__()
        self.grows = grows
        self.norms = nn.ModuleList([nn.GroupNorm(8, channels_in, affine=False), nn.GroupNorm(8, channels_out, affine=False)])
        self.styles = nn.ModuleList([nn.Linear(style, 2 * channels_in), nn.Linear(style, 2 * channels_out)])
        self.convs = nn.ModuleList(
            [nn.Conv3d(channels_in, channels_out, 3, padding=1), nn.Conv3d(channels_out, channels_out, 3, padding=1)]
        )
        self.strength = nn.Parameter(torch.zeros(channels_out))
        self.shortcut = nn.Conv3d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Features (B, C_out, D, H, W); ``noise`` is (B, 1, D, H, W) of the output."""
        h = self.convs[0](F.silu(_modulated(self.norms[0](x), self.styles[0](style))))
        x = self.shortcut(x)
        if self.grows:
            x, h = (F.interpolate(t, scale_factor=2.0, mode="nearest") for t in (x, h))
        h = h + self.strength.view(1, -1, 1, 1, 1) * noise
        h = self.convs[1](F.silu(_modulated(self.norms[1](h), self.styles[1](style))))
        return x + h


def _modulated(x: Tensor, style: Tensor) -> Tensor:
    scale, shift = style.view(*style.shape, 1, 1, 1).chunk(2, dim=1)
    return x * (1.0 + scale) + shift


class Attention(nn.Module):
    """Self-attention from voxels to blocks of 2 x 2 x 2 voxels, then cross-attention from voxels to feature tokens."""

    def __init__(self, channels: int, token_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(channels), nn.LayerNorm(channels)])
        self.queries = nn.ModuleList([nn.Linear(channels, channels), nn.Linear(channels, channels)])
        self.keys = nn.ModuleList([nn.Linear(channels, 2 * channels), nn.Linear(token_width, 2 * channels)])
        self.outputs = nn.ModuleList([nn.Linear(channels, channels), nn.Linear(channels, channels)])

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Features of the same shape as ``x`` (B, C, D, H, W)."""
        h = x.flatten(2).transpose(1, 2)
        normed = self.norms[0](h)
        blocks = F.avg_pool3d(normed.transpose(1, 2).reshape(x.shape), 2).flatten(2).transpose(1, 2)
        h = h + self._attend(0, normed, blocks)
        h = h + self._attend(1, self.norms[1](h), tokens)
        return h.transpose(1, 2).reshape(x.shape)

    def _attend(self, index: int, x: Tensor, context: Tensor) -> Tensor:
        def split(t: Tensor) -> Tensor:
            return t.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        key, value = self.keys[index](context).chunk(2, dim=-1)
        query = split(self.queries[index](x)) * (x.shape[-1] // self.heads) ** -0.5
        mixed = torch.softmax(query @ split(key).transpose(-1, -2), dim=-1) @ split(value)
        return self.outputs[index](mixed.transpose(1, 2).flatten(2))


class Generator(nn.Module):
    """Noise and feature tokens to a canonical field.

    The field is the ball's, plus linear modes of variation (they start as the principal components of real tumors, and the
    features say how strong each is), plus what a convolutional network adds to that.
    """

    ball: Tensor

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.channels
        style = 4 * config.token_width
        self.tokens = FeatureTokens(config)
        self.style = nn.Sequential(nn.Linear(config.noise + 2 * config.token_width, style), nn.SiLU(), nn.Linear(style, style))
        self.start = nn.Linear(config.noise, first * (config.grid // 8) ** 3)
        self.blocks = nn.ModuleList(
            [Block(first, first, style, False), Block(first, second, style, True), Block(second, third, style, True)]
        )
        self.modes = nn.Linear(config.noise, (config.grid // 2) ** 3)
        self.strengths = nn.Linear(style, config.noise)
        self.attention = Attention(second, config.token_width, config.heads)
        self.fold = nn.Conv3d(third, 32, 3, padding=1)
        self.out = nn.Conv3d(4, 1, 3, padding=1)
        self.register_buffer("ball", torch.from_numpy(ball_field(config.grid, config.half_width))[None, None], persistent=False)

    def noise(self, count: int, generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
        """The noise vector (count, noise) and the per-voxel noise of each block, on the CPU.

        The vector's length is fixed: it is a direction in the space of shapes, and how far to go is the features' part.
        """
        edges = [self.config.grid // factor for factor in (8, 4, 2)]
        vector = fixed_length(torch.randn(count, self.config.noise, generator=generator))
        return vector, [torch.randn(count, 1, edge, edge, edge, generator=generator) for edge in edges]

    def forward(self, vector: Tensor, voxel_noise: list[Tensor], values: Tensor, present: Tensor, organ: Tensor) -> Tensor:
        """Fields (B, 1, grid, grid, grid); see ``FeatureTokens`` for the conditions."""
        tokens, pooled = self.tokens(values, present, organ)
        style = self.style(torch.cat([vector, pooled.to(vector.dtype)], dim=1))
        edge = self.config.grid // 8
        h = self.start(vector).view(len(vector), -1, edge, edge, edge)
        for index, block in enumerate(self.blocks):
            h = block(h, style, voxel_noise[index])
            if index == 1:
                h = self.attention(h, tokens)
        half = self.modes(vector * torch.exp(self.strengths(style))).view(len(vector), 1, *h.shape[2:])
        linear = F.interpolate(half.float(), scale_factor=2.0, mode="trilinear", align_corners=False)
        return self.ball + linear + self.out(F.silu(_unfolded(self.fold(F.silu(h))))).float()

    @torch.no_grad()
    def set_modes(self, mean: Tensor, basis: Tensor) -> None:
        """Start from known modes of variation.

        Parameters
        ----------
        mean : mean field less the ball's, on half the grid (cells,).
        basis : change of that field by one unit of each noise value (noise, cells).
        """
        self.modes.weight.copy_(basis.T)
        self.modes.bias.copy_(mean)
        for layer in (self.strengths, self.out):
            layer.weight.mul_(0.1)
            assert layer.bias is not None
            layer.bias.zero_()


def fixed_length(vector: Tensor) -> Tensor:
    """Vectors (B, n) scaled to the length sqrt(n)."""
    return F.normalize(vector, dim=1) * vector.shape[1] ** 0.5


def _unfolded(x: Tensor) -> Tensor:
    """Channels to voxels: (B, 8 C, D, H, W) to (B, C, 2 D, 2 H, 2 W)."""
    batch, channels, *edges = x.shape
    h = x.view(batch, channels // 8, 2, 2, 2, *edges).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return h.reshape(batch, channels // 8, *(2 * edge for edge in edges))


def _folded(x: Tensor) -> Tensor:
    """Voxels to channels, the inverse of ``_unfolded``."""
    batch, channels, *edges = x.shape
    depth, height, width = (edge // 2 for edge in edges)
    h = x.view(batch, channels, depth, 2, height, 2, width, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return h.reshape(batch, channels * 8, depth, height, width)


class Trunk(nn.Module):
    """A field to a vector; sees the clipped distance and, sharply, the surface."""

    def __init__(self, config: ShapeConfig, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv3d(16, 32, 3, padding=1),
                nn.Conv3d(32, 64, 4, stride=2, padding=1),
                nn.Conv3d(64, 64, 3, padding=1),
                nn.Conv3d(64, 96, 4, stride=2, padding=1),
            ]
        )
        self.last = nn.Linear(97 * (config.grid // 8) ** 3, width)

    def forward(self, field: Tensor) -> Tensor:
        """Vectors (B, width) of fields (B, 1, grid, grid, grid)."""
        h = _folded(torch.cat([field.clamp(-1.0, 1.0), torch.tanh(field / 0.15)], dim=1))
        for conv in self.convs:
            h = F.leaky_relu(conv(h), 0.2)
        # One number for each group: how much its members differ (Karras et al. 2018, 2020), against collapse.
        group = CRITIC_GROUP if len(h) % CRITIC_GROUP == 0 else len(h)
        deviation = h.float().unflatten(0, (-1, group)).var(dim=1, unbiased=False).add(1e-6).sqrt().flatten(1).mean(dim=1)
        deviation = deviation.repeat_interleave(group).view(-1, 1, 1, 1, 1)
        h = torch.cat([h, deviation.to(h.dtype).expand(-1, 1, *h.shape[2:])], dim=1)
        return F.leaky_relu(self.last(h.flatten(1)), 0.2)


class Discriminator(nn.Module):
    """Whether a field is real and has the features it is said to have."""

    def __init__(self, config: ShapeConfig, width: int = 192) -> None:
        super().__init__()
        self.trunk = Trunk(config, width)
        self.tokens = FeatureTokens(config)
        self.project = nn.Linear(2 * config.token_width, width)
        self.logit = nn.Linear(width, 1)

    def forward(self, field: Tensor) -> Tensor:
        """Vectors of fields, to be judged by ``judge``."""
        return self.trunk(field)

    def judge(self, vector: Tensor, values: Tensor, present: Tensor, organ: Tensor) -> Tensor:
        """Logits (B,) of fields' vectors under conditions."""
        _, pooled = self.tokens(values, present, organ)
        match = (vector * self.project(pooled)).sum(dim=1) / vector.shape[1] ** 0.5
        return (self.logit(vector)[:, 0] + match).float()
