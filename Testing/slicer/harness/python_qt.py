"""PySide6 with the manners of PythonQt, which is what 3D Slicer's Python sees of Qt.

Properties are attributes (``slider.value = 3``), signals are connected by their signature
(``button.connect("clicked(bool)", f)``), constructors take no keywords, and no attribute can be invented.
"""

import functools
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

MODULES = (QtCore, QtGui, QtWidgets)
VIRTUAL = {"sizeHint", "minimumSizeHint", "inputMethodHints"}
"""Properties whose names are virtual functions too, which Qt would look up in vain."""
LATER_PROPERTIES = {"acceptMode", "fileMode", "labelDrawingMode"}
"""Properties that Qt 5.15 does not have, or that PythonQt does not show."""

_property, _setProperty = QtCore.QObject.property, QtCore.QObject.setProperty


class PropertyAttribute:
    """A Qt property as an attribute of the objects; the class keeps its method, as ``QTimer.singleShot``."""

    def __init__(self, name: str, method: Any) -> None:
        self._name, self._method = name, method
        self._setter = f"set{name[0].upper()}{name[1:]}"

    def __get__(self, owner: Any, type_: type | None = None) -> Any:
        return self._method if owner is None else _property(owner, self._name)

    def __set__(self, owner: Any, value: Any) -> None:
        if value is None:
            raise AttributeError(
                f"Property {self._name!r} of {type(owner).__name__} does not accept an object of type NoneType."
            )
        setter = getattr(owner, self._setter, None)
        if callable(setter):
            setter(value)
        elif not _setProperty(owner, self._name, value):
            raise AttributeError(f"Property {self._name!r} of {type(owner).__name__} cannot be set to {value!r}.")


def install() -> None:
    """Give PySide6's classes these manners. They keep them until the process ends."""
    for type_ in objectTypes():
        _showProperties(type_)
        _guard(type_)
    QtCore.QObject.name = PropertyAttribute("objectName", None)
    QtCore.QObject.className = lambda self: self.metaObject().className()
    QtCore.QObject.delete = lambda self: shiboken6.delete(self)
    for type_ in (QtCore.QEventLoop, QtWidgets.QMenu, QtCore.QCoreApplication):
        type_.exec_ = type_.exec


def objectTypes() -> list[type]:
    """Qt's classes of objects with properties and signals, bases first."""
    found = {type_ for module in MODULES for name in dir(module) if isinstance(type_ := getattr(module, name), type)}
    return sorted((t for t in found if issubclass(t, QtCore.QObject)), key=lambda t: (len(t.__mro__), t.__name__))


def _showProperties(type_: type) -> None:
    meta = type_.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name not in VIRTUAL and name not in LATER_PROPERTIES:
            setattr(type_, name, PropertyAttribute(name, getattr(type_, name, None)))


def _guard(type_: type) -> None:
    """No keywords to the constructor, no invented attributes, and connections by signature."""
    if "__init__" in vars(type_):
        type_.__init__ = _withoutKeywords(type_.__init__, type_.__name__)
    if "__setattr__" in vars(type_):
        type_.__setattr__ = _setAttribute
    if "__getattribute__" in vars(type_):
        type_.__getattribute__ = _connectingBySignature(type_.__getattribute__)


def _withoutKeywords(construct: Callable[..., None], name: str) -> Callable[..., None]:
    @functools.wraps(construct)
    def checked(self: Any, *arguments: Any, **keywords: Any) -> None:
        if keywords:
            raise TypeError(f"{name} takes no keyword arguments in PythonQt, got {sorted(keywords)}.")
        construct(self, *arguments)

    return checked


def isOwnClass(type_: type) -> bool:
    """Whether a class stands for one that is written in C++; modules may derive from it and then add what they like."""
    return type_.__module__.startswith(("PySide6.", "harness."))


