"""The tumors of a segmentation as surfaces in the 3D views."""

from typing import Any

import qt
import slicer

from TumorSynthSlicer import views

_CLOSED_SURFACE = "Closed surface"


class Surface:
    """Shows the surfaces, keeps them up to date, and hides them again."""

    def __init__(self) -> None:
        self._segmentation: Any = None
        self._tags: list[tuple[Any, int]] = []
        self._wasVisible = False
        self._layout: int | None = None
        self._pending = False

    @property
    def shown(self) -> bool:
        """Whether surfaces are shown."""
        return self._segmentation is not None

    def show(self, segmentation: Any) -> None:
        """Show the segments of a segmentation node, in a layout with a 3D view."""
        if segmentation is self._segmentation:
            return
        self.hide()
        segmentation.CreateDefaultDisplayNodes()
        self._segmentation = segmentation
        self._wasVisible = bool(segmentation.GetDisplayNode().GetVisibility3D())
        self._build()
        segmentation.GetDisplayNode().SetVisibility3D(True)
        for event in ("SourceRepresentationModified", "SegmentAdded"):
            source = segmentation.GetSegmentation()
            self._tags.append((source, source.AddObserver(getattr(slicer.vtkSegmentation, event), self._onSegments)))
        self._showView()

    def hide(self) -> None:
        """Show what was shown before ``show``."""
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        segmentation, self._segmentation, self._tags = self._segmentation, None, []
        if segmentation is not None and slicer.mrmlScene.IsNodePresent(segmentation) and segmentation.GetDisplayNode():
            segmentation.GetDisplayNode().SetVisibility3D(self._wasVisible)
        layout = views.layoutNode()
        if self._layout is not None and layout is not None and layout.GetViewArrangement() == layout.SlicerLayoutFourUpView:
            views.setLayout(self._layout)
        self._layout = None

    def _onSegments(self, *_: Any) -> None:
        if not self._pending:
            self._pending = True
            qt.QTimer.singleShot(0, self._rebuild)

    def _rebuild(self) -> None:
        self._pending = False
        if self.shown and slicer.mrmlScene.IsNodePresent(self._segmentation):
            self._build()

    def _build(self) -> None:
        """Make the surfaces where there are voxels to make them of."""
        if self._segmentation.GetSegmentation().GetNumberOfSegments():
            self._segmentation.CreateClosedSurfaceRepresentation()

    def _showView(self) -> None:
        """Change to a layout with a 3D view where there is none."""
        layout = views.layoutNode()
        found = list(slicer.util.getNodesByClass("vtkMRMLViewNode"))
        if layout is not None and not any(node.IsMappedInLayout() for node in found):
            self._layout = layout.GetViewArrangement()
            views.setLayout(layout.SlicerLayoutFourUpView)


def hasSurface(segmentation: Any) -> bool:
    """Whether 3D views show something of a segmentation node."""
    display = segmentation.GetDisplayNode()
    made = segmentation.GetSegmentation().ContainsRepresentation(_CLOSED_SURFACE)
    return bool(display and made and display.GetVisibility() and display.GetVisibility3D() and display.GetVisibleSegmentIDs())
