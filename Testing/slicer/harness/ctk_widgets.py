"""Stand-ins for the widgets of CTK that the module uses: the same names of properties, signals and slots, or fewer."""

import sys
import types
from typing import Any

from PySide6 import QtWidgets

from .ctk_sections import ctkCollapsibleButton, ctkCollapsibleGroupBox
from .ctk_slider import ctkSliderWidget
from .declared import Property, Signal, kept


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for nothing chosen."""

    defaultText = kept(str, "defaultText", "")
    currentUserDataAsString = Property(str, lambda self: str(self.currentData or ""))


class ctkCheckBox(QtWidgets.QCheckBox):
    """A check box."""


class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    """A box for a number."""


class ctkPathLineEdit(QtWidgets.QWidget):
    """A line for a path."""

    currentPathChanged = Signal(str)
    SIGNALS = ("currentPathChanged(QString)",)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._line = QtWidgets.QLineEdit(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        self._line.connect("textChanged(QString)", self.currentPathChanged.emit)

    def setCurrentPath(self, path: str) -> None:
        """Show a path."""
        self._line.text = path

    currentPath = Property(str, lambda self: self._line.text, setCurrentPath)
    filters = kept("QVariant", "filters", None)
    nameFilters = kept("QStringList", "nameFilters", [])
    settingKey = kept(str, "settingKey", "")
    showHistoryButton = kept(bool, "showHistoryButton", True)


class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box that can be told not to come again."""

    dontShowAgain = kept(bool, "dontShowAgain", False)
    dontShowAgainVisible = kept(bool, "dontShowAgainVisible", False)
    dontShowAgainSettingsKey = kept(str, "dontShowAgainSettingsKey", "")


TYPES = (
    ctkCheckBox,
    ctkCollapsibleButton,
    ctkCollapsibleGroupBox,
    ctkComboBox,
    ctkDoubleSpinBox,
    ctkMessageBox,
    ctkPathLineEdit,
    ctkSliderWidget,
)


def install() -> None:
    """Make ``import ctk`` work."""
    module = types.ModuleType("ctk")
    for type_ in TYPES:
        setattr(module, type_.__name__, type_)
    sys.modules["ctk"] = module
