"""The lines of a batch in several processes of this computer, each a warm worker with networks of its own."""

import os
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress

from TumorSynthLib.batch_claim import Claim
from TumorSynthLib.batch_runners import Outcome, Outcomes, Take, Tell
from TumorSynthLib.batch_seat import Moved, News, Seat
from TumorSynthLib.errors import RequestError, TumorSynthError

MAX_STARTS = 3
"""How often in a row a worker may end before it is ready."""
THREADS = "OMP_NUM_THREADS"


class WorkerPool:
    """Local worker processes, each fed by a thread.

    Parameters
    ----------
    count : number of processes; no more are started than there are lines.
    environment : of the processes; None is a copy of this one's. ``OMP_NUM_THREADS`` is set unless it is there.

    Raises
    ------
    RequestError : when ``count`` is not positive.
    """

    def __init__(self, count: int, environment: Mapping[str, str] | None = None) -> None:
        if count < 1:
            raise RequestError("batch.workers", f"There are {count} workers, expected 1 or more.", "Ask for 1 or more.")
        given = dict(os.environ if environment is None else environment)
        self._count = count
        self._environment = {THREADS: str(max(1, _cores() // count)), **given}

    @property
    def about(self) -> str:
        """How many processes, and how many threads each computes with."""
        return f"{self._count} worker processes with {THREADS}={self._environment[THREADS]}"

    def run(self, take: Take, tell: Tell, claim: Claim) -> Outcomes:
        """See ``Runner``."""
        news: News = queue.SimpleQueue()
        seats = [Seat(number, self._environment, claim, news) for number in range(self._count)]
        try:
            while _hand_out(take, tell, seats):
                one = _next(news)
                if isinstance(one, Moved):
                    tell(one.job, one.stage, one.fraction)
                    continue
                seat = next(seat for seat in seats if seat.job is one.job)
                seat.job = None
                if seat.failed_starts >= MAX_STARTS:
                    raise TumorSynthError("batch.workers", f"No worker can be started. {one.error}", "See its last words.")
                _hand_out(take, tell, seats)  # before the books are kept, so that nobody waits for them
                yield one
        finally:
            _stop(seats)


def _hand_out(take: Take, tell: Tell, seats: list[Seat]) -> bool:
    """Give lines to the seats that have none; whether any seat has one now."""
    for seat in seats:
        if seat.job is None:
            job = take()
            if job is None:
                break
            seat.give(job)
            tell(job, "starting", 0.0)
    return any(seat.job is not None for seat in seats)


def _next(news: News) -> Outcome | Moved:
    """What a seat tells next."""
    while True:
        with suppress(queue.Empty):
            return news.get(timeout=0.5)  # on Windows a wait without end cannot be interrupted


def _stop(seats: list[Seat]) -> None:
    """End all processes at the same time."""
    threads = [threading.Thread(target=seat.stop, daemon=True) for seat in seats]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _cores() -> int:
    """Cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(allowed(0)) if allowed else os.cpu_count() or 1
