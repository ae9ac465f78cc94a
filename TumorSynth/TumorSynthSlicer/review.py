"""Comparing the scan before and after an edit: one for the other, their difference, blinking, side by side, and in 3D."""

from typing import Any

import qt
import slicer

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer import views
from TumorSynthSlicer.difference import Box
from TumorSynthSlicer.difference_view import DifferenceView
from TumorSynthSlicer.side_by_side import SideBySide
from TumorSynthSlicer.signals import Signal
from TumorSynthSlicer.surface import Surface

MODES = ("before", "after", "difference", "blink", "sideBySide")
"""Ways to compare."""
BLINK_MILLISECONDS = 500
"""How long each picture is shown; more than three flashes a second would be unhealthy for some."""


class Review:
    """Shows two volumes in the slice views of the current layout, and leaves zoom and slices as they are."""

    def __init__(self) -> None:
        self.changed = Signal()
        """Emitted with the mode when it has changed."""
        self._mode = ""
        self._source: Any = None
        self._output: Any = None
        self._segmentation: Any = None
        self._memory = views.BackgroundMemory()
        self._difference, self._surface = DifferenceView(), Surface()
        self._sideBySide = SideBySide(lambda: self.setMode("after"))
        self._showsAfter = False
        self._timer = qt.QTimer()
        self._timer.setInterval(BLINK_MILLISECONDS)
        self._timer.connect("timeout()", self._onBlink)

    @property
    def mode(self) -> str:
        """One of ``MODES``; empty where the views are left alone."""
        return self._mode

    @mode.setter
    def mode(self, value: str) -> None:
        self.setMode(value)

    @property
    def ready(self) -> bool:
        """Whether there is something to compare."""
        return all(node is not None and slicer.mrmlScene.IsNodePresent(node) for node in (self._source, self._output))

    @property
    def shows3D(self) -> bool:
        """Whether the tumors are shown in 3D."""
        return self._surface.shown

    def setVolumes(self, source: Any, output: Any, patchBox: Box | None = None, segmentation: Any = None) -> None:
        """Tell what is compared; the mode goes on with it.

        Parameters
        ----------
        source, output : volume nodes with the same grid, before and after; None for nothing to compare.
        patchBox : voxels that may differ, first (i, j, k) and the one after the last; None has them looked for when needed.
        segmentation : node with the tumors that ``show3D`` shows.
        """
        if not self._isCurrent(source, output):
            self.stop()
        self._source, self._output, self._segmentation = source, output, segmentation
        self._difference.setVolumes(source, output, patchBox)
        if self.ready and self._mode:
            self._show()

    def setMode(self, mode: str) -> None:
        """Compare in another way.

        Raises
        ------
        RequestError : for none of ``MODES``, and where there is nothing to compare.
        """
        if mode not in MODES:
            raise RequestError("review.mode", f"There is no comparison {mode!r:.60}.", f"Choose one of: {', '.join(MODES)}.")
        if not self.ready:
            raise RequestError("review.nothing", "There is no result to compare with the scan.", "Generate one first.")
        if mode != "sideBySide":
            self._sideBySide.hide()
        if mode != "difference":
            self._difference.hide()
        if mode != "blink":
            self._timer.stop()
        changed, self._mode = mode != self._mode, mode
        self._show()
        if changed:
            self.changed.emit(mode)

    def show3D(self, on: bool) -> None:
        """Show the tumors as surfaces in the 3D views, or what was there before."""
        if on and self._segmentation is not None and slicer.mrmlScene.IsNodePresent(self._segmentation):
            self._surface.show(self._segmentation)
        else:
            self._surface.hide()

    def jumpTo(self, ras: tuple[float, float, float]) -> None:
        """Bring the slices of all views to a point, in world RAS mm."""
        for node in views.sliceNodes():
            views.showInSight(node, ras)

    def leave(self) -> None:
        """End what must not outlive the panel being open, blinking, difference and side by side; the result stays in view."""
        if self._mode in ("difference", "blink", "sideBySide"):
            if self.ready:
                self.setMode("after")
            else:
                self.stop()

    def stop(self) -> None:
        """Show everything as it was before the first ``setMode``."""
        self._timer.stop()
        self._sideBySide.hide()
        self._difference.hide()
        self._surface.hide()
        self._memory.restore([node.GetID() for node in (self._source, self._output) if node is not None])
        if self._mode:
            self._mode = ""
            self.changed.emit("")

    def close(self) -> None:
        """``stop``, and let go of the scene."""
        self.setVolumes(None, None)

    def _isCurrent(self, source: Any, output: Any) -> bool:
        return source is self._source and output is self._output and source is not None and output is not None

    def _show(self) -> None:
        if self._mode == "sideBySide":
            self._sideBySide.show(self._source, self._output)
            return
        self._memory.remember(views.compositeNodes())
        if self._mode == "blink":
            self._timer.start()
            self._showsAfter = True
        self._fill(self._output if self._mode in ("after", "blink") else self._source)
        if self._mode == "difference":
            self._difference.show()

    def _fill(self, volume: Any) -> None:
        for composite in views.compositeNodes():
            if composite.GetBackgroundVolumeID() != volume.GetID():
                composite.SetBackgroundVolumeID(volume.GetID())

    def _onBlink(self) -> None:
        if not self.ready:
            self.stop()
            return
        self._showsAfter = not self._showsAfter
        self._fill(self._output if self._showsAfter else self._source)
