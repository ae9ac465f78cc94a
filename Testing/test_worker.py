"""The worker through real processes: what it says, what it leaves, and what it survives."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kill_worker import kill_often
from quick_worker import command, worker_pid

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.errors import Cancelled, RequestError, TumorSynthError
from TumorSynthLib.line_buffer import LineBuffer
from TumorSynthLib.mask_code import decode_mask, encode_mask
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.protocol import parse_request
from TumorSynthLib.result import read_result
from TumorSynthLib.stages import SHARES
from TumorSynthLib.time_left import Pace, TimeLeft
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import read_mask, write_volume
from TumorSynthLib.worker_client import WorkerClient, WorkerError
from TumorSynthLib.worker_events import EventWriter
from TumorSynthLib.worker_files import Uploads
from TumorSynthLib.worker_io import MAX_LINE, Inbox
from TumorSynthLib.worker_loop import explained

ROOT = Path(__file__).resolve().parent.parent
START = 600.0
"""Seconds that a worker may take to start on a busy computer."""
posix = pytest.mark.skipif(sys.platform == "win32", reason="process groups and signals")


@pytest.fixture(scope="module")
def environment(tiny_bundle: Bundle) -> dict[str, str]:
    """Where the worker finds the tiny bundle."""
    return {**os.environ, "TUMORSYNTH_MODELS": str(tiny_bundle.path.parent)}


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A soft-tissue CT of noise."""
    path = tmp_path_factory.mktemp("scan") / "scan.nrrd"
    values = np.random.default_rng(0).normal(50.0, 8.0, (48, 48, 40)).astype(np.int16)
    write_volume(Volume(values, Geometry(values.shape, np.diag([1.5, 1.5, 2.0, 1.0]))), path)
    return path


def start(environment: dict[str, str], **more: Any) -> WorkerClient:
    return WorkerClient(arguments=["--bundle", "tiny", "--device", "cpu"], environment=environment, **more)


@pytest.fixture(scope="module")
def client(environment: dict[str, str]) -> Iterator[WorkerClient]:
    """One warm worker for all tests that do not end it."""
    with start(environment) as worker:
        worker.wait_ready(START)
        yield worker
        assert worker.alive, worker.log
        pid = worker.pid
    assert sys.platform == "win32" or ends(pid), "the worker outlived its client"


def insert(scan: Path, out: Path, **more: Any) -> dict[str, Any]:
    """An insertion of 3 mL in the middle."""
    base = {
        "schema": 1,
        "op": "insert",
        "image": str(scan),
        "bundle": "tiny",
        "domain": "soft-tissue-ct",
        "at": [35.0, 35.0, 39.0],
    }
    return {**base, "shape": {"volume_ml": 3.0}, "steps": 2, "device": "cpu", "out": str(out), **more}


def collect(client: WorkerClient, until: Callable[[list[dict[str, Any]]], bool], seconds: float = 60.0) -> list[dict[str, Any]]:
    """Events of the requests that were sent, until enough have come."""
    found: list[dict[str, Any]] = []
    for one in client.events(seconds):
        if one["event"] not in ("started", "ready"):
            found.append(one)
        if until(found):
            return found
    pytest.fail(f"the worker said only {found}\n{client.log}")


def finals(events: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(one["event"], one["id"]) for one in events if one["event"] in ("done", "failed", "cancelled")]


