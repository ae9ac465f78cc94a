"""Annotations of parameters: defaults and what is allowed."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Default:
    """The value of a parameter that was never set."""

    value: Any


@dataclass(frozen=True)
class WithinRange:
    """A number in a closed range."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        """Raises ValueError for numbers outside."""
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclass(frozen=True)
class Minimum:
    """A number that is not too small."""

    minimum: float

    def validate(self, value: Any) -> None:
        """Raises ValueError for smaller ones."""
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclass(frozen=True)
class Maximum:
    """A number that is not too large."""

    maximum: float

    def validate(self, value: Any) -> None:
        """Raises ValueError for larger ones."""
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    choices: Any

    def validate(self, value: Any) -> None:
        """Raises ValueError for any other."""
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be in one of the following: {self.choices}")


@dataclass(frozen=True)
class Decimals:
    """Digits after the point in the widget."""

    value: int


@dataclass(frozen=True)
class SingleStep:
    """Step of the widget."""

    value: float


VALIDATORS = (WithinRange, Minimum, Maximum, Choice)
ANNOTATIONS = (*VALIDATORS, Default, Decimals, SingleStep)
