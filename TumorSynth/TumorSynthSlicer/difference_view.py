"""The difference between two volumes on the slice views, as long as it is wanted, and always that of now."""

from typing import Any

import qt
import slicer
import vtk

from TumorSynthSlicer import views
from TumorSynthSlicer.difference import Box, Difference, changedBox
from TumorSynthSlicer.tasks import Task

_CHANGES = (slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, vtk.vtkCommand.ModifiedEvent)
"""Events of a volume whose voxels have changed; ``slicer.util.arrayFromVolumeModified`` only causes the second."""


class DifferenceView:
    """Shows the difference in the foreground of the slice views."""

    def __init__(self) -> None:
        self.shown = False
        """Whether it is wanted on the views."""
        self._before: Any = None
        self._after: Any = None
        self._box: Box | None = None
        self._isBoxGiven = False
        self._search: Task | None = None
        self._memory = views.ForegroundMemory()
        self._difference = Difference()
        self._tags: list[int] = []
        self._isPending = False

    @property
    def node(self) -> Any | None:
        """The volume node with the difference; None while nothing is shown."""
        return self._difference.node

    def setVolumes(self, before: Any, after: Any, box: Box | None) -> None:
        """Tell what is compared; None as box has the changed voxels looked for."""
        for tag in self._tags:
            self._after.RemoveObserver(tag)
        self._before, self._after = before, after
        self._tags = [] if after is None else [after.AddObserver(event, self._onImage) for event in _CHANGES]
        self._setBox(box)
        if self.shown:
            self._renew()

    def show(self) -> None:
        """Show it; where the changed voxels have to be found first, it comes a moment later."""
        self.shown = True
        self._renew()

    def hide(self) -> None:
        """Show what was in the foreground before."""
        self._stopSearch()
        if self.shown:
            self.shown = False
            self._memory.restore()
            self._difference.remove()

    def _renew(self) -> None:
        self._isPending = False
        if not self.shown or self._before is None or self._after is None:
            return
        if self._box is None:
            self._stopSearch()
            self._search = Task(changedBox(self._before, self._after), self._onBox, lambda error: None)
        elif all(start < stop for start, stop in zip(*self._box, strict=True)):
            self._put(self._difference.update(self._before, self._after, self._box))

    def _put(self, node: Any) -> None:
        composites = views.compositeNodes()
        self._memory.remember(composites)
        for composite in composites:
            composite.SetForegroundVolumeID(node.GetID())
            composite.SetForegroundOpacity(1.0)

    def _onBox(self, box: Box | None) -> None:
        self._box = box
        if box is not None:
            self._renew()

    def _onImage(self, *_: Any) -> None:
        """Follow another variant, once all of it has been written."""
        if not self._isBoxGiven:
            self._setBox(None)
        if self.shown and not self._isPending:
            self._isPending = True
            qt.QTimer.singleShot(0, self._renew)

    def _setBox(self, box: Box | None) -> None:
        self._stopSearch()
        self._box, self._isBoxGiven = box, box is not None

    def _stopSearch(self) -> None:
        if self._search is not None:
            self._search.cancel()
        self._search = None
