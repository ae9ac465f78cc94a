"""The worker service: one edit at a time, questions that replace each other, cancels, deaths, settings."""

import json
import os
import shlex
import sys
import threading
import time
import unittest
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gil_loop
import numpy as np
import qt
from heartbeat import TURNS
from slicer_case import SlicerCase, needsHarness
from test_qt_process import lives, posix

from TumorSynthLib.errors import Cancelled, RequestError, TumorSynthError
from TumorSynthSlicer import qt_process, worker_service
from TumorSynthSlicer.commands import WorkerChoice
from TumorSynthSlicer.worker_job import Job
from TumorSynthSlicer.worker_service import WorkerService

STAND_IN = Path(__file__).resolve().parent / "stand_in_worker.py"
needsGilLoop = unittest.skipUnless(gil_loop.processEventsFunction(), "needs Qt's own processEvents")
START = 600.0
"""Seconds that a real worker may take to start on a busy computer."""


def insert(act: str = "quick", **more: Any) -> dict[str, Any]:
    """A request that the stand-in carries out by the name of its image."""
    return {"schema": 1, "op": "insert", "image": f"{act}.nrrd", "at": [0, 0, 0], **more}


def preview(seed: int) -> dict[str, Any]:
    """A question for an outline."""
    return {"schema": 1, "op": "shape", "at": [0, 0, 0], "shape": {"volume_ml": 3.0}, "preview": True, "seed": seed}


class ServiceCase(SlicerCase):
    """Has a service, whose settings are ``self.choice``."""

    def setUp(self) -> None:
        super().setUp()
        self.choice = WorkerChoice(command=shlex.join([sys.executable, str(STAND_IN)]))
        self.service = WorkerService(lambda: self.choice)
        self.states: list[str] = []
        self.service.stateChanged.connect(lambda: self.states.append(self.service.state))
        self.texts: list[str] = []
        self.service.logged.connect(self.texts.append)
        self.told: list[tuple[str, Any]] = []
        self.addCleanup(self.end)

    def end(self) -> None:
        """Nothing may be left."""
        self.service.stop()
        self.waitUntil(lambda: not qt_process._living, 10.0)

    def note(self, name: str) -> Callable[[Any], None]:
        """Remembers that it was called, and with what."""
        return lambda value: self.told.append((name, value))

    def run_(self, act: str = "quick", name: str = "", **more: Any) -> Job:
        """An edit, whose end is noted."""
        return self.service.run(insert(act, **more), self.note(f"done {name}".strip()), self.note(f"failed {name}".strip()))

    def names(self) -> list[str]:
        """Who was called, in order."""
        return [name for name, _ in self.told]


