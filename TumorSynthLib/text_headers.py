"""The text headers of NRRD and MetaImage files, read for their promises: where the voxels lie and how many bytes they take."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TumorSynthLib.errors import ImageError

_LINE = 1 << 16
"""Longest line read of a header's structure."""


@dataclass(frozen=True)
class Payload:
    """Where the voxels of a file lie."""

    path: Path
    """File with the voxels; another than the header's where that names one."""
    start: int
    """Offset in the file of the data, or of the compressed stream that holds it."""
    size: int
    """Bytes of the voxels, uncompressed."""
    compressed: bool
    """Whether the data is a gzip or zlib stream."""
    skip: int = 0
    """Bytes before the voxels inside the (uncompressed) stream."""
    values: np.dtype | None = None
    """Type of the voxels where they must be searched for NaN and infinity here."""


def parse_nrrd(path: Path) -> Payload | None:
    """Read an NRRD header; None where the encoding is left to SimpleITK."""
    fields, start = _nrrd_fields(path)
    try:
        dimension = int(fields["dimension"])
        sizes = [int(word) for word in fields["sizes"].split()]
        encoding = fields["encoding"].lower()
        itemsize = _NRRD_BYTES[fields["type"].lower()]
        skip = max(int(fields.get("byte skip", fields.get("byteskip", "0"))), 0)
    except (KeyError, ValueError) as error:
        raise broken(path, f"'type', 'dimension', 'sizes' or 'encoding' is missing or invalid ({error})") from error
    data_file = fields.get("data file", fields.get("datafile", ""))
    if len(sizes) != dimension or min(sizes, default=0) < 1 or not data_file.isprintable():
        raise broken(path, f"sizes {sizes} do not fit dimension {dimension}")
    _check_nrrd_spacing(path, fields, dimension)
    if encoding not in ("raw", "gzip", "gz") or data_file.startswith("LIST") or "%" in data_file:
        return None
    target = path.parent / data_file if data_file else path
    return Payload(target, 0 if data_file else start, math.prod(sizes) * itemsize, encoding != "raw", skip)


def _nrrd_fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields of an NRRD header, names in lower case, and the offset of the data."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        if not file.readline(_LINE).startswith(b"NRRD000"):
            raise broken(path, "it does not start with NRRD")
        while line := file.readline(1 << 24).rstrip(b"\r\n"):
            name, colon, value = line.decode("utf-8", "replace").partition(": ")
            if colon and not name.startswith("#") and ":=" not in name:
                fields[name.strip().lower()] = value.strip()
        return fields, file.tell()


def _check_nrrd_spacing(path: Path, fields: dict[str, str], dimension: int) -> None:
    """Each spatial axis has a direction or a spacing that is not zero."""
    vectors = re.findall(r"none|\([^)]*\)", fields.get("space directions", ""))
    if vectors:
        lengths = [math.hypot(*_numbers(path, vector.strip("()"))) for vector in vectors if vector != "none"]
        if len(lengths) < min(dimension, 3):
            raise broken(path, "an axis has no direction")
    elif "spacings" in fields:
        lengths = [number for number in _numbers(path, fields["spacings"])[-3:] if dimension <= 3 or math.isfinite(number)]
    else:
        raise _spacing(path, "missing")
    if not all(math.isfinite(length) and length > 0 for length in lengths):
        raise _spacing(path, fields.get("space directions", fields.get("spacings", "")))


def _numbers(path: Path, text: str) -> list[float]:
    """Numbers separated by commas or blanks."""
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise broken(path, f"'{text}' holds no numbers") from error


def parse_meta(path: Path) -> Payload | None:
    """Read a MetaImage header; None where the encoding is left to SimpleITK."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in fields:
            line = file.readline(_LINE)
            name, equals, value = line.decode("utf-8", "replace").partition("=")
            if not line or not equals:
                raise broken(path, "'ElementDataFile' is missing")
            fields[name.strip()] = value.strip()
        start = file.tell()
    try:
        sizes = [int(word) for word in fields["DimSize"].split()]
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        itemsize = _META_BYTES[fields["ElementType"]]
        skip = max(int(fields.get("HeaderSize", "0")), 0)
    except (KeyError, ValueError) as error:
        raise broken(path, f"'DimSize' or 'ElementType' is missing or invalid ({error})") from error
    name = fields["ElementDataFile"]
    if min(sizes, default=0) < 1 or channels < 1 or not name.isprintable() or not name:
        raise broken(path, f"sizes {sizes}, data in {name!r}")
    _check_meta_counts(path, fields, len(sizes))
    spacing = fields.get("ElementSpacing", fields.get("ElementSize", ""))
    if not spacing or not all(math.isfinite(number) and number > 0 for number in _numbers(path, spacing)):
        raise _spacing(path, spacing or "missing")
    if name.startswith("LIST") or "%" in name or fields.get("BinaryData", "True").lower() == "false":
        return None
    target, start = (path, start) if name.upper() == "LOCAL" else (path.parent / name, 0)
    size = math.prod(sizes) * channels * itemsize
    compressed = fields.get("CompressedData", "False").lower() == "true"
    if compressed and fields.get("CompressedDataSize") != str(target.stat().st_size - start):
        reason = f"'CompressedDataSize' is {fields.get('CompressedDataSize')}, {target.stat().st_size - start} bytes are there"
        raise ImageError("image.truncated", f"'{path}' is truncated or broken: {reason}.", "Copy or download the file again.")
    return Payload(target, start, size, compressed, 0 if compressed else skip)


def _check_meta_counts(path: Path, fields: dict[str, str], dimension: int) -> None:
    """Each list has as many numbers as the dimension asks for; SimpleITK overruns its memory otherwise."""
    counts = {"NDims": 1, "ElementSpacing": dimension, "ElementSize": dimension, "Offset": dimension, "Position": dimension}
    counts |= {"Origin": dimension, "CenterOfRotation": dimension}
    counts |= dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), dimension**2)
    for name, count in counts.items():
        numbers = _numbers(path, fields.get(name, "0 " * count))
        if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
            raise broken(path, f"'{name}' is '{fields[name]}', expected {count} finite numbers")
    if fields.get("NDims") != str(dimension):
        raise broken(path, f"'NDims' is {fields.get('NDims')}, but 'DimSize' has {dimension} numbers")


def broken(path: Path, reason: str) -> ImageError:
    """The error for a header that makes no sense."""
    return ImageError("image.header", f"The header of '{path}' is broken: {reason}.", "Export the image again.")


def _spacing(path: Path, found: str) -> ImageError:
    hint = "Export the image again with its voxel size in mm."
    return ImageError("image.spacing", f"The voxel size of '{path}' is {found}, expected three positive numbers.", hint)


_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"), 4),
    **dict.fromkeys(
        ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"), 8
    ),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t", "double"), 8),
}
_META_BYTES = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}
