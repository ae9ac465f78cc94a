"""Kills batches at random moments and looks what that does: nothing may be lost, half-written or done twice.

``python Testing/kill_batch.py`` runs the program with small random networks on small scans, kills it 50 times (by signal 9, the
whole process group; every other time its workers too) in one process and with two workers, starts it again each time until
every line is done, and prints a table. The results must have the bytes of those of a batch that nobody disturbed.
"""

import argparse
import inspect
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

HIDDEN = ".tumorsynth-batch"
LINES = 16
SHOWN = ("kills", "without_result", "with_half_written", "with_orphans", "rounds", "lines")


@dataclass(frozen=True)
class Program:
    """A program that runs a batch."""

    command: Sequence[str]
    """Its beginning; the file of requests and the folder are put in for ``{requests}`` and ``{out}``."""
    environment: dict[str, str]
    """Of the process."""

    def start(self, requests: Path, out: Path) -> "subprocess.Popen[str]":
        """Start it in a process group of its own."""
        words = [word.format(requests=requests, out=out) for word in self.command]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.Popen(words, env=self.environment, text=True, start_new_session=True, **pipes)


@dataclass
class Tally:
    """What happened in a campaign."""

    kills: int = 0
    """Batches that were killed before their end."""
    without_result: int = 0
    """Kills before the first result of that start."""
    with_half_written: int = 0
    """Kills that left a folder half-written."""
    with_orphans: int = 0
    """Kills that left workers alive."""
    rounds: int = 0
    """Times that all lines came to be done."""
    lines: int = 0
    """Lines done in them."""
    problems: list[str] = field(default_factory=list)
    """What must not be."""


