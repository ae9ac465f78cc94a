"""Work that the console has begun: it can be waited for, cancelled, or followed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
import slicer.util

from TumorSynthLib.errors import Cancelled, TumorSynthError
from TumorSynthSlicer.console_files import JobFiles
from TumorSynthSlicer.console_wait import interruptible
from TumorSynthSlicer.tasks import Steps, Task

Progress = Callable[[str, float, float | None], None]
"""Called with stage, share of all that is done, and seconds left or None. When it raises, the work is cancelled."""


class Abandoned(Cancelled):
    """The scene or the application was closed before the work was over.

    Parameters
    ----------
    closed : which of them.
    """

    def __init__(self, closed: str) -> None:
        TumorSynthError.__init__(self, "cancelled", f"The {closed} was closed before the work was over.", "Nothing was made.")


class ConsoleJob(slicer.util.VTKObservationMixin):
    """Work in three parts: files are prepared, the worker works, the result comes into the scene.

    Parameters
    ----------
    progress : follows it; None where nobody does.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        super().__init__()
        self._progress = progress or (lambda stage, fraction, left: None)
        self._waiting: list[Any] = []
        self._callbacks: list[Callable[[ConsoleJob], Any]] = []
        self._part: Any = None
        self._unwanted = False
        self._reason: TumorSynthError | None = None
        self.state = "running"
        """``running``, also while others are before it, ``done``, ``failed`` or ``cancelled``."""
        self.result: Any = None
        """What was made."""
        self.error: TumorSynthError | None = None
        """Why there is nothing."""
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.StartCloseEvent, self._onStartClose)

    def __repr__(self) -> str:
        return f"<ConsoleJob {self.state}{'' if self.error is None else f': {self.error}'}>"

    @property
    def done(self) -> bool:
        """Whether it is over, one way or the other."""
        return self.state != "running"

    def follow(self, part: Any) -> None:
        """What goes on now, and is cancelled with the job."""
        self._part = part
        if self._unwanted and not self.done:
            part.cancel()

    def report(self, stage: str, fraction: float, secondsLeft: float | None = None) -> None:
        """Tell whoever follows it."""
        if self.done:
            return
        told = False
        try:
            self._progress(stage, fraction, secondsLeft)
            told = True
        finally:
            if not told:
                self.cancel()

    def cancel(self) -> None:
        """End it; nothing comes into the scene. It is over within a second."""
        self._unwanted = True
        if not self.done and self._part is not None:
            self._part.cancel()

    def wait(self) -> Any:
        """The result, when it is there. The application goes on meanwhile; Ctrl+C in its terminal cancels the work.

        Raises
        ------
        TumorSynthError : why there is none; ``Cancelled`` also when scene or application are closed meanwhile.
        KeyboardInterrupt : after Ctrl+C.
        """
        if not self.done:
            loop = qt.QEventLoop()
            self._waiting.append(loop)
            with interruptible(self.cancel):
                loop.exec_()
        if not self.done:  # the application ends all its loops when it quits
            self._abandon("application")
        if self.error is not None:
            raise self.error
        return self.result

    def onDone(self, callback: "Callable[[ConsoleJob], Any]") -> None:
        """Have a function called with the job when it is over, at once where it is."""
        if self.done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def finish(self, result: Any) -> None:
        """It has a result."""
        self._end("done", result, None)

    def fail(self, error: TumorSynthError) -> None:
        """It has none."""
        cancelled = isinstance(error, Cancelled) or error.code == "cancelled"
        self._end("cancelled" if cancelled else "failed", None, self._reason or error)

    def _onStartClose(self, scene: Any, event: str) -> None:
        self._abandon("scene")

    def _abandon(self, closed: str) -> None:
        """End it now, whatever its part still does."""
        self._reason = Abandoned(closed)
        self.cancel()
        self.fail(self._reason)

    def _end(self, state: str, result: Any, error: TumorSynthError | None) -> None:
        if self.done:
            return
        self.removeObservers()
        self.state, self.result, self.error = state, result, error
        waiting, callbacks = self._waiting, self._callbacks
        self._waiting, self._callbacks, self._part = [], [], None
        for loop in waiting:
            loop.quit()
        for callback in callbacks:
            callback(self)


def start(
    job: ConsoleJob, service: Any, files: JobFiles, prepared: Steps[Mapping[str, Any]], load: Callable[[Path], Steps[Any]]
) -> None:
    """Carry out a request, after those that wait.

    Parameters
    ----------
    job : told of everything.
    service : the worker.
    files : of the job; they are removed when it is over.
    prepared : makes the files and gives the request.
    load : brings the result folder into the scene, and gives what the job's result is.
    """
    job.onDone(lambda ended: files.close())

    def run(request: Mapping[str, Any]) -> None:
        job.follow(service.run(request, made, job.fail, job.report))

    def made(event: Mapping[str, Any]) -> None:
        job.follow(Task(load(Path(event["result"])), job.finish, job.fail))
        job.report("loading", 1.0)

    job.follow(Task(prepared, run, job.fail))
    job.report("preparing", 0.0)
