"""How the session's actions tell what went wrong."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from TumorSynthLib.errors import TumorSynthError


def action(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that tells its errors by ``failed``, and returns None then."""

    @wraps(method)
    def tried(self: Any, *arguments: Any, **more: Any) -> Any:
        try:
            return method(self, *arguments, **more)
        except TumorSynthError as error:
            self.failed.emit(error)
            self.changed.emit()
            return None

    return tried
