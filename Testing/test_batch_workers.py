"""A batch with local worker processes: lines in order, crashes that cost one line at most, kills that cost nothing."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stub_batch
import torch
from kill_batch import Campaign, Program, contents, write_requests

from TumorSynthLib.batch import Summary, run_batch
from TumorSynthLib.batch_claim import STATE
from TumorSynthLib.batch_workers import THREADS, WorkerPool
from TumorSynthLib.bundle import MODELS_VARIABLE, Bundle
from TumorSynthLib.errors import Cancelled, RequestError, TumorSynthError
from TumorSynthLib.result import read_result
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import write_volume

ROOT = Path(__file__).resolve().parent.parent
posix = pytest.mark.skipif(sys.platform == "win32", reason="process groups and signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables with which every worker is a stub that keeps a log."""
    log = tmp_path / "log"
    log.touch()
    monkeypatch.setenv("STUB_LOG", str(log))
    (tmp_path / "stub").mkdir()
    return stub_batch.stub_environment(tmp_path / "stub")


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Callable[..., Summary]:
    """Runs a batch of lines with those images, in two workers, into ``tmp_path/out``."""

    def run_lines(images: list[str], progress: Any = None, **more: str) -> Summary:
        path = write(tmp_path / "requests.jsonl", images)
        pool = WorkerPool(2, {**environment, **more})
        return run_batch(path, tmp_path / "out", progress, pool, bundle_sha256=lambda name: "00")

    return run_lines


def write(path: Path, images: list[str]) -> Path:
    lines = write_requests(path, "", len(images)).read_text().splitlines()
    told = [json.dumps({**json.loads(line), "image": image}) for line, image in zip(lines, images, strict=True)]
    path.write_text("\n".join(told))
    return path


def statuses(out: Path) -> list[str]:
    with (out / "manifest.csv").open(newline="") as stream:
        return [row["status"] for row in csv.DictReader(stream)]


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()}


def test_rows_keep_the_order_of_the_file_and_every_line_runs_once(run: Callable[..., Summary], tmp_path: Path) -> None:
    summary = run(["scan"] * 9)
    assert (summary.done, summary.failures, summary.warnings) == (9, [], [])
    with summary.manifest.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["out"] for row in rows] == [f"{number:05d}" for number in range(1, 10)]
    assert all(float(row["measured_shape_VoxelVolume"]) == 990.0 and float(row["seconds"]) > 0.0 for row in rows)
    seeds = [read_result(tmp_path / "out" / row["out"])["request"]["seed"] for row in rows]
    assert seeds == list(range(9))
    expected = sorted(f"{what} {number:05d}" for what in ("begin", "end") for number in range(1, 10))
    assert sorted(stub_batch.log_lines()) == expected
    assert run(["scan"] * 9).kept == 9


@posix
def test_a_worker_that_is_killed_costs_nothing_but_another_try(run: Callable[..., Summary], tmp_path: Path) -> None:
    summary = run(["scan", "crash-once", "scan", "error", "scan"])
    assert summary.done == 4
    assert [(failure["line"], failure["error"][:13]) for failure in summary.failures] == [(4, "image.missing")]
    assert [warning["line"] for warning in summary.warnings] == [2] and "signal 9" in summary.warnings[0]["warning"]
    assert [stub_batch.log_lines().count(f"begin {number:05d}") for number in range(1, 6)] == [1, 2, 1, 1, 1]
    assert names(tmp_path / "out") == {STATE, "manifest.csv", "00001", "00002", "00003", "00005"}


@posix
def test_a_line_that_kills_two_workers_fails_and_the_others_run(run: Callable[..., Summary]) -> None:
    summary = run(["scan", "crash", "scan", "scan"])
    assert summary.done == 3 and stub_batch.log_lines().count("begin 00002") == 2
    (failure,) = summary.failures
    assert failure["line"] == 2 and failure["error"].startswith("worker.died: ") and "signal 9" in failure["error"]


