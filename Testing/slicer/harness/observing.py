"""Observing nodes from widgets, which may be gone when a node tells something."""

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
import vtk


class Observations:
    """What a widget observes. Its methods are not called after its end, and are not what keeps it alive.

    Parameters
    ----------
    owner : the widget.
    """

    def __init__(self, owner: Any) -> None:
        self._owner = weakref.ref(owner)
        self._tags: list[tuple[Any, int]] = []

    def add(self, observed: Any, events: tuple[Any, ...], method: Callable[[Any, Any, str], None]) -> None:
        """Call ``method(widget, caller, event)`` for events of a node or scene."""
        owner = self._owner

        def call(caller: Any, event: str) -> None:
            widget = owner()
            if widget is not None and shiboken6.isValid(widget):
                method(widget, caller, event)

        self._tags += [(observed, observed.AddObserver(event, call)) for event in events]

    def addWithNode(self, observed: Any, event: Any, method: Callable[[Any, Any], None]) -> None:
        """Call ``method(widget, node)`` for an event of a scene that is about a node."""
        owner = self._owner

        def call(caller: Any, event: str, node: Any) -> None:
            widget = owner()
            if widget is not None and shiboken6.isValid(widget):
                method(widget, node)

        call.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
        self._tags.append((observed, observed.AddObserver(event, call)))

    def clear(self) -> None:
        """Observe nothing any longer."""
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags = []

    def __del__(self) -> None:
        self.clear()
