"""The denoiser: a 3D U-Net on latents, with the Eq. 8 attention switch, feature tokens, and FiLM.

Kim et al. give each feature as a number without a name, so that permuting the features changes nothing. Here each token carries
the identity of its feature, its value, and is absent when not asked for. A FiLM of the pooled features runs beside the tokens:
tokens alone learn to steer much later.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from TumorSynthLib.configs import BridgeConfig
from TumorSynthLib.methods import METHODS


@dataclass(frozen=True, eq=False)
class Condition:
    """What a batch of B samples is conditioned on."""

    mask: Tensor
    """Soft tumor mask and soft filled region on the latent grid, (B, 2, d, h, w), in [0, 1]; for ``flow`` twice the box."""
    values: Tensor
    """Standardized feature values, (B, K); ignored where absent."""
    present: Tensor
    """Which features are asked for, bool (B, K)."""
    tumor: Tensor
    """True: the tumor path (cross-attention). False: healthy tissue (self-attention), bool (B,)."""
    domain: Tensor
    """Index of the domain, int64 (B,)."""
    spacing: Tensor
    """Working voxel in mm, (B,)."""
    method: int = 0
    """Index in ``METHODS`` of the method that all samples follow."""

    def without_features(self) -> "Condition":
        """The same with no feature asked for: the average tumor, for guidance."""
        return replace(self, present=torch.zeros_like(self.present))


MASK_SD = 1.0
"""Standard deviation of the mask channel, -1 to 1, about that of no tumor."""


def residual_sd(config: BridgeConfig, condition: Condition) -> Tensor:
    """Standard deviation of x0 - y of each sample, (B, C, 1, 1, 1), for ``flow`` with the mask's; ones where it is unknown."""
    count = config.latent_channels + (METHODS[condition.method] == "flow")
    found = torch.ones((len(condition.domain), count), device=condition.spacing.device)
    if config.residual_sd:
        table = torch.tensor(config.residual_sd, device=found.device)
        found = table[condition.domain, condition.tumor.long()][:, None].repeat(1, count)
        found[:, config.latent_channels :] = MASK_SD
    return found[:, :, None, None, None]


class Tokens(nn.Module):
    """Feature tokens (identity plus value) after a first token for the domain; and a pooled vector."""

    def __init__(self, config: BridgeConfig, pooled: int) -> None:
        super().__init__()
        count, width = len(config.all_tokens), config.token_width
        self.identity = nn.Parameter(torch.randn(count, width) * 0.5)
        self.value = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width))
        self.gain = nn.Parameter(torch.randn(count, width) * 0.5)
        self.domain = nn.Embedding(config.domains, width)
        self.pool = nn.Sequential(nn.Linear(2 * count, pooled), nn.SiLU(), nn.Linear(pooled, pooled))

    def forward(self, condition: Condition) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, K + 1, W), which of them exist (B, K + 1), and the pooled vector (B, pooled)."""
        values = torch.where(condition.present, condition.values, torch.zeros_like(condition.values))
        embedded = self.value(torch.stack([values, values.square() - 1.0], dim=-1))
        tokens = self.identity + self.gain * values[..., None] + embedded
        first = self.domain(condition.domain)[:, None]
        exists = torch.cat([torch.ones_like(condition.tumor)[:, None], condition.present], dim=1)
        pooled = self.pool(torch.cat([values, condition.present.to(values.dtype)], dim=1))
        return torch.cat([first, tokens], dim=1), exists, pooled


class ResBlock(nn.Module):
    """Two convolutions with a FiLM in between, to which healthy tissue adds a change of its own, as with Eq. 8's switch.

    Healing and making tumors pull the same weights to different places; so does making a tumor in a mask, and with its mask in
    a box. A change of low rank, which factors into a convolution to a few channels and one of single voxels, parts them at a
    small part of the cost of a second network, and can be learned after all else without touching it.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, healing_rank: int, flow_rank: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv1 = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.healing, self.flow = (
            nn.ModuleList([_low_rank(count, outputs, rank) for count in (inputs, outputs) if rank])
            for rank in (healing_rank, flow_rank)
        )
        self.film = nn.Linear(embedding, 2 * outputs)
        self.skip = nn.Conv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, embedding: Tensor, tumor: Tensor, flow: bool) -> Tensor:
        """(B, inputs, d, h, w) to (B, outputs, d, h, w)."""
        h = self._convolved(0, F.silu(self.norm1(x)), tumor, flow)
        scale, shift = self.film(embedding)[:, :, None, None, None].chunk(2, dim=1)
        h = self._convolved(1, F.silu(self.norm2(h) * (1.0 + scale) + shift), tumor, flow)
        return self.skip(x) + h

    def _convolved(self, number: int, x: Tensor, tumor: Tensor, flow: bool) -> Tensor:
        made: Tensor = (self.conv1, self.conv2)[number](x)
        if len(self.healing) and not bool(tumor.all()):
            made = made + self.healing[number](x) * ~tumor[:, None, None, None, None]
        return made + self.flow[number](x) if len(self.flow) and flow else made


