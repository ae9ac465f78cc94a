"""Work on many cases in processes of their own, so that no case can end the run: not by an error, nor by ending its process."""

import multiprocessing
import os
import struct
import threading
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

import SimpleITK as sitk
import torch
from tqdm import tqdm

from TumorSynthLib.errors import TumorSynthError

Item = TypeVar("Item")
Result = TypeVar("Result")

BAD_CASE = (
    TumorSynthError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What unforeseen files make the libraries raise."""


@dataclass(frozen=True)
class Failure:
    """Why there is no result for a case."""

    reason: str
    """A sentence."""


def run_cases(items: Sequence[Item], work: Callable[[Item], Result], processes: int, label: str) -> list[Result | Failure]:
    """What ``work`` returns for each item, in their order; a failure where it raised or its process was ended.

    At most twice as many items as processes are under way, and only what ``work`` returns comes back, so that memory does not
    grow with their number.

    Parameters
    ----------
    items : the cases; they travel to the processes by pickle.
    work : called once for each; picklable.
    processes : how many; 0 works in this process.
    label : beside the progress bar.
    """
    with tqdm(total=len(items), desc=label, unit="case") as bar:
        if processes == 0:
            results: list[Result | Failure] = []
            for item in items:
                results.append(_guarded(work, item))
                bar.update()
            return results
        return _Pool(items, work, processes, bar).run()


def _guarded(work: Callable[[Item], Result], item: Item) -> Result | Failure:
    """The result, or the failure that stands for it."""
    try:
        return work(item)
    except BAD_CASE as error:
        reason = str(error) if isinstance(error, TumorSynthError) else f"{type(error).__name__}: {error}"
        return Failure(reason)


class _Pool(Generic[Item, Result]):
    """Items on their way through processes."""

    def __init__(self, items: Sequence[Item], work: Callable[[Item], Result], processes: int, bar: "tqdm[None]") -> None:
        self.items, self.work, self.processes, self.bar = items, work, processes, bar
        self.results: dict[int, Result | Failure] = {}

    def run(self) -> list[Result | Failure]:
        """All results in the order of the items."""
        waiting = deque(range(len(self.items)))
        while waiting:
            # When a process is ended from outside, nobody knows by whose case: those under way run again, one at a time.
            suspects = deque(self._round(waiting, self.processes, 2 * self.processes))
            for culprit in self._round(suspects, 1, 1):
                self._settle(culprit, Failure("Its process was ended by the system; most often there was too little memory."))
            waiting.extendleft(reversed(suspects))
        return [self.results[number] for number in range(len(self.items))]

    def _round(self, waiting: deque[int], processes: int, most: int) -> list[int]:
        """Work until all is done or a process is ended; which of at most so many items were under way then."""
        if not waiting:
            return []
        running: dict[Future[Result | Failure], int] = {}
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(processes, context, initializer=_prepare_process)
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    running[pool.submit(_guarded, self.work, self.items[waiting[0]])] = waiting[0]
                    waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    self._settle(running.pop(future), result)
        except BrokenProcessPool:
            return sorted(running.values())
        finally:
            pool.shutdown(cancel_futures=True)
        return []

    def _settle(self, number: int, result: Result | Failure) -> None:
        self.results[number] = result
        self.bar.update()


def _prepare_process() -> None:
    """A worker uses one core, and ends when the run is killed, which it would otherwise outlive."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
