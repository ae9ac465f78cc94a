"""The module ``qt``: PySide6's classes in one place, with what PythonQt does differently."""

import atexit
import collections
import shutil
import sys
import tempfile
import types
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import python_qt

NOT_IN_PYTHONQT = {"QEnum", "QFlag", "QT_TRANSLATE_NOOP", "QtMsgType"}

answers: collections.deque[Any] = collections.deque()
"""What the next dialogs answer, instead of waiting for somebody.

Where it is empty, message boxes answer by their default button, file dialogs by nothing, and everything else is accepted.
"""
shown: list[str] = []
"""Titles and texts of the dialogs that were opened."""


class QUiLoader(QtUiTools.QUiLoader):
    """Reads .ui files, with Slicer's widgets in them and their connections."""

    customTypes: tuple[type, ...] = ()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        for type_ in self.customTypes:
            self.registerCustomWidget(type_)

    def load(self, file: Any, parent: Any = None) -> Any:
        """The widgets that a file describes.

        Raises
        ------
        ValueError : where it connects signals or slots that do not exist.
        """
        tree = ElementTree.fromstring(bytes(file.readAll().data()))
        # Qt cannot connect the signals of Python's classes.
        connections = list(tree.iter("connection"))
        for group in tree.findall("connections"):
            tree.remove(group)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(self.errorString())
        for connection in connections:
            ends = {part.tag: part.text or "" for part in connection}
            sender, receiver = _named(widget, ends["sender"]), _named(widget, ends["receiver"])
            python_qt.connect(sender, ends["signal"], receiver, ends["slot"])
        return widget


def _named(widget: Any, name: str) -> Any:
    found = widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)
    if found is None:
        raise ValueError(f"A connection of the .ui file names {name!r}, which is not in it.")
    return found


def _answer(default: Any) -> Any:
    return answers.popleft() if answers else default


def _execute(dialog: QtWidgets.QDialog) -> int:
    """Open a dialog, give it a turn, and answer it."""
    text = dialog.text if isinstance(dialog, QtWidgets.QMessageBox) else dialog.windowTitle
    shown.append(text)
    if not isinstance(dialog, QtWidgets.QMessageBox):
        QtCore.QCoreApplication.processEvents()
        return int(_answer(QtWidgets.QDialog.DialogCode.Accepted.value))
    button = dialog.defaultButton()
    return _answer(dialog.standardButton(button) if button else QtWidgets.QMessageBox.StandardButton.Ok)  # type: ignore[no-any-return]


def _boxFunction(parent: Any, title: str, text: str, *rest: Any) -> Any:
    shown.append(text)
    return _answer(rest[1] if len(rest) > 1 else QtWidgets.QMessageBox.StandardButton.Ok)


def _fileFunction(parent: Any = None, caption: str = "", *rest: Any) -> str:
    """PythonQt gives the path alone, without the filter that was chosen."""
    shown.append(caption)
    return str(_answer(""))


def _quietDialogs() -> None:
    QtWidgets.QDialog.exec_ = _execute
    QtWidgets.QMessageBox.exec_ = _execute
    for name in ("question", "information", "warning", "critical"):
        setattr(QtWidgets.QMessageBox, name, staticmethod(_boxFunction))
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        setattr(QtWidgets.QFileDialog, name, staticmethod(_fileFunction))


def _isolateSettings() -> None:
    """The settings of the person who runs the tests are neither read nor changed."""
    QtCore.QCoreApplication.setOrganizationName("NA-MIC")
    QtCore.QCoreApplication.setApplicationName("Slicer")
    folder = tempfile.mkdtemp(prefix="tumorsynth-settings-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
        QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, scope, folder)


def install(customTypes: Iterable[type]) -> None:
    """Make ``import qt`` work, where .ui files may hold widgets of these classes."""
    python_qt.install()
    QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    _quietDialogs()
    _isolateSettings()
    module = types.ModuleType("qt")
    for source in python_qt.MODULES:
        for name in dir(source):
            if name.startswith("Q") and name not in NOT_IN_PYTHONQT:
                setattr(module, name, getattr(source, name))
    QUiLoader.customTypes = tuple(customTypes)
    module.QUiLoader = QUiLoader
    sys.modules["qt"] = module
