"""The panel's review: compare before and after, show the tumor in 3D, go to the lesion."""

from typing import Any

from slicer.i18n import tr as _

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.panel.action_button import ActionButton, attempt
from TumorSynthSlicer.panel.lesion_words import positionOf
from TumorSynthSlicer.review import MODES


class ReviewSection:
    """Buttons for the session's ``review``.

    Parameters
    ----------
    ui : widgets by name.
    session : what is being worked on.
    """

    def __init__(self, ui: Any, session: Any) -> None:
        self._ui, self._session, self._review = ui, session, session.review
        self._state = session.state
        self._modes = {mode: getattr(ui, f"{mode}Button") for mode in MODES}
        self._buttons = [ActionButton(button, session, "compare") for button in (*self._modes.values(), ui.show3DButton)]
        self._jumpTip = ui.jumpButton.toolTip
        for mode, button in self._modes.items():
            button.connect("clicked(bool)", lambda checked, mode=mode: self._onMode(mode))
        ui.show3DButton.connect("clicked(bool)", self._onShow3D)
        ui.jumpButton.connect("clicked(bool)", self._onJump)
        if self._review is not None:
            self._review.changed.connect(self._showMode)

    def leave(self) -> None:
        """End what must not go on without the panel: blinking, the difference, two scans side by side."""
        if self._review is not None:
            self._review.leave()

    def cleanup(self) -> None:
        """Show the views as they were."""
        if self._review is not None:
            self._review.changed.disconnect(self._showMode)
            self._review.stop()

    def refresh(self) -> None:
        """Show the session as it is."""
        state, self._state = self._state, self._session.state
        for button in self._buttons:
            button.refresh()
        lesion = self._session.selectedLesion
        why = "" if lesion is not None else _("Choose a lesion in the table, or add one.")
        self._ui.jumpButton.enabled = not why
        self._ui.jumpButton.toolTip = f"{why}\n\n{self._jumpTip}" if why else self._jumpTip
        if self._review is None:
            return
        if self._session.state == "result" and state != "result" and self._review.mode == "before":
            self._onMode("after")  # or a new result would not be seen
        self._showMode()

    def _showMode(self, mode: str = "") -> None:
        for name, button in self._modes.items():
            button.autoExclusive = False  # else the last one could not be released
            button.checked = self._review is not None and name == self._review.mode
        for button in self._modes.values():
            button.autoExclusive = True
        self._ui.show3DButton.checked = self._review is not None and self._review.shows3D

    def _onMode(self, mode: str) -> None:
        if self._review is not None:
            attempt(self._session, self._review.setMode, mode)
        self._showMode()

    def _onShow3D(self, on: bool) -> None:
        if self._review is not None:
            attempt(self._session, self._review.show3D, on)
        self._showMode()

    def _onJump(self, checked: bool = False) -> None:
        lesion = self._session.selectedLesion
        position = positionOf(self._session, lesion) if lesion is not None else None
        if position is not None and self._review is not None:
            self._review.jumpTo(position)
        elif lesion is not None:
            message = _("Nothing tells where {name} is.").format(name=lesion.name)
            self._session.failed.emit(RequestError("place.gone", message, _("What was removed has no place any more.")))
