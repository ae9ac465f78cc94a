"""Does an image file hold what its header promises?

SimpleITK reads truncated NIfTI files and damaged gzip streams without complaint, turns NaN in NIfTI into 0 and accepts a voxel
size of zero. So the header is read here as well, and the bytes are counted before SimpleITK sees the file.
"""

import contextlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from TumorSynthLib.errors import ImageError
from TumorSynthLib.image_errors import broken, check_size, not_finite
from TumorSynthLib.meta_header import parse_meta
from TumorSynthLib.nifti_header import HEADER_BYTES, parse_nifti
from TumorSynthLib.nrrd_header import parse_nrrd
from TumorSynthLib.text_headers import Payload

_CHUNK = 1 << 14
_DEFLATED = 1033
"""Most bytes that one byte of a gzip or zlib stream can stand for."""
_EXCESS = 1 << 20
"""Bytes after the voxels that a compressed stream may hold."""
_AUTO = 47
"""zlib's window setting that accepts both gzip and zlib streams."""


def image_suffix(path: Path) -> str:
    """The file type, one of ``.nrrd .nii .nii.gz .mha .mhd``.

    Raises
    ------
    ImageError : for any other, with code ``image.type``.
    """
    name = path.name.lower()
    for suffix in (".nii.gz", *_HEADERS):
        if name.endswith(suffix):
            return suffix
    hint = "Give .nrrd, .nii, .nii.gz, .mha, .mhd or a folder with one DICOM series."
    raise ImageError("image.type", f"'{path}' is of a type that cannot be read.", hint)


def check_file(path: Path) -> None:
    """Refuse a file whose header is broken or whose voxels are missing, damaged or (NIfTI) not finite.

    Raises
    ------
    ImageError : with code ``image.type``, ``image.header``, ``image.spacing``, ``image.truncated``, ``image.damaged``,
        ``image.not_finite``, ``image.dimensions``, ``image.shear``, ``image.encoding``, ``image.large`` or
        ``image.unreadable``.
    """
    with _readable(path):
        _check_payload(_payload(path))


def check_header(path: Path) -> None:
    """Refuse a file whose header is broken; its voxels are not looked at.

    Raises
    ------
    ImageError : as ``check_file``.
    """
    with _readable(path):
        _payload(path)


def _payload(path: Path) -> Payload:
    """Where the voxels of a file lie, as its header tells."""
    suffix = image_suffix(path)
    if not path.is_file():
        raise ImageError("image.type", f"'{path}' is neither a file nor a folder.", "Give an image file.")
    return _HEADERS[suffix.removesuffix(".gz")](path)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn the errors of the file system into ours."""
    try:
        yield
    except OSError as error:
        raise ImageError(
            "image.unreadable", f"'{error.filename or path}' cannot be read: {error.strerror}.", "Check it."
        ) from error


def _truncated(path: Path, found: int, expected: int) -> ImageError:
    message = f"'{path}' is truncated: it holds at most {found} bytes of voxels, its header promises {expected}."
    return ImageError("image.truncated", message, "Copy or download the file again.")


def _check_payload(payload: Payload) -> None:
    """Count the bytes, check the stream's checksum, look for values that are not finite."""
    expected = payload.skip + payload.size
    found = (payload.path.stat().st_size - payload.start) * (_DEFLATED if payload.compressed else 1)
    if found < expected:
        raise _truncated(payload.path, max(found - payload.skip, 0), payload.size)
    check_size(payload.path, expected)
    if payload.compressed or payload.values is not None:
        _check_stream(payload, expected)


def _check_stream(payload: Payload, expected: int) -> None:
    """As ``_check_payload``, for data that has to be read."""
    found = 0
    rest = b""
    for chunk in _stream(payload):
        if payload.values is not None:
            first = max(payload.skip - found, 0)
            rest = _check_values(payload, rest + chunk[first : max(expected - found, 0)])
        found += len(chunk)
        if found > expected + _EXCESS:
            break
    if found < expected:
        raise _truncated(payload.path, max(found - payload.skip, 0), payload.size)
    if payload.compressed and found > expected + _EXCESS:
        raise broken(payload.path, f"it promises {expected} bytes of data, but many more are there")


def _check_values(payload: Payload, data: bytes) -> bytes:
    """Refuse NaN and infinity; returns the bytes of a last incomplete voxel."""
    assert payload.values is not None
    count = len(data) // payload.values.itemsize
    if not np.isfinite(np.frombuffer(data, payload.values, count)).all():
        raise not_finite(payload.path)
    return data[count * payload.values.itemsize :]


def _stream(payload: Payload) -> Iterator[bytes]:
    """The data in pieces, uncompressed where it is compressed."""
    with payload.path.open("rb") as file:
        file.seek(payload.start)
        if payload.compressed:
            yield from _inflate(payload.path, file)
        else:
            while chunk := file.read(1 << 22):
                yield chunk


def _inflate(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Uncompressed pieces of one or several gzip or zlib members; checksums are verified by zlib."""
    member = zlib.decompressobj(_AUTO)
    try:
        while data := file.read(_CHUNK):
            while data:
                yield member.decompress(data)
                data = member.unused_data
                if member.eof:
                    data = data if len(data) > 1 else data + file.read(_CHUNK)
                    if not data.startswith(b"\x1f\x8b"):
                        return
                    member = zlib.decompressobj(_AUTO)
    except zlib.error as error:
        message = f"The compressed data of '{path}' is damaged ({error})."
        raise ImageError("image.damaged", message, "Copy or download the file again.") from error
    message = f"'{path}' is truncated: its compressed data ends early."
    raise ImageError("image.truncated", message, "Copy or download the file again.")


def _nifti(path: Path) -> Payload:
    """Read a NIfTI-1 header, plain or in gzip."""
    zipped = path.name.lower().endswith(".gz")
    with path.open("rb") as file:
        if zipped and file.read(2) != b"\x1f\x8b":
            raise broken(path, "the name ends in .gz but the file is not compressed by gzip")
        file.seek(0)
        data = b""
        for chunk in _inflate(path, file) if zipped else iter([file.read(HEADER_BYTES)]):
            data += chunk
            if len(data) >= HEADER_BYTES:
                break
    header = parse_nifti(data, path)
    values = header.dtype if header.dtype.kind == "f" else None
    return Payload(path, 0, header.voxel_bytes, zipped, skip=header.offset, values=values)


_HEADERS: dict[str, Callable[[Path], Payload]] = {
    ".nrrd": parse_nrrd,
    ".nii": _nifti,
    ".mha": parse_meta,
    ".mhd": parse_meta,
}
