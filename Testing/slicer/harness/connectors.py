"""Which widgets can follow parameters of which types, as in Slicer's guiConnectors, and how."""

from dataclasses import dataclass
from typing import Any

import slicer
from PySide6 import QtWidgets

from . import ctk_widgets
from .parameter_types import split
from .validators import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange


@dataclass
class Connector:
    """A widget's property and the signal that tells of changes."""

    widget: Any
    property: str
    signal: str
    _function: Any = None

    def read(self) -> Any:
        """What the widget shows."""
        return getattr(self.widget, self.property)

    def write(self, value: Any) -> None:
        """Show something else."""
        setattr(self.widget, self.property, value)

    def connect(self, function: Any) -> None:
        """Call a function when somebody changes it."""
        self._function = function
        self.widget.connect(self.signal, function)

    def disconnect(self) -> None:
        """Call it no longer."""
        self.widget.disconnect(self.signal, self._function)


class ChoiceConnector(Connector):
    """A combo box for the values of ``Choice``, which it is filled with."""

    def __init__(self, widget: Any, choices: Any) -> None:
        super().__init__(widget, "currentIndex", "currentIndexChanged(int)")
        self._choices = list(choices)
        widget.clear()
        widget.addItems([str(value) for value in self._choices])

    def read(self) -> Any:
        """The chosen value."""
        return self._choices[self.widget.currentIndex]

    def write(self, value: Any) -> None:
        """Choose another one."""
        self.widget.currentIndex = self._choices.index(value)


class NodeConnector(Connector):
    """A node box, which offers the parameter's class."""

    def __init__(self, widget: Any, type_: type) -> None:
        super().__init__(widget, "currentNodeID", "currentNodeChanged(vtkMRMLNode*)")
        widget.nodeTypes = [type_.__name__]

    def read(self) -> Any:
        """The chosen node."""
        return self.widget.currentNode()

    def write(self, value: Any) -> None:
        """Choose another one."""
        self.widget.setCurrentNode(value)


SIMPLE = {
    (QtWidgets.QCheckBox, bool): ("checked", "stateChanged(int)"),
    (ctk_widgets.ctkCheckBox, bool): ("checked", "stateChanged(int)"),
    (QtWidgets.QPushButton, bool): ("checked", "toggled(bool)"),
    (QtWidgets.QLineEdit, str): ("text", "textChanged(QString)"),
}
NUMBERS = {
    (QtWidgets.QSpinBox, int): "valueChanged(int)",
    (QtWidgets.QSlider, int): "valueChanged(int)",
    (QtWidgets.QDoubleSpinBox, float): "valueChanged(double)",
    (QtWidgets.QDoubleSpinBox, int): "valueChanged(double)",
    (ctk_widgets.ctkSliderWidget, float): "valueChanged(double)",
    (ctk_widgets.ctkSliderWidget, int): "valueChanged(double)",
}
BOUNDED = (QtWidgets.QSlider, ctk_widgets.ctkSliderWidget)


def connectorFor(widget: Any, hint: Any) -> Connector:
    """What connects a widget to a parameter.

    Raises
    ------
    RuntimeError : where Slicer has no such connection.
    """
    type_, annotations = split(hint)
    key = (type(widget), type_)
    if key in SIMPLE:
        if isinstance(widget, QtWidgets.QPushButton):
            widget.checkable = True
        return Connector(widget, *SIMPLE[key])
    if key in NUMBERS:
        _setRange(widget, type_, annotations)
        return Connector(widget, "value", NUMBERS[key])
    if type(widget) in (QtWidgets.QComboBox, ctk_widgets.ctkComboBox) and type_ in (int, float, str, bool):
        choices = [value.choices for value in annotations if isinstance(value, Choice)]
        if not choices:
            raise RuntimeError("A combo box follows only a parameter with the annotation Choice.")
        return ChoiceConnector(widget, choices[0])
    if isinstance(widget, slicer.qMRMLNodeComboBox) and isinstance(type_, type) and issubclass(type_, slicer.vtkMRMLNode):
        return NodeConnector(widget, type_)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{hint}' to widget type '{type(widget)}'")


def _setRange(widget: Any, type_: type, annotations: tuple[Any, ...]) -> None:
    limits: dict[str, float] = {}
    for annotation in annotations:
        if isinstance(annotation, (WithinRange, Minimum)):
            limits["minimum"] = annotation.minimum
        if isinstance(annotation, (WithinRange, Maximum)):
            limits["maximum"] = annotation.maximum
        if isinstance(annotation, Decimals):
            widget.decimals = annotation.value
        if isinstance(annotation, SingleStep):
            widget.singleStep = annotation.value
    if len(limits) < 2 and isinstance(widget, BOUNDED):
        raise RuntimeError("A slider follows only a parameter with a minimum and a maximum.")
    widest = {"minimum": -(2**31), "maximum": 2**31 - 1}
    for name, value in (widest | limits).items():
        setattr(widget, name, value)
