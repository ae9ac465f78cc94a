"""Results in the scene: the output volume, what a result puts into it, and the manifest that tells of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
import slicer.util

from TumorSynthLib.errors import OutputError
from TumorSynthLib.result import read_result
from TumorSynthSlicer.export_files import exportFiles
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.history import Entry
from TumorSynthSlicer.marks import MANIFEST, editsOf, isSynthetic, markSynthetic, sourceOf, syntheticName
from TumorSynthSlicer.patches import Patch, apply, patchFrom, revert
from TumorSynthSlicer.segments import MaskBox, outputSegmentation, readSegments, restoreSegment, segmentGrid
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.transforms import parentKind, worldMatrix
from TumorSynthSlicer.volumes import cloneSteps

__all__ = [
    "Loaded",
    "applyEntry",
    "checkOutput",
    "ensureOutputSegmentation",
    "ensureOutputVolume",
    "exportFiles",
    "loadResult",
    "manifest",
    "manifestEntry",
    "revertEntry",
    "segmentationOf",
]

_FILES = ("image", "mask", "region", "labels", "out")
"""Fields of a request that are paths: their folders are nobody's business."""
_TOLD = (
    "requested",
    "measured",
    "warnings",
    "quality",
    "bundle",
    "device",
    "steps",
    "versions",
    "source_sha256",
    "result_sha256",
)
"""What the manifest takes over from a result."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A result, ready to be shown."""

    folder: Path
    """Where its files are."""
    result: Mapping[str, Any]
    """Its ``result.json``."""
    patch: Patch
    """What it changes in the output volume."""
    segments: Mapping[str, MaskBox | None]
    """Its tumors by name; None for one that was removed."""


def loadResult(
    folder: str | Path, volumeNode: slicer.vtkMRMLScalarVolumeNode, basePath: str | Path | None = None
) -> Steps[Loaded]:
    """Read a result; nothing of the scene is changed.

    Parameters
    ----------
    folder : the result folder.
    volumeNode : the output volume, or the source where there is none yet.
    basePath : file of the scan that the worker edited, see ``patches.patchFrom``.

    Returns
    -------
    The result, when all steps are done.

    Raises
    ------
    OutputError, ImageError, GeometryError : as ``read_result``, ``patchFrom`` and ``readSegments``.
    """
    folder = Path(folder)
    result = read_result(folder)
    patch = yield from patchFrom(folder, result, volumeNode, basePath)
    segments = yield from readSegments(folder)
    return Loaded(folder, result, patch, segments)


def ensureOutputVolume(source: slicer.vtkMRMLScalarVolumeNode, parameters: Any) -> Steps[slicer.vtkMRMLScalarVolumeNode]:
    """The volume that results are put into: the chosen one, or a new copy of the scan.

    Parameters
    ----------
    source : the scan; it is never changed.
    parameters : its ``outputVolume`` is read, and set.

    Returns
    -------
    The volume, marked as synthetic, when all steps are done.

    Raises
    ------
    OutputError : ``output.foreign`` when the chosen volume was not made from this scan, so that nothing is overwritten.
    """
    chosen = parameters.outputVolume
    if chosen is not None:
        checkOutput(chosen, source)
        return chosen
    clone = yield from cloneSteps(source, syntheticName(f"{source.GetName()} TumorSynth"))
    markSynthetic(clone, manifest(source, ()), source)
    parameters.outputVolume = clone
    return clone


