"""The header of a MetaImage file, read for its promises: where the voxels lie and how many bytes they take."""

import math
from pathlib import Path

from TumorSynthLib.errors import ImageError
from TumorSynthLib.image_errors import bad_spacing, broken
from TumorSynthLib.text_headers import Payload, bad_encoding, data_file, keep_field, number_word, numbers

_LINE = 1 << 16
"""Longest line that is read, in bytes."""
_TEXT = 250
_VALUE = 10_000
"""Longest value of a field with a meaning and of any other in bytes; SimpleITK overruns its memory at somewhat longer ones."""


def parse_meta(path: Path) -> Payload:
    """Read a MetaImage header.

    Raises
    ------
    ImageError : when it is broken, or the voxels are neither raw nor zlib data in one file.
    """
    fields, start = _fields(path)
    try:
        sizes = [int(number_word(word)) for word in fields["DimSize"].split()]
        channels = int(number_word(fields.get("ElementNumberOfChannels", "1")))
        itemsize = _BYTES[fields["ElementType"]]
        skip = int(number_word(fields.get("HeaderSize", "0")))
    except (KeyError, ValueError) as error:
        raise broken(path, f"'DimSize' or 'ElementType' is missing or invalid ({error})") from error
    if min(sizes, default=0) < 1 or channels < 1:
        raise broken(path, f"its sizes are {sizes} with {channels} channels")
    spacing = fields.get("ElementSpacing", fields.get("ElementSize", ""))
    if not spacing or not all(math.isfinite(number) and number > 0 for number in numbers(path, spacing)):
        raise bad_spacing(path, spacing or "missing")
    if not _true(fields.get("BinaryData", "True")):
        raise bad_encoding(path, "as text")
    local = fields["ElementDataFile"] in ("LOCAL", "Local", "local")
    target, start = (path, start) if local else (data_file(path, fields["ElementDataFile"]), 0)
    compressed = _true(fields.get("CompressedData", "False"))
    if compressed and skip != 0:
        raise broken(path, f"'HeaderSize' is {skip}, but its voxels are compressed")
    if compressed and fields.get("CompressedDataSize") != str(target.stat().st_size - start):
        reason = f"'CompressedDataSize' is {fields.get('CompressedDataSize')}, {target.stat().st_size - start} bytes are there"
        raise ImageError("image.truncated", f"'{path}' is truncated or broken: {reason}.", "Copy or download the file again.")
    _check_counts(path, fields, len(sizes))
    return Payload(target, start, math.prod(sizes) * channels * itemsize, compressed, max(skip, 0))


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields of a MetaImage header and the offset of what follows it."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in fields:
            line = file.readline(_LINE)
            name, equals, value = line.decode("utf-8", "replace").partition("=")
            if not line or not equals:
                raise broken(path, "'ElementDataFile' is missing")
            name = name.strip()
            keep_field(path, fields, name, value.strip(), _TEXT if name in _TEXTS else _VALUE)
        return fields, file.tell()


def _true(value: str) -> bool:
    """A truth value, as SimpleITK understands it."""
    return value[:1] in ("T", "t", "1")


def _check_counts(path: Path, fields: dict[str, str], dimension: int) -> None:
    """Each list has as many numbers as the dimension asks for; SimpleITK overruns its memory otherwise."""
    counts = {**dict.fromkeys(_NUMBERS, 1), **dict.fromkeys(_VECTORS, dimension), "Color": 4}
    counts |= dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), dimension**2)
    for name, count in counts.items():
        values = numbers(path, fields.get(name, "0 " * count))
        if len(values) != count or not all(map(math.isfinite, values)):
            raise broken(path, f"'{name}' is '{fields[name]}', expected {count} finite numbers")
    if fields.get("NDims") != str(dimension):
        raise broken(path, f"'NDims' is {fields.get('NDims')}, but 'DimSize' has {dimension} numbers")


_TEXTS = (
    "ObjectType", "ObjectSubType", "TransformType", "Comment", "Name", "AcquisitionDate", "Modality", "DistanceUnits",
    "BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData", "AnatomicalOrientation", "ElementType",
)  # fmt: skip
_NUMBERS = (
    "NDims", "ID", "ParentID", "HeaderSize", "ElementMin", "ElementMax", "ElementNumberOfChannels", "CompressedDataSize",
    "CompressionLevel", "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset",
)  # fmt: skip
_VECTORS = ("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation", "SequenceID")
_BYTES = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}
