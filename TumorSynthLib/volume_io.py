"""Read and write images, masks and segmentations.

What is read agrees with SimpleITK in physical space and in pixel type; what SimpleITK would misread is refused.
"""

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from TumorSynthLib.dicom_folder import series_metadata
from TumorSynthLib.errors import GeometryError, ImageError, OutputError
from TumorSynthLib.image_errors import not_finite
from TumorSynthLib.itk_files import header_geometry, itk_errors, read_image, save_image, to_image, to_volume
from TumorSynthLib.segments import COLORS, SegmentStyle, find_segments, segment_keys
from TumorSynthLib.volume import Box, Geometry, Volume, mask_box

_TIE = 1e-3
"""Voxels by which masks are shifted, so that centers exactly on a face belong to one side only."""
_LARGEST_VALUE = 1e12
_SYNTHETIC = {"TumorSynth_Synthetic": "SYNTHETIC"}


def read_volume(path: str | Path) -> Volume:
    """A 3D image with its pixel type kept.

    Parameters
    ----------
    path : a .nrrd, .nii, .nii.gz, .mha or .mhd file, or a folder with one DICOM series.

    Returns
    -------
    Volume with unit HU for DICOM CT, the ``Units`` tag for DICOM PET, and no unit otherwise.

    Raises
    ------
    ImageError : when the file is missing, broken, truncated, damaged, not 3D, sheared, without voxel size, or holds values that
        are not finite, absurdly large or not one real number per voxel.
    """
    path = Path(path)
    metadata = read_metadata(path)
    unit = {"CT": "HU", "PT": metadata.get("units", "")}.get(metadata.get("modality", ""), "")
    volume = to_volume(read_image(path), path, unit)
    _check_values(volume.array, path)
    return volume


def _check_values(array: np.ndarray, path: Path) -> None:
    """Refuse values that are not finite, or larger than single precision can calculate with."""
    if array.dtype.itemsize < 4 or (array.dtype.itemsize == 4 and array.dtype.kind != "f"):
        return
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise not_finite(path)
    if max(-low, high) > _LARGEST_VALUE:
        message = f"'{path}' holds values from {low:g} to {high:g}, expected at most {_LARGEST_VALUE:g} in size."
        raise ImageError("image.values", message, "Export the image again; no scanner measures such values.")


def read_geometry(path: str | Path) -> Geometry:
    """The grid of an image as ``read_volume`` gives it, from the header alone: in milliseconds, whatever the image's size.

    Raises
    ------
    ImageError : when the file is missing, or its header is broken or tells of an image that cannot be used. What is wrong with
        the voxels is seen when they are read.
    """
    return header_geometry(Path(path))


def read_metadata(path: str | Path) -> dict[str, str]:
    """What a DICOM folder says about itself; empty for other files.

    Returns
    -------
    ``modality``, ``series_description``, ``protocol``, ``body_part``, ``contrast`` and ``units``, as far as they are given.
    """
    path = Path(path)
    if not os.path.isdir(path):
        return {}
    with itk_errors(path):
        return series_metadata(path)


def read_mask(path: str | Path, label: int = 1) -> Volume:
    """The voxels of one label as a boolean volume.

    Parameters
    ----------
    path : a label map in any format of ``read_volume``, or a ``.seg.nrrd`` of 3D Slicer, also with overlapping segments. It
        may be cropped around the mask, and one voxel thick.
    label : value of the voxels. Where segments in several layers have this value, the first layer counts.

    Raises
    ------
    ImageError : as ``read_volume``; ``mask.empty`` when no voxel is set; ``mask.label`` when others are.
    """
    path = Path(path)
    image = read_image(path)
    keys = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("Segment") and key.isascii()}
    try:
        segments = find_segments(keys)
    except ValueError as error:
        raise ImageError(
            "mask.header", f"'{path}' has a broken segment header: {error}.", "Save it again in Slicer."
        ) from error
    layer = next((segment.layer for segment in segments if segment.label == label), 0)
    components = image.GetNumberOfComponentsPerPixel()
    if segments and components > 1:
        if not 0 <= layer < components:
            message = f"'{path}' has {components} layers, but a segment lies in layer {layer}."
            raise ImageError("mask.header", message, "Save it again in Slicer.")
        image = sitk.VectorIndexSelectionCast(image, layer)
    volume = to_volume(image, path, "", flat=True)
    inside = volume.array == label
    if not inside.any():
        names = {segment.label: segment.name for segment in segments}
        raise _label_missing(path, label, volume.array, names)
    return Volume(inside, volume.geometry)


def _label_missing(path: Path, label: int, array: np.ndarray, names: Mapping[int, str]) -> ImageError:
    """The error for a mask without the wanted label, with those that are there."""
    found = [value.item() for value in np.unique(array) if value != 0]
    if not found:
        return ImageError("mask.empty", f"The mask '{path}' has no voxel set.", "Paint or choose a region that is not empty.")
    labels = [f"{value:g} ({names[value]})" if value in names else f"{value:g}" for value in found[:20]]
    more = f" and {len(found) - 20} more" if len(found) > 20 else ""
    message = f"Label {label} is not in '{path}'; found {', '.join(labels)}{more}."
    return ImageError("mask.label", message, "Give one of these labels.")


