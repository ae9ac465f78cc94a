"""Long work in short steps, so that the application never freezes.

Work is a generator that yields after every step of at most some tens of milliseconds, and returns its result. Threads are no
way out: Python's run only while the application runs Python.
"""

import sys
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from TumorSynthLib.errors import Cancelled, TumorSynthError

Value = TypeVar("Value")
Steps = Generator[None, None, Value]
"""Work that yields between its steps."""

TURN_SECONDS = 0.03
"""Work that is done before the application has its turn again."""


class Task(Generic[Value]):
    """Work that goes on whenever the application is idle.

    An error that nobody foresaw ends it too: Qt tells of it as of every error in a handler, and ``onFailed`` in short.

    Parameters
    ----------
    steps : the work.
    onDone : called with its result.
    onFailed : called with the error that ended it, ``Cancelled`` included.
    later : calls a function when the application is idle; None is Qt's event loop.
    """

    def __init__(
        self,
        steps: "Steps[Value]",
        onDone: Callable[[Value], None],
        onFailed: Callable[[TumorSynthError], None],
        later: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._steps, self._onDone, self._onFailed = steps, onDone, onFailed
        self._later = later or _whenIdle
        self.over = False
        """Whether it has ended, one way or the other."""
        self._later(self._turn)

    def cancel(self) -> None:
        """End it at once; what it has open is closed."""
        if not self.over:
            self.over = True
            self._steps.close()
            self._onFailed(Cancelled())

    def _turn(self) -> None:
        end = time.monotonic() + TURN_SECONDS
        while not self.over:
            foreseen = False
            try:
                next(self._steps)
                foreseen = True
            except StopIteration as stop:
                foreseen = self.over = True
                self._onDone(stop.value)
                return
            except TumorSynthError as error:
                foreseen = self.over = True
                self._onFailed(error)
                return
            finally:
                if not foreseen:  # whoever waits for it must not wait for ever
                    self.over = True
                    self._onFailed(_unforeseen())
            if time.monotonic() > end:
                self._later(self._turn)
                return


def _unforeseen() -> TumorSynthError:
    """The error for one that is being raised."""
    kind, error, _ = sys.exc_info()
    message = f"Something went wrong that should not: {getattr(kind, '__name__', kind)}: {error}."
    return TumorSynthError("internal", message, "The Python console tells more. Please report it with that text.")


def finished(steps: "Steps[Value]") -> Value:
    """The result of work that is done here and now."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


def _whenIdle(function: Callable[[], Any]) -> None:
    import qt

    qt.QTimer.singleShot(0, function)
