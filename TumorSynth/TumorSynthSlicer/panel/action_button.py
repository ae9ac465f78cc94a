"""Buttons that say why they cannot be pressed."""

from collections.abc import Callable, Iterable
from typing import Any

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
        self._tip = button.toolTip
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
        why = self.why
        self.button.enabled = not why
        self.button.toolTip = f"{why}\n\n{self._tip}" if why else self._tip

    def _onClicked(self, checked: bool = False) -> None:
        self.press()


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
