"""The worker's main loop: one request after the other with networks that stay in memory."""

import gc
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from TumorSynthLib.errors import Cancelled, DeviceError, TumorSynthError
from TumorSynthLib.mask_code import encode_mask
from TumorSynthLib.pipeline import SHARES, Editor, check_possible, choose_device
from TumorSynthLib.protocol import SCHEMA, Request
from TumorSynthLib.time_left import Pace, TimeLeft
from TumorSynthLib.volume import Geometry
from TumorSynthLib.worker_io import EventWriter, Inbox, Job

PROGRESS_SECONDS = 0.1
"""Least time between two progress events."""

_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class Worker:
    """Carries out the jobs of an inbox.

    Parameters
    ----------
    inbox : where jobs come from.
    events : who is told.
    """

    def __init__(self, inbox: Inbox, events: EventWriter) -> None:
        self._inbox = inbox
        self._events = events
        self._editors: dict[tuple[str, str], Editor] = {}
        self._pace = Pace(SHARES)

    def load(self, bundle: str, device: str) -> None:
        """Load a bundle's networks and say ``ready``; a bundle that cannot be loaded is told of, others may be asked for."""
        ready: dict[str, Any] = {"schema": SCHEMA, "bundle": None, "device": None}
        try:
            editor = self._editor(bundle, device)
            _ = editor.texture
            ready |= {"bundle": editor.bundle.identity, "device": editor.device}
        except (TumorSynthError, RuntimeError, MemoryError) as error:  # torch has RuntimeErrors for what a device refuses
            self._events.send("log", level="warning", message=str(explained(error)))
        self._events.send("ready", **ready)

    def serve(self) -> None:
        """Work until the other side closes."""
        while (job := self._inbox.next()) is not None and not self._events.gone:
            self._carry_out(job)

    def _carry_out(self, job: Job) -> None:
        """One job, from which the worker always comes back."""
        name = job.request.id
        try:
            self._events.send("done", id=name, result=str(self._run(job)))
        except Cancelled:
            self._events.send("cancelled", id=name)
        except Exception as error:  # whatever it was, the next request may be fine
            if not isinstance(error, TumorSynthError):
                logging.getLogger(__name__).exception("The request %r failed.", name)
            self._events.fail(name, explained(error))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _run(self, job: Job) -> Path:
        request = job.request
        left = TimeLeft(self._pace, units(request), time.monotonic(), max(1, len(request.volumes_ml)))
        report = Report(job, self._events, left)
        check_possible(request)
        return self._editor(request.bundle, request.device).run(request, report.progress, report.preview)

    def _editor(self, bundle: str, device: str) -> Editor:
        key = (bundle, choose_device(device))
        if key not in self._editors:
            self._editors[key] = Editor(*key)
        return self._editors[key]


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

    def progress(self, stage: str, fraction: float) -> None:
        """Tell of progress, unless that was told a moment ago."""
        self._check()
        now = time.monotonic()
        seconds = self._left.update(stage, fraction, now)
        if fraction < 1.0 and now - self._sent < PROGRESS_SECONDS:
            return
        self._sent = now
        told = {"stage": stage, "fraction": round(fraction, 4), "seconds_left": round(seconds, 1)}
        self._events.send("progress", id=self._job.request.id, **told)

    def preview(self, mask: np.ndarray, geometry: Geometry) -> None:
        """Tell where the tumor will be, as ``mask_code`` writes it."""
        self._check()
        self._events.send("preview", id=self._job.request.id, kind="mask", **encode_mask(mask, geometry))

    def _check(self) -> None:
        if self._job.cancelled or self._events.gone:
            raise Cancelled


def units(request: Request) -> dict[str, int]:
    """How often the work of the stages that repeat is done."""
    if request.op == "shape":
        return {"sampling": 0, "compositing": 0, "measuring": 0}
    return {"sampling": request.steps * request.candidates, "compositing": request.candidates}


def explained(error: Exception) -> TumorSynthError:
    """An error in words for the user, also one that nobody foresaw."""
    if isinstance(error, TumorSynthError):
        return error
    text = str(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in text.lower() for words in _NO_MEMORY):
        gc.collect()
        hint = "Ask for fewer candidates, crop the scan around the tumor, use the device cpu, or close other programs."
        return DeviceError("device.memory", "The memory is not enough for this request.", hint)
    message = f"The request failed for a reason nobody foresaw: {type(error).__name__}: {text}"
    hint = "The worker's log has the details; please report them. Other requests still work."
    return TumorSynthError("internal", message, hint)
