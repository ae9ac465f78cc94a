"""Kills workers at random moments and looks at what is left.

Each time: a result folder is whole or absent, leftovers are called ``.partial-*`` and swept by the next run, the scan is
bit-identical, the client says ``worker.died``, and no process stays. Half of the workers see the client's files, half do not.

    .venv/bin/python Testing/kill_worker.py [--kills 50] [--seed 0]
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

import numpy as np  # noqa: E402
import SimpleITK as sitk  # noqa: E402

from TumorSynthLib.worker_client import WorkerClient  # noqa: E402

START = 600.0
"""Seconds that a worker may take to start on a busy computer."""
LEFT = ".partial-"


@dataclass(frozen=True)
class Kill:
    """What one kill found."""

    inline: bool
    """Whether the worker got its files in lines."""
    seconds: float
    """When it was killed after its first request was sent."""
    stage: str
    """What it had told last."""
    whole: int
    """Result folders that are there."""
    left: int
    """Leftovers in the results' folder."""
    failed: int
    """Requests that the client was told of as lost."""


def main() -> int:
    """Kill as often as asked, print a table."""
    parser = argparse.ArgumentParser(description="Kill workers at random moments.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from quick_worker import command, quick_server

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = make_bundle(folder)
        with quick_server(folder) as place:
            kills = list(kill_often(command(place, folder), models, folder, options.kills, options.seed))
    print("| files | last told | kills | whole results | leftovers | requests lost |\n|---|---|---|---|---|---|")
    for (inline, stage), count in sorted(Counter((kill.inline, kill.stage) for kill in kills).items()):
        of = [kill for kill in kills if (kill.inline, kill.stage) == (inline, stage)]
        sums = " | ".join(str(sum(values)) for values in zip(*((k.whole, k.left, k.failed) for k in of), strict=True))
        print(f"| {'in lines' if inline else 'seen'} | {stage} | {count} | {sums} |")
    print(f"\n{len(kills)} kills, none left anything half-written.")
    return 0


def make_bundle(folder: Path) -> Path:
    """The bundle of the tests; the folder that it lies in."""
    from tiny_bundle import make_tiny_bundle

    return make_tiny_bundle(folder / "models").path.parent


def kill_often(command: list[str], models: Path, folder: Path, kills: int, seed: int) -> Iterator[Kill]:
    """Kill workers, every second one without access to the scan.

    Parameters
    ----------
    command : prefix that starts Python and tells the worker's number in its log.
    models : where the bundle ``tiny`` lies.
    folder : to work in.
    kills : how many.
    seed : of the moments.
    """
    rng = np.random.default_rng(seed)
    work, temporary = folder / "work", folder / "tmp"
    temporary.mkdir()
    scan = write_scan(folder / "input")
    before = checksum(scan)
    environment = {**os.environ, "TUMORSYNTH_MODELS": str(models), "TMPDIR": str(temporary)}
    usual = undisturbed(command, environment, scan, work)
    for number in range(kills):
        inline = number % 2 == 1
        work.mkdir()
        yield killed(command, environment, scan, work, inline, float(rng.uniform(0.0, 1.1 * usual)))
        assert checksum(scan) == before, "the scan was changed"
        with worker(command, environment, inline) as client:
            shape = {"schema": 1, "op": "shape", "bundle": "tiny", "shape": {"volume_ml": 1.0}, "device": "cpu"}
            client.run({**shape, "out": str(work / "after")})
        assert not list(work.glob(f"{LEFT}*")), "the next run did not sweep"
        assert not any(temporary.iterdir()), "files that were sent are still there"
        assert sitk.ReadImage(str(work / "after" / "segmentation.seg.nrrd")).GetDimension() == 3
        shutil.rmtree(work)


def killed(command: list[str], environment: dict[str, str], scan: Path, work: Path, inline: bool, moment: float) -> Kill:
    """Send two requests and kill the worker some seconds later."""
    with worker(command, environment, inline) as client:
        client.wait_ready(START)
        names = [client.send(request(scan, work / f"{number}", 3, id=number)) for number in range(2)]
        start = time.monotonic()
        told = list(until(client, start + moment))
        os.kill(worker_number(client), signal.SIGKILL)
        told += list(client.events(30.0))
        pid = worker_number(client)
    stage = next((one["stage"] for one in reversed(told) if "stage" in one), "nothing")
    done = {one["id"] for one in told if one["event"] == "done"}
    lost = {one["id"] for one in told if one["event"] == "failed"}
    codes = {one["code"] for one in told if one["event"] == "failed"}
    assert done | lost == set(names) and codes <= {"worker.died"}, told[-3:]
    assert gone(pid), "the worker still runs"
    assert gone(client.pid), "what started the worker still runs"
    found = {path.name for path in work.iterdir()}
    whole = {name for name in found if not name.startswith(LEFT)}
    assert whole >= {str(name) for name in done} and whole <= {str(name) for name in names}, found
    for name in whole:
        assert_whole(work / name)
    return Kill(inline, moment, stage, len(whole), len(found - whole), len(lost))


def until(client: WorkerClient, end: float) -> Iterator[dict[str, Any]]:
    """Events up to a moment."""
    while (rest := end - time.monotonic()) > 0.0:
        yield from client.events(0)
        time.sleep(min(0.002, rest))


@contextmanager
def worker(command: list[str], environment: dict[str, str], inline: bool) -> Iterator[WorkerClient]:
    """A worker with the bundle ``tiny``."""
    arguments = ["--bundle", "tiny", "--device", "cpu"]
    with WorkerClient(command, arguments=arguments, environment=environment, inline=inline) as client:
        yield client


def undisturbed(command: list[str], environment: dict[str, str], scan: Path, work: Path) -> float:
    """Seconds that two requests in lines take when nobody kills."""
    work.mkdir()
    with worker(command, environment, True) as client:
        client.wait_ready(START)
        start = time.monotonic()
        for number in range(2):
            client.run(request(scan, work / f"{number}", 3))
        taken = time.monotonic() - start
    shutil.rmtree(work)
    return taken


def request(scan: Path, out: Path, steps: int, **more: Any) -> dict[str, Any]:
    """An insertion of 3 mL."""
    base = {"schema": 1, "op": "insert", "image": str(scan), "bundle": "tiny", "domain": "soft-tissue-ct", "device": "cpu"}
    return {**base, "at": [35.0, 35.0, 39.0], "shape": {"volume_ml": 3.0}, "steps": steps, "out": str(out), **more}


def assert_whole(folder: Path) -> None:
    """A result folder has all its files, which can be read, and the image is the one that was measured."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["result_sha256"] == checksum(folder / "image.nrrd")
    for name in ("image.nrrd", "segmentation.seg.nrrd"):
        assert sitk.ReadImage(str(folder / name)).GetSize() == (48, 48, 40)
    assert (folder / "preview.png").stat().st_size > 0
    assert not list(folder.glob(f"{LEFT}*"))


def write_scan(folder: Path) -> Path:
    """A soft-tissue CT of noise."""
    folder.mkdir()
    values = np.random.default_rng(0).normal(50.0, 8.0, (40, 48, 48)).astype(np.int16)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1.5, 1.5, 2.0))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(folder / "scan.nrrd"))
    return folder / "scan.nrrd"


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def worker_number(client: WorkerClient) -> int:
    """The number of the worker's own process."""
    from quick_worker import worker_pid

    return worker_pid(client.log)


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process ends within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    sys.exit(main())
