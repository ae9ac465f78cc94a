"""Files on their way to a worker that does not see them: named by their bytes and read in pieces (standard library only)."""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from TumorSynthLib.errors import ImageError
from TumorSynthLib.transfer import ARCHIVE, CHUNK, FOLDER_ARCHIVE, ending

_BLOCK = 512
"""Bytes to which everything in a tar archive is padded."""
_HEADER = 1 << 20
"""Bytes in which a text header ends."""

Stamp = tuple[tuple[str, int, int], ...]
"""Path, size and time of change of each file."""


@dataclass(frozen=True)
class Parcel:
    """What is sent for one path of a request."""

    files: tuple[Path, ...]
    """The files in their order."""
    archive: str
    """End of the archive's name where the files are packed; empty for one file that is sent as it is."""
    path: str
    """The path as the user gave it, for messages."""

    @property
    def stamp(self) -> Stamp:
        """Changes when the files do."""
        states = [(file, os.stat(file)) for file in self.files]
        return tuple((str(file), state.st_size, state.st_mtime_ns) for file, state in states)

    @property
    def size(self) -> int:
        """About as many bytes are sent."""
        return sum(size for _, size, _ in self.stamp)

    def pieces(self) -> Iterator[bytes]:
        """The bytes that are sent, none of the pieces longer than ``CHUNK``.

        Raises
        ------
        ImageError : when a file cannot be read, or is changed meanwhile.
        """
        try:
            for file in self.files:
                yield from _packed(file) if self.archive else _read(file, file.stat().st_size)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if self.archive:
            yield bytes(2 * _BLOCK)


class Names:
    """Upload names of parcels; the checksums of files that have not changed are computed once."""

    def __init__(self) -> None:
        self._known: dict[Stamp, str] = {}

    def name(self, parcel: Parcel, check: Callable[[], None]) -> str:
        """The upload name of a parcel.

        Parameters
        ----------
        parcel : the files.
        check : called on the way; may raise to give up.

        Raises
        ------
        ImageError : when a file cannot be read.
        """
        try:
            stamp = parcel.stamp
        except OSError as error:
            raise _unreadable(parcel.path, error) from error
        if stamp not in self._known:
            digest = hashlib.sha256()
            for piece in parcel.pieces():
                check()
                digest.update(piece)
            self._known[stamp] = digest.hexdigest() + (parcel.archive or ending(parcel.files[0]))
        return self._known[stamp]


def parcel_of(path: str) -> Parcel:
    """What has to be sent for a path: a file, the files of a folder, or a header with the file of its voxels.

    Raises
    ------
    ImageError : when it does not exist, or names files that cannot be sent along.
    """
    place = Path(path)
    try:
        if not place.exists():
            raise ImageError("image.missing", f"'{path}' does not exist.", "Check the path.")
        if place.is_dir():
            return Parcel(tuple(sorted(item for item in place.iterdir() if item.is_file())), FOLDER_ARCHIVE, path)
        data = _detached(place)
    except OSError as error:
        raise _unreadable(path, error) from error
    if data is None:
        return Parcel((place,), "", path)
    if not data.isprintable() or "%" in data or data.startswith("LIST") or Path(data).name != data:
        message = f"'{path}' keeps its voxels in {data!r}, which cannot be sent along."
        raise ImageError("image.detached", message, "Save the image as one file, for example as .nrrd.")
    return Parcel((place, place.with_name(data)), f"{ending(place)}{ARCHIVE}", path)


def _detached(path: Path) -> str | None:
    """The file that an NRRD or MetaImage header names for its voxels; None where they follow in the same file."""
    kind = ending(path)
    if kind not in (".nrrd", ".seg.nrrd", ".mha", ".mhd"):
        return None
    with path.open("rb") as file:
        head = file.read(_HEADER)
    for line in head.split(b"\n"):
        name, _, value = line.partition(b"=" if kind in (".mha", ".mhd") else b":")
        field, text = name.strip().lower(), value.strip().decode("utf-8", "replace")
        if field in (b"data file", b"datafile"):
            return text
        if field == b"elementdatafile":
            return None if text.upper() == "LOCAL" else text
        if not line.strip():
            return None
    return None


def _packed(file: Path) -> Iterator[bytes]:
    """A file as a tar archive holds it; without times and owners, so that the same bytes have the same name."""
    entry = tarfile.TarInfo(file.name)
    entry.size = file.stat().st_size
    yield entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    yield from _read(file, entry.size)
    yield bytes(-entry.size % _BLOCK)


def _read(file: Path, size: int) -> Iterator[bytes]:
    """Exactly so many bytes of a file."""
    with file.open("rb") as stream:
        while size > 0:
            data = stream.read(min(CHUNK, size))
            if not data:
                raise OSError("it became shorter while it was read")
            size -= len(data)
            yield data


def _unreadable(path: str, error: OSError) -> ImageError:
    return ImageError("image.unreadable", f"'{path}' cannot be read: {error.strerror or error}.", "Check it.")