def ends(pid: int, seconds: float = 5.0) -> bool:
    """Whether the process group of a worker is gone within some seconds."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def sampling(one: dict[str, Any]) -> bool:
    return one["event"] == "progress" and one["stage"] == "sampling"


def test_an_insertion_tells_preview_and_progress_and_has_the_bytes_of_the_library(
    client: WorkerClient, tiny_bundle: Bundle, scan: Path, tmp_path: Path
) -> None:
    events: list[dict[str, Any]] = []
    folder = client.run(insert(scan, tmp_path / "worker", id="a"), events.append)
    direct = Editor(tiny_bundle, "cpu").run(parse_request(insert(scan, tmp_path / "direct")))
    assert folder == tmp_path / "worker"
    for name in ("image.nrrd", "segmentation.seg.nrrd"):
        assert (folder / name).read_bytes() == (direct / name).read_bytes()
    assert {one["id"] for one in events} == {"a"}
    kinds = [one["event"] for one in events]
    assert kinds[-1] == "done" and kinds.count("preview") == 1
    assert not any(sampling(one) for one in events[: kinds.index("preview")])
    preview = next(one for one in events if one["event"] == "preview")
    told, written = decode_mask(preview), read_mask(folder / "segmentation.seg.nrrd")
    ras = [volume.geometry.to_ras(np.argwhere(volume.array)) for volume in (told, written)]
    np.testing.assert_allclose(ras[0], ras[1], atol=1e-6)
    assert events[-1]["changed"] == read_result(folder)["changed"] is not None
    progress = [one for one in events if one["event"] == "progress"]
    fractions = [one["fraction"] for one in progress]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and progress[-1]["seconds_left"] == 0.0
    assert all(one["seconds_left"] >= 0.0 and one["stage"] in SHARES for one in progress)


def test_queued_requests_are_done_in_their_order_and_refusals_are_told_between(
    client: WorkerClient, scan: Path, tmp_path: Path
) -> None:
    client.send(insert(scan, tmp_path / "1", id=1))
    client.send(insert(scan, tmp_path / "2", id="two", at=[900.0, 0.0, 0.0]))
    client.send(insert(scan, tmp_path / "3", id=3, bundle="unknown"))
    client.send(
        {
            "schema": 1,
            "op": "shape",
            "bundle": "tiny",
            "device": "cpu",
            "shape": {"volume_ml": 2.0},
            "out": str(tmp_path / "4"),
            "id": 4,
        }
    )
    events = collect(client, lambda found: len(finals(found)) == 4)
    assert finals(events) == [("done", 1), ("failed", "two"), ("failed", 3), ("done", 4)]
    failed = {one["id"]: one for one in events if one["event"] == "failed"}
    assert failed["two"]["code"] == "geometry.outside" and failed[3]["code"] == "bundle.missing"
    assert all(one["message"] and one["hint"] for one in failed.values())
    assert {path.name for path in tmp_path.iterdir()} == {"1", "4"}


def test_a_running_and_a_queued_request_are_cancelled_within_a_second_and_leave_nothing(
    client: WorkerClient, scan: Path, tmp_path: Path
) -> None:
    for name in ("running", "kept", "queued"):
        client.send(insert(scan, tmp_path / name, id=name, steps=2 if name == "kept" else 1000))
    collect(client, lambda found: any(map(sampling, found)))
    client.cancel("queued")
    assert finals(collect(client, lambda found: bool(finals(found)))) == [("cancelled", "queued")]
    asked = time.monotonic()
    client.cancel()
    assert finals(collect(client, lambda found: bool(finals(found)))) == [("cancelled", "running")]
    assert time.monotonic() - asked < 2.0
    assert finals(collect(client, lambda found: bool(finals(found)))) == [("done", "kept")]
    assert {path.name for path in tmp_path.iterdir()} == {"kept"}


def test_a_callback_that_raises_cancels_its_request(client: WorkerClient, scan: Path, tmp_path: Path) -> None:
    def leave(one: dict[str, Any]) -> None:
        raise KeyboardInterrupt if one["event"] == "preview" else Cancelled

    with pytest.raises(Cancelled):
        client.run(insert(scan, tmp_path / "long", steps=1000), leave)
    client.run(insert(scan, tmp_path / "next"))
    assert {path.name for path in tmp_path.iterdir()} == {"next"}


def test_an_id_is_used_once_at_a_time_and_a_wrong_request_is_refused_before_it_is_sent(
    client: WorkerClient, scan: Path, tmp_path: Path
) -> None:
    client.send(insert(scan, tmp_path / "a", id="same"))
    with pytest.raises(RequestError, match="in use"):
        client.send(insert(scan, tmp_path / "b", id="same"))
    assert finals(collect(client, lambda found: bool(finals(found)))) == [("done", "same")]
    with pytest.raises(RequestError, match="spherical"):
        client.run(insert(scan, tmp_path / "c", shape={"spherical": 1.0}))


BAD_LINES = {
    b"not json": None,
    b"[1, 2]": None,
    b'{"schema": 1, "op": "dance", "id": "x"}': "x",
    b'{"schema": 1, "op": "cancel", "id": "x", "why": 1}': "x",
    b'{"op": "insert", "id": true}': None,
    b'{"schema": 1, "op": "insert", "id": "\\ud800"}': "\ud800",
    b"\x00\xff\xfe\x80\x1f\x8b": None,
    b"[" * 100_000: None,
    b'{"schema": ' + b"9" * 10_000 + b"}": None,
    b'{"id": "' + b"x" * (2 * MAX_LINE) + b'"}': None,
}


@posix
def test_a_killed_worker_is_told_and_another_one_sweeps_what_it_left(
    client: WorkerClient, environment: dict[str, str], scan: Path, tmp_path: Path
) -> None:
    victim = start(environment)
    victim.send(insert(scan, tmp_path / "killed", id="killed", steps=1000))
    seen = collect(victim, lambda found: any(map(sampling, found)), START)
    assert any(one["event"] == "preview" for one in seen)
    os.kill(victim.pid, signal.SIGKILL)
    assert collect(victim, lambda found: bool(finals(found)))[-1]["code"] == "worker.died"
    with pytest.raises(WorkerError, match="signal 9") as caught:
        victim.run(insert(scan, tmp_path / "late"))
    assert "out of memory" in caught.value.hint and "candidates" in caught.value.hint
    victim.close()
    assert not victim.alive
    assert [path.name[:9] for path in tmp_path.iterdir()] == [".partial-"]
    client.run(insert(scan, tmp_path / "next"))
    assert [path.name for path in tmp_path.iterdir()] == ["next"]


@posix
def test_a_worker_killed_at_any_moment_leaves_whole_results_or_none(
    quick_workers: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    kills = list(kill_often(command(quick_workers, tmp_path), tiny_bundle.path.parent, tmp_path, 6, seed=1))
    assert [kill.inline for kill in kills] == [False, True] * 3
    assert sum(kill.failed for kill in kills) >= 3, "hardly any request was killed"


def test_bad_lines_are_told_and_good_ones_carried_out_and_the_end_of_input_ends_the_worker(
    environment: dict[str, str], scan: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "TumorSynthLib.worker", "--bundle", "tiny", "--device", "cpu"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT, env=environment) as worker:
        assert worker.stdin is not None and worker.stdout is not None and worker.stderr is not None
        worker.stdin.write(b"\n".join([*BAD_LINES, b"", b'{"schema": 1, "op": "cancel", "id": "nobody"}']) + b"\n")
        for name, steps in (("good", 2), ("cut", 1000), ("never", 2)):
            worker.stdin.write(json.dumps(insert(scan, tmp_path / name, id=name, steps=steps)).encode() + b"\n")
        worker.stdin.flush()
        said = []
        for line in worker.stdout:
            said.append(json.loads(line))
            if sampling(said[-1]) and said[-1]["id"] == "cut":
                break
        closed = time.monotonic()
        worker.stdin.close()
        said += [json.loads(line) for line in worker.stdout]
        assert worker.wait(10.0) == 0
        assert time.monotonic() - closed < 5.0
        assert b"Traceback" not in worker.stderr.read()
    failed = [one for one in said if one["event"] == "failed"]
    assert [one["id"] for one in failed] == list(BAD_LINES.values())
    assert all(one["code"].startswith("request.") and one["message"] and one["hint"] for one in failed)
    assert ("done", "good") in finals(said)
    assert sorted(finals(said)[-2:]) == [("cancelled", "cut"), ("cancelled", "never")]
    assert {path.name for path in tmp_path.iterdir()} == {"good"}


def test_nothing_but_events_reaches_stdout_whoever_writes_there() -> None:
    script = """
