"""What can be done about an error with one press of a button."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.panel.worker_section import WorkerSection
from TumorSynthSlicer.transforms import hardenedCopy


@dataclass(frozen=True)
class WayOut:
    """An offer."""

    text: str
    """On its button."""
    take: Callable[[], None]
    """Does it."""


def wayOut(error: TumorSynthError, session: Any, worker: WorkerSection) -> WayOut | None:
    """What helps against an error, or None where the user has to decide.

    Parameters
    ----------
    error : what happened.
    session : what is being worked on.
    worker : changes the device.
    """
    own = session.parameters
    if error.code == "device.memory" and own.candidates > 1 and own.method == "flow":
        return WayOut(_("Use one candidate"), lambda: _useOneCandidate(session))
    if error.code == "device.memory" and worker.choice.device != "cpu":
        return WayOut(_("Use the CPU"), lambda: worker.chooseDevice("cpu"))
    if error.code == "device.missing" and worker.choice.device != "auto":
        return WayOut(_("Choose the device automatically"), lambda: worker.chooseDevice("auto"))
    if error.code == "transform.nonlinear" and session.source is not None:
        return WayOut(_("Work on a copy with the transform applied"), lambda: _workOnCopy(session))
    return None


def _useOneCandidate(session: Any) -> None:
    session.parameters.candidates = 1


def _workOnCopy(session: Any) -> None:
    name = _("{scan} transformed").format(scan=session.source.GetName())
    session.setSource(hardenedCopy(session.source, name))
