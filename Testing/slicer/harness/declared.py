"""How the stand-ins for ctk's and Slicer's widgets declare their properties."""

from typing import Any

from PySide6 import QtCore

Signal, Property = QtCore.Signal, QtCore.Property


def kept(type_: Any, name: str, default: Any) -> Any:
    """A property that is only kept, without anything following from it."""
    attribute = f"_{name}"

    def get(self: Any) -> Any:
        return getattr(self, attribute, default)

    def set_(self: Any, value: Any) -> None:
        setattr(self, attribute, value)

    return Property(type_, get, set_)


def passedOn(type_: Any, part: str, name: str) -> Any:
    """A property of a widget inside the widget."""

    def get(self: Any) -> Any:
        return getattr(getattr(self, part), name)

    def set_(self: Any, value: Any) -> None:
        setattr(getattr(self, part), name, value)

    return Property(type_, get, set_)
