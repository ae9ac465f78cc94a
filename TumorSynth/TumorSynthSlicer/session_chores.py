"""Longer work that is no generation, and can be cancelled like one: a series comes into the scene, files are written."""

from collections.abc import Callable
from typing import Any

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.tasks import Steps, Task


class Chore:
    """Work in steps that goes on until ``onOver`` is called.

    Parameters
    ----------
    steps : the work.
    onDone : called with its result, before ``onOver``.
    onOver : called with the error that ended it, ``Cancelled`` included, or None.
    """

    def __init__(
        self, steps: Steps[Any], onDone: Callable[[Any], None], onOver: Callable[[TumorSynthError | None], None]
    ) -> None:
        self._onDone, self._onOver = onDone, onOver
        self._left = False
        self._task = Task(steps, self._done, self._failed)

    def cancel(self) -> None:
        """End it."""
        self._task.cancel()

    def leave(self) -> None:
        """End it, and call nobody any more."""
        self._left = True
        self._task.cancel()

    def _done(self, result: Any) -> None:
        if not self._left:
            self._left = True
            self._onDone(result)
            self._onOver(None)

    def _failed(self, error: TumorSynthError) -> None:
        if not self._left:
            self._left = True
            self._onOver(error)
