"""The part of the panel that is always there: generate, follow the work, choose among the variants, keep or discard."""

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.panel.action_button import ActionButton, Allowed, waiting
from TumorSynthSlicer.panel.result_rows import comparisonRows, variantRow, warningsText
from TumorSynthSlicer.panel.tables import OFF_COLOR, fill, fitHeight, selectRow, shareWidth

ROWS = 8
"""Rows that the tables show without scrolling."""
_RED = f"QLabel {{ color: {OFF_COLOR}; }}"


class GenerateSection:
    """Buttons, progress, variants and the comparison of requested with measured.

    Parameters
    ----------
    ui : widgets by name.
    session : what is being worked on.
    hindrance : tells what speaks against generating beside what the session knows; empty for nothing.
    """

    def __init__(self, ui: Any, session: Any, hindrance: Callable[[], str] | None = None) -> None:
        self._ui, self._session = ui, session
        self._error: TumorSynthError | None = None
        self._progress = ""
        self._state = session.state
        self.buttons = {
            "generate": ActionButton(ui.generateButton, session, "generate", self._generate, hindrance),
            "generateAll": ActionButton(ui.generateAllButton, session, "generateAll", self._generateAll, hindrance),
            "cancel": ActionButton(ui.cancelButton, session, "cancel", session.cancel),
            "keep": ActionButton(ui.keepButton, session, "keep", session.keep),
            "discard": ActionButton(ui.discardButton, session, "discard", session.discard),
            "undo": ActionButton(ui.undoButton, session, "undo", session.undo),
            "redo": ActionButton(ui.redoButton, session, "redo", session.redo),
        }
        """The buttons by action."""
        self._variants = Allowed(ui.variantsSpin)
        ui.warningsLabel.styleSheet = _RED
        shareWidth(ui.variantTable, 3)
        shareWidth(ui.comparisonTable, 0)
        ui.variantTable.connect("currentCellChanged(int,int,int,int)", self._onVariantChosen)
        session.progressed.connect(self._onProgress)

    def cleanup(self) -> None:
        """Listen no longer."""
        self._session.progressed.disconnect(self._onProgress)

    @property
    def primary(self) -> Any:
        """The button that most will want next, or None."""
        possible = [self.buttons[action] for action in ("cancel", "keep", "generate") if not self.buttons[action].why]
        return possible[0].button if possible else None

    def showError(self, error: TumorSynthError) -> None:
        """Say what went wrong, until the next step is taken."""
        self._error = error
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is."""
        if self._session.state != self._state:
            self._progress = ""
            if self._session.state in ("running", "result"):
                self._error = None
            self._state = self._session.state
        for button in self.buttons.values():
            button.refresh()
        self._variants.show(waiting(self._session))
        self._showProgress()
        self._showStatus()
        self._showResult()

    def _generate(self) -> None:
        self._error = None
        self._session.generate()

    def _generateAll(self) -> None:
        self._error = None
        self._session.generate([lesion.key for lesion in self._session.lesions.all() if lesion.state != "kept"])

    def _onProgress(self, stage: str, fraction: float, secondsLeft: float | None) -> None:
        self._progress = _stageText(stage, secondsLeft)
        self._ui.progressBar.value = round(100 * fraction)
        self._ui.statusLabel.text = self._progress

    def _showProgress(self) -> None:
        running = self._session.state == "running"
        self._ui.progressBar.enabled = self._ui.progressBar.textVisible = running
        if not running:
            self._ui.progressBar.value = 0

    def _showStatus(self) -> None:
        label = self._ui.statusLabel
        label.styleSheet = _RED if self._error else ""
        label.text = str(self._error) if self._error else self._statusText()
        label.visible = bool(label.text)

    def _statusText(self) -> str:
        state = self._session.state
        if state == "running":
            return self._progress or _("Starting...")
        if state == "result" and not self.buttons["keep"].why:
            return _("Look at the result, then keep or discard it. Generate makes it anew.")
        return self.buttons["generate"].why

    def _showResult(self) -> None:
        ui, variants, index = self._ui, self._session.variants, self._session.shown
        rows = [variantRow(variant.name, variant.seed, variant.result) for variant in variants]
        fill(ui.variantTable, rows)
        fitHeight(ui.variantTable, ROWS)
        shownOne = 0 <= index < len(variants)
        selectRow(ui.variantTable, index if shownOne else -1)
        result = variants[index].result if shownOne else {}
        ui.warningsLabel.text = warningsText(result)
        compared = comparisonRows(result, self._session.domainFacts, self._session.ranges, self._lesionName()) if result else []
        fill(ui.comparisonTable, compared)
        fitHeight(ui.comparisonTable, ROWS)
        ui.variantTable.visible = bool(variants)
        ui.comparisonTable.visible = bool(compared)
        ui.warningsLabel.visible = bool(ui.warningsLabel.text)

    def _lesionName(self) -> str:
        lesion = self._session.selectedLesion
        return "" if lesion is None else str(lesion.name)

    def _onVariantChosen(self, row: int, column: int, rowBefore: int, columnBefore: int) -> None:
        if 0 <= row < len(self._session.variants) and row != self._session.shown:
            self._session.show(row)


def _stageText(stage: str, secondsLeft: float | None) -> str:
    """What goes on, in plain words, and how long it will still take."""
    words = {
        "preparing": _("Preparing the scan"),
        "starting": _("Starting the background program"),
        "waiting": _("Waiting for the background program"),
        "reading": _("Reading the scan"),
        "shape": _("Shaping the tumor"),
        "sampling": _("Making the texture"),
        "compositing": _("Blending it into the scan"),
        "measuring": _("Measuring the result"),
        "writing": _("Writing the result"),
        "loading": _("Loading the result"),
    }
    word = words.get(stage, stage)
    if secondsLeft is None:
        return word
    if secondsLeft >= 90:
        return _("{stage}, about {minutes} min left").format(stage=word, minutes=round(secondsLeft / 60))
    return _("{stage}, about {seconds} s left").format(stage=word, seconds=max(1, round(secondsLeft)))
