"""How well a bridge, and the methods that share its network, do on held-out patients, in numbers and in pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.configs import BridgeConfig
from TumorSynthLib.dataset import CHANGED, HEALTHY, TUMOR, TrainingData
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.nets.unet import BridgeUNet, residual_sd
from TumorSynthLib.processes.process import Process
from TumorSynthLib.sampler import beginning
from TumorSynthLib.train.common import autocast
from TumorSynthLib.train.conditions import Conditions, stacked
from TumorSynthLib.train.draws import prepared
from TumorSynthLib.train.flow_loss import over_cells
from TumorSynthLib.train.journal import picture
from TumorSynthLib.train.latents import Hides, LatentCache, Latents

MOST = 64
"""Regions validated on, of each plan."""
PICTURED = ("healthy", "tumor", "diffusion", "flow")
"""Plans that are shown in pictures."""
_AT_ONCE = 32
_LEAST = 1e-4
"""Mean squared error of a latent that is none: without it a region that is all but its own fill would count most."""


@dataclass(frozen=True)
class Plan:
    """One way of asking for held-out regions."""

    rows: np.ndarray
    """Regions."""
    sources: np.ndarray
    """Regions whose features are asked for."""
    features: bool
    """Whether they are asked for at all."""
    tumor: bool
    """Whether the tumor path is taken."""
    method: str = "bridge"
    """Method that is followed."""


class Validation:
    """Held-out regions, in the crop that belongs to each.

    Parameters
    ----------
    data, conditions : the regions.
    held : those of held-out patients.
    cache : encodes them.
    config : of the network, which says whether tumors start from the level that is asked for.
    healing : whether nothing but healing is validated, as nothing else is learned.
    """

    def __init__(
        self,
        data: TrainingData,
        conditions: Conditions,
        held: np.ndarray,
        cache: LatentCache,
        config: BridgeConfig,
        healing: bool = False,
    ) -> None:
        self.data, self.conditions, self.cache, self.config = data, conditions, cache, config
        healthy = held[conditions.kind[held] == HEALTHY][::3][:MOST]
        changed = held[conditions.kind[held] == CHANGED][::3][:MOST]
        tumors = held[(conditions.kind[held] != HEALTHY) & (conditions.kind[held] != CHANGED)][:MOST]
        whole = held[conditions.kind[held] == TUMOR][:MOST]
        self.plans = {"healthy": Plan(healthy, healthy, False, False)}
        if healing:
            return
        self.plans |= {
            "tumor": Plan(tumors, tumors, True, True),
            "free": Plan(tumors, tumors, False, True),
            "swapped": Plan(tumors, np.roll(tumors, len(tumors) // 2), True, True),
            "changed": Plan(changed, changed, True, True),
            "diffusion": Plan(tumors, tumors, True, True, "diffusion"),
            "flow": Plan(whole, whole, True, True, "flow"),
        }

    def numbers(self, network: BridgeUNet, processes: Mapping[str, Process]) -> dict[str, float]:
        """Share of the masked error of the harmonic fill that one step explains (1 is perfect, 0 nothing), geometric mean.

        A region of faint contrast counts as much as one of strong contrast, as in the loss and in decibels.
        ``healthy``: the healthy path on healthy regions. ``tumor``: tumors and parts with their features. ``free``: without.
        ``swapped``: with the features of another region; control shows as tumor > free > swapped. ``diffusion``: as ``tumor``.
        ``flow``: latent and mask of whole tumors in their boxes.
        """
        known = {name: plan for name, plan in self.plans.items() if plan.method in processes and len(plan.rows)}
        return {name: self._explained(plan, network, processes[plan.method]) for name, plan in known.items()}

    def panels(self, network: BridgeUNet, processes: Mapping[str, Process]) -> dict[str, np.ndarray]:
        """For three regions of a kind, side by side: what sampling starts from, the truth, and one step's prediction."""
        found = {}
        for name, plan in self.plans.items():
            some = replace(plan, rows=plan.rows[:3], sources=plan.sources[:3])
            if name in PICTURED and len(some.rows) and plan.method in processes:
                latents, made = self._made(some, network, processes[plan.method])
                codes = [z[:, : self.cache.codec.config.latent_channels] for z in (latents.y, latents.x0, made)]
                columns = [decoded(self.cache.codec, z, self.cache.precision) for z in codes]
                found[name] = picture([list(row) for row in np.stack(columns, axis=1)])
        return found

    def _explained(self, plan: Plan, network: BridgeUNet, process: Process) -> float:
        ratios = []
        for start in range(0, len(plan.rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            some = replace(plan, rows=plan.rows[part], sources=plan.sources[part])
            latents, made = self._made(some, network, process)
            weight = latents.masks[:, :1]
            plain = self._latents(replace(some, features=False)).y
            left, base = (over_cells((z - latents.x0).square().mean(dim=1, keepdim=True), weight) for z in (made, plain))
            ratios.append(((left + _LEAST) / (base + _LEAST)).log())
        return 1.0 - float(torch.cat(ratios).mean().exp())

    def _latents(self, plan: Plan) -> Latents:
        """Encodings of a plan's regions; with the mean that is asked for as their level, where the network starts from it."""
        hides = Hides.BOX if plan.method == "flow" else Hides.RING if plan.tumor else Hides.REGION
        leveled = self.config.flow_leveled if hides is Hides.BOX else self.config.leveled
        shown = leveled and plan.features and plan.tumor
        levels = [self.conditions.row(int(n)).level if shown else None for n in plan.sources]
        pairs = zip(plan.rows, levels, strict=True)
        return self.cache.batch([prepared(self.data, int(n), hides=hides, level=level) for n, level in pairs])

    @torch.no_grad()
    def _made(self, plan: Plan, network: BridgeUNet, process: Process) -> tuple[Latents, Tensor]:
        """Encodings, and the target as one step predicts it."""
        latents = self._latents(plan)
        sources = [self.conditions.row(int(n)) for n in plan.sources]
        present = np.full((len(plan.rows), len(sources[0].values)), plan.features)
        if plan.method != "flow":
            present[:, len(sources[0].values) - len(self.conditions.shape_scales) :] = False
        condition = stacked(sources, latents.masks, present, np.full(len(plan.rows), plan.tumor), plan.method)
        end = torch.ones(len(plan.rows), device=latents.y.device)
        drawn = np.stack([np.random.default_rng(int(n)).standard_normal(latents.y.shape[1:], np.float32) for n in plan.rows])
        x = beginning(process, latents.y, latents.support, lambda: torch.from_numpy(drawn).to(end.device))
        with autocast(self.cache.device, self.cache.precision):
            sd = residual_sd(network.config, condition)
            prediction = network(process.shown(x, latents.y, end, sd), latents.y, end, condition)
        return latents, process.estimate(prediction, x, latents.y, end, sd)


@torch.no_grad()
def decoded(codec: Codec, z: Tensor, precision: str) -> np.ndarray:
    """Network input (B, D, H, W) of latents."""
    with autocast(z.device.type, precision):
        return codec.decode(z)[:, 0].float().cpu().numpy()
