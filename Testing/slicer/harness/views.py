"""The layout manager and its view widgets, as far as a module reaches into them."""

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .declared import Property, Signal
from .offscreen import OffscreenSlice, OffscreenSpace, OffscreenView, canRender


class _View:
    """What slice views and 3D views have in common. Nothing is drawn before somebody looks."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic
        self._offscreen: OffscreenView | None = None
        self._annotation = vtk.vtkCornerAnnotation()
        self._text = ""

    def _make(self) -> OffscreenView:
        raise NotImplementedError

    def _drawn(self) -> OffscreenView:
        if self._offscreen is None:
            self._offscreen = self._make()
            self._offscreen.renderer.RemoveViewProp(self._offscreen.annotation)
            self._offscreen.renderer.AddViewProp(self._annotation)
        return self._offscreen

    def cornerAnnotation(self) -> Any:
        """The texts in the view's corners."""
        return self._annotation

    def scheduleRender(self) -> None:
        """Draw when there is time; here whenever somebody looks."""

    def forceRender(self) -> None:
        """Draw now, where something can be drawn."""
        if canRender():
            self._drawn().render()

    def renderWindow(self) -> Any:
        """VTK's window."""
        return self._drawn().window

    def interactor(self) -> Any:
        """VTK's interactor."""
        return self._drawn().interactor

    def displayableManagerByClassName(self, name: str) -> Any:
        """One of the view's displayable managers."""
        return self._drawn().managers.GetDisplayableManagerByClassName(name)


class SliceView(_View):
    """Stands for qMRMLSliceView."""

    def _make(self) -> OffscreenView:
        return OffscreenSlice(self._logic)

    def mrmlSliceNode(self) -> Any:
        """The slice's node."""
        return self._logic.GetSliceNode()

    def convertDeviceToXYZ(self, xy: Any) -> list[float]:
        """A position of the mouse, without regard to light boxes."""
        return [float(xy[0]), float(xy[1]), 0.0]

    def convertXYZToRAS(self, xyz: Any) -> list[float]:
        """A position in the view in world RAS mm."""
        return list(self.mrmlSliceNode().GetXYToRAS().MultiplyPoint([*xyz, 1.0])[:3])

    def convertRASToXYZ(self, ras: Any) -> list[float]:
        """A position in world RAS mm in the view."""
        matrix = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.mrmlSliceNode().GetXYToRAS(), matrix)
        return list(matrix.MultiplyPoint([*ras, 1.0])[:3])


class ThreeDView(_View):
    """Stands for qMRMLThreeDView."""

    def _make(self) -> OffscreenView:
        return OffscreenSpace(self._logic)

    def mrmlViewNode(self) -> Any:
        """The view's node."""
        return self._logic.GetViewNode()

    def cameraNode(self) -> Any:
        """The node of its camera."""
        return self._drawn().camera()

    def resetFocalPoint(self) -> None:
        """Put everything in the middle."""
        self._drawn().renderer.ResetCamera()

    def resetCamera(self, *what: bool) -> None:
        """Show everything."""
        self._drawn().fit()

    def rotateToViewAxis(self, axis: int) -> None:
        """Look along an axis."""
        self.cameraNode().RotateTo(axis)


class SliceWidget:
    """Stands for qMRMLSliceWidget."""

    def __init__(self, node: Any) -> None:
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        slicer.app.applicationLogic().GetSliceLogics().AddItem(self._logic)
        self._logic.SetMRMLScene(node.GetScene())
        self._logic.SetSliceNode(node)
        self._logic.ResizeSliceNode(400, 400)
        self._view = SliceView(self._logic)

    def sliceLogic(self) -> Any:
        """The slice's logic."""
        return self._logic

    def sliceView(self) -> SliceView:
        """The view itself."""
        return self._view

    def mrmlSliceNode(self) -> Any:
        """The slice's node."""
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        """Which volumes it shows."""
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        """Show all of the background volume."""
        self._logic.FitSliceToBackground()


class ThreeDWidget:
    """Stands for qMRMLThreeDWidget."""

    def __init__(self, node: Any) -> None:
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        slicer.app.applicationLogic().GetViewLogics().AddItem(self._logic)
        self._logic.SetName(node.GetLayoutName())  # By it the logic finds the node.
        self._logic.SetMRMLScene(node.GetScene())
        self._view = ThreeDView(self._logic)

    def threeDView(self) -> ThreeDView:
        """The view itself."""
        return self._view

    def mrmlViewNode(self) -> Any:
        """The view's node."""
        return self._logic.GetViewNode()

    def viewLogic(self) -> Any:
        """The view's logic."""
        return self._logic


class LayoutManager(QtCore.QObject):
    """Stands for qSlicerLayoutManager. The view nodes of a layout come from Slicer's own layout logic."""

    layoutChanged = Signal(int)
    SIGNALS = ("layoutChanged(int)",)

    def __init__(self, scene: Any) -> None:
        super().__init__()
        self._slices: dict[str, SliceWidget] = {}
        self._spaces: list[ThreeDWidget] = []
        self._viewport = QtWidgets.QWidget()
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(scene)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)

    def layoutLogic(self) -> Any:
        """Slicer's layout logic."""
        return self._logic

    def viewport(self) -> Any:
        """The widget that the views lie in."""
        return self._viewport

    def setLayout(self, layout: int) -> None:
        """Show the views of a layout; those that are new are made."""
        before = self.layout
        self._logic.GetLayoutNode().SetViewArrangement(layout)
        views = self._logic.GetViewNodes()
        nodes = [views.GetItemAsObject(index) for index in range(views.GetNumberOfItems())]
        for node in nodes:
            self._widgetFor(node)
        widgets = [w.mrmlSliceNode() for w in self._slices.values()] + [w.mrmlViewNode() for w in self._spaces]
        for node in widgets:
            node.SetMappedInLayout(int(node in nodes))
        if self.layout != before:
            self.layoutChanged.emit(self.layout)

    def _widgetFor(self, node: Any) -> None:
        name = node.GetLayoutName()
        if node.IsA("vtkMRMLSliceNode") and name not in self._slices:
            self._slices[name] = SliceWidget(node)
        elif node.IsA("vtkMRMLViewNode") and node not in [widget.mrmlViewNode() for widget in self._spaces]:
            self._spaces.append(ThreeDWidget(node))

    layout = Property(int, lambda self: self._logic.GetLayoutNode().GetViewArrangement(), setLayout)

    def sliceViewNames(self) -> tuple[str, ...]:
        """The slice views that have been made, shown or not."""
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        """A slice view by its name."""
        return self._slices.get(name)

    def threeDWidget(self, which: int | str) -> ThreeDWidget | None:
        """A 3D view by its number or name."""
        if isinstance(which, int):
            return self._spaces[which] if which < len(self._spaces) else None
        return next((widget for widget in self._spaces if widget.mrmlViewNode().GetLayoutName() == which), None)

    threeDViewCount = Property(int, lambda self: len(self._spaces))

    def mrmlSliceLogics(self) -> Any:
        """All slice logics."""
        return slicer.app.applicationLogic().GetSliceLogics()

    def mrmlViewLogics(self) -> Any:
        """All logics of 3D views."""
        return slicer.app.applicationLogic().GetViewLogics()

    def resetSliceViews(self) -> None:
        """Show all of the volumes in the slice views."""
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        """Show everything in the 3D views."""
        for widget in self._spaces:
            widget.threeDView().resetFocalPoint()

    def pauseRender(self) -> None:
        """Nothing is drawn unasked."""

    def resumeRender(self) -> None:
        """Nothing is drawn unasked."""
