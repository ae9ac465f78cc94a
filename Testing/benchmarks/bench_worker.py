"""The warm worker over many edits: edits per minute, memory, time until a cancelled request is over, shape previews.

One worker gets a mixture of every operation against one scan, again and again. Memory is the worker's resident set after each
edit; what counts is whether its later edits need more than its earlier ones. Run it with the project's own Python, on a quiet
machine:

    .venv/bin/python Testing/benchmarks/bench_worker.py [--edits 200] [--size 256] [--device cpu] [--json FILE]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bench_insert import SCANS, write_scan

from TumorSynthLib.errors import Cancelled
from TumorSynthLib.volume import Volume
from TumorSynthLib.volume_io import read_volume, write_volume
from TumorSynthLib.worker_client import WorkerClient

CANCELS = 20
"""Requests that are cancelled, at moments spread over their run."""
PREVIEWS = 50
"""Moves of a slider."""


def main() -> None:
    """Measure, and print Markdown."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        fields = inputs(place, options.size, options.device)
        start = time.perf_counter()
        with WorkerClient(arguments=["--device", options.device]) as worker:
            worker.wait_ready(600)
            told: dict[str, Any] = {"ready_s": time.perf_counter() - start, "size": options.size, "cores": os.cpu_count()}
            told |= many(worker, fields, place, options.edits)
            told["cancel_s"] = [cancelled(worker, fields, place, share) for share in np.linspace(0.02, 0.95, CANCELS)]
            told["preview_s"] = [previewed(worker, fields, number) for number in range(PREVIEWS)]
    print(report(told))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="The warm worker over many edits.")
    parser.add_argument("--edits", type=int, default=200, help="edits in a row")
    parser.add_argument("--size", choices=list(SCANS), default="256", help="scan to edit")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    return parser.parse_args()


def inputs(folder: Path, size: str, device: str) -> dict[str, Any]:
    """A scan with a bright ball of 8 mL and the ball's mask, as fields of a request."""
    shape, spacing = SCANS[size]
    write_scan(folder / "scan.nrrd", shape, spacing)
    scan = read_volume(folder / "scan.nrrd")
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing, strict=True)]
    ball = axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2 <= 12.4**2
    values = scan.array.copy(order="K")
    values[ball] += 50
    write_volume(Volume(values, scan.geometry), folder / "scan.nrrd")
    write_volume(Volume(ball, scan.geometry), folder / "mask.nrrd", compress=True)
    return {
        "schema": 1,
        "image": str(folder / "scan.nrrd"),
        "mask": str(folder / "mask.nrrd"),
        "domain": "soft-tissue-ct",
        "device": device,
    }


def mixture(fields: dict[str, Any], out: Path) -> Iterator[dict[str, Any]]:
    """One request after the other, every operation in turn."""
    alone = {name: value for name, value in fields.items() if name != "mask"}
    lesions = [{"at": [20.0, 0.0, 0.0], "shape": {"volume_ml": 4}}, {"at": [-20.0, 0.0, 0.0], "shape": {"volume_ml": 2}}]
    kinds: list[dict[str, Any]] = [
        {**alone, "op": "insert", "at": [0.0, 0.0, 0.0], "shape": {"volume_ml": 12.0}},
        {**fields, "op": "edit", "texture": {"firstorder_Mean": 60.0, "glcm_Contrast": 6.0}},
        {**fields, "op": "remove"},
        {**fields, "op": "move", "to": [15.0, 5.0, 0.0]},
        {**fields, "op": "edit", "shape": {"volume_ml": 5.0}},
        {**fields, "op": "grow", "volumes_ml": [6.0, 12.0]},
        {**alone, "op": "insert", "at": [0.0, 0.0, 0.0], "shape": {"volume_ml": 8.0}, "core": {"share": 0.3}},
        {**alone, "op": "lesions", "lesions": lesions},
    ]
    number = 0
    while True:
        yield {**kinds[number % len(kinds)], "seed": number, "overwrite": True, "out": str(out)}
        number += 1


def many(worker: WorkerClient, fields: dict[str, Any], folder: Path, count: int) -> dict[str, Any]:
    """Times by operation and memory after each edit."""
    seconds: dict[str, list[float]] = {}
    memory = []
    begun = time.perf_counter()
    for _, request in zip(range(count), mixture(fields, folder / "out"), strict=False):
        start = time.perf_counter()
        worker.run(request)
        kind = " with core" if "core" in request else " shape" if request["op"] == "edit" and "shape" in request else ""
        seconds.setdefault(request["op"] + kind, []).append(time.perf_counter() - start)
        memory.append(resident_gb(worker.pid))
    return {"seconds": seconds, "memory_gb": memory, "edits": count, "whole_s": time.perf_counter() - begun}


def cancelled(worker: WorkerClient, fields: dict[str, Any], folder: Path, share: float) -> float:
    """Seconds from a cancel, sent once so much of the run is done, until the worker says that it is over."""
    sent = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event["fraction"] >= share and not sent:
            sent.append(time.perf_counter())
            worker.cancel()

    request = {**fields, "op": "edit", "shape": {"volume_ml": 14.0}, "texture": {"glcm_Contrast": 6.0}, "candidates": 2}
    try:
        worker.run({**request, "overwrite": True, "out": str(folder / "cancelled")}, watch)
    except Cancelled:
        return time.perf_counter() - sent[0]
    return 0.0  # it was over before


def previewed(worker: WorkerClient, fields: dict[str, Any], number: int) -> float:
    """Seconds from a slider's move to its outline."""
    alone = {name: value for name, value in fields.items() if name != "mask"}
    shape = {"volume_ml": 20.0 + 0.3 * number, "sphericity": 0.7}
    found: list[float] = []
    start = time.perf_counter()
    request = {**alone, "op": "insert", "at": [0.0, 0.0, 0.0], "shape": shape, "preview": True}
    worker.run(request, lambda event: found.append(time.perf_counter()) if event["event"] == "preview" else None)
    return found[0] - start


def resident_gb(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def report(told: dict[str, Any]) -> str:
    """Markdown."""
    lines = [f"Scan {told['size']}, {told['cores']} cores, ready after {told['ready_s']:.1f} s", ""]
    lines += ["operation | runs | median s | 95 % s", "---|---|---|---"]
    for name, values in told["seconds"].items():
        lines.append(f"{name} | {len(values)} | {statistics.median(values):.2f} | {np.percentile(values, 95):.2f}")
    memory, quarter = told["memory_gb"], max(1, len(told["memory_gb"]) // 4)
    second, last = (statistics.median(part) for part in (memory[quarter : 2 * quarter], memory[-quarter:]))
    pace = 60 * told["edits"] / told["whole_s"]
    kept = f"{second:.3f} GB in the second quarter, {last:.3f} GB in the last, at most {max(memory):.3f} GB"
    lines += ["", f"{pace:.0f} edits a minute; memory (median) {kept}"]
    for name in ("cancel", "preview"):
        values = told[f"{name}_s"]
        median, late = statistics.median(values), np.percentile(values, 95)
        lines.append(f"{name}: median {median:.3f} s, 95 % {late:.3f} s, at most {max(values):.3f} s")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
