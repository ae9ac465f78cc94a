"""Time of a live preview while a slider moves, from the request line to the worker's answer.

A worker is started as 3D Slicer starts it. Each row is 100 moves of the sphericity slider, one after the other: a new tumor,
and a painted one that is reshaped. The first move reads the scan's header and the mask and is told apart. On a busy machine
run it several times; the best run is the one that counts. CPU seconds of the worker per move hold on a busy machine.

    .venv/bin/python Testing/benchmarks/bench_preview.py [--runs 5] [--threads 1] [--volume-ml 20]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from TumorSynthLib.worker_client import WorkerClient  # noqa: E402

SCANS = {"256^3": ((256, 256, 256), (1.0, 1.0, 1.0)), "512 x 512 x 600": ((512, 512, 600), (0.7, 0.7, 0.7))}
"""Voxels and mm along i, j, k."""
MOVES = 100


def main() -> int:
    """Measure every row and print a Markdown table."""
    options = parse(sys.argv[1:])
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
    print("| scan | tumor | first ms | median ms | 95 % ms | CPU ms |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, WorkerClient(environment=environment) as client:
        client.wait_ready()
        for name, (size, spacing) in SCANS.items():
            scan, mask = Path(folder) / f"{name[:3]}.nrrd", Path(folder) / f"{name[:3]}_mask.nrrd"
            write_files(scan, mask, size, spacing, options.volume_ml)
            base = {"schema": 1, "image": str(scan), "domain": "soft-tissue-ct", "preview": True}
            new = {**base, "op": "insert", "at": [0.0, 0.0, 0.0], "shape": {"volume_ml": options.volume_ml}}
            painted = {**base, "op": "edit", "mask": str(mask), "shape": {}}
            for kind, request in (("new", new), ("painted", painted)):
                runs = [moves(client, request) for _ in range(options.runs)]
                first = runs[0][0][0]
                wall, cpu = min(runs, key=lambda run: float(np.median(run[0][1:])))
                median, high = np.percentile(wall[1:], [50, 95])
                told = " | ".join(f"{1000.0 * value:.0f}" for value in (first, median, high, cpu))
                print(f"| {name} | {kind} | {told} |", flush=True)
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time of a live preview.")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the best is told")
    parser.add_argument("--threads", type=int, default=1, help="threads of the worker")
    parser.add_argument("--volume-ml", type=float, default=20.0, help="volume of the tumor")
    return parser.parse_args(arguments)


def write_files(scan: Path, mask: Path, size: tuple[int, ...], spacing: tuple[float, ...], volume_ml: float) -> None:
    """A scan of nothing, centered at the origin, and an ellipsoid painted on it."""
    radius = (3000.0 * volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0)
    lines = [(np.arange(n) - 0.5 * (n - 1)) * mm / r for n, mm, r in zip(size, spacing, (1.2, 1.0, 1.0 / 1.2), strict=True)]
    near = lines[2][:, None, None] ** 2 + lines[1][None, :, None] ** 2 + lines[0][None, None] ** 2
    for path, values in ((scan, np.zeros(size[::-1], np.int16)), (mask, (near < radius**2).astype(np.uint8))):
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(spacing)
        image.SetOrigin([-0.5 * (n - 1) * mm for n, mm in zip(size, spacing, strict=True)])
        sitk.WriteImage(image, str(path), useCompression=True)


def moves(client: WorkerClient, request: dict[str, Any]) -> tuple[list[float], float]:
    """Seconds of each move, and CPU seconds per move."""
    wall = []
    before = busy(client.pid)
    for number in range(MOVES):
        shape = {**request["shape"], "sphericity": 0.5 + 0.25 * number / MOVES}
        wall.append(seconds(lambda shape=shape: client.preview({**request, "shape": shape})))
    return wall, (busy(client.pid) - before) / MOVES


def busy(pid: int) -> float:
    """CPU seconds that a process has used; 0 where the system does not tell."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0


def seconds(action: Callable[[], Any]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
