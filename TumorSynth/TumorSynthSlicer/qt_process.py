"""The worker's process on ``qt.QProcess``, whose calls come from the application's event loop."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import qt
import slicer

from TumorSynthLib.line_buffer import LineBuffer
from TumorSynthLib.worker_process import LOG_LINES, MAX_LINE, WorkerError, worker_died
from TumorSynthSlicer.process_tree import Process, comesFrom, killTree, processes

_WINDOWS = sys.platform == "win32"
_QUIT_MILLISECONDS = 2000
"""Longest wait for a killed process when the application quits."""
_TREE_MILLISECONDS = 3000
"""Time that Windows has to kill a process with its children, before it alone is killed."""

_living: "set[QtWorkerProcess]" = set()
"""Keeps processes until they have ended, also when nobody else thinks of them any more."""
_watched: list[bool] = []


class QtWorkerProcess:
    """A child process that speaks in lines, see ``TumorSynthLib.line_process``; it is started by ``listen``.

    Only ``write`` may be called from another thread than the main one; what is written there leaves with the next ``flush``.

    Parameters
    ----------
    command : program and arguments.
    environment : of the process, all of it.
    onLine : called with each line of its stdout, None for one that was too long.
    onEnd : called once, when it has ended or could not be started.
    onLog : called with each line of the log: its stderr, and what ``note`` adds.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        onLine: Callable[[bytes | None], None],
        onEnd: Callable[[], None],
        onLog: Callable[[str], None] | None = None,
        /,
    ) -> None:
        self._command = list(command)
        self._onLine, self._onEnd, self._onLog = onLine, onEnd, onLog
        self._lines, self._logLines = LineBuffer(MAX_LINE), LineBuffer(MAX_LINE)
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._outbox: deque[bytes] = deque()
        self._thread = threading.get_ident()
        self._known: dict[int, Process] = {}
        self._code: int | None = None
        self._cannotStart = ""
        self._running = self._closed = self._over = False
        self._pid = 0
        self._killer: qt.QProcess | None = None
        self._process = qt.QProcess()
        self._process.setProcessChannelMode(qt.QProcess.SeparateChannels)
        self._process.setProcessEnvironment(_environment(environment))
        self._process.connect("started()", self._started)
        self._process.connect("readyReadStandardOutput()", self._readLines)
        self._process.connect("readyReadStandardError()", self._readLog)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._finished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._failed)

    def listen(self) -> None:
        """Start the process, and call back from now on."""
        _living.add(self)
        _watchQuit()
        self._process.start(self._command[0], self._command[1:])
        self._pid = int(self._process.processId())

    @property
    def log(self) -> str:
        """The last lines of the log."""
        return "\n".join(self._log)

    @property
    def pid(self) -> int:
        """Number of the process that was started; 0 where there is none."""
        return self._pid

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over

    def write(self, line: bytes) -> None:
        """Send a line, once the process has been started.

        Raises
        ------
        BrokenPipeError : when nobody reads it any more.
        """
        if self._over or self._closed:
            raise BrokenPipeError("the worker has ended or its input is closed")
        self._outbox.append(line)
        if threading.get_ident() == self._thread:
            self.flush()

    def flush(self) -> None:
        """Send what other threads have written."""
        while self._running and self._outbox:
            self._process.write(self._outbox.popleft())
        if self._running and self._closed:
            self._process.closeWriteChannel()

    def adopt(self, pid: int) -> None:
        """Remember a process that tells that it is the one that works here, behind a launcher.

        One on another computer has a number too, which may belong to anybody here: only what comes from this process is taken.
        """
        if not _WINDOWS and self.pid:
            table = processes()
            if pid in table and comesFrom(pid, self.pid, table):
                self._known[pid] = table[pid]

    def close(self, timeout: float) -> None:
        """End the input, and kill what is left after ``timeout`` seconds; returns at once."""
        if not self._over:
            self.closeInput()
            qt.QTimer.singleShot(int(1000 * timeout), self.kill)

    def closeInput(self) -> None:
        """End the input, after all that was written."""
        self._closed = True
        self.flush()

    def kill(self) -> None:
        """End the process with everything that it has started; returns at once."""
        if self._over:
            return
        if _WINDOWS:  # the launcher has to live until its children are found
            self._killer = qt.QProcess()
            self._killer.start("taskkill", ["/T", "/F", "/PID", str(self.pid)])
            qt.QTimer.singleShot(_TREE_MILLISECONDS, self._killLauncher)
        else:
            killTree(self.pid, self._known)
            self._killLauncher()

    def killAndWait(self) -> None:
        """As ``kill``, but wait until it has ended, for an application that ends now."""
        self.kill()
        if self._killer is not None:
            self._killer.waitForFinished(_QUIT_MILLISECONDS)
        if not self._over:
            self._killLauncher()
            self._process.waitForFinished(_QUIT_MILLISECONDS)

    def note(self, line: bytes) -> None:
        """Add a line to the log."""
        text = line.decode("utf-8", "replace").rstrip("\r")
        self._log.append(text)
        if self._onLog is not None:
            self._onLog(text)

    def died(self, when: str) -> WorkerError:
        """The error that tells how the process ended."""
        if self._cannotStart:
            message = f"The worker cannot be started: {' '.join(self._command)}: {self._cannotStart}."
            hint = "Check the worker's command in the Setup section: it has to start a Python, and works in a terminal."
            return WorkerError(message, hint, self.log)
        error = worker_died(self._code, when, self.log)
        if "No module named" in (self.log.splitlines() or [""])[-1]:
            hint = "Python packages are missing: install them in the Setup section, or in the Python that the command starts."
            return WorkerError(error.message, hint, error.log)
        return error

    def _started(self) -> None:
        self._running = True
        self.flush()

    def _readLines(self) -> None:
        for line in self._lines.feed(bytes(self._process.readAllStandardOutput().data())):
            self._onLine(line)

    def _readLog(self) -> None:
        for line in self._logLines.feed(bytes(self._process.readAllStandardError().data())):
            self.note(line or b"")

    def _failed(self, error: int) -> None:
        if error == qt.QProcess.FailedToStart:
            self._cannotStart = str(self._process.errorString())
            qt.QTimer.singleShot(0, self._end)  # it may be told from inside of ``listen``

    def _finished(self, code: int, status: int) -> None:
        self._code = code if status == qt.QProcess.NormalExit else -code
        try:
            self._readLines()
            self._readLog()
            for line in self._logLines.feed(b"\n"):  # last words without a line end
                if line:
                    self.note(line)
            if self._known:  # whoever ended was perhaps a launcher
                killTree(0, self._known)
        finally:
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over, self._running = True, False
            self._outbox.clear()
            _living.discard(self)
            self._process.deleteLater()
            self._onEnd()

    def _killLauncher(self) -> None:
        if not self._over:
            self._process.kill()


def killAll() -> None:
    """End all processes, as the application does when it quits; returns when they have ended."""
    for process in list(_living):
        process.killAndWait()


def _watchQuit() -> None:
    if not _watched:
        _watched.append(slicer.app.connect("aboutToQuit()", killAll))


def _environment(values: Mapping[str, str]) -> "qt.QProcessEnvironment":
    environment = qt.QProcessEnvironment()
    for name, value in values.items():
        environment.insert(name, value)
    return environment
