"""The time table: seconds and arithmetic of an edit, the whole of it and its networks alone."""

import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.edit import TextureEdit, work_task
from TumorSynthLib.evaluate.cases import Case, read_case
from TumorSynthLib.evaluate.order import Findings, Order
from TumorSynthLib.evaluate.report import markdown_table
from TumorSynthLib.evaluate.texture import tumor_rows
from TumorSynthLib.existing import centroid
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.protocol import SCHEMA, Request
from TumorSynthLib.texture import Sampling, Task, TextureModel

STEPS = (4, 10, 50, 200)
"""Numbers of sampling steps."""
WARM_UPS = 3
"""Runs that are not counted."""
VOLUME_ML = 20.0
GUIDANCE = 1.5
_LEVELS = (5.0, 95.0)

PROTOCOL = f"""Median of the measured runs after {WARM_UPS} warm-ups, and their 5 to 95 % range. whole: reading the scan,
shape, resampling, encoding, sampling, decoding, noise, blending, measuring all features and writing the result folder, for
one {VOLUME_ML:g} mL tumor in the place of the first soft-tissue tumor of the split, with warm networks; network: encoding,
sampling and decoding of the same working grid alone. Guidance {GUIDANCE}, which takes two evaluations a step. GFLOP by
torch.utils.flop_counter, a multiplication and an addition being two. Seconds on a computer that does other work as well are
upper bounds."""


def timing_findings(order: Order) -> Findings:
    """Carry out the time table."""
    row = tumor_rows(order.data, order.split, 1)[0]
    case = read_case(order.data, row, order.bundle)
    editor = Editor(order.bundle, "auto")
    model, task = editor.texture, _task(case)
    cases: list[dict[str, Any]] = []
    for number, steps in enumerate(STEPS):
        runs = {"network": _network(model, task, steps), "whole": _whole(editor, case, steps)}
        for place, (kind, run) in enumerate(runs.items()):
            order.report(f"{kind}, {steps} steps", (2 * number + place) / (2 * len(STEPS)))
            for repeat, seconds in enumerate(measured(run, order.options.repeats, model.device)):
                cases.append({"id": f"{kind}_{steps}_{repeat}", "kind": kind, "steps": steps, "seconds": seconds})
    flops = sampling_gflop(lambda n: model.synthesize(task, Sampling(n, GUIDANCE)), STEPS)
    return Findings(PROTOCOL, cases, {**computer(model), "steps": _summary(cases, flops)}, timing_text, timing_figure)


def measured(run: Callable[[int], object], repeats: int, device: torch.device, warm_ups: int = WARM_UPS) -> list[float]:
    """Seconds of the runs after the warm-ups; each is told its number."""
    seconds = []
    for number in range(warm_ups + repeats):
        start = time.perf_counter()
        run(number)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds[warm_ups:]


def sampling_gflop(run: Callable[[int], object], steps: Sequence[int]) -> dict[int, float]:
    """Arithmetic of one sample by number of steps, from that of one and of two: every further step costs the same.

    Parameters
    ----------
    run : draws a sample with the number of steps that it is told.
    steps : numbers of steps for which the arithmetic is told.
    """
    one, two = (gflop(partial(run, n)) for n in (1, 2))
    return {count: one + (count - 1) * (two - one) for count in steps}


def gflop(work: Callable[[], object]) -> float:
    """Billions of floating point operations, a multiplication and an addition being two.

    Attention is done by its formula meanwhile: of the fused kernels the counter knows those of some devices only.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def _task(case: Case) -> Task:
    features = {"firstorder_Mean": case.domain.center}
    return work_task(case.scene(), TextureEdit(case.labels == 1, features), WorkConfig())[0]


def _network(model: TextureModel, task: Task, steps: int) -> Callable[[int], object]:
    return lambda number: model.synthesize(task, Sampling(steps, GUIDANCE, (number,)))


def _whole(editor: Editor, case: Case, steps: int) -> Callable[[int], object]:
    at = centroid(case.labels == 1, case.scan.geometry)
    place = (float(at[0]), float(at[1]), float(at[2]))

    def run(number: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            request = Request(
                SCHEMA,
                "insert",
                str(case.source),
                domain=case.domain.id,
                at=place,
                shape={"volume_ml": VOLUME_ML},
                texture={"firstorder_Mean": case.domain.center},
                steps=steps,
                guidance=GUIDANCE,
                seed=number,
                out=str(Path(folder) / "result"),
            )
            editor.run(request)

    return run


def computer(model: TextureModel) -> dict[str, Any]:
    """What the seconds depend on."""
    name = (
        torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.processor() or platform.machine()
    )
    networks = [net for net in (model.codec, model.network, model.refiner) if net is not None]
    parameters = sum(p.numel() for net in networks for p in net.parameters())
    return {
        "device": f"{model.device.type}, {name}",
        "threads": torch.get_num_threads(),
        "dtype": "bfloat16 by autocast",
        "grid": WorkConfig().size,
        "parameters": parameters,
    }


def _summary(cases: Sequence[Mapping[str, Any]], flops: Mapping[int, float]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for steps in STEPS:
        found: dict[str, Any] = {"gflop": flops[steps]}
        for kind in ("network", "whole"):
            seconds = [case["seconds"] for case in cases if case["steps"] == steps and case["kind"] == kind]
            low, high = np.percentile(seconds, _LEVELS)
            found[kind] = {"median": float(np.median(seconds)), "range": [float(low), float(high)], "runs": len(seconds)}
        summary[str(steps)] = found
    return summary


def timing_text(summary: Mapping[str, Any]) -> str:
    """Markdown table of the summary."""
    head = ", ".join(f"{key} {value}" for key, value in summary.items() if key != "steps")
    rows = [
        [steps, *(_seconds(found[kind]) for kind in ("network", "whole")), f"{found['gflop']:.0f}"]
        for steps, found in summary["steps"].items()
    ]
    return f"{head}.\n\n" + markdown_table(["steps", "network, s", "whole edit, s", "GFLOP of the networks"], rows)


def _seconds(found: Mapping[str, Any]) -> str:
    low, high = found["range"]
    return f"{found['median']:.2f} [{low:.2f}, {high:.2f}]"


def timing_figure(figure: Any, cases: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """Seconds over steps."""
    panel = figure.subplots()
    for kind in ("network", "whole"):
        panel.plot(STEPS, [summary["steps"][str(steps)][kind]["median"] for steps in STEPS], marker="o", label=kind)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("sampling steps")
    panel.set_ylabel("seconds, median")
    panel.legend()
