"""The tags of DICOM slices that geometry and values depend on, as SimpleITK tells them (standard library only)."""

import math
from collections.abc import Mapping

from TumorSynthLib.errors import ImageError

CLASS, MODALITY, POSITION, ORIENTATION, SPACING = "0008|0016", "0008|0060", "0020|0032", "0020|0037", "0028|0030"
FRAMES, FRAME_DISTANCE, INTERCEPT, SLOPE = "0028|0008", "0018|0088", "0028|1052", "0028|1053"
ROWS, COLUMNS, SAMPLES, BITS = "0028|0010", "0028|0011", "0028|0002", "0028|0100"

Tags = Mapping[str, str]
"""Values of a slice by tag."""


def numbers(name: str, tags: Tags, tag: str, count: int) -> list[float]:
    """The numbers of a tag.

    Raises
    ------
    ImageError : with code ``image.dicom`` when there are more or fewer than expected, or not finite ones.
    """
    text = word(tags, tag)
    try:
        found = [float(part) for part in text.split("\\")]
    except ValueError:
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        message = f"The tag ({tag.replace('|', ',')}) of '{name}' is {text!r}, expected {count} finite numbers."
        raise ImageError("image.dicom", message, "Export the series again as ordinary DICOM slices.")
    return found


def word(tags: Tags, tag: str) -> str:
    """The text of a tag without its padding; empty where it is missing."""
    return tags.get(tag, "").strip(" \0")


def frame_count(name: str, tags: Tags) -> int:
    """Frames of a file."""
    return int(numbers(name, tags, FRAMES, 1)[0]) if FRAMES in tags else 1
