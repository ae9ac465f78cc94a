"""A mask as JSON values, for the worker's ``preview`` events (NumPy alone, so that the Slicer side can read them).

Only the box around the tumor is told, one bit a voxel, compressed: some kilobytes, whatever the size of the scan. So a
preview needs no file, and reaches a client on another computer.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from TumorSynthLib.errors import RequestError
from TumorSynthLib.volume import Geometry, Volume, mask_box


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
    packed = np.packbits(np.ascontiguousarray(mask[box.slices]))
    return {
        "start": list(box.start),
        "shape": list(box.shape),
        "affine": geometry.cropped(box).affine.tolist(),
        "bits": base64.b64encode(zlib.compress(packed.tobytes())).decode("ascii"),
    }


def decode_mask(values: Mapping[str, Any]) -> Volume:
    """The mask inside its box, bool, from the values of ``encode_mask``.

    Raises
    ------
    RequestError : ``preview.broken`` when the values do not fit together.
    """
    try:
        shape = (int(values["shape"][0]), int(values["shape"][1]), int(values["shape"][2]))
        count = int(np.prod(shape))
        packed = np.frombuffer(zlib.decompress(base64.b64decode(values["bits"])), np.uint8)
        if packed.size != (count + 7) // 8:
            raise ValueError(f"{packed.size} bytes for {count} voxels")
        voxels = np.unpackbits(packed, count=count).astype(bool).reshape(shape)
        return Volume(voxels, Geometry(shape, np.array(values["affine"], float)))
    except (KeyError, IndexError, TypeError, ValueError, zlib.error, binascii.Error) as error:
        message = f"The preview cannot be read: {error}."
        raise RequestError("preview.broken", message, "Update the older of the two programs.") from error
