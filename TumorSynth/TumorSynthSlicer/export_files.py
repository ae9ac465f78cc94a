"""The output as files in a folder of the user's: volume, tumors and the manifest that tells what they are."""

import contextlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util

from TumorSynthLib.errors import OutputError, TumorSynthError
from TumorSynthSlicer.grids import geometryOf, ijkToRas
from TumorSynthSlicer.marks import FILE_KEY, syntheticName
from TumorSynthSlicer.nifti_files import writeNifti
from TumorSynthSlicer.nrrd_files import checksum, writeNrrd
from TumorSynthSlicer.segment_masks import maskSteps
from TumorSynthSlicer.tasks import Steps

FORMATS = ("nrrd", "nii.gz")
"""What the volume may be written as."""
MANIFEST_FILE = "manifest.json"
"""End of the manifest's name."""


def exportFiles(
    folder: str | Path,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    told: Mapping[str, Any],
    fileFormat: str = "nrrd",
    overwrite: bool = False,
) -> Steps[list[Path]]:
    """Write the output; all files appear when all are written, or none does.

    The files lie in the scan's own space, as its own files do; a parent transform is told in the manifest. The segmentation
    (.seg.nrrd) holds only the voxels around the tumors; beside NIfTI they are also written as labels on the scan's grid, 1, 2
    and so on in their order, where a later one has the voxels that two share.

    Parameters
    ----------
    folder : chosen by the user; made where it is not there.
    volumeNode : the output volume.
    segmentationNode : the tumors, or None.
    told : of ``outputs.manifest``; the checksums of the files are added.
    fileFormat : of the volume, one of ``FORMATS``.
    overwrite : whether files of the same names are replaced.

    Returns
    -------
    The paths, when all steps are done.

    Raises
    ------
    OutputError : ``output.exists`` for files that are there already, ``output.type`` for an unknown format, ``output.failed``
        when the file system refuses.
    """
    folder = Path(folder)
    if fileFormat not in FORMATS:
        raise OutputError("output.type", f"The format '{fileFormat}' is unknown.", f"Choose one of {', '.join(FORMATS)}.")
    stem = fileName(syntheticName(volumeNode.GetName()))
    partial = folder / f".partial-{secrets.token_hex(6)}"
    try:
        with _told(folder):
            partial.mkdir(parents=True)
        _checkFree(folder, stem, fileFormat, overwrite)
        yield from _volume(partial / f"{stem}.{fileFormat}", volumeNode, fileFormat)
        if segmentationNode is not None:
            yield from _segmentation(partial, stem, segmentationNode, volumeNode, fileFormat)
        sums = {}
        for path in sorted(partial.iterdir()):
            sums[path.name] = yield from checksum(path)
        with _told(folder):
            text = json.dumps({**told, "files_sha256": sums}, indent=2, allow_nan=False) + "\n"
            (partial / f"{stem}.{MANIFEST_FILE}").write_text(text, encoding="utf-8")
            return [path.replace(folder / path.name) for path in sorted(partial.iterdir())]
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def fileName(name: str) -> str:
    """A node's name as every file system takes it.

    >>> fileName("CT: abdomen/venous [SYNTHETIC]")
    'CT_abdomen_venous_[SYNTHETIC]'
    """
    return re.sub(r"[^\w\[\]().-]+", "_", name).strip("_.") or "TumorSynth"


@contextlib.contextmanager
def _told(folder: Path):
    """Turn the errors of the file system into ours."""
    try:
        yield
    except OSError as error:
        message = f"'{folder}' cannot be written: {error.strerror or error}."
        raise OutputError("output.failed", message, "Check the free space and the permissions, or choose another.") from error


def _checkFree(folder: Path, stem: str, fileFormat: str, overwrite: bool) -> None:
    names = (f"{stem}.{fileFormat}", f"{stem}.seg.nrrd", f"{stem}.labels.nii.gz", f"{stem}.{MANIFEST_FILE}")
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        message = f"'{folder}' has {', '.join(there)} already."
        raise OutputError("output.exists", message, "Choose another folder, or rename the output volume.")


def _volume(path: Path, node: slicer.vtkMRMLScalarVolumeNode, fileFormat: str) -> Steps[Path]:
    array, affine = slicer.util.arrayFromVolume(node), ijkToRas(node)
    if fileFormat == "nrrd":
        return (yield from writeNrrd(path, array, affine, FILE_KEY))
    return (yield from writeNifti(path, array, affine, _description()))


def _description() -> str:
    return "; ".join(f"{key}={value}" for key, value in FILE_KEY.items())


def _segmentation(
    folder: Path,
    stem: str,
    node: slicer.vtkMRMLSegmentationNode,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    fileFormat: str,
) -> Steps[None]:
    _writeSegments(folder / f"{stem}.seg.nrrd", node)
    yield
    if fileFormat == "nii.gz":
        labels = yield from _labels(node, volumeNode)
        yield from writeNifti(folder / f"{stem}.labels.nii.gz", labels, ijkToRas(volumeNode), _description())


def _writeSegments(path: Path, node: slicer.vtkMRMLSegmentationNode) -> None:
    """By Slicer itself, which keeps names, colors, terminology and overlaps; without the empty rest of the grid."""
    storage = node.CreateDefaultStorageNode()
    storage.UnRegister(None)
    storage.SetFileName(str(path))
    storage.SetCropToMinimumExtent(True)
    if not storage.WriteData(node):
        message = f"'{path.name}' cannot be written."
        raise OutputError("output.failed", message, "Check the free space and the permissions of the folder.")


def _labels(node: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps[np.ndarray]:
    """All segments as labels [k, j, i] on the volume's grid."""
    segmentation = node.GetSegmentation()
    count = segmentation.GetNumberOfSegments()
    labels = np.zeros(tuple(reversed(geometryOf(volumeNode).shape)), np.uint8 if count < 256 else np.uint16)
    for number in range(count):
        try:
            mask = yield from maskSteps(node, segmentation.GetNthSegmentID(number), volumeNode)
        except TumorSynthError as error:
            if error.code not in ("segment.empty", "mask.outside", "mask.too_small"):
                raise
            continue
        labels.transpose(2, 1, 0)[mask.box.slices][mask.mask] = number + 1
    return labels