def checkOutput(chosen: slicer.vtkMRMLScalarVolumeNode, source: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Refuse an output volume that was not made from the scan, or no longer has its voxels.

    Raises
    ------
    OutputError : ``output.foreign``.
    """
    name = chosen.GetName()
    hint = "Choose 'Create new with the first result' in the section Output."
    if chosen is source or not isSynthetic(chosen) or sourceOf(chosen) not in (source, None):
        message = f"'{name}' was not made by TumorSynth from '{source.GetName()}'; it is not overwritten."
        raise OutputError("output.foreign", message, hint)
    same = chosen.GetImageData() is not None and geometryOf(chosen).same_grid(geometryOf(source))
    if not same or slicer.util.arrayFromVolume(chosen).dtype != slicer.util.arrayFromVolume(source).dtype:
        message = f"The voxels of '{name}' are no longer like those of '{source.GetName()}'."
        raise OutputError("output.foreign", message, hint)


def ensureOutputSegmentation(source: slicer.vtkMRMLScalarVolumeNode, parameters: Any) -> slicer.vtkMRMLSegmentationNode:
    """The segmentation of the results: the chosen one, to which tumors are added, or a new one.

    Parameters
    ----------
    source : the scan.
    parameters : its ``outputSegmentation`` is read, and set.
    """
    if parameters.outputSegmentation is None:
        node = outputSegmentation(source, syntheticName(f"{source.GetName()} TumorSynth lesions"))
        markSynthetic(node, manifest(source, ()), source)
        parameters.outputSegmentation = node
    return parameters.outputSegmentation


def segmentationOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode | None:
    """The segmentation that was made with an output volume: it tells of the same edits. None where there is none."""
    told = volumeNode.GetAttribute(MANIFEST)
    found = slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if editsOf(volumeNode) else []
    return next((node for node in found if node.GetAttribute(MANIFEST) == told), None)


def applyEntry(
    volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode, entry: Entry
) -> None:
    """Put a kept edit into the scene.

    Raises
    ------
    TumorSynthError : ``patch.changed`` when the voxels there are not those that the edit started from; nothing is changed then.
    GeometryError : as ``segments.segmentGrid``, with nothing changed either.
    """
    segmentGrid(segmentationNode, volumeNode)
    apply(volumeNode, entry.patch)
    for segmentId, state in entry.segmentsAfter.items():
        restoreSegment(segmentationNode, segmentId, state, volumeNode)


def revertEntry(
    volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode, entry: Entry
) -> None:
    """Take a kept edit out of the scene; the inverse of ``applyEntry``.

    Raises
    ------
    TumorSynthError : ``patch.changed`` when the voxels there are not those that the edit left; nothing is changed then.
    GeometryError : as ``segments.segmentGrid``, with nothing changed either.
    """
    segmentGrid(segmentationNode, volumeNode)
    revert(volumeNode, entry.patch)
    for segmentId, state in entry.segmentsBefore.items():
        restoreSegment(segmentationNode, segmentId, state, volumeNode)


def manifest(source: slicer.vtkMRMLScalarVolumeNode, edits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was done to a scan, for the marks of nodes and for ``manifest.json``.

    Parameters
    ----------
    source : the scan.
    edits : of ``manifestEntry``, oldest first.
    """
    told: dict[str, Any] = {"schema": 1, "synthetic": "SYNTHETIC", "use": "Research only, not for clinical use."}
    told["source"] = {"name": source.GetName(), "dicom_uids": (source.GetAttribute("DICOM.instanceUIDs") or "").split()[:1]}
    if parentKind(source) == "linear":
        told["source"]["transform_to_world"] = worldMatrix(source).tolist()
    told["slicer"] = slicer.app.applicationVersion
    told["edits"] = [dict(edit) for edit in edits]
    return told


def manifestEntry(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest tells of one result: what was asked and measured, seed, bundle, versions, checksums, device."""
    entry = {"request": _withoutFolders(result.get("request", {})), "seed": result.get("request", {}).get("seed")}
    entry |= {name: result[name] for name in _TOLD if result.get(name) is not None}
    if result.get("lesions"):
        names = ("name", "requested", "measured", "warnings")
        lesions = [{name: lesion[name] for name in names if name in lesion} for lesion in result["lesions"]]
        entry["lesions"] = [
            {**told, "request": _withoutFolders(lesion.get("request", {}))}
            for told, lesion in zip(lesions, result["lesions"], strict=True)
        ]
    return entry


def _withoutFolders(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request with the names of its files alone, also in the requests inside of it."""
    told: dict[str, Any] = {}
    for name, value in request.items():
        if name in _FILES and isinstance(value, str):
            value = value.replace("\\", "/").rstrip("/").rpartition("/")[2]
        elif isinstance(value, Mapping):
            value = _withoutFolders(value)
        elif isinstance(value, list):
            value = [_withoutFolders(item) if isinstance(item, Mapping) else item for item in value]
        told[name] = value
    return told
