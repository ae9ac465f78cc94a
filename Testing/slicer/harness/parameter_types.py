"""Types of parameters: how their values are written as strings."""

import ast
import types
import typing
from abc import ABC, abstractmethod
from typing import Any

import slicer

from .validators import VALIDATORS


class Kind(ABC):
    """How parameters of a type are kept in the node."""

    initial: Any = None
    cached = True

    def __init__(self, type_: Any, annotations: tuple[Any, ...] = ()) -> None:
        self.type = type_
        self._validators = [value for value in annotations if isinstance(value, VALIDATORS)]

    def validate(self, value: Any) -> None:
        """Raises TypeError or ValueError for values that may not be set."""
        self.check(value)
        for validator in self._validators:
            validator.validate(value)

    def check(self, value: Any) -> None:
        """The same for the type alone."""
        if value is None:
            raise ValueError("Value must not be None")
        if not isinstance(value, self.type):
            raise TypeError(f"Value must be of type '{self.type}', is type '{type(value)}' value '{value}'")

    def isIn(self, node: Any, name: str) -> bool:
        """Whether the node has the parameter."""
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        """Put a value into the node."""
        node.SetParameter(name, str(value))

    @abstractmethod
    def read(self, node: Any, name: str) -> Any:
        """The value in the node."""


class NumberKind(Kind):
    """int or float; a float takes whole numbers too."""

    initial = 0

    def check(self, value: Any) -> None:
        """Numbers only."""
        if self.type is float and isinstance(value, int):
            return
        super().check(value)

    def read(self, node: Any, name: str) -> Any:
        """The number."""
        return self.type(node.GetParameter(name))


class TextKind(Kind):
    """str."""

    initial = ""

    def read(self, node: Any, name: str) -> Any:
        """The text."""
        return node.GetParameter(name)


class BoolKind(Kind):
    """bool."""

    initial = False

    def read(self, node: Any, name: str) -> Any:
        """The truth."""
        return node.GetParameter(name) == "True"


class NodeKind(Kind):
    """A node of the scene, or None."""

    def check(self, value: Any) -> None:
        """Nodes of the class, or None."""
        if value is not None:
            super().check(value)

    def write(self, node: Any, name: str, value: Any) -> None:
        """A reference; the empty parameter says that it was set, also to None."""
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        """The node that is referred to."""
        return node.GetNodeReference(name)


class OptionalKind(Kind):
    """A value of another kind, or None."""

    cached = False

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind.type)
        self._kind = kind

    def check(self, value: Any) -> None:
        """Values of the other kind, or None."""
        if value is not None:
            self._kind.validate(value)

    def write(self, node: Any, name: str, value: Any) -> None:
        """The value, or the word None."""
        if value is None:
            node.SetParameter(name, "None")
        else:
            self._kind.write(node, name, value)

    def read(self, node: Any, name: str) -> Any:
        """The value, or None."""
        return None if node.GetParameter(name) == "None" else self._kind.read(node, name)


class ListKind(Kind):
    """A list of texts or numbers. Here a copy is read; changes need the parameter to be set again."""

    cached = False

    def __init__(self, inner: Kind, annotations: tuple[Any, ...]) -> None:
        super().__init__(list, annotations)
        self._inner = inner
        self.initial = []

    def check(self, value: Any) -> None:
        """Lists whose items are of the inner kind."""
        super().check(value)
        for item in value:
            self._inner.validate(item)

    def read(self, node: Any, name: str) -> Any:
        """The list."""
        return ast.literal_eval(node.GetParameter(name))


def split(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type and its annotations."""
    if typing.get_origin(hint) is typing.Annotated:
        plain, *annotations = typing.get_args(hint)
        return plain, tuple(annotations)
    return hint, ()


def kindOf(type_: Any, annotations: tuple[Any, ...] = ()) -> Kind:
    """How parameters of a type are kept.

    Raises
    ------
    TypeError : for types that the real wrapper knows and this one does not, or that no wrapper knows.
    """
    if type_ is bool:
        return BoolKind(bool, annotations)
    if type_ in (int, float):
        return NumberKind(type_, annotations)
    if type_ is str:
        return TextKind(str, annotations)
    if isinstance(type_, type) and issubclass(type_, slicer.vtkMRMLNode):
        return NodeKind(type_, annotations)
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is list:
        return ListKind(kindOf(*split(arguments[0])), annotations)
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        return OptionalKind(kindOf(next(argument for argument in arguments if argument is not type(None)), annotations))
    raise TypeError(f"Unable to create serializer for type: {type_}")
