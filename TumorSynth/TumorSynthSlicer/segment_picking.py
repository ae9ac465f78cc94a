"""Which segment lies under the mouse."""

import re
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from TumorSynthSlicer.segment_masks import imageToWorld, labelArray

_TUMOR = re.compile(r"tumou?r|lesion|metast|nodul|neoplas|carcinom|cancer|\bmass\b|108369006|86049000", re.IGNORECASE)
"""Words of names and terminology, the latter's codes included."""


def isTumor(segment: slicer.vtkSegment) -> bool:
    """Whether a segment is called a tumor, by its name or its terminology."""
    tag = vtk.reference("")
    segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
    return _TUMOR.search(f"{segment.GetName()} {tag.get()}") is not None


def segmentUnderCursor() -> tuple[slicer.vtkMRMLSegmentationNode, str] | None:
    """The topmost visible segment under the mouse and its segmentation, or None, also where the mouse is over no view."""
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    ras = [0.0, 0.0, 0.0]
    if crosshair is None or not crosshair.GetCursorPositionRAS(ras):
        return None
    return segmentAt(ras)


def segmentAt(ras: Any) -> tuple[slicer.vtkMRMLSegmentationNode, str] | None:
    """The topmost visible segment at a world position (RAS mm) and its segmentation, or None. What is drawn last is on top."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    for node in reversed(nodes):
        display = node.GetDisplayNode()
        if display is None or not display.GetVisibility():
            continue
        own = [0.0, 0.0, 0.0]
        node.TransformPointFromWorld(list(ras), own)
        segmentation = node.GetSegmentation()
        for index in reversed(range(segmentation.GetNumberOfSegments())):
            segmentId = segmentation.GetNthSegmentID(index)
            if display.GetSegmentVisibility(segmentId) and _holds(segmentation.GetSegment(segmentId), own):
                return node, segmentId
    return None


def _holds(segment: slicer.vtkSegment, point: list[float]) -> bool:
    """Whether a point of the segmentation's own RAS is in a segment, by its voxels or else by its surface."""
    converter = slicer.vtkSegmentationConverter
    image = segment.GetRepresentation(converter.GetSegmentationBinaryLabelmapRepresentationName())
    if image is not None:
        return _voxel(image, point) == segment.GetLabelValue()
    surface = segment.GetRepresentation(converter.GetSegmentationClosedSurfaceRepresentationName())
    return surface is not None and surface.GetNumberOfCells() > 0 and _inside(surface, point)


def _voxel(image: slicer.vtkOrientedImageData, point: list[float]) -> int:
    """The label at a point; 0 outside of the labelmap."""
    array, first = labelArray(image)
    ijk = np.linalg.inv(imageToWorld(image)) @ np.append(point, 1.0)
    i, j, k = np.rint(ijk[:3]).astype(int) - first
    inside = 0 <= k < array.shape[0] and 0 <= j < array.shape[1] and 0 <= i < array.shape[2]
    return int(array[k, j, i]) if inside else 0


def _inside(surface: vtk.vtkPolyData, point: list[float]) -> bool:
    bounds = surface.GetBounds()
    if not all(bounds[2 * axis] <= point[axis] <= bounds[2 * axis + 1] for axis in range(3)):
        return False
    test = vtk.vtkSelectEnclosedPoints()
    test.Initialize(surface)
    held = bool(test.IsInsideSurface(point))
    test.Complete()
    return held
