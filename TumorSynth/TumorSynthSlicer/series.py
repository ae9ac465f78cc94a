"""The time points of a growing tumor as sequences that Slicer's own browser plays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import slicer
import slicer.util

from TumorSynthLib.errors import OutputError
from TumorSynthLib.result import read_result
from TumorSynthSlicer.grids import placeBeside
from TumorSynthSlicer.marks import editsOf, markSynthetic, sourceOf, stemOf, syntheticName
from TumorSynthSlicer.outputs import Loaded, loadResult, manifest, manifestEntry
from TumorSynthSlicer.patches import apply
from TumorSynthSlicer.segments import COLORS, outlined, outputSegmentation, setSegment, volumeMl
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.views import compositeNodes
from TumorSynthSlicer.volumes import cloneSteps

INDEX_NAME = "time"
"""What the browser's slider goes through."""


class Series(NamedTuple):
    """A growing tumor in the scene."""

    browser: Any
    """vtkMRMLSequenceBrowserNode."""
    volumes: Any
    """vtkMRMLSequenceNode of the scans."""
    segmentations: Any
    """vtkMRMLSequenceNode of the tumors."""


def seriesBytes(source: slicer.vtkMRMLScalarVolumeNode, count: int) -> int:
    """Memory that a series of so many time points takes: each is a whole volume. Ask the user where that is much."""
    return slicer.util.arrayFromVolume(source).nbytes * count


def growSeries(folder: str | Path, source: slicer.vtkMRMLScalarVolumeNode, basePath: str | Path | None = None) -> Steps[Series]:
    """Make sequences of the scans and tumors of a ``grow`` result, and a browser that shows the first.

    Parameters
    ----------
    folder : the result folder, with a sub-folder for each time point.
    source : the volume that was edited: the scan, or the output volume.
    basePath : file of the scan that the worker edited, see ``patches.patchFrom``.

    Returns
    -------
    The nodes, when all steps are done. The indices are the volumes, ``1: 4.0 mL`` and so on.

    Raises
    ------
    OutputError : ``output.result`` when the folder holds no series; else as ``outputs.loadResult``.
    """
    folder = Path(folder)
    names = read_result(folder).get("series")
    if not names:
        message = f"'{folder}' holds one result, expected a series of a growing tumor."
        raise OutputError("output.result", message, "Generate with the operation 'grow'.")
    volumes = _sequence(f"{stemOf(source)} TumorSynth growth")
    segmentations = _sequence(f"{stemOf(source)} TumorSynth growth lesions")
    edits, whole = [], False
    try:
        for number, name in enumerate(names, start=1):
            loaded = yield from loadResult(folder / name, source, basePath)
            edits.append(manifestEntry(loaded.result))
            index = f"{number}: {_size(loaded, source)}"
            yield from _addVolume(volumes, index, loaded, source)
            _addSegmentation(segmentations, index, loaded, source)
            yield
        whole = True
    finally:
        if not whole:
            slicer.mrmlScene.RemoveNode(volumes)
            slicer.mrmlScene.RemoveNode(segmentations)
    series = Series(_browser(source, volumes, segmentations), volumes, segmentations)
    _markAll(series, edits, source)
    return series


def _sequence(name: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", slicer.mrmlScene.GenerateUniqueName(syntheticName(name)))
    node.SetIndexName(INDEX_NAME)
    node.SetIndexUnit("")
    node.SetIndexType(slicer.vtkMRMLSequenceNode.TextIndex)
    return node


def _size(loaded: Loaded, source: slicer.vtkMRMLScalarVolumeNode) -> str:
    """All tumors of a time point together."""
    return f"{sum(volumeMl(mask, source) for mask in loaded.segments.values() if mask is not None):.3g} mL"


def _addVolume(sequence: Any, index: str, loaded: Loaded, source: slicer.vtkMRMLScalarVolumeNode) -> Steps[None]:
    """The sequence copies what it is given, so it is given a volume without voxels, and these after that."""
    clone = yield from cloneSteps(source, sequence.GetName())
    try:
        apply(clone, loaded.patch, force=True)
        image = clone.GetImageData()
        clone.SetAndObserveImageData(None)
        sequence.SetDataNodeAtValue(clone, index).SetAndObserveImageData(image)
    finally:
        slicer.mrmlScene.RemoveNode(clone.GetDisplayNode())
        slicer.mrmlScene.RemoveNode(clone)


def _addSegmentation(sequence: Any, index: str, loaded: Loaded, source: slicer.vtkMRMLScalarVolumeNode) -> None:
    node = outputSegmentation(source, sequence.GetName())
    for number, (name, mask) in enumerate(loaded.segments.items()):
        setSegment(node, f"TumorSynth_{number + 1}", name, mask, source, COLORS[number % len(COLORS)])
    sequence.SetDataNodeAtValue(node, index)
    slicer.mrmlScene.RemoveNode(node.GetDisplayNode())
    slicer.mrmlScene.RemoveNode(node)


def _browser(source: slicer.vtkMRMLScalarVolumeNode, volumes: Any, segmentations: Any) -> Any:
    name = slicer.mrmlScene.GenerateUniqueName(syntheticName(f"{stemOf(source)} TumorSynth growth browser"))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", name)
    browser.SetAndObserveMasterSequenceNodeID(volumes.GetID())
    browser.AddSynchronizedSequenceNodeID(segmentations.GetID())
    browser.SetIndexDisplayMode(slicer.vtkMRMLSequenceBrowserNode.IndexDisplayAsIndexValue)
    for node in (volumes, segmentations):
        browser.SetOverwriteProxyName(node, False)
        browser.SetSaveChanges(node, False)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    for node in (volumes, segmentations):
        proxy = browser.GetProxyNode(node)
        proxy.SetAndObserveTransformNodeID(source.GetTransformNodeID())
        proxy.CreateDefaultDisplayNodes()
        placeBeside(source, proxy)
    outlined(browser.GetProxyNode(segmentations))
    return browser


def showSeries(series: Series) -> None:
    """Show the first time point in the slice views, and the series in the toolbar that plays it."""
    volume = series.browser.GetProxyNode(series.volumes)
    for composite in compositeNodes():
        composite.SetBackgroundVolumeID(volume.GetID())
    if slicer.app.layoutManager() is not None:
        slicer.modules.sequences.showSequenceBrowser(series.browser)


def _markAll(series: Series, edits: Sequence[dict[str, Any]], source: slicer.vtkMRMLScalarVolumeNode) -> None:
    """The sequences, each time point in them, which knows its own edit alone, and what the browser shows of them."""
    scan, before = sourceOf(source) or source, editsOf(source)
    whole = manifest(scan, [*before, *edits])
    for node in series:
        markSynthetic(node, whole, scan)
    for sequence in (series.volumes, series.segmentations):
        for number, edit in enumerate(edits):
            markSynthetic(sequence.GetNthDataNode(number), manifest(scan, [*before, edit]))
        markSynthetic(series.browser.GetProxyNode(sequence), manifest(scan, [*before, edits[0]]))
