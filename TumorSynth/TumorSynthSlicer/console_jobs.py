"""Work that the console has begun: it can be waited for, cancelled, or followed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt

from TumorSynthLib.errors import Cancelled, TumorSynthError
from TumorSynthSlicer.tasks import Steps, Task

Progress = Callable[[str, float, float | None], None]
"""Called with stage, share of all that is done, and seconds left or None."""


@dataclass(frozen=True)
class EditResult:
    """What an operation has made."""

    volume: Any
    """The new volume's node, marked as synthetic; None for a shape alone."""
    segmentation: Any
    """The new segmentation's node."""
    result: Mapping[str, Any]
    """Contents of ``result.json``."""
    folder: Path
    """The result folder, until the application ends."""
    browser: Any = None
    """The sequence browser of a growing tumor; ``volume`` and ``segmentation`` are then what it shows."""

    @property
    def measured(self) -> dict[str, float]:
        """Measured features by PyRadiomics name."""
        return dict(self.result.get("measured", {}))

    @property
    def warnings(self) -> list[str]:
        """What the user should know."""
        return list(self.result.get("warnings", []))


class ConsoleJob:
    """Work in three parts: files are prepared, the worker works, the result comes into the scene.

    Parameters
    ----------
    progress : follows it; None where nobody does.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress or (lambda stage, fraction, left: None)
        self._waiting: list[Any] = []
        self._callbacks: list[Callable[[ConsoleJob], Any]] = []
        self._part: Any = None
        self.state = "running"
        """``running``, ``done``, ``failed`` or ``cancelled``."""
        self.result: Any = None
        """What was made."""
        self.error: TumorSynthError | None = None
        """Why there is nothing."""

    @property
    def done(self) -> bool:
        """Whether it is over, one way or the other."""
        return self.state != "running"

    def follow(self, part: Any) -> None:
        """What goes on now, and is cancelled with the job."""
        self._part = part

    def report(self, stage: str, fraction: float, secondsLeft: float | None = None) -> None:
        """Tell whoever follows it."""
        if not self.done:
            self._progress(stage, fraction, secondsLeft)

    def cancel(self) -> None:
        """End it; nothing comes into the scene."""
        if not self.done and self._part is not None:
            self._part.cancel()

    def wait(self) -> Any:
        """The result, when it is there. The application goes on meanwhile.

        Raises
        ------
        TumorSynthError : why there is none, ``Cancelled`` included.
        """
        if not self.done:
            loop = qt.QEventLoop()
            self._waiting.append(loop)
            loop.exec_()
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
        self._end("cancelled" if cancelled else "failed", None, error)

    def _end(self, state: str, result: Any, error: TumorSynthError | None) -> None:
        if self.done:
            return
        self.state, self.result, self.error = state, result, error
        for callback in self._callbacks:
            callback(self)
        for loop in self._waiting:
            loop.quit()
        self._callbacks, self._waiting, self._part = [], [], None


def start(
    job: ConsoleJob,
    service: Any,
    prepared: Steps[Mapping[str, Any]],
    load: Callable[[Path], Steps[Any]],
    clean: Callable[[], None],
) -> None:
    """Carry out a request.

    Parameters
    ----------
    job : told of everything.
    service : the worker.
    prepared : makes the files and gives the request.
    load : brings the result folder into the scene, and gives what the job's result is.
    clean : called at the end, to remove files that only the worker needed.
    """
    job.onDone(lambda ended: clean())

    def run(request: Mapping[str, Any]) -> None:
        job.follow(service.run(request, made, job.fail, job.report))

    def made(event: Mapping[str, Any]) -> None:
        job.report("loading", 1.0)
        job.follow(Task(load(Path(event["result"])), job.finish, job.fail))

    job.report("preparing", 0.0)
    job.follow(Task(prepared, run, job.fail))
