"""What is to be done to the selected lesion, where it moves to, and which volumes it grows to."""

import re
from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.lesion import OPERATIONS, Lesion, operationsFor
from TumorSynthSlicer.panel.action_button import Allowed, attempt
from TumorSynthSlicer.panel.feature_words import plain
from TumorSynthSlicer.panel.placing import Placing, Ras
from TumorSynthSlicer.panel.tables import OFF_COLOR

_GROWTH = (1.0, 1.5, 2.0)
"""Volumes that are proposed, as multiples of that of the tumor."""


class OperationChoice:
    """The radio buttons and what belongs to some of them.

    Parameters
    ----------
    ui : widgets by name.
    session : what is being worked on.
    """

    def __init__(self, ui: Any, session: Any) -> None:
        self._ui, self._session = ui, session
        self._radios = {operation: getattr(ui, f"{operation}Radio") for operation in OPERATIONS}
        self._tips = {operation: radio.toolTip for operation, radio in self._radios.items()}
        self._more = Allowed(ui.targetButton, ui.growEdit)
        self._shown: tuple[str, tuple[float, ...]] | None = None
        for operation, radio in self._radios.items():
            radio.connect("clicked(bool)", lambda checked, operation=operation: self._onOperation(operation))
        ui.growEdit.connect("editingFinished()", self._onGrow)
        self.placing = Placing(ui.targetButton, ui.editSection, self._onTarget)

    def refresh(self, lesion: Lesion | None, hindrance: str) -> None:
        """Show a lesion.

        Parameters
        ----------
        hindrance : why nothing can be changed now, empty where it can.
        """
        for operation, radio in self._radios.items():
            why = hindrance or whyNot(operation, lesion)
            radio.enabled = not why
            radio.toolTip = f"{why}\n\n{self._tips[operation]}" if why else self._tips[operation]
        if lesion is not None:
            self._radios[lesion.operation].checked = True
        operation = lesion.operation if lesion is not None else ""
        ui = self._ui
        ui.targetButton.visible = operation == "move"
        if operation != "move":
            self.placing.stop()
        for widget in (ui.growLabel, ui.growEdit, ui.growUnitLabel):
            widget.visible = operation == "grow"
        self._more.show(hindrance)
        if lesion is not None and operation == "grow":
            self._showVolumes(lesion)

    def _showVolumes(self, lesion: Lesion) -> None:
        state = (lesion.key, tuple(lesion.volumesMl))
        if state == self._shown:
            return
        self._shown = state
        now = lesion.measured.get("shape_VoxelVolume")
        if lesion.volumesMl:
            self._ui.growEdit.text = _joined(lesion.volumesMl)
            self._showGrowError("")
            return
        if now:
            self._ui.growEdit.text = _joined([now / 1000.0 * times for times in _GROWTH])
        self._onGrow()

    def _onOperation(self, operation: str) -> None:
        lesion = self._session.selectedLesion
        if lesion is None or lesion.operation == operation:
            return
        attempt(self._session, lambda: self._session.update(lesion.key, operation=operation))
        if operation != "insert" and not lesion.measured:
            self._session.measure(lesion.key)
        if operation == "move":
            self.placing.start()  # nobody chooses it without a place in mind; Esc leaves

    def _onGrow(self) -> None:
        lesion = self._session.selectedLesion
        if lesion is None or lesion.operation != "grow":
            return
        try:
            volumes = parsedVolumes(self._ui.growEdit.text)
        except RequestError as error:
            self._showGrowError(str(error))
            return
        self._showGrowError("")
        self._shown = (lesion.key, tuple(volumes))
        if volumes != lesion.volumesMl:
            attempt(self._session, lambda: self._session.update(lesion.key, volumesMl=volumes))

    def _showGrowError(self, message: str) -> None:
        ui = self._ui
        ui.growEdit.styleSheet = f"QLineEdit {{ color: {OFF_COLOR}; }}" if message else ""
        ui.growUnitLabel.wordWrap = bool(message)
        ui.growUnitLabel.text = message or _("mL")

    def _onTarget(self, ras: Ras) -> None:
        if self._session.lesions.selected:
            attempt(self._session, self._session.setTarget, self._session.lesions.selected, ras)


def whyNot(operation: str, lesion: Lesion | None) -> str:
    """Why something cannot be done to a lesion; empty where it can."""
    if lesion is None:
        return _("Choose a lesion in the table, or add one.")
    if operation in operationsFor(lesion.place):
        return ""
    return _("Only a segment can be a tumor that is there already: add it from a segment, or paint it.")


def parsedVolumes(text: str) -> list[float]:
    """Volumes in mL from what somebody has typed, for example ``4, 8, 16``.

    Raises
    ------
    RequestError : ``grow.volumes`` for anything else.
    """
    parts = [part for part in re.split(r"[\s,;]+", text.strip()) if part]
    hint = _("Type volumes in mL like 4, 8, 16.")
    if not parts:
        raise RequestError("grow.volumes", _("No volume is given."), hint)
    volumes = []
    for part in parts:
        try:
            volume = float(part)
        except ValueError:
            volume = 0.0
        if not 0.0 < volume < 1e6:
            raise RequestError("grow.volumes", _("'{part}' is no volume.").format(part=part[:20]), hint)
        volumes.append(volume)
    return volumes


def _joined(volumes: Sequence[float]) -> str:
    return ", ".join(plain(volume) for volume in volumes)
