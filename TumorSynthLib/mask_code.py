"""A mask as JSON values, for the worker's ``preview`` events (NumPy alone, so that the Slicer side can read them).

Only the box around the tumor is told, one bit a voxel, compressed: some kilobytes, whatever the size of the scan. So a
preview needs no file, and reaches a client on another computer.
"""

import base64
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from TumorSynthLib.errors import GeometryError, RequestError
from TumorSynthLib.volume import Geometry, Volume, mask_box

_MOST_VOXELS = 1 << 29
"""Most voxels of a box that is decoded, so that a broken line cannot fill the memory."""


def encode_mask(mask: np.ndarray, geometry: Geometry) -> dict[str, Any]:
    """A mask on a scan's grid as JSON values.

    Parameters
    ----------
    mask : bool (i, j, k), not empty.
    geometry : the scan's grid.

    Returns
    -------
    ``start``, the first voxel of the box on the scan's grid; ``shape``, the box's voxels along i, j, k; ``affine``, 4 x 4,
    from voxels of the box to RAS mm; ``bits``, the voxels in C order, eight a byte with the first in the highest bit, zlib,
    base64.
    """
    box = mask_box(mask)
    return {"start": list(box.start), **encode_box(Volume(mask, geometry).cropped(box))}


def encode_box(mask: Volume) -> dict[str, Any]:
    """A mask on a grid of its own as JSON values: those of ``encode_mask`` but for ``start``.

    Parameters
    ----------
    mask : bool (i, j, k).
    """
    packed = np.packbits(np.ascontiguousarray(mask.array))
    return {
        "shape": list(mask.array.shape),
        "affine": mask.geometry.affine.tolist(),
        "bits": base64.b64encode(zlib.compress(packed.tobytes(), 1)).decode("ascii"),
    }


def decode_mask(values: Mapping[str, Any]) -> Volume:
    """The mask inside its box, bool, from the values of ``encode_mask`` or ``encode_box``.

    Raises
    ------
    RequestError : ``preview.broken`` when the values do not fit together.
    """
    try:
        shape = _box_shape(values["shape"])
        count = math.prod(shape)
        packed = np.frombuffer(_inflated(base64.b64decode(values["bits"]), (count + 7) // 8), np.uint8)
        voxels = np.unpackbits(packed, count=count).astype(bool).reshape(shape)
        return Volume(voxels, Geometry(shape, _affine(values["affine"])))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, zlib.error, GeometryError) as error:
        message = f"The preview cannot be read: {str(error)[:200]}."
        raise RequestError("preview.broken", message, "Update the older of the two programs.") from error


def _box_shape(values: Any) -> tuple[int, int, int]:
    """Voxels along i, j, k."""
    i, j, k = values
    if not all(type(n) is int and 0 < n <= _MOST_VOXELS for n in (i, j, k)) or i * j * k > _MOST_VOXELS:
        raise ValueError(f"the shape {str(values)[:100]} is not three sizes of at most {_MOST_VOXELS} voxels together")
    return (i, j, k)


def _affine(values: Any) -> np.ndarray:
    """A matrix, 4 x 4, with 0 0 0 1 in its last row."""
    affine = np.array(values, float)
    if affine.shape != (4, 4) or affine[3].tolist() != [0.0, 0.0, 0.0, 1.0]:
        raise ValueError(f"the affine {str(values)[:100]} does not end in 0 0 0 1")
    return affine


def _inflated(data: bytes, size: int) -> bytes:
    """So many bytes from a zlib stream, which may hold no more."""
    stream = zlib.decompressobj()
    found = stream.decompress(data, size + 1)
    if len(found) != size or not stream.eof:
        raise ValueError(f"{len(found)} bytes instead of {size}")
    return found