class WorkerServiceTest(ServiceCase):
    # ------------------------------------------------------------------ start, run, ask
    def test_nothing_is_started_before_it_is_needed_and_a_result_comes_later(self) -> None:
        self.wait(0.1)
        self.assertEqual((self.service.state, self.states), ("stopped", []))
        job = self.run_()
        self.assertEqual(self.told, [])
        self.waitUntil(lambda: job.over)
        self.waitUntil(lambda: self.told)
        self.assertEqual(self.names(), ["done"])
        self.assertEqual((job.state, job.result["op"], self.service.state), ("done", "insert", "ready"))
        self.assertEqual(self.states[0], "starting")
        self.assertEqual((self.service.device, self.service.bundle["id"]), ("cpu", "base"))

    def test_one_edit_runs_at_a_time_in_the_order_asked(self) -> None:
        first, second = self.run_("slow", "first"), self.run_(name="second")
        self.waitUntil(lambda: first.state == "running")
        self.wait(0.2)
        self.assertEqual((first.state, second.state, self.service.state), ("running", "waiting", "busy"))
        first.cancel()
        second.wait()
        self.waitUntil(lambda: len(self.told) == 2)
        self.assertEqual(self.names(), ["failed first", "done second"])

    def test_progress_reaches_the_job_and_whoever_watches_all(self) -> None:
        mine: list[Any] = []
        all_: list[Any] = []
        self.service.progressed.connect(lambda *values: all_.append(values))
        self.service.run(insert(), onProgress=lambda *values: mine.append(values)).wait()
        self.assertEqual(mine, [("sampling", 0.0, 2.0), ("sampling", 0.005, 2.0)])
        self.assertEqual(all_, mine)

    def test_the_answer_to_a_preview_has_its_mask(self) -> None:
        answer = self.service.ask(preview(5)).wait()
        self.assertEqual((answer["event"], answer["kind"], answer["data"], answer["seed"]), ("done", "mask", "AAAA", 5))

    def test_of_questions_of_one_kind_only_the_latest_waits(self) -> None:
        jobs = [self.service.ask(preview(seed), self.note("answer"), self.note("failed"), kind="outline") for seed in range(20)]
        other = self.service.ask(preview(99), self.note("other"), kind="another")
        other.wait()
        self.waitUntil(lambda: len(self.told) == 2)
        self.assertEqual([(name, answer["seed"]) for name, answer in self.told], [("answer", 19), ("other", 99)])
        self.assertEqual({job.state for job in jobs[:-1]}, {"cancelled"})
        with self.assertRaises(Cancelled):
            jobs[0].wait()

    def test_questions_without_a_kind_are_all_answered(self) -> None:
        jobs = [self.service.ask(preview(seed)) for seed in range(5)]
        self.assertEqual([job.wait()["seed"] for job in jobs], list(range(5)))

    def test_a_question_goes_ahead_of_edits_that_wait(self) -> None:
        first = self.run_("slow", "first")
        self.waitUntil(lambda: first.state == "running")
        self.run_(name="second")
        self.service.ask(preview(1), self.note("answer"))
        self.wait(0.1)
        first.cancel()
        self.waitUntil(lambda: len(self.told) == 3)
        self.assertEqual(self.names(), ["failed first", "answer", "done second"])

    def test_an_impossible_request_fails_alone(self) -> None:
        bad = self.service.run({"schema": 1, "op": "insert"}, self.note("done"), self.note("failed"))
        good = self.run_(name="good")
        good.wait()
        self.assertIsInstance(bad.error, RequestError)
        self.waitUntil(lambda: len(self.told) == 2)
        self.assertEqual(self.names(), ["failed", "done good"])

    def test_an_error_of_the_worker_keeps_its_code_and_hint(self) -> None:
        with self.assertRaises(TumorSynthError) as caught:
            self.run_("fail").wait()
        self.assertEqual((caught.exception.code, caught.exception.hint), ("image.missing", "Choose another one."))
        self.assertEqual(self.service.state, "ready")

    # ------------------------------------------------------------------ callbacks
    def test_a_callback_that_raises_is_told_of_and_breaks_nothing(self) -> None:
        def bad(*values: Any) -> None:
            raise ZeroDivisionError

        raised: list[type] = []
        sys.excepthook = lambda kind, error, trace: raised.append(kind)
        self.service.stateChanged.connect(bad)
        self.service.run(insert(), bad, bad, bad)
        self.assertEqual(self.run_(name="next").wait()["op"], "insert")
        self.waitUntil(lambda: self.names() == ["done next"])
        self.service.stateChanged.disconnect(bad)
        self.assertEqual(set(raised), {ZeroDivisionError})
        self.assertGreater(len(raised), 3)

    def test_a_callback_may_ask_again_and_wait_for_the_answer(self) -> None:
        def again(event: Any) -> None:
            self.told.append(("inner", self.service.ask(preview(7)).wait()["seed"]))

        self.service.run(insert(), again).wait()
        self.waitUntil(lambda: self.told)
        self.assertEqual(self.told, [("inner", 7)])

    def test_two_may_wait_inside_each_other(self) -> None:
        outer = self.run_("slow")
        qt.QTimer.singleShot(300, lambda: self.told.append(("inner", self.service.ask(preview(1)))))
        qt.QTimer.singleShot(400, outer.cancel)
        with self.assertRaises(Cancelled):
            outer.wait()
        self.assertEqual(dict(self.told)["inner"].wait()["seed"], 1)

    def test_what_is_over_is_not_waited_for(self) -> None:
        job = self.run_()
        first = job.wait()
        self.assertIs(job.wait(), first)

    # ------------------------------------------------------------------ cancel
    def test_a_cancel_is_told_within_a_second_also_by_a_worker_that_does_not_listen(self) -> None:
        for act in ("slow", "deaf"):
            self.told.clear()
            job = self.run_(act)
            self.waitUntil(lambda job=job: job.state == "running")
            self.wait(0.2)
            begin = time.monotonic()
            job.cancel()
            job.cancel()
            self.waitUntil(lambda: self.told)
            self.assertLess(time.monotonic() - begin, 1.0)
            self.assertEqual(self.names(), ["failed"])
            self.assertIsInstance(self.told[0][1], Cancelled)
        self.assertEqual(self.run_(name="next").wait()["op"], "insert")

    def test_a_worker_that_does_not_let_go_of_what_was_cancelled_is_killed(self) -> None:
        self.addCleanup(setattr, worker_service, "STUCK_SECONDS", worker_service.STUCK_SECONDS)
        worker_service.STUCK_SECONDS = 1.0
        pid = self.run_().wait()["pid"]
        stuck = self.run_("deaf")  # for three seconds
        self.waitUntil(lambda: stuck.state == "running")
        self.wait(0.2)
        stuck.cancel()
        later = self.run_(name="later")
        self.waitUntil(lambda: not lives(pid), 2.5)
        self.assertNotEqual(later.wait()["pid"], pid)
        self.assertEqual(stuck.state, "cancelled")

    def test_a_result_that_comes_after_its_cancel_is_removed(self) -> None:
        out = self.temporaryFolder() / "result"
        job = self.run_("deaf", out=str(out))
        self.waitUntil(lambda: job.state == "running")
        job.cancel()
        self.run_(name="next").wait()  # comes after the deaf one has ended
        self.assertFalse(out.exists())
        kept = self.temporaryFolder() / "kept"
        self.run_(out=str(kept)).wait()
        self.assertTrue(kept.exists())

    def test_what_waits_is_cancelled_at_once_and_starts_nothing_more(self) -> None:
        job = self.run_()
        job.cancel()
        self.assertEqual(job.state, "cancelled")
        self.waitUntil(lambda: self.told)
        self.assertEqual((self.names(), self.service.state), (["failed"], "stopped"))

    # ------------------------------------------------------------------ ends
    def test_a_worker_that_crashes_fails_all_with_its_last_words_and_the_next_starts_another(self) -> None:
        first, second, third = self.run_("crash", "1"), self.run_(name="2"), self.service.ask(preview(1), None, self.note("3"))
        pid = third.wait()["pid"]
        self.waitUntil(lambda: second.over)
        self.assertEqual((first.state, second.state, self.service.state), ("failed", "failed", "failed"))
        self.assertEqual(first.error.code, "worker.died")
        self.assertIn("ended with code 3", first.error.message)
        self.assertIn("Its last words: last words", first.error.message)
        self.assertIn("before\nlast words", self.service.log)
        self.assertIs(self.service.error, first.error)
        self.assertNotIn("ready", self.states[self.states.index("busy") :])
        again = self.run_(name="again")
        self.assertNotEqual(again.wait()["pid"], pid)
        self.assertEqual((self.service.state, self.service.error), ("ready", None))

    @posix
    def test_a_worker_that_somebody_kills_while_it_idles_is_noticed(self) -> None:
        pid = self.run_().wait()["pid"]
        os.kill(pid, 9)
        self.waitUntil(lambda: self.service.state == "failed", 5.0)
        self.assertIn("signal 9", self.service.error.message)
        self.assertEqual((self.service.device, self.service.bundle), ("", {}))

    def test_a_python_without_the_packages_says_so_before_it_is_ready(self) -> None:
        self.choice = replace(self.choice, bundle="broken")
        with self.assertRaises(TumorSynthError) as caught:
            self.run_().wait()
        self.assertIn("No module named 'torch'", caught.exception.message)
        self.assertIn("install", caught.exception.hint)
        self.assertEqual(self.service.state, "failed")

    def test_commands_that_start_nothing_fail_the_job_and_a_better_one_works(self) -> None:
        good = self.choice
        for command in ("no-such-python", "'unbalanced"):
            self.choice = WorkerChoice(command=command)
            with self.assertRaises(TumorSynthError) as caught:
                self.run_().wait()
            self.assertIn(command.strip("'"), caught.exception.message)
            self.assertEqual(self.service.state, "failed")
        self.choice = good
        self.run_().wait()

    def test_stop_cancels_everything_and_leaves_no_process(self) -> None:
        first, second = self.run_("slow", "1"), self.run_(name="2")
        self.waitUntil(lambda: first.state == "running")
        begin = time.monotonic()
        self.service.stop()
        self.assertLess(time.monotonic() - begin, 0.1)
        self.assertEqual(self.service.state, "stopped")
        self.waitUntil(lambda: not qt_process._living, 5.0)
        self.assertEqual((first.state, second.state, self.names()), ("cancelled", "cancelled", ["failed 1", "failed 2"]))

    @posix
    def test_a_worker_behind_a_launcher_that_ignores_its_end_is_killed_with_it(self) -> None:
        launcher = self.temporaryFolder() / "launcher.sh"
        launcher.write_text(f'#!/bin/sh\n{shlex.join([sys.executable, str(STAND_IN)])} "$@"\nexit $?\n')
        launcher.chmod(0o755)
        self.choice = WorkerChoice(command=str(launcher), bundle="stubborn")
        pid = self.run_().wait()["pid"]
        launched = next(iter(qt_process._living)).pid
        self.assertNotEqual(pid, launched)
        self.service.stop()
        self.waitUntil(lambda: not lives(pid) and not lives(launched), 5.0)

    @needsHarness
    def test_the_end_of_the_application_ends_the_worker_and_whoever_waits(self) -> None:
        import slicer

        job = self.run_("slow")
        qt.QTimer.singleShot(500, slicer.app.aboutToQuit.emit)
        with self.assertRaises(TumorSynthError):
            job.wait()
        self.assertFalse(qt_process._living)

    # ------------------------------------------------------------------ settings
    def test_other_settings_replace_the_worker_when_it_is_idle(self) -> None:
        pid = self.run_().wait()["pid"]
        running = self.run_("slow")
        self.waitUntil(lambda: running.state == "running")
        self.choice = replace(self.choice, device="cuda:1")
        self.assertEqual(self.run_().state, "waiting")
        self.wait(0.3)
        self.assertEqual(running.state, "running")
        running.cancel()
        later = self.run_().wait()["pid"]
        self.assertNotEqual(later, pid)
        self.assertEqual((self.service.device, self.service.notice), ("cuda:1", ""))
        self.assertEqual(self.run_().wait()["pid"], later)

    def test_a_cpu_where_a_gpu_was_asked_for_and_a_bundle_that_is_not_there_are_told(self) -> None:
        from TumorSynthSlicer.worker_notice import deviceNotice

        asked = replace(self.choice, device="cuda:0")
        self.assertIn("'cuda:0' was asked for, but the worker uses 'cpu'", deviceNotice(asked, "cpu", ""))
        self.assertIn("No GPU", deviceNotice(replace(asked, device="auto"), "cpu", ""))
        for device, used in (("cpu", "cpu"), ("cuda", "cuda:0"), ("auto", "cuda")):
            self.assertEqual(deviceNotice(replace(asked, device=device), used, "x"), "")
        self.choice = replace(self.choice, bundle="none")
        self.run_().wait()
        self.assertIn("'none' could not be loaded. It has no weights.", self.service.notice)
        self.assertEqual((self.service.device, self.service.bundle), ("", {}))

    def test_restart_starts_another_one_at_once(self) -> None:
        pid = self.run_().wait()["pid"]
        self.service.restart()
        self.assertEqual(self.service.state, "starting")
        self.waitUntil(lambda: self.service.state == "ready")
        self.assertNotEqual(self.run_().wait()["pid"], pid)

    # ------------------------------------------------------------------ the application goes on
    def test_nothing_of_it_holds_up_the_application(self) -> None:
        with self.heartbeat() as beats:
            self.run_().wait()
            job = self.run_("slow")
            self.waitUntil(lambda: job.state == "running")
            for seed in range(50):
                self.service.ask(preview(seed), kind="outline")
            job.cancel()
            self.waitUntil(lambda: job.over)
            self.service.stop()
            self.wait(0.2)
        self.assertGreater(beats.count, TURNS)

    def test_a_flood_of_log_lines_comes_in_few_texts(self) -> None:
        self.run_("flood").wait()
        self.waitUntil(lambda: "line 19999" in self.texts[-1])
        self.assertEqual("\n".join(self.texts).count("line "), 20_000)
        self.assertLess(len(self.texts), 2_000)
        self.assertEqual(len(self.service.log.splitlines()), 1000)


