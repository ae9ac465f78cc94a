"""What a bridge training minimizes, and with it the methods that share the network."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from TumorSynthLib.configs import BridgeConfig, TrainConfig
from TumorSynthLib.methods import METHODS
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.nets.unet import Condition, residual_sd
from TumorSynthLib.processes.process import PRECONDITIONED, Process, column
from TumorSynthLib.train.common import autocast
from TumorSynthLib.train.flow_loss import REFINE, flow_loss, flow_weights, over_cells, refinement
from TumorSynthLib.train.healing_loss import healing_loss
from TumorSynthLib.train.latents import Latents

RELATIVE, FAINT = 0.05, 0.06
"""The error of a sample counts RELATIVE over what there is to be explained, and at most 1 / FAINT times; where the objective
has a variance of 1, 1 over it.

Residuals of tumors in PET are forty times those in CT, which would hardly count in a plain mean.
"""


@dataclass(frozen=True, eq=False)
class BridgeLoss:
    """The loss of a network.

    Parameters
    ----------
    network : predicts the target of a process.
    refiner : of flow's masks; None where flow is not trained.
    processes : by method.
    codec : whose decoder the refiner and healing are looked through.
    config, train : of the network and of the training.
    healing : whether healing alone is trained, which then counts as the image shows it, too.
    """

    network: nn.Module
    refiner: nn.Module | None
    processes: Mapping[str, Process]
    codec: Codec
    config: BridgeConfig
    train: TrainConfig
    healing: bool = False

    def networks(self, method: str) -> list[nn.Module]:
        """Those that a method trains."""
        return [self.network] if method != "flow" or self.refiner is None else [self.network, self.refiner]

    def __call__(self, latents: Latents, condition: Condition, t: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error on the support, three times as heavy inside the mask, relative to that of y; per sample, (B,)."""
        method, sd = METHODS[condition.method], residual_sd(self.config, condition)
        process, support = self.processes[method], latents.support
        noise = process.shaped(noise)
        x0 = latents.y + support * (latents.x0 - latents.y)
        x = latents.y + support * (process.forward(x0, latents.y, t, noise) - latents.y)
        with autocast(x.device.type, self.train.precision):
            prediction = self.network(process.shown(x, latents.y, t, sd), latents.y, t, condition).float()
        target = process.target(x0, latents.y, t, noise, sd)
        error = (prediction - target).square()
        weight, image = support * (0.5 + condition.mask[:, :1]), slice(self.config.latent_channels)
        unit = 1.0 if process.objective == PRECONDITIONED else RELATIVE
        explained = target if process.objective == PRECONDITIONED else x0 - latents.y
        usual = over_cells(explained[:, image].square().mean(dim=1, keepdim=True), weight)
        error[:, image] *= column(unit / (usual + FAINT * unit))
        estimate = latents.y + support * (process.estimate(prediction, x, latents.y, t, sd) - latents.y)
        if method != "flow":
            loss = process.weight(t) * over_cells(error.mean(dim=1, keepdim=True), weight)
            return loss + self._seen(latents, estimate, condition.mask[:, :1]) if self.healing else loss
        loss = flow_loss(error, process.weight(t), estimate, x0, condition.mask[:, :1], support, t, self.train.extra)
        return loss + self._refinement(latents, estimate, t)

    def _seen(self, latents: Latents, estimate: Tensor, mask: Tensor) -> Tensor:
        with autocast(mask.device.type, self.train.precision):
            return healing_loss(self.codec, estimate, latents.x0, latents.y, mask)

    def _refinement(self, latents: Latents, estimate: Tensor, t: Tensor) -> Tensor | float:
        weight = flow_weights(self.train.extra)[REFINE]
        if weight == 0.0 or latents.tumor is None or self.refiner is None:
            return 0.0
        with autocast(t.device.type, self.train.precision):
            return weight * refinement(self.refiner, self.codec, estimate, latents.tumor, t)
