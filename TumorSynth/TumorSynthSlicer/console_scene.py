"""Results of the console as new nodes; the volume that was edited is never changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer
import slicer.util

from TumorSynthLib.errors import OutputError
from TumorSynthSlicer import outputs
from TumorSynthSlicer.console_jobs import EditResult
from TumorSynthSlicer.editing import removeNode
from TumorSynthSlicer.marks import SUFFIX, manifestOf, markSynthetic, sourceOf, syntheticName
from TumorSynthSlicer.patches import apply
from TumorSynthSlicer.segments import SEGMENTATION_FILE, MaskBox, outputSegmentation, readSegments, setSegment
from TumorSynthSlicer.series import growSeries
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.volumes import cloneSteps


def editSteps(folder: Path, volume: Any, image: Path, name: str) -> Steps[EditResult]:
    """A result as a new volume and a new segmentation.

    Parameters
    ----------
    folder : the result folder.
    volume : that was edited.
    image : its file.
    name : of the tumor's segment.

    Returns
    -------
    The nodes, when all steps are done.

    Raises
    ------
    TumorSynthError : when the result cannot be read, or the volume was changed meanwhile.
    """
    loaded = yield from outputs.loadResult(folder, volume, image)
    clone = yield from cloneSteps(volume, syntheticName(f"{_stem(volume)} TumorSynth"))
    whole = False
    try:
        apply(clone, loaded.patch)
        whole = True
    finally:
        if not whole:
            removeNode(clone)
    segmentation = _segmentation(volume, loaded.segments, name)
    told = manifestSince(volume, loaded.result)
    for node in (clone, segmentation):
        markSynthetic(node, told, sourceOf(volume) or volume)
    return EditResult(clone, segmentation, loaded.result, folder)


def seriesSteps(folder: Path, volume: Any, image: Path) -> Steps[EditResult]:
    """A growing tumor as sequences with their browser; raises as ``series.growSeries``."""
    series = yield from growSeries(folder, volume, image)
    shown = [series.browser.GetProxyNode(node) for node in (series.volumes, series.segmentations)]
    return EditResult(shown[0], shown[1], outputs.readResult(folder), folder, series.browser)


def shapeSteps(folder: Path, volume: Any, name: str) -> Steps[EditResult]:
    """A shape as a segmentation: on the grid of a volume, or where that is None on its own.

    Raises
    ------
    OutputError : ``output.result`` when it cannot be read.
    """
    result = outputs.readResult(folder)
    if volume is not None:
        segments = yield from readSegments(folder)
        node = _segmentation(volume, segments, name)
        markSynthetic(node, manifestSince(volume, result), sourceOf(volume) or volume)
    else:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", syntheticName("TumorSynth shape"))
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        storage.SetFileName(str(folder / SEGMENTATION_FILE))
        if not storage.ReadData(node):
            removeNode(node)
            raise OutputError("output.result", f"'{folder / SEGMENTATION_FILE}' cannot be read.", "Make it again.")
        node.CreateDefaultDisplayNodes()
        markSynthetic(node, {"schema": 1, "synthetic": "SYNTHETIC", "edits": [outputs.manifestEntry(result)]})
    return EditResult(None, node, result, folder)


def manifestSince(volume: Any, result: Mapping[str, Any]) -> dict[str, Any]:
    """What was done to a volume and, where that was synthetic itself, to it before."""
    before = manifestOf(volume).get("edits", [])
    return outputs.manifest(sourceOf(volume) or volume, [*before, outputs.manifestEntry(result)])


def _segmentation(volume: Any, segments: Mapping[str, MaskBox | None], name: str) -> Any:
    node = outputSegmentation(volume, syntheticName(f"{_stem(volume)} TumorSynth lesions"))
    for found, mask in segments.items():
        if mask is not None:
            setSegment(node, "", name if found == "Tumor" else f"{name} {found.lower()}", mask, volume)
    return node


def _stem(volume: Any) -> str:
    """The scan's name without what earlier edits have added."""
    return str(volume.GetName()).replace(SUFFIX, "").removesuffix(" TumorSynth")
