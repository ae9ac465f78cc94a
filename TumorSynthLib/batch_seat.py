"""One local worker process of a batch, and the thread that feeds it."""

import queue
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from TumorSynthLib.batch_claim import Claim
from TumorSynthLib.batch_keep import Job
from TumorSynthLib.batch_leftovers import sweep_results
from TumorSynthLib.batch_runners import Outcome, in_one_line
from TumorSynthLib.errors import Cancelled
from TumorSynthLib.protocol import Request
from TumorSynthLib.worker_client import Event, WorkerClient, WorkerError

START_SECONDS = 600.0
"""How long a worker may take to load its networks."""
STOP_SECONDS = 10.0
"""How long a worker may take to cancel its line before it is killed."""


@dataclass(frozen=True)
class Moved:
    """A line has come so far."""

    job: Job
    stage: str
    fraction: float


News = queue.SimpleQueue[Outcome | Moved]
"""What the seats tell, in its order."""


class Seat:
    """A worker process and the thread that feeds it.

    A process that has died is replaced when the next line comes.

    Parameters
    ----------
    number : of the seat, from 0.
    environment : of the process.
    claim : the batch's.
    news : where the seat tells of its line.
    """

    def __init__(self, number: int, environment: Mapping[str, str], claim: Claim, news: News) -> None:
        self._number, self._environment, self._claim, self._news = number, environment, claim, news
        self._lines: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._client: WorkerClient | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None
        self.job: Job | None = None
        """The line that runs; belongs to the main thread."""
        self.failed_starts = 0
        """How often in a row the process has ended before it was ready."""

    def give(self, job: Job) -> None:
        """Start a line."""
        self.job = job
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._lines.put(job)

    def stop(self) -> None:
        """End the process, and the line that runs in it."""
        self._lines.put(None)
        with self._lock:
            self._stopped, client = True, self._client
        if client is not None:
            client.cancel()
            client.close(STOP_SECONDS)
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        if self.job is not None and self.job.request.out is not None:
            with suppress(OSError):
                sweep_results([Path(self.job.request.out).parent])

    def _work(self) -> None:
        """Carry out one line after the other."""
        while (job := self._lines.get()) is not None:
            start, error, lost = time.perf_counter(), "", False
            try:
                self._carry_out(job)
            except (WorkerError, TimeoutError) as found:
                error, lost = in_one_line(found), True
                self._let_go()
            except Exception as found:  # whatever it was, the next line may be fine
                error, lost = in_one_line(found), isinstance(found, Cancelled)
            self._news.put(Outcome(job, error, time.perf_counter() - start, lost))

    def _carry_out(self, job: Job) -> None:
        def told(event: Event) -> None:
            if event["event"] == "progress":
                self._news.put(Moved(job, str(event["stage"]), float(event["fraction"])))

        client = self._client or self._start(job.request)
        name = f"line-{job.number}" if job.request.id is None else job.request.id
        client.run(replace(job.request, id=name), told)

    def _start(self, request: Request) -> WorkerClient:
        """A worker with the networks that a request needs."""
        guard = [sys.executable, "-u", "-m", "TumorSynthLib.batch_guard"]
        command = [*guard, str(self._claim.state), self._claim.token, str(self._number)]
        arguments = ["--bundle", request.bundle, "--device", request.device]
        self.failed_starts += 1
        with self._lock:
            if self._stopped:
                raise Cancelled
            client = self._client = WorkerClient(command, arguments=arguments, environment=self._environment)
        client.wait_ready(START_SECONDS)
        self.failed_starts = 0
        return client

    def _let_go(self) -> None:
        """End a worker that has failed."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.kill()
