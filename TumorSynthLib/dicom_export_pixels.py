"""How a slice stores its values: as whole numbers of some bits, with a slope and an intercept."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from TumorSynthLib.errors import ImageError

_BITS = (8, 16, 32)
_SIGNED_MAX = 2**15 - 1
_UNSIGNED_MAX = 2**16 - 1


@dataclass(frozen=True)
class Storage:
    """The numbers in a slice's file and what they mean: value = stored x slope + intercept."""

    bits: int
    """Bits that a number takes (BitsAllocated)."""
    used: int
    """Bits that it may use (BitsStored)."""
    signed: bool
    """Whether it may be negative (PixelRepresentation)."""
    slope: float
    """RescaleSlope, not 0."""
    intercept: float
    """RescaleIntercept."""

    @property
    def dtype(self) -> np.dtype:
        """Little-endian type of the stored numbers."""
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.bits // 8}")

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest number that fits."""
        return (-(1 << self.used - 1), (1 << self.used - 1) - 1) if self.signed else (0, (1 << self.used) - 1)

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Stored numbers of values that fit, rounded to the nearest."""
        return np.rint((values.astype(np.float64) - self.intercept) / self.slope).astype(self.dtype)

    def values(self, stored: np.ndarray) -> np.ndarray:
        """Values of stored numbers, float64."""
        return stored.astype(np.float64) * self.slope + self.intercept

    def holds(self, low: float, high: float) -> bool:
        """Whether all values between two fit."""
        ends = sorted(round((value - self.intercept) / self.slope) for value in (low, high))
        return self.limits[0] <= ends[0] and ends[1] <= self.limits[1]


def storage_of(name: str, header: Dataset) -> Storage:
    """How an existing slice stores its values.

    Raises
    ------
    ImageError : ``dicom.pixels`` for colors, for floating-point pixels, and for values without slope and intercept.
    """
    samples, bits = header.get("SamplesPerPixel", 1), header.get("BitsAllocated")
    signed = header.get("PixelRepresentation")
    if samples != 1 or bits not in _BITS or signed not in (0, 1):
        found = f"{samples} numbers per pixel, {bits} bits, representation {signed}"
        raise _unusable(name, f"has {found}; expected one whole number of 8, 16 or 32 bits")
    if "ModalityLUTSequence" in header:
        raise _unusable(name, "turns stored numbers into values by a table")
    slope, intercept = (_number(name, header, key, usual) for key, usual in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)))
    if slope == 0.0:
        raise _unusable(name, "has the rescale slope 0")
    used = header.get("BitsStored", bits)
    return Storage(int(bits), min(int(used), int(bits)), bool(signed), slope, intercept)


def _number(name: str, header: Dataset, key: str, usual: float) -> float:
    value = header.get(key)
    if value is None or value == "":
        return usual
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise _unusable(name, f"has {key} {value!r}")
    return number


def _unusable(name: str, what: str) -> ImageError:
    return ImageError("dicom.pixels", f"'{name}' {what}.", "Export the result without a source.")


def fitting_storages(storages: Sequence[Storage], ranges: Sequence[tuple[float, float]]) -> list[Storage]:
    """The same storages where the new values fit; else with all allocated bits; else signed, with all of them.

    So an exact value is written for every voxel, and all slices of a series stay alike.

    Parameters
    ----------
    storages : of the slices of the source.
    ranges : smallest and largest new value of each.

    Raises
    ------
    ImageError : ``dicom.range`` when the new values do not fit at all.
    """
    whole = [replace(storage, used=storage.bits) for storage in storages]
    signed = [replace(storage, signed=True) for storage in whole]
    for candidates in (list(storages), whole, signed):
        if all(storage.holds(*ends) for storage, ends in zip(candidates, ranges, strict=True)):
            return candidates
    storage, (low, high) = next(
        (storage, ends) for storage, ends in zip(whole, ranges, strict=True) if not storage.holds(*ends)
    )
    first, last = sorted(storage.values(np.array(storage.limits)).tolist())
    message = f"The result has values from {low:g} to {high:g}, its source's slices hold {first:g} to {last:g} "
    message += f"({storage.dtype.name}, slope {storage.slope:g}, intercept {storage.intercept:g})."
    raise ImageError(
        "dicom.range", message, "Were they converted, for example to SUV? If they are right, export without a source."
    )


def new_storage(low: float, high: float, whole: bool, modality: str) -> Storage:
    """How a series without source stores its values, in 16 bits: unscaled where they are whole numbers that fit.

    Parameters
    ----------
    low, high : smallest and largest value.
    whole : whether all values are whole numbers.
    modality : CT, MR or PT; a PET series has the intercept 0 (PS3.3 C.8.9.4).
    """
    if whole and -_SIGNED_MAX - 1 <= low <= high <= _SIGNED_MAX:
        return Storage(16, 16, True, 1.0, 0.0)
    if whole and low >= 0 and high <= _UNSIGNED_MAX:
        return Storage(16, 16, False, 1.0, 0.0)
    if modality == "PT":
        return Storage(16, 16, True, _decimal(max(-low, high) / _SIGNED_MAX) or 1.0, 0.0)
    if whole and high - low <= _UNSIGNED_MAX:
        return Storage(16, 16, False, 1.0, low)
    # One step less than there is: slope and intercept are rounded to 16 letters.
    return Storage(16, 16, False, _decimal((high - low) / (_UNSIGNED_MAX - 1)) or 1.0, _decimal(low))


def _decimal(number: float) -> float:
    """The number that a decimal string of 16 letters holds."""
    return float(str(DSfloat(number, auto_format=True)))


def value_ranges(slices: Iterable[np.ndarray]) -> list[tuple[float, float]]:
    """Smallest and largest value of each slice."""
    return [(float(part.min()), float(part.max())) for part in slices]
