"""Slice and 3D views that are drawn by Slicer's own displayable managers into memory."""

import ctypes.util
import os
from typing import Any

import slicer
import vtk

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
SPACE_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)
SIZE = (400, 400)


def canRender() -> bool:
    """Whether VTK finds a library that draws without a screen; without one it ends the process."""
    return _windowClass() is not None


def _windowClass() -> str | None:
    classes = {"OSMesa": "vtkOSOpenGLRenderWindow", "EGL": "vtkEGLRenderWindow"}
    return next((name for library, name in classes.items() if ctypes.util.find_library(library)), None)


class OffscreenView:
    """What a view of Slicer draws, without its widget."""

    def __init__(self, factory: Any, managers: tuple[str, ...], node: Any) -> None:
        if not canRender():
            raise RuntimeError("Views need libosmesa6, or libegl1 with libgl1-mesa-dri.")
        # VTK would try the screen first, and complain.
        os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = str(_windowClass())
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetSize(*SIZE)
        self.window.SetMultiSamples(0)
        self.window.AddRenderer(self.renderer)
        self.annotation = vtk.vtkCornerAnnotation()
        self.annotation.SetMaximumFontSize(18)
        self.renderer.AddViewProp(self.annotation)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self._prepare()
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.SetRenderer(self.renderer)
        self.managers.Initialize(factory, self.renderer)
        self.managers.SetMRMLDisplayableNode(node)

    def _prepare(self) -> None:
        """What the renderers need before the displayable managers come."""

    def render(self) -> None:
        """Draw into the window."""
        self.window.Render()


class OffscreenSlice(OffscreenView):
    """A slice view."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic
        super().__init__(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), SLICE_MANAGERS, logic.GetSliceNode())
        logic.ResizeSliceNode(*SIZE)

    def _prepare(self) -> None:
        self.window.SetNumberOfLayers(2)
        self.window.SetAlphaBitPlanes(1)
        overlay = vtk.vtkRenderer()
        overlay.SetLayer(1)
        overlay.GetActiveCamera().ParallelProjectionOn()
        self.window.AddRenderer(overlay)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()

    def render(self) -> None:
        """Draw the volumes that the slice shows now, and what lies over them."""
        connection = self._logic.GetImageDataConnection()
        if connection is None:
            self.renderer.RemoveViewProp(self._image)
        else:
            self._mapper.SetInputConnection(connection)
            self.renderer.AddViewProp(self._image)
        super().render()


class OffscreenSpace(OffscreenView):
    """A 3D view."""

    def __init__(self, logic: Any) -> None:
        super().__init__(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), SPACE_MANAGERS, logic.GetViewNode())

    def _prepare(self) -> None:
        self.renderer.SetUseDepthPeeling(True)

    def camera(self) -> Any:
        """The node of the view's camera."""
        return self.managers.GetDisplayableManagerByClassName("vtkMRMLCameraDisplayableManager").GetCameraNode()

    def fit(self) -> None:
        """Show everything, from the front."""
        self.window.Render()
        self.renderer.ResetCamera()
        self.camera().RotateTo(slicer.vtkMRMLCameraNode.Anterior)
        self.renderer.ResetCamera()
        self.renderer.ResetCameraClippingRange()
