"""What comes to the session from elsewhere: answers and results of the worker, changes of the scene, undo and redo."""

import json
from collections.abc import Sequence

from TumorSynthLib.errors import Cancelled, RequestError, TumorSynthError
from TumorSynthSlicer import outputs
from TumorSynthSlicer.history import Entry
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.marks import markSynthetic
from TumorSynthSlicer.session_rows import Row, restoreRows
from TumorSynthSlicer.session_state import SessionState
from TumorSynthSlicer.session_watch import SceneWatch
from TumorSynthSlicer.session_work import Prepared, Work
from TumorSynthSlicer.tasks import Steps


class SessionEvents(SessionState):
    """Reacts; ``Session`` adds what a user does."""

    watch: SceneWatch
    """Follows the scene."""
    work: Work
    """Writes files for the worker."""
    _quiet = False
    """Whether changes of the table come from here, and are saved and told at their end."""
    _known = ""
    """The domain that the worker was last asked about."""

    # ------------------------------------------------------------------ the worker
    def _onService(self, *state: str) -> None:
        """Ask what could not be asked before; without a worker nothing is asked."""
        if self.service.state == "ready" and self.parameters is not None:
            if not self.domains or self.questions.bundle.get("id") != self.service.bundle.get("id"):
                self.questions.askBundles()
            if self.scan is not None and not self.domain and not self.questions.candidates:
                self.questions.askDomain(self._steps([]), self.scan.modality)
            self._refreshQuestions()
        self.changed.emit()

    def _onAnswer(self) -> None:
        """Something is known about bundle, domain or ranges."""
        if self.parameters is not None and self.domain != self._known:
            self._known = self.domain
            self._refreshQuestions()
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

    def _onMeasured(self, key: str, measured: dict[str, float]) -> None:
        if key in self.lesions:
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
        self._setStates(keys, "draft")

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

    # ------------------------------------------------------------------ the scene
    def _onLesions(self, key: str | None) -> None:
        """The table has changed."""
        if self._quiet or self.parameters is None:
            return
        self._save()
        self._refreshQuestions()
        self.changed.emit()

    def _onPlaceMoved(self, key: str) -> None:
        """A point, box or segment was moved or painted."""
        if key == self.lesions.selected and not self._quiet:
            self._refreshOutline()
        self.changed.emit()

    def _onVolumeMoved(self) -> None:
        """The scan lies elsewhere in the world now, or under a transform that cannot be followed."""
        if self.scan is not None and self._run is None:
            self._refreshOutline()
        self.changed.emit()

    def _onLost(self) -> None:
        """Look whether something that is needed has gone from the scene."""
        if self.parameters is None:
            return
        if self.source is None and self.scan is not None:
            self._loseScan()
        output = self.parameters.outputVolume
        if output is None and (self.shown >= 0 or self.history.canUndo or self.history.canRedo or self._older):
            self._loseOutput()
        lost = [lesion for lesion in self.lesions.all() if self.places.isLost(lesion)]
        if any(lesion.state == "running" for lesion in lost) and self._run is not None:
            self._run.cancel()
            message = f"The {lost[0].place} of {lost[0].name} was deleted while it was generated."
            self.failed.emit(RequestError("place.gone", message, "The work was ended. Add the lesion again."))
        for lesion in lost:
            self._drop(lesion.key)
        self.changed.emit()

    def _loseScan(self) -> None:
        name = self.scan.name if self.scan is not None else ""
        run, self._run = self._run, None
        if run is not None:
            run.leave()
            self.failed.emit(RequestError("scan.gone", f"The scan '{name}' was removed from the scene.", "Choose another."))
        self._setStates([lesion.key for lesion in self.lesions.all() if lesion.state in ("running", "result")], "draft")
        self.editing.forget(nodes=False)
        self.history.clear()
        self._older, self.scan = [], None
        self.outline.hide()
        self.questions.forgetScan()
        self.work.forget()
        self._showReview()

    def _loseOutput(self) -> None:
        """All results were in a volume that is no longer there."""
        self._setStates([lesion.key for lesion in self.lesions.all() if lesion.state == "result"], "draft")
        self.editing.forget(nodes=False)
        self.editing.startFrom(None)
        self._older = []
        self.history.clear()
        for lesion in self.lesions.all():
            if lesion.state == "kept":
                self._drop(lesion.key)
        self._showReview()

    # ------------------------------------------------------------------ common
    def _steps(self, lesions: Sequence[Lesion]) -> Steps[Prepared]:
        """Write what requests for lesions need."""
        own = self.parameters
        if own is None or own.source is None:
            raise RequestError("scan.gone", "The scan is no longer in the scene.", "Choose another.")
        restored = bool(self._older) and self.editing.image is None
        self.work.image = self.editing.image
        node = own.outputVolume if restored else own.source
        region = (own.region, own.regionSegmentId) if own.region is not None and own.regionSegmentId else None
        ready = yield from self.work.steps(lesions, node, self.settings, region)
        if restored:
            self.editing.startFrom(ready.image)
        return ready

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
