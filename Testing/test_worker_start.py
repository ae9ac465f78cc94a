"""The process behind a client: brought by the caller, all in one thread, or behind a launcher."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from TumorSynthLib.errors import RequestError
from TumorSynthLib.line_process import LineProcess, WorkerError, worker_died
from TumorSynthLib.worker_client import WorkerClient
from TumorSynthLib.worker_process import WorkerProcess

ROOT = Path(__file__).resolve().parent.parent
posix = pytest.mark.skipif(sys.platform == "win32", reason="process groups")


class OneThread:
    """A worker that answers from inside of ``write`` and ``close``, as a process in an event loop may."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[bytes | None], None],
        on_end: Callable[[], None],
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        self.command, self.environment = list(command), dict(environment)
        self._on_line, self._on_end, self._on_log = on_line, on_end, on_log
        self.lines: list[dict[str, Any]] = []
        self.answer = "done"
        self.pid, self.log = 7, ""
        self.thread = threading.get_ident()

    def listen(self) -> None:
        self.say(event="started", pid=8, session=True)

    def say(self, **event: Any) -> None:
        self._on_line(json.dumps(event).encode())

    def write(self, line: bytes) -> None:
        assert threading.get_ident() == self.thread
        values = json.loads(line)
        self.lines.append(values)
        if self.answer == "end":
            self._on_end()
        if self.answer in ("end", "break"):
            raise BrokenPipeError("the worker has ended")
        if values["op"] == "cancel":
            self.say(event="cancelled", id=values["id"])
        elif self.answer == "done":
            self.say(event="done", id=values["id"], result=None)

    def close(self, timeout: float) -> None:
        self._on_end()

    def kill(self) -> None:
        self._on_end()

    def note(self, line: bytes) -> None:
        self.log = line.decode()
        if self._on_log is not None:
            self._on_log(self.log)

    def died(self, when: str) -> WorkerError:
        return worker_died(-9, when, self.log)


class Scene:
    """A client in one thread, and what it was told."""

    def __init__(self, react: Callable[["Scene", dict[str, Any]], None] = lambda scene, event: None) -> None:
        self.events: list[dict[str, Any]] = []
        self.logged: list[str] = []
        self.made: list[OneThread] = []

        def keep(event: dict[str, Any]) -> None:
            self.events.append(event)
            react(self, event)

        self.client = WorkerClient(
            ["there"], arguments=["--session"], environment={}, on_event=keep, on_log=self.logged.append, start=self._start
        )

    def _start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[bytes | None], None],
        on_end: Callable[[], None],
        on_log: Callable[[str], None] | None = None,
    ) -> LineProcess:
        self.made.append(OneThread(command, environment, on_line, on_end, on_log))
        return self.made[0]

    @property
    def process(self) -> OneThread:
        return self.made[0]

    def told(self) -> list[tuple[str, Any]]:
        return [(event["event"], event.get("id")) for event in self.events]


def within(seconds: float, work: Callable[[], None]) -> None:
    """Do something in one thread, which must not wait for itself."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it waits for itself"
    if errors:
        raise errors[0]


def removal(name: str | int) -> dict[str, Any]:
    return {"schema": 1, "op": "remove", "image": "scan.nrrd", "mask": "mask.nrrd", "out": "out", "id": name}


def test_a_client_in_one_thread_gets_events_from_inside_of_its_own_calls() -> None:
    def work() -> None:
        def chain(scene: Scene, event: dict[str, Any]) -> None:
            if event.get("id") == "a" and event["event"] == "done":
                scene.client.send(removal("b"))  # from inside of the event that ``send`` itself has caused
            if event.get("id") == "c" and event["event"] == "progress":
                scene.client.cancel("c")

        scene = Scene(chain)
        assert scene.process.command == ["there", "-u", "-m", "TumorSynthLib.worker", "--session"]
        assert str(ROOT) in scene.process.environment["PYTHONPATH"]
        assert scene.client.pid == 7
        assert scene.client.send(removal("a")) == "a"
        assert scene.told() == [("started", None), ("done", "a"), ("done", "b")]
        scene.process.answer = ""
        scene.client.send(removal("c"))
        with pytest.raises(RequestError):
            scene.client.send(removal("c"))
        scene.process.say(event="progress", id="c", stage="reading", fraction=0.0)
        assert scene.told()[3:] == [("progress", "c"), ("cancelled", "c")]
        scene.process._on_line(b"a word of the launcher")
        assert scene.logged == ["a word of the launcher"]
        scene.client.send(removal("c"))
        scene.client.close()
        assert scene.told()[-1] == ("failed", "c") and scene.events[-1]["code"] == "worker.died"
        assert not scene.client.alive
        with pytest.raises(WorkerError, match="killed"):
            scene.client.send(removal("d"))

    within(10.0, work)


@pytest.mark.parametrize("answer", ["end", "break"])
def test_a_request_to_a_worker_that_has_just_died_is_told_of_once(answer: str) -> None:
    def work() -> None:
        scene = Scene()
        scene.process.answer = answer
        if answer == "end":  # the end was told from inside of ``write``
            assert scene.client.send(removal("a")) == "a"
            assert scene.told()[1:] == [("failed", "a")]
        else:
            with pytest.raises(WorkerError):
                scene.client.send(removal("a"))
            assert scene.told()[1:] == []
            scene.client.kill()
            assert scene.told()[1:] == []

    within(10.0, work)


def test_a_start_that_fails_is_the_callers_error() -> None:
    def refuse(*about: Any) -> LineProcess:
        raise WorkerError("The worker cannot be started: no such file.", "Check the command.", "")

    with pytest.raises(WorkerError, match="cannot be started"):
        WorkerClient(start=refuse)


_LAUNCHER = """
import subprocess, sys
sys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode)
"""


@posix
@pytest.mark.parametrize("session", [True, False])
def test_the_first_event_tells_the_pid_behind_a_launcher_whose_group_can_be_killed(session: bool) -> None:
    words = ["-u", "-m", "TumorSynthLib.worker", "--bundle", "none", *(["--session"] if session else [])]
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", _LAUNCHER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as launcher:
        assert launcher.stdout is not None and launcher.stdin is not None
        try:
            started = json.loads(launcher.stdout.readline())
            took = time.monotonic() - began
            assert started == {"event": "started", "pid": started["pid"], "session": session}
            pid = started["pid"]
            assert pid != launcher.pid and (os.getpgid(pid) == pid) == session
            ready, _, _ = select.select([launcher.stdout], [], [], 0.0)
            assert not ready, "it came with what takes seconds"
            assert took < 20.0
            if session:
                launcher.kill()  # leaves the worker alive
                os.kill(pid, 0)
                os.killpg(pid, signal.SIGKILL)
        finally:
            launcher.stdin.close()
        launcher.wait(120.0)
        assert launcher.stdout.read() is not None  # its end: nobody holds the other end any more


@pytest.mark.parametrize("unsent", [b"", b"x" * 100])
def test_a_killed_process_leaves_no_pipe_open(unsent: bytes) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = WorkerProcess(command, dict(os.environ), lambda line: None, lambda: None)
    process.listen()
    pipe = process._process.stdin
    assert pipe is not None
    pipe.write(unsent)
    process.kill()
    assert pipe.closed and process._process.returncode is not None
    process.kill()
