"""The one warm worker of this application: started when it is first needed, and never waited for."""

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import qt

from TumorSynthLib.errors import Cancelled, TumorSynthError
from TumorSynthSlicer import commands
from TumorSynthSlicer.mailbox import Mailbox
from TumorSynthSlicer.signals import Signal
from TumorSynthSlicer.thread_turns import BUSY, CALM, ThreadTurns
from TumorSynthSlicer.worker_job import Done, Event, Failed, Job, Progress
from TumorSynthSlicer.worker_lane import Lane
from TumorSynthSlicer.worker_link import WorkerLink
from TumorSynthSlicer.worker_notice import deviceNotice

GRACE_SECONDS = 2.0
"""Time that a worker has to end by itself."""
CANCEL_SECONDS = 0.8
"""When a job counts as cancelled, whether or not the worker has got as far."""
STUCK_SECONDS = 10.0
"""When a worker that does not stop what was cancelled is killed."""


class WorkerService:
    """Starts the worker, asks it, and tells how that goes. Everything happens in the main thread, and callbacks later.

    Of edits one runs at a time. Of inquiries and previews one is on its way at a time, and goes ahead of edits that wait. A
    worker that has died is started again by the next that asks; one that other settings started is replaced when it is idle.

    Parameters
    ----------
    settings : gives what starts the worker, whenever that may have changed.
    """

    def __init__(self, settings: Callable[[], commands.WorkerChoice] = commands.load) -> None:
        self.stateChanged = Signal()
        """Emits nothing; ``state``, ``device``, ``bundle`` and ``notice`` may be new."""
        self.logged = Signal()
        """Emits new text of the log, one or more lines."""
        self.progressed = Signal()
        """Emits stage, fraction and seconds left of the edit that runs."""
        self.state = "stopped"
        """``stopped``, ``starting``, ``ready``, ``busy`` or ``failed``."""
        self.device = ""
        """Where the networks are loaded, as the worker says; empty where none are."""
        self.bundle: dict[str, Any] = {}
        """Id, version and sha256 of the bundle that is loaded; empty where none is."""
        self.notice = ""
        """What the user should know about the device or the bundle; empty when all is as asked."""
        self.error: TumorSynthError | None = None
        """Why the last worker has ended, when the state is ``failed``."""
        self._settings = settings
        self._mailbox = Mailbox()
        self._turns = ThreadTurns(self._afterTurn)
        self._edits, self._asks = Lane(), Lane()
        self._link: WorkerLink | None = None
        self._ready = False
        self._warning = ""
        self._unread: list[str] = []

    @property
    def log(self) -> str:
        """The last lines of the log of the worker that lives, or that has died."""
        return getattr(self.error, "log", "") if self._link is None else self._link.log

    def start(self) -> None:
        """Start the worker, unless it lives."""
        if self._link is None:
            self._open()

    def run(
        self,
        values: Mapping[str, Any],
        onDone: Done | None = None,
        onFailed: Failed | None = None,
        onProgress: Progress | None = None,
        onPreview: Done | None = None,
    ) -> Job:
        """Have an edit carried out, after those that wait.

        Parameters
        ----------
        values : the request.
        onDone : called with the ``done`` event.
        onFailed : called with the error, ``Cancelled`` included.
        onProgress : called with stage, fraction and seconds left.
        onPreview : called with the ``preview`` event, which has the mask.
        """
        return self._take(Job(values, None, onDone, onFailed, onProgress, onPreview, self._cancel), self._edits)

    def ask(
        self, values: Mapping[str, Any], onAnswer: Done | None = None, onFailed: Failed | None = None, kind: str | None = None
    ) -> Job:
        """Ask something that writes nothing: a preview or an inquiry.

        Parameters
        ----------
        values : the request or inquiry.
        onAnswer : called with the ``done`` event; that of a preview has the fields of its mask too.
        onFailed : called with the error, but not when a newer question took its place.
        kind : a newer one of the same kind takes the place of one that waits; None never does.
        """
        for older in [] if kind is None else self._asks.older(kind):
            older.onFailed = None
            self._cancel(older)
        return self._take(Job(values, kind, onAnswer, onFailed, None, None, self._cancel), self._asks)

    def restart(self) -> None:
        """End the worker and start another one; what was asked is cancelled."""
        self.stop()
        self._open()

    def stop(self) -> None:
        """End the worker; what was asked is cancelled. Returns at once: the worker has a moment to end by itself."""
        for job in self._jobs():
            self._finish(job, "cancelled", error=Cancelled())
        self._close()
        self.error = None
        self._update()

    def _jobs(self) -> list[Job]:
        return [*self._edits.jobs(), *self._asks.jobs()]

    def _take(self, job: Job, lane: Lane) -> Job:
        lane.add(job)
        self._mailbox.post(self._next)
        return job

    def _open(self) -> None:
        """Start a worker; one that cannot even be tried fails all that wait for it."""
        self.error, self._warning, self.notice = None, "", ""
        try:
            self._link = WorkerLink(self._settings(), self._mailbox, self._heard, self._noted, self._ended)
        except TumorSynthError as error:
            self._fail(error)
        self._update()

    def _close(self) -> None:
        """Let go of the worker, with whatever it still does."""
        link, self._link = self._link, None
        self._ready, self.device, self.bundle, self.notice = False, "", {}, ""
        self._edits.sent = self._asks.sent = None
        if link is not None:
            link.close(GRACE_SECONDS)

    def _next(self) -> None:
        """Send what can be sent."""
        if self._edits.waits or self._asks.waits:
            outdated = self._link is not None and self._link.choice != self._settings()
            if outdated and self._edits.sent is None and self._asks.sent is None:
                self._close()
            if self._link is None:
                self._open()
            elif self._ready and not outdated:
                self._asks.send(self._send)
                self._edits.send(self._send)
        self._update()

    def _send(self, job: Job) -> bool:
        assert self._link is not None
        try:
            job.name = self._link.send(job.values)
        except TumorSynthError as error:
            self._finish(job, "failed", error=error)
            return False
        job.state = "running"
        return True

    def _cancel(self, job: Job) -> None:
        cancelled = partial(self._finish, job, "cancelled", error=Cancelled())
        if self._edits.drop(job) or self._asks.drop(job):
            cancelled()
        elif self._link is not None:
            job.state = "cancelling"
            self._link.cancel(job.name)
            qt.QTimer.singleShot(int(1000 * CANCEL_SECONDS), cancelled)
            qt.QTimer.singleShot(int(1000 * STUCK_SECONDS), partial(self._giveUp, job))
            self._update()

    def _giveUp(self, job: Job) -> None:
        """Kill a worker that still does what was cancelled long ago."""
        link = self._link
        if link is not None and job in (self._edits.sent, self._asks.sent):
            self._close()
            link.kill()
            self._next()

    def _heard(self, link: WorkerLink, event: Event) -> None:
        """What the worker says."""
        if link is not self._link:
            return
        name = event["event"]
        if name == "ready":
            self._ready, self.device, self.bundle = True, event["device"] or "", event["bundle"] or {}
            self.notice = deviceNotice(link.choice, self.device, self._warning)
            self._next()
        elif name == "log":
            self._warning = event["message"] if event["level"] == "warning" else self._warning
            self._noted(link, event["message"])
        elif event.get("code") != "worker.died":  # ``_ended`` follows
            for lane in (self._edits, self._asks):
                if lane.sent is not None and lane.sent.name == event.get("id"):
                    self._report(lane, lane.sent, event)

    def _report(self, lane: Lane, job: Job, event: Event) -> None:
        """What the worker says about a job."""
        name = event["event"]
        job.heard = job.heard or event.get("stage") != "sending"
        if name in ("done", "failed", "cancelled"):
            lane.sent = None
            self._conclude(job, event)
            self._next()
        elif job.state == "running" and name == "progress":
            values = event["stage"], event["fraction"], event["seconds_left"]
            self._tell(job.onProgress, *values)
            if lane is self._edits:
                self._tell(self.progressed.emit, *values)
        elif job.state == "running" and name == "preview":
            if lane is self._asks:
                job.shown = event
            self._tell(job.onPreview, event)
        self._update()

    def _conclude(self, job: Job, event: Event) -> None:
        if event["event"] == "done" and job.state == "running":
            self._finish(job, "done", result={**job.shown, **event})
        elif event["event"] == "failed" and job.state == "running":
            self._finish(job, "failed", error=TumorSynthError(event["code"], event["message"], event["hint"]))
        else:
            self._finish(job, "cancelled", error=Cancelled())
        if job.state == "cancelled" and event.get("result") and not job.values.get("overwrite"):  # the cancel came too late
            shutil.rmtree(event["result"], ignore_errors=True)

    def _finish(self, job: Job, state: str, result: Event | None = None, error: TumorSynthError | None = None) -> None:
        """A job is over, and somebody is told; nothing happens when it was over before."""
        if job.over:
            return
        self._edits.drop(job)
        self._asks.drop(job)
        job.state, job.result, job.error = state, result, error
        if result is not None:
            self._tell(job.onDone, result)
        else:
            self._tell(job.onFailed, error)
        self._mailbox.post(job.release)

    def _ended(self, link: WorkerLink) -> None:
        """The worker is gone."""
        link.close(0.0)
        if link is self._link:
            self._fail(link.died("while it was in use" if self._ready else "before it was ready"))
            self._update()

    def _fail(self, error: TumorSynthError) -> None:
        """There is no worker: nobody gets an answer."""
        for job in self._jobs():
            self._finish(job, "failed", error=error)
        self._close()
        self.error = error

    def _noted(self, link: WorkerLink, line: str) -> None:
        if not self._unread:
            self._mailbox.post(self._tellLog)
        self._unread.append(line)

    def _tellLog(self) -> None:
        text, self._unread = "\n".join(self._unread), []
        self.logged.emit(text)

    def _tell(self, function: Callable[..., Any] | None, *arguments: Any) -> None:
        if function is not None:
            self._mailbox.post(function, *arguments)

    def _update(self) -> None:
        """Tell when the state has changed, and let threads run while they have work."""
        if self._link is None:
            state = "stopped" if self.error is None else "failed"
        else:
            state = "starting" if not self._ready else "ready" if self._edits.sent is None else "busy"
        if state != self.state:
            self.state = state
            self._tell(self.stateChanged.emit)
        sent = [lane.sent for lane in (self._edits, self._asks) if lane.sent is not None]
        eager = any(not job.heard or job.state == "cancelling" for job in sent)
        inline = self._link is not None and self._link.choice.inline
        self._turns.setPace(0 if not (inline and sent) else BUSY if eager else CALM)

    def _afterTurn(self) -> None:
        if self._link is not None:
            self._link.flush()
