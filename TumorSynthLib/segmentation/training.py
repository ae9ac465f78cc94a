"""Fitting a segmenter: a fixed number of steps on batches that depend on seed and step alone, so that a run resumes exactly."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.losses.dice import DiceCELoss
from torch import Tensor, nn

from TumorSynthLib.errors import DataError
from TumorSynthLib.segmentation.network import SegmenterConfig, build_network

Draw = Callable[[int], tuple[Tensor, Tensor]]
"""The batch of a step: network input and target."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to fit."""

    steps: int
    """Optimizer steps of the whole run."""
    rate: float = 2e-3
    """Highest learning rate; it rises over the first twentieth of the steps and falls along a cosine."""
    keep_every: int = 50
    """Steps between two checkpoints."""


class Fit:
    """One run of training, resumed from its checkpoint where there is one.

    Parameters
    ----------
    config : of the network.
    schedule : how long.
    seed : of the first weights.
    checkpoint : file that holds the state; None keeps none.
    device : where the network runs.
    """

    def __init__(
        self, config: SegmenterConfig, schedule: Schedule, seed: int = 0, checkpoint: Path | None = None, device: str = "cpu"
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network: nn.Module = build_network(config)
        self.device = torch.device(device)
        self.network.to(self.device).train()
        self.schedule, self.checkpoint, self.step = schedule, checkpoint, 0
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=schedule.rate, weight_decay=1e-4)
        self.rates = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, schedule.rate, schedule.steps + 1, pct_start=0.05, cycle_momentum=False
        )
        self.loss = DiceCELoss(sigmoid=True, batch=True)
        self._resume()

    @property
    def finished(self) -> bool:
        """Whether all steps have been taken."""
        return self.step >= self.schedule.steps

    def run(
        self, draw: Draw, told: Callable[[int, float], None] | None = None, enough: Callable[[], bool] | None = None
    ) -> nn.Module:
        """Take the steps that are left and return the network, ready to be used.

        Parameters
        ----------
        draw : the batch of a step.
        told : called with the step and its loss.
        enough : asked before each step whether to stop here, so that a later run goes on; then ``finished`` is False.
        """
        while not self.finished:
            if enough is not None and enough():
                self._keep()
                break
            loss = self._advance(*draw(self.step))
            self.step += 1
            if self.step % self.schedule.keep_every == 0 or self.finished:
                self._keep()
            if told is not None:
                told(self.step, loss)
        return self.network.eval().requires_grad_(False)

    def _advance(self, image: Tensor, target: Tensor) -> float:
        image, target = image.to(self.device), target.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.network(image)
        loss = self.loss(logits.float(), target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.rates.step()
        return float(loss.detach())

    def _keep(self) -> None:
        if self.checkpoint is None:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        states = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rates": self.rates.state_dict(),
        }
        torch.save({"step": self.step, **states}, partial)
        partial.replace(self.checkpoint)

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        hint = f"Delete {self.checkpoint} to start again."
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if state["rates"]["total_steps"] != self.schedule.steps + 1:
            found = state["rates"]["total_steps"] - 1
            message = f"The checkpoint belongs to a run of {found} steps; {self.schedule.steps} were asked for."
            raise DataError("segmenter.steps", message, hint)
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rates.load_state_dict(state["rates"])
