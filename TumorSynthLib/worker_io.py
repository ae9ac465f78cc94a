"""The worker's two ends: requests come in on one descriptor, events leave on another (standard library only)."""

import os
import sys
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from TumorSynthLib.errors import RequestError, TumorSynthError
from TumorSynthLib.line_buffer import LineBuffer
from TumorSynthLib.protocol import Inquiry, Request, load_object, parse_cancel, parse_message
from TumorSynthLib.transfer import parse_have, parse_upload, upload_names
from TumorSynthLib.worker_events import EventWriter
from TumorSynthLib.worker_files import Uploads

MAX_LINE = 1 << 20
"""Longest line that is read, in bytes. A request with every feature has a hundredth of it, a piece of a file a quarter."""


def claim_streams() -> tuple[int, int]:
    """Descriptors of the real stdin and stdout, for the protocol alone.

    From here on whatever else writes to stdout, be it a library's C code or a child process, writes to stderr, and
    whatever else reads stdin finds it empty.
    """
    sys.stdout.flush()
    incoming, outgoing = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return incoming, outgoing


@dataclass(eq=False)
class Job:
    """A request or an inquiry on its way through the worker."""

    request: Request | Inquiry
    """What to do."""
    cancelled: bool = False
    """Set by the reading thread, looked at by the working one."""

    @property
    def is_preview(self) -> bool:
        """Whether it is a preview, of which only the latest is wanted."""
        return isinstance(self.request, Request) and self.request.preview

    @property
    def is_quick(self) -> bool:
        """Whether it is a preview or an inquiry, for which a user waits."""
        return self.is_preview or isinstance(self.request, Inquiry)


class Inbox:
    """The requests that wait and the one that runs. One thread reads lines into it, another takes jobs out.

    Parameters
    ----------
    events : told of bad lines, and of jobs that were cancelled while they waited.
    uploads : where the files that come in lines are kept.
    """

    def __init__(self, events: EventWriter, uploads: Uploads) -> None:
        self._events = events
        self._uploads = uploads
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._closed = False

    def read(self, descriptor: int) -> None:
        """Take lines until the other side closes; then cancel everything."""
        buffer = LineBuffer(MAX_LINE)
        try:
            while data := os.read(descriptor, 1 << 16):
                for line in buffer.feed(data):
                    self.take(line)
        finally:
            self.close()

    def take(self, line: bytes | None) -> None:
        """Do what a line says, or tell what is wrong with it; None is a line that was too long."""
        name: str | int | None = None
        try:
            if line is not None and not line.strip():
                return
            values = load_object(_text(line))
            name = _readable_id(values)
            self._act(values)
        except TumorSynthError as error:
            self._events.fail(name, error)

    def next(self) -> Job | None:
        """The next job, when there is one; None when the other side has closed. The job before counts as finished."""
        with self._changed:
            self._running = None
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._closed:
                self._running = self._waiting.popleft()
            return self._running

    def next_inquiry(self) -> Job | None:
        """The first inquiry that waits, if there is one; the job before counts as finished."""
        with self._changed:
            self._running = next((job for job in self._waiting if isinstance(job.request, Inquiry)), None)
            if self._running is not None:
                self._waiting.remove(self._running)
            return self._running

    def cancel(self, name: str | int | None) -> None:
        """Cancel the jobs of that id, or with None the one that runs or is about to."""
        with self._changed:
            there = self._jobs()
            found = there[:1] if name is None else [job for job in there if job.request.id == name]
            dropped = self._drop(found)
        self._tell_cancelled(dropped)
        if not found:
            which = "running" if name is None else f"with the id {name!r}"
            self._events.send("log", level="info", message=f"There is no request {which} to cancel.")

    def close(self) -> None:
        """Cancel everything and take nothing more."""
        with self._changed:
            self._closed = True
            dropped = self._drop(self._jobs())
            self._changed.notify()
        self._tell_cancelled(dropped)

    def _act(self, values: dict[str, Any]) -> None:
        """Queue the request of a line, or do at once what cannot wait."""
        op = values.get("op")
        if op == "cancel":
            self.cancel(parse_cancel(values))
        elif op == "have":
            name, names = parse_have(values)
            self._events.send("have", id=name, names=self._uploads.present(names))
        elif op == "upload":
            piece = parse_upload(values)
            if (size := self._uploads.take(piece, self._names_in_use())) is not None:
                self._events.send("received", id=piece.id, name=piece.name, bytes=size)
        else:
            self._put(Job(parse_message(values)))

    def _put(self, job: Job) -> None:
        """Queue a job: previews and inquiries ahead of edits. Of the previews only the latest waits: a slider must not queue
        up, and inquiries that wait beside it must have their turn.
        """
        with self._changed:
            dropped = self._drop([other for other in self._waiting if other.is_preview and job.is_preview])
            quick = sum(other.is_quick for other in self._waiting)
            self._waiting.insert(quick if job.is_quick else len(self._waiting), job)
            self._changed.notify()
        self._tell_cancelled(dropped)

    def _jobs(self) -> list[Job]:
        """All jobs, the running one first. Call it with the lock held."""
        return [*([self._running] if self._running is not None else []), *self._waiting]

    def _drop(self, jobs: list[Job]) -> list[Job]:
        """Mark jobs as cancelled; those that waited are taken out and returned. Call it with the lock held."""
        for job in jobs:
            job.cancelled = True
        dropped = [job for job in self._waiting if job.cancelled]
        self._waiting = deque(job for job in self._waiting if not job.cancelled)
        return dropped

    def _tell_cancelled(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._events.send("cancelled", id=job.request.id)

    def _names_in_use(self) -> set[str]:
        """Files that a job still needs."""
        with self._changed:
            jobs = self._jobs()
        return set().union(*(upload_names(job.request.to_dict()) for job in jobs))


def _text(line: bytes | None) -> str:
    if line is None:
        message = f"The line is longer than {MAX_LINE} bytes."
        raise RequestError("request.json", message, "Name files in the request, and send them in pieces.")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"The line is not UTF-8: {error.reason}."
        raise RequestError("request.json", message, "Write one JSON object per line.") from error


def _readable_id(values: dict[str, Any]) -> str | int | None:
    """The id of a request that may be wrong in every other way."""
    name = values.get("id")
    return name if isinstance(name, str | int) and not isinstance(name, bool) else None
