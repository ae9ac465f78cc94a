"""Who may write into the folder of a batch: one batch at a time, and nobody who worked for an earlier one.

A batch that is killed may leave workers that still carry out a line: processes of this computer for a moment, workers of a
cluster for as long as the line takes. So each batch has a token, and whoever carries out lines for it in another process
holds a lock of the folder ``locks`` meanwhile, and looks at the token after taking it. The next batch writes its own token,
waits until every lock is free, and only then looks what is done.
"""

import hashlib
import json
import os
import secrets
import shutil
import socket
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

from TumorSynthLib.atomic import write_text
from TumorSynthLib.batch_leftovers import sweep_tables
from TumorSynthLib.errors import OutputError
from TumorSynthLib.file_lock import FileLock

STATE = ".tumorsynth-batch"
"""Folder beside the results that holds what a batch must remember."""
LEFTOVER_SECONDS = 120.0
"""How long a batch waits for workers of an earlier one that was killed."""

_RUN = "run.json"


class Claim:
    """The right of one batch to its folder, for the length of a ``with`` block.

    Parameters
    ----------
    folder : folder of the results, which exists.

    Raises
    ------
    OutputError : ``batch.locked`` when another batch is at work there, or workers of an earlier one do not end;
        ``output.failed`` when the file system refuses, or has no locks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / STATE
        self.token = secrets.token_hex(8)
        self._lock = FileLock(self.state / "batch.lock")

    def __enter__(self) -> "Claim":
        try:
            self.state.mkdir(exist_ok=True)
            if not self._lock.take():
                raise self._refusal()
            self._begin()
        except OSError as error:
            self._lock.release()
            message = f"{self.state} cannot be used: {error.strerror or error}."
            hint = "Choose a folder that can be written to, on a file system that has locks."
            raise OutputError("output.failed", message, hint) from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.revoke()
        self._lock.release()

    def revoke(self) -> None:
        """Tell whoever still carries out a line of this batch to stop."""
        with suppress(OSError):
            (self.state / _RUN).unlink(missing_ok=True)

    def _begin(self) -> None:
        """Become the batch whose token counts, and clear what earlier ones have left."""
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        run = {"token": self.token, "pid": os.getpid(), "host": socket.gethostname(), "started": started}
        write_text(self.state / _RUN, json.dumps(run) + "\n")
        self._outlast(time.monotonic() + LEFTOVER_SECONDS)
        for name in ("locks", "starts"):
            shutil.rmtree(self.state / name, ignore_errors=True)
            (self.state / name).mkdir(exist_ok=True)
        for folder in (self.folder, self.state):
            sweep_tables(folder)

    def _outlast(self, end: float) -> None:
        """Wait until nobody holds a lock any more."""
        for path in self.state.glob("locks/*"):
            with FileLock(path) as lock:
                if not lock.wait(end - time.monotonic()):
                    message = f"Workers of an earlier batch are still at work in {self.folder}."
                    raise OutputError("batch.locked", message, "Wait until they have ended, or end them.")

    def _refusal(self) -> OutputError:
        run = _read_run(self.state)
        who = f"process {run['pid']} on {run['host']}, since {run['started']}" if "pid" in run else "it is just starting"
        return OutputError("batch.locked", f"Another batch is at work in {self.folder}: {who}.", "Wait for it, or stop it.")


def is_current(state: Path, token: str) -> bool:
    """Whether the batch of that token still wants its lines; true where that cannot be told for the moment."""
    try:
        return _read_run(state).get("token") == token
    except OSError:
        return True


def line_lock(state: Path, out: Path) -> FileLock:
    """The lock of whoever carries out the line that writes ``out``."""
    name = hashlib.sha256(out.relative_to(state.parent).as_posix().encode()).hexdigest()
    return FileLock(state / "locks" / f"line-{name[:32]}")


def seat_lock(state: Path, number: int) -> FileLock:
    """The lock of one of the local workers."""
    return FileLock(state / "locks" / f"worker-{number}")


def count_start(state: Path, number: int) -> int:
    """Note that a line is started; how often that has happened in this batch. Call it with the line's lock held."""
    path = state / "starts" / str(number)
    with path.open("ab") as stream:
        stream.write(b"x")
    return path.stat().st_size


def forget_starts(state: Path, number: int) -> None:
    """Note that a line has come to an end."""
    (state / "starts" / str(number)).unlink(missing_ok=True)


def _read_run(state: Path) -> dict[str, str]:
    """What ``run.json`` says; empty without it."""
    try:
        values = json.loads((state / _RUN).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