def mask_on_grid(mask: Volume, geometry: Geometry) -> np.ndarray:
    """A mask on another grid, cut at the 0.5 level of its linear interpolation.

    Voxels are copied exactly where the grids' voxel centers coincide, also if axes are shifted, flipped or permuted.

    Parameters
    ----------
    mask : boolean volume.
    geometry : the wanted grid.

    Returns
    -------
    Boolean array of ``geometry.shape``.

    Raises
    ------
    GeometryError : ``mask.empty`` when the mask is empty, ``mask.outside`` when it misses the grid, ``mask.too_small`` when it
        is too small to fill one voxel of the grid.
    """
    box = mask_box(mask.array)
    if mask.geometry.same_grid(geometry):
        return mask.array.astype(bool)
    source = mask.cropped(box)
    target = _covered_box(source.geometry, geometry)
    matrix = np.linalg.inv(source.geometry.affine) @ geometry.cropped(target).affine
    values = np.pad(source.array.astype(np.float32), 1)
    ratios = np.maximum(np.abs(matrix[:3, :3]).max(axis=1), 1.0)
    values = ndimage.gaussian_filter(values, 0.42 * np.sqrt(ratios**2 - 1.0), mode="constant")
    offset = matrix[:3, 3] + 1.0 + _TIE
    moved = ndimage.affine_transform(values, matrix[:3, :3], offset, output_shape=target.shape, order=1)
    result = np.zeros(geometry.shape, dtype=bool, order="F")
    result[target.slices] = moved >= 0.5 - _TIE / 2
    if not result.any():
        raise GeometryError("mask.too_small", "The mask is too small to fill one voxel of the image.", "Paint a larger region.")
    return result


def _covered_box(source: Geometry, target: Geometry) -> Box:
    """The voxels of ``target`` near any voxel of ``source``."""
    ends = [(-0.5, n - 0.5) for n in source.shape]
    corners = np.array([[i, j, k] for i in ends[0] for j in ends[1] for k in ends[2]])
    ijk = target.to_ijk(source.to_ras(corners))
    start = np.maximum(np.floor(ijk.min(axis=0)).astype(int), 0)
    stop = np.minimum(np.ceil(ijk.max(axis=0)).astype(int) + 1, target.shape)
    if np.any(start >= stop):
        found, grid = source.to_ras(corners), target.to_ras(np.array([[0, 0, 0], np.array(target.shape) - 1]))
        message = f"The mask lies outside the image: around {found.mean(axis=0).round(1).tolist()} mm RAS, the image around "
        message += f"{grid.mean(axis=0).round(1).tolist()}."
        raise GeometryError("mask.outside", message, "Give a mask that was drawn on this image.")
    return Box(tuple(start.tolist()), tuple(stop.tolist()))


def write_volume(
    volume: Volume, path: str | Path, metadata: Mapping[str, str] | None = None, *, compress: bool = False
) -> None:
    """Write an image; booleans become uint8, other pixel types are kept.

    The file appears whole or not at all. NIfTI stores its geometry in single precision (about 1e-5 mm), NRRD in double.

    Parameters
    ----------
    volume : the image.
    path : ends in .nrrd or .nii.gz.
    metadata : further header keys; in NIfTI they share the 79 letters of its description.
    compress : whether NRRD is compressed; .nii.gz always is.

    Raises
    ------
    OutputError : when the file cannot be written or its format cannot hold the image.
    """
    path = Path(path)
    image = to_image(volume, path)
    keys = dict(metadata or {})
    if path.name.lower().endswith(".nii.gz"):
        compress = True
        keys = {"ITK_FileNotes": "; ".join(f"{key}={value}" for key, value in keys.items())[:79]}
    elif not path.name.lower().endswith(".nrrd"):
        raise OutputError("output.type", f"'{path}' ends in neither .nrrd nor .nii.gz.", "Choose one of them.")
    for key, value in keys.items():
        image.SetMetaData(key, value)
    save_image(image, path, compress, volume.geometry)


def write_segmentation(
    segments: Mapping[str, np.ndarray],
    geometry: Geometry,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write segments as 3D Slicer's ``.seg.nrrd``, labeled 1, 2 and so on in their order, marked as synthetic.

    Parameters
    ----------
    segments : bool arrays (i, j, k) by name, each of which may be empty. Where two overlap, the later one has the voxel.
    geometry : their grid.
    path : ends in .seg.nrrd.
    metadata : further header keys.

    Raises
    ------
    OutputError : when the file cannot be written.
    """
    path = Path(path)
    if not path.name.lower().endswith(".seg.nrrd"):
        raise OutputError("output.type", f"'{path}' does not end in .seg.nrrd.", "Rename it.")
    labels = np.zeros(geometry.shape, dtype=np.uint8 if len(segments) < 256 else np.uint16, order="F")
    boxes = [mask_box(mask) if mask.any() else None for mask in segments.values()]
    for number, (mask, box) in enumerate(zip(segments.values(), boxes, strict=True), start=1):
        if box is not None:
            labels[box.slices][mask[box.slices]] = number
    styles = [SegmentStyle(name, COLORS[number % len(COLORS)]) for number, name in enumerate(segments)]
    keys = segment_keys(styles, [None if box is None else (box.start, box.stop) for box in boxes])
    write_volume(Volume(labels, geometry), path, {**keys, **_SYNTHETIC, **(metadata or {})}, compress=True)


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal; of a folder, of the names and bytes of its files in order of name.

    Raises
    ------
    ImageError : when it cannot be read.
    """
    path = Path(path)
    digest = hashlib.sha256()
    try:
        files = sorted(item for item in path.iterdir() if item.is_file()) if path.is_dir() else [path]
        for file in files:
            if path.is_dir():
                digest.update(file.name.encode("utf-8", "surrogateescape") + b"\0")
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
    except OSError as error:
        raise ImageError("image.unreadable", f"'{path}' cannot be read: {error.strerror}.", "Check its permissions.") from error
    return digest.hexdigest()
