"""Work that is put off for a moment, so that many reasons for it cause it once."""

from collections.abc import Callable
from typing import Any

import qt


class Delayed:
    """Calls a function once, some milliseconds after the first of several requests.

    Parameters
    ----------
    milliseconds : how long it is put off; the function then sees the latest state of everything.
    function : what is called.
    """

    def __init__(self, milliseconds: int, function: Callable[[], Any]) -> None:
        self._function = function
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(milliseconds)
        self._timer.connect("timeout()", self._fire)

    @property
    def waits(self) -> bool:
        """Whether it is to be called."""
        return bool(self._timer.isActive())

    def ask(self) -> None:
        """Call it soon."""
        if not self._timer.isActive():
            self._timer.start()

    def stop(self) -> None:
        """Do not call it, if it was to be."""
        self._timer.stop()

    def now(self) -> None:
        """Call it at once, if it was to be."""
        if self._timer.isActive():
            self._timer.stop()
            self._function()

    def _fire(self) -> None:
        self._function()
