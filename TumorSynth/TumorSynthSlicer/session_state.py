"""What there is to see of the session, and what is possible now. ``Session`` changes it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from TumorSynthSlicer import commands
from TumorSynthSlicer.dicom_chore import DicomChore
from TumorSynthSlicer.editing import Editing
from TumorSynthSlicer.history import History
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.lesion_list import LesionList
from TumorSynthSlicer.live_outline import LiveOutline
from TumorSynthSlicer.method_words import BRIDGE, lacking
from TumorSynthSlicer.requests import Settings
from TumorSynthSlicer.scans import ScanFacts
from TumorSynthSlicer.session_chores import Chore
from TumorSynthSlicer.session_places import LesionPlaces
from TumorSynthSlicer.session_questions import Questions
from TumorSynthSlicer.session_runs import Run
from TumorSynthSlicer.session_why import problemOf, why
from TumorSynthSlicer.signals import Signal
from TumorSynthSlicer.variants import Variant


class SessionState:
    """The state of the work.

    Parameters
    ----------
    service : the worker, see ``WorkerService``.
    files : gives temporary files, see ``TemporaryFiles``.
    review : compares scan and result; None where nobody looks.
    choice : which bundle and device the user chose.
    """

    places: LesionPlaces
    """Where the lesions are."""
    editing: Editing
    """Results in the scene."""
    questions: Questions
    """What the worker has answered."""
    outline: LiveOutline
    """The outline that follows the sliders; its ``measured`` and ``message`` tell of it."""

    def __init__(self, service: Any, files: Any, review: Any, choice: Callable[[], commands.WorkerChoice]) -> None:
        self.changed = Signal()
        """Emitted without arguments when anything below may be different."""
        self.progressed = Signal()
        """Emitted with stage, share of all that is done, and seconds left or None."""
        self.failed = Signal()
        """Emitted with the ``TumorSynthError`` that ended an action."""
        self.previewed = Signal()
        """Emitted with the key of a lesion whose outline, or whose impossibility, is known now."""
        self.exported = Signal()
        """Emitted with the folder that was written."""
        self.service, self.files, self.review, self._choice = service, files, review, choice
        self.parameters: Any = None
        """The parameter node, wrapped as in ``parameters``."""
        self.scan: ScanFacts | None = None
        """What the scan is; None where there is none that can be used."""
        self.lesions = LesionList()
        """The table; it is changed by the methods of ``Session``."""
        self.dicomNote = ""
        """What the last export has to say."""
        self._older: list[Any] = []
        self._run: Run | Chore | DicomChore | None = None

    @property
    def source(self) -> Any:
        """The scan's node, or None."""
        return None if self.parameters is None else self.parameters.source

    @property
    def state(self) -> str:
        """``noScan``, ``ready``, ``running`` or ``result``."""
        if self._run is not None:
            return "running"
        if self.scan is None:
            return "noScan"
        return "result" if self.variants else "ready"

    @property
    def history(self) -> History:
        """Kept edits."""
        return self.editing.history

    @property
    def variants(self) -> list[Variant]:
        """Results to choose from."""
        return self.editing.variants

    @property
    def shown(self) -> int:
        """Number of the result that is in the scene, -1 for none."""
        return self.editing.shown

    @property
    def manifest(self) -> list[Any]:
        """What was done to the output volume, oldest first."""
        return [*self._older, *self.history.manifests]

    @property
    def domain(self) -> str:
        """The domain's id: the chosen one, or the one that was found; empty where neither is known."""
        chosen = "auto" if self.parameters is None else self.parameters.domain
        return self.questions.detected if chosen == "auto" else chosen

    @property
    def domains(self) -> list[dict[str, Any]]:
        """Domains of the bundle: id, organ, modality, unit."""
        return self.questions.domains

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods of the bundle; none while they are not known."""
        return self.questions.methods

    @property
    def method(self) -> str:
        """The method that tumors are made by."""
        return BRIDGE if self.parameters is None else str(self.parameters.method)

    @property
    def methodLack(self) -> str:
        """Why the chosen method is not in the bundle, empty where it is or nothing is known of the bundle."""
        return lacking(self.method, self.methods, str(self.questions.bundle["id"])) if self.methods else ""

    @property
    def domainFacts(self) -> dict[str, Any] | None:
        """The domain as the worker tells it, or None."""
        return next((one for one in self.domains if one["id"] == self.domain), None)

    @property
    def ranges(self) -> dict[str, Any] | None:
        """Plausible ranges by feature, beside what the selected lesion asks for."""
        return self.questions.ranges

    @property
    def selectedLesion(self) -> Lesion | None:
        """The lesion that is edited."""
        return self.lesions.get(self.lesions.selected) if self.lesions.selected else None

    @property
    def settings(self) -> Settings:
        """What holds for all lesions, but for the region's file."""
        choice, own = self._choice(), self.parameters
        bundle = choice.bundle.replace("\\", "/").rstrip("/").rpartition("/")[2]
        about = Settings(bundle, self.domain or "auto", choice.device)
        if own is None:
            return about
        sampling = {name: getattr(own, name) for name in ("method", "steps", "guidance", "candidates", "noise")}
        return replace(about, **sampling)

    def why(self, action: str) -> str:
        """Why an action is not possible now, empty where it is; see ``session_why``."""
        return why(self, action)

    def problem(self, key: str) -> str:
        """Why a lesion cannot be made, empty where it can or no scan is chosen."""
        return problemOf(self, self.lesions.get(key)) if self.scan is not None and self.source is not None else ""
