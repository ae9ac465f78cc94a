"""How long the application does not answer, and how often it does.

Tests count turns of the event loop, which go on while something is waited for, however busy the computer is; times against
the budget of 0.1 s are measured by ``Testing/benchmarks/bench_panel.py``.
"""

import gc
import time
from types import TracebackType

import qt

BEAT_MILLISECONDS = 10
TURNS = 10
"""Turns of the event loop that anything has which is waited for; none where the application waits instead."""


class Heartbeat:
    """Measures the longest time in which the event loop had no turn, from the start to the end of a ``with`` block.

    Examples
    --------
    ::

        with self.heartbeat() as beats:
            service.start()
            self.waitUntil(lambda: service.state == "ready")
        self.assertGreater(beats.count, TURNS)
    """

    def __init__(self) -> None:
        self.longest = 0.0
        """Seconds by the clock between two beats; on a busy computer others have their share in it."""
        self.longestWork = 0.0
        """Seconds that this thread itself computed between two beats."""
        self.count = 0
        """How many beats there were."""
        self._timer = qt.QTimer()
        self._timer.setTimerType(qt.Qt.PreciseTimer)
        self._timer.interval = BEAT_MILLISECONDS
        self._timer.connect("timeout()", self._beat)

    def __enter__(self) -> "Heartbeat":
        # What other tests have left in memory is not looked through by Python's collector meanwhile.
        gc.collect()
        gc.freeze()
        self._last = (time.perf_counter(), time.thread_time())
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.stop()
        self._measure()
        gc.unfreeze()

    def _beat(self) -> None:
        self.count += 1
        self._measure()

    def _measure(self) -> None:
        now = (time.perf_counter(), time.thread_time())
        self.longest = max(self.longest, now[0] - self._last[0])
        self.longestWork = max(self.longestWork, now[1] - self._last[1])
        self._last = now
