"""An event loop that keeps Python to the main thread while it waits, as the application's does and PySide6's does not."""

import ctypes
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt


def processEventsFunction() -> Any:
    """Qt's own ``processEvents``, called without giving Python away; None where it is not found."""
    try:
        from PySide6 import QtCore
    except ImportError:
        return None
    folder = Path(QtCore.__file__).parent
    if sys.platform != "linux" or not (found := sorted(folder.glob("Qt/lib/libQt6Core.so.6"))):
        return None
    function = ctypes.PyDLL(str(found[0]))["_ZN16QCoreApplication13processEventsE6QFlagsIN10QEventLoop17ProcessEventsFlagEE"]
    function.argtypes, function.restype = [ctypes.c_int], None
    return function


WAIT_FOR_MORE = 4
"""``QEventLoop::WaitForMoreEvents``."""


def runUntil(condition: Callable[[], object], seconds: float) -> bool:
    """Run the event loop until something is so; whether it was in time. No other thread runs unless somebody lets it."""
    process = processEventsFunction()
    clock = qt.QTimer()  # wakes the loop, so that it ends in time
    clock.start(50)
    end = time.monotonic() + seconds
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)  # so that only who waits gives Python away
    try:
        while not condition() and time.monotonic() < end:
            process(WAIT_FOR_MORE)
    finally:
        clock.stop()
        sys.setswitchinterval(interval)
    return bool(condition())