def _setAttribute(self: Any, name: str, value: Any) -> None:
    """Set a property, or say what PythonQt says to attributes that a class does not have or that are no properties."""
    known = _inType(type(self), name)
    if isinstance(known, QtCore.Property):
        if known.fset is None:
            raise AttributeError(f"Property {name!r} of {type(self).__name__} is not writable.")
        known.fset(self, value)
    elif hasattr(known, "__set__"):
        known.__set__(self, value)
    elif name.startswith("_") or isinstance(value, QtCore.SignalInstance) or not isOwnClass(type(self)):
        # Shiboken's own function cannot be called from here: a class above it has this one.
        self.__dict__[name] = value
    elif known is None:
        raise AttributeError(f"Attribute {name!r} of {type(self).__name__} does not exist and cannot be created.")
    else:
        raise AttributeError(f"{name!r} of {type(self).__name__} is no property and cannot be overwritten.")


def _inType(type_: type, name: str) -> Any:
    """What a class or a base of it defines under a name, before any descriptor works."""
    return next((vars(base)[name] for base in type_.__mro__ if name in vars(base)), None)


def _connectingBySignature(getAttribute: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """PySide makes ``connect`` in its own look-up of attributes, so it is replaced there."""

    def look(self: Any, name: str) -> Any:
        if name not in ("connect", "disconnect"):
            return getAttribute(self, name)
        ours = connect if name == "connect" else disconnect
        theirs = getAttribute(self, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            # PySide's own signals come back here with their internal names, which start with a digit.
            if arguments and isinstance(arguments[0], str) and not arguments[0][:1].isdigit():
                return ours(self, *arguments)
            return theirs(*arguments, **keywords)

        return call

    return look


def connect(sender: Any, signature: str, *target: Any) -> bool:
    """``connect("signal(types)", function)`` or ``connect("signal(types)", receiver, "slot(types)")``."""
    findSignal(sender, signature).connect(_function(target))
    return True


def disconnect(sender: Any, signature: str, *target: Any) -> bool:
    """The opposite of ``connect``; without a target all that is connected to the signal."""
    signal = findSignal(sender, signature)
    return bool(signal.disconnect(_function(target)) if target else signal.disconnect())


def _function(target: tuple[Any, ...]) -> Callable[..., Any]:
    if len(target) == 1 and callable(target[0]):
        return target[0]  # type: ignore[no-any-return]
    if len(target) == 2:
        return getattr(target[0], target[1].split("(")[0])  # type: ignore[no-any-return]
    raise TypeError(f"A signal is connected to a function, or to an object and its slot, not to {target!r}.")


def findSignal(sender: Any, signature: str) -> Any:
    """A signal by its full signature, as moc and PythonQt write it.

    Raises
    ------
    ValueError : where the class has no such signal; PythonQt prints that and returns False.
    """
    name = signature.split("(")[0].strip()
    known = signatures(sender, name)
    if normalized(signature) not in known:
        raise ValueError(f"Signal {signature!r} does not exist on {type(sender).__name__}; it has {sorted(known)}.")
    overload = _overload(sender, name, normalized(signature))
    return overload if overload is not None else getattr(sender, name)


def signatures(sender: Any, name: str) -> set[str]:
    """All signatures of a signal."""
    declared = {text for base in type(sender).__mro__ for text in vars(base).get("SIGNALS", ()) if text.split("(")[0] == name}
    if declared:
        return declared
    meta = sender.metaObject()
    methods = [meta.method(index) for index in range(meta.methodCount())]
    mine = [m for m in methods if m.methodType() == QtCore.QMetaMethod.Signal and bytes(m.name().data()).decode() == name]
    return {bytes(method.methodSignature().data()).decode() for method in mine}


def _overload(sender: Any, name: str, signature: str) -> Any:
    """The overload of one of Qt's signals, or None where there is only one."""
    types = {"int": int, "double": float, "QString": str, "bool": bool}
    argument = types.get(signature.partition("(")[2].rstrip(")"))
    if argument is None or len(signatures(sender, name)) < 2:
        return None
    try:
        return getattr(sender, name)[argument]
    except (KeyError, IndexError):
        return None


def normalized(signature: str) -> str:
    """A signature as Qt compares it: without spaces and constant references."""
    return signature.replace("const ", "").replace(" ", "").replace("&", "")
