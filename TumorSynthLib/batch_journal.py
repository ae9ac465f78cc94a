"""Checksums of files, remembered as long as their size and time of change stay."""

import json
import time
from contextlib import suppress
from pathlib import Path

from TumorSynthLib.errors import ImageError

_SETTLED_NS = 2_000_000_000
"""A file that was changed within this time may be changed again without a new time of change."""


class Journal:
    """The checksums of the files that a batch reads.

    It is a file of lines that only grows, so that a kill can spoil no more than its last line. Where it cannot be written,
    files are read again instead.

    Parameters
    ----------
    path : the journal's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[str, str]] = {}
        text = ""
        with suppress(OSError):
            text = path.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            self._read(line)
        self._torn = bool(text) and not text.endswith("\n")

    def sha256(self, file: str) -> str | None:
        """SHA-256 of a file's bytes, or of a folder's as ``volume_io.sha256_file``; None when it cannot be read."""
        found = self.stamp(file)
        if found is None:
            return None
        known = self._known.get(file)
        if known is not None and known[0] == found:
            return known[1]
        from TumorSynthLib.volume_io import sha256_file  # slow to import, and not needed where nothing has changed

        try:
            digest = sha256_file(file)
        except ImageError:
            return None
        self.learn(file, found, digest)
        return digest

    def learn(self, file: str, stamp: str | None, sha256: str) -> None:
        """Remember what somebody else has found.

        Parameters
        ----------
        file : its path.
        stamp : of the time before it was read.
        sha256 : of its bytes.
        """
        if stamp is None or stamp != self.stamp(file) or not _settled(stamp) or self._known.get(file) == (stamp, sha256):
            return
        self._known[file] = stamp, sha256
        line = json.dumps({"file": file, "stamp": stamp, "sha256": sha256})
        with suppress(OSError), self._path.open("a", encoding="utf-8") as stream:
            stream.write(f"\n{line}\n" if self._torn else f"{line}\n")
            self._torn = False

    @staticmethod
    def stamp(file: str) -> str | None:
        """What changes when a file does, or a file of a folder: number, sizes and latest change; None when it is not there."""
        path = Path(file)
        try:
            files = [item for item in path.iterdir() if item.is_file()] if path.is_dir() else [path]
            found = [item.stat() for item in files]
            latest = max(one.st_mtime_ns for one in [*found, path.stat()])
        except (OSError, ValueError):
            return None
        return f"{len(found)}-{sum(one.st_size for one in found)}-{latest}"

    def _read(self, line: str) -> None:
        with suppress(ValueError, KeyError, TypeError):
            values = json.loads(line)
            self._known[str(values["file"])] = str(values["stamp"]), str(values["sha256"])


def _settled(stamp: str) -> bool:
    """Whether the latest change is long enough ago for the next one to show."""
    return time.time_ns() - int(stamp.rsplit("-", 1)[1]) > _SETTLED_NS
