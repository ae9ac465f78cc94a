"""Long calls into compiled code that a user may still cancel (standard library only)."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")
POLL_SECONDS = 0.05
"""How often a caller is asked whether it still wants the result."""
PATIENCE_SECONDS = 0.5
"""How long a call that nobody wants any more may take to end by itself."""


def interruptible(call: Callable[[], Result], alive: Callable[[], None], undo: Callable[[], None] | None = None) -> Result:
    """The result of a call that runs in a thread while ``alive`` is asked again and again.

    To compress a scan of 300 MB takes ten seconds, and no library writes it in pieces. So when the user cancels, the caller
    does not wait: the thread goes on for nobody.

    Parameters
    ----------
    call : releases Python's lock while it works, as SimpleITK does.
    alive : called in this thread; what it raises ends the waiting.
    undo : called once the abandoned call has ended, to remove what it wrote.
    """
    future: Future[Result] = Future()
    thread = threading.Thread(target=_work, args=(future, call), daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            alive()
            thread.join(POLL_SECONDS)
    except BaseException:
        thread.join(PATIENCE_SECONDS)
        if undo is not None and thread.is_alive():
            future.add_done_callback(lambda _: undo())
        raise
    return future.result()


def _work(future: "Future[Result]", call: Callable[[], Result]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # told to the caller, in whose thread it is raised
        future.set_exception(error)
