"""Locks on files that the system gives back however their holder ends (standard library only)."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

POLL_SECONDS = 0.1
"""Time between two tries for a lock that somebody holds."""


class FileLock:
    """An exclusive lock on a file, which is made where it is missing and stays when the lock is released.

    It holds between the threads and processes of one computer, and between the computers of a shared folder whose file
    system has locks, such as NFS. When its process is killed, the system releases it.

    Parameters
    ----------
    path : the file, in a folder that exists.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lock"
    >>> first, second = FileLock(path), FileLock(path)
    >>> first.take(), second.take()
    (True, False)
    >>> first.release()
    >>> second.take()
    True
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def take(self) -> bool:
        """Take the lock unless somebody holds it; whether it is held now.

        Raises
        ------
        OSError : when the file cannot be made, or the file system has no locks.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError | PermissionError):
                return False
            raise
        self._descriptor = descriptor
        return True

    def wait(self, seconds: float, check: Callable[[], None] | None = None) -> bool:
        """Take the lock as soon as it is free; whether that was within so many seconds.

        Parameters
        ----------
        seconds : how long to try.
        check : called before each try; may raise to give up.
        """
        end = time.monotonic() + seconds
        while True:
            if check is not None:
                check()
            if self.take():
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(POLL_SECONDS)

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(descriptor: int) -> None:
    """Lock an open file, or raise ``BlockingIOError`` (on Windows ``PermissionError``) where somebody else has."""
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
