"""The output as DICOM, written by the library in a process of its own; the application goes on meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from TumorSynthLib.errors import Cancelled, TumorSynthError
from TumorSynthLib.worker_process import with_library
from TumorSynthSlicer.dicom_sources import exportEvent
from TumorSynthSlicer.qt_process import QtWorkerProcess

_PATIENCE_SECONDS = 5.0
"""How long a cancelled export may take to end."""


class DicomExport:
    """One export that runs; it starts at once.

    Parameters
    ----------
    command : of ``dicom_sources.exportCommand``.
    environment : of the process, see ``commands.WorkerChoice.environment``; the library is added to Python's path.
    onDone : called with the summary: ``out``, ``image``, ``segmentation``, ``warnings`` and so on, see ``exportEvent``.
    onFailed : called with the error that ended it, ``Cancelled`` included; nothing was written then.
    onProgress : called with the stage and the share of the whole, 0 to 1.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        onDone: Callable[[dict[str, Any]], None],
        onFailed: Callable[[TumorSynthError], None],
        onProgress: Callable[[str, float], None] | None = None,
    ) -> None:
        self._onDone, self._onFailed, self._onProgress = onDone, onFailed, onProgress
        self._summary: dict[str, Any] | None = None
        self._error: TumorSynthError | None = None
        self.over = False
        """Whether it has ended, one way or the other."""
        self._process = QtWorkerProcess(command, with_library(environment), self._onLine, self._onEnd)
        self._process.listen()

    @property
    def log(self) -> str:
        """What the process wrote beside its events."""
        return self._process.log

    def cancel(self) -> None:
        """Let it end and tidy up; it is killed where it takes too long, and then the next export beside it tidies up."""
        if not self.over:
            self._error = Cancelled()
            self._process.close(_PATIENCE_SECONDS)

    def _onLine(self, line: bytes | None) -> None:
        event = exportEvent(line)
        kind = event.get("event")
        if kind == "progress" and self._onProgress is not None:
            self._onProgress(event["stage"], event["fraction"])
        elif kind == "done":
            self._summary = event["result"]
        elif kind == "failed" and self._error is None:
            self._error = TumorSynthError(event["code"], event["message"], event["hint"])

    def _onEnd(self) -> None:
        self.over = True
        if self._summary is not None:
            self._onDone(self._summary)
        else:
            self._onFailed(self._error or self._process.died("before the DICOM series was written"))
