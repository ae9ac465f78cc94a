"""Buttons that say why they cannot be pressed."""

from collections.abc import Callable, Iterable
from typing import Any

from slicer.i18n import tr as _

from TumorSynthLib.errors import TumorSynthError


class ActionButton:
    """A button of the panel for one of the session's actions.

    Parameters
    ----------
    button : a QPushButton with the tooltip that it has while it can be pressed.
    session : tells why an action is not possible (``why``), and hears of errors (``failed``).
    action : name of the action.
    do : what happens on a click; None where somebody else takes care of that.
    hindrance : tells what else speaks against it, empty for nothing.
    """

    def __init__(
        self,
        button: Any,
        session: Any,
        action: str,
        do: Callable[[], Any] | None = None,
        hindrance: Callable[[], str] | None = None,
    ) -> None:
        self.button, self.action = button, action
        self._session, self._do, self._hindrance = session, do, hindrance
        self._allowed = Allowed(button)
        if do is not None:
            button.connect("clicked(bool)", self._onClicked)

    @property
    def why(self) -> str:
        """Why it cannot be pressed now; empty when it can."""
        return (self._hindrance() if self._hindrance else "") or str(self._session.why(self.action))

    def press(self) -> None:
        """Do it, if that is possible now."""
        if self._do is not None and not self.why:
            attempt(self._session, self._do)

    def refresh(self) -> None:
        """Enable or disable it, and say why."""
        self._allowed.show(self.why)

    def _onClicked(self, checked: bool = False) -> None:
        self.press()


class Allowed:
    """Widgets that say why they cannot be used, above the tooltips that they have while they can.

    Parameters
    ----------
    widgets : as the .ui file describes them.
    """

    def __init__(self, *widgets: Any) -> None:
        self._tips = [(widget, widget.toolTip) for widget in widgets]

    def show(self, why: str) -> None:
        """Enable them, or say why not."""
        for widget, tip in self._tips:
            widget.enabled = not why
            widget.toolTip = f"{why}\n\n{tip}" if why else tip


def attempt(session: Any, do: Callable[..., Any], *values: Any) -> bool:
    """Do something that may fail; an error goes where all errors of the session go.

    Returns
    -------
    Whether it was done.
    """
    try:
        do(*values)
    except TumorSynthError as error:
        session.failed.emit(error)
        return False
    return True


def waiting(session: Any) -> str:
    """Why nothing can be chosen while something goes on; empty where nothing does."""
    return _("Wait for the work that goes on, or cancel it.") if session.state == "running" else ""


def choosePrimary(buttons: Iterable[Any], chosen: Any) -> None:
    """Make one button the one that a reader's eye falls on, and none of the others.

    Parameters
    ----------
    buttons : all that may be it.
    chosen : one of them, or None.
    """
    for button in buttons:
        primary = button is chosen
        if button.default != primary:
            button.default = primary
            button.styleSheet = "QPushButton { font-weight: bold; }" if primary else ""
