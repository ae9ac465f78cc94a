"""What every trainer shares: the clock, the log, the moving average, the learning rate and the checkpoint."""

import copy
import json
import math
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from TumorSynthLib.configs import TrainConfig
from TumorSynthLib.errors import DataError


class Log:
    """Appends one JSON object a line to ``log.jsonl``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.jsonl"

    def write(self, **values: Any) -> None:
        """Write one line; floats are rounded to six digits."""
        rounded = {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(rounded) + "\n")


Network = TypeVar("Network", bound=nn.Module)


class Average(Generic[Network]):
    """Exponential moving average of a network's parameters and buffers (Karras et al., warm-up by step count)."""

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards ``network``; early steps move faster."""
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        for mine, theirs in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, 1.0 - decay)
            else:
                mine.copy_(theirs)


class Clock:
    """Says when the wall time is over."""

    def __init__(self, minutes: float) -> None:
        self.start = time.monotonic()
        self.seconds = 60.0 * minutes

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def share(self) -> float:
        """Elapsed share of the wall time, 0 to 1."""
        return min(1.0, self.elapsed / max(self.seconds, 1e-9))


def learning_rate(config: TrainConfig, step: int, share: float) -> float:
    """Linear warm-up by steps, then a cosine over the wall time down to 5 % of the peak."""
    warm = min(1.0, (step + 1) / config.warmup)
    return config.learning_rate * warm * (0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * share)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the same rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def autocast(device: str) -> torch.autocast:
    """bfloat16 autocast, about twice as fast as float32 on the CPUs it was measured on."""
    return torch.autocast(torch.device(device).type, torch.bfloat16)


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write ``checkpoint.pt`` whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"partial-{os.getpid()}.pt"
    torch.save(state, partial)
    partial.replace(folder / "checkpoint.pt")


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The last checkpoint, or None. Only tensors and plain values are read, never pickled objects.

    Raises
    ------
    DataError : when the file cannot be read.
    """
    path = folder / "checkpoint.pt"
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError("checkpoint.broken", f"{path} cannot be read: {error}", "Delete it to start again.") from error
    return state


def is_validation(patient: str, share: float = 0.1) -> bool:
    """Whether a training patient is held out for validation, by a stable hash of the patient's name."""
    return zlib.crc32(patient.encode()) % 1000 < 1000 * share


def steps(start: int, clock: Clock, limit: int | None = None) -> Iterator[int]:
    """Step numbers from ``start`` until the clock or the limit says stop."""
    step = start
    while clock.share < 1.0 and (limit is None or step < limit):
        yield step
        step += 1


def numpy_generator(seed: int, step: int) -> np.random.Generator:
    """One generator per step, so that a resumed run draws what an uninterrupted one would."""
    return np.random.default_rng((seed, step))


def torch_generator(seed: int, step: int) -> torch.Generator:
    """As ``numpy_generator``, for torch on the CPU."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % (2**63))


def half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating point tensors in float16, for a bundle."""
    return {key: value.half() if value.dtype.is_floating_point else value for key, value in state.items()}
