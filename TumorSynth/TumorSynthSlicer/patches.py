"""What an edit changes in the output volume: the voxels of one box, before and after. So undo costs milliseconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util

from TumorSynthLib.errors import GeometryError, OutputError, TumorSynthError
from TumorSynthLib.volume import Box
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.history import Entry, History
from TumorSynthSlicer.nrrd_files import STEP_BYTES, boxSteps, mapped
from TumorSynthSlicer.nrrd_headers import Header, readHeader
from TumorSynthSlicer.tasks import Steps

__all__ = ["IMAGE_FILE", "Entry", "History", "Patch", "apply", "modified", "patchFrom", "revert", "voxels"]

IMAGE_FILE = "image.nrrd"
"""Name of the edited scan in a result folder."""


@dataclass(frozen=True, eq=False)
class Patch:
    """The voxels of a box before and after an edit."""

    start: tuple[int, int, int]
    """First voxel of the box, i, j, k."""
    before: np.ndarray
    """Voxels [k, j, i] that were there."""
    after: np.ndarray
    """Voxels [k, j, i] that come there, of the same type."""

    @property
    def box(self) -> Box:
        """The voxels i, j, k that it covers."""
        k, j, i = self.before.shape
        return Box(self.start, (self.start[0] + i, self.start[1] + j, self.start[2] + k))

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return self.before.nbytes + self.after.nbytes


def patchFrom(
    resultFolder: str | Path,
    result: Mapping[str, Any],
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    basePath: str | Path | None = None,
) -> Steps[Patch]:
    """What a result changes in a volume.

    Parameters
    ----------
    resultFolder : holds ``image.nrrd``.
    result : its ``result.json``; its field ``changed`` tells the box, without it all voxels are compared.
    volumeNode : the output volume.
    basePath : file of the scan that the worker edited. None compares with the voxels of the volume, which must be those then.

    Returns
    -------
    The patch, when all steps are done.

    Raises
    ------
    GeometryError : ``result.grid`` when the result does not lie on the volume's grid.
    ImageError : when a file cannot be read.
    OutputError : ``result.type`` when the voxel types differ, ``result.changed`` when the box makes no sense.
    """
    path = Path(resultFolder) / IMAGE_FILE
    header = _fitting(path, volumeNode)
    if basePath is not None:
        _fitting(basePath, volumeNode)
    told = result.get("changed")
    box = _toldBox(told, header) if told else (yield from _changedBox(path, header, volumeNode, basePath))
    after = yield from boxSteps(path, box.start, box.stop)
    if basePath is not None:
        before = yield from boxSteps(basePath, box.start, box.stop)
    else:
        before = voxels(volumeNode, box).copy()
    return Patch(box.start, before, after)


def voxels(volumeNode: slicer.vtkMRMLScalarVolumeNode, box: Box) -> np.ndarray:
    """A box of a volume, [k, j, i], as a view."""
    i, j, k = box.slices
    return slicer.util.arrayFromVolume(volumeNode)[k, j, i]


def _fitting(path: str | Path, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Header:
    """The header of a file on the grid of the volume, with voxels of its type."""
    header = readHeader(path)
    if not header.geometry.same_grid(geometryOf(volumeNode)):
        message = f"'{path}' does not lie on the grid of '{volumeNode.GetName()}'."
        raise GeometryError("result.grid", message, "The scan was changed or moved since; generate again.")
    kind = slicer.util.arrayFromVolume(volumeNode).dtype
    if header.dtype.newbyteorder("=") != kind:
        message = f"'{path}' has voxels of type {header.dtype.name}, '{volumeNode.GetName()}' of type {kind.name}."
        raise OutputError("result.type", message, "Choose another output volume, or let a new one be created.")
    return header


def _toldBox(told: Any, header: Header) -> Box:
    try:
        start, stop = (tuple(int(n) for n in told[name]) for name in ("start", "stop"))
        sizes = zip(start, stop, header.geometry.shape, strict=True)
        inside = len(start) == 3 and all(0 <= low <= high <= n for low, high, n in sizes)
    except (KeyError, TypeError, ValueError) as error:
        raise _badBox(told) from error
    if not inside:
        raise _badBox(told)
    return Box(start, stop)


def _badBox(told: Any) -> OutputError:
    message = f"The result says that it changed the voxels {str(told)[:100]}, which are no box of the scan."
    return OutputError("result.changed", message, "Generate again.")


def _changedBox(
    path: Path, header: Header, volumeNode: slicer.vtkMRMLScalarVolumeNode, basePath: str | Path | None
) -> Steps[Box]:
    """The smallest box with all voxels that differ; an empty one at the origin where none does."""
    new = mapped(path, header)
    old = slicer.util.arrayFromVolume(volumeNode) if basePath is None else mapped(basePath, readHeader(basePath))
    start, stop = np.array(header.geometry.shape), np.zeros(3, int)
    count = max(1, STEP_BYTES // new[0].nbytes)
    for first in range(0, len(new), count):
        different = ~_same(old[first : first + count], new[first : first + count])
        for axis, others in enumerate(((0, 1), (0, 2), (1, 2))):
            line = np.flatnonzero(different.any(axis=others)) + (first if axis == 2 else 0)
            if line.size:
                start[axis], stop[axis] = min(start[axis], line[0]), max(stop[axis], line[-1] + 1)
        yield
    if not stop.any():
        return Box((0, 0, 0), (0, 0, 0))
    return Box(tuple(start.tolist()), tuple(stop.tolist()))


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which voxels are equal bit for bit: minus zero is not zero."""
    if one.dtype.kind != "f":
        return one == other
    bits = np.dtype(f"u{one.dtype.itemsize}")
    native = one.dtype.newbyteorder("=")
    return np.asarray(one, native).view(bits) == np.asarray(other, native).view(bits)


