"""One request on its way to a worker that does not see its client's files (standard library only)."""

import time
from dataclasses import dataclass, field
from typing import Any

from TumorSynthLib.errors import Cancelled
from TumorSynthLib.inline_results import IncomingResult

PROGRESS_SECONDS = 0.1
"""Least time between two progress events."""


class Over(Exception):
    """The order has ended by what the worker said."""


@dataclass
class Moving:
    """Files on their way in one direction."""

    stage: str
    """``sending`` or ``returning``."""
    since: float = field(default_factory=time.monotonic)
    """When that began."""
    told: float = 0.0
    """When progress was told last."""


@dataclass(eq=False)
class Order:
    """A request on its way."""

    name: str | int
    """Its id."""
    own: dict[str, Any]
    """The request as the user made it."""
    result: IncomingResult | None
    """What comes back, if a result is wanted."""
    sent: dict[str, Any] = field(default_factory=dict)
    """The request as the worker has it; empty until then."""
    texts: dict[str, str] = field(default_factory=dict)
    """The user's paths by the names that the worker has for them."""
    start: float = 0.0
    """Where on the progress bar the worker begins."""
    moving: Moving = field(default_factory=lambda: Moving(""))
    """How far files have come."""
    error: Exception | None = None
    """Why the result cannot be taken."""
    cancelled: bool = False
    """Whether nobody wants it any more."""
    over: bool = False
    """Whether its last event has come."""

    def check(self) -> None:
        """Raise when there is nothing more to do."""
        if self.over:
            raise Over
        if self.cancelled:
            raise Cancelled

    def progress(self, stage: str, span: tuple[float, float], share: float) -> dict[str, Any] | None:
        """A progress event for files on their way, unless there was one a moment ago.

        Parameters
        ----------
        stage : ``sending`` or ``returning``.
        span : where the stage lies on the progress bar.
        share : of the stage that is done.
        """
        if self.moving.stage != stage:
            self.moving = Moving(stage)
        now = time.monotonic()
        if share < 1.0 and now - self.moving.told < PROGRESS_SECONDS:
            return None
        self.moving.told = now
        left = (now - self.moving.since) * (1.0 - share) / max(share, 1e-3)
        fraction = span[0] + (span[1] - span[0]) * share
        told = {"stage": stage, "fraction": round(fraction, 4), "seconds_left": round(left, 1)}
        return {"event": "progress", "id": self.name, **told}
