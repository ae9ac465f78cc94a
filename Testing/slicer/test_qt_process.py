"""The worker's process on QProcess: lines, ends, and that nothing is left of it."""

import os
import sys
import time
import unittest
from contextlib import suppress
from pathlib import Path

import slicer
from slicer_case import SlicerCase, needsHarness

from TumorSynthSlicer.process_tree import Process, comesFrom, processes
from TumorSynthSlicer.qt_process import QtWorkerProcess, killAll

posix = unittest.skipIf(sys.platform == "win32", "shells and groups of processes")

ECHO = "import sys\nfor line in sys.stdin: sys.stdout.write('got ' + line); sys.stdout.flush()"
SLEEPER = """
import os, subprocess, sys, time
if "--session" in sys.argv: os.setsid()
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), grandchild.pid, flush=True)
time.sleep(600)
"""


def lives(pid: int) -> bool:
    """Whether a process runs; one that only waits to be noticed does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return pid in processes() and not Path("/proc/self").exists()


class QtProcessTest(SlicerCase):
    def setUp(self) -> None:
        super().setUp()
        self.lines: list[bytes | None] = []
        self.logged: list[str] = []
        self.ends = 0
        self.addCleanup(killAll)

    def process(self, *command: str, environment: dict[str, str] | None = None) -> QtWorkerProcess:
        """A process that is started."""
        process = QtWorkerProcess(
            command, dict(os.environ) if environment is None else environment, self.lines.append, self.ended, self.logged.append
        )
        process.listen()
        return process

    def python(self, program: str, *arguments: str) -> QtWorkerProcess:
        """This Python with a program."""
        return self.process(sys.executable, "-u", "-c", program, *arguments)

    def ended(self) -> None:
        self.ends += 1

    def waitEnd(self) -> None:
        self.waitUntil(lambda: self.ends)

    def launcher(self) -> str:
        """A program that starts Python and waits for it, as PythonSlicer does."""
        path = self.temporaryFolder() / "launcher.sh"
        path.write_text('#!/bin/sh\n"$REAL_PYTHON" "$@"\nexit $?\n')
        path.chmod(0o755)
        return str(path)

    def launched(self, *arguments: str) -> tuple[QtWorkerProcess, int, int]:
        """A process behind a launcher, the numbers of the one that works and of its child."""
        environment = {**os.environ, "REAL_PYTHON": sys.executable}
        process = self.process(self.launcher(), "-u", "-c", SLEEPER, *arguments, environment=environment)
        self.waitUntil(lambda: self.lines)
        child, grandchild = map(int, self.lines[0].split())
        self.assertTrue(lives(child) and lives(grandchild))
        self.assertNotEqual(child, process.pid)
        return process, child, grandchild

    def assertGone(self, *pids: int) -> None:
        self.waitUntil(lambda: not any(map(lives, pids)), 5.0)

    # ------------------------------------------------------------------ lines
    def test_lines_written_before_it_has_started_arrive_in_order_and_the_end_of_the_input_ends_it(self) -> None:
        process = self.python(ECHO)
        process.write(b"one\n")
        process.write(b"two\n")
        process.close(20.0)
        self.waitEnd()
        self.assertEqual([line.rstrip(b"\r") for line in self.lines], [b"got one", b"got two"])
        self.assertIn("code 0", process.died("x").message)

    def test_pieces_of_lines_and_of_letters_are_put_together(self) -> None:
        program = """
import sys, time
for piece in ("h\u00e4lf".encode()[:2], "h\u00e4lf".encode()[2:] + b" a line\\nwhole\\nno end"):
    sys.stdout.buffer.write(piece); sys.stdout.buffer.flush(); time.sleep(0.2)
