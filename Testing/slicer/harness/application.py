"""``slicer.app``, ``slicer.mrmlScene`` and the logics of Slicer's modules, over the real scene."""

import atexit
import os
import shutil
import sys
import tempfile
import types
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .declared import Signal
from .scene_files import IOManager
from .views import LayoutManager

LOGICS = {
    "annotations": "vtkSlicerAnnotationModuleLogic",
    "colors": "vtkMRMLColorLogic",
    "cropvolume": "vtkSlicerCropVolumeLogic",
    "data": "vtkSlicerDataModuleLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "models": "vtkSlicerModelsLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "sequences": "vtkSlicerSequencesLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "tables": "vtkSlicerTablesLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "transforms": "vtkSlicerTransformLogic",
    "units": "vtkSlicerUnitsLogic",
    "volumerendering": "vtkSlicerVolumeRenderingLogic",
    "volumes": "vtkSlicerVolumesLogic",
}
"""Attributes of ``slicer.modules`` and the classes of their logics."""


class Module:
    """One of Slicer's own modules: its logic alone."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name, self._logic = name, logic

    def logic(self) -> Any:
        """The module's logic."""
        return self._logic


class SequencesModule(Module):
    """Stands for qSlicerSequencesModule with its toolbar."""

    browserShown: Any = None
    """What the toolbar plays."""

    def showSequenceBrowser(self, browser: Any) -> bool:
        """Show the toolbar with a browser."""
        self.browserShown = browser
        return True


class ModuleManager(QtCore.QObject):
    """Stands for qSlicerModuleManager."""

    moduleAboutToBeUnloaded = Signal(str)
    SIGNALS = ("moduleAboutToBeUnloaded(QString)",)

    def module(self, name: str) -> Any:
        """A module by its name, or None."""
        return getattr(slicer.modules, name.lower(), None)


class Environment(dict[str, str]):
    """Stands for QProcessEnvironment."""

    def value(self, name: str, default: str = "") -> str:
        """A variable."""
        return self.get(name, default)


class Application(QtCore.QObject):
    """Stands for qSlicerApplication. It says that tests are running."""

    startupCompleted = Signal()
    mrmlSceneChanged = Signal(object)
    aboutToQuit = Signal()
    SIGNALS = ("startupCompleted()", "mrmlSceneChanged(vtkMRMLScene*)", "aboutToQuit()")

    applicationName = QtCore.Property(str, lambda self: "Slicer")
    applicationVersion = QtCore.Property(str, lambda self: "5.12.4")
    majorVersion = QtCore.Property(int, lambda self: 5)
    minorVersion = QtCore.Property(int, lambda self: 12)
    revision = QtCore.Property(str, lambda self: "0")
    os = QtCore.Property(str, lambda self: {"darwin": "macosx", "win32": "win"}.get(sys.platform, "linux"))
    slicerHome = QtCore.Property(str, lambda self: "")
    temporaryPath = QtCore.Property(str, lambda self: self._temporaryPath)

    def __init__(self) -> None:
        super().__init__()
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._files, self._modules = IOManager(), ModuleManager()
        self._layoutManager: LayoutManager | None = None
        self._temporaryPath = tempfile.mkdtemp(prefix="Slicer-tests-")
        atexit.register(shutil.rmtree, self._temporaryPath, ignore_errors=True)

    def applicationLogic(self) -> Any:
        """The application's logic."""
        return self._logic

    def mrmlScene(self) -> Any:
        """The scene."""
        return slicer.mrmlScene

    def coreIOManager(self) -> IOManager:
        """Reads and writes nodes."""
        return self._files

    ioManager = coreIOManager

    def moduleManager(self) -> ModuleManager:
        """Knows the modules."""
        return self._modules

    def layoutManager(self) -> LayoutManager | None:
        """Has the views."""
        return self._layoutManager

    def setLayoutManager(self, manager: LayoutManager) -> None:
        """Set by ``boot``."""
        self._layoutManager = manager

    def testingEnabled(self) -> bool:
        """Message boxes are then skipped."""
        return True

    def processEvents(self) -> None:
        """Give Qt a turn."""
        QtCore.QCoreApplication.processEvents()

    def userSettings(self) -> Any:
        """The settings, isolated from the user's."""
        return QtCore.QSettings()

    settings = userSettings

    def clipboard(self) -> Any:
        """The clipboard, of the tests alone."""
        return QtGui.QGuiApplication.clipboard()

    def startupEnvironment(self) -> Environment:
        """The environment that Slicer was started in."""
        return Environment(os.environ)

    def topLevelWidgets(self) -> list[Any]:
        """Windows; there is no main window."""
        return QtWidgets.QApplication.topLevelWidgets()

    def setOverrideCursor(self, cursor: Any) -> None:
        """Show another cursor everywhere."""
        QtWidgets.QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        """Show it no longer."""
        QtWidgets.QApplication.restoreOverrideCursor()

    def pauseRender(self) -> None:
        """Nothing is drawn unasked."""

    def resumeRender(self) -> None:
        """Nothing is drawn unasked."""

    def translate(self, context: str, text: str) -> str:
        """Texts stay in English."""
        return text


def boot() -> None:
    """Make ``slicer.app``, the scene, the logics and the views, as the application does when it starts."""
    scene = slicer.mrmlScene = slicer.vtkMRMLScene()
    slicer.app = Application()
    _setCache(scene, slicer.app.temporaryPath)
    logic = slicer.app.applicationLogic()
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    logic.SetMRMLScene(scene)
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(logic)
    slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(logic)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    slicer.modules = sys.modules.setdefault("slicer.modules", types.ModuleType("slicer.modules"))
    # The files of terminologies belong to the application; VTK complains of each one that is not here.
    vtk.vtkObject.GlobalWarningDisplayOff()
    for name, className in LOGICS.items():
        _addModule(name, getattr(slicer, className)())
    vtk.vtkObject.GlobalWarningDisplayOn()
    slicer.app.setLayoutManager(LayoutManager(scene))


def _setCache(scene: Any, folder: str) -> None:
    """Where bundles are unpacked."""
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(folder)
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


def _addModule(name: str, logic: Any) -> None:
    logic.SetMRMLScene(slicer.mrmlScene)
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    slicer.app.applicationLogic().SetModuleLogic(name.capitalize(), logic)
    setattr(slicer.modules, name, (SequencesModule if name == "sequences" else Module)(name, logic))
