"""The processes of one training: one alone, or those that ``torchrun`` started (DistributedDataParallel over gloo or nccl).

A step has ``team.size * accumulate * batch`` samples. Each has a number and draws from a generator of its own, so how the
samples are laid out over processes and parts of a step changes nothing but rounding. The first process alone writes.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from TumorSynthLib.configs import TrainConfig
from TumorSynthLib.errors import DeviceError


@dataclass(frozen=True)
class Team:
    """This process's place among those that train together."""

    rank: int = 0
    """Number of this process."""
    size: int = 1
    """Number of processes."""
    device: str = "cpu"
    """Device of this process."""

    @property
    def leads(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over all processes.

        A network's two attention paths are not both in use in every batch, so unused parameters are looked for.
        """
        if self.size == 1 or not any(weight.requires_grad for weight in network.parameters()):
            return network
        return DistributedDataParallel(network, broadcast_buffers=False, find_unused_parameters=True)

    def items(self, config: TrainConfig, part: int) -> range:
        """Numbers of the samples of a step that this process handles in one part of it."""
        first = (part * self.size + self.rank) * config.batch
        return range(first, first + config.batch)

    def told(self, *values: float) -> tuple[float, ...]:
        """What the first process says, on every process."""
        if self.size == 1:
            return values
        heard = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.broadcast(heard, src=0)
        return tuple(heard.tolist())

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Means over all processes; every process must call it with the same names."""
        if self.size == 1:
            return dict(values)
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return dict(zip(values, (total / self.size).tolist(), strict=True))


@contextmanager
def gradient_part(*networks: nn.Module, last: bool) -> Iterator[None]:
    """One part of a step; gradients are averaged over processes in the last part alone."""
    with ExitStack() as stack:
        for network in networks:
            if isinstance(network, DistributedDataParallel) and not last:
                stack.enter_context(network.no_sync())
        yield


@contextmanager
def gathered(device: str) -> Iterator[Team]:
    """The team that ``torchrun`` describes in the environment, or this process alone.

    Parameters
    ----------
    device : ``cpu`` (gloo) or ``cuda`` (nccl; each process takes the device of its local rank).

    Raises
    ------
    DeviceError : ``device.missing`` when CUDA is asked for and not there, or has too few devices.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu and torch.cuda.device_count() <= (local if size > 1 else 0):
        found = torch.cuda.device_count()
        raise DeviceError("device.missing", f"{device} is asked for; {found} CUDA devices were found.", "Use --device cpu.")
    if size == 1:
        yield Team(device=device)
        return
    if on_gpu:
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()


def generators(seed: int, step: int, items: range) -> list[np.random.Generator]:
    """A generator for each sample of a step, so that neither resuming nor the layout changes what is drawn."""
    return [np.random.default_rng((seed, step, item)) for item in items]
