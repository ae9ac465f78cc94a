"""Checks of single JSON values (standard library only). Each returns the value in its final type or raises RequestError.

``name`` is the field as the user wrote it, for the message.
"""

import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from TumorSynthLib.errors import RequestError

Point = tuple[float, float, float]
_LARGEST_WHOLE = 2**63 - 1
"""Largest number that other programs can be expected to read exactly."""
_LONGEST_NAME = 100
"""Letters of an unknown name that are compared with the known ones."""


def shown(value: Any) -> str:
    """A value as messages show it, cut to a readable length.

    >>> shown("scan.nrrd"), len(shown("a" * 10_000)), shown(10**10_000)
    ("'scan.nrrd'", 60, 'a long int')
    """
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number of more digits than Python writes
        return f"a long {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def type_error(name: str, value: Any, expected: str) -> RequestError:
    """The error for a value of the wrong type."""
    return RequestError("request.type", f"Field '{name}' is {shown(value)} ({type(value).__name__}).", f"Give {expected}.")


def range_error(name: str, value: Any, expected: str) -> RequestError:
    """The error for a value out of range."""
    return RequestError("request.range", f"Field '{name}' is {shown(value)}, which is out of range.", f"Give {expected}.")


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """A hint with the closest known names, or with all of them where none is close and they are few."""
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    wanted = found[:_LONGEST_NAME].lower().removeprefix("original_")
    close = [by_lower[lower] for lower in get_close_matches(wanted, list(by_lower), n=3, cutoff=0.6)]
    if close:
        return f"Did you mean {' or '.join(repr(name) for name in close)}?"
    if len(names) <= 40:
        return f"Known: {', '.join(names)}."
    return "See the PyRadiomics feature list, for example 'firstorder_Mean'."


def number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, open_low: bool = False, unit: str = ""
) -> float:
    """A finite number in ``[low, high]``, or in ``(low, high]`` with ``open_low``; booleans are no numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise type_error(name, value, "a number")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise RequestError("request.not_finite", f"Field '{name}' is not a finite number.", "Give a finite number.")
    if result < low or result > high or (open_low and result == low):
        raise range_error(name, value, _interval(low, high, open_low) + (f" {unit}" if unit else ""))
    return result


def _interval(low: float, high: float, open_low: bool) -> str:
    """The allowed range in words."""
    start = f"above {low:g}" if open_low else f"of at least {low:g}"
    if math.isinf(high):
        return f"a number {start}"
    return f"a number {start} and at most {high:g}" if math.isfinite(low) else f"a number of at most {high:g}"


def integer(name: str, value: Any, low: int = -_LARGEST_WHOLE - 1, high: int = _LARGEST_WHOLE) -> int:
    """A whole number in ``[low, high]``, by default of 64 bits; neither booleans nor 1.0 are accepted."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise type_error(name, value, "a whole number without a decimal point")
    if value < low or value > high:
        raise range_error(name, value, f"a whole number from {low} to {high}")
    return value


def boolean(name: str, value: Any) -> bool:
    """``true`` or ``false``, nothing else."""
    if not isinstance(value, bool):
        raise type_error(name, value, "true or false")
    return value


def text(name: str, value: Any) -> str:
    """A string that is not empty, holds no NUL and can be written as UTF-8."""
    if not isinstance(value, str):
        raise type_error(name, value, "a text in quotes")
    if not value.strip():
        raise RequestError("request.empty", f"Field '{name}' is an empty text.", "Give a value or leave the field out.")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise RequestError("request.text", f"Field '{name}' holds characters that no file name can have.", "Remove them.")
    return value


def plain_name(name: str, value: Any) -> str:
    """A name without path parts, such as that of a bundle."""
    word = text(name, value)
    if "/" in word or "\\" in word or ".." in word or word.startswith(".") or ":" in word:
        message = f"Field '{name}' is {shown(word)}, which has path parts."
        raise RequestError(f"request.{name}", message, "Give a plain name, for example 'base'.")
    return word


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of ``allowed``."""
    word = text(name, value)
    if word not in allowed:
        hint = did_you_mean(word, allowed)
        raise RequestError(f"request.{name}", f"Field '{name}' is {shown(word)}, expected one of {', '.join(allowed)}.", hint)
    return word


def point(name: str, value: Any) -> Point:
    """Three finite numbers: R, A, S in mm."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise type_error(name, value, "three numbers [R, A, S] in mm")
    right, anterior, superior = (number(f"{name}[{axis}]", coordinate) for axis, coordinate in enumerate(value))
    return (right, anterior, superior)


def box(name: str, value: Any) -> tuple[Point, Point]:
    """Two opposite corners in RAS mm, returned as lower and upper corner."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise type_error(name, value, "two corners [[R, A, S], [R, A, S]] in mm")
    first, second = point(f"{name}[0]", value[0]), point(f"{name}[1]", value[1])
    if any(a == b for a, b in zip(first, second, strict=True)):
        message = f"Field '{name}' is a box without extent along some axis."
        raise RequestError("request.range", message, "Give two opposite corners.")
    low = (min(first[0], second[0]), min(first[1], second[1]), min(first[2], second[2]))
    high = (max(first[0], second[0]), max(first[1], second[1]), max(first[2], second[2]))
    return (low, high)
