"""The worker's main loop: one request after the other with networks that stay in memory."""

import gc
import logging
import time
from typing import Any

import numpy as np
import torch

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.device import choose_device
from TumorSynthLib.errors import Cancelled, TumorSynthError
from TumorSynthLib.inquiries import Inquiries
from TumorSynthLib.live import LiveShapes
from TumorSynthLib.mask_code import encode_box, encode_mask
from TumorSynthLib.memory import is_lack_of_memory, lack_of_memory
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.possible import check_possible
from TumorSynthLib.protocol import SCHEMA, Inquiry, Request
from TumorSynthLib.result import plain, read_result
from TumorSynthLib.stages import SHARES
from TumorSynthLib.time_left import Pace, TimeLeft
from TumorSynthLib.volume import Geometry
from TumorSynthLib.worker_events import EventWriter
from TumorSynthLib.worker_files import Uploads
from TumorSynthLib.worker_io import Inbox, Job
from TumorSynthLib.worker_return import Errand

PROGRESS_SECONDS = 0.1
"""Least time between two progress events."""


class Worker:
    """Carries out the jobs of an inbox.

    Parameters
    ----------
    inbox : where jobs come from.
    events : who is told.
    uploads : the files that came in lines.
    """

    def __init__(self, inbox: Inbox, events: EventWriter, uploads: Uploads) -> None:
        self._inbox = inbox
        self._events = events
        self._uploads = uploads
        self._bundles: dict[str, Bundle] = {}
        self._inquiries = Inquiries(self._bundle)
        self._editors: dict[tuple[str, str], Editor] = {}
        self._live: dict[str, LiveShapes] = {}
        self._pace = Pace(SHARES)

    def load(self, bundle: str, device: str) -> None:
        """Load a bundle's networks and say ``ready``; a bundle that cannot be loaded is told of, others may be asked for.

        Inquiries that wait already are answered first.
        """
        while (job := self._inbox.next_inquiry()) is not None:
            self._carry_out(job)
        ready: dict[str, Any] = {"schema": SCHEMA, "bundle": None, "device": None}
        try:
            editor = self._editor(bundle, device)
            _ = editor.texture
            ready |= {"bundle": editor.bundle.identity, "device": editor.device}
        except (TumorSynthError, RuntimeError, MemoryError) as error:  # torch has RuntimeErrors for what a device refuses
            self._events.send("log", level="warning", message=str(explained(error, "loading", device, 1)))
        self._events.send("ready", **ready)

    def serve(self) -> None:
        """Work until the other side closes."""
        while (job := self._inbox.next()) is not None and not self._events.gone:
            self._carry_out(job)

    def _carry_out(self, job: Job) -> None:
        """One job, from which the worker always comes back."""
        request, errand = job.request, Errand(job.request, self._uploads)
        left = TimeLeft(self._pace, units(request), time.monotonic(), parts(request))
        report = Report(job, self._events, left)
        failed = False
        try:
            with errand:
                done = self._done(errand, report)
            self._events.send("done", id=request.id, **done)
        except Cancelled:
            self._events.send("cancelled", id=request.id)
        except Exception as error:  # whatever it was, the next request may be fine
            if not isinstance(error, TumorSynthError):
                logging.getLogger(__name__).exception("The request %r failed.", request.id)
            self._events.fail(request.id, errand.told(explained(error, report.stage, *_means(request))))
            failed = True
        if failed:
            gc.collect()  # outside of the handler, which holds on to everything that the request had made
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _done(self, errand: Errand, report: "Report") -> dict[str, Any]:
        """The fields of ``done``."""
        request = errand.request
        if isinstance(request, Inquiry):
            return {"result": None, **plain(self._inquiries.answer(request, report.check))}
        return self._shape(request, report) if request.preview else self._edit(request, errand, report)

    def _edit(self, request: Request, errand: Errand, report: "Report") -> dict[str, Any]:
        """Write a result and send it back if that was asked for."""
        check_possible(request)
        folder = self._editor(request.bundle, request.device).run(request, report.progress, report.preview)
        changed = read_result(folder)["changed"]
        return {"result": errand.delivered(folder, self._events, report.check), "changed": changed}

    def _shape(self, request: Request, report: "Report") -> dict[str, Any]:
        """Tell a mask at once and write nothing."""
        check_possible(request)
        report.check()
        if request.bundle not in self._live:
            models = self._editor(request.bundle, "auto")
            self._live[request.bundle] = LiveShapes(models.bundle, models.shapes)
        shape = self._live[request.bundle].shape(request, report.check)
        self._events.send("preview", id=request.id, kind="mask", **encode_box(shape.mask))
        return {"result": None, "measured": shape.measured, "warnings": shape.warnings}

    def _editor(self, bundle: str, device: str) -> Editor:
        key = (bundle, choose_device(device))
        if key not in self._editors:
            self._editors[key] = Editor(self._bundle(bundle), key[1])
        return self._editors[key]

    def _bundle(self, name: str) -> Bundle:
        if name not in self._bundles:
            self._bundles[name] = load_bundle(name)
        return self._bundles[name]


