"""Slicer's Python modules that slicer-core lacks: what module classes derive from, translation and pip."""

import os
import sys
import types
import unittest
from typing import Any

import slicer
from PySide6 import QtWidgets


class ScriptedLoadableModule:
    """What the class of a module derives from."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__

    def resourcePath(self, name: str) -> str:
        """A file in the folder Resources beside the module."""
        return os.path.join(os.path.dirname(self.parent.path), "Resources", name)


class ScriptedLoadableModuleWidget:
    """What the class of a module's panel derives from. Without a parent it makes its own and sets itself up."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        if parent is None:
            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(QtWidgets.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        else:
            self.parent = parent
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()

    def resourcePath(self, name: str) -> str:
        """A file in the folder Resources beside the module."""
        file = sys.modules[type(self).__module__].__file__ or ""
        return os.path.join(os.path.dirname(file), "Resources", name)

    def setup(self) -> None:
        """Make the panel."""

    def cleanup(self) -> None:
        """Called before the module goes."""

    def onReload(self) -> None:
        """The button for developers."""


class ScriptedLoadableModuleLogic:
    """What the class of a module's logic derives from."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """The module's node in the scene."""
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            return slicer.mrmlScene.AddNode(self.createParameterNode())
        if node.GetAttribute("ModuleName") != self.moduleName:  # Closing the scene takes it away.
            node.SetAttribute("ModuleName", self.moduleName)
        return node

    def createParameterNode(self) -> Any:
        """A new one."""
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """What a module's own test derives from."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        """Show a message for a moment; nobody looks here."""


class InstalledPackages:
    """Stands for the pip of Slicer's own Python: what was asked for, and whether it is there already."""

    def __init__(self) -> None:
        self.present = True
        self.asked: list[tuple[Any, dict[str, Any]]] = []

    def pip_check(self, requirements: Any) -> bool:
        """Whether packages are installed."""
        return self.present

    def pip_ensure(self, requirements: Any, **options: Any) -> None:
        """Install what is missing; here nothing but the question is kept."""
        self.asked.append((requirements, options))
        self.present = True

    def pip_install(self, requirements: Any, **options: Any) -> None:
        """Install packages; here nothing but the question is kept."""
        self.asked.append((requirements, options))


packages = InstalledPackages()


def load_requirements(path: str) -> list[str]:
    """The lines of a requirements file."""
    with open(path, encoding="utf-8") as stream:
        return [line for text in stream if (line := text.split("#")[0].strip())]


def install() -> None:
    """Make ``slicer.ScriptedLoadableModule``, ``slicer.i18n`` and ``slicer.packaging`` importable."""
    classes = (ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest)
    named = {type_.__name__: type_ for type_ in classes}
    addModule("ScriptedLoadableModule", __all__=list(named), **named)
    addModule("i18n", tr=lambda text: text, translate=lambda context, text: text)
    functions = (packages.pip_check, packages.pip_ensure, packages.pip_install, load_requirements)
    addModule("packaging", **{function.__name__: function for function in functions})


def addModule(name: str, **contents: Any) -> None:
    """A module inside ``slicer``."""
    module = types.ModuleType(f"slicer.{name}")
    vars(module).update(contents)
    sys.modules[module.__name__] = module
    setattr(slicer, name, module)
