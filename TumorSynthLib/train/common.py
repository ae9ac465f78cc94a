"""What every trainer shares: the log file, the moving average, the learning rate, autocast, and who is held out."""

import copy
import json
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from TumorSynthLib.configs import TrainConfig


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

    def forget_after(self, step: int) -> None:
        """Drop lines of later steps: a killed run had logged them, and its continuation will again."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        if len(kept) < len(lines):
            partial = self.path.with_name(".partial-log.jsonl")
            partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
            partial.replace(self.path)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line).get("step", 0))
    except ValueError:
        # A line that a kill cut short belongs to no step.
        return math.inf


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


def learning_rate(config: TrainConfig, step: int, share: float) -> float:
    """Linear warm-up by steps, then a cosine over the share of the training that is done, down to 5 % of the peak."""
    warm = min(1.0, (step + 1) / config.warmup)
    return config.learning_rate * warm * (0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * share)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the same rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def autocast(device: str, precision: str = "bf16") -> torch.autocast:
    """bfloat16 autocast, about twice as fast as float32 on the CPUs it was measured on; ``fp32`` switches it off."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Weights initialized inside come from the seed; torch's global generator is afterwards what it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def is_validation(patient: str, share: float = 0.1) -> bool:
    """Whether a training patient is held out for validation, by a stable hash of the patient's name."""
    return zlib.crc32(patient.encode()) % 1000 < 1000 * share


def numpy_generator(seed: int, step: int) -> np.random.Generator:
    """One generator per number, for draws that belong to no sample of a step."""
    return np.random.default_rng((seed, step))


def torch_generator(seed: int, step: int = 0) -> torch.Generator:
    """As ``numpy_generator``, for torch on the CPU."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % (2**63))


def half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating point tensors in float16, for a bundle."""
    return {key: value.half() if value.dtype.is_floating_point else value for key, value in state.items()}
