"""What comes to the session from elsewhere: answers and results of the worker, changes of the scene, undo and redo."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from TumorSynthLib.errors import Cancelled, RequestError, TumorSynthError
from TumorSynthSlicer import commands, outputs
from TumorSynthSlicer.history import Entry
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.marks import markSynthetic
from TumorSynthSlicer.segments import maskStamp
from TumorSynthSlicer.session_action import action
from TumorSynthSlicer.session_rows import Row, hideMarks, restoreRows, rowsOf
from TumorSynthSlicer.session_state import SessionState
from TumorSynthSlicer.session_watch import SceneWatch
from TumorSynthSlicer.session_work import Prepared, Work
from TumorSynthSlicer.tasks import Steps


class SessionEvents(SessionState):
    """Reacts; ``Session`` adds what a user does."""

    def __init__(self, service: Any, files: Any, review: Any, choice: Callable[[], commands.WorkerChoice]) -> None:
        super().__init__(service, files, review, choice)
        self._measuredAs: dict[str, str] = {}

    watch: SceneWatch
    """Follows the scene."""
    work: Work
    """Writes files for the worker."""
    _quiet = False
    """Whether changes of the table come from here, and are saved and told at their end."""
    _known = ""
    """The domain that the worker was last asked about."""
    _outputs: tuple[Any, Any] = (None, None)
    """Volume and segmentation that results are in, as the session knows them."""
    _detached = False
    """Whether somebody has changed the scan since, so that the output volume is what edits go on from."""

    # ------------------------------------------------------------------ the worker
    def _onService(self, *state: str) -> None:
        """Ask what could not be asked before; without a worker nothing is asked."""
        if self.service.state == "ready" and self.parameters is not None:
            if not self.domains or self.questions.bundle.get("id") != self.service.bundle.get("id"):
                self.questions.askBundles()
            self._askDomain()
            self._refreshQuestions()
            self._measureAll(again=False)
        self.changed.emit()

    def _askDomain(self) -> None:
        """Have the scan looked at, unless it is known what it shows."""
        if self.scan is not None and not self.domain and not self.questions.candidates:
            self.questions.askDomain(self._steps([]), self.scan.modality)

    def _onAnswer(self) -> None:
        """Something is known about bundle, domain or ranges."""
        if self.parameters is not None and self.domain != self._known:
            self._known = self.domain
            self._refreshQuestions()
            self._measureAll(again=True)
        self.changed.emit()

    def _refreshQuestions(self) -> None:
        """Outline and ranges of the selected lesion."""
        if self.scan is None:
            return
        lesion = self.selectedLesion
        self.questions.askRanges(lesion)
        self._refreshOutline()

    def _refreshOutline(self) -> None:
        lesion = self.selectedLesion
        drawn = lesion is not None and lesion.state in ("draft", "failed") and self.state == "ready"
        self.outline.ask(lesion.key if drawn and lesion is not None else "")

    def _outlineSteps(self, key: str) -> Steps[Prepared] | None:
        """Files of the lesion whose outline is wanted; None where it has none."""
        if self.scan is None or key not in self.lesions or self._run is not None:
            return None
        lesion = self.lesions.get(key)
        gone = lesion.place == "segment" and not lesion.segmentId
        return None if gone or lesion.operation in ("remove", "grow") else self._steps([lesion])

    @action
    def measure(self, key: str) -> None:
        """Have the tumor that is there measured, so that its sliders start where it is."""
        lesion = self.lesions.get(key)
        if lesion.place != "segment" or not lesion.segmentId or self.scan is None or not self.questions.alive:
            return
        stamp = " ".join((maskStamp(self.places.node(key), lesion.segmentId, self.source), self.domain))
        if lesion.measured and self._measuredAs.get(key) == stamp:
            return
        self._measuredAs[key] = stamp
        steps = self._steps([lesion.withChanges(operation="edit")])
        self.questions.askMeasured(steps, lambda measured, core: self._onMeasured(key, measured))

    def _measureAll(self, again: bool) -> None:
        """Measure tumors whose sliders still tell nothing, or those of all drafts again."""
        for lesion in self.lesions.all():
            if lesion.state == "draft" and (again or not lesion.measured):
                self.measure(lesion.key)

    def _onMeasured(self, key: str, measured: dict[str, float]) -> None:
        if key in self.lesions and self.lesions.get(key).state in ("draft", "failed"):
            self.lesions.update(key, measured=measured)

    # ------------------------------------------------------------------ results
    def _onResult(self) -> None:
        """There is a result more; the first one is shown."""
        if self.shown < 0:
            try:
                self.editing.show(0)
            except TumorSynthError as error:
                self.failed.emit(error)
            self._showReview()
        self.changed.emit()

    def _onOver(self, error: TumorSynthError | None) -> None:
        """The round is over, with results or without."""
        self._run = None
        self._knowOutputs()
        keys = [lesion.key for lesion in self.lesions.all() if lesion.state == "running"]
        cancelled = isinstance(error, Cancelled) or (error is not None and error.code == "cancelled")
        if self.variants:
            self._quiet = True
            for number, lesion in enumerate(self.variants[0].lesions):
                if lesion.key in self.lesions:
                    measured = self.variants[0].measured(number)
                    self.lesions.update(lesion.key, state="result", measured=measured or lesion.measured)
            self._quiet = False
            self._save()
            hideMarks(rowsOf(self.lesions, self.places, keys))  # they would lie on the tumor that is to be looked at
        else:
            failed = error is not None and not cancelled
            self._setStates(keys, "failed" if failed else "draft", str(error) if failed else "")
        if error is not None and not cancelled:
            self.failed.emit(error)
        self._refreshQuestions()
        self.changed.emit()

    def _discard(self) -> None:
        """Take results out of the scene, whether there are any or not."""
        keys = [lesion.key for lesion in self.lesions.all() if lesion.state == "result"]
        if self.variants:
            if self.review is not None and self.editing.temporary:
                self.review.close()
            self.editing.discard()
            self._knowOutputs()
        self._setStates(keys, "draft")
        for key in keys:
            self.places.show(self.lesions.get(key))

    def _onUndone(self, entry: Entry, inside: bool) -> None:
        """A kept edit was taken out of the scene, or put back."""
        self._restoreRows(entry.more.after if inside else entry.more.before)

    def _restoreRows(self, rows: Sequence[Row]) -> None:
        self._quiet = True
        restoreRows(self.lesions, self.places, rows)
        self._quiet = False
        self._save()

    def _onHistory(self) -> None:
        """What was done to the output volume is told by its marks."""
        own = self.parameters
        if own is None or own.source is None:
            return
        own.manifest = json.dumps(self.manifest)
        self._knowOutputs()
        for node in (own.outputVolume, own.outputSegmentation):
            if node is not None:
                markSynthetic(node, outputs.manifest(own.source, self.manifest), own.source)
        self._refreshQuestions()
        self.changed.emit()

    def _showReview(self) -> None:
        """Let the comparison follow."""
        if self.review is None or self.parameters is None:
            return
        output = self.parameters.outputVolume
        box = None
        if self.shown >= 0 and not self.manifest:
            found = self.variants[self.shown].patch.box
            box = (found.start, found.stop)
        self.review.setVolumes(self.source, output, box, self.parameters.outputSegmentation)
        if self.shown >= 0 and not self.review.mode:
            self.review.setMode("after")

    # ------------------------------------------------------------------ the table
    def _onLesions(self, key: str | None) -> None:
        """The table has changed."""
        if self._quiet or self.parameters is None:
            return
        self._save()
        self._refreshQuestions()
        self.changed.emit()

    # ------------------------------------------------------------------ common
    def _steps(self, lesions: Sequence[Lesion]) -> Steps[Prepared]:
        """Write what requests for lesions need."""
        own = self.parameters
        if own is None or own.source is None:
            raise RequestError("scan.gone", "The scan is no longer in the scene.", "Choose another.")
        apart = bool(self._older) or (self._detached and own.outputVolume is not None)
        restored = apart and self.editing.image is None
        self.work.image = self.editing.image
        node = own.outputVolume if restored else own.source
        region = (own.region, own.regionSegmentId) if own.region is not None and own.regionSegmentId else None
        ready = yield from self.work.steps(lesions, node, self.settings, region)
        if restored:
            self.editing.startFrom(ready.image)
        return ready

    def _knowOutputs(self) -> None:
        own = self.parameters
        self._outputs = (None, None) if own is None else (own.outputVolume, own.outputSegmentation)

    def _save(self) -> None:
        """Keep the table with the scene."""
        if self.parameters is not None:
            self.parameters.lesions = self.lesions.toJson()
            self.parameters.selected = self.lesions.selected

    def _setStates(self, keys: Sequence[str], state: str, message: str = "") -> None:
        self._quiet = True
        for key in keys:
            if key in self.lesions:
                self.lesions.update(key, state=state, message=message)
        self._quiet = False
        self._save()

    def _drop(self, key: str) -> None:
        """Take a lesion off the table, with the point that was made for it."""
        self.places.drop(self.lesions.get(key))
        self.lesions.remove(key)

    def _refuse(self, name: str) -> None:
        """Raise where an action is not possible now."""
        reason = self.why(name)
        if reason:
            raise RequestError("session.refused", reason)

    def _refuseWhileRunning(self) -> None:
        if self._run is not None:
            raise RequestError("session.running", "Something is being generated.", "Wait for it, or cancel it.")
