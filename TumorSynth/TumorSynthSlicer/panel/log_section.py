"""The panel's log: what the worker says, to read and to copy into a report."""

import platform
from typing import Any

import slicer
from slicer.i18n import tr as _


class LogSection:
    """The last lines of the log.

    Parameters
    ----------
    ui : widgets by name; the .ui file bounds the number of lines.
    service : the worker.
    """

    def __init__(self, ui: Any, service: Any) -> None:
        self._ui, self._service = ui, service
        ui.copyLogButton.connect("clicked(bool)", self.copy)
        ui.clearLogButton.connect("clicked(bool)", self._onClear)
        service.logged.connect(self.add)

    def cleanup(self) -> None:
        """Listen no longer."""
        self._service.logged.disconnect(self.add)

    def refresh(self) -> None:
        """Nothing to show beyond the lines."""

    def add(self, text: str) -> None:
        """Add lines at the end."""
        self._ui.logText.appendPlainText(text.rstrip("\n"))

    def show(self) -> None:
        """Open the section and go to the end."""
        self._ui.logSection.collapsed = False
        self._ui.logText.ensureCursorVisible()
        self._ui.logText.setFocus()

    def copy(self, checked: bool = False) -> None:
        """Put versions and lines on the clipboard."""
        app = slicer.app
        versions = _("3D Slicer {slicer} (revision {revision}), Python {python}, {system}").format(
            slicer=f"{app.majorVersion}.{app.minorVersion}",
            revision=app.revision,
            python=platform.python_version(),
            system=platform.platform(),
        )
        worker = _("Worker: {state}, device {device}").format(state=self._service.state, device=self._service.device or "-")
        app.clipboard().setText("\n".join((versions, worker, "", self._ui.logText.plainText)))

    def _onClear(self, checked: bool = False) -> None:
        self._ui.logText.clear()
