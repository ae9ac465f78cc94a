"""The output as DICOM from first to last: its files are written in steps, then a process of its own makes DICOM of them."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.commands import WorkerChoice
from TumorSynthSlicer.dicom_export import DicomExport
from TumorSynthSlicer.dicom_sources import exportCommand, sourceFiles, writeFileList, writeResult
from TumorSynthSlicer.scans import scanFacts
from TumorSynthSlicer.tasks import Task


@dataclass(frozen=True)
class DicomWish:
    """What is written, and how it is to be called."""

    source: Any
    """The scan's node."""
    volume: Any
    """The output volume's node."""
    segmentation: Any
    """The tumors' node, or None."""
    edits: Sequence[Mapping[str, Any]]
    """Of ``outputs.manifestEntry``, oldest first."""
    out: Path
    """Folder to write; there must be none, or an earlier export and ``overwrite``."""
    patientId: str = ""
    """Empty is SYNTHETIC_ and the source's."""
    keepStudy: bool = False
    """Whether study and patient stay the source's."""
    seriesNumber: int | None = None
    """None is the source's plus 1000."""
    overwrite: bool = False
    """Whether an earlier export is replaced."""


class DicomChore:
    """One export, which can be cancelled like other work of the session.

    Parameters
    ----------
    wish : what is written.
    files : gives temporary files.
    choice : the worker's Python, which is used unless it is on another computer.
    onDone : called with the summary of the export, before ``onOver``.
    onOver : called with the error that ended it, ``Cancelled`` included, or None.
    onProgress : called with stage, share of all that is done, and None.
    """

    def __init__(
        self,
        wish: DicomWish,
        files: Any,
        choice: WorkerChoice,
        onDone: Callable[[dict[str, Any]], None],
        onOver: Callable[[TumorSynthError | None], None],
        onProgress: Callable[[str, float, float | None], None],
    ) -> None:
        self._wish, self._files, self._choice = wish, files, choice
        self._onDone, self._onOver, self._onProgress = onDone, onOver, onProgress
        self._folder, self._list = files.newPath("dicom"), files.newPath("slices.txt")
        self._export: DicomExport | None = None
        self._left = False
        steps = writeResult(self._folder, wish.source, wish.volume, wish.segmentation, wish.edits)
        self._task = Task(steps, self._begin, self._over)

    def cancel(self) -> None:
        """End it."""
        self._task.cancel()
        if self._export is not None:
            self._export.cancel()

    def leave(self) -> None:
        """End it, and call nobody any more."""
        self._left = True
        self.cancel()

    def _begin(self, folder: Path) -> None:
        wish = self._wish
        slices = sourceFiles(wish.source)
        options = {"patientId": wish.patientId, "keepStudy": wish.keepStudy, "seriesNumber": wish.seriesNumber}
        try:
            source = writeFileList(self._list, slices) if slices else None
            words = [sys.executable] if self._choice.inline else self._choice.words()
            modality = scanFacts(wish.source).modality
            command = exportCommand(words, folder, wish.out, source, modality=modality, overwrite=wish.overwrite, **options)
            environment = self._choice.environment()
            self._export = DicomExport(command, environment, self._finished, self._over, self._progress)
        except TumorSynthError as error:
            self._over(error)

    def _progress(self, stage: str, fraction: float) -> None:
        if not self._left:
            self._onProgress(stage, fraction, None)

    def _finished(self, summary: dict[str, Any]) -> None:
        if not self._left:
            self._onDone(summary)
        self._over(None)

    def _over(self, error: TumorSynthError | None) -> None:
        for path in (self._folder, self._list):
            self._files.discard(path)
        if not self._left:
            self._left = True
            self._onOver(error)
