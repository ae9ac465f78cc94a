"""Many requests in one process: models are loaded once, finished lines are kept, ``manifest.csv`` tells of every line."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from TumorSynthLib.batch_lines import Line, Row, claim_outputs, read_lines, write_manifest
from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.errors import Cancelled, OutputError, TumorSynthError
from TumorSynthLib.protocol import Request
from TumorSynthLib.result import read_result

Progress = Callable[[str, float], None]

_NOT_COMPARED = ("out", "overwrite", "id")


class Runner(Protocol):
    """What runs requests with models that stay in memory; the pipeline's ``Editor`` is one."""

    def run(self, request: Request, progress: Progress | None = None) -> Path:
        """Run one request and return its result folder."""


@dataclass
class Summary:
    """What became of a batch."""

    manifest: Path
    """The table with one row per line."""
    done: int = 0
    """Lines that ran to their end now."""
    kept: int = 0
    """Lines whose result was there already."""
    failures: list[dict[str, Any]] = field(default_factory=list)
    """``line`` and ``error`` of every line that failed."""


def run_batch(
    requests_file: str | Path,
    out_dir: str | Path,
    progress: Progress | None = None,
    open_runner: Callable[[str, str], Runner] | None = None,
) -> Summary:
    """Run every request of a file, one result folder per line.

    A line's ``out`` is relative to ``out_dir`` and must stay inside; without ``out`` it is the line's number, ``00001``.
    Image and mask paths are taken as they are. A line whose folder holds the result of the same request is kept. A
    line that fails is reported and the others run. Lines without text are skipped.

    Parameters
    ----------
    requests_file : JSON Lines, UTF-8.
    out_dir : folder of the results and of ``manifest.csv``, which is rewritten after every line that ran (a table of
        thousands of lines less often, see ``_Table``).
    progress : called with a text and the fraction of the whole batch.
    open_runner : makes a runner for a bundle's name and a device; called once for each pair.

    Raises
    ------
    RequestError : ``batch.file`` when the file cannot be read or holds no line.
    OutputError : when the manifest cannot be written.
    Cancelled : when ``progress`` raises it; finished lines stay.
    """
    folder = Path(out_dir).expanduser().resolve()
    lines = read_lines(requests_file)
    claim_outputs(lines, folder)
    _make(folder)
    summary = Summary(folder / "manifest.csv")
    table = _Table(summary.manifest, [Row.pending(line, folder) for line in lines])
    runners = _Runners(open_runner or _open_editor)
    table.write()
    try:
        for number, (line, row) in enumerate(zip(lines, table.rows, strict=True)):
            if _keep(line, row):
                summary.kept += 1
                continue
            report = None if progress is None else _share(progress, number, len(lines))
            if _run_line(line, row, runners, report):
                summary.done += 1
            else:
                summary.failures.append({"line": line.number, "error": row.error})
            table.update()
    finally:
        table.write()
    return summary


class _Table:
    """The manifest, written after every line unless it is so long that writing would take more than 5 % of the time."""

    def __init__(self, path: Path, rows: list[Row]) -> None:
        self.path = path
        self.rows = rows
        self._cost = 0.0
        self._end = 0.0

    def update(self) -> None:
        """Write, unless that was costly and is not long ago."""
        if self._cost < 0.05 or time.perf_counter() - self._end > 20 * self._cost:
            self.write()

    def write(self) -> None:
        """Write now."""
        start = time.perf_counter()
        write_manifest(self.path, self.rows)
        self._end = time.perf_counter()
        self._cost = self._end - start


class _Runners:
    """One runner per bundle and device."""

    def __init__(self, open_runner: Callable[[str, str], Runner]) -> None:
        self._open = open_runner
        self._known: dict[tuple[str, str], Runner] = {}

    def get(self, request: Request) -> Runner:
        key = (request.bundle, request.device)
        if key not in self._known:
            self._known[key] = self._open(*key)
        return self._known[key]


def _open_editor(bundle: str, device: str) -> Runner:
    from TumorSynthLib.pipeline import Editor  # slow to import, and not needed where every line is done or bad

    return Editor(load_bundle(bundle), device)


def _run_line(line: Line, row: Row, runners: _Runners, progress: Progress | None) -> bool:
    """Run one line and fill its row; whether it went well."""
    start = time.perf_counter()
    try:
        request = line.checked()
        row.finish(read_result(runners.get(request).run(request, progress)))
    except Cancelled:
        raise
    except TumorSynthError as error:
        row.fail(f"{error.code}: {error}")
    except Exception as error:  # thousands of scans overnight: as in the worker, the other lines still run
        row.fail(f"{type(error).__name__}: {error}")
    row.seconds = round(time.perf_counter() - start, 3)
    return row.status == "done"


def _keep(line: Line, row: Row) -> bool:
    """Whether the line's folder holds the result of the same request; its row then tells of it."""
    if line.error is not None or line.request is None or line.request.out is None:
        return False
    try:
        result = read_result(line.request.out)
    except OutputError:
        return False
    then, now = result.get("request"), line.request.to_dict()
    if not isinstance(then, dict) or _compared(then) != _compared(now):
        return False
    row.finish(result)
    return True


def _compared(request: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name not in _NOT_COMPARED}


def _share(progress: Progress, number: int, total: int) -> Progress:
    def report(stage: str, fraction: float) -> None:
        progress(f"{number + 1}/{total} {stage}", (number + fraction) / total)

    return report


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{folder} cannot be made: {error.strerror or error}."
        raise OutputError("output.failed", message, "Choose another folder.") from error
