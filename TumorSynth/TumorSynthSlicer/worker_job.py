"""What somebody asked the worker for, from the question to the answer."""

from collections.abc import Callable, Mapping
from typing import Any

import qt

from TumorSynthLib.errors import Cancelled, TumorSynthError

Event = dict[str, Any]
Done = Callable[[Event], Any]
Failed = Callable[[TumorSynthError], Any]
Progress = Callable[[str, float, float], Any]


class Job:
    """An edit or an inquiry; made by ``WorkerService``.

    Parameters
    ----------
    values : the request.
    kind : of an inquiry; a newer one of the same kind takes its place while it waits.
    onDone : called with the ``done`` event; that of a preview has its mask too.
    onFailed : called with the error, ``Cancelled`` included, but not when a newer one has taken its place.
    onProgress : called with stage, fraction and seconds left.
    onPreview : called with the ``preview`` event of an edit.
    cancel : called with this when the user cancels.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        kind: str | None,
        onDone: Done | None,
        onFailed: Failed | None,
        onProgress: Progress | None,
        onPreview: Done | None,
        cancel: "Callable[[Job], None]",
    ) -> None:
        self.values, self.kind = dict(values), kind
        self.onDone, self.onFailed, self.onProgress, self.onPreview = onDone, onFailed, onProgress, onPreview
        self._cancel = cancel
        self._loops: list[qt.QEventLoop] = []
        self.name: str | int = ""
        """Its id at the worker, once it has been sent."""
        self.state = "waiting"
        """``waiting``, ``running``, ``cancelling``, ``done``, ``failed`` or ``cancelled``."""
        self.result: Event | None = None
        """The ``done`` event."""
        self.error: TumorSynthError | None = None
        """Why there is none."""
        self.shown: Event = {}
        """The last ``preview`` event."""
        self.heard = False
        """Whether the worker itself has said anything about it."""

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self.state in ("done", "failed", "cancelled")

    def cancel(self) -> None:
        """Nobody wants it any more; ``onFailed`` gets ``Cancelled`` within a second."""
        if not self.over and self.state != "cancelling":
            self._cancel(self)

    def wait(self) -> Event:
        """The ``done`` event, when it has come. The application goes on meanwhile, so anything may happen in it.

        Raises
        ------
        TumorSynthError : why there is no result, ``Cancelled`` included.
        """
        if not self.over:
            loop = qt.QEventLoop()
            self._loops.append(loop)
            loop.exec_()
        if self.result is None:
            raise self.error or Cancelled()
        return self.result

    def release(self) -> None:
        """Let those go on who wait."""
        for loop in self._loops:
            loop.quit()
        self._loops.clear()
