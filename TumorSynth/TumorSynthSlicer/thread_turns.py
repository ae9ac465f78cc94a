"""Lets Python's threads run in an application that otherwise keeps Python to its main thread."""

import time
from collections.abc import Callable

import qt

TURN_SECONDS = 0.005
"""How long threads run at a time; the application stands still meanwhile."""
BUSY, CALM = 10, 100
"""Milliseconds between turns, while threads have work and while they only may have."""


class ThreadTurns:
    """Gives turns to threads, at most one every few milliseconds.

    Parameters
    ----------
    onTurn : called after each turn, in the main thread.
    """

    def __init__(self, onTurn: Callable[[], None]) -> None:
        self._onTurn = onTurn
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._turn)
        self._pace = 0

    def setPace(self, milliseconds: int) -> None:
        """Milliseconds between turns, ``BUSY`` or ``CALM``; 0 gives none."""
        if milliseconds == self._pace:
            return
        self._pace = milliseconds
        if milliseconds:
            self._timer.start(milliseconds)
        else:
            self._timer.stop()

    def _turn(self) -> None:
        time.sleep(TURN_SECONDS)
        self._onTurn()
