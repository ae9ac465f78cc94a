"""A child process that speaks in lines (standard library only).

It gets a process group of its own, which is killed as a whole: between this process and the one that works there may be a
launcher.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from TumorSynthLib.line_buffer import LineBuffer
from TumorSynthLib.line_process import LOG_LINES, MAX_LINE, WorkerError, worker_died

__all__ = ["LOG_LINES", "MAX_LINE", "WorkerError", "WorkerProcess", "with_library", "worker_died"]


class WorkerProcess:
    """A ``LineProcess`` that is started now; its lines are read in threads from ``listen`` on.

    Parameters
    ----------
    command : program and arguments.
    environment : of the process.
    on_line : called with each line of its stdout, None for one that was too long.
    on_end : called once, when its stdout has ended.
    on_log : called with each line of the log: its stderr, and what ``note`` adds.

    Raises
    ------
    WorkerError : when the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[bytes | None], None],
        on_end: Callable[[], None],
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        self._on_line, self._on_end, self._on_log = on_line, on_end, on_log
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._writing = threading.Lock()
        self._silent = threading.Event()
        self._process = _start(command, environment)
        self._log_thread = threading.Thread(target=self._read_log, daemon=True)
        self._line_thread = threading.Thread(target=self._read_lines, daemon=True)

    def listen(self) -> None:
        """Start to read."""
        self._log_thread.start()
        self._line_thread.start()

    @property
    def log(self) -> str:
        """The last lines of the log."""
        return "\n".join(self._log.copy())

    @property
    def pid(self) -> int:
        """Number of the process, and of its group."""
        return self._process.pid

    def write(self, line: bytes) -> None:
        """Send a line.

        Raises
        ------
        OSError : when nobody reads it any more.
        """
        with self._writing:
            pipe = _there(self._process.stdin)
            if pipe.closed:
                raise BrokenPipeError("the input is closed")
            pipe.write(line)
            pipe.flush()

    def close(self, timeout: float) -> None:
        """End the input, wait ``timeout`` seconds for the process to end by itself, and kill what is left."""
        if self._writing.acquire(timeout=timeout):
            with suppress(OSError):
                _there(self._process.stdin).close()
            self._writing.release()
            self._silent.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """End the process at once, with everything that it has started."""
        if not self._silent.is_set():  # so somebody of the group lives, and the group's number is still its own
            _kill_group(self._process)
        for thread in {self._line_thread, self._log_thread} - {threading.current_thread()}:
            thread.join(2.0)
        self._process.wait()
        # Whoever is still writing fails now that nobody reads, and lets go.
        with self._writing, suppress(OSError):
            _there(self._process.stdin).close()

    def note(self, line: bytes) -> None:
        """Add a line to the log."""
        text = line.decode("utf-8", "replace").rstrip("\r")
        self._log.append(text)
        if self._on_log is not None:
            self._on_log(text)

    def died(self, when: str) -> WorkerError:
        """The error that tells how the process ended."""
        self._log_thread.join(1.0)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        return worker_died(self._process.returncode, when, self.log)

    def _read_lines(self) -> None:
        buffer = LineBuffer(MAX_LINE)
        stream = _there(self._process.stdout)
        try:
            while data := os.read(stream.fileno(), 1 << 16):
                for line in buffer.feed(data):
                    self._on_line(line)
            self._silent.set()
            stream.close()
        finally:
            self._on_end()

    def _read_log(self) -> None:
        buffer = LineBuffer(MAX_LINE)
        with _there(self._process.stderr) as stream:
            while data := os.read(stream.fileno(), 1 << 16):
                for line in buffer.feed(data):
                    self.note(line or b"")
        for line in buffer.feed(b"\n"):
            if line:
                self.note(line)


def with_library(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with this library on Python's path, unless it lies among the packages of one Python."""
    parent = Path(__file__).resolve().parent.parent
    if parent.name in ("site-packages", "dist-packages"):
        return dict(environment)
    paths = [str(parent), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}


def _there(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "the process was started with pipes"
    return stream


def _start(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """A process with pipes, in a group of its own."""
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True, creationflags=flags
        )
    except OSError as error:
        message = f"The worker cannot be started: {command[0]}: {error.strerror or error}."
        raise WorkerError(message, "Check the command that starts Python.", "") from error


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