@posix
class InlineTest(ServiceCase):
    """A real worker that does not see the files of this computer."""

    def setUp(self) -> None:
        super().setUp()
        models = shlex.quote(f"TUMORSYNTH_MODELS={self.tinyBundle().parent}")
        command = f"env {models} {self.workerCommand()}"
        self.choice = WorkerChoice(command=command, bundle="tiny", device="cpu", inline=True)
        self.folder = self.temporaryFolder()
        self.scan = self.folder / "scan.nrrd"

    def writeScan(self, side: int) -> None:
        """A CT of noise; a large one takes a while to send."""
        header = f"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {side} {side} 60\n"
        header += "space directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,0)\nendian: little\nencoding: raw\n\n"
        noise = np.random.default_rng(0).normal(40.0, 10.0, (60, side, side)).astype("<i2")
        self.scan.write_bytes(header.encode("ascii") + noise.tobytes())

    def request(self, name: str) -> dict[str, Any]:
        """An edit of the scan."""
        more = {
            "bundle": self.choice.bundle,
            "device": "cpu",
            "steps": 2,
            "domain": "soft-tissue-ct",
            "out": str(self.folder / name),
        }
        return {**insert(), "image": str(self.scan), "at": [-30.0, -30.0, 60.0], "shape": {"volume_ml": 3.0}, **more}

    def test_files_go_there_and_the_result_comes_back_while_the_application_goes_on(self) -> None:
        self.writeScan(256)
        self.service.start()
        self.waitUntil(lambda: self.service.state == "ready", START)
        stages: list[str] = []
        with self.heartbeat() as beats:
            job = self.service.run(self.request("result"), onProgress=lambda stage, *rest: stages.append(stage))
            self.waitUntil(lambda: job.over, 120.0)
        self.assertEqual((job.error, job.state), (None, "done"))
        self.assertEqual(Path(job.result["result"]), self.folder / "result")
        self.assertEqual(json.loads((self.folder / "result" / "result.json").read_text())["request"]["image"], str(self.scan))
        self.assertEqual(stages[0], "sending")
        self.assertIn("returning", stages)
        self.assertEqual(self.service._turns._pace, 0, "threads get no turns when nothing is under way")
        self.assertGreater(beats.count, TURNS)

    def test_a_cancel_while_files_are_sent_is_told_within_a_second(self) -> None:
        self.writeScan(512)
        self.service.start()
        self.waitUntil(lambda: self.service.state == "ready", START)
        stages: list[str] = []
        job = self.service.run(self.request("none"), onProgress=lambda stage, *rest: stages.append(stage))
        self.waitUntil(lambda: stages, 60.0)
        self.assertEqual(stages[-1], "sending")
        begin = time.monotonic()
        job.cancel()
        with self.assertRaises(Cancelled):
            job.wait()
        self.assertLess(time.monotonic() - begin, 1.0)
        self.assertFalse((self.folder / "none").exists())

    @needsGilLoop
    def test_it_works_where_threads_run_only_when_they_are_let(self) -> None:
        self.writeScan(128)
        ran = threading.Event()
        threading.Thread(target=partial(_later, ran), daemon=True).start()
        self.assertFalse(gil_loop.runUntil(ran.is_set, 0.5), "this loop does not keep Python to itself, so it proves nothing")
        job = self.service.run(self.request("result"))
        self.assertTrue(gil_loop.runUntil(lambda: job.over, START))
        self.assertEqual((job.error, job.state), (None, "done"))


def _later(ran: threading.Event) -> None:
    time.sleep(0.1)
    ran.set()
