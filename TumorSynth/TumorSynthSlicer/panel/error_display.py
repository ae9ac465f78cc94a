"""Errors as a person can use them: what happened, what to do, a button that does it, and the way to the log."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.panel.ways_out import WayOut


class ErrorDisplay:
    """A window that waits for nobody: the application goes on behind it, and a newer error takes its place.

    Parameters
    ----------
    parent : widget that it belongs to.
    showLog : opens the log.
    isUnattended : whether nobody is there to close a window, so that none is opened.
    """

    def __init__(
        self, parent: Any, showLog: Callable[[], None], isUnattended: Callable[[], bool] = lambda: slicer.app.testingEnabled()
    ) -> None:
        self._parent, self._showLog, self._isUnattended = parent, showLog, isUnattended
        self._actions: list[tuple[Any, Callable[[], None]]] = []
        self.box: Any = None
        """The window, or None."""

    def show(self, error: TumorSynthError, wayOut: WayOut | None = None) -> None:
        """Show an error; a run that was cancelled is none.

        Parameters
        ----------
        error : what happened.
        wayOut : what can be done about it.
        """
        self.close()
        if error.code == "cancelled" or self._isUnattended():
            return
        box = self.box = qt.QMessageBox(self._parent)
        box.setIcon(qt.QMessageBox.Warning)
        box.windowTitle = _("TumorSynth")
        box.setTextFormat(qt.Qt.PlainText)
        box.text = error.message
        box.informativeText = error.hint
        box.addButton(qt.QMessageBox.Close)
        if wayOut is not None:
            self._actions.append((box.addButton(wayOut.text, qt.QMessageBox.ActionRole), wayOut.take))
        self._actions.append((box.addButton(_("Show log"), qt.QMessageBox.ActionRole), self._showLog))
        box.connect("buttonClicked(QAbstractButton*)", self._onButton)
        box.open()

    def close(self) -> None:
        """Close the window, if one is open."""
        box, self.box, self._actions = self.box, None, []
        if box is not None:
            box.close()
            box.deleteLater()

    def _onButton(self, button: Any) -> None:
        for known, do in self._actions:
            if button == known:
                do()
                return
