"""Results of the console as new nodes; the volume that was edited is never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
import slicer.util

from TumorSynthLib.errors import OutputError, RequestError
from TumorSynthLib.result import read_result
from TumorSynthSlicer import outputs
from TumorSynthSlicer.editing import removeNode
from TumorSynthSlicer.marks import editsOf, markSynthetic, sourceOf, stemOf, syntheticName
from TumorSynthSlicer.patches import apply
from TumorSynthSlicer.segments import SEGMENTATION_FILE, MaskBox, outputSegmentation, readSegments, setSegment
from TumorSynthSlicer.series import growSeries
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.variants import CORE_NAME
from TumorSynthSlicer.volumes import cloneSteps


@dataclass(frozen=True)
class EditResult:
    """What an operation has made."""

    volume: Any
    """The new volume's node, marked as synthetic; None for a shape alone."""
    segmentation: Any
    """The new segmentation's node."""
    result: Mapping[str, Any]
    """Contents of ``result.json``."""
    parts: Sequence[Mapping[str, Any]] = ()
    """The same of each tumor or time point, where there are several."""
    browser: Any = None
    """The sequence browser of a growing tumor; ``volume`` and ``segmentation`` are then what it shows."""

    def __repr__(self) -> str:
        names = [node.GetName() for node in (self.volume, self.segmentation, self.browser) if node is not None]
        return f"EditResult({', '.join(map(repr, names))})"

    @property
    def measured(self) -> dict[str, float]:
        """Measured features by PyRadiomics name; those of several tumors or time points are in ``parts``."""
        return dict(self.result.get("measured", {}))

    @property
    def warnings(self) -> list[str]:
        """What the user should know."""
        return list(self.result.get("warnings", []))


def loadEdit(folder: Path, volume: Any, image: Path, name: str) -> Steps[EditResult]:
    """A result as a new volume and a new segmentation.

    Parameters
    ----------
    folder : the result folder.
    volume : that was edited.
    image : its file.
    name : of the tumor's segment; several tumors have their names from the result.

    Returns
    -------
    The nodes, when all steps are done.

    Raises
    ------
    TumorSynthError : when the result cannot be read, or the volume was changed or has gone meanwhile.
    """
    _checkThere(volume)
    loaded = yield from outputs.loadResult(folder, volume, image)
    clone = yield from cloneSteps(volume, syntheticName(f"{stemOf(volume)} TumorSynth"))
    whole = False
    try:
        apply(clone, loaded.patch)
        whole = True
    finally:
        if not whole:
            removeNode(clone)
    parts = loaded.result.get("lesions") or ()
    segmentation = _segmentation(volume, loaded.segments, "" if parts else name)
    for node in (clone, segmentation):
        _mark(node, volume, loaded.result)
    return EditResult(clone, segmentation, loaded.result, parts)


def loadSeries(folder: Path, volume: Any, image: Path) -> Steps[EditResult]:
    """A growing tumor as sequences with their browser; raises as ``series.growSeries``."""
    _checkThere(volume)
    series = yield from growSeries(folder, volume, image)
    shown = [series.browser.GetProxyNode(node) for node in (series.volumes, series.segmentations)]
    result = read_result(folder)
    parts = [read_result(folder / name) for name in result["series"]]
    return EditResult(shown[0], shown[1], result, parts, series.browser)


def loadShape(folder: Path, volume: Any, name: str) -> Steps[EditResult]:
    """A shape as a segmentation: on the grid of a volume, or where that is None on its own.

    Parameters
    ----------
    name : of the tumor's segment.

    Raises
    ------
    OutputError : ``output.result`` when it cannot be read.
    """
    result = read_result(folder)
    if volume is not None:
        segments = yield from readSegments(folder)
        node = _segmentation(volume, segments, name)
        _mark(node, volume, result)
    else:
        node = _read(folder / SEGMENTATION_FILE, name)
        markSynthetic(node, {"schema": 1, "synthetic": "SYNTHETIC", "edits": [outputs.manifestEntry(result)]})
    return EditResult(None, node, result)


def _mark(node: Any, volume: Any, result: Mapping[str, Any]) -> None:
    """Mark what a result has made of a volume, which may be synthetic itself."""
    source = sourceOf(volume) or volume
    markSynthetic(node, outputs.manifest(source, [*editsOf(volume), outputs.manifestEntry(result)]), source)


def _checkThere(volume: Any) -> None:
    if not slicer.mrmlScene.IsNodePresent(volume):
        message = f"'{volume.GetName()}' was removed from the scene before the work was over."
        raise RequestError("console.gone", message, "Keep a volume until its edits are there.")


def _segmentation(volume: Any, segments: Mapping[str, MaskBox | None], name: str) -> Any:
    """A new segmentation; with a name it is that of the one tumor, whose core is named after it."""
    node = outputSegmentation(volume, syntheticName(f"{stemOf(volume)} TumorSynth lesions"))
    for found, mask in segments.items():
        if mask is not None:
            setSegment(node, "", _called(found, name), mask, volume)
    return node


def _read(path: Path, name: str) -> Any:
    """A segmentation as its file tells it."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", syntheticName("TumorSynth shape"))
    storage = node.CreateDefaultStorageNode()
    storage.UnRegister(None)
    storage.SetFileName(str(path))
    if not storage.ReadData(node):
        removeNode(node)
        raise OutputError("output.result", f"'{path}' cannot be read.", "Make it again.")
    node.CreateDefaultDisplayNodes()
    data = node.GetSegmentation()
    for segment in [data.GetNthSegment(number) for number in range(data.GetNumberOfSegments())]:
        segment.SetName(_called(segment.GetName(), name))
    return node


def _called(found: str, name: str) -> str:
    """What a segment of a result is called in the scene; without a name as in the result."""
    return {"Tumor": name, "Core": CORE_NAME.format(name)}.get(found, found) if name else found
