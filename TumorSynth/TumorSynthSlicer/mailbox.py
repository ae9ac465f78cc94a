"""Calls that are made later, by the event loop and in the main thread, whoever asked for them."""

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import qt

TURN_SECONDS = 0.03
"""Time for calls before the application has its turn again."""


class Mailbox:
    """Makes calls in the order in which they were posted, none from inside of another's caller.

    A call that raises is told of by Qt as every error in a handler, and those after it are made all the same. A call may run
    the event loop; those after it are then made from there.
    """

    def __init__(self) -> None:
        self._calls: deque[Callable[[], Any]] = deque()
        self._thread = threading.get_ident()
        self._waits = False

    def post(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function later; from another thread than the main one ``wake`` has to follow in that."""
        self._calls.append(partial(function, *arguments))
        if threading.get_ident() == self._thread:
            self.wake()

    def wake(self) -> None:
        """See to it that what was posted is called."""
        if self._calls and not self._waits:
            self._waits = True
            qt.QTimer.singleShot(0, self._deliver)

    def _deliver(self) -> None:
        self._waits = False
        end = time.monotonic() + TURN_SECONDS
        try:
            while self._calls and time.monotonic() < end:
                self._calls.popleft()()
        finally:
            self.wake()