def apply(volumeNode: slicer.vtkMRMLScalarVolumeNode, patch: Patch, force: bool = False) -> None:
    """Write the voxels of an edit.

    Parameters
    ----------
    volumeNode : the output volume.
    patch : of it.
    force : whether voxels that someone else has changed in the box are lost.

    Raises
    ------
    TumorSynthError : ``patch.changed`` when the voxels in the box are not those that the edit started from.
    """
    _write(volumeNode, patch, patch.before, patch.after, force)


def revert(volumeNode: slicer.vtkMRMLScalarVolumeNode, patch: Patch, force: bool = False) -> None:
    """Write the voxels that were there before an edit; the inverse of ``apply``.

    Raises
    ------
    TumorSynthError : ``patch.changed`` when the voxels in the box are not those that the edit left.
    """
    _write(volumeNode, patch, patch.after, patch.before, force)


def _write(volumeNode: Any, patch: Patch, old: np.ndarray, new: np.ndarray, force: bool) -> None:
    place = _place(volumeNode, patch)
    if np.array_equal(_same(place, new), np.ones(new.shape, bool)):
        return
    if not force and not _same(place, old).all():
        message = f"Voxels of '{volumeNode.GetName()}' near the tumor were changed by something else since."
        raise TumorSynthError("patch.changed", message, "Take that change back, or start again from a new output volume.")
    place[...] = new
    modified(volumeNode)


def _place(volumeNode: slicer.vtkMRMLScalarVolumeNode, patch: Patch) -> np.ndarray:
    """The box of a patch in a volume that it fits."""
    image = volumeNode.GetImageData()
    shape = (0, 0, 0) if image is None else image.GetDimensions()
    if any(stop > n for stop, n in zip(patch.box.stop, shape, strict=True)):
        message = f"'{volumeNode.GetName()}' has {shape} voxels, the edit reaches to {patch.box.stop}."
        raise GeometryError("result.grid", message, "Choose the output volume that the edit was made in.")
    place = voxels(volumeNode, patch.box)
    if place.dtype != patch.after.dtype:
        message = f"'{volumeNode.GetName()}' has voxels of type {place.dtype}, the edit of type {patch.after.dtype}."
        raise OutputError("result.type", message, "Choose the output volume that the edit was made in.")
    return place


def modified(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Tell the application once that voxels have changed."""
    image, before = volumeNode.GetImageData(), volumeNode.StartModify()
    image.GetPointData().GetScalars().Modified()
    image.Modified()
    volumeNode.Modified()
    volumeNode.EndModify(before)