class Report:
    """What one job's client is told while it runs; each method raises ``Cancelled`` once the job is.

    Parameters
    ----------
    job : the job.
    events : who is told.
    left : estimates the seconds left.
    """

    def __init__(self, job: Job, events: EventWriter, left: TimeLeft) -> None:
        self._job = job
        self._events = events
        self._left = left
        self._sent = -PROGRESS_SECONDS
        self.stage = next(iter(SHARES))
        """What goes on."""

    def progress(self, stage: str, fraction: float) -> None:
        """Tell of progress, unless that was told a moment ago."""
        self.check()
        self.stage = stage
        now = time.monotonic()
        seconds = self._left.update(stage, fraction, now)
        if fraction < 1.0 and now - self._sent < PROGRESS_SECONDS:
            return
        self._sent = now
        told = {"stage": stage, "fraction": round(fraction, 4), "seconds_left": round(seconds, 1)}
        self._events.send("progress", id=self._job.request.id, **told)

    def preview(self, mask: np.ndarray, geometry: Geometry) -> None:
        """Tell where the tumor will be, as ``mask_code`` writes it."""
        self.check()
        self._events.send("preview", id=self._job.request.id, kind="mask", **encode_mask(mask, geometry))

    def check(self) -> None:
        """Only raise ``Cancelled`` where that is due."""
        if self._job.cancelled or self._events.gone:
            raise Cancelled


def parts(request: Request | Inquiry) -> int:
    """How often a run goes through all its stages."""
    return max(1, len(request.volumes_ml)) if isinstance(request, Request) else 1


def units(request: Request | Inquiry) -> dict[str, int]:
    """How often the work of the stages that repeat is done."""
    if isinstance(request, Inquiry) or request.op == "shape":
        return {"sampling": 0, "compositing": 0, "measuring": 0}
    # Compositing counts as sampling while there are further samples to draw.
    return {"sampling": request.steps * request.candidates, "compositing": request.drawn_at_once}


def _means(request: Request | Inquiry) -> tuple[str, int]:
    """The device of a request, and the number of candidates that it holds in memory at once; inquiries use neither."""
    if isinstance(request, Inquiry):
        return "cpu", 1
    return choose_device("auto") if request.device == "auto" else request.device, request.drawn_at_once


def explained(error: Exception, stage: str, device: str, candidates: int) -> TumorSynthError:
    """An error in words for the user, also one that nobody foresaw.

    Parameters
    ----------
    error : what was raised.
    stage : of the run, when it was raised.
    device : where the networks run.
    candidates : that were asked for.
    """
    if isinstance(error, TumorSynthError):
        return error
    if is_lack_of_memory(error):
        return lack_of_memory(stage, device, candidates)
    message = f"The request failed for a reason nobody foresaw: {type(error).__name__}: {error}"
    hint = "The worker's log has the details; please report them. Other requests still work."
    return TumorSynthError("internal", message, hint)
