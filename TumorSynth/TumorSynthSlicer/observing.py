"""Observers of nodes that do not keep alive what they observe no longer."""

from collections.abc import Callable
from typing import Any


class Observing:
    """What ``slicer.util.VTKObservationMixin`` does, which never lets go of an object that it has observed once.

    A volume that was removed from the scene, and is still held by somebody, would keep its memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self._observed: dict[Any, dict[tuple[Any, Callable[..., Any]], int]] = {}

    def addObserver(self, observed: Any, event: Any, method: Callable[..., Any]) -> None:
        """Call a method for an event, once even if it is asked for again."""
        tags = self._observed.setdefault(observed, {})
        if (event, method) not in tags:
            tags[event, method] = observed.AddObserver(event, method)

    def hasObserver(self, observed: Any, event: Any, method: Callable[..., Any]) -> bool:
        """Whether a method is called for an event."""
        return (event, method) in self._observed.get(observed, {})

    def removeObserver(self, observed: Any, event: Any, method: Callable[..., Any]) -> None:
        """Call it no longer; nothing happens where it was not called."""
        tags = self._observed.get(observed, {})
        tag = tags.pop((event, method), None)
        if tag is not None:
            observed.RemoveObserver(tag)
        if not tags:
            self._observed.pop(observed, None)

    def removeObservers(self) -> None:
        """Call nothing any more."""
        for observed in list(self._observed):
            self._release(observed)

    def releaseRemoved(self) -> None:
        """Let go of nodes that are no longer in the scene."""
        for observed in [one for one in self._observed if one.IsA("vtkMRMLNode") and one.GetScene() is None]:
            self._release(observed)

    def _release(self, observed: Any) -> None:
        for tag in self._observed.pop(observed).values():
            observed.RemoveObserver(tag)
