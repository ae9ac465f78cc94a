"""A client of the worker (standard library only, so that 3D Slicer can use it).

The worker is a child process: of this Python, of another one, or of ``ssh`` to another computer. Where that does not see the
same files, ``inline`` sends them along, each once, and fetches the results.
"""

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from TumorSynthLib.errors import Cancelled, RequestError, TumorSynthError
from TumorSynthLib.inline_courier import Courier
from TumorSynthLib.line_process import StartProcess
from TumorSynthLib.protocol import SCHEMA, Inquiry, Request, parse_message
from TumorSynthLib.worker_process import WorkerError, WorkerProcess, with_library

__all__ = ["Event", "WorkerClient", "WorkerError"]

Event = dict[str, Any]
"""A line of the worker; see ``TumorSynthLib.worker``."""
EventCallback = Callable[[Event], None]

FINAL = ("done", "failed", "cancelled")
"""Events after which a request is over."""


class WorkerClient:
    """Starts a worker and talks to it; use it in a ``with`` block, or call ``close``.

    Events of requests that ``run`` made go to ``run``. All others come out of ``events``, or go to ``on_event``.

    Parameters
    ----------
    command : what starts Python, for example ``["ssh", "gpu-host", "python"]``; None is this Python.
    arguments : of the worker, for example ``["--bundle", "base"]``.
    environment : of the process; None is a copy of this one's.
    inline : whether the worker does not see this computer's files. They are then sent, and results come back.
    on_event : called with each event, from a thread of the client, also with the ``failed`` of a worker that has died.
    on_log : called with each line of the log, from a thread of the client.
    start : starts the process, called like ``WorkerProcess``, which None stands for.

    Raises
    ------
    WorkerError : when the command cannot be started.

    Notes
    -----
    With a ``start`` of its own a program may run everything in one thread. Events then come from its event loop, also from
    inside of ``send``, ``cancel`` and ``close``; each of these may be called from ``on_event``. ``wait_ready``, ``run``,
    ``preview``, ``ask`` and an ``events`` that waits would wait for themselves and are not to be used there.

    With ``inline`` a thread of the client writes and calls ``on_event`` as well. Such a program has to let Python's threads
    run, and its process has to take lines from any thread: by a queue that the event loop empties, never by waiting for the
    event loop, which may itself wait for that thread.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        inline: bool = False,
        on_event: EventCallback | None = None,
        on_log: Callable[[str], None] | None = None,
        start: StartProcess | None = None,
    ) -> None:
        self._on_event = on_event
        self._others: queue.Queue[Event | None] = queue.Queue()
        self._pending: dict[str | int, queue.Queue[Event] | None] = {}
        self._lock = threading.Lock()
        self._greeted = threading.Event()
        self._ready: Event | None = None
        self._over = False
        self._count = 0
        line = [*(command or [sys.executable]), "-u", "-m", "TumorSynthLib.worker", *arguments]
        surroundings = with_library(os.environ if environment is None else environment)
        self._process = (start or WorkerProcess)(line, surroundings, self._take, self._end, on_log)
        self._courier = Courier(self._write, self._deliver) if inline else None
        self._process.listen()

    def __enter__(self) -> "WorkerClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def log(self) -> str:
        """The last lines that the worker wrote beside its events."""
        return self._process.log

    @property
    def alive(self) -> bool:
        """Whether the worker can still answer."""
        return not self._over

    @property
    def pid(self) -> int:
        """Number of the process that was started, and of its process group."""
        return self._process.pid

    def wait_ready(self, timeout: float | None = None) -> Event:
        """The ``ready`` event, when the worker has loaded its networks.

        Raises
        ------
        WorkerError : when the worker has ended before.
        TimeoutError : when it has taken longer than ``timeout`` seconds.
        """
        if not self._greeted.wait(timeout):
            raise TimeoutError(f"The worker was not ready within {timeout:g} s.")
        if self._ready is None:
            raise self._process.died("before it was ready")
        return self._ready

    def send(self, request: Request | Inquiry | Mapping[str, Any]) -> str | int:
        """Queue a request or an inquiry and return its id, which is made up where it has none.

        Raises
        ------
        RequestError : when the request is wrong in itself, or its id is in use.
        WorkerError : when the worker has ended.
        """
        return self._submit(request, None)

    def cancel(self, name: str | int | None = None) -> None:
        """Cancel the request of that id, or the running one; ``cancelled`` tells when that is done."""
        if self._courier is not None and self._courier.cancel(name):
            return
        with suppress(OSError):
            self._write({"schema": SCHEMA, "op": "cancel", "id": name})

    def run(self, request: Request | Mapping[str, Any], on_event: EventCallback | None = None) -> Path:
        """Carry out a request and wait for it.

        Parameters
        ----------
        request : what to do.
        on_event : called in this thread with each event of this request. When it raises, the request is cancelled.

        Returns
        -------
        The result folder.

        Raises
        ------
        TumorSynthError : with the code, message and hint of ``failed``.
        Cancelled : when the request was cancelled.
        WorkerError : when the worker has ended.
        """
        return Path(str(self._finished(request, on_event)["result"]))

    def preview(self, request: Request | Mapping[str, Any]) -> Event:
        """The shape that a request would make, at once; nothing is written.

        Parameters
        ----------
        request : with ``preview`` set. A later preview cancels it while it waits.

        Returns
        -------
        The ``preview`` event with the mask, and the ``measured`` shape features and ``warnings`` of ``done``.

        Raises
        ------
        as ``run``.
        """
        shown: Event = {}

        def keep(event: Event) -> None:
            if event["event"] == "preview":
                shown.update(event)

        done = self._finished(request, keep)
        return {**shown, "measured": done.get("measured", {}), "warnings": done.get("warnings", [])}

    def ask(self, inquiry: Inquiry | Mapping[str, Any]) -> Event:
        """The ``done`` event of an inquiry, whose fields are the answer.

        Raises
        ------
        as ``run``.
        """
        return self._finished(inquiry, None)

    def _finished(self, request: Request | Inquiry | Mapping[str, Any], on_event: EventCallback | None) -> Event:
        """The ``done`` event of a request."""
        events: queue.Queue[Event] = queue.Queue()
        name = self._submit(request, events)
        try:
            event = _last(events, on_event)
        except BaseException:
            self.cancel(name)
            raise
        self._check_done(event)
        return event

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Events of requests that ``send`` made, until the worker ends.

        Parameters
        ----------
        timeout : stop when none has come for so many seconds; 0 gives those that are here.
        """
        while True:
            try:
                event = self._others.get(timeout != 0, timeout)
            except queue.Empty:
                return
            if event is None:
                self._others.put(None)  # for whoever asks next
                return
            yield event

    def close(self, timeout: float = 5.0) -> None:
        """Let the worker end, and kill what is left of it after ``timeout`` seconds."""
        self._process.close(timeout)
        if self._courier is not None:
            self._courier.stop()

    def kill(self) -> None:
        """End the worker at once, with everything that it has started."""
        self._process.kill()

    def _submit(self, request: Request | Inquiry | Mapping[str, Any], events: "queue.Queue[Event] | None") -> str | int:
        checked = request if isinstance(request, Request | Inquiry) else parse_message(request)
        with self._lock:  # ``_end`` sees a request either nowhere or at the courier too: no last event is lost between them
            self._count += 1
            name = f"request-{self._count}" if checked.id is None else checked.id
            if name in self._pending:
                raise RequestError("request.id", f"The id {name!r} is in use.", "Give each request an id of its own.")
            over = self._over
            if not over and self._courier is not None:
                self._courier.submit(checked, name)
            if not over:
                self._pending[name] = events
        try:
            if over:
                raise BrokenPipeError("the worker has ended")
            if self._courier is None:
                self._write({**checked.to_dict(), "id": name})
        except OSError as error:
            with self._lock:
                told = not over and name not in self._pending  # ``_end`` was faster, and the request has its ``failed``
                if not told:
                    self._pending.pop(name, None)
            if not told:
                raise self._process.died("before the request was sent") from error
        return name

    def _write(self, values: Mapping[str, Any]) -> None:
        if self._over:
            raise BrokenPipeError("the worker has ended")
        self._process.write(json.dumps(values, allow_nan=False).encode("ascii") + b"\n")

    def _take(self, line: bytes | None) -> None:
        event = _event(line)
        if event is not None:
            self._deliver(event)
        elif line:  # what ssh or a launcher says
            self._process.note(line)

    def _deliver(self, event: Event, *, pending: bool = False) -> None:
        """An event to whom it concerns; with ``pending`` only that of a request whose last event has not come yet."""
        translated = event if self._courier is None else self._courier.translated(event)
        if translated is None:
            return
        event = translated
        name = event.get("id")
        with self._lock:
            if pending and name not in self._pending:
                return
            route = None if name is None else self._pending.get(name)
            if event["event"] in FINAL and name is not None:
                self._pending.pop(name, None)
        if event["event"] == "ready":
            self._ready = event
            self._greeted.set()
        if route is not None:
            route.put(event)
        elif self._on_event is not None:
            self._on_event(event)
        else:
            self._others.put(event)

    def _end(self) -> None:
        """The worker is gone: tell everyone who waits for it."""
        with self._lock:
            self._over = True
            names = list(self._pending)
        for name in names:
            error = self._process.died("while it had the request")
            told = {"event": "failed", "id": name, "code": error.code, "message": error.message, "hint": error.hint}
            self._deliver(told, pending=True)
        self._greeted.set()
        self._others.put(None)

    def _check_done(self, event: Event) -> None:
        """Raise unless a request's last event is ``done``."""
        if event["event"] == "done":
            return
        if event["event"] == "cancelled":
            raise Cancelled
        code, message, hint = (str(event.get(name, "")) for name in ("code", "message", "hint"))
        raise WorkerError(message, hint, self.log) if code == "worker.died" else TumorSynthError(code, message, hint)


def _last(events: "queue.Queue[Event]", on_event: EventCallback | None) -> Event:
    """The event that ends a request."""
    while True:
        event = events.get()
        if on_event is not None:
            on_event(event)
        if event["event"] in FINAL:
            return event


def _event(line: bytes | None) -> Event | None:
    """The event in a line, if there is one."""
    try:
        values = json.loads(line or b"")
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) and isinstance(values.get("event"), str) else None
