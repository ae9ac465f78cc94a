"""Files of tumors: those that tell the worker of painted ones, and those of its results."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import slicer

from TumorSynthLib.errors import ImageError
from TumorSynthLib.volume import Box
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.nrrd_files import boxSteps, writeNrrd
from TumorSynthSlicer.nrrd_headers import Header, readHeader
from TumorSynthSlicer.segment_masks import MaskBox
from TumorSynthSlicer.tasks import Steps, finished

SEGMENTATION_FILE = "segmentation.seg.nrrd"
"""Name of the tumors in a result folder."""
CORE_LABEL = 2
"""Value of a tumor's core in a mask file; the rest of the tumor is 1."""


def writeMask(path: str | Path, mask: MaskBox, volumeNode: slicer.vtkMRMLScalarVolumeNode, label: int = 1) -> Path:
    """Write a mask as a small file in the volume's grid: only the voxels around it.

    Raises
    ------
    OutputError : when the file cannot be written.
    """
    return _writeLabels(path, mask.mask * np.uint8(label), mask.start, volumeNode)


def writeLesionMask(path: str | Path, mask: MaskBox, core: MaskBox | None, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Path:
    """Write a tumor with its core: 1, and ``CORE_LABEL`` in the core.

    Raises
    ------
    OutputError : when the file cannot be written.
    """
    if core is None:
        return writeMask(path, mask, volumeNode)
    start = np.minimum(mask.box.start, core.box.start)
    stop = np.maximum(mask.box.stop, core.box.stop)
    labels = np.zeros(stop - start, np.uint8, order="F")
    for part, label in ((mask, 1), (core, CORE_LABEL)):
        box = Box(tuple(np.array(part.box.start) - start), tuple(np.array(part.box.stop) - start))
        labels[box.slices][part.mask] = label
    return _writeLabels(path, labels, tuple(start.tolist()), volumeNode)


def _writeLabels(
    path: str | Path, labels: np.ndarray, start: Sequence[int], volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> Path:
    """With a margin of one voxel: readers expect images of several slices."""
    geometry = geometryOf(volumeNode)
    affine = geometry.affine.copy()
    affine[:3, 3] = geometry.to_ras(np.array(start) - 1)
    return finished(writeNrrd(path, np.pad(labels, 1).transpose(2, 1, 0), affine))


def readSegments(resultFolder: str | Path) -> Steps[dict[str, MaskBox | None]]:
    """The segments of a result by name; None for an empty one, such as a removed tumor's.

    Returns
    -------
    Masks on the grid of the result, when all steps are done.

    Raises
    ------
    ImageError : when the file cannot be read, ``mask.header`` when its segments make no sense.
    """
    path = Path(resultFolder) / SEGMENTATION_FILE
    header = readHeader(path)
    boxes = _segmentBoxes(path, header)
    filled = [box for _, _, box in boxes if min(box.shape) > 0]
    found: dict[str, MaskBox | None] = {name: None for name, _, _ in boxes}
    if not filled:
        return found
    start = tuple(int(n) for n in np.min([box.start for box in filled], axis=0))
    stop = tuple(int(n) for n in np.max([box.stop for box in filled], axis=0))
    labels = yield from boxSteps(path, start, stop)
    for name, label, _ in boxes:
        inside = (labels == label).transpose(2, 1, 0)
        found[name] = MaskBox(inside, start).tight() if inside.any() else None
        yield
    return found


def _segmentBoxes(path: Path, header: Header) -> list[tuple[str, int, Box]]:
    """Name, label and range of each segment that the header tells of."""
    found = []
    try:
        for number in sorted(_segmentNumbers(header.keys)):
            prefix = f"Segment{number}_"
            ends = [int(word) for word in header.keys[f"{prefix}Extent"].split()]
            box = Box((ends[0], ends[2], ends[4]), (ends[1] + 1, ends[3] + 1, ends[5] + 1))
            found.append((header.keys[f"{prefix}Name"], int(header.keys[f"{prefix}LabelValue"]), box))
    except (KeyError, ValueError, IndexError) as error:
        message = f"'{path}' does not tell its segments ({error})."
        raise ImageError("mask.header", message, "Make the result again.") from error
    return found


def _segmentNumbers(keys: Mapping[str, str]) -> set[int]:
    return {int(match[1]) for key in keys if (match := re.fullmatch(r"Segment(\d+)_LabelValue", key))}
