"""Jobs that are carried out one after the other."""

from collections import deque
from collections.abc import Callable

from TumorSynthSlicer.worker_job import Job


class Lane:
    """Jobs that wait, and the one that the worker has."""

    def __init__(self) -> None:
        self.sent: Job | None = None
        """What the worker has; also when it was cancelled, until the worker has let go of it."""
        self._waiting: deque[Job] = deque()

    @property
    def waits(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._waiting)

    def jobs(self) -> list[Job]:
        """All of them, the one that the worker has first."""
        return [*([] if self.sent is None else [self.sent]), *self._waiting]

    def add(self, job: Job) -> None:
        """Have a job wait."""
        self._waiting.append(job)

    def drop(self, job: Job) -> bool:
        """Take out a job that waits; whether it did."""
        if job not in self._waiting:
            return False
        self._waiting.remove(job)
        return True

    def older(self, kind: str) -> list[Job]:
        """Those of a kind that wait."""
        return [job for job in self._waiting if job.kind == kind]

    def send(self, send: Callable[[Job], bool]) -> None:
        """Send the next job unless the worker has one; ``send`` tells whether that was possible."""
        while self.sent is None and self._waiting:
            job = self._waiting.popleft()
            if send(job):
                self.sent = job
