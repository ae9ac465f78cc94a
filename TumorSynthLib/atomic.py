"""Folders that appear whole or not at all (standard library only).

A folder is filled under the name ``.partial-<pid>-<hex>`` (the number begins with a mark of the computer) beside its
destination and renamed into place. What a killed run leaves behind is swept by the next run that writes beside it.
"""

import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from TumorSynthLib.errors import OutputError

_PARTIAL = re.compile(r"\.partial-(\d+)-([0-9a-f]+)")
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Stands in the name of a folder that this computer fills: on a shared disk only it knows which of its processes live."""
_TOKEN = 12
_DAY = 86_400.0


class AtomicFolder:
    """A folder under construction; leaving the ``with`` block without ``commit`` removes every trace of it.

    Parameters
    ----------
    out : the destination. Missing parent folders are made.
    overwrite : whether an existing destination is replaced.
    marker : file that an existing destination must hold to be replaced, so that a slip of the pen deletes
        nobody's other folders. An empty folder may be replaced too.

    Raises
    ------
    OutputError : ``output.exists`` when the destination exists and may not be replaced, ``output.foreign`` when it is
        not a folder of the kind that ``marker`` tells, ``output.failed`` when the file system refuses.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "new"
    >>> with AtomicFolder(place, marker="result.json") as folder:
    ...     _ = folder.path("result.json").write_text("{}")
    ...     done = folder.commit()
    >>> [item.name for item in done.iterdir()]
    ['result.json']
    """

    def __init__(self, out: str | Path, overwrite: bool = False, *, marker: str) -> None:
        self.out = Path(out).expanduser()
        self.overwrite = overwrite
        self.marker = marker
        self._partial: Path | None = None
        self._abandoned: Path | None = None
        self._made: list[Path] = []
        try:
            self.out = self.out.resolve()
            self._check_destination()
        except OSError as error:
            self._fail(error)
        except ValueError as error:  # a name that no file system takes
            raise OutputError("output.failed", f"{out!r} is not a folder name: {error}.", "Choose another folder.") from error

    def __enter__(self) -> "AtomicFolder":
        parent = self.out.parent
        try:
            self._make_parents(parent)
            sweep(parent)
            self._partial = _partial_name(parent)
            self._partial.mkdir()
        except OSError as error:
            self._discard()
            self._fail(error)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._discard()
        if isinstance(error, OSError):
            self._fail(error)

    def path(self, name: str) -> Path:
        """Where to write a file of the folder now; parents inside the folder are made.

        Parameters
        ----------
        name : path inside the folder, such as ``image.nrrd`` or ``time-1/image.nrrd``.
        """
        assert self._partial is not None, "use the folder in a with block, before commit"
        path = self._partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def sweep_abandoned(self) -> None:
        """Remove what a thread has still written into the folder after it was given up."""
        if self._abandoned is not None:
            shutil.rmtree(self._abandoned, ignore_errors=True)

    def commit(self) -> Path:
        """Rename the folder into place and return where it is.

        Raises
        ------
        OutputError : as on construction, should the destination have appeared or the file system refuse meanwhile.
        """
        assert self._partial is not None, "a folder is committed once, inside its with block"
        aside = _partial_name(self.out.parent)
        try:
            self._check_destination()
            if self.out.exists():
                self.out.rename(aside)
            try:
                self._partial.rename(self.out)
            except OSError:
                if aside.exists():
                    aside.rename(self.out)
                raise
        except OSError as error:
            self._fail(error)
        self._partial, self._made = None, []
        shutil.rmtree(aside, ignore_errors=True)
        return self.out

    def _check_destination(self) -> None:
        """Refuse a destination that exists and may not be replaced."""
        if not self.out.exists():
            return
        if not self.out.is_dir():
            raise OutputError("output.foreign", f"{self.out} is a file, expected a folder to write.", "Choose another folder.")
        if not self.overwrite:
            raise OutputError("output.exists", f"{self.out} exists already.", "Choose another folder or ask to overwrite.")
        if not (self.out / self.marker).is_file() and any(self.out.iterdir()):
            message = f"{self.out} is not replaced: it holds files but no {self.marker}."
            raise OutputError("output.foreign", message, "Choose another folder, or delete this one yourself.")

    def _make_parents(self, parent: Path) -> None:
        missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._made.append(folder)

    def _discard(self) -> None:
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial, self._abandoned = None, self._partial
        while self._made:
            try:
                self._made.pop().rmdir()
            except OSError:
                self._made = []  # someone else has put something there

    def _fail(self, error: OSError) -> NoReturn:
        message = f"{self.out} cannot be written: {error.strerror or error}."
        raise OutputError("output.failed", message, "Check free space and permissions, or choose another folder.") from error


def sweep(parent: Path) -> None:
    """Remove the ``.partial-*`` folders in ``parent`` of dead processes of this computer, and those older than a day."""
    for folder in parent.glob(".partial-*"):
        match = _PARTIAL.fullmatch(folder.name)
        if match is None or folder.is_symlink():
            continue
        try:
            old = time.time() - folder.stat().st_mtime > _DAY
        except OSError:
            continue  # its owner has just finished
        elsewhere = len(match[2]) == len(_HOST) + _TOKEN and not match[2].startswith(_HOST)
        if old or not (elsewhere or _alive(int(match[1]))):
            shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace a text file at once, so that a reader sees the old or the new text, never half of it.

    What UTF-8 cannot hold (half of a surrogate pair in a file name) is written as an escape.

    Raises
    ------
    OutputError : ``output.failed`` when the file system refuses.
    """
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        message = f"{path} cannot be written: {error.strerror or error}."
        raise OutputError("output.failed", message, "Check the free space and the permissions.") from error


def _partial_name(parent: Path) -> Path:
    return parent / f".partial-{os.getpid()}-{_HOST}{secrets.token_hex(_TOKEN // 2)}"


def _alive(pid: int) -> bool:
    """Whether a process runs. On Windows, where asking by signal would end it, every process counts as running."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return not _unreaped(pid)


def _unreaped(pid: int) -> bool:
    """Whether a process has ended, but is still in the list, because nobody has asked for its exit code (Linux)."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
    return False