"""
        self.python(program)
        self.waitEnd()
        self.assertEqual(self.lines, ["hälf a line".encode(), b"whole"])

    def test_what_goes_to_stderr_is_log_and_its_last_words_need_no_line_end(self) -> None:
        process = self.python("import sys; sys.stderr.write('first\\nlast words'); print('{}'); sys.exit(3)")
        self.waitEnd()
        self.assertEqual((process.log, self.logged, self.lines), ("first\nlast words", ["first", "last words"], [b"{}"]))
        self.assertIn("ended with code 3 while it ran. Its last words: last words", process.died("while it ran").message)

    def test_the_log_is_bounded(self) -> None:
        process = self.python("import sys\nfor number in range(5000): print(number, file=sys.stderr)")
        self.waitEnd()
        self.assertEqual((len(process.log.splitlines()), process.log.splitlines()[-1]), (1000, "4999"))

    # ------------------------------------------------------------------ ends
    def test_a_command_that_cannot_be_started_is_told_with_what_to_do(self) -> None:
        process = self.process("no-such-python-anywhere", "-u")
        self.assertEqual(self.ends, 0, "nobody is called back from inside of listen")
        self.waitEnd()
        error = process.died("before it was ready")
        self.assertEqual(error.code, "worker.died")
        self.assertIn("no-such-python-anywhere -u", error.message)
        self.assertIn("Setup", error.hint)
        with self.assertRaises(BrokenPipeError):
            process.write(b"x\n")

    def test_missing_packages_get_a_hint_of_their_own(self) -> None:
        process = self.python("import no_such_package_at_all")
        self.waitEnd()
        self.assertIn("install", process.died("before it was ready").hint)

    @posix
    def test_a_signal_that_ends_it_is_told(self) -> None:
        process = self.python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        self.waitEnd()
        self.assertIn("was killed (signal 9) while it ran", process.died("while it ran").message)

    def test_it_ends_once_however_often_it_is_killed(self) -> None:
        process = self.python("import time; time.sleep(600)")
        self.wait(0.2)
        process.kill()
        process.kill()
        process.close(0.0)
        self.waitEnd()
        self.wait(0.1)
        process.kill()
        self.assertEqual(self.ends, 1)

    # ------------------------------------------------------------------ nothing is left
    @posix
    def test_kill_ends_everything_behind_a_launcher_before_and_after_it_has_told_its_number(self) -> None:
        for session, adopted in ((False, False), (True, False), (True, True)):
            self.lines.clear()
            self.ends = 0
            process, child, grandchild = self.launched(*["--session"] * session)
            if adopted:
                process.adopt(child)
            process.kill()
            self.waitEnd()
            self.assertGone(child, grandchild)

    @posix
    def test_when_the_launcher_alone_is_killed_what_it_launched_goes_too(self) -> None:
        process, child, grandchild = self.launched("--session")
        process.adopt(child)
        os.kill(process.pid, 9)
        self.waitEnd()
        self.assertGone(child, grandchild)

    @posix
    def test_what_does_not_end_with_its_input_is_killed_after_the_grace(self) -> None:
        process, child, grandchild = self.launched("--session")
        begin = time.monotonic()
        process.close(1.0)
        self.assertLess(time.monotonic() - begin, 0.8, "close does not wait")
        self.waitEnd()
        self.assertGreater(time.monotonic() - begin, 0.95)
        self.assertGone(child, grandchild)

    @posix
    def test_a_number_that_belongs_to_somebody_else_is_never_taken(self) -> None:
        process, child, _ = self.launched("--session")
        bystander = self.python("import time; time.sleep(600)")
        self.wait(0.2)
        process.adopt(bystander.pid)  # as a worker on another computer might tell
        process.adopt(os.getpid())
        process.kill()
        self.waitEnd()
        self.assertGone(child)
        self.assertTrue(lives(bystander.pid))

    @needsHarness
    def test_when_the_application_quits_everything_has_ended_at_once(self) -> None:
        if sys.platform == "win32":
            self.skipTest("needs a shell")
        process, child, grandchild = self.launched("--session")
        slicer.app.aboutToQuit.emit()
        self.assertEqual(self.ends, 1)
        end = time.monotonic() + 5.0
        while any(map(lives, (process.pid, child, grandchild))):  # the system takes a moment; no event loop runs any more
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)


class ProcessTreeTest(unittest.TestCase):
    @posix
    def test_a_child_comes_from_this_process_and_not_the_other_way_round(self) -> None:
        table = processes()
        self.assertTrue(comesFrom(os.getpid(), os.getppid(), table))
        self.assertFalse(comesFrom(os.getppid(), os.getpid(), table))
        self.assertEqual(table[os.getpid()].parent, os.getppid())
        self.assertEqual(table[os.getpid()].group, os.getpgrp())

    def test_a_ring_of_numbers_ends(self) -> None:
        ring = {2: Process(3, 2, ""), 3: Process(2, 2, "")}
        self.assertFalse(comesFrom(2, 7, ring))
