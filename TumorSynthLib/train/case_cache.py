"""What was worked out for a case, on disk, under a key of everything that it follows from: the bytes of files, and settings.

A case is written whole or not at all, so that a killed run loses only the cases under way. Where neither size nor time of a
file has changed, its digest is not worked out again.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.atomic import write_text
from TumorSynthLib.volume_io import sha256_file

VERSION = 1
"""Raised whenever the same files and settings give other results."""


_ABANDONED_S = 3600.0
"""Nothing is written for so long."""


@dataclass(frozen=True)
class Done:
    """What there is for a case."""

    path: Path
    """Its file in the cache."""
    kept: bool
    """Whether it was there already."""


class CaseCache:
    """A folder of cases.

    Parameters
    ----------
    folder : is made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sweep(self) -> None:
        """Remove what killed runs left half-written; a file that somebody still writes is younger."""
        for path in self.folder.glob("*/*partial-*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    path.unlink()

    def digest(self, path: Path) -> str:
        """SHA-256 of a file, or of the names and bytes of the files in a folder.

        Raises
        ------
        ImageError : when it cannot be read.
        """
        place = self.folder / "digests" / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]}.json"
        state = _state(path)
        try:
            known = json.loads(place.read_text(encoding="utf-8"))
            if known["state"] == state:
                return str(known["sha256"])
        except (OSError, ValueError, LookupError, TypeError):
            pass  # not known yet, or what is known is no use
        digest = sha256_file(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, json.dumps({"state": state, "sha256": digest}))
        return digest

    def path(self, kind: str, *settings: Any) -> Path:
        """Where a case lies.

        Parameters
        ----------
        kind : subfolder.
        settings : all that the case follows from, JSON-ready.
        """
        text = json.dumps([VERSION, *settings], sort_keys=True, default=str)
        return self.folder / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"

    def kept(self, path: Path, write: Callable[[Path], object]) -> Done:
        """Make sure that a case is there.

        Parameters
        ----------
        path : of the case.
        write : called with the path of a file to write, which is then renamed.
        """
        if path.exists():
            return Done(path, True)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
        try:
            write(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return Done(path, False)


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays."""
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def _state(path: Path) -> list[Any]:
    """Names, sizes and times of a file, or of the files in a folder."""
    files = sorted(item for item in path.iterdir() if item.is_file()) if path.is_dir() else [path]
    told = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue  # reading it tells why
        told.append([file.name, status.st_size, status.st_mtime_ns])
    return told
