"""Temporary files of the console's jobs: a job's own go with it, that of a scan stays for the next edit of it."""

from pathlib import Path
from typing import Any

from TumorSynthSlicer.segments import maskSteps, writeMask
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.temporary_files import TemporaryFiles
from TumorSynthSlicer.volumes import ScanFile


class ScanFiles:
    """Files of the scans that are edited, and of the last one: a script may go through thousands.

    Parameters
    ----------
    files : where they are kept.
    """

    def __init__(self, files: TemporaryFiles) -> None:
        self._files = files
        self._scans = ScanFile(files.folder)
        self._users: list[Any] = []
        self._last: Any = None

    def job(self, volume: Any) -> "JobFiles":
        """The files of a job with a volume; None for one without."""
        last, self._last = self._last, self._last if volume is None else volume
        self._users.append(volume)
        self._tidy(last)
        return JobFiles(self._files, self._scans, volume, self._leave)

    def _leave(self, volume: Any) -> None:
        self._users.remove(volume)
        self._tidy(volume)

    def _tidy(self, volume: Any) -> None:
        if volume is not None and volume is not self._last and volume not in self._users:
            self._scans.forget(volume)


class JobFiles:
    """Files of one job.

    Parameters
    ----------
    files, scans : where they are.
    volume : the scan, or None.
    onClose : called with the volume at the end.
    """

    def __init__(self, files: TemporaryFiles, scans: ScanFile, volume: Any, onClose: Any) -> None:
        self._files, self._scans, self._onClose = files, scans, onClose
        self._made: list[Path] = []
        self.volume = volume
        """The scan, or None."""
        self.image: Path | None = None
        """The scan's file, once it is written."""

    def scan(self) -> Steps[str]:
        """Write the scan; its path, when all steps are done. Raises as ``ScanFile.steps``."""
        self.image = yield from self._scans.steps(self.volume)
        return str(self.image)

    def mask(self, segment: tuple[Any, str]) -> Steps[str]:
        """Write a segment on the scan's grid; its path, when all steps are done. Raises as ``segments.maskSteps``."""
        mask = yield from maskSteps(*segment, self.volume)
        self._made.append(self._files.newPath("mask.nrrd"))
        return str(writeMask(self._made[-1], mask, self.volume))

    def result(self) -> str:
        """A path for the result folder."""
        self._made.append(self._files.newPath("result"))
        return str(self._made[-1])

    def close(self) -> None:
        """Remove all but the scan's file."""
        for path in self._made:
            self._files.discard(path)
        self._onClose(self.volume)
