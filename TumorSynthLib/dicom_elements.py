"""Do the elements of a DICOM file fit into it? (standard library only)

GDCM, which reads such files for SimpleITK, makes room for an element before it looks whether the file goes on for so long.
So one wrong length costs up to 4 GB.
"""

import mmap
from pathlib import Path

from TumorSynthLib.errors import ImageError

_UNKNOWN_LENGTH = 0xFFFFFFFF
_IMPLICIT = b"1.2.840.10008.1.2"
_OTHER_ORDERS = (b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99")
"""Transfer syntaxes, big endian and deflated, whose elements are not looked at."""
_META, _ITEMS, _PIXELS = b"\x02\0", b"\xfe\xff", b"\xe0\x7f\x10\0"
_SYNTAX = b"\x02\0\x10\0"
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Kinds of values whose length has 16 or 32 bits."""


def check_elements(path: Path) -> None:
    """Refuse a DICOM file with an element that is longer than the file. Files of other kinds pass.

    Raises
    ------
    ImageError : with code ``image.truncated``.
    """
    with path.open("rb") as file:
        head = file.read(132)
        start = 132 if head.endswith(b"DICM") else 0
        if len(head) < 8 or (start == 0 and head[:2] not in (_META, b"\x08\0")):
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _walk(path, data, start)


def _walk(path: Path, data: mmap.mmap, at: int) -> None:
    """Go from element to element, into sequences and their items as well."""
    spelled_out = data[at : at + 2] == _META or data[at + 4 : at + 6] in _SHORT | _LONG
    syntax = b""
    while at + 8 <= len(data):
        tag = data[at : at + 4]
        if tag[:2] != _META and syntax:
            if syntax in _OTHER_ORDERS:
                return
            spelled_out, syntax = syntax != _IMPLICIT, b""
        kind, start, length = _element(data, at, spelled_out and tag[:2] != _ITEMS)
        unknown = length == _UNKNOWN_LENGTH
        if unknown and (tag == _PIXELS or kind == b"UN"):
            return  # compressed pixels, or elements in another notation
        if not unknown and length > len(data) - start:
            name = f"({int.from_bytes(tag[:2], 'little'):04x},{int.from_bytes(tag[2:], 'little'):04x})"
            message = f"'{path}' is truncated or damaged: its element {name} has {length} bytes, {len(data) - start} are left."
            raise ImageError("image.truncated", message, "Copy or export the series again.")
        if tag == _SYNTAX:
            syntax = data[start : start + length].strip(b" \0")
        inside = unknown or kind == b"SQ" or tag[:2] == _ITEMS
        at = start if inside else start + length


def _element(data: mmap.mmap, at: int, spelled_out: bool) -> tuple[bytes, int, int]:
    """Kind, first byte and length of the value of an element."""
    kind = data[at + 4 : at + 6] if spelled_out else b""
    first, last, start = (8, 12, 12) if kind in _LONG else (6, 8, 8) if kind in _SHORT else (4, 8, 8)
    return kind, at + start, int.from_bytes(data[at + first : at + last], "little")
