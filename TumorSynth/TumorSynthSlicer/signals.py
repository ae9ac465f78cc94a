"""A signal without Qt, so that what stands below the panel is tested without it."""

from collections.abc import Callable
from typing import Any


class Signal:
    """Calls what is connected to it, in the order in which it was connected.

    Examples
    --------
    >>> told = []
    >>> moved = Signal()
    >>> moved.connect(told.append)
    >>> moved.emit(3)
    >>> moved.disconnect(told.append)
    >>> moved.emit(4)
    >>> told
    [3]
    """

    def __init__(self) -> None:
        self._slots: list[Callable[..., Any]] = []

    def connect(self, slot: Callable[..., Any]) -> None:
        """Call ``slot`` with the arguments of every ``emit``."""
        self._slots.append(slot)

    def disconnect(self, slot: Callable[..., Any]) -> None:
        """Do so no longer; nothing happens where it was not connected."""
        if slot in self._slots:
            self._slots.remove(slot)

    def emit(self, *arguments: Any) -> None:
        """Call everyone who is connected now."""
        for slot in list(self._slots):
            slot(*arguments)
