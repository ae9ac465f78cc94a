"""The head of an NRRD file: the grid, the type of the voxels, and where they lie (NumPy alone)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TumorSynthLib.errors import GeometryError, ImageError
from TumorSynthLib.volume import Geometry

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS to LPS and back."""
_HEADER_BYTES = 1 << 24
_TYPES = {
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "int32": "int32",
    "uint32": "uint32",
    "float32": "float",
    "float64": "double",
}
"""Name of a voxel type in NRRD by NumPy's."""
_OTHER_NAMES = {
    **dict.fromkeys(("signed char", "int8_t"), "int8"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8_t"), "uint8"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16_t"), "int16"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16_t"), "uint16"),
    **dict.fromkeys(("int", "signed int", "int32_t"), "int32"),
    **dict.fromkeys(("uint", "unsigned int", "uint32_t"), "uint32"),
}


@dataclass(frozen=True)
class Header:
    """What the head of an NRRD file tells."""

    geometry: Geometry
    """Grid, i, j, k to RAS mm."""
    dtype: np.dtype
    """Voxel type, with its byte order."""
    start: int
    """Offset of the voxels, or of the gzip stream that holds them."""
    compressed: bool
    """Whether they are a gzip stream."""
    keys: Mapping[str, str]
    """Key/value pairs beyond the fields of the format."""


def checkVoxelType(dtype: np.dtype, name: str) -> None:
    """Refuse voxels that the worker's reader, or Slicer, cannot take.

    Raises
    ------
    ImageError : ``image.pixel_type`` for anything but integers of 8 to 32 bits and floats of 32 or 64.
    """
    if np.dtype(dtype).name not in _TYPES:
        message = f"The voxels of '{name}' are of type {np.dtype(dtype).name}, expected 8 to 32 bit integers or floats."
        hint = "Convert the volume with the module Cast Scalar Volume, for example to Short or Float."
        raise ImageError("image.pixel_type", message, hint)


def headerText(array: np.ndarray, affine: np.ndarray, fields: Mapping[str, str], compress: bool) -> bytes:
    lps = _FLIP @ np.asarray(affine, float)
    vectors = [f"({','.join(repr(float(part)) for part in column)})" for column in lps[:3, :].T]
    lines = [
        "NRRD0004",
        f"type: {_TYPES[array.dtype.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(n) for n in reversed(array.shape))}",
        f"space directions: {' '.join(vectors[:3])}",
        "kinds: domain domain domain",
        "endian: little",
        f"encoding: {'gzip' if compress else 'raw'}",
        f"space origin: {vectors[3]}",
    ]
    lines += [f"{key}:={_escaped(value)}" for key, value in fields.items()]
    return ("\n".join(lines) + "\n\n").encode("utf-8")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def readHeader(path: str | Path) -> Header:
    """What the head of a file tells; the voxels are not looked at but for their number, where they are not compressed.

    Raises
    ------
    ImageError : ``image.missing``, ``image.unreadable`` or ``image.header`` when the file cannot be used, ``image.truncated``
        when voxels are missing.
    """
    path = Path(path)
    fields, keys, start, size = _lines(path)
    try:
        geometry = _geometry(fields)
        name = fields["type"].lower()
        name = {"float": "float32", "double": "float64"}.get(name, _OTHER_NAMES.get(name, name))
        dtype = np.dtype(name).newbyteorder(">" if fields.get("endian") == "big" else "<")
        compressed = {"raw": False, "gzip": True, "gz": True}[fields["encoding"].lower()]
        checkVoxelType(dtype, path.name)
    except (KeyError, ValueError, TypeError, GeometryError) as error:
        raise _broken(path, str(error)) from error
    expected = int(np.prod(geometry.shape)) * dtype.itemsize
    if not compressed and size - start < expected:
        message = f"'{path}' is truncated: it promises {expected} bytes of voxels and has {size - start}."
        raise ImageError("image.truncated", message, "Make the result again.")
    return Header(geometry, dtype, start, compressed, keys)


def _lines(path: Path) -> tuple[dict[str, str], dict[str, str], int, int]:
    """Fields by lower case name, key/value pairs, where the voxels begin, and the file's size."""
    fields, keys = {}, {}
    try:
        with path.open("rb") as file:
            if not file.readline(100).startswith(b"NRRD"):
                raise _broken(path, "it does not begin with NRRD")
            while line := file.readline(_HEADER_BYTES).decode("utf-8", "replace").rstrip("\r\n"):
                name, mark, value = line.partition(":=")
                if mark:
                    keys[name] = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], value)
                elif not line.startswith("#"):
                    name, _, value = line.partition(":")
                    fields[name.strip().lower()] = value.strip()
            return fields, keys, file.tell(), path.stat().st_size
    except FileNotFoundError as error:
        raise ImageError("image.missing", f"'{path}' does not exist.", "Make the result again.") from error
    except OSError as error:
        message = f"'{path}' cannot be read: {error.strerror or error}."
        raise ImageError("image.unreadable", message, "Check its permissions.") from error


def _geometry(fields: Mapping[str, str]) -> Geometry:
    """The grid, in RAS whichever of the two spaces the file is in."""
    shape = tuple(int(word) for word in fields["sizes"].split())
    vectors = [[float(part) for part in text.split(",")] for text in re.findall(r"\(([^)]*)\)", fields["space directions"])]
    if len(shape) != 3 or len(vectors) != 3 or "data file" in fields:
        raise ValueError(f"sizes '{fields['sizes']}' in one file were expected to be three")
    affine = np.eye(4)
    affine[:3, :3] = np.array(vectors).T
    affine[:3, 3] = [float(part) for part in fields["space origin"].strip("()").split(",")]
    space = fields["space"].lower()
    if space not in _SPACES:
        raise ValueError(f"the space '{space}' is neither LPS nor RAS")
    return Geometry(shape, _SPACES[space] @ affine)


_SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), _FLIP),
    **dict.fromkeys(("right-anterior-superior", "ras"), np.eye(4)),
}


def _broken(path: Path, why: str) -> ImageError:
    return ImageError("image.header", f"'{path}' has no header that can be used: {why}.", "Make the result again.")
