"""The temporary folder of a worker (standard library only).

It is readable by its owner alone. Its lock is held as long as the worker lives, so that the next worker knows what a killed one
has left and sweeps it.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from TumorSynthLib.file_lock import FileLock

_PREFIX = "tumorsynth-"
_LOCK = "lock"


def sweep() -> None:
    """Remove the folders of this user's workers that no longer live."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), FileLock(folder / _LOCK) as lock:
            own = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
            if own and not folder.is_symlink() and lock.path.is_file() and lock.take():
                lock.release()
                shutil.rmtree(folder, ignore_errors=True)


def claimed_folder() -> tuple[Path, FileLock]:
    """A new folder and its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = FileLock(folder / _LOCK)
        with suppress(FileNotFoundError):  # another worker swept it before it was locked
            if lock.take() and lock.path.is_file():
                return folder, lock
