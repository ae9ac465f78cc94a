"""The panel: its sections, kept up to date with the session, and its keyboard shortcuts."""

from typing import Any

import qt

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.panel.action_button import choosePrimary
from TumorSynthSlicer.panel.advanced_section import AdvancedSection
from TumorSynthSlicer.panel.edit_section import EditSection
from TumorSynthSlicer.panel.error_display import ErrorDisplay
from TumorSynthSlicer.panel.features_section import FeaturesSection
from TumorSynthSlicer.panel.generate_section import GenerateSection
from TumorSynthSlicer.panel.input_section import InputSection
from TumorSynthSlicer.panel.lesions_section import LesionsSection
from TumorSynthSlicer.panel.log_section import LogSection
from TumorSynthSlicer.panel.output_section import OutputSection
from TumorSynthSlicer.panel.review_section import ReviewSection
from TumorSynthSlicer.panel.setup_section import SetupSection
from TumorSynthSlicer.panel.ways_out import wayOut

REFRESH_MILLISECONDS = 20
"""Changes of the session within this time are shown together."""


class Panel:
    """All sections. The widgets are loaded by whoever makes it.

    Parameters
    ----------
    ui : widgets by name.
    session : what is being worked on.
    service : the worker.
    """

    def __init__(self, ui: Any, session: Any, service: Any) -> None:
        self._ui, self._session, self._service = ui, session, service
        self._root = ui.generateFrame.parentWidget()
        self._timer = qt.QTimer(self._root)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MILLISECONDS)
        self._timer.connect("timeout()", self.refresh)
        self.log = LogSection(ui, service)
        self.setup = SetupSection(ui, session, service, self.refreshSoon)
        self.generate = GenerateSection(ui, session, lambda: self.setup.hindrance)
        self.lesions, self.edit, self.review = LesionsSection(ui, session), EditSection(ui, session), ReviewSection(ui, session)
        self.sections = [
            self.setup,
            InputSection(ui, session),
            self.lesions,
            self.edit,
            FeaturesSection(ui, session),
            self.generate,
            self.review,
            OutputSection(ui, session),
            AdvancedSection(ui, session),
            self.log,
        ]
        self.errors = ErrorDisplay(self._root, self.log.show)
        generate, cancel = (self.generate.buttons[action].press for action in ("generate", "cancel"))
        self.shortcuts = {keys: self._shortcut(keys, generate) for keys in ("Ctrl+Return", "Ctrl+Enter")}
        """The shortcuts by their keys; they work wherever the panel has the focus."""
        self.shortcuts["Esc"] = self._shortcut("Esc", cancel)
        service.stateChanged.connect(self.refreshSoon)
        session.changed.connect(self.refreshSoon)
        session.failed.connect(self._onFailed)
        self.refresh()

    def refreshSoon(self, *changed: Any) -> None:
        """Show the session as it is, once for all changes of the next moment."""
        if not self._timer.active:
            self._timer.start()

    def refresh(self) -> None:
        """Show the session as it is; between two scenes there is nothing to show."""
        if self._session.parameters is None:
            return
        for section in self.sections:
            section.refresh()
        chosen = self.setup.primary or self.generate.primary
        choosePrimary([self._ui.installButton, *(button.button for button in self.generate.buttons.values())], chosen)
        self.shortcuts["Esc"].enabled = not self.generate.buttons["cancel"].why

    def leave(self) -> None:
        """The panel is not looked at any more: what waits for the user's hand or eye ends."""
        for section in (self.lesions, self.edit, self.review):
            section.leave()

    def cleanup(self) -> None:
        """Listen no longer, and leave nothing behind in the views."""
        self._timer.stop()
        self._service.stateChanged.disconnect(self.refreshSoon)
        self._session.changed.disconnect(self.refreshSoon)
        self._session.failed.disconnect(self._onFailed)
        self.errors.close()
        for section in self.sections:
            section.cleanup()

    def _shortcut(self, keys: str, do: Any) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(keys), self._root)
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", do)
        shortcut.connect("activatedAmbiguously()", do)  # where Esc also ends the placing of a point
        return shortcut

    def _onFailed(self, error: TumorSynthError) -> None:
        self.generate.showError(error)
        self.errors.show(error, wayOut(error, self._session, self.setup.worker))
