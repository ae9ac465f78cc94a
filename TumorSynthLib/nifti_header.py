"""The NIfTI-1 header, read for its promises: size, type, voxel size and orientation."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TumorSynthLib.errors import ImageError
from TumorSynthLib.image_errors import bad_spacing, sheared

HEADER_BYTES = 348
_HINT = "Export the image again, as NIfTI-1 or NRRD."
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_COSINE_TOLERANCE = 1e-3
_SIZE_TOLERANCE = 1e-2


@dataclass(frozen=True)
class NiftiHeader:
    """What the bytes after the header must be."""

    offset: int
    """First byte of the voxels."""
    dtype: np.dtype
    """Type and byte order of a stored voxel."""
    voxel_bytes: int
    """Bytes of all voxels."""


def parse_nifti(data: bytes, path: Path) -> NiftiHeader:
    """Check a single-file NIfTI-1 header.

    Parameters
    ----------
    data : the first bytes of the (uncompressed) file.
    path : for messages.

    Raises
    ------
    ImageError : when the header is broken, or describes an image that is not three-dimensional, not of a real type, without
        voxel size, or with an orientation that cannot be read in one way only.
    """
    if len(data) < HEADER_BYTES:
        message = f"'{path}' is truncated: its header has {len(data)} of {HEADER_BYTES} bytes."
        raise ImageError("image.truncated", message, "Copy or download the file again.")
    order = "<" if struct.unpack_from("<i", data)[0] == HEADER_BYTES else ">"
    if struct.unpack_from(f"{order}i", data)[0] != HEADER_BYTES or data[344:348] != b"n+1\0":
        raise ImageError("image.header", f"'{path}' is not a single-file NIfTI-1 image.", _HINT)
    sizes = _sizes(struct.unpack_from(f"{order}8h", data, 40), path)
    code = struct.unpack_from(f"{order}h", data, 70)[0]
    if code not in _TYPES:
        message = f"The voxels of '{path}' have NIfTI type {code}, expected one integer or real number per voxel."
        raise ImageError("image.pixel_type", message, _HINT)
    offset = struct.unpack_from(f"{order}f", data, 108)[0]
    if not HEADER_BYTES <= offset < 2**31:
        raise ImageError("image.header", f"The header of '{path}' is broken: its voxels start at byte {offset}.", _HINT)
    _check_orientation(data, order, path)
    dtype = np.dtype(f"{order}{_TYPES[code]}")
    return NiftiHeader(int(offset), dtype, int(np.prod(sizes, dtype=object)) * dtype.itemsize)


def _sizes(dim: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """Voxels along i, j, k; further axes may have size 1."""
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise ImageError("image.header", f"The header of '{path}' is broken: its dimensions are {list(dim)}.", _HINT)
    sizes = [*dim[1 : dim[0] + 1], 1, 1, 1]
    if max(sizes[3:]) > 1:
        message = f"'{path}' has {dim[0]} dimensions {list(dim[1 : dim[0] + 1])}, expected a 3D image."
        raise ImageError("image.dimensions", message, "Save one time point or channel as its own file.")
    return (sizes[0], sizes[1], sizes[2])


def _check_orientation(data: bytes, order: str, path: Path) -> None:
    """Positive voxel sizes; finite numbers; an affine in the header has these voxel sizes and right angles."""
    pixdim = np.array(struct.unpack_from(f"{order}4f", data, 76))[1:]
    if not (np.isfinite(pixdim).all() and (pixdim > 0).all()):
        raise bad_spacing(path, str(pixdim.tolist()))
    qform_code, sform_code = struct.unpack_from(f"{order}2h", data, 252)
    quaternion = np.array(struct.unpack_from(f"{order}6f", data, 256))
    rows = np.array(struct.unpack_from(f"{order}12f", data, 280)).reshape(3, 4)
    if (qform_code > 0 and not np.isfinite(quaternion).all()) or (sform_code > 0 and not np.isfinite(rows).all()):
        raise ImageError("image.header", f"The header of '{path}' is broken: its orientation is not finite.", _HINT)
    if sform_code > 0:
        _check_affine(rows[:, :3], pixdim, path)


def _check_affine(matrix: np.ndarray, pixdim: np.ndarray, path: Path) -> None:
    """An affine that disagrees with the voxel sizes is read differently by different programs."""
    lengths = np.linalg.norm(matrix, axis=0)
    if np.abs(lengths / pixdim - 1.0).max() > _SIZE_TOLERANCE:
        message = f"The header of '{path}' has two voxel sizes: {pixdim.tolist()} and, in its affine, {lengths.tolist()}."
        raise ImageError("image.spacing", message, _HINT)
    if shear(matrix) > _COSINE_TOLERANCE:
        raise sheared(path)


def shear(matrix: np.ndarray) -> float:
    """Largest cosine between two columns of a 3x3 matrix; 0 for right angles."""
    unit = matrix / np.linalg.norm(matrix, axis=0)
    return float(np.abs(unit.T @ unit - np.eye(3)).max())
