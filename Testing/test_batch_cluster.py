"""A batch on a real Dask cluster of two worker processes."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stub_batch
from kill_batch import Campaign, Program, contents, statuses, write_requests
from typer.testing import CliRunner

from TumorSynthLib import batch_dask
from TumorSynthLib.batch import Summary, run_batch
from TumorSynthLib.batch_claim import STATE, line_lock
from TumorSynthLib.batch_dask import ClusterError, DaskCluster
from TumorSynthLib.bundle import MODELS_VARIABLE, Bundle
from TumorSynthLib.cli import app
from TumorSynthLib.errors import Cancelled
from TumorSynthLib.protocol import parse_request
from TumorSynthLib.result import read_result
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import write_volume

distributed = pytest.importorskip("distributed")
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stub editors of all workers write into."""
    path = tmp_path_factory.mktemp("log") / "log"
    path.touch()
    return path


@pytest.fixture(scope="module")
def cluster(log: Path, tiny_bundle: Bundle) -> Iterator[Any]:
    """Two worker processes, with two threads each, so that lines could meet in one process."""
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUB_LOG", str(log))
        patch.setenv("PYTHONPATH", paths)
        patch.setenv(MODELS_VARIABLE, str(tiny_bundle.path.parent))
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, silence_logs=50
        ) as found:
            yield found


@pytest.fixture
def run(cluster: Any, log: Path, tmp_path: Path) -> Callable[..., Summary]:
    """Runs a batch of lines with those images on the cluster, into ``tmp_path/out``."""

    def run_lines(images: list[str], progress: Any = None) -> Summary:
        log.write_text("")
        path = write_requests(tmp_path / "requests.jsonl", "", len(images))
        lines = zip(path.read_text().splitlines(), images, strict=True)
        path.write_text("\n".join(json.dumps({**json.loads(line), "image": image}) for line, image in lines))
        runner = DaskCluster(cluster.scheduler_address, stub_batch.open_stub)
        return run_batch(path, tmp_path / "out", progress, runner, bundle_sha256=lambda name: "00")

    return run_lines


def begun(log: Path, number: int) -> int:
    return log.read_text().splitlines().count(f"begin {number:05d}")


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()}


def test_every_line_runs_once_and_no_more_are_sent_than_workers_can_use(
    run: Callable[..., Summary], log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flying: list[int] = []
    send = batch_dask._Session.send

    def watched(self: Any, *arguments: Any) -> bool:
        more = send(self, *arguments)
        flying.append(len(self.flights))
        return more

    monkeypatch.setattr(batch_dask._Session, "send", watched)
    summary = run(["scan"] * 24 + ["error"])
    assert (summary.done, [failure["error"] for failure in summary.failures]) == (
        24,
        ["image.missing: There is no image. Give one."],
    )
    assert max(flying) == 6
    said = [line for line in log.read_text().splitlines() if not line.endswith("00025")]
    assert len(said) == len(set(said)) == 48
    seeds = [read_result(tmp_path / "out" / f"{number:05d}")["request"]["seed"] for number in range(1, 25)]
    assert seeds == list(range(24))
    assert os.path.isabs(read_result(tmp_path / "out" / "00001")["request"]["image"])
    again = run(["scan"] * 24)
    assert (again.done, again.kept, log.read_text()) == (0, 24, "")


def test_a_worker_process_has_one_line_at_a_time(run: Callable[..., Summary], log: Path) -> None:
    run(["scan"] * 12)
    running = most = 0
    for line in log.read_text().splitlines():
        running += 1 if line.startswith("begin") else -1
        most = max(most, running)
    assert running == 0 and most == 2


@posix
def test_a_lost_worker_costs_its_line_another_try_and_a_second_one_the_line(
    run: Callable[..., Summary], log: Path, tmp_path: Path
) -> None:
    summary = run(["scan", "crash-once", "scan", "crash", "scan", "scan"])
    assert summary.done == 5
    (failure,) = summary.failures
    assert failure["line"] == 4 and failure["error"].startswith("worker.died: 2 workers were lost")
    assert [begun(log, number) for number in (1, 2, 3, 4, 5, 6)] == [1, 2, 1, 2, 1, 1]
    assert names(tmp_path / "out") >= {STATE, "manifest.csv", "00001", "00002", "00003", "00005", "00006"}
    assert not (tmp_path / "out" / "00004").exists()


def test_a_cancelled_batch_cancels_what_runs_in_the_cluster(
    run: Callable[..., Summary], log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()

    def cancel(text: str, fraction: float) -> None:
        if "3 running" in text:
            while not list((tmp_path / "out").glob(".partial-*")):
                time.sleep(0.02)
            waiting.set()
            raise Cancelled

    with pytest.raises(Cancelled):
        run(["slow"] * 4, cancel)
    assert waiting.is_set()
    assert names(tmp_path / "out") == {STATE, "manifest.csv"}
    assert statuses(tmp_path / "out") == ["pending"] * 4


def test_a_line_that_still_runs_elsewhere_is_waited_for_and_not_run_again(
    run: Callable[..., Summary], log: Path, tmp_path: Path
) -> None:
    """This process holds the line's lock, as a worker would that only seems to be lost; then its result is there."""
    out, held = tmp_path / "out", threading.Event()
    place = {"at": [35.0, 35.0, 39.0], "shape": {"volume_ml": 3.0}, "image": str(tmp_path / "x")}
    request = parse_request({"schema": 1, "op": "insert", **place, "seed": 1, "out": str(out / "00002")})

    def hold() -> None:
        with line_lock(out / STATE, out / "00002") as lock:
            assert lock.take()
            held.set()
            time.sleep(0.5)
            stub_batch.StubEditor().run(request)

    def begin(text: str, fraction: float) -> None:
        if not held.is_set():
            threading.Thread(target=hold).start()
            assert held.wait(5.0)

    summary = run([str(tmp_path / "x")] * 2, begin)
    assert (summary.done, summary.failures) == (2, [])
    assert (begun(log, 1), begun(log, 2)) == (1, 1)


@posix
def test_kills_of_the_batch_lose_nothing_and_repeat_nothing(cluster: Any, tmp_path: Path) -> None:
    """What the workers had when the batch was killed they finish or give up before the next one looks."""
    command = [sys.executable, stub_batch.__file__, "{requests}", "{out}", cluster.scheduler_address]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    requests = write_requests(tmp_path / "requests.jsonl", "scan.nrrd", 20)
    tally = Campaign(Program(command, environment), requests, tmp_path, seed=2).run(3)
    assert tally.problems == [] and tally.lines == 20 * tally.rounds > 0


def test_the_cluster_gives_the_bytes_of_this_process(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Bundle
) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tiny_bundle.path.parent))
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(50.0, 8.0, (48, 48, 40)).astype(np.int16)
    write_volume(Volume(values, Geometry(values.shape, np.diag([1.5, 1.5, 2.0, 1.0]))), tmp_path / "scan.nrrd")
    more = {"bundle": "tiny", "domain": "soft-tissue-ct", "steps": 1, "device": "cpu"}
    requests = write_requests(tmp_path / "requests.jsonl", "scan.nrrd", 1, **more)
    here = run_batch(requests, tmp_path / "here")
    there = run_batch(requests, tmp_path / "there", runner=DaskCluster(cluster.scheduler_address))
    assert (here.done, here.failures, there.done, there.failures) == (1, [], 1, [])
    assert contents(tmp_path / "here") == contents(tmp_path / "there") != {}
    assert run_batch(requests, tmp_path / "there").kept == 1


