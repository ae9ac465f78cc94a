"""Any value of nested settings by its dotted name, to list it or to replace it."""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from TumorSynthLib.errors import RequestError

Settings = TypeVar("Settings")
"""A dataclass of settings."""


def values_of(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Every value of nested settings by its dotted name, such as ``train.batch`` or ``network.channels``."""
    found: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            found |= values_of(value, f"{prefix}{entry.name}.")
        elif isinstance(value, dict):
            found |= {f"{prefix}{entry.name}.{key}": one for key, one in value.items()}
        else:
            found[f"{prefix}{entry.name}"] = value
    return found


def overridden(settings: Settings, assignments: Iterable[str]) -> Settings:
    """Settings with some values replaced.

    Parameters
    ----------
    settings : nested settings.
    assignments : ``name=value`` with a dotted name as in ``values_of``; lists are separated by commas.

    Raises
    ------
    RequestError : for an unknown name or a value of another kind; the message lists the names.
    """
    for assignment in assignments:
        name, sign, text = assignment.partition("=")
        known = values_of(settings)
        if not sign or name not in known:
            message = f"{assignment!r} does not set a value of this training."
            raise RequestError("preset.value", message, f"Write NAME=VALUE; the names are {', '.join(known)}.")
        try:
            value = _parsed(text, known[name])
        except ValueError as error:
            message = f"{name} is like {known[name]!r}; {text!r} is not."
            raise RequestError("preset.value", message, "`python -m TumorSynthLib.train presets` shows all values.") from error
        settings = _set(settings, name.split("."), value)
    return settings


def _set(settings: Settings, path: list[str], value: Any) -> Settings:
    current: Any = settings
    if isinstance(current, dict):
        return {**current, path[0]: value}  # type: ignore[return-value]
    inner = value if len(path) == 1 else _set(getattr(current, path[0]), path[1:], value)
    return replace(current, **{path[0]: inner})


def _parsed(text: str, like: Any) -> Any:
    """The text as a value of the kind of ``like``."""
    if isinstance(like, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if isinstance(like, tuple):
        parts = [part for part in text.split(",") if part]
        return tuple(_parsed(part, like[0] if like else 0.0) for part in parts)
    return type(like)(text)
