"""One worker from its start to its end, all of whose events come in the main thread."""

from collections.abc import Callable, Mapping
from typing import Any

from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.worker_client import WorkerClient
from TumorSynthSlicer.commands import WorkerChoice
from TumorSynthSlicer.mailbox import Mailbox
from TumorSynthSlicer.qt_process import QtWorkerProcess

Event = dict[str, Any]


class WorkerLink:
    """A worker that is started now.

    Parameters
    ----------
    choice : what starts it.
    mailbox : makes the calls below.
    onEvent : called with this and each event.
    onLog : called with this and each line of the log.
    onEnd : called with this when the worker has ended or could not be started.

    Raises
    ------
    TumorSynthError : when the command cannot be read.
    """

    def __init__(
        self,
        choice: WorkerChoice,
        mailbox: Mailbox,
        onEvent: "Callable[[WorkerLink, Event], None]",
        onLog: "Callable[[WorkerLink, str], None]",
        onEnd: "Callable[[WorkerLink], None]",
    ) -> None:
        self.choice = choice
        self._mailbox = mailbox
        self._onEvent, self._onLog, self._onEnd = onEvent, onLog, onEnd
        self._process: QtWorkerProcess | None = None
        self._client = WorkerClient(
            choice.words(),
            arguments=["--session", "--bundle", choice.bundle, "--device", choice.device],
            environment=choice.environment(),
            inline=choice.inline,
            on_event=self._take,
            on_log=lambda line: mailbox.post(onLog, self, line),
            start=self._start,
        )

    @property
    def log(self) -> str:
        """The last lines of its log."""
        return self._client.log

    def send(self, values: Mapping[str, Any]) -> str | int:
        """Send a request and return its id.

        Raises
        ------
        TumorSynthError : when the request is wrong in itself, or the worker has ended.
        """
        return self._client.send(values)

    def cancel(self, name: str | int) -> None:
        """Cancel the request of that id."""
        self._client.cancel(name)

    def close(self, seconds: float) -> None:
        """Let it end, and kill what is left after some seconds; returns at once."""
        self._client.close(seconds)

    def kill(self) -> None:
        """End it now."""
        self._client.kill()

    def flush(self) -> None:
        """Do what threads have asked for."""
        if self._process is not None:
            self._process.flush()
        self._mailbox.wake()

    def died(self, when: str) -> TumorSynthError:
        """The error that tells how it ended."""
        assert self._process is not None
        return self._process.died(when)

    def _start(
        self,
        command: Any,
        environment: Any,
        onLine: Callable[[bytes | None], None],
        onEnd: Callable[[], None],
        onLog: Callable[[str], None] | None = None,
        /,
    ) -> QtWorkerProcess:
        def ended() -> None:
            onEnd()
            self._mailbox.post(self._onEnd, self)

        self._process = QtWorkerProcess(command, environment, onLine, ended, onLog)
        return self._process

    def _take(self, event: Event) -> None:
        if event["event"] == "started" and self._process is not None:
            self._process.adopt(int(event["pid"]))
        self._mailbox.post(self._onEvent, self, event)
