"""Files of this application's time: one folder, removed when it ends, or by the next one when it was killed."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import slicer

from TumorSynthLib.errors import OutputError
from TumorSynthLib.file_lock import FileLock
from TumorSynthSlicer.qt_process import killAll

_PREFIX = "TumorSynth-"
_LOCK = "lock"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ELSEWHERE = "The temporary folder can be changed in Edit > Application Settings > General."
MEGABYTE = 1 << 20


class TemporaryFiles:
    """A folder of this Slicer, readable by its user alone. Leftovers of others that no longer run are removed first.

    Its lock is held as long as this process lives, however it ends, which says more than a number that is used again.

    Parameters
    ----------
    parent : where it is made; None is where the application's temporary files are.

    Raises
    ------
    OutputError : when it cannot be made.
    """

    def __init__(self, parent: str | Path | None = None) -> None:
        place = Path(slicer.app.temporaryPath if parent is None else parent)
        self.folder = place / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        """Where the files are."""
        self._lock = FileLock(self.folder / _LOCK)
        with self.writing(self.folder, 0):
            self._claim()
        _sweep(place)
        slicer.app.connect("aboutToQuit()", self._quit)

    def path(self, name: str) -> Path:
        """A path in the folder."""
        return self.folder / name

    def newPath(self, name: str) -> Path:
        """A path in the folder that was never given before, for example of a result."""
        stem, dot, ending = name.partition(".")
        return self.folder / f"{stem}-{secrets.token_hex(4)}{dot}{ending}"

    def discard(self, path: str | Path) -> None:
        """Remove a file or folder of this folder, if it is there; others are left alone."""
        found = Path(path)
        if self.folder in found.parents:
            _remove(found)

    def checkSpace(self, size: int) -> None:
        """Raise an ``OutputError`` unless so many bytes can be written."""
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise _full(self.folder, size, free)

    @contextmanager
    def writing(self, path: str | Path, size: int) -> Iterator[None]:
        """Tell of a disk that is full or read-only as an ``OutputError`` with path and size; what is half-written goes.

        Parameters
        ----------
        path : what is written inside of the ``with`` block.
        size : its bytes.
        """
        try:
            yield
        except OSError as error:
            _remove(Path(path))
            if error.errno in _FULL or getattr(error, "winerror", None) == 112:
                raise _full(Path(path), size, shutil.disk_usage(_existing(Path(path))).free) from error
            raise OutputError("output.failed", f"{path} cannot be written: {error.strerror or error}.", _ELSEWHERE) from error

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _claim(self) -> None:
        """Make the folder and hold its lock; another Slicer may sweep it in the moment between."""
        while not self._lock.path.is_file():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            try:
                self._lock.take()
            except OSError:
                if not self._lock.path.is_file():
                    raise
                return  # the file system has no locks: nobody sweeps this folder

    def _quit(self) -> None:
        killAll()  # a worker would still write here
        self.close()


def _full(path: Path, size: int, free: int) -> OutputError:
    message = f"The disk is full: {path} needs {size / MEGABYTE:.1f} MB, {free / MEGABYTE:.1f} MB are free."
    return OutputError("output.disk_full", message, f"Free some space. {_ELSEWHERE}")


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return path if path.exists() or path == path.parent else _existing(path.parent)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # what is not there, or cannot be reached
            path.unlink()


def _sweep(place: Path) -> None:
    """Remove the folders of applications that no longer run."""
    for folder in place.glob(f"{_PREFIX}*"):
        lock = FileLock(folder / _LOCK)
        with suppress(OSError):
            own = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
            if own and not folder.is_symlink() and lock.path.is_file() and lock.take():
                lock.release()
                shutil.rmtree(folder, ignore_errors=True)