def test_workers_that_do_not_start_end_the_batch_with_their_last_words(run: Callable[..., Summary], tmp_path: Path) -> None:
    with pytest.raises(TumorSynthError, match="This worker is broken") as caught:
        run(["scan"] * 20, STUB_BROKEN="1")
    assert caught.value.code == "batch.workers"
    assert "done" not in statuses(tmp_path / "out") and "running" not in statuses(tmp_path / "out")
    assert run(["scan"] * 20).done == 20


def test_a_cancelled_batch_cancels_what_runs(run: Callable[..., Summary], tmp_path: Path) -> None:
    def cancel(text: str, fraction: float) -> None:
        if "2 running" in text and list((tmp_path / "out").glob(".partial-*")):
            raise Cancelled

    with pytest.raises(Cancelled):
        run(["slow", "slow", "slow"], cancel)
    assert names(tmp_path / "out") == {STATE, "manifest.csv"}
    assert statuses(tmp_path / "out") == ["pending"] * 3


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_program_cleanly(environment: dict[str, str], tmp_path: Path, number: int) -> None:
    requests = write(tmp_path / "requests.jsonl", ["scan", "slow", "slow"])
    words = [sys.executable, "-m", "TumorSynthLib", "batch", str(requests), "--out", str(tmp_path / "out"), "--workers", "2"]
    child = subprocess.Popen(words, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    limit = time.monotonic() + 60.0
    while "begin 00003" not in stub_batch.log_lines() and time.monotonic() < limit:
        time.sleep(0.05)
    os.killpg(child.pid, number)
    _, said = child.communicate(timeout=30.0)
    assert child.returncode == 128 + number and "Traceback" not in said, said
    assert names(tmp_path / "out") == {STATE, "manifest.csv", "00001"}
    assert statuses(tmp_path / "out") == ["done", "pending", "pending"]


def test_processes_share_the_cores_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("TumorSynthLib.batch_workers._cores", lambda: 8)
    assert f"{THREADS}=2" in WorkerPool(4, {}).about
    assert f"{THREADS}=1" in WorkerPool(9, {}).about
    assert f"{THREADS}=5" in WorkerPool(4, {THREADS: "5"}).about
    with pytest.raises(RequestError):
        WorkerPool(0)


def test_the_real_worker_gives_the_bytes_of_this_process(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tiny_bundle.path.parent))
    values = np.random.default_rng(0).normal(50.0, 8.0, (48, 48, 40)).astype(np.int16)
    write_volume(Volume(values, Geometry(values.shape, np.diag([1.5, 1.5, 2.0, 1.0]))), tmp_path / "scan.nrrd")
    more = {"bundle": "tiny", "domain": "soft-tissue-ct", "steps": 1, "device": "cpu"}
    requests = write_requests(tmp_path / "requests.jsonl", str(tmp_path / "scan.nrrd"), 1, **more)
    here = run_batch(requests, tmp_path / "here")
    threads = {**os.environ, THREADS: str(torch.get_num_threads())}
    there = run_batch(requests, tmp_path / "there", runner=WorkerPool(2, threads))
    assert (here.done, here.failures, there.done, there.failures) == (1, [], 1, [])
    assert contents(tmp_path / "here") == contents(tmp_path / "there") != {}
    assert run_batch(requests, tmp_path / "there").kept == 1


@linux
@pytest.mark.parametrize("workers", [[], ["2"]], ids=["one process", "two workers"])
def test_kills_at_any_moment_lose_nothing_and_repeat_nothing(tmp_path: Path, workers: list[str]) -> None:
    environment = stub_batch.stub_environment(tmp_path)
    program = Program([sys.executable, stub_batch.__file__, "{requests}", "{out}", *workers], environment)
    requests = write_requests(tmp_path / "requests.jsonl", "scan.nrrd", 12)
    tally = Campaign(program, requests, tmp_path, seed=1).run(6)
    assert tally.problems == []
    assert tally.kills == 6 and tally.lines == 12 * tally.rounds > 0
