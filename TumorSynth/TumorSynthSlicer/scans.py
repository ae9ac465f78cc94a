"""What the scan is, and whether it can be used."""

from dataclasses import dataclass

import numpy as np
import slicer
import slicer.util

from TumorSynthLib.errors import ImageError
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.nrrd_files import notFinite
from TumorSynthSlicer.nrrd_headers import checkVoxelType
from TumorSynthSlicer.transforms import isRigid, nonlinearError, parentKind

_LARGEST_VALUE = 1e12
"""The worker calculates in single precision."""
_MOST_SHEAR = 1e-3
"""Largest cosine between two axes of a grid."""
_MODALITIES = {"PT": "PET"}
"""What DICOM calls otherwise than radiologists do."""


@dataclass(frozen=True)
class ScanFacts:
    """What the panel tells of a scan."""

    name: str
    shape: tuple[int, int, int]
    """Voxels along i, j, k."""
    spacing: tuple[float, float, float]
    """Millimetres along i, j, k."""
    modality: str
    """CT, MR, PET or another of DICOM's; empty where nothing tells it."""
    valueRange: tuple[float, float]
    """Least and greatest value."""
    unit: str
    """HU, SUV, another, or empty."""
    rigid: bool
    """Whether lengths in the views are those of the scan; a parent transform that scales changes them."""

    @property
    def text(self) -> str:
        """One line, for example ``CT, 512 x 512 x 250, 0.8 x 0.8 x 2.5 mm, -1024 to 3071 HU``."""
        low, high = self.valueRange
        parts = [self.modality, " x ".join(str(n) for n in self.shape), f"{' x '.join(f'{s:.3g}' for s in self.spacing)} mm"]
        parts.append(f"{low:g} to {high:g} {self.unit}".strip())
        return ", ".join(part for part in parts if part)


def checkVolume(node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
    """Refuse what cannot be edited.

    Raises
    ------
    ImageError : ``scan.none``, ``scan.kind``, ``scan.empty``, ``image.dimensions``, ``image.pixel_type``, ``image.shear``,
        ``image.not_finite`` or ``image.values``.
    GeometryError : ``transform.nonlinear`` or ``geometry.singular``.
    """
    if node is None:
        raise ImageError("scan.none", "No scan is chosen.", "Load a CT, MR or PET scan and choose it.")
    name = node.GetName()
    if node.GetClassName() != "vtkMRMLScalarVolumeNode":
        message = f"'{name}' is a {node.GetNodeTagName()}, expected a scan with one value per voxel."
        raise ImageError("scan.kind", message, "Choose a scalar volume.")
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or image.GetNumberOfPoints() == 0:
        raise ImageError("scan.empty", f"'{name}' has no voxels.", "Load the scan again.")
    if min(image.GetDimensions()) < 2 or image.GetNumberOfScalarComponents() != 1:
        size = " x ".join(str(n) for n in image.GetDimensions())
        message = f"'{name}' has {size} voxels of {image.GetNumberOfScalarComponents()} values, expected a 3D scan."
        raise ImageError("image.dimensions", message, "Choose a scan with several slices and one value per voxel.")
    checkVoxelType(slicer.util.arrayFromVolume(node).dtype, name)
    _checkAxes(node)
    if parentKind(node) == "nonlinear":
        raise nonlinearError(node)
    _checkValues(node)


def _checkAxes(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    geometry = geometryOf(node)
    directions = geometry.affine[:3, :3] / geometry.spacing
    if np.abs(directions.T @ directions - np.eye(3)).max() > _MOST_SHEAR:
        message = f"The axes of '{node.GetName()}' are not at right angles."
        raise ImageError("image.shear", message, "Resample it, for example with the module Resample Scalar/Vector/DWI Volume.")


def _checkValues(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Integers of at most 32 bits are all right as they are."""
    array = slicer.util.arrayFromVolume(node)
    if array.dtype.kind != "f":
        return
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise notFinite(node.GetName())
    if max(-low, high) > _LARGEST_VALUE:
        message = f"'{node.GetName()}' has values from {low:g} to {high:g}; no scanner measures such values."
        raise ImageError("image.values", message, "Load the scan again.")


def scanFacts(node: slicer.vtkMRMLScalarVolumeNode) -> ScanFacts:
    """What the panel tells of a scan that ``checkVolume`` has let pass."""
    geometry, array = geometryOf(node), slicer.util.arrayFromVolume(node)
    low, high = float(array.min()), float(array.max())  # VTK takes ten times as long for floating-point voxels
    modality = _modality(node)
    spacing = tuple(round(float(length), 6) for length in geometry.spacing)
    return ScanFacts(node.GetName(), geometry.shape, spacing, modality, (low, high), _unit(node, modality), isRigid(node))


def _modality(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """What DICOM told when the scan was loaded; else CT where units or values tell it."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    told = hierarchy.GetItemAttribute(item, name) if item else ""
    if told:
        return _MODALITIES.get(told, told)
    unit = _voxelUnit(node)
    if unit:
        return {"HU": "CT", "SUV": "PET"}.get(unit, "")
    return "CT" if _looksLikeCt(slicer.util.arrayFromVolume(node)) else ""


def _voxelUnit(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """HU or SUV by the code that Slicer's DICOM readers leave; empty for others."""
    code = node.GetVoxelValueUnits()
    words = "" if code is None else f"{code.GetCodeValue()} {code.GetCodeMeaning()}".lower()
    if "hnsf" in words or "hounsfield" in words:
        return "HU"
    return "SUV" if "suv" in words or "standardized uptake" in words else ""


def _unit(node: slicer.vtkMRMLScalarVolumeNode, modality: str) -> str:
    return _voxelUnit(node) or ("HU" if modality == "CT" else "")


def _looksLikeCt(array: np.ndarray) -> bool:
    """Air around -1000 in a fair share of the voxels, and tissue around 0: the worker's own rule."""
    flat = array.reshape(-1)
    flat = flat[:: max(1, flat.size // 200_000)]
    low, high = float(flat.min()), float(flat.max())
    return -3100.0 <= low <= -300.0 and high <= 32767.0 and float(np.mean((flat > -200) & (flat < 300))) > 0.02
