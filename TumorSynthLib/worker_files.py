"""The files that a worker was sent, in a folder that goes with it (standard library only)."""

import hashlib
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from TumorSynthLib.errors import OutputError, RequestError
from TumorSynthLib.file_lock import FileLock
from TumorSynthLib.transfer import ARCHIVE, Piece
from TumorSynthLib.worker_archive import entry, unpacked
from TumorSynthLib.worker_folder import claimed_folder, sweep

GIGABYTE = 1 << 30
_AGAIN = "Send it again; it may have changed on the way."


@dataclass(eq=False)
class _Arriving:
    """A file of which pieces are still to come."""

    name: str
    """What it is called."""
    path: Path
    """Where it is written meanwhile."""
    file: BinaryIO
    """The same, open."""
    size: int = 0
    """Bytes that are here."""
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    """Of these bytes."""


@dataclass
class _Stored:
    """A file, or the folder that it was unpacked to."""

    path: Path
    """Where it is."""
    size: int
    """Bytes that were sent."""


class Uploads:
    """Keeps the files that were sent, the latest used ones as far as they fit.

    Pieces are taken in one thread, files are used in another. One file arrives at a time: to begin another one drops it.

    Parameters
    ----------
    limit : bytes of all files together.
    log : told which file was dropped for lack of room.
    """

    def __init__(self, limit: int, log: Callable[[str], None]) -> None:
        self.limit = limit
        self._log = log
        self._guard = threading.Lock()
        self._stored: OrderedDict[str, _Stored] = OrderedDict()
        self._arriving: _Arriving | None = None
        self._folder: Path | None = None
        self._lock: FileLock | None = None

    def __enter__(self) -> "Uploads":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._guard:
            self._drop_arriving()
            if self._folder is not None and self._lock is not None:
                self._lock.release()
                shutil.rmtree(self._folder, ignore_errors=True)

    def present(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are here; they count as just used. Who asks has given up a file that was arriving."""
        with self._guard:
            self._drop_arriving()
            self._home()
            found = [name for name in dict.fromkeys(names) if name in self._stored]
            for name in found:
                self._stored.move_to_end(name)
            return found

    def take(self, piece: Piece, in_use: Collection[str]) -> int | None:
        """Add a piece to its file.

        Parameters
        ----------
        piece : a piece; the first one has the offset 0.
        in_use : names of files that are not dropped to make room.

        Returns
        -------
        Bytes of the file that are here; None for a piece of a file that has been refused before.

        Raises
        ------
        RequestError : when the file is damaged or too large.
        OutputError : when it cannot be written.
        """
        with self._guard:
            try:
                if piece.offset == 0:
                    self._begin(piece.name)
                if self._arriving is None or self._arriving.name != piece.name:
                    return None
                return self._add(self._arriving, piece, in_use)
            except OSError as error:
                self._drop_arriving()
                message = f"The worker cannot keep the file: {error.strerror or error}."
                raise OutputError("upload.failed", message, "Check the free space for temporary files there.") from error
            except RequestError:
                self._drop_arriving()
                raise

    def path(self, name: str) -> Path:
        """Where a file is, an archive unpacked.

        Raises
        ------
        RequestError : when it is not here, or its archive is broken.
        """
        with self._guard:
            self._home()
            stored = self._stored.get(name)
            if stored is None:
                message = f"The worker does not have the file '{name}'."
                hint = f"Send it again. A worker keeps {self.limit / GIGABYTE:.3g} GB; see its option --uploads."
                raise RequestError("upload.missing", message, hint)
            self._stored.move_to_end(name)
        if not name.endswith(ARCHIVE):
            return stored.path
        if stored.path.is_file():
            stored.path = unpacked(stored.path)
        return entry(stored.path, name)

    def new_folder(self) -> Path:
        """An empty folder for a result; whoever asks for it removes it."""
        with self._guard:
            return Path(tempfile.mkdtemp(dir=self._home()))

    def _home(self) -> Path:
        """The folder of this worker, made when it is needed, again if somebody has cleaned up the temporary files."""
        if self._folder is None or not self._folder.is_dir():
            self._stored.clear()
            if self._lock is not None:
                self._lock.release()
            sweep()
            self._folder, self._lock = claimed_folder()
        return self._folder

    def _begin(self, name: str) -> None:
        self._drop_arriving()
        path = self._home() / f"{name}.partial"
        self._arriving = _Arriving(name, path, path.open("wb"))

    def _add(self, arriving: _Arriving, piece: Piece, in_use: Collection[str]) -> int:
        if piece.offset != arriving.size:
            message = f"A piece of '{piece.name}' starts at byte {piece.offset}, expected {arriving.size}."
            raise RequestError("upload.order", message, _AGAIN)
        self._make_room(arriving.size + len(piece.data), in_use)
        arriving.file.write(piece.data)
        arriving.digest.update(piece.data)
        arriving.size += len(piece.data)
        if piece.last:
            self._finish(arriving)
        return arriving.size

    def _finish(self, arriving: _Arriving) -> None:
        if arriving.digest.hexdigest() != arriving.name.partition(".")[0]:
            message = f"The file '{arriving.name}' has another checksum than its name tells."
            raise RequestError("upload.checksum", message, _AGAIN)
        arriving.file.close()
        self._arriving = None
        path = arriving.path.with_name(arriving.name)
        arriving.path.replace(path)
        self._stored[arriving.name] = _Stored(path, arriving.size)

    def _make_room(self, size: int, in_use: Collection[str]) -> None:
        """Drop the files that were not used for longest until another one of so many bytes fits."""
        for name in [name for name in self._stored if name not in in_use]:
            if self._total() + size <= self.limit:
                break
            self._drop(name)
            self._log(f"The file {name} was dropped to make room for another.")
        if self._total() + size > self.limit:
            message = f"The file is too large: the worker keeps {self.limit / GIGABYTE:.3g} GB"
            message += f", of which requests that wait use {self._total() / GIGABYTE:.3g}." if self._stored else "."
            raise RequestError("upload.large", message, "Start the worker with a larger --uploads, or crop the scan.")

    def _total(self) -> int:
        return sum(stored.size for stored in self._stored.values())

    def _drop(self, name: str) -> None:
        path = self._stored.pop(name).path
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def _drop_arriving(self) -> None:
        if self._arriving is not None:
            self._arriving.file.close()
            with suppress(OSError):
                self._arriving.path.unlink(missing_ok=True)
            self._arriving = None
