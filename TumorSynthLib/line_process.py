"""What a client needs of the process behind it, so that another program can bring its own (standard library only).

``worker_process.WorkerProcess`` reads in threads. A program with an event loop, in which Python's threads do not run while it
waits (3D Slicer), gives ``WorkerClient`` a process of its own that calls back from that loop.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from TumorSynthLib.errors import TumorSynthError

MAX_LINE = 1 << 26
"""Longest line that is read, in bytes; previews are the long ones."""
LOG_LINES = 1000
"""Lines of the log that are kept."""


class WorkerError(TumorSynthError):
    """The worker could not be started or has ended.

    Parameters
    ----------
    message, hint : as ``TumorSynthError``; the code is ``worker.died``.
    log : the last lines that the worker wrote.
    """

    def __init__(self, message: str, hint: str, log: str) -> None:
        super().__init__("worker.died", message, hint)
        self.log = log


class LineProcess(Protocol):
    """A child process that speaks in lines.

    Nothing is called back before ``listen``. After that lines, the log and the end may be told from any thread, also in the one
    that calls, and from inside of ``write``, ``close`` and ``kill``. The end is told once, after the last line.
    """

    @property
    def log(self) -> str:
        """The last lines of the log."""

    @property
    def pid(self) -> int:
        """Number of the process that was started; 0 where there is none."""

    def listen(self) -> None:
        """Start to call back."""

    def write(self, line: bytes) -> None:
        """Send a line, which ends in a line end.

        Raises
        ------
        OSError : when nobody reads it any more.
        """

    def close(self, timeout: float) -> None:
        """End the input, give the process ``timeout`` seconds to end by itself, and kill what is left."""

    def kill(self) -> None:
        """End the process at once, with everything that it has started."""

    def note(self, line: bytes) -> None:
        """Add a line to the log."""

    def died(self, when: str) -> WorkerError:
        """The error that tells how the process ended, for example by ``worker_died``."""


class StartProcess(Protocol):
    """Starts a process.

    Raises
    ------
    WorkerError : when that is known to have failed at once; otherwise the end is told.
    """

    def __call__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[bytes | None], None],
        on_end: Callable[[], None],
        on_log: Callable[[str], None] | None = None,
        /,
    ) -> LineProcess:
        """The process that was started.

        Parameters
        ----------
        command : program and arguments.
        environment : of the process, all of it.
        on_line : called with each line of its stdout without the line end, None for one that was too long.
        on_end : called once, when its stdout has ended.
        on_log : called with each line of the log: its stderr, and what ``note`` adds.
        """


def worker_died(code: int | None, when: str, log: str) -> WorkerError:
    """The error for a worker that has ended.

    Parameters
    ----------
    code : how it ended, minus the number of the signal that killed it; None where that is not known.
    when : end of the sentence, for example "while it had the request".
    log : the last lines that it wrote.
    """
    how, hint = _end_of(code)
    last = f" Its last words: {log.splitlines()[-1]}" if log else ""
    return WorkerError(f"The worker {how} {when}.{last}", hint, log)


def _end_of(code: int | None) -> tuple[str, str]:
    """How a process ended, and what to do about it; a launcher tells the signal that ended its child as 128 and more."""
    signalled = 0 if code is None else -code if code < 0 else code - 128
    if signalled == 9:
        hint = "Most often the computer has run out of memory: ask for fewer candidates, crop the scan around the tumor, or"
        return "was killed (signal 9)", f"{hint} close other programs. Then start it again."
    how = "ended" if code is None else f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
    if code == 255:
        return how, "ssh ends so when the connection is lost or refused: check that the command works in a terminal."
    return how, "Start it again; its log tells more."