import ctypes, os, subprocess, sys
from TumorSynthLib.worker_events import EventWriter
from TumorSynthLib.worker_io import claim_streams
incoming, outgoing = claim_streams()
events = EventWriter(outgoing)
events.send("log", level="info", message="one")
print("python")
os.write(1, b"descriptor\\n")
libc = ctypes.CDLL(None); libc.printf(b"c level\\n"); libc.fflush(None)
subprocess.run([sys.executable, "-c", "import sys; print('child', repr(sys.stdin.read()))"])
events.send("log", level="info", message=os.read(incoming, 100).decode())
events.flush(10.0)
"""
    done = subprocess.run([sys.executable, "-c", script], input=b"request", capture_output=True, cwd=ROOT)
    assert [json.loads(line)["message"] for line in done.stdout.splitlines()] == ["one", "request"], done.stderr
    for word in (b"python", b"descriptor", b"c level", b"child ''"):
        assert word in done.stderr


LAUNCHER = """
import subprocess, sys
print("Welcome to the host")
sys.stdout.flush()
sys.stderr.write("no line end"); sys.stderr.flush()
sys.exit(subprocess.call([sys.executable, "-c", {child!r}]))
"""


def launched(child: str) -> WorkerClient:
    """A client of a program that stands for the worker, behind a launcher that talks and does not pass on signals."""
    return WorkerClient([sys.executable, "-c", LAUNCHER.format(child=child)])


@posix
def test_a_launcher_that_is_killed_takes_the_worker_with_it_even_if_that_hangs() -> None:
    client = launched(
        "import os, time; os.write(1, b'{\"event\": \"rea'); time.sleep(0.1); os.write(1, b'dy\"}\\n'); time.sleep(600)"
    )
    assert client.wait_ready(START) == {"event": "ready"}
    name = client.send({"schema": 1, "op": "shape", "out": "nowhere"})
    client.close(timeout=0.2)
    assert ends(client.pid)
    (last,) = [one for one in client.events(5.0) if one["event"] == "failed"]
    assert (last["id"], last["code"]) == (name, "worker.died")
    assert client.log.splitlines() == ["Welcome to the host", "no line end"]
    client.close()
    with pytest.raises(WorkerError):
        client.send({"schema": 1, "op": "shape", "out": "nowhere"})


def test_a_worker_that_does_not_start_is_told_with_its_last_words() -> None:
    with launched("import sys; sys.exit('No module named torch')") as client:
        with pytest.raises(WorkerError, match="No module named torch") as caught:
            client.wait_ready(START)
        assert "Welcome" in caught.value.log
    with pytest.raises(WorkerError, match="no-such-program"):
        WorkerClient(["no-such-program"])


def test_lines_are_whole_however_the_stream_is_cut() -> None:
    rng = np.random.default_rng(0)
    lines = [bytes(rng.integers(11, 256, int(size), np.uint8)) for size in rng.integers(0, 40, 300)]
    stream, limit, at = b"\n".join([*lines, b""]), 30, 0
    buffer, found = LineBuffer(limit), []
    while at < len(stream):
        step = int(rng.integers(1, 60))
        found += list(buffer.feed(stream[at : at + step]))
        at += step
    assert found == [line if len(line) <= limit else None for line in lines]


def test_a_mask_survives_as_json_with_its_place() -> None:
    affine = np.array([[0.0, -1.5, 0, 7], [1.2, 0, 0, -3], [0, 0, -2.5, 40], [0, 0, 0, 1]])
    mask = np.zeros((40, 30, 20), bool)
    mask[5:18, 7:12, 3:20] = np.random.default_rng(0).random((13, 5, 17)) < 0.5
    geometry = Geometry(mask.shape, affine)
    told = json.loads(json.dumps(encode_mask(mask, geometry)))
    volume = decode_mask(told)
    back = np.zeros_like(mask)
    back[tuple(slice(a, a + n) for a, n in zip(told["start"], told["shape"], strict=True))] = volume.array
    np.testing.assert_array_equal(back, mask)
    expected = geometry.to_ras(np.argwhere(mask))
    np.testing.assert_allclose(volume.geometry.to_ras(np.argwhere(volume.array)), expected, atol=1e-9)
    for broken in ({}, {**told, "bits": "@"}, {**told, "shape": [1, 2]}, {**told, "shape": [900, 2, 2]}, {**told, "affine": 3}):
        with pytest.raises(TumorSynthError):
            decode_mask(broken)


@pytest.mark.parametrize("parts", [1, 3])
def test_the_seconds_left_are_right_from_the_second_run_on_and_nearly_so_in_the_first(parts: int) -> None:
    seconds = {"reading": 1.0, "shape": 2.0, "sampling": 20.0, "compositing": 2.0, "measuring": 1.0, "writing": 4.0}
    marks = [("reading", 0.0), ("shape", 0.0), *(("sampling", n / 40) for n in range(1, 41))]
    marks += [("compositing", 0.5), ("compositing", 1.0), ("measuring", 0.0), ("writing", 0.0), ("writing", 1.0)]
    stages = list(SHARES)
    pace, errors = Pace(SHARES), []
    for _ in range(2):
        left, errors = TimeLeft(pace, {"sampling": 40, "compositing": 2}, 0.0, parts), []
        for part in range(parts):
            for stage, share in marks:
                now = (
                    part * sum(seconds.values())
                    + sum(seconds[name] for name in stages[: stages.index(stage)])
                    + share * seconds[stage]
                )
                fraction = (part + pace.starts[stage] + share * (pace.ends[stage] - pace.starts[stage])) / parts
                told = left.update(stage, fraction, now)
                errors.append(abs(told - (parts * sum(seconds.values()) - now)))
        assert told == 0.0
        assert max(errors[10:]) < 9.0 * parts
    assert max(errors) < 1.0 * parts


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 GB"),
        RuntimeError("Exception thrown in SimpleITK: std::bad_alloc"),
        RuntimeError("Failed to allocate memory for image."),
        RuntimeError("could not create a primitive"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_lack_of_memory_is_told_with_what_helps_and_nothing_else(error: Exception) -> None:
    told = explained(error, "sampling", "cpu", 16)
    assert told.code == "device.memory" and "fewer candidates (16" in told.hint
    assert "device cpu" not in told.hint and "grid" not in told.hint
    assert "device cpu" in explained(error, "sampling", "cuda", 16).hint
    one = explained(error, "sampling", "cuda:1", 1)
    assert "device cpu" in one.hint and "candidates" not in one.hint
    for stage in ("reading", "writing"):
        told = explained(error, stage, "cuda", 16)
        assert "smaller grid" in told.hint and "candidates" not in told.hint and "device cpu" not in told.hint
    loading = explained(error, "loading", "cpu", 1)
    assert "grid" not in loading.hint and "computer with more memory" in loading.hint
    assert explained(ValueError("odd"), "sampling", "cpu", 1).code == "internal"
    assert explained(OSError(errno.ENOSPC, "No space left"), "writing", "cpu", 1).code == "internal"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of other processes")
def test_a_worker_whose_memory_runs_out_says_so_and_carries_out_the_next_request(
    quick_workers: Path, environment: dict[str, str], scan: Path, tmp_path: Path
) -> None:
    wide = tmp_path / "wide.nrrd"
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 400 400 400\nencoding: gzip\nendian: little\n"
    header += "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n\n"
    with wide.open("wb") as file:
        file.write(header.encode())
        packer, block = zlib.compressobj(1, zlib.DEFLATED, 31), bytes(400 * 400 * 2)
        for _ in range(400):
            file.write(packer.compress(block))
        file.write(packer.flush())
    with start(environment, command=command(quick_workers, tmp_path)) as worker:
        worker.run(insert(scan, tmp_path / "before"))
        limit_memory(worker_pid(worker.log), spare_mb=60)
        with pytest.raises(TumorSynthError) as large:
            worker.run(insert(scan, tmp_path / "large", image=str(wide), at=[-200.0, -200.0, 200.0]))
        with pytest.raises(TumorSynthError) as many:
            worker.run(insert(scan, tmp_path / "many", method="flow", candidates=64))
        limit_memory(worker_pid(worker.log), spare_mb=400)
        worker.run(insert(scan, tmp_path / "after"))
    assert {large.value.code, many.value.code} == {"device.memory"}, (large.value, many.value, worker.log)
    assert "smaller grid" in large.value.hint and "fewer candidates (64" in many.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["after", "before", "wide.nrrd"]


def limit_memory(pid: int, spare_mb: int) -> None:
    """Let a process have so much memory more than it has now."""
    import resource

    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (used + (spare_mb << 20), resource.RLIM_INFINITY))


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, EventWriter, int]]:
    """An inbox, the writer of its events, and where they come out."""
    reading, writing = os.pipe()
    events = EventWriter(writing)
    with Uploads(1 << 20, print) as uploads:
        yield Inbox(events, uploads), events, reading
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


def test_events_for_nobody_are_dropped(inbox: tuple[Inbox, EventWriter, int]) -> None:
    taken, events, reading = inbox
    taken.take(b"{}")
    assert json.loads(os.read(reading, 1000))["event"] == "failed"
    os.close(reading)
    events.send("ready")
    events.flush(10.0)
    assert events.gone


def line(**more: Any) -> bytes:
    values = {"schema": 1, "op": "shape", "shape": {"volume_ml": 2.0}, "bundle": "tiny", **more}
    return json.dumps({"out": None if more.get("preview") else "nowhere", **values}).encode()


def test_of_the_previews_that_wait_only_the_latest_stays_and_it_goes_first(inbox: tuple[Inbox, EventWriter, int]) -> None:
    taken, events, reading = inbox
    for name, preview in (("edit", False), ("p1", True), ("later", False), ("p2", True), ("p3", True)):
        taken.take(line(id=name, preview=preview))
    events.flush(10.0)
    told = [json.loads(text) for text in os.read(reading, 10_000).splitlines()]
    assert [(one["event"], one["id"]) for one in told] == [("cancelled", "p1"), ("cancelled", "p2")]
    assert [job.request.id for job in (taken.next(), taken.next(), taken.next()) if job is not None] == ["p3", "edit", "later"]


def test_a_cancel_is_taken_while_nobody_reads_what_the_worker_says(inbox: tuple[Inbox, EventWriter, int]) -> None:
    taken, events, reading = inbox
    taken.take(line(id="waits"))
    for number in range(300):
        events.send("log", level="info", message=f"{number} " + "x" * 10_000)
    taken.take(b'{"schema": 1, "op": "cancel", "id": "waits"}')
    taken.close()
    assert taken.next() is None

    def give_up() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        events.wait(0, give_up)
    buffer, told = LineBuffer(1 << 20), []
    while not told or told[-1]["event"] == "log":
        told += [json.loads(text or b"") for text in buffer.feed(os.read(reading, 1 << 16))]
    assert [one.get("message", "").split(" ")[0] for one in told[:-1]] == [str(number) for number in range(300)]
    assert told[-1] == {"event": "cancelled", "id": "waits"}
