"""How the worker's events leave it (standard library only)."""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.protocol import event

_POLL_SECONDS = 0.1


class EventWriter:
    """Writes events, one line each, in a thread of its own, so that nobody who sends one waits for whoever reads them.

    Parameters
    ----------
    descriptor : where to.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._unsent = 0
        self.gone = False
        """Whether nobody reads any more; events are then dropped."""
        threading.Thread(target=self._write, daemon=True).start()

    def send(self, name: str, /, **values: Any) -> None:
        """Write an event of ``protocol.EVENTS`` with its fields."""
        line = json.dumps({**event(name), **values}, allow_nan=False).encode("ascii") + b"\n"
        with self._changed:
            if not self.gone:
                self._lines.append(line)
                self._unsent += len(line)
                self._changed.notify_all()

    def fail(self, name: str | int | None, error: TumorSynthError) -> None:
        """Write that a request failed, or a line that should have been one."""
        self.send("failed", id=name, code=error.code, message=error.message, hint=error.hint)

    def wait(self, unsent: int, check: Callable[[], None]) -> None:
        """Wait until at most so many bytes have not left yet; ``check`` is called on the way and may raise to give up."""
        with self._changed:
            while self._unsent > unsent:
                check()
                self._changed.wait(_POLL_SECONDS)

    def flush(self, seconds: float) -> None:
        """Wait until everything has left, at most so many seconds."""
        end = time.monotonic() + seconds
        with self._changed:
            while self._unsent > 0 and (rest := end - time.monotonic()) > 0.0:
                self._changed.wait(rest)

    def _write(self) -> None:
        while not self.gone:
            with self._changed:
                while not self._lines:
                    self._changed.wait()
                line = self._lines.popleft()
            sent = self._write_all(line)
            with self._changed:
                self._unsent -= len(line)
                if not sent:
                    self.gone = True
                    self._lines.clear()
                    self._unsent = 0
                self._changed.notify_all()

    def _write_all(self, line: bytes) -> bool:
        """Whether somebody took the whole line."""
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            return False
        return True
