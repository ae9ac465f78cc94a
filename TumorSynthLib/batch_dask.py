"""The lines of a batch on a Dask cluster that somebody has started, which may have many computers.

The scheduler places lines; it sends a line again when the worker is lost that had it. Requests travel as messages, images and
results as files of folders that every computer has under the same path.
"""

import queue
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from TumorSynthLib.batch_claim import Claim
from TumorSynthLib.batch_keep import Job
from TumorSynthLib.batch_runners import OpenEditor, Outcome, Outcomes, Take, Tell, in_one_line
from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.input_files import with_absolute_files
from TumorSynthLib.protocol import parse_request

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 30.0
"""How long the scheduler may take to answer."""
ANSWER_SECONDS = 5.0
"""How long the answer of a line that has ended may take; a worker that dies now takes it along, and the result is there."""
STOP_SECONDS = 20.0
"""How long workers may take to cancel their lines."""


class ClusterError(TumorSynthError):
    """The cluster is not there, or cannot carry out lines."""


@dataclass
class _Flight:
    """A line that was sent."""

    job: Job
    future: "Future"
    start: float


class DaskCluster:
    """Workers of a Dask scheduler, each with one line at a time.

    Parameters
    ----------
    address : of the scheduler, for example ``tcp://10.0.0.1:8786``.
    open_editor : makes what runs requests in a worker; a function of a module that workers can import. None is the pipeline's.

    Raises
    ------
    ClusterError : ``cluster.missing`` when Dask is not installed.
    """

    def __init__(self, address: str, open_editor: OpenEditor | None = None) -> None:
        try:
            from TumorSynthLib import batch_dask_worker
        except ModuleNotFoundError as error:
            message = f"A scheduler needs Dask, which is not installed ({error.name})."
            raise ClusterError("cluster.missing", message, 'Install it: pip install "tumorsynth[cluster]".') from error
        self._there = batch_dask_worker
        self._address = address
        self._open = open_editor or batch_dask_worker.open_editor

    @property
    def about(self) -> str:
        """The scheduler's address."""
        return f"Dask workers of {self._address}"

    def run(self, take: Take, tell: Tell, claim: Claim) -> Outcomes:
        """See ``Runner``.

        Raises
        ------
        ClusterError : ``cluster.unreachable``, ``cluster.files`` when a worker does not see the results' folder,
            ``cluster.library`` when one lacks this library, ``cluster.lost`` when the scheduler goes away.
        """
        session = _Session(self._connect(), self._submit, claim)
        try:
            self._check(session.client, claim)
            while session.send(take, tell):
                flight = session.next()
                session.send(take, tell)  # before the books are kept
                yield _outcome(flight)
        finally:
            session.end()

    def _connect(self) -> "Client":
        from distributed import Client

        try:
            return Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            message = f"The scheduler {self._address!r} does not answer: {error}."
            raise ClusterError("cluster.unreachable", message, "Start it (dask scheduler), or check the address.") from error

    def _check(self, client: "Client", claim: Claim) -> None:
        """Refuse a cluster whose workers lack the library or the folder; workers that come later are asked line by line."""
        try:
            blind = client.run(self._there.can_see, str(claim.state), claim.token)
        except ImportError as error:
            message = f"A worker of the cluster cannot import TumorSynthLib: {error}."
            raise ClusterError("cluster.library", message, "Install this version on every computer of the cluster.") from error
        hosts = sorted({host for host in blind.values() if host})
        if hosts:
            message = f"{claim.folder} is not the same folder on {', '.join(hosts)}."
            hint = "Use a folder that every computer of the cluster has under the same path."
            raise ClusterError("cluster.files", message, hint)

    def _submit(self, client: "Client", claim: Claim, job: Job) -> "Future":
        """Send a line, with paths that do not depend on the folder in which a worker was started."""
        request = parse_request(with_absolute_files(job.request.to_dict()))
        order = self._there.Order(replace(job, request=request), str(claim.state), claim.token)
        key = f"tumorsynth-{claim.token}-{job.number}-{job.attempt}"
        return client.submit(self._there.carry_out, order, self._open, key=key, pure=False)


class _Session:
    """The lines that are in the cluster now.

    Parameters
    ----------
    client : connected to the scheduler.
    submit : sends a line.
    claim : the batch's.
    """

    def __init__(self, client: "Client", submit: Callable[["Client", Claim, Job], "Future"], claim: Claim) -> None:
        self.client = client
        self.flights: dict[str, _Flight] = {}
        """The lines by the key of their future."""
        self._submit = submit
        self._claim = claim
        self._landed: queue.SimpleQueue[str] = queue.SimpleQueue()

    def send(self, take: Take, tell: Tell) -> bool:
        """Send lines as long as the workers could do with more: one that runs and one that waits for each.

        Returns
        -------
        Whether any line is in the cluster now.
        """
        try:
            room = 2 * len(self.client.nthreads()) + 2
        except OSError as error:
            raise self._lost() from error
        while len(self.flights) < room and (job := take()) is not None:
            future = self._submit(self.client, self._claim, job)
            self.flights[str(future.key)] = _Flight(job, future, time.perf_counter())
            future.add_done_callback(lambda done: self._landed.put(str(done.key)))
            tell(job, "", 0.0)
        return bool(self.flights)

    def next(self) -> _Flight:
        """The next line that has ended."""
        while self.client.status == "running":
            with suppress(queue.Empty):
                return self.flights.pop(self._landed.get(timeout=0.5))
        raise self._lost()

    def end(self) -> None:
        """Cancel what runs, and leave the cluster."""
        self._claim.revoke()
        with suppress(OSError):  # the scheduler is gone, and so is this process soon
            if self.flights and self.client.status == "running":
                begun = {str(key) for keys in self.client.processing().values() for key in keys} & set(self.flights)
                self.client.cancel([flight.future for key, flight in self.flights.items() if key not in begun])
                limit = time.monotonic() + STOP_SECONDS
                while begun and (left := limit - time.monotonic()) > 0.0:
                    with suppress(queue.Empty):
                        begun.discard(self._landed.get(timeout=left))
        self.client.close()

    def _lost(self) -> ClusterError:
        hint = "Start the batch again when it is back; finished lines are kept."
        return ClusterError("cluster.lost", "The connection to the scheduler was lost.", hint)


def _outcome(flight: _Flight) -> Outcome:
    """How a line ended."""
    seconds = time.perf_counter() - flight.start
    try:
        answer: Any = flight.future.result(timeout=ANSWER_SECONDS)
    except Exception as error:  # the cluster's own, such as KilledWorker or TimeoutError
        return Outcome(flight.job, in_one_line(error), seconds, lost=True)
    finally:
        flight.future.release()
    if answer.cancelled:
        return Outcome(flight.job, "worker.died: Its worker gave the line up.", seconds, lost=True)
    return Outcome(flight.job, answer.error, answer.seconds)
