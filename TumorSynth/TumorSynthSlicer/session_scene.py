"""What the session does when the scene changes behind it: nodes are moved, painted over, deleted, or others are chosen."""

import json
from collections.abc import Callable
from typing import Any

from TumorSynthLib.errors import ImageError, RequestError, TumorSynthError
from TumorSynthSlicer import commands, outputs
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.marks import editsOf
from TumorSynthSlicer.scans import scanFacts
from TumorSynthSlicer.session_events import SessionEvents
from TumorSynthSlicer.timers import Delayed
from TumorSynthSlicer.transforms import nonlinearError, parentKind

MEASURE_MILLISECONDS = 500
"""How long strokes of a brush are collected before the tumor is measured once more."""


class SceneEvents(SessionEvents):
    """Follows the scene; nothing that a user has made elsewhere is overwritten."""

    _bent = False
    """Whether the scan is under a transform that is not linear."""

    def __init__(self, service: Any, files: Any, review: Any, choice: Callable[[], commands.WorkerChoice]) -> None:
        super().__init__(service, files, review, choice)
        self._moved: set[str] = set()
        self._measuring = Delayed(MEASURE_MILLISECONDS, self._measureMoved)

    def onParameters(self) -> None:
        """The parameter node has changed: perhaps another output volume was chosen."""
        if self.parameters is not None and self.parameters.outputVolume is not self._outputs[0]:
            self.watch.lost()

    def _onPlaceMoved(self, key: str) -> None:
        """A point, box or segment was moved or painted."""
        if not self._quiet:
            if key == self.lesions.selected:
                self._refreshOutline()
            self._moved.add(key)
            self._measuring.ask()
        self.changed.emit()

    def _measureMoved(self) -> None:
        """Where a tumor was painted once more, its sliders start anew."""
        moved, self._moved = self._moved, set()
        for lesion in self.lesions.all() if self.parameters is not None and self._run is None else ():
            if lesion.key in moved and lesion.state == "draft":
                self.measure(lesion.key)

    # ------------------------------------------------------------------ the scan
    def _onVolumeMoved(self, before: str) -> None:
        """The scan lies elsewhere in the world now; its outputs go along, where they lay with it.

        Parameters
        ----------
        before : ID of the parent transform that it had; empty for none.
        """
        source = self.source
        if source is None:
            return
        for node in (self.parameters.outputVolume, self.parameters.outputSegmentation):
            if node is not None and (node.GetTransformNodeID() or "") == before:
                node.SetAndObserveTransformNodeID(source.GetTransformNodeID())
        bent = parentKind(source) == "nonlinear"
        if bent and not self._bent:
            self.failed.emit(nonlinearError(source))
        self._bent = bent
        if self.scan is not None and self._run is None and not bent:
            self._refreshOutline()
        self.changed.emit()

    def _onVoxels(self) -> None:
        """Somebody has changed the scan's voxels or grid. What was made of it goes on from the output volume."""
        if self.source is None or self.scan is None or self.source.GetImageData() is None:
            return
        self.scan = scanFacts(self.source)
        output = self.parameters.outputVolume
        if output is not None and not self._detached:
            self._detached = True
            message = f"The scan '{self.source.GetName()}' was changed. Edits go on from '{output.GetName()}'."
            hint = "To start from the changed scan, choose 'Create new with the first result' in the section Output."
            self.failed.emit(ImageError("scan.changed", message, hint))
        self.changed.emit()

    # ------------------------------------------------------------------ what has gone
    def _onLost(self) -> None:
        """Look whether something that is needed has gone from the scene, or another output was chosen."""
        if self.parameters is None:
            return
        if self.source is None and self.scan is not None:
            self._loseScan()
        self._followOutputs()
        lost = [lesion for lesion in self.lesions.all() if self.places.isLost(lesion) and not self.isShownGone(lesion)]
        if any(lesion.state == "running" for lesion in lost) and self._run is not None:
            self._run.cancel()
            message = f"The {lost[0].place} of {lost[0].name} was deleted while it was generated."
            self.failed.emit(RequestError("place.gone", message, "The work was ended. Add the lesion again."))
        for lesion in lost:
            self._drop(lesion.key)
        self.changed.emit()

    def isShownGone(self, lesion: Lesion) -> bool:
        """Whether the lesion's segment is only missing because the result that is shown has removed it."""
        own = self.parameters.outputSegmentation
        return self.shown >= 0 and lesion.state in ("running", "result") and self.places.node(lesion.key) is own

    def _followOutputs(self) -> None:
        own, (volume, segmentation) = self.parameters, self._outputs
        if segmentation is not None and segmentation.GetScene() is None:
            own.outputSegmentation = None  # a selector may have gone on to the next one by itself
        if self.shown >= 0 and own.outputVolume is None if volume is None else volume.GetScene() is None:
            self._loseOutput()
        elif self._run is None and self.source is not None and own.outputVolume is not volume:
            self._chooseOutput(own.outputVolume)
        if self.shown >= 0 and self._run is None and self.parameters.outputSegmentation is None:
            shown = self.shown
            self.editing.show(-1)
            self.editing.show(shown)
        if self._run is None:
            self._knowOutputs()

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
        """All results were in a volume that is no longer there; their segments stay, but nothing is added to them."""
        run, self._run = self._run, None
        if run is not None:
            run.leave()
            message = "The output volume was removed from the scene while it was worked with."
            self.failed.emit(RequestError("output.gone", message, "The work was ended. Generate again."))
        self._setStates([lesion.key for lesion in self.lesions.all() if lesion.state in ("running", "result")], "draft")
        self.editing.forget(nodes=False)
        self._startOver(None)

    # ------------------------------------------------------------------ another output
    def _chooseOutput(self, output: Any) -> None:
        """A user has chosen another output volume: what was made stays in the last one, the next edit starts from this one."""
        own = self.parameters
        own.outputVolume = self._outputs[0]
        try:
            if output is not None:
                outputs.checkOutput(output, self.source)
            self._discard()
        except TumorSynthError as error:
            self.failed.emit(error)
            return
        self._startOver(output)

    def _startOver(self, output: Any) -> None:
        """Go on from an output volume, with the segmentation that was made with it; from the scan where there is none."""
        own = self.parameters
        own.outputVolume = own.outputSegmentation = None  # what they tell of their edits stays as it is
        self.history.clear()
        self.editing.startFrom(None)
        self.work.forget()
        self._quiet = True
        for lesion in self.lesions.all():
            if lesion.state == "kept":
                self._drop(lesion.key)
        self._quiet = False
        self._save()
        self._older = [] if output is None else editsOf(output)
        self._detached = False
        own.manifest = json.dumps(self.manifest)
        own.outputSegmentation = None if output is None else outputs.segmentationOf(output)
        own.outputVolume = output
        self._knowOutputs()
        self._showReview()
