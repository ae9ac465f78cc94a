"""The panel's advanced settings. All but the method are bound to the parameters by the .ui file."""

from typing import Any

import qt

from TumorSynthLib.methods import METHODS
from TumorSynthSlicer.method_words import lacking, methodWords
from TumorSynthSlicer.panel.tables import OFF_COLOR

_FLAGS = qt.Qt.UserRole - 1
"""Role under which the items of a box keep whether they can be chosen."""
_CHOOSABLE, _GRAY = 33, 0
"""Enabled and selectable, or neither."""
_RED = f"QLabel {{ color: {OFF_COLOR}; }}"


class AdvancedSection:
    """Synthesis method, steps, guidance, candidates and noise.

    Parameters
    ----------
    ui : widgets by name.
    session : what is being worked on.
    """

    def __init__(self, ui: Any, session: Any) -> None:
        self._ui, self._session = ui, session
        ui.methodBox.clear()
        for method in METHODS:
            ui.methodBox.addItem(methodWords(method).name, method)
        ui.methodBox.connect("activated(int)", self._onMethod)

    def cleanup(self) -> None:
        """Nothing outlives the widgets."""

    def refresh(self) -> None:
        """Show the session as it is: the methods, which of them the model has, and when to prefer the chosen one."""
        box, method = self._ui.methodBox, self._session.method
        if box.findData(method) < 0:
            box.addItem(methodWords(method).name, method)
        for index in range(box.count):
            self._showItem(index)
        index = box.findData(method)
        if box.currentIndex != index:
            box.setCurrentIndex(index)
        lack, words = self._session.methodLack, methodWords(method)
        label = self._ui.methodHelpLabel
        label.text = lack or words.prefer
        label.toolTip = words.source
        label.styleSheet = _RED if lack else ""
        label.visible = bool(label.text)

    def _showItem(self, index: int) -> None:
        """One method; where the model does not have it, it cannot be chosen and says why."""
        box, session = self._ui.methodBox, self._session
        words = methodWords(box.itemData(index))
        lack = lacking(box.itemData(index), session.methods, str(session.questions.bundle.get("id", "")))
        box.setItemData(index, _GRAY if lack else _CHOOSABLE, _FLAGS)
        box.setItemData(index, "\n\n".join(part for part in (lack, words.source, words.prefer) if part), qt.Qt.ToolTipRole)

    def _onMethod(self, index: int) -> None:
        self._session.setMethod(self._ui.methodBox.itemData(index))
