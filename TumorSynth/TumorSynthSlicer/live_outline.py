"""The outline that follows the sliders: what the worker would make, asked again and again while something moves."""

from collections.abc import Callable, Mapping
from typing import Any

from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.mask_code import decode_mask
from TumorSynthSlicer.outline import Outline
from TumorSynthSlicer.requests import previewRequest
from TumorSynthSlicer.session_work import Prepared
from TumorSynthSlicer.tasks import Steps, Task
from TumorSynthSlicer.timers import Delayed

PREVIEW_MILLISECONDS = 30
"""How long changes are collected before the worker is asked."""


class LiveOutline:
    """Shows the outline of one lesion at a time.

    Parameters
    ----------
    service : the worker.
    prepare : makes the files of the lesion with a key; None where it has no outline now.
    volume : the scan whose space the outline lies in.
    onShown : called with the key of the lesion whose outline is shown.
    """

    def __init__(
        self,
        service: Any,
        prepare: Callable[[str], Steps[Prepared] | None],
        volume: Callable[[], Any],
        onShown: Callable[[str], None],
    ) -> None:
        self._service, self._prepare, self._volume, self._onShown = service, prepare, volume, onShown
        self._timer = Delayed(PREVIEW_MILLISECONDS, self._begin)
        self._outline = Outline()
        self._task: Task[Prepared] | None = None
        self._key = ""
        self._number = 0
        self.measured: dict[str, float] = {}
        """Shape features of what is shown."""
        self.message = ""
        """Why nothing is shown, empty where something is or nothing is to be."""

    def ask(self, key: str) -> None:
        """Show a lesion as it is then, in a moment; an empty key shows nothing."""
        if key != self._key:
            self.hide()
        self._key = key
        if key and self._service.state in ("starting", "ready", "busy"):
            self._timer.ask()

    def hide(self) -> None:
        """Show nothing, whatever is still on its way."""
        self._number += 1
        self._timer.stop()
        if self._task is not None:
            self._task.cancel()
        self._key, self.measured, self.message = "", {}, ""
        self._outline.hide()

    def close(self) -> None:
        """Remove the outline from the scene."""
        self.hide()
        self._outline.remove()

    def _begin(self) -> None:
        try:
            steps = self._prepare(self._key)
        except TumorSynthError as error:
            self._failed(error)
            return
        if self._task is not None:
            self._task.cancel()
        if steps is None:
            self.hide()
            return
        self._number += 1
        number = self._number
        self._task = Task(steps, lambda ready: self._ask(ready, number), lambda error: self._unless(number, error))

    def _ask(self, ready: Prepared, number: int) -> None:
        (lesion, place), *_ = ready.edits
        try:
            values = previewRequest(lesion, ready.settings, str(ready.image), place)
        except TumorSynthError as error:
            self._failed(error)
            return
        if values is None:
            self.hide()
            return
        key = lesion.key
        self._service.ask(
            values, lambda answer: self._show(key, answer), lambda error: self._unless(number, error), kind="preview"
        )

    def _show(self, key: str, answer: Mapping[str, Any]) -> None:
        volume = self._volume()
        if key != self._key or volume is None:
            return
        try:
            self._outline.show(decode_mask(answer), volume)
        except TumorSynthError as error:
            self._failed(error)
            return
        self.measured, self.message = dict(answer.get("measured", {})), ""
        self._onShown(key)

    def _unless(self, number: int, error: TumorSynthError) -> None:
        """An error counts unless something newer is on its way."""
        if number == self._number and error.code != "cancelled":
            self._failed(error)

    def _failed(self, error: TumorSynthError) -> None:
        """While a slider moves, an error is no window but a line, and there is no outline."""
        self.measured, self.message = {}, str(error)
        self._outline.hide()
        if self._key:
            self._onShown(self._key)
