"""The header of an NRRD file, read for its promises: where the voxels lie and how many bytes they take."""

import math
import re
from pathlib import Path

from TumorSynthLib.image_errors import bad_spacing, broken
from TumorSynthLib.text_headers import Payload, bad_encoding, data_file, keep_field, number_word, numbers

_HEADER = 1 << 24
"""Longest header in bytes."""
_LINES = 10_000
"""Most lines of a header; SimpleITK's time grows with their square."""
_FIELD = 800
"""Longest field in bytes; SimpleITK overruns its memory at somewhat longer ones. Key/value pairs may be longer."""
_OTHER_ENCODINGS = ("ascii", "text", "txt", "hex", "bzip2", "bz2")


def parse_nrrd(path: Path) -> Payload:
    """Read an NRRD header.

    Raises
    ------
    ImageError : when it is broken, or the voxels are neither raw nor gzip data in one file.
    """
    fields, start = _fields(path)
    try:
        dimension = int(number_word(fields["dimension"]))
        sizes = [int(number_word(word)) for word in fields["sizes"].split()]
        encoding = fields["encoding"].lower()
        itemsize = _BYTES[fields["type"].lower()]
        skip = max(int(number_word(fields.get("byte skip", fields.get("byteskip", "0")))), 0)
    except (KeyError, ValueError) as error:
        raise broken(path, f"'type', 'dimension', 'sizes' or 'encoding' is missing or invalid ({error})") from error
    if len(sizes) != dimension or min(sizes, default=0) < 1:
        raise broken(path, f"sizes {sizes} do not fit dimension {dimension}")
    _check_spacing(path, fields, dimension)
    if encoding in _OTHER_ENCODINGS:
        raise bad_encoding(path, f"as '{encoding}'")
    if encoding not in ("raw", "gzip", "gz"):
        raise broken(path, f"the encoding '{encoding}' is unknown")
    name = fields.get("data file", fields.get("datafile", ""))
    target = data_file(path, name) if name else path
    return Payload(target, 0 if name else start, math.prod(sizes) * itemsize, encoding != "raw", skip)


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields of an NRRD header, names in lower case, and the offset of the data."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        if not file.readline(_FIELD).startswith(b"NRRD000"):
            raise broken(path, "it does not start with NRRD")
        count = 0
        while line := file.readline(_HEADER).rstrip(b"\r\n"):
            count += 1
            if count > _LINES or file.tell() > _HEADER:
                raise broken(path, f"it does not end within {_LINES} lines and {_HEADER} bytes")
            name, _, value = line.decode("utf-8", "replace").partition(": ")
            if not name.startswith("#") and ":=" not in name:
                keep_field(path, fields, name.strip().lower(), value.strip(), _FIELD)
        return fields, file.tell()


def _check_spacing(path: Path, fields: dict[str, str], dimension: int) -> None:
    """Each spatial axis has a direction or a spacing that is not zero."""
    vectors = re.findall(r"none|\([^)]*\)", fields.get("space directions", ""))
    if vectors:
        lengths = [math.hypot(*numbers(path, vector.strip("()"))) for vector in vectors if vector != "none"]
        if len(lengths) < min(dimension, 3):
            raise broken(path, "an axis has no direction")
    elif "spacings" in fields:
        lengths = [number for number in numbers(path, fields["spacings"])[-3:] if dimension <= 3 or math.isfinite(number)]
    else:
        raise bad_spacing(path, "missing")
    if not all(math.isfinite(length) and length > 0 for length in lengths):
        raise bad_spacing(path, fields.get("space directions", fields.get("spacings", "")))


_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"), 4),
    **dict.fromkeys(
        ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"), 8
    ),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t", "double"), 8),
}
