"""How long the application does not answer.

The budget is 0.1 s on a quiet computer. Tests allow more, as they run beside others: they are to find what is far too slow.
"""

import gc
import time
from types import TracebackType

import qt

BEAT_MILLISECONDS = 10
REFERENCE_SECONDS = 0.0025
"""Processor time that ``_work`` takes on the computer on which the limits were set, when that is quiet."""


class Heartbeat:
    """Measures the longest time in which the event loop had no turn, from the start to the end of a ``with`` block.

    Examples
    --------
    ::

        with self.heartbeat() as beats:
            service.start()
            self.waitUntil(lambda: service.state == "ready")
        self.assertLess(beats.longestWork, beats.limit(0.25))
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

    def limit(self, seconds: float) -> float:
        """A limit in seconds, for a slower or busier computer than the one on which limits were set as much longer."""
        return seconds * max(1.0, sorted(_work() for _ in range(5))[2] / REFERENCE_SECONDS)

    def _beat(self) -> None:
        self.count += 1
        self._measure()

    def _measure(self) -> None:
        now = (time.perf_counter(), time.thread_time())
        self.longest = max(self.longest, now[0] - self._last[0])
        self.longestWork = max(self.longestWork, now[1] - self._last[1])
        self._last = now


def _work() -> float:
    """Processor time of some work of the kind that the application does."""
    begin, parts = time.thread_time(), []
    for number in range(20000):
        parts.append(f"{number * 3 % 1000}")
    sorted(parts)
    return time.thread_time() - begin
