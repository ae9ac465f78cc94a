"""The client's side of requests to a worker that does not see its files (standard library only).

A thread sends requests in their order, each after the files that the worker does not have yet. Only a few pieces are ever on
their way, so that a cancel does not wait behind a scan. What comes back is translated into what a worker on this computer says.
"""

import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from TumorSynthLib.errors import Cancelled, TumorSynthError
from TumorSynthLib.inline_files import Names, Parcel, parcel_of
from TumorSynthLib.inline_order import Order, Over
from TumorSynthLib.inline_results import IncomingResult, changed_texts, with_own_request
from TumorSynthLib.input_files import input_files, with_files
from TumorSynthLib.protocol import SCHEMA, Inquiry, Request, parse_message
from TumorSynthLib.transfer import INLINE, UPLOAD, Piece, piece_line

Event = dict[str, Any]

WINDOW = 4
"""Pieces that may be on their way."""
SENDING, RETURNING = 0.15, 0.9
"""Where on the progress bar the files are sent, if there are any to send, and where the result starts to come back."""


class Courier:
    """Sends requests and translates what comes back.

    Parameters
    ----------
    write : sends a line to the worker; raises OSError when it has ended.
    deliver : called with each event that the courier makes itself, from its thread.
    """

    def __init__(self, write: Callable[[Mapping[str, Any]], None], deliver: Callable[[Event], None]) -> None:
        self._write, self._deliver = write, deliver
        self._names = Names()
        self._orders: dict[str | int, Order] = {}
        self._current: Order | None = None
        self._guard = threading.Lock()
        self._waiting: queue.Queue[Order | None] = queue.Queue()
        self._answers: queue.Queue[Event] = queue.Queue()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, request: Request | Inquiry, name: str | int) -> None:
        """Take over a request or an inquiry.

        Raises
        ------
        OutputError : when its result cannot lie where it should.
        """
        result = None
        if isinstance(request, Request) and request.out is not None and not request.preview:
            result = IncomingResult(request.out, request.overwrite)
        order = Order(name, {**request.to_dict(), "id": name}, result)
        with self._guard:
            self._orders[name] = order
        self._waiting.put(order)

    def cancel(self, name: str | int | None) -> bool:
        """Whether a request is cancelled here, because the worker does not know of it yet.

        Parameters
        ----------
        name : the request's id; None is the one that runs, or else the first that is on its way.
        """
        with self._guard:
            if name is None:
                found = next(iter(self._orders.values()), None)
            else:
                found = self._orders.get(name)
            if found is None or found.sent:
                return False
            found.cancelled = True
            waits = found is not self._current
        if waits:  # told at once, not when those before it have been sent
            event = {"event": "cancelled", "id": found.name}
            threading.Thread(target=self._deliver, args=(event,), daemon=True).start()
        self._answers.put({})
        return True

    def stop(self) -> None:
        """Take no more requests; those that are here are over when the worker has ended."""
        self._waiting.put(None)

    def translated(self, event: Event) -> Event | None:
        """An event as a worker on this computer would say it; None where it would say nothing."""
        kind, name = event["event"], event.get("id")
        if name is None:
            return event
        with self._guard:
            order = self._orders.get(name)
        if order is None or kind in ("have", "received"):
            self._answers.put(event)
            return None
        if kind == "file":
            return self._taken(order, event)
        if kind == "progress" and event.get("stage") != "sending":
            end = 1.0 if order.result is None else RETURNING
            return {**event, "fraction": order.start + (end - order.start) * event["fraction"]}
        return self._ended(order, event) if kind in ("done", "failed", "cancelled") else event

    def _ended(self, order: Order, event: Event) -> Event:
        """The last event of a request, with the result in its place."""
        with self._guard:
            self._orders.pop(order.name, None)
            order.over = True
        self._answers.put({})
        change = changed_texts(order.texts)
        try:
            if order.error is not None:
                raise order.error
            if event["event"] == "done" and order.result is not None:
                folder = order.result.commit(partial(with_own_request, sent=order.sent, own=order.own, change=change))
                return {**event, "result": str(folder)}
        except (TumorSynthError, OSError, ValueError) as error:
            event = _failed(order.name, error)
        if order.result is not None:
            order.result.discard()
        return event if event["event"] != "failed" else {**event, **{key: change(str(event.get(key, ""))) for key in _TOLD}}

    def _taken(self, order: Order, event: Event) -> Event | None:
        """Keep a piece of a result; when that fails the worker need not send the rest."""
        if order.result is None or order.error is not None:
            return None
        try:
            order.result.take(event)
        except TumorSynthError as error:
            order.error = error
            with suppress(OSError):
                self._write({"schema": SCHEMA, "op": "cancel", "id": order.name})
            return None
        return order.progress("returning", (RETURNING, 1.0), float(event.get("fraction", 0.0)))

    def _work(self) -> None:
        while (order := self._waiting.get()) is not None:
            with self._guard:
                self._current = order
            try:
                self._send(order)
            except Over:
                pass
            except Cancelled:
                self._deliver({"event": "cancelled", "id": order.name})
            except TumorSynthError as error:
                self._deliver(_failed(order.name, error))
            except OSError:
                pass  # the worker has ended, which is told by whoever reads from it

    def _send(self, order: Order) -> None:
        """The files that the worker lacks, then the request."""
        order.check()
        parcels = {path: parcel_of(path) for path in input_files(order.own).values()}
        names = {path: self._names.name(parcel, order.check) for path, parcel in parcels.items()}
        order.texts = {f"{UPLOAD}{name}": path for path, name in names.items()}
        values = with_files(order.own, lambda path: f"{UPLOAD}{names[path]}")
        if order.own.get("out") is not None:
            values["out"] = f"{INLINE}{secrets.token_hex(8)}"
            order.texts[values["out"]] = order.own["out"]
        by_name = {name: parcels[path] for path, name in names.items()}
        if by_name:
            self._upload(order, by_name)
        line = {**parse_message(values).to_dict(), "id": order.name}
        with self._guard:  # so that no cancel goes ahead of it
            order.check()
            self._write(line)
            order.sent = line

    def _upload(self, order: Order, parcels: Mapping[str, Parcel]) -> None:
        """Send what the worker does not have."""
        self._write({"schema": SCHEMA, "op": "have", "id": order.name, "names": list(parcels)})
        there = self._answer(order, "have").get("names", [])
        missing = {name: parcel for name, parcel in parcels.items() if name not in there}
        order.start = SENDING if missing else 0.0
        total, sent = max(1, sum(parcel.size for parcel in missing.values())), 0
        for name, parcel in missing.items():
            on_the_way = 0
            for piece in _pieces(order.name, name, parcel):
                order.check()
                self._write({"schema": SCHEMA, **piece_line(piece)})
                sent, on_the_way = sent + len(piece.data), on_the_way + 1
                while on_the_way > (0 if piece.last else WINDOW):
                    self._answer(order, "received")
                    on_the_way -= 1
                if told := order.progress("sending", (0.0, SENDING), min(1.0, sent / total)):
                    self._deliver(told)

    def _answer(self, order: Order, kind: str) -> Event:
        """What the worker says to a line of the order."""
        while True:
            order.check()
            event = self._answers.get()
            if event.get("id") == order.name and event.get("event") == kind:
                return event


_TOLD = ("code", "message", "hint")


def _pieces(order: str | int, name: str, parcel: Parcel) -> Iterator[Piece]:
    """A parcel's pieces; one that is empty has one."""
    offset, data = 0, b""
    for following in parcel.pieces():
        if data:
            yield Piece(order, name, offset, data, False)
            offset += len(data)
        data = following
    yield Piece(order, name, offset, data, True)


def _failed(name: str | int, error: Exception) -> Event:
    """The event that tells an error of this side."""
    code = error.code if isinstance(error, TumorSynthError) else "output.damaged"
    message = error.message if isinstance(error, TumorSynthError) else f"The result cannot be read: {error}."
    hint = error.hint if isinstance(error, TumorSynthError) else "Update the older of the two programs."
    return {"event": "failed", "id": name, "code": code, "message": message, "hint": hint}
