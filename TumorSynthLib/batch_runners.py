"""What carries out the lines of a batch: here, with models that stay in this process; other runners have files of their own."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from TumorSynthLib.batch_claim import Claim
from TumorSynthLib.batch_keep import Job
from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.errors import Cancelled, TumorSynthError
from TumorSynthLib.protocol import Request

Progress = Callable[[str, float], None]
Take = Callable[[], Job | None]
"""Gives the next line to carry out, None where there is none for now. Called from one thread alone."""
Tell = Callable[[Job, str, float], None]
"""Called with a running line, its stage and the fraction of it that is done, from the thread that takes lines; may raise."""


@dataclass(frozen=True)
class Outcome:
    """The end of a line."""

    job: Job
    """The line."""
    error: str = ""
    """What went wrong; empty when the result is there."""
    seconds: float = 0.0
    """What it took."""
    lost: bool = False
    """Whether it ended with the process that had it, so that another try makes sense."""


Outcomes = Generator[Outcome, None, None]


class Runner(Protocol):
    """Carries out lines."""

    @property
    def about(self) -> str:
        """Where lines are carried out, for the user."""

    def run(self, take: Take, tell: Tell, claim: Claim) -> Outcomes:
        """Carry out what ``take`` gives until that is nothing and nothing runs any more.

        When the generator is closed, or an error leaves it, the lines that run are cancelled. ``take`` may give lines again
        after an outcome was handed over.

        Raises
        ------
        TumorSynthError : when no line can be carried out any more.
        """


class Editing(Protocol):
    """Runs requests with networks that stay in memory; the pipeline's ``Editor`` is one."""

    def run(self, request: Request, progress: Progress | None = None) -> Path:
        """Run one request and return its result folder."""


OpenEditor = Callable[[str, str], Editing]
"""Makes what runs requests from a bundle's name and a device."""


class InProcess:
    """One line after the other, in this process.

    Parameters
    ----------
    open_editor : called once for each bundle and device.
    """

    about = "this process"

    def __init__(self, open_editor: OpenEditor | None = None) -> None:
        self._open = open_editor or load_editor

    def run(self, take: Take, tell: Tell, claim: Claim) -> Outcomes:
        """See ``Runner``."""
        editors: dict[tuple[str, str], Editing] = {}
        while (job := take()) is not None:
            start = time.perf_counter()
            key = (job.request.bundle, job.request.device)
            error = ""
            try:
                if key not in editors:
                    editors[key] = self._open(*key)
                editors[key].run(job.request, _telling(tell, job))
            except Cancelled:
                raise
            except Exception as found:  # thousands of scans overnight: as in the worker, the other lines still run
                error = in_one_line(found)
            yield Outcome(job, error, time.perf_counter() - start)


def load_editor(bundle: str, device: str) -> Editing:
    """The pipeline's editor with the networks of a bundle."""
    from TumorSynthLib.pipeline import Editor  # slow to import, and not needed where every line is done or bad

    return Editor(load_bundle(bundle), device)


def in_one_line(error: Exception) -> str:
    """An error as the table tells it."""
    code = error.code if isinstance(error, TumorSynthError) else type(error).__name__
    return " ".join(f"{code}: {error}".split())


def _telling(tell: Tell, job: Job) -> Progress:
    return lambda stage, fraction: tell(job, stage, fraction)
