"""Imports everything that the worker needs, in the Python that it would run in, and tells what comes of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from TumorSynthLib.worker_process import with_library
from TumorSynthSlicer.commands import WorkerChoice
from TumorSynthSlicer.qt_process import QtWorkerProcess

_PROGRAM = """
import json, sys
import einops, monai, numpy, PIL, radiomics, safetensors, scipy, SimpleITK, torch
import TumorSynthLib.worker_loop
kinds = ["cpu"]
if torch.backends.mps.is_available():
    kinds.append("mps")
kinds += [f"cuda:{number} {torch.cuda.get_device_name(number)}" for number in range(torch.cuda.device_count())]
versions = {module.__name__: module.__version__ for module in (monai, numpy, scipy, SimpleITK, torch)}
print(json.dumps({"python": sys.version.split()[0], "devices": kinds, "versions": versions, "library": TumorSynthLib.__file__}))
"""


@dataclass(frozen=True)
class Check:
    """What a check has found."""

    error: str
    """The last line of the error; empty when everything works."""
    hint: str = ""
    """What to do about it."""
    python: str = ""
    """Version of the Python."""
    devices: tuple[str, ...] = ()
    """What the networks can run on: ``cpu``, ``mps``, and the GPUs with their names."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the main packages."""
    log: str = ""
    """All that was written."""


class Verification:
    """A check that runs now; it takes some seconds, in which the application goes on.

    Parameters
    ----------
    choice : which Python, perhaps on another computer; the program goes there by its input, which no shell between can garble.
    onDone : called with the ``Check``, unless the check was stopped.

    Raises
    ------
    TumorSynthError : when the command cannot be read.
    """

    def __init__(self, choice: WorkerChoice, onDone: Callable[[Check], Any]) -> None:
        self._onDone: Callable[[Check], Any] | None = onDone
        self._answer: dict[str, Any] = {}
        self._choice = choice
        command = [*choice.words(), "-"]
        self._process = QtWorkerProcess(command, with_library(choice.environment()), self._read, self._end)
        self._process.listen()
        self._process.write(_PROGRAM.encode("ascii"))
        self._process.closeInput()

    def stop(self) -> None:
        """End it; nobody is told."""
        self._onDone = None
        self._process.kill()

    def _read(self, line: bytes | None) -> None:
        try:
            values = json.loads(line or b"")
        except ValueError:
            values = None
        if isinstance(values, dict) and "devices" in values:
            self._answer = values
        elif line:
            self._process.note(line)

    def _end(self) -> None:
        if self._onDone is not None:
            self._onDone(self._found())

    def _found(self) -> Check:
        log = self._process.log
        if not self._answer:
            error = self._process.died("while its packages were checked")
            last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
            return Check(last or error.message, error.hint, log=log)
        values = self._answer
        return Check("", python=values["python"], devices=tuple(values["devices"]), versions=values["versions"], log=log)


def verify(choice: WorkerChoice, onDone: Callable[[Check], Any]) -> Verification:
    """Check the packages of the Python that a choice starts; see ``Verification``."""
    return Verification(choice, onDone)