def _low_rank(inputs: int, outputs: int, rank: int) -> nn.Sequential:
    """A convolution of a low rank that begins as zero."""
    change = nn.Sequential(nn.Conv3d(inputs, rank, 3, padding=1, bias=False), nn.Conv3d(rank, outputs, 1, bias=False))
    nn.init.zeros_(next(change[1].parameters()))
    return change


class SwitchAttention(nn.Module):
    """Eq. 8 of Kim et al.: cross-attention to feature tokens for a tumor, self-attention for healthy tissue.

    Queries are shared, keys and values have weights of their own on either path. The switch is per sample, so batches may mix.
    """

    def __init__(self, channels: int, token_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.query = nn.Linear(channels, channels)
        self.cross = nn.Linear(token_width, 2 * channels)
        self.own = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def _attend(self, query: Tensor, source: Tensor, weights: nn.Linear, exists: Tensor | None) -> Tensor:
        batch, length, channels = query.shape
        key, value = weights(source).chunk(2, dim=-1)
        q, k, v = (t.view(batch, -1, self.heads, channels // self.heads).transpose(1, 2) for t in (query, key, value))
        mask = None if exists is None else exists[:, None, None, :]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(batch, length, channels)

    def forward(self, x: Tensor, tokens: Tensor, exists: Tensor, tumor: Tensor) -> Tensor:
        """x (B, C, d, h, w), tokens (B, K, W), exists bool (B, K), tumor bool (B,); returns the shape of x."""
        flat = self.norm(x).flatten(2).transpose(1, 2)
        query = self.query(flat)
        if bool(tumor.all()):
            found = self._attend(query, tokens, self.cross, exists)
        elif not bool(tumor.any()):
            found = self._attend(query, flat, self.own, None)
        else:
            crossed = self._attend(query, tokens, self.cross, exists)
            found = torch.where(tumor[:, None, None], crossed, self._attend(query, flat, self.own, None))
        return x + self.out(found).transpose(1, 2).reshape(x.shape)


class Stage(nn.Module):
    """A residual block, with attention where the level has it."""

    def __init__(self, inputs: int, outputs: int, embedding: int, config: BridgeConfig, attention: bool) -> None:
        super().__init__()
        self.block = ResBlock(inputs, outputs, embedding, config.healing_rank, config.flow_rank)
        self.attention = SwitchAttention(outputs, config.token_width, config.heads) if attention else None

    def forward(self, x: Tensor, embedding: Tensor, tokens: Tensor, exists: Tensor, tumor: Tensor, flow: bool) -> Tensor:
        """(B, inputs, d, h, w) to (B, outputs, d, h, w)."""
        x = self.block(x, embedding, tumor, flow)
        return x if self.attention is None else self.attention(x, tokens, exists, tumor)


class BridgeUNet(nn.Module):
    """Predicts from x_t, y, time and condition what the objective of the process asks for; the latent's shape.

    Methods share all weights but an embedding, and what ``flow`` has of its own: the soft mask as one more channel of x and of
    what comes out, where the other methods see nothing, and a change of low rank of the convolutions.
    """

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__()
        self.config = config
        channels, width = config.channels, 4 * config.channels[0]
        self.tokens = Tokens(config, width)
        self.domain = nn.Embedding(config.domains, width)
        self.path = nn.Embedding(2, width)
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.spacing = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width))
        self.enter = nn.Conv3d(2 * config.latent_channels + 2 + config.joint, channels[0], 3, padding=1)
        self.down, self.shrink, self.up, self.grow = nn.ModuleList(), nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        current, kept = channels[0], [channels[0]]
        for level, size in enumerate(channels):
            for _ in range(self.config.blocks):
                self.down.append(Stage(current, size, width, config, config.attention[level]))
                current = size
                kept.append(size)
            if level < len(channels) - 1:
                self.shrink.append(nn.Conv3d(size, size, 3, stride=2, padding=1))
                kept.append(size)
        self.middle = nn.ModuleList(
            [Stage(current, current, width, config, True), Stage(current, current, width, config, False)]
        )
        for level, size in reversed(list(enumerate(channels))):
            for _ in range(self.config.blocks + 1):
                self.up.append(Stage(current + kept.pop(), size, width, config, config.attention[level]))
                current = size
            if level > 0:
                self.grow.append(nn.Conv3d(size, size, 3, padding=1))
        self.norm = nn.GroupNorm(8, current)
        self.leave = nn.Conv3d(current, config.latent_channels + config.joint, 3, padding=1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)
        self.method = nn.Embedding(len(METHODS), width) if len(config.methods) > 1 else None
        if self.method is not None:
            nn.init.zeros_(self.method.weight)

    def forward(self, x: Tensor, y: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """x (B, C, d, h, w), for ``flow`` with the mask as last channel, y alike; time in [0, 1] (B,).

        d, h, w must divide by 2 ** (levels - 1). What comes out has the shape of x.
        """
        tokens, exists, pooled = self.tokens(condition)
        embedding = pooled * condition.tumor[:, None] + self.time(waves(time)) + self.domain(condition.domain)
        log = torch.log(condition.spacing)
        embedding = embedding + self.path(condition.tumor.long()) + self.spacing(torch.stack([log, log.square()], dim=-1))
        if self.method is not None:
            embedding = embedding + self.method.weight[condition.method]
        embedding = F.silu(embedding)
        rest = (embedding, tokens, exists, condition.tumor, METHODS[condition.method] == "flow")
        count = self.config.latent_channels
        seen = [x[:, :count], y[:, :count], condition.mask]
        if self.config.joint:
            # The mask comes last, so that a network that learned without it starts from what it knows.
            seen.append(x[:, count:] if x.shape[1] > count else torch.zeros_like(x[:, :1]))
        h = self.enter(torch.cat(seen, dim=1))
        kept, down, shrink = [h], iter(self.down), iter(self.shrink)
        for level in range(len(self.config.channels)):
            for _ in range(self.config.blocks):
                h = next(down)(h, *rest)
                kept.append(h)
            if level < len(self.config.channels) - 1:
                h = next(shrink)(h)
                kept.append(h)
        for stage in self.middle:
            h = stage(h, *rest)
        up, grow = iter(self.up), iter(self.grow)
        for level in reversed(range(len(self.config.channels))):
            for _ in range(self.config.blocks + 1):
                h = next(up)(torch.cat([h, kept.pop()], dim=1), *rest)
            if level > 0:
                h = next(grow)(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return self.leave(F.silu(self.norm(h)))[:, : x.shape[1]].float()


def waves(time: Tensor, count: int = 32) -> Tensor:
    """Sines and cosines of a time in [0, 1], (B, 2 count)."""
    frequencies = torch.exp(torch.linspace(0.0, math.log(1000.0), count, device=time.device))
    angles = time[:, None] * frequencies[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)
