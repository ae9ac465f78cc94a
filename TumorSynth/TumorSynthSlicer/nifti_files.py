"""NIfTI files, compressed, written in steps of some ten milliseconds (NumPy alone)."""

import zlib
from pathlib import Path

import numpy as np

from TumorSynthSlicer.nrrd_files import slabs
from TumorSynthSlicer.nrrd_headers import checkVoxelType
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.whole_files import wholeFile

_CODES = {"uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64, "int8": 256, "uint16": 512, "uint32": 768}
_STEP_BYTES = 1 << 19
"""Bytes that are compressed in one step; it takes ten times as long as writing them."""
_HEADER_BYTES, _OFFSET = 348, 352
_SCANNER = 1
"""Code of a transform to the scanner's RAS."""
_MM = 2


def writeNifti(path: str | Path, array: np.ndarray, affine: np.ndarray, description: str = "") -> Steps[Path]:
    """Write a volume as .nii.gz; it appears whole or not at all, also when the work is given up between two steps.

    Parameters
    ----------
    path : the file; one that is there is replaced.
    array : voxels [k, j, i].
    affine : 4 x 4, from i, j, k to RAS mm; kept in single precision, the format has no more.
    description : at most 79 letters of ASCII.

    Returns
    -------
    The path, when all steps are done.

    Raises
    ------
    ImageError : ``image.pixel_type`` as ``checkVoxelType``.
    OutputError : ``output.failed`` when the file system refuses.
    """
    path = Path(path)
    checkVoxelType(array.dtype, path.name)
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    with wholeFile(path) as file:
        file.write(packer.compress(_header(array, np.asarray(affine, float), description)))
        for slab in slabs(array, _STEP_BYTES):
            file.write(packer.compress(slab.data))
            yield
        file.write(packer.flush())
    return path


def _header(array: np.ndarray, affine: np.ndarray, description: str) -> bytes:
    """The 348 bytes of NIfTI-1 and four that tell of no extensions."""
    head = np.zeros((), _FIELDS)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    handed, quaternion = _quaternion(affine[:3, :3] / spacing)
    head["sizeof_hdr"], head["regular"], head["magic"] = _HEADER_BYTES, b"r", b"n+1"
    head["dim"] = (3, *reversed(array.shape), 1, 1, 1, 1)
    head["datatype"], head["bitpix"] = _CODES[array.dtype.name], array.dtype.itemsize * 8
    head["pixdim"] = (handed, *spacing, 0, 0, 0, 0)
    head["vox_offset"], head["scl_slope"], head["xyzt_units"] = _OFFSET, 1.0, _MM
    head["descrip"] = description.encode("ascii", "replace")[:79]
    head["qform_code"] = head["sform_code"] = _SCANNER
    head["quatern"], head["qoffset"] = quaternion, affine[:3, 3]
    head["srow"] = affine[:3]
    return head.tobytes() + bytes(_OFFSET - _HEADER_BYTES)


def _quaternion(directions: np.ndarray) -> tuple[float, np.ndarray]:
    """-1 for left-handed axes, else 1, and b, c, d of the unit quaternion with a >= 0 of the rotation."""
    handed = 1.0 if np.linalg.det(directions) > 0 else -1.0
    r = directions * (1.0, 1.0, handed)
    matrix = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], 0, 0, 0],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], 0, 0],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], 0],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    b, c, d, a = np.linalg.eigh(matrix)[1][:, -1]  # the lower triangle of Bar-Itzhack's symmetric matrix
    return handed, np.array([b, c, d]) * (1.0 if a >= 0 else -1.0)


_FIELDS = np.dtype(
    [
        ("sizeof_hdr", "<i4"),
        ("unused", "V34"),
        ("regular", "S1"),
        ("dim_info", "u1"),
        ("dim", "<i2", 8),
        ("intent", "V14"),
        ("datatype", "<i2"),
        ("bitpix", "<i2"),
        ("slice_start", "<i2"),
        ("pixdim", "<f4", 8),
        ("vox_offset", "<f4"),
        ("scl_slope", "<f4"),
        ("scl_inter", "<f4"),
        ("slice_end", "<i2"),
        ("slice_code", "u1"),
        ("xyzt_units", "u1"),
        ("calibration", "V24"),
        ("descrip", "S80"),
        ("aux_file", "S24"),
        ("qform_code", "<i2"),
        ("sform_code", "<i2"),
        ("quatern", "<f4", 3),
        ("qoffset", "<f4", 3),
        ("srow", "<f4", (3, 4)),
        ("intent_name", "S16"),
        ("magic", "S4"),
    ]
)
"""The fields of a NIfTI-1 header in their order."""
