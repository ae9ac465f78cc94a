"""Waiting at the console while the application goes on, until the work is over, the user gives up or the application ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import qt

_PULSE_MILLISECONDS = 100
"""Python notices Ctrl+C only while it runs, which it does not do in an event loop without work."""


@contextmanager
def interruptible(cancel: Callable[[], Any]) -> Iterator[None]:
    """Let Ctrl+C in the terminal that the application was started from cancel what is waited for inside of the ``with`` block.

    Parameters
    ----------
    cancel : called from the event loop.

    Raises
    ------
    KeyboardInterrupt : at the end of the block, when it was pressed.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield  # somebody else than Python listens
        return
    pressed: list[int] = []
    pulse = qt.QTimer()
    pulse.connect("timeout()", lambda: pressed and cancel())
    pulse.start(_PULSE_MILLISECONDS)
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        pulse.stop()
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