class Campaign:
    """Kills a program again and again.

    Parameters
    ----------
    program : what to kill.
    requests : the file of requests.
    folder : for the results.
    seed : of the moments.
    """

    def __init__(self, program: Program, requests: Path, folder: Path, seed: int) -> None:
        self._program, self._requests, self._folder = program, requests, folder
        self._random = random.Random(seed)
        self.tally = Tally()
        start = time.monotonic()
        done = self._undisturbed(folder / "reference", start)
        self.expected = contents(folder / "reference")
        self._begins, self._line = done[0], (done[-1] - done[0]) / max(1, len(done) - 1)
        self._number = 0
        self._out = folder / "0"
        self._seen: dict[str, tuple[int, int]] = {}

    def run(self, kills: int) -> Tally:
        """Kill so many times, and let the last round come to its end."""
        while self.tally.kills < kills:
            self._once(kill=True)
        self._once(kill=False)
        return self.tally

    def _once(self, kill: bool) -> None:
        """Start the program, and kill it at some moment unless it has ended before."""
        before = len(self._seen)
        process = self._program.start(self._requests, self._out)
        try:
            process.wait(self._moment(process) if kill else None)
        except subprocess.TimeoutExpired:
            self._kill(process)
            self._look()
            self.tally.without_result += len(self._seen) == before
            return
        if process.returncode != 0:
            self.tally.problems.append(f"exit code {process.returncode}: {process.communicate()[1]}")
        self._look()
        self._end_round()

    def _moment(self, process: "subprocess.Popen[str]") -> float:
        """Seconds until the kill: mostly while lines run, sometimes before; waits until they do."""
        if self._random.random() < 0.2:
            return self._random.uniform(0.0, self._begins)
        before = len(folders(self._out))
        while process.poll() is None and len(folders(self._out)) == before and not list(self._out.glob(".partial-*")):
            time.sleep(0.002)
        return self._random.uniform(0.0, 5.0 * self._line)

    def _kill(self, process: "subprocess.Popen[str]") -> None:
        """Kill the batch, and every other time its workers too."""
        workers = children(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        self.tally.kills += 1
        if self._random.random() < 0.5:
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.killpg(worker, signal.SIGKILL)
        else:
            self.tally.with_orphans += any(map(alive, workers))

    def _look(self) -> None:
        """Compare what is there with what was there and with what must be."""
        if not self._out.is_dir():
            return
        self.tally.with_half_written += any(self._out.glob(".partial-*"))
        there = {path.name: (path / "result.json").stat() for path in folders(self._out)}
        now = {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in there.items()}
        for name, identity in self._seen.items():
            if now.get(name) != identity:
                self.tally.problems.append(f"{name} was {'done again' if name in now else 'lost'}")
        for name, files in contents(self._out).items():
            if files != self.expected[name]:
                self.tally.problems.append(f"{name} differs")
        if "failed" in statuses(self._out):
            self.tally.problems.append(f"failed lines: {(self._out / 'manifest.csv').read_text()}")
        self._seen = now

    def _end_round(self) -> None:
        """Everything is done: nothing may be missing or lie about. The next round has a folder of its own."""
        if set(self._seen) != set(self.expected):
            self.tally.problems.append(f"results are missing: {sorted(set(self.expected) - set(self._seen))}")
        if set(statuses(self._out)) != {"done"}:
            self.tally.problems.append("the manifest does not say that all is done")
        rest = {path.name for path in self._out.iterdir()} - set(self._seen)
        if rest != {HIDDEN, "manifest.csv"}:
            self.tally.problems.append(f"leftovers: {sorted(rest)}")
        self.tally.rounds += 1
        self.tally.lines += len(self._seen)
        shutil.rmtree(self._out)
        self._number += 1
        self._out, self._seen = self._folder / str(self._number), {}

    def _undisturbed(self, out: Path, start: float) -> list[float]:
        """Run a batch to its end; the seconds after which its results came."""
        process, done = self._program.start(self._requests, out), []
        while process.poll() is None:
            done += [time.monotonic() - start] * (len(folders(out)) - len(done))
            time.sleep(0.01)
        if process.returncode != 0 or not folders(out):
            raise RuntimeError(f"The batch fails undisturbed: {process.communicate()[1]}")
        return [*done, time.monotonic() - start]


def folders(out: Path) -> list[Path]:
    """The result folders."""
    return sorted(path.parent for path in out.glob("*/result.json") if not path.parent.name.startswith("."))


def contents(out: Path) -> dict[str, dict[str, bytes]]:
    """The bytes of image and segmentation of each result folder."""
    names = ("image.nrrd", "segmentation.seg.nrrd")
    return {folder.name: {name: (folder / name).read_bytes() for name in names} for folder in folders(out)}


def statuses(out: Path) -> list[str]:
    """The column ``status`` of the manifest; the table must be whole, or not there yet."""
    import csv

    if not (out / "manifest.csv").exists():
        return []
    with (out / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert all(None not in row and None not in row.values() for row in rows), "the manifest is torn"
    return [row["status"] for row in rows]


def children(pid: int) -> list[int]:
    """The processes that a process has started (Linux)."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for file in files for word in file.read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def write_requests(path: Path, scan: str, lines: int, **more: object) -> Path:
    """A file of insertions that differ in their seed."""
    base = {"schema": 1, "op": "insert", "image": scan, "at": [35.0, 35.0, 39.0], "shape": {"volume_ml": 3.0}, **more}
    path.write_text("".join(json.dumps({**base, "seed": seed}) + "\n" for seed in range(lines)))
    return path


def program_of(folder: Path, workers: int) -> tuple[Program, Path]:
    """The real program with small random networks, and requests for it."""
    import conftest
    import numpy as np

    from TumorSynthLib.volume import Geometry, Volume
    from TumorSynthLib.volume_io import write_volume

    def mktemp(name: str) -> Path:
        (folder / name).mkdir()
        return folder / name

    inspect.unwrap(conftest.tiny_bundle)(SimpleNamespace(mktemp=mktemp))
    values = np.random.default_rng(0).normal(50.0, 8.0, (48, 48, 40)).astype(np.int16)
    write_volume(Volume(values, Geometry(values.shape, np.diag([1.5, 1.5, 2.0, 1.0]))), folder / "scan.nrrd")
    more = {"bundle": "tiny", "domain": "soft-tissue-ct", "steps": 2, "device": "cpu"}
    requests = write_requests(folder / "requests.jsonl", str(folder / "scan.nrrd"), LINES, **more)
    root = str(Path(__file__).resolve().parent.parent)
    words = [sys.executable, "-m", "TumorSynthLib", "batch", "{requests}", "--out", "{out}", "--json"]
    threads = {"OMP_NUM_THREADS": "1", "TUMORSYNTH_MODELS": str(folder / "models"), "PYTHONPATH": root}
    return Program([*words, *(["--workers", str(workers)] if workers else [])], {**os.environ, **threads}), requests


def main() -> None:
    """Kill and tell."""
    parser = argparse.ArgumentParser(description="Kills batches at random moments and looks what that does.")
    parser.add_argument("--kills", type=int, default=50, help="kills of each kind of batch [50]")
    parser.add_argument("--seed", type=int, default=0, help="of the moments [0]")
    options = parser.parse_args()
    print("| batch | " + " | ".join(name.replace("_", " ") for name in SHOWN) + " | problems |")
    print("|---" * (len(SHOWN) + 2) + "|")
    failed = False
    for workers in (0, 2):
        with tempfile.TemporaryDirectory() as name:
            tally = Campaign(*program_of(Path(name), workers), Path(name), options.seed).run(options.kills)
        shown = " | ".join(str(getattr(tally, column)) for column in SHOWN)
        print(f"| {f'{workers} workers' if workers else 'one process'} | {shown} | {len(tally.problems)} |", flush=True)
        for problem in tally.problems:
            failed = True
            print(problem, file=sys.stderr)
    sys.exit(failed)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