def test_a_worker_with_another_bundle_refuses_the_line(cluster: Any, tmp_path: Path) -> None:
    requests = write_requests(tmp_path / "requests.jsonl", "scan.nrrd", 1, bundle="other")
    runner = DaskCluster(cluster.scheduler_address, stub_batch.open_other_bundle)
    for known, done in (("11", 0), ("22", 1)):
        summary = run_batch(requests, tmp_path / "out", runner=runner, bundle_sha256=lambda name, known=known: known)
        assert summary.done == done
        assert [failure["error"].split(":")[0] for failure in summary.failures] == ["bundle.other"] * (1 - done)


def test_a_folder_that_workers_do_not_see_is_refused(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("TumorSynthLib.batch_dask_worker.can_see", lambda state, token: "far-away")
    requests = write_requests(tmp_path / "requests.jsonl", "scan.nrrd", 1)
    with pytest.raises(ClusterError, match="far-away") as caught:
        run_batch(requests, tmp_path / "out", runner=DaskCluster(cluster.scheduler_address, stub_batch.open_stub))
    assert caught.value.code == "cluster.files"
    assert statuses(tmp_path / "out") == ["pending"]


def test_a_scheduler_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_dask, "CONNECT_SECONDS", 0.5)
    requests = write_requests(tmp_path / "requests.jsonl", "scan.nrrd", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(ClusterError) as caught:
            run_batch(requests, tmp_path / "out", runner=DaskCluster(address))
        assert caught.value.code == "cluster.unreachable"


def test_without_dask_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "TumorSynthLib.batch_dask_worker", raising=False)
    monkeypatch.delattr("TumorSynthLib.batch_dask_worker", raising=False)
    with pytest.raises(ClusterError, match=r"tumorsynth\[cluster\]") as caught:
        DaskCluster("tcp://127.0.0.1:8786")
    assert caught.value.code == "cluster.missing"


def test_the_program_takes_workers_or_a_scheduler_and_tells_in_one_line_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_dask, "CONNECT_SECONDS", 0.5)
    requests = write_requests(tmp_path / "requests.jsonl", "scan.nrrd", 1)
    words = ["batch", str(requests), "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"]
    for more, code in (([], 1), (["--workers", "2"], 2)):
        outcome = CliRunner().invoke(app, [*words, *more])
        assert outcome.exit_code == code and outcome.stdout == ""
        assert outcome.stderr.startswith("error: ") and outcome.stderr.count("\n") == 1
