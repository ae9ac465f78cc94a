"""Requests that are carried out one after the other, with one progress and one way to end them all."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from TumorSynthLib.errors import TumorSynthError


class Generation:
    """Asks the worker for one result after the other.

    Parameters
    ----------
    service : the worker.
    onResult : called with the number of a request, from 0, and its ``done`` event.
    onOver : called when none is left; with the error that ended it, or None.
    onProgress : called with the stage, the share of all that is done, and the seconds that are left, or None.
    clock : seconds, for tests.
    """

    def __init__(
        self,
        service: Any,
        onResult: Callable[[int, Mapping[str, Any]], None],
        onOver: Callable[[TumorSynthError | None], None],
        onProgress: Callable[[str, float, float | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service, self._onResult, self._onOver, self._onProgress = service, onResult, onOver, onProgress
        self._clock = clock
        self._requests: list[Mapping[str, Any]] = []
        self._number = 0
        self._job: Any = None
        self._began = self._start = 0.0
        self.running = False
        """Whether one is being carried out."""

    def start(self, requests: Sequence[Mapping[str, Any]]) -> None:
        """Carry out requests; there is at least one, and nothing else is running."""
        self._requests, self._number = list(requests), 0
        self._began = self._clock()
        self.running = True
        self._next()

    def cancel(self) -> None:
        """End the one that is carried out, and do not begin another; ``onOver`` tells when that is done."""
        if self.running and self._job is not None:
            self._job.cancel()

    def _next(self) -> None:
        self._start = self._clock()
        self._report("waiting", 0.0, None)
        self._job = self._service.run(self._requests[self._number], self._done, self._failed, self._report)

    def _done(self, event: Mapping[str, Any]) -> None:
        number = self._number
        self._number += 1
        more = self._number < len(self._requests)
        if more:
            self._next()
        else:
            self.running, self._job = False, None
        self._onResult(number, event)
        if not more:
            self._onOver(None)

    def _failed(self, error: TumorSynthError) -> None:
        self.running, self._job = False, None
        self._onOver(error)

    def _report(self, stage: str, fraction: float, secondsLeft: float | None = None) -> None:
        count, now = len(self._requests), self._clock()
        left = None
        if secondsLeft is not None:
            finished = self._start - self._began
            each = finished / self._number if self._number else now - self._start + secondsLeft
            left = secondsLeft + (count - self._number - 1) * each
        self._onProgress(stage, (self._number + fraction) / count, left)
