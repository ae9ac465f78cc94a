"""What a sample of each method costs: arithmetic and seconds of its networks at each number of steps."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from TumorSynthLib.evaluate.methods_arms import ARMS, Arm, sampled, tasks_of
from TumorSynthLib.evaluate.order import Progress
from TumorSynthLib.evaluate.texture_arms import Tumor
from TumorSynthLib.evaluate.timing import measured, sampling_gflop
from TumorSynthLib.texture import Task, TextureModel

REPEATS = 3
"""Measured runs, of which the median is told."""


def costs(
    tumor: Tumor, model: TextureModel, steps: Sequence[int], progress: Progress | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """``gflop`` and ``seconds`` of one sample, by arm and number of steps.

    Everything that the networks do counts: encoding, steps (two evaluations each where features are asked for), decoding and,
    where the mask is made, its refinement. Before the measured runs there is one of the fewest steps.

    Parameters
    ----------
    tumor : whose place and features are taken; the working grid has one size, so the arithmetic is that of any tumor.
    model : warm networks.
    steps : numbers of steps.
    progress : follows the work.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    tasks = tasks_of(tumor, model)
    for number, (name, (task, _)) in enumerate(tasks.items()):
        run = partial(_run, model, ARMS[name], task)
        run(min(steps))
        flops, seconds = sampling_gflop(run, steps), {count: _seconds(run, count, model.device) for count in steps}
        found[name] = {str(count): {"gflop": flops[count], "seconds": seconds[count]} for count in steps}
        if progress is not None:
            progress("measuring the cost", (number + 1) / len(tasks))
    return found


def _run(model: TextureModel, arm: Arm, task: Task, steps: int) -> object:
    return sampled(model, arm, task, steps, (0,))


def _seconds(run: Callable[[int], object], steps: int, device: torch.device) -> float:
    return float(np.median(measured(lambda _: run(steps), REPEATS, device, warm_ups=0)))
