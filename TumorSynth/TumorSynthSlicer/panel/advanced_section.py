"""The panel's advanced settings. All but the method are bound to the parameters by the .ui file."""

from typing import Any

from slicer.i18n import tr as _


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
        ui.methodBox.addItem(_("Brownian bridge"), "bridge")
        ui.methodBox.connect("activated(int)", self._onMethod)

    def cleanup(self) -> None:
        """Nothing outlives the widgets."""

    def refresh(self) -> None:
        """Show the session as it is."""
        box, method = self._ui.methodBox, self._session.parameters.method
        if box.findData(method) < 0:
            box.addItem(method, method)
        index = box.findData(method)
        if box.currentIndex != index:
            box.setCurrentIndex(index)

    def _onMethod(self, index: int) -> None:
        self._session.parameters.method = self._ui.methodBox.itemData(index)
