"""Time and peak memory of ``insert``: cold and warm, one and four candidates, small and large scans.

Scans are made here (a body of 40 HU in air, with noise). Each row has its own process, so that peak memory is its own.
Cold is the command line from start to exit. Warm is the median of repeats on one editor in one process, after a first
edit that does not count. Reading and writing the same scan is timed in the same process between the edits, because an
edit's time may grow with the scan only by that. CPU seconds are told too, because they hold on a busy machine.
Run it with the project's own Python:

    .venv/bin/python Testing/benchmarks/bench_insert.py [--sizes 64 256 big] [--repeats 5] [--device cpu] [--json FILE]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SCANS = {
    "64": ((64, 64, 64), (2.0, 2.0, 2.0)),
    "128": ((128, 128, 128), (1.5, 1.5, 1.5)),
    "256": ((256, 256, 256), (1.0, 1.0, 1.0)),
    "big": ((512, 512, 200), (0.8, 0.8, 1.5)),
    "huge": ((512, 512, 600), (0.8, 0.8, 1.0)),
}
"""Voxels and mm along i, j, k."""
BUDGET = {"cpu": {"warm_s": 3.0, "memory_gb": 2.0}, "cuda": {"warm_s": 0.5, "memory_gb": 4.0}}
"""Limits for a scan of 256^3 with one candidate."""


def main() -> int:
    """Measure every row and print a Markdown table; with ``--row`` measure one row in this process."""
    options = parse(sys.argv[1:])
    if options.row:
        print(json.dumps(warm_row(json.loads(options.row))))
        return 0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            scan = Path(folder) / f"{size}.nrrd"
            write_scan(scan, *SCANS[size])
            for candidates in (1, 4):
                rows.append(measure(size, request(scan, Path(folder) / "out", candidates, options.device), options.repeats))
                print(f"{size}, {candidates} candidate(s) done", file=sys.stderr, flush=True)
    print(table(rows))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"rows": rows, "budget": BUDGET, "cores": os.cpu_count()}, indent=1))
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time and peak memory of `tumorsynth insert`.")
    parser.add_argument("--sizes", nargs="+", choices=list(SCANS), default=list(SCANS), help="scans to measure")
    parser.add_argument("--repeats", type=int, default=5, help="warm edits per row")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def write_scan(path: Path, size: tuple[int, int, int], spacing: tuple[float, float, float]) -> None:
    """An elliptic cylinder of soft tissue with noise in air, centered at the origin, int16 HU."""
    rng = np.random.default_rng(0)
    i, j = (np.linspace(-1.0, 1.0, n) for n in size[:2])
    body = (i[None, :] ** 2 + j[:, None] ** 2 < 0.9)[None]
    noise = rng.normal(0.0, 12.0, size[::-1]).astype(np.float32)
    image = sitk.GetImageFromArray((np.where(body, 40.0, -1000.0) + noise).astype(np.int16))
    image.SetSpacing(spacing)
    image.SetOrigin([-0.5 * (n - 1) * mm for n, mm in zip(size, spacing, strict=True)])
    sitk.WriteImage(image, str(path), useCompression=False)


def request(scan: Path, out: Path, candidates: int, device: str) -> dict:
    """12 mL in the middle of the scan, 10 steps."""
    return {
        "schema": 1,
        "op": "insert",
        "image": str(scan),
        "domain": "soft-tissue-ct",
        "at": [0.0, 0.0, 0.0],
        "shape": {"volume_ml": 12.0},
        "steps": 10,
        "candidates": candidates,
        "device": device,
        "overwrite": True,
        "out": str(out),
    }


def measure(size: str, edit: dict, repeats: int) -> dict:
    """One row: the command line once, then the warm process."""
    start = time.perf_counter()
    cold_memory = run_measured(cold_command(edit))
    cold = time.perf_counter() - start
    order = json.dumps({"edit": edit, "repeats": repeats})
    warm = subprocess.run([sys.executable, __file__, "--row", order], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(warm.stdout.splitlines()[-1])
    return {"scan": size, "candidates": edit["candidates"], "cold_s": cold, "cold_memory_gb": cold_memory, **found}


def cold_command(edit: dict) -> list[str]:
    """The same edit as a command."""
    at = [f"{value:g}" for value in edit["at"]]
    command = [sys.executable, "-m", "TumorSynthLib", "insert", edit["image"], "--at", *at, "--out", edit["out"], "--overwrite"]
    command += ["--volume-ml", f"{edit['shape']['volume_ml']:g}", "--domain", edit["domain"], "--steps", str(edit["steps"])]
    return [*command, "--candidates", str(edit["candidates"]), "--device", edit["device"]]


def run_measured(command: list[str]) -> float:
    """Run a command; its own peak resident memory in GB."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1e6


def warm_row(order: dict) -> dict:
    """Ready time, warm edits, reading and writing, and peak memory of this process."""
    start = time.perf_counter()
    from TumorSynthLib.bundle import load_bundle
    from TumorSynthLib.pipeline import Editor
    from TumorSynthLib.protocol import parse_request

    edit = parse_request(order["edit"])
    editor = Editor(load_bundle(edit.bundle), edit.device)
    ready = time.perf_counter() - start
    editor.run(edit)
    edits, files, busy = [], [], []
    for _ in range(order["repeats"]):
        before = time.process_time()
        edits.append(seconds(lambda: editor.run(edit)))
        busy.append(time.process_time() - before)
        files.append(seconds(lambda: read_and_write(edit.image, edit.out)))
    result = json.loads((Path(edit.out) / "result.json").read_text())
    return {
        "ready_s": ready,
        "warm_s": statistics.median(edits),
        "warm_cpu_s": statistics.median(busy),
        "files_s": statistics.median(files),
        "warm_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "timings": result["timings"],
    }


def seconds(action) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def read_and_write(scan: str, out: str) -> None:
    """What any edit has to do with the files: read the scan, write an image as large."""
    from TumorSynthLib.volume_io import read_volume, write_volume

    write_volume(read_volume(Path(scan)), Path(out).with_name("copy.nrrd"))


def table(rows: list[dict]) -> str:
    """Markdown; the last column is the edit without its files against the smallest scan with as many candidates."""
    titles = "scan | candidates | cold s | ready s | warm s | warm CPU s | files s | peak GB cold / warm | edit against first"
    lines = [f"| {titles} |", "|---|---|---|---|---|---|---|---|---|"]
    first = {}
    for row in rows:
        alone = row["warm_s"] - row["files_s"]
        ratio = alone / first.setdefault(row["candidates"], alone)
        shape = " x ".join(str(n) for n in SCANS[row["scan"]][0])
        memory = f"{row['cold_memory_gb']:.2f} / {row['warm_memory_gb']:.2f}"
        times = " | ".join(f"{row[key]:.2f}" for key in ("cold_s", "ready_s", "warm_s", "warm_cpu_s", "files_s"))
        lines.append(f"| {shape} | {row['candidates']} | {times} | {memory} | {ratio:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
