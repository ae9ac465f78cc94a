"""The NRRD files that go to the worker and come back, written and read in steps of a few milliseconds (NumPy alone).

Arrays are [k, j, i] as in 3D Slicer; boxes and affines are i, j, k, as in ``TumorSynthLib.volume``. Slicer's own readers flip
left-handed grids and read whole files; here a box is read out of a memory map, bit for bit, whatever the grid.
"""

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from TumorSynthLib.errors import GeometryError, ImageError
from TumorSynthLib.volume import Box
from TumorSynthSlicer.nrrd_headers import Header, checkVoxelType, headerText, readHeader
from TumorSynthSlicer.tasks import Steps, finished
from TumorSynthSlicer.whole_files import wholeFile

STEP_BYTES = 8 << 20
"""Most bytes that are written, read or compared in one step."""


def writeNrrd(
    path: str | Path,
    array: np.ndarray,
    affine: np.ndarray,
    fields: Mapping[str, str] | None = None,
    compress: bool = False,
) -> Steps[Path]:
    """Write a volume; it appears whole or not at all, also when the work is given up between two steps.

    Parameters
    ----------
    path : the file; one that is there is replaced.
    array : voxels [k, j, i].
    affine : 4 x 4, from i, j, k to RAS mm; may be left-handed.
    fields : key/value pairs for the header.
    compress : whether the voxels are compressed by gzip (for masks; scans take ten times as long).

    Returns
    -------
    The path, when all steps are done.

    Raises
    ------
    ImageError : ``image.pixel_type`` as ``checkVoxelType``, ``image.not_finite`` for NaN or infinite voxels.
    OutputError : ``output.failed`` when the file system refuses.
    """
    path = Path(path)
    checkVoxelType(array.dtype, path.name)
    packer = zlib.compressobj(1, zlib.DEFLATED, 31) if compress else None
    with wholeFile(path) as file:
        file.write(headerText(array, affine, fields or {}, compress))
        for slab in slabs(array, STEP_BYTES):
            if slab.dtype.kind == "f" and not np.isfinite(slab).all():
                raise notFinite(path.name)
            file.write(slab.data if packer is None else packer.compress(slab.data))
            yield
        if packer is not None:
            file.write(packer.flush())
    return path


def notFinite(name: str) -> ImageError:
    """The error for a volume with NaN or infinite voxels."""
    message = f"'{name}' has voxels that are not a number or infinite."
    return ImageError("image.not_finite", message, "Replace them, for example with the module Threshold Scalar Volume.")


def slabs(array: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Runs of slices as contiguous little-endian arrays."""
    count = max(1, most // max(1, array[0].nbytes))
    kind = array.dtype.newbyteorder("<")
    for first in range(0, len(array), count):
        yield np.ascontiguousarray(array[first : first + count], kind)


def readBox(path: str | Path, start: tuple[int, int, int], stop: tuple[int, int, int]) -> np.ndarray:
    """The voxels of a box, [k, j, i], as a copy of one's own; see ``boxSteps``."""
    return finished(boxSteps(path, start, stop))


def boxSteps(path: str | Path, start: tuple[int, int, int], stop: tuple[int, int, int]) -> Steps[np.ndarray]:
    """Read the voxels ``start <= ijk < stop``: at once where they are not compressed, else in steps from the file's beginning.

    Returns
    -------
    Array [k, j, i] in the computer's byte order, when all steps are done.

    Raises
    ------
    ImageError : as ``readHeader``; ``image.damaged`` when a compressed file ends early.
    GeometryError : ``box.outside`` when the box is not in the file's grid.
    """
    path, header = Path(path), readHeader(path)
    if not all(0 <= low <= high <= n for low, high, n in zip(start, stop, header.geometry.shape, strict=True)):
        message = f"The box {tuple(start)} to {tuple(stop)} is not inside the {header.geometry.shape} voxels of '{path}'."
        raise GeometryError("box.outside", message, "Make the result again.")
    box = Box(tuple(start), tuple(stop))
    i, j, k = box.slices
    if header.compressed:
        slab = yield from _inflated(path, header, k)
        found = slab[:, j, i]
    else:
        found = mapped(path, header)[k, j, i]
    return np.array(found, header.dtype.newbyteorder("="), order="C")


def mapped(path: str | Path, header: Header) -> np.ndarray:
    """The voxels of an uncompressed file, [k, j, i], read from the disk only where they are looked at."""
    return np.memmap(path, header.dtype, "r", header.start, tuple(reversed(header.geometry.shape)))


def _inflated(path: Path, header: Header, k: slice) -> Steps[np.ndarray]:
    """Some slices of a compressed file."""
    shape = tuple(reversed(header.geometry.shape))
    slice_bytes = shape[1] * shape[2] * header.dtype.itemsize
    first, last = k.start * slice_bytes, k.stop * slice_bytes
    member, kept, at, since = zlib.decompressobj(31), bytearray(), 0, 0
    try:
        with path.open("rb") as file:
            file.seek(header.start)
            data = file.read(1 << 16)
            while at < last and data:
                part = member.decompress(data, STEP_BYTES)
                kept += part[max(first - at, 0) : max(last - at, 0)]
                at, since = at + len(part), since + len(part)
                data = member.unconsumed_tail or file.read(1 << 16)
                if since >= STEP_BYTES:
                    since = 0
                    yield
    except (OSError, zlib.error) as error:
        raise ImageError("image.damaged", f"'{path}' is damaged: {error}.", "Make the result again.") from error
    if at < last:
        raise ImageError("image.damaged", f"'{path}' is damaged: its voxels end early.", "Make the result again.")
    return np.frombuffer(bytes(kept), header.dtype).reshape(k.stop - k.start, *shape[1:])


def checksum(path: str | Path) -> Steps[str]:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    ImageError : ``image.unreadable`` when the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(STEP_BYTES):
                digest.update(chunk)
                yield
    except OSError as error:
        message = f"'{path}' cannot be read: {error.strerror or error}."
        raise ImageError("image.unreadable", message, "Check its permissions.") from error
    return digest.hexdigest()
