"""Are all files of a DICOM series there, and in each of them all pixels? (standard library only)

GDCM, which reads them for SimpleITK, leaves out files that it cannot read, and shows whatever lies in memory for pixels that a
file lacks. It does so without a word.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path

from TumorSynthLib.dicom_elements import check_elements
from TumorSynthLib.dicom_tags import BITS, CLASS, COLUMNS, ROWS, SAMPLES, Tags, frame_count, numbers, word
from TumorSynthLib.errors import ImageError
from TumorSynthLib.image_errors import check_name

_PIXEL_DATA = b"\xe0\x7f\x10\0"
_UNKNOWN_LENGTH = 0xFFFFFFFF
_OTHER_ORDERS = (b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99")
"""Transfer syntaxes, big endian and deflated, in which the bytes above do not stand before the pixels."""
_CLASS = b"\x02\0\x02\0UI"
"""What stands before the class of a file's content."""
_HEAD = 1024
_COPY_AGAIN = "Copy or export the series again."


def check_entries(folder: Path) -> None:
    """Refuse a folder with anything but sound files and folders of readable names; GDCM stops listing there, or worse.

    Raises
    ------
    ImageError : with code ``image.name``, ``image.dicom``, ``image.truncated`` or ``image.unreadable``.
    """
    try:
        for item in folder.iterdir():
            check_name(item)
            if not item.is_file() and not item.is_dir():
                message = f"The folder '{folder}' holds '{item.name}', which is neither a file nor a folder."
                raise ImageError("image.dicom", message, "Take it out of the folder.")
            if item.is_file():
                check_elements(item)
    except OSError as error:
        message = f"'{folder}' cannot be read: {error.strerror}."
        raise ImageError("image.unreadable", message, "Check its permissions.") from error


def check_left_out(folder: Path, names: Sequence[str], tags: Tags) -> None:
    """Refuse a folder with a file that should have been one of its slices.

    Parameters
    ----------
    folder : the folder.
    names : the slices that were found in it.
    tags : of one of them.

    Raises
    ------
    ImageError : with code ``image.truncated``.
    """
    listed = {Path(name).name for name in names}
    suffixes = {Path(name).suffix for name in names}
    kind = word(tags, CLASS).encode("ascii", "replace")
    for item in folder.iterdir():
        if item.name in listed or not item.is_file():
            continue
        with item.open("rb") as file:
            head = file.read(_HEAD)
        if (_CLASS in head and _class(head) == kind) or (not head and item.suffix in suffixes):
            raise ImageError("image.truncated", f"'{item}' looks like a slice of the series, but cannot be read.", _COPY_AGAIN)


def _class(head: bytes) -> bytes:
    """The class that the head of a file tells."""
    at = head.index(_CLASS) + len(_CLASS)
    return head[at + 2 : at + 2 + int.from_bytes(head[at : at + 2], "little")].strip(b" \0")


def check_pixels(name: str, tags: Tags) -> None:
    """Refuse a slice whose file holds fewer pixels than its header promises.

    Raises
    ------
    ImageError : with code ``image.truncated``, or ``image.dicom`` for a header without size.
    """
    rows, columns, samples, bits = (int(numbers(name, tags, tag, 1)[0]) for tag in (ROWS, COLUMNS, SAMPLES, BITS))
    expected = (rows * columns * samples * frame_count(name, tags) * bits + 7) // 8
    with open(name, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if any(syntax in data[:_HEAD] for syntax in _OTHER_ORDERS):
            return
        at = data.find(_PIXEL_DATA)
        while at >= 0:
            spelled_out = data[at + 4 : at + 6] in (b"OB", b"OW", b"UN")
            length = int.from_bytes(data[at + 8 : at + 12] if spelled_out else data[at + 4 : at + 8], "little")
            start = at + (12 if spelled_out else 8)
            if length == _UNKNOWN_LENGTH or expected <= length <= len(data) - start:
                return
            at = data.find(_PIXEL_DATA, at + 1)
    message = f"'{name}' holds fewer pixels than the {expected} bytes that its header promises."
    raise ImageError("image.truncated", message, _COPY_AGAIN)
