"""The scan's file for the worker, and the copy of the scan that results are shown in."""

import contextlib
import hashlib
from pathlib import Path

import slicer
import slicer.util
import vtk

from TumorSynthLib.errors import ImageError
from TumorSynthSlicer.grids import geometryOf, ijkToRas, placeBeside
from TumorSynthSlicer.nrrd_files import STEP_BYTES, writeNrrd
from TumorSynthSlicer.scans import ScanFacts, checkVolume, scanFacts
from TumorSynthSlicer.segments import SYNTHETIC_TAG
from TumorSynthSlicer.tasks import Steps, finished

__all__ = [
    "ScanFacts",
    "ScanFile",
    "checkVolume",
    "cloneSteps",
    "cloneVolume",
    "geometryOf",
    "ijkToRas",
    "scanFacts",
    "scanStamp",
]


class ScanFile:
    """Files of volumes for the worker, written again only when a volume has changed.

    Parameters
    ----------
    folder : where they are kept; its owner removes it.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._kept: dict[str, tuple[str, Path]] = {}

    def steps(self, node: slicer.vtkMRMLScalarVolumeNode) -> Steps[Path]:
        """Write a volume, unless its file is there already.

        Returns
        -------
        The path, when all steps are done.

        Raises
        ------
        ImageError : as ``checkVolume``; ``scan.changed`` when the volume is changed while it is written.
        GeometryError : as ``checkVolume``.
        OutputError : when the file cannot be written.
        """
        mark, path = scanStamp(node), self.known(node)
        if path is not None:
            return path
        checkVolume(node)
        digest = hashlib.sha256(mark.encode()).hexdigest()[:16]
        path = yield from writeNrrd(self._folder / f"scan-{digest}.nrrd", slicer.util.arrayFromVolume(node), ijkToRas(node))
        if mark != scanStamp(node):
            path.unlink(missing_ok=True)
            raise ImageError("scan.changed", f"'{node.GetName()}' was changed while it was read.", "Try again.")
        if self._kept.get(node.GetID(), ("", None))[1] != path:
            self.forget(node)
        self._kept[node.GetID()] = (mark, path)
        return path

    def known(self, node: slicer.vtkMRMLScalarVolumeNode) -> Path | None:
        """The file of a volume as it is now, or None where there is none."""
        mark, path = self._kept.get(node.GetID(), ("", None))
        return path if path is not None and mark == scanStamp(node) and path.is_file() else None

    def hold(self, node: slicer.vtkMRMLScalarVolumeNode, path: Path) -> None:
        """Take over a file that is known to hold what the volume now holds, for example a result that is shown in it."""
        self._kept[node.GetID()] = (scanStamp(node), path)

    def forget(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Remove the file of a volume, where it lies in this folder."""
        _, path = self._kept.pop(node.GetID(), ("", None))
        if path is not None and path.parent == self._folder:
            with contextlib.suppress(OSError):  # another program may have it open
                path.unlink(missing_ok=True)


def scanStamp(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Changes when voxels or the grid do."""
    image = node.GetImageData()
    return f"{node.GetID()} {0 if image is None else image.GetMTime()} {ijkToRas(node).tobytes().hex()}"


def cloneVolume(node: slicer.vtkMRMLScalarVolumeNode, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """A copy of a volume in the scene, see ``cloneSteps``."""
    return finished(cloneSteps(node, name))


def cloneSteps(node: slicer.vtkMRMLScalarVolumeNode, name: str) -> Steps[slicer.vtkMRMLScalarVolumeNode]:
    """Copy a volume: voxels, grid, parent transform, place in the subject hierarchy, and how it is displayed.

    The copy is there to be changed, and marked as synthetic from the start. It does not claim to be the DICOM series that the
    volume was loaded from. Its window stays as it is, so that Slicer need not search through all voxels after every edit.

    Returns
    -------
    The copy, in the scene, when all steps are done.
    """
    source, clone = node.GetImageData(), slicer.vtkMRMLScalarVolumeNode()
    image = vtk.vtkImageData()
    image.SetDimensions(source.GetDimensions())
    image.AllocateScalars(source.GetScalarType(), 1)
    clone.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    clone.CopyOrientation(node)
    clone.SetVoxelValueQuantity(node.GetVoxelValueQuantity())
    clone.SetVoxelValueUnits(node.GetVoxelValueUnits())
    clone.SetAndObserveImageData(image)
    old, new = slicer.util.arrayFromVolume(node), slicer.util.arrayFromVolume(clone)
    count = max(1, STEP_BYTES // old[0].nbytes)
    for first in range(0, len(old), count):
        new[first : first + count] = old[first : first + count]
        yield
    clone.SetAttribute(SYNTHETIC_TAG, "1")  # selectors look at attributes when a node is added, and not again
    slicer.mrmlScene.AddNode(clone)
    clone.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    _copyDisplay(node, clone)
    placeBeside(node, clone)
    return clone


def _copyDisplay(node: slicer.vtkMRMLScalarVolumeNode, clone: slicer.vtkMRMLScalarVolumeNode) -> None:
    """As the volume. One by one: copying it as a whole, or an automatic window, makes Slicer search through all voxels."""
    source, display = node.GetScalarVolumeDisplayNode(), slicer.vtkMRMLScalarVolumeDisplayNode()
    if source is None:
        clone.CreateDefaultDisplayNodes()
        clone.GetScalarVolumeDisplayNode().AutoWindowLevelOff()
        return
    display.AutoWindowLevelOff()
    display.SetWindowLevel(source.GetWindow(), source.GetLevel())
    display.AutoThresholdOff()
    display.SetThreshold(source.GetLowerThreshold(), source.GetUpperThreshold())
    display.SetApplyThreshold(source.GetApplyThreshold())
    display.SetInterpolate(source.GetInterpolate())
    display.SetInvertDisplayScalarRange(source.GetInvertDisplayScalarRange())
    slicer.mrmlScene.AddNode(display)
    display.SetAndObserveColorNodeID(source.GetColorNodeID())
    clone.SetAndObserveDisplayNodeID(display.GetID())
