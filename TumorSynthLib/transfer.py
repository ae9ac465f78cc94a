"""Volumes that travel in the worker's lines, for a worker that does not see its client's files (standard library only).

A file that was sent is called by the SHA-256 of its bytes and the ending of its own name, so that it is sent once however often
it is used. A folder, or a header with its voxels in a file of their own, is sent as a tar archive, whose name ends in ``.tar``.
A request names such a file as ``upload:NAME``, and asks by an ``out`` that starts with ``inline:`` for its result to come back
in lines as well.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TumorSynthLib import json_checks as check
from TumorSynthLib.errors import RequestError
from TumorSynthLib.input_files import input_files
from TumorSynthLib.protocol import check_fields, line_id

CHUNK = 192 * 1024
"""Bytes of a file in one line, a quarter of the longest line once they are letters."""
UPLOAD, INLINE = "upload:", "inline:"
ARCHIVE = ".tar"
FOLDER_ARCHIVE = f".dcm{ARCHIVE}"
"""End of the name of a folder that was sent."""
_NAME = re.compile(r"[0-9a-f]{64}(\.[a-z0-9]{1,8}){0,3}")
_ENDING = re.compile(r"((\.seg)?\.nrrd|\.nii\.gz|\.[a-z0-9]{1,8})$")


@dataclass(frozen=True)
class Piece:
    """A part of a file that is sent."""

    id: str | int | None
    """Request that it is sent for, which fails when the piece is refused."""
    name: str
    """Name of the file."""
    offset: int
    """Where in the file the piece starts; 0 begins anew."""
    data: bytes
    """The bytes."""
    last: bool
    """Whether the file is now complete."""


def ending(path: Path) -> str:
    """The end of a file's name that tells its type, in lower case.

    >>> ending(Path("Scan.1.NII.gz")), ending(Path("a.seg.nrrd")), ending(Path("scan.v2.mha")), ending(Path("scan"))
    ('.nii.gz', '.seg.nrrd', '.mha', '')
    """
    found = _ENDING.search(path.name.lower())
    return found[0] if found else ""


def upload_names(request: Mapping[str, Any]) -> set[str]:
    """Names of the sent files that a request reads."""
    return {path.removeprefix(UPLOAD) for path in input_files(request).values() if path.startswith(UPLOAD)}


def piece_line(piece: Piece) -> dict[str, Any]:
    """The line that ``parse_upload`` reads, without its schema."""
    data = base64.b64encode(piece.data).decode("ascii")
    return {"op": "upload", "id": piece.id, "name": piece.name, "offset": piece.offset, "data": data, "last": piece.last}


def parse_upload(values: Mapping[str, Any]) -> Piece:
    """The piece in ``{"schema": 1, "op": "upload", "id", "name", "offset", "data", "last"}``.

    Raises
    ------
    RequestError : when a field is missing, unknown or wrong.
    """
    check_fields(values, ("name", "offset", "data", "last"))
    name = upload_name("name", values.get("name"))
    offset = check.integer("offset", values.get("offset"), 0)
    return Piece(line_id(values), name, offset, decoded(values.get("data")), check.boolean("last", values.get("last")))


def parse_have(values: Mapping[str, Any]) -> tuple[str | int | None, list[str]]:
    """Id and names in ``{"schema": 1, "op": "have", "id", "names"}``.

    Raises
    ------
    RequestError : when a field is missing, unknown or wrong.
    """
    check_fields(values, ("names",))
    names = values.get("names")
    if not isinstance(names, list):
        raise check.type_error("names", names, "a list of names")
    return line_id(values), [upload_name(f"names[{index}]", name) for index, name in enumerate(names)]


def upload_name(field: str, value: Any) -> str:
    """The name of a file that is sent: a checksum and up to three endings, never a path.

    Raises
    ------
    RequestError : with code ``upload.name``.
    """
    word = check.text(field, value)
    if not _NAME.fullmatch(word):
        shown = word if len(word) <= 100 else f"{word[:97]}..."
        hint = "Give the SHA-256 of the file in hexadecimal and its ending, such as .nii.gz."
        raise RequestError("upload.name", f"Field '{field}' is {shown!r}, which names no file that was sent.", hint)
    return word


def decoded(value: Any) -> bytes:
    """The bytes of a line's ``data``.

    Raises
    ------
    RequestError : with code ``upload.data`` when it is not base64.
    """
    if not isinstance(value, str):
        raise check.type_error("data", value, "bytes in base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError("upload.data", f"Field 'data' is not base64: {error}.", "Send the file again.") from error


def with_texts(values: Any, change: Callable[[str], str]) -> Any:
    """A copy of JSON values with every text in them changed.

    >>> with_texts({"a": ["x", 1], "b": {"c": "y"}}, str.upper)
    {'a': ['X', 1], 'b': {'c': 'Y'}}
    """
    if isinstance(values, str):
        return change(values)
    if isinstance(values, Mapping):
        return {name: with_texts(item, change) for name, item in values.items()}
    return [with_texts(item, change) for item in values] if isinstance(values, list | tuple) else values
