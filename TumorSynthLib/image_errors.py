"""Errors and limits that the readers of all image formats share (standard library only)."""

from pathlib import Path

from TumorSynthLib.errors import ImageError

LARGEST_BYTES = 1 << 32
"""Most bytes of voxels that are read: 1024 x 1024 x 2000 voxels of 16 bits fit."""


def broken(path: Path, reason: str) -> ImageError:
    """The error for a header that makes no sense."""
    return ImageError("image.header", f"The header of '{path}' is broken: {reason}.", "Export the image again.")


def bad_spacing(path: Path, found: str) -> ImageError:
    """The error for voxels without a size."""
    hint = "Export the image again with its voxel size in mm."
    return ImageError("image.spacing", f"The voxel size of '{path}' is {found}, expected positive numbers.", hint)


def sheared(path: Path) -> ImageError:
    """The error for a grid without right angles."""
    message = f"The axes of '{path}' are not at right angles (sheared, or a tilted gantry)."
    return ImageError(
        "image.shear", message, "Resample it to a rectangular grid, for example by Slicer's 'Resample Scalar Volume'."
    )


def not_finite(path: Path) -> ImageError:
    """The error for an image with NaN or infinity."""
    hint = "Replace them, for example by the value of air, and export the image again."
    return ImageError("image.not_finite", f"'{path}' holds values that are NaN or infinite.", hint)


def check_size(path: Path, size: int) -> None:
    """Refuse an image whose voxels take more than ``LARGEST_BYTES``."""
    if size > LARGEST_BYTES:
        message = f"'{path}' holds {size} bytes of voxels, expected at most {LARGEST_BYTES}."
        raise ImageError("image.large", message, "Crop or resample it first.")


def check_name(path: Path) -> None:
    """Refuse a name that is not UTF-8; SimpleITK ends the whole process at such names."""
    if any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        raise ImageError("image.name", f"The name {str(path)!r} is not UTF-8.", "Rename the file or its folder.")
