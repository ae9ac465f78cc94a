"""``slicer.parameterNodeWrapper`` for parameters of simple types, nodes and lists of strings or numbers.

Parameters are kept where Slicer keeps them: values as strings of a vtkMRMLScriptedModuleNode, nodes as its references.
"""

import typing
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer
import vtk
from PySide6 import QtWidgets

from .connectors import connectorFor
from .modules import addModule
from .parameter_types import Kind, kindOf, split
from .validators import ANNOTATIONS, Default

PROPERTY = "SlicerParameterName"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a class."""

    name: str
    kind: Kind
    default: Default
    type: Any
    """As it was written, with its annotations."""


class WrappedNode:
    """What the decorated classes can do."""

    allParameters: dict[str, Parameter]

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._prefix = prefix or ""
        self._guis: dict[int, tuple[dict[str, Any], int]] = {}
        self._nextTag = 0
        self._updating = False
        self._values: dict[str, Any] = {}
        for parameter in self.allParameters.values():
            if not parameter.kind.isIn(parameterNode, self._prefix + parameter.name):
                self.setValue(parameter.name, parameter.default.value)
        self._remember()
        me = weakref.ref(self)
        self._tag = parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: me()._remember())

    def __del__(self) -> None:
        self.parameterNode.RemoveObserver(self._tag)

    def _remember(self) -> None:
        """Values are told as they were when the node was modified last: a node that was removed since is still told of."""
        for name, parameter in self.allParameters.items():
            if parameter.kind.cached:
                self._values[name] = self._read(name)

    def _parameter(self, name: str) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}. There are {sorted(self.allParameters)}.")
        return self.allParameters[name]

    def default(self, name: str) -> Default:
        """The value of a parameter that was never set."""
        return self._parameter(name).default

    def dataType(self, name: str) -> Any:
        """The type of a parameter as it was written."""
        return self._parameter(name).type

    def isCached(self, name: str) -> bool:
        """Whether reading it again costs nothing."""
        return self._parameter(name).kind.cached

    def getValue(self, name: str) -> Any:
        """A parameter by its name."""
        return self._values[name] if name in self._values else self._read(name)

    def _read(self, name: str) -> Any:
        parameter = self._parameter(name)
        full = self._prefix + name
        if not parameter.kind.isIn(self.parameterNode, full):
            parameter.kind.write(self.parameterNode, full, parameter.default.value)
        return parameter.kind.read(self.parameterNode, full)

    def setValue(self, name: str, value: Any) -> None:
        """Change a parameter.

        Raises
        ------
        TypeError : for a value of another type.
        ValueError : for one out of range.
        """
        parameter = self._parameter(name)
        parameter.kind.validate(value)
        with slicer.util.NodeModify(self.parameterNode):
            parameter.kind.write(self.parameterNode, self._prefix + name, value)
            if parameter.kind.cached:
                self._values[name] = self._read(name)

    def connectGui(self, gui: Any) -> int:
        """Let widgets with the property SlicerParameterName and the parameters follow each other."""
        widgets = gui.findChildren(QtWidgets.QWidget) if hasattr(gui, "isWidgetType") else vars(gui).values()
        named = {widget.property(PROPERTY): widget for widget in widgets if widget.property(PROPERTY)}
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """The same for given widgets."""
        connectors = {name: connectorFor(widget, self.dataType(name)) for name, widget in mapping.items()}
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.connect(self._follower(name, connector))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._toGui())
        tag, self._nextTag = self._nextTag, self._nextTag + 1
        self._guis[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, tag: int) -> None:
        """Let them go their own ways again."""
        connectors, observer = self._guis.pop(tag, ({}, None))
        for connector in connectors.values():
            connector.disconnect()
        if observer is not None:
            self.RemoveObserver(observer)

    def _follower(self, name: str, connector: Any) -> Callable[[], None]:
        def follow() -> None:
            if not self._updating:
                self.setValue(name, connector.read())

        return follow

    def _toGui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for connectors, _ in list(self._guis.values()):
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating = False

    def StartModify(self) -> int:
        """Tell of changes later."""
        return self.parameterNode.StartModify()  # type: ignore[no-any-return]

    def EndModify(self, wasModifying: int) -> int:
        """Tell of them now."""
        return self.parameterNode.EndModify(wasModifying)  # type: ignore[no-any-return]

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        """Observe the node."""
        return self.parameterNode.AddObserver(event, callback, priority)  # type: ignore[no-any-return]

    def RemoveObserver(self, tag: int) -> None:
        """Observe it no longer."""
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        """Tell the observers."""
        self.parameterNode.Modified()


def parameterNodeWrapper(type_: type | None = None) -> Any:
    """Make a class of annotations into one that wraps a parameter node."""
    return _wrapped(type_) if type_ is not None else _wrapped


def _wrapped(type_: type) -> type:
    parameters = {}
    for name, hint in typing.get_type_hints(type_, include_extras=True).items():
        if name in vars(WrappedNode):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        plain, annotations = split(hint)
        kind = kindOf(plain, annotations)
        written = [value for value in annotations if isinstance(value, Default)]
        if hasattr(type_, name):
            default = Default(getattr(type_, name))
        else:
            default = written[0] if written else Default(kind.initial)
        parameters[name] = Parameter(name, kind, default, hint)
    attributes: dict[str, Any] = {name: _attribute(name) for name in parameters}
    for taken, value in vars(WrappedNode).items():
        if taken not in ("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__qualname__"):
            setattr(type_, taken, value)
    for name, attribute in attributes.items():
        setattr(type_, name, attribute)
    type_.allParameters = parameters  # type: ignore[attr-defined]
    return type_


def _attribute(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def isParameterNodeWrapper(value: Any) -> bool:
    """Whether a class or object is one."""
    return hasattr(value, "allParameters")


def install() -> None:
    """Make ``slicer.parameterNodeWrapper`` importable."""
    names = {type_.__name__: type_ for type_ in ANNOTATIONS}
    functions = {"parameterNodeWrapper": parameterNodeWrapper, "isParameterNodeWrapper": isParameterNodeWrapper}
    addModule(
        "parameterNodeWrapper", __all__=[*names, *functions], SlicerParameterNamePropertyName=PROPERTY, **names, **functions
    )
