"""Between SimpleITK and ``Volume``: the only file that knows SimpleITK's conventions, LPS for RAS and arrays [k, j, i]."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TumorSynthLib.dicom_folder import Grid, read_series, series_grid
from TumorSynthLib.errors import ImageError, OutputError
from TumorSynthLib.file_checks import check_file, check_header, image_suffix
from TumorSynthLib.image_errors import check_name, sheared
from TumorSynthLib.memory import is_lack_of_memory
from TumorSynthLib.nifti_header import shear
from TumorSynthLib.volume import Geometry, Volume

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From LPS to RAS and back."""
_MAX_COSINE = 1e-3
_WRITTEN_TOLERANCE_MM = 1e-2
_COMPRESSION_LEVEL = 2
_FARTHEST_MM = 1e6
"""Where the corners of a scan cannot be any more."""
_READERS = {
    ".nrrd": "NrrdImageIO",
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}
"""SimpleITK's own choice fails at capital letters."""


def read_image(path: Path) -> sitk.Image:
    """The image as SimpleITK reads it, after the checks of its file."""
    if not os.path.exists(path):
        raise ImageError("image.missing", f"'{path}' does not exist.", "Check the path.")
    with itk_errors(path):
        if path.is_dir():
            return read_series(path)
        check_file(path)
        return sitk.ReadImage(str(path), imageIO=_READERS[image_suffix(path)])


@contextlib.contextmanager
def itk_errors(path: Path, verb: str = "read") -> Iterator[None]:
    """Turn SimpleITK's errors into ours, silence its warnings, and keep names from it that end the whole process."""
    check_name(path)
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    except RuntimeError as error:
        if is_lack_of_memory(error):
            raise MemoryError(str(error)) from error
        reason = str(error).strip().rpartition("\n")[2].strip()
        message = f"'{path}' cannot be {verb} ({reason})."
        raise ImageError("image.unreadable", message, "Export the image again, for example as NRRD.") from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def to_volume(image: sitk.Image, path: Path, unit: str, flat: bool = False) -> Volume:
    """Array [i, j, k] and affine to RAS of a SimpleITK image; a ``flat`` one may be a single voxel thick."""
    if image.GetNumberOfComponentsPerPixel() != 1 or "complex" in image.GetPixelIDTypeAsString():
        message = f"'{path}' has voxels of type '{image.GetPixelIDTypeAsString()}', expected one real number per voxel."
        raise ImageError("image.pixel_type", message, "Save one channel as its own file.")
    geometry = _checked_geometry(Grid.of(image), path, flat)
    while image.GetDimension() > 3:
        image = image[(slice(None),) * (image.GetDimension() - 1) + (0,)]
    return Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), geometry, unit)


def header_geometry(path: Path) -> Geometry:
    """The grid of an image, read from its header alone."""
    if not os.path.exists(path):
        raise ImageError("image.missing", f"'{path}' does not exist.", "Check the path.")
    with itk_errors(path):
        if path.is_dir():
            return _checked_geometry(series_grid(path), path)
        check_header(path)
        reader = sitk.ImageFileReader()
        reader.SetImageIO(_READERS[image_suffix(path)])
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        return _checked_geometry(Grid.of(reader), path)


def _checked_geometry(grid: Grid, path: Path, flat: bool = False) -> Geometry:
    """The grid of a 3D image, whose axes beyond the third have one voxel, in RAS."""
    size = grid.size[:3] if all(n == 1 for n in grid.size[3:]) else grid.size
    if len(size) != 3 or (min(size) < 2 and not flat):
        message = f"'{path}' has the size {' x '.join(str(n) for n in size)}, expected a 3D image with several slices."
        raise ImageError("image.dimensions", message, "Give a volume; save a time point or channel as its own file.")
    lps = _lps_affine(grid)
    if not np.isfinite(lps).all() or min(grid.spacing) <= 0 or abs(np.linalg.det(lps)) < 1e-12:
        message = f"The geometry of '{path}' is broken: voxel size {grid.spacing}, origin {grid.origin}."
        raise ImageError("image.spacing", message, "Export the image again with its voxel size in mm.")
    if shear(lps[:3, :3]) > _MAX_COSINE:
        raise sheared(path)
    geometry = Geometry(size, _FLIP @ lps)
    corners = geometry.to_ras(np.array([[i, j, k] for i in (0, size[0]) for j in (0, size[1]) for k in (0, size[2])]))
    if np.abs(corners).max() > _FARTHEST_MM:
        message = f"'{path}' reaches {np.abs(corners).max():.3g} mm from the scanner's center."
        raise ImageError("image.spacing", message, "Export the image again with its voxel size in mm.")
    return geometry


def _lps_affine(grid: Grid) -> np.ndarray:
    """4x4 matrix from ijk to LPS mm."""
    lps = np.eye(4)
    directions = np.array(grid.direction).reshape(len(grid.spacing), len(grid.spacing))
    lps[:3, :3] = directions[:3, :3] * np.array(grid.spacing)[:3]
    lps[:3, 3] = grid.origin[:3]
    return lps


def to_image(volume: Volume, path: Path) -> sitk.Image:
    """The SimpleITK image of a volume; the inverse of ``to_volume``."""
    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    try:
        image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    except (TypeError, KeyError) as error:
        message = f"'{path}' cannot hold voxels of type {array.dtype}."
        raise OutputError("output.type", message, "Convert them to an integer type, float32 or float64.") from error
    lps = _FLIP @ volume.geometry.affine
    spacing = volume.geometry.spacing
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def save_image(image: sitk.Image, path: Path, compress: bool, geometry: Geometry) -> None:
    """Write beside the target, check what was written, rename."""
    if not path.parent.is_dir():
        raise OutputError("output.folder", f"The folder '{path.parent}' does not exist.", "Create it first.")
    partial = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
    try:
        with itk_errors(path, "written"):
            sitk.WriteImage(image, str(partial), compress, compressionLevel=_COMPRESSION_LEVEL)
            check_file(partial)
            written = sitk.ImageFileReader()
            written.SetFileName(str(partial))
            written.ReadImageInformation()
        _check_written(written, path, geometry)
        partial.replace(path)
    except (ImageError, OSError) as error:
        message = f"'{path}' cannot be written: {error}"
        raise OutputError("output.write", message, "Check the free space and the permissions of the folder.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _check_written(written: sitk.ImageFileReader, path: Path, geometry: Geometry) -> None:
    """Refuse a file whose format bent the geometry."""
    found = Geometry(written.GetSize(), _FLIP @ _lps_affine(Grid.of(written)))
    if not found.same_grid(geometry, _WRITTEN_TOLERANCE_MM):
        message = f"The format of '{path}' cannot hold the image's geometry."
        raise OutputError("output.geometry", message, "Write .nrrd instead.")
