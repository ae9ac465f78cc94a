"""The stages of a run: how long each took, and where each lies on a single progress bar."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Progress = Callable[[str, float], None]
"""Called with a stage and the share of it, or of the whole run, that is done; may raise ``Cancelled``."""
SHARES = {"reading": 0.1, "shape": 0.2, "sampling": 0.7, "compositing": 0.85, "measuring": 0.95, "writing": 1.0}
"""Where each stage ends on a single progress bar."""


@dataclass
class Timer:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def overall(progress: Progress | None) -> Progress:
    """A progress callback per stage from one for the whole run (0 to 1)."""
    starts = dict(zip(SHARES, [0.0, *list(SHARES.values())[:-1]], strict=True))

    def report(stage: str, share: float) -> None:
        if progress is not None:
            progress(stage, starts[stage] + share * (SHARES[stage] - starts[stage]))

    return report


def part_of(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Progress of one of several equal parts of a run."""
    if progress is None:
        return None
    return lambda stage, share: progress(stage, (number + share) / count)


def alive(progress: Progress, stage: str) -> Callable[[], None]:
    """A callback that does nothing but let the run be cancelled."""
    return lambda: progress(stage, 0.0)
