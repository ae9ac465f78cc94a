"""What the real application offers, from a list that was made inside it; see ``path``."""

import json
import os
from pathlib import Path
from typing import Any

VARIABLE = "TUMORSYNTH_SLICER_API"
UNLISTED = {
    "QAbstractItemView",
    "QApplication",
    "QBrush",
    "QByteArray",
    "QColor",
    "QCoreApplication",
    "QCursor",
    "QDesktopServices",
    "QEvent",
    "QEventLoop",
    "QFile",
    "QFont",
    "QFormLayout",
    "QFrame",
    "QGridLayout",
    "QHBoxLayout",
    "QListWidget",
    "QObject",
    "QPalette",
    "QRadioButton",
    "QSignalBlocker",
    "QSize",
    "QSizePolicy",
    "QSpacerItem",
    "QUiLoader",
    "QUrl",
    "QVBoxLayout",
    "Qt",
}
"""Classes of Qt 5.15 that PythonQt has and the list does not describe."""
UNSEEN = {"exec_", "name"}
"""What every widget answers to although ``dir`` does not show it: exec_ stands for exec, name for objectName."""
OTHER_SIGNALS = {"moduleAboutToBeUnloaded(QString)", "aboutToQuit()", "startupCompleted()", "mrmlSceneChanged(vtkMRMLScene*)"}
"""Signals of the application and of its managers, of which the list has names alone."""


def path() -> Path:
    """The list: where the environment variable TUMORSYNTH_SLICER_API says, or beside the project in the folder shared."""
    return Path(os.environ.get(VARIABLE) or Path(__file__).resolve().parents[3] / "shared" / "slicer_api.json")


MEMBERS = ("slicer_app", "slicer_util", "slicer_packaging", "layoutManager")
"""Modules and managers of which the list has the members."""


class Api:
    """Classes with their attributes, properties, signals and slots; modules and managers with their members."""

    def __init__(self, file: Path) -> None:
        content = json.loads(file.read_text(encoding="utf-8"))
        self._classes: dict[str, dict[str, list[str]]] = content["classes"]
        self._members = {name: set(content[name]) for name in MEMBERS}

    def knows(self, name: str) -> bool:
        """Whether a class, or a module or manager such as ``slicer_app``, is described."""
        return name in self._classes or name in self._members

    def exists(self, name: str) -> bool:
        """Whether there is a class of widgets or of Qt by this name."""
        return name in self._classes or name in UNLISTED

    def has(self, class_: str, attribute: str) -> bool:
        """Whether a class, module or manager has an attribute of any kind."""
        if class_ in self._members:
            return attribute in self._members[class_]
        return attribute in self._classes[class_]["attributes"] or attribute in UNSEEN or self.isProperty(class_, attribute)

    def isProperty(self, class_: str, attribute: str) -> bool:
        """Whether it is a property, which PythonQt makes an attribute and no method."""
        return attribute in self._classes.get(class_, {}).get("properties", ())

    def hasSignal(self, class_: str, signature: str) -> bool:
        """Whether a class has a signal of exactly this signature. Of classes that are no widgets the list has names alone."""
        if "signals" not in self._classes[class_]:
            return signature.split("(")[0] in self._classes[class_]["attributes"]
        return _plain(signature) in map(_plain, self._classes[class_]["signals"])

    def hasSlot(self, class_: str, signature: str) -> bool:
        """Whether a class has a slot of exactly this signature."""
        return _plain(signature) in map(_plain, self._classes[class_].get("slots", ()))

    def anySignal(self, signature: str) -> bool:
        """Whether any class has such a signal."""
        return signature in OTHER_SIGNALS or any(
            self.hasSignal(name, signature) for name, class_ in self._classes.items() if "signals" in class_
        )

    def fault(self, class_: str, attribute: str, use: str) -> str:
        """What is wrong with a use of an attribute, or nothing.

        Parameters
        ----------
        use : "read", "set", or "call".
        """
        if not self.knows(class_):
            return ""
        if not self.has(class_, attribute):
            return f"{class_} has no {attribute!r}"
        if use == "set" and not self.isProperty(class_, attribute):
            return f"{attribute!r} of {class_} is no property and cannot be set"
        if use == "call" and self.isProperty(class_, attribute):
            return f"{attribute!r} of {class_} is a property, not a method"
        return ""


def _plain(signature: str) -> str:
    return signature.replace("const ", "").replace("&", "").replace(" ", "")


def widgetClasses(root: Any) -> dict[str, str]:
    """Names and classes of the widgets of a .ui file, from its parsed XML."""
    return {widget.get("name"): widget.get("class") for widget in root.iter("widget")}
