"""One progress bar over all lines of a batch, with the rate and the time left."""

import time
from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with a text and the fraction of the whole batch that is done; may raise ``Cancelled``."""


class BatchProgress:
    """Adds up what lines tell of themselves.

    Parameters
    ----------
    progress : who is told; None is nobody.
    total : number of lines.
    clock : tells the time in seconds.

    Examples
    --------
    >>> times = iter([0.0, 60.0])
    >>> progress = BatchProgress(lambda text, fraction: print(text, fraction), 5, lambda: next(times))
    >>> progress.settled(); progress.begin(); progress.settled(); progress.move(3, "sampling", 0.5)
    2/5 sampling, 1.5/min, 2 min left 0.5
    """

    def __init__(self, progress: Progress | None, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._total = total
        self._clock = clock
        self._settled = 0
        self._before = 0
        self._start: float | None = None
        self._parts: dict[int, float] = {}

    def check(self) -> None:
        """Tell that a line is looked at before the first one runs."""
        self._tell(f"{self._settled}/{self._total} looked at")

    def begin(self) -> None:
        """From here on lines run; those that were settled before do not count for the rate."""
        self._before, self._start = self._settled, self._clock()

    def settled(self, number: int | None = None) -> None:
        """A line is over."""
        self._settled += 1
        self._parts.pop(number or 0, None)

    def drop(self, number: int) -> None:
        """A line must run again from its start."""
        self._parts.pop(number, None)

    def move(self, number: int, stage: str, fraction: float) -> None:
        """A running line has come so far."""
        self._parts[number] = min(max(fraction, 0.0), 1.0)
        what = stage if len(self._parts) < 2 else f"{len(self._parts)} running"
        self._tell(f"{self._settled}/{self._total} {what}".rstrip() + self._pace())

    def _pace(self) -> str:
        """Lines per minute and the time left, as soon as a line has run."""
        if self._start is None or self._settled == self._before:
            return ""
        ran = self._settled - self._before + sum(self._parts.values())
        per_second = ran / max(self._clock() - self._start, 1e-6)
        left = (self._total - self._before - ran) / per_second
        return f", {60.0 * per_second:.3g}/min, {_duration(left)} left"

    def _tell(self, text: str) -> None:
        if self._progress is not None:
            self._progress(text, (self._settled + sum(self._parts.values())) / self._total)


def _duration(seconds: float) -> str:
    """A time in its fitting unit.

    >>> _duration(40.0), _duration(600.0), _duration(20000.0)
    ('40 s', '10 min', '5.6 h')
    """
    if seconds < 100.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 6000.0 else f"{seconds / 3600.0:.1f} h"
