"""What is being worked on: the scan, the lesions, the results to choose from, and everything that can be done with them.

The panel shows it and calls it; it knows nothing of widgets. What goes wrong is told by ``failed``, and nothing is raised.
"""

import json
from collections.abc import Callable
from typing import Any

from TumorSynthSlicer import commands
from TumorSynthSlicer.editing import Editing
from TumorSynthSlicer.live_outline import LiveOutline
from TumorSynthSlicer.scans import checkVolume, scanFacts
from TumorSynthSlicer.session_action import action
from TumorSynthSlicer.session_lesions import LesionActions
from TumorSynthSlicer.session_nodes import renewPoint
from TumorSynthSlicer.session_places import LesionPlaces
from TumorSynthSlicer.session_questions import Questions
from TumorSynthSlicer.session_results import ResultActions
from TumorSynthSlicer.session_scene import SceneEvents
from TumorSynthSlicer.session_watch import SceneWatch
from TumorSynthSlicer.session_work import Work

__all__ = ["Session"]


class Session(LesionActions, ResultActions, SceneEvents):
    """The work on one scan.

    Parameters
    ----------
    parameters : the parameter node, wrapped as in ``parameters``; None where there is none yet.
    service, files, review, choice : see ``SessionState``.
    """

    def __init__(
        self,
        parameters: Any,
        service: Any,
        files: Any,
        review: Any = None,
        choice: Callable[[], commands.WorkerChoice] = commands.load,
    ) -> None:
        super().__init__(service, files, review, choice)
        self.watch = SceneWatch(self._onLost, self.leaveScene, self._onVolumeMoved, self._onVoxels)
        self.places = LesionPlaces(self._onPlaceMoved, self.watch.lost)
        self.work = Work(files, self.places)
        self.editing = Editing(lambda: self.parameters, files, self.places, self._onUndone)
        self.questions = Questions(service, lambda: self.settings, self._onAnswer, self.failed.emit)
        self.outline = LiveOutline(service, self._outlineSteps, lambda: self.source, self.previewed.emit)
        self.lesions.changed.connect(self._onLesions)
        self.history.changed.connect(self._onHistory)
        service.stateChanged.connect(self._onService)
        self.open(parameters)

    # ------------------------------------------------------------------ the scene
    @action
    def open(self, parameters: Any) -> None:
        """Take up what a parameter node tells, for example of a scene that was loaded; None lets go of the last one."""
        self.leaveScene()
        self.parameters = parameters
        self.places.open(None if parameters is None else parameters.parameterNode)
        if parameters is None:
            self.changed.emit()
            return
        self._quiet = True
        try:
            self._restore()
        finally:
            self._quiet = False
            self._takeScan()

    def leaveScene(self) -> None:
        """End what goes on, and forget results; lesions stay as they are saved in the parameter node."""
        run, self._run = self._run, None
        if run is not None:
            run.leave()
        self._quiet, self.parameters, self.scan, self._older = True, None, None, []
        self._outputs, self._detached = (None, None), False
        self.questions.forgetScan()
        self.outline.close()
        self.editing.forget(nodes=False)
        self.editing.startFrom(None)
        self.history.clear()
        self.lesions.clear()
        self.places.open(None)
        self.watch.follow(None)
        self.work.forget()
        if self.review is not None:
            self.review.close()
        self._quiet = False
        self.changed.emit()

    def close(self) -> None:
        """Let go of everything; the session is of no use any more."""
        self.leaveScene()
        self.watch.close()
        self._measuring.stop()
        self.service.stateChanged.disconnect(self._onService)

    def _restore(self) -> None:
        own = self.parameters
        self._knowOutputs()
        self._older = list(_jsonList(own.manifest)) if own.outputVolume is not None else []
        self.lesions.fromJson(own.lesions)
        for lesion in self.lesions.all():
            if lesion.state in ("running", "result"):
                self.lesions.update(lesion.key, state="draft")
            renewPoint(self.lesions, lesion.key, self.places.node(lesion.key))
            self.places.watch(lesion.key)
        if own.selected in self.lesions:
            self.lesions.select(own.selected)

    # ------------------------------------------------------------------ scan, region, domain
    @action
    def setSource(self, node: Any) -> None:
        """Work on another scan. Lesions that are not kept stay, what was made of the last scan stays in the scene."""
        self._refuseWhileRunning()
        if node is self.source and self.scan is not None:
            return
        if node is not self.source:
            self._discard()
            self._startOver(None)
            self.parameters.source = node
        self._takeScan()

    def setRegion(self, segmentation: Any, segmentId: str = "") -> None:
        """Keep new tumors inside a segment; None lets them be anywhere."""
        self.parameters.region = segmentation
        self.parameters.regionSegmentId = segmentId if segmentation is not None else ""
        self._refreshOutline()
        self.changed.emit()

    def setDomain(self, domain: str) -> None:
        """Say what the scan shows by the domain's id; ``auto`` leaves that to the worker."""
        self.parameters.domain = domain or "auto"
        self._askDomain()
        self._onAnswer()

    def setMethod(self, method: str) -> None:
        """Make tumors by another method."""
        self.parameters.method = method
        self._refreshOutline()
        self.changed.emit()

    def _takeScan(self) -> None:
        """Look at the scan that is chosen now."""
        self.questions.forgetScan()
        self.work.forget()
        self.editing.startFrom(None)
        self.scan, self._known = None, ""
        node = self.source
        self.watch.follow(node)
        try:
            if node is not None:
                checkVolume(node)
                self.scan = scanFacts(node)
        finally:
            self._showReview()
            self._onService()


def _jsonList(text: str) -> list[Any]:
    """A list that was saved as JSON; an empty one where it cannot be read."""
    try:
        values = json.loads(text or "[]")
    except ValueError:
        return []
    return values if isinstance(values, list) else []
