"""What the tests of the Slicer side derive from. They run without the application (see conftest.py) and inside it alike."""

import os
import shlex
import sys
import tempfile
import time
import types
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
import slicer_phantoms
import slicer_worker
import vtk
from heartbeat import Heartbeat
from vtk.util.numpy_support import vtk_to_numpy

HARNESS = sys.modules.get("harness")
"""The stand-in for the application, or None inside the application itself."""
SCREENSHOTS = "TUMORSYNTH_SCREENSHOTS"
"""Environment variable: the folder for pictures; without it none are kept."""


def canRender() -> bool:
    """Whether views can be drawn."""
    if HARNESS is None:
        return True
    from harness.offscreen import canRender as canRenderOffscreen

    return canRenderOffscreen()


needsRendering = unittest.skipUnless(canRender(), "needs a library that draws without a screen, such as libosmesa6")
"""Decorator for tests that draw views."""
needsHarness = unittest.skipUnless(HARNESS, "would ask somebody in the application")
"""Decorator for tests that answer dialogs."""


class SlicerCase(unittest.TestCase):
    """A test that starts with an empty scene. An error in what Qt or VTK calls fails it too."""

    def setUp(self) -> None:
        """Empty the scene, and the settings where they are not the user's."""
        super().setUp()
        slicer.mrmlScene.Clear(0)
        slicer.mrmlScene.GetSubjectHierarchyNode()  # it is made when it is asked for; the application always has one
        if HARNESS is not None:
            qt.QSettings().clear()
            _dialogs().answers.clear()
            _dialogs().shown.clear()
            from harness.scene_widget import endSceneWidgets

            self.addCleanup(endSceneWidgets)
        self._errors: list[BaseException] = []
        self.addCleanup(setattr, sys, "excepthook", sys.excepthook)
        sys.excepthook = self._onError

    def tearDown(self) -> None:
        """Fail for errors that nobody was there to catch."""
        super().tearDown()
        if self._errors:
            raise self._errors[0]

    def _onError(self, kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        self._errors.append(error.with_traceback(trace))

    # ------------------------------------------------------------------ time
    def waitUntil(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Run the event loop until something is so; fail where it does not become so in time."""
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, f"It did not happen within {seconds:g} s.")
            if self._errors:
                raise self._errors.pop()
            slicer.app.processEvents()
            time.sleep(0.002)

    def wait(self, seconds: float) -> None:
        """Run the event loop for a while."""
        end = time.monotonic() + seconds
        self.waitUntil(lambda: time.monotonic() >= end, seconds + 10.0)

    def heartbeat(self) -> Heartbeat:
        """Measures how long the event loop is held up: ``with self.heartbeat() as beats: ...; beats.longest`` (seconds)."""
        return Heartbeat()

    # ------------------------------------------------------------------ things in the scene
    def ct(self, name: str = "CT", **how: Any) -> Any:
        """A chest phantom in HU; see ``slicer_phantoms.ct`` for left-handed and oblique ones."""
        return slicer_phantoms.ct(name, **how)

    def position(self, volume: Any, place: str = "tissue") -> np.ndarray:
        """RAS mm (without the parent transform) of a place of the phantom: tissue, left lung, right lung or bone."""
        return slicer_phantoms.position(volume, place)

    def ball(self, volume: Any, **how: Any) -> tuple[Any, str]:
        """A segmentation with a ball, and the segment's ID; see ``slicer_phantoms.ball``."""
        return slicer_phantoms.ball(volume, **how)

    def linearTransform(self) -> Any:
        """A transform node with a turn and a shift."""
        return slicer_phantoms.linearTransform()

    def bentTransform(self) -> Any:
        """A transform node that is not linear."""
        return slicer_phantoms.bentTransform()

    def parameters(self) -> Any:
        """The panel's parameters, all at their defaults."""
        from TumorSynthSlicer.parameters import TumorSynthParameterNode

        return TumorSynthParameterNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "TumorSynth"))

    # ------------------------------------------------------------------ the world outside
    def temporaryFolder(self) -> Path:
        """A folder that is removed after the test."""
        folder = tempfile.TemporaryDirectory(prefix="tumorsynth-", ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        return Path(folder.name)

    def tinyBundle(self) -> Path:
        """Folder of a bundle with small random networks. Skips the test where no worker can run."""
        return slicer_worker.tinyBundle()

    def workerCommand(self) -> str:
        """A command line for ``python``, whose workers find the bundle ``tiny``. Skips the test where none can run."""
        return shlex.join(slicer_worker.workerCommand())

    def answer(self, *answers: Any) -> None:
        """What the next dialogs answer; for tests with ``needsHarness``."""
        _dialogs().answers.extend(answers)

    def dialogs(self) -> list[str]:
        """Texts and titles of the dialogs that the test has opened; for tests with ``needsHarness``."""
        return list(_dialogs().shown)

    # ------------------------------------------------------------------ pictures
    def picture(self, view: Any) -> np.ndarray:
        """What a slice view or a 3D view shows, uint8 (rows from the top, columns, RGB); for tests with ``needsRendering``."""
        reader = self._readerOf(view)
        columns, rows, _ = reader.GetOutput().GetDimensions()
        pixels = vtk_to_numpy(reader.GetOutput().GetPointData().GetScalars())
        return np.ascontiguousarray(pixels.reshape(rows, columns, -1)[::-1, :, :3])

    def _readerOf(self, view: Any) -> Any:
        view.forceRender()
        reader = vtk.vtkWindowToImageFilter()
        reader.SetInput(view.renderWindow())
        reader.ReadFrontBufferOff()
        reader.Update()
        return reader

    def screenshot(self, shown: Any, name: str) -> None:
        """Keep a picture of a widget or view as NAME.png in the folder that TUMORSYNTH_SCREENSHOTS names, if there is one."""
        if not os.environ.get(SCREENSHOTS):
            return
        path = Path(os.environ[SCREENSHOTS]) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if hasattr(shown, "renderWindow"):
            reader, writer = self._readerOf(shown), vtk.vtkPNGWriter()
            writer.SetFileName(str(path))
            writer.SetInputConnection(reader.GetOutputPort())
            writer.Write()
            return
        slicer.app.processEvents()
        self.assertTrue(shown.grab().save(str(path)))


def _dialogs() -> Any:
    from harness import qt_module

    return qt_module
