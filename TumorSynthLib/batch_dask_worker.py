"""What a Dask worker does with a line of a batch. Its computer must see the same files under the same paths.

A line may be sent to two workers one after the other, when the first is believed to be lost; it may also still run for a batch
that was killed. The line's lock and the batch's token see to it that it never runs twice at the same time, nor twice at all.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distributed import get_worker

from TumorSynthLib.batch_claim import count_start, forget_starts, is_current, line_lock
from TumorSynthLib.batch_keep import Job, is_finished
from TumorSynthLib.batch_runners import Editing, OpenEditor, in_one_line, load_editor
from TumorSynthLib.errors import BundleError, Cancelled, OutputError, TumorSynthError

MAX_STARTS = 2
"""How many workers may be lost with the same line."""
_LOOK_SECONDS = 1.0
"""Time between two looks whether the batch still goes on."""


@dataclass(frozen=True)
class Order:
    """A line on its way to a worker."""

    job: Job
    """The line, with absolute paths."""
    state: str
    """The batch's own folder."""
    token: str
    """Who the batch is."""


@dataclass(frozen=True)
class Answer:
    """What became of an order."""

    error: str = ""
    """What went wrong; empty when the result is there."""
    seconds: float = 0.0
    """What it took."""
    cancelled: bool = False
    """Whether it was given up because the batch is over."""


class Desk:
    """What a Dask worker keeps for its life: one editor per bundle and device, and one line at a time."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        """Held by the line that runs; a worker may have several threads, and they share memory and device."""
        self._editors: dict[tuple[str, str], Editing] = {}

    def editor(self, job: Job, open_editor: OpenEditor) -> Editing:
        """The editor for a line, with the networks that the batch knows.

        Raises
        ------
        BundleError : ``bundle.other`` when this computer has another bundle of that name.
        """
        key = (job.request.bundle, job.request.device)
        if key not in self._editors or not _fits(self._editors[key], job):
            self._editors.pop(key, None)  # before the next one needs its memory
            self._editors[key] = open_editor(*key)
        if not _fits(self._editors[key], job):
            message = f"The bundle {job.request.bundle!r} on {socket.gethostname()} is not that of the batch."
            raise BundleError("bundle.other", message, "Install the same bundle on every computer.")
        return self._editors[key]


def carry_out(order: Order, open_editor: OpenEditor) -> Answer:
    """Carry out a line in a Dask worker; errors are told, not raised."""
    start = time.perf_counter()
    look = _Look(Path(order.state), order.token)
    desk: Desk = get_worker().__dict__.setdefault("tumorsynth_desk", Desk())
    error, cancelled = "", False
    try:
        with _turn(desk, look):
            start = time.perf_counter()
            _run(order, desk, open_editor, look)
    except Cancelled:
        cancelled = True
    except Exception as found:  # whatever it was, the next line may be fine
        error = in_one_line(found)
    return Answer(error, time.perf_counter() - start, cancelled)


def can_see(state: str, token: str) -> str | None:
    """The name of this computer when it does not see the batch's folder; None when it does."""
    return None if Path(state).is_dir() and is_current(Path(state), token) else socket.gethostname()


def open_editor(bundle: str, device: str) -> Editing:
    """The pipeline's editor; it computes with as many threads as its Dask worker has, which runs one line at a time."""
    import torch  # slow to import

    torch.set_num_threads(get_worker().state.nthreads)
    return load_editor(bundle, device)


class _Look:
    """Looks now and then whether the batch still goes on, and raises ``Cancelled`` when it does not."""

    def __init__(self, state: Path, token: str) -> None:
        self._state, self._token = state, token
        self._last = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last >= _LOOK_SECONDS:
            self.now()

    def now(self) -> None:
        self._last = time.monotonic()
        if not is_current(self._state, self._token):
            raise Cancelled


@contextmanager
def _turn(desk: Desk, look: _Look) -> Iterator[None]:
    """Wait until no other line runs in this worker."""
    while not desk.busy.acquire(timeout=_LOOK_SECONDS):
        look()
    try:
        yield
    finally:
        desk.busy.release()


def _fits(editor: Editing, job: Job) -> bool:
    """Whether an editor has the bundle that the batch knows."""
    bundle = getattr(editor, "bundle", None)
    return bundle is None or job.bundle_sha256 in (None, bundle.sha256)


def _run(order: Order, desk: Desk, open_editor: OpenEditor, look: _Look) -> None:
    """Carry out a line unless that has been done meanwhile."""
    state, job = Path(order.state), order.job
    assert job.request.out is not None
    if not state.is_dir():
        message = f"{socket.gethostname()} does not see {state}."
        raise OutputError("cluster.files", message, "Use a folder that every computer of the cluster has under the same path.")
    with line_lock(state, Path(job.request.out)) as lock:
        while not lock.wait(_LOOK_SECONDS, look):
            pass
        look.now()
        if is_finished(job):
            return
        if count_start(state, job.number) > MAX_STARTS:
            message = f"{MAX_STARTS} workers were lost while they had this line."
            raise TumorSynthError("worker.died", message, "A lack of memory is a frequent reason; see the workers' logs.")
        try:
            desk.editor(job, open_editor).run(job.request, lambda stage, fraction: look())
        finally:
            forget_starts(state, job.number)
