"""One round of work: files are prepared, the worker makes one result after the other, each is read and can be looked at."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from TumorSynthLib.errors import Cancelled, TumorSynthError
from TumorSynthSlicer.editing import Editing
from TumorSynthSlicer.generation import Generation
from TumorSynthSlicer.requests import editRequest, lesionsRequest
from TumorSynthSlicer.session_work import Prepared
from TumorSynthSlicer.tasks import Steps, Task


class Run:
    """A round that goes on until ``onOver`` is called, once.

    Parameters
    ----------
    service : the worker.
    files : gives names of result folders.
    editing : takes the results.
    count : how many results are made, with seeds that count up.
    onResult : called when there is a result more to choose from.
    onOver : called with the error that ended it, or None.
    onProgress : called with stage, share of all that is done, and seconds left or None.
    """

    def __init__(
        self,
        service: Any,
        files: Any,
        editing: Editing,
        count: int,
        onResult: Callable[[], None],
        onOver: Callable[[TumorSynthError | None], None],
        onProgress: Callable[[str, float, float | None], None],
    ) -> None:
        self._files, self._editing, self._count = files, editing, count
        self._onResult, self._onOver, self._onProgress = onResult, onOver, onProgress
        self._generation = Generation(service, self._onMade, self._onAllMade, onProgress)
        self._ready: Prepared | None = None
        self._requests: list[Mapping[str, Any]] = []
        self._waiting: list[int] = []
        self._loading: Task[Any] | None = None
        self._error: TumorSynthError | None = None
        self._made = self._left = False
        self._preparing: Task[Prepared] | None = None

    def start(self, prepared: Steps[Prepared]) -> None:
        """Begin with the work that makes the files."""
        self._preparing = Task(prepared, self._onPrepared, self._onAllMade)
        self._onProgress("preparing", 0.0, None)

    def cancel(self) -> None:
        """End it; results that are there can still be chosen from."""
        if self._preparing is not None:
            self._preparing.cancel()
        self._generation.cancel()

    def leave(self) -> None:
        """End it, and call nobody any more."""
        self._left = True
        self.cancel()
        if self._loading is not None:
            self._loading.cancel()

    def _onPrepared(self, ready: Prepared) -> None:
        self._ready = ready
        try:
            self._requests = [self._request(ready, number) for number in range(self._count)]
        except TumorSynthError as error:
            self._onAllMade(error)
            return
        self._generation.start(self._requests)

    def _request(self, ready: Prepared, number: int) -> Mapping[str, Any]:
        out, image = str(self._files.newPath("result")), str(ready.image)
        if len(ready.edits) > 1:
            return lesionsRequest(ready.edits, ready.settings, image, out, number)
        lesion, place = ready.edits[0]
        return editRequest(lesion, ready.settings, image, place, out, lesion.seed + number)

    def _onMade(self, number: int, event: Mapping[str, Any]) -> None:
        if self._left:
            self._files.discard(event["result"])
            return
        self._requests[number] = {**self._requests[number], "out": event["result"]}
        self._waiting.append(number)
        self._load()

    def _onAllMade(self, error: TumorSynthError | None) -> None:
        self._made, self._error = True, error
        self._load()

    def _load(self) -> None:
        """Read the next result, or end where nothing is left to do."""
        if self._left or self._loading is not None:
            return
        if self._waiting and self._ready is not None:
            request = self._requests[self._waiting.pop(0)]
            seed = request["seed"] if len(self._ready.edits) == 1 else None
            lesions = [lesion for lesion, _ in self._ready.edits]
            steps = self._editing.loadSteps(Path(request["out"]), seed, lesions, self._ready.image)
            self._loading = Task(steps, self._onLoaded, self._onLoadFailed)
        elif self._made:
            self._left = True
            self._onOver(self._error)

    def _onLoaded(self, found: Sequence[Any]) -> None:
        self._loading = None
        self._onResult()
        self._load()

    def _onLoadFailed(self, error: TumorSynthError) -> None:
        self._loading = None
        if not isinstance(error, Cancelled):
            self._error = self._error or error
        self._load()
