"""Which Python works for this computer's user, on which device, with which bundle. Kept in the application's settings."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from TumorSynthLib.errors import TumorSynthError

_GROUP = "TumorSynth/"
_PYTHONS = ("bin/PythonSlicer", "bin/PythonSlicer.exe", "bin/python", "bin/python3", "Scripts/python.exe", "python.exe")
"""Where a folder that somebody names (Slicer, conda, venv) has its Python."""


class Store(Protocol):
    """What is needed of ``qt.QSettings``."""

    def value(self, key: str, default: Any = None) -> Any:
        """The value of a key."""

    def setValue(self, key: str, value: Any) -> None:
        """Set it."""


@dataclass(frozen=True)
class WorkerChoice:
    """What starts the worker."""

    command: str = ""
    """A Python, the folder of one, or a command line before its arguments (``ssh gpu-host python``); empty is this Slicer's."""
    device: str = "auto"
    """``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``."""
    bundle: str = "base"
    """Name of the bundle that is loaded at the start."""
    inline: bool = False
    """Whether the worker does not see this computer's files, so that they are sent."""

    @property
    def own(self) -> bool:
        """Whether it is the Python of this Slicer."""
        words = self.words()
        return len(words) == 1 and words[0] == sys.executable

    def words(self) -> list[str]:
        """Program and arguments that stand for ``python``.

        Raises
        ------
        TumorSynthError : when the command cannot be read.
        """
        command = self.command.strip()
        if not command:
            return [sys.executable]
        path = Path(_bare(command)).expanduser()
        if path.is_dir():
            return [str(_pythonOf(path))]
        return [str(path)] if path.is_file() else _split(command)

    def environment(self) -> dict[str, str]:
        """Of the worker's process: a Python of another program must not find the libraries of this one."""
        if self.own:
            return dict(os.environ)
        import slicer.util

        return {str(name): str(value) for name, value in slicer.util.startupEnvironment().items()}


def load(store: Store | None = None) -> WorkerChoice:
    """What the user chose.

    Parameters
    ----------
    store : where it is kept; None is the application's settings.
    """
    store = _settings() if store is None else store
    kept = {item.name: store.value(_GROUP + item.name) for item in fields(WorkerChoice)}
    texts = {name: str(value) for name, value in kept.items() if value is not None and name != "inline"}
    return WorkerChoice(**texts, inline=str(kept["inline"]).lower() in ("true", "1"))


def save(choice: WorkerChoice, store: Store | None = None) -> None:
    """Keep what the user chose.

    Raises
    ------
    TumorSynthError : when the command cannot be read; nothing is then kept.
    """
    choice.words()
    store = _settings() if store is None else store
    values: Mapping[str, str] = {"device": choice.device, "bundle": choice.bundle, "command": choice.command.strip()}
    for name, value in {**values, "inline": str(choice.inline).lower()}.items():
        store.setValue(_GROUP + name, value)


def _settings() -> Store:
    import qt

    settings: Store = qt.QSettings()
    return settings


def _bare(word: str) -> str:
    """A word without the quotes around it."""
    quoted = len(word) > 1 and word[0] == word[-1] and word[0] in "'\""
    return word[1:-1] if quoted else word


def _split(command: str) -> list[str]:
    posix = os.name != "nt"  # elsewhere a backslash parts folders
    try:
        words = shlex.split(command, posix=posix)
    except ValueError as error:
        message = f"The worker's command cannot be read: {command!r} ({error})."
        raise TumorSynthError("worker.command", message, "Put a path with spaces between two quotation marks.") from error
    return words if posix else [_bare(word) for word in words]


def _pythonOf(folder: Path) -> Path:
    for inner in _PYTHONS:
        if (folder / inner).is_file():
            return folder / inner
    message = f"There is no Python in the folder {folder}, looked for {', '.join(_PYTHONS)}."
    raise TumorSynthError("worker.command", message, "Name the Python itself.")
