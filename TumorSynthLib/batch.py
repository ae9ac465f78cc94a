"""Many requests, and a folder that tells at any moment what became of them.

The result folders are the memory: each is whole or absent, so that a batch can be killed at any moment and goes on where it
stopped. ``manifest.csv`` tells of every line; it is written anew from the folders whenever a batch starts.
"""

from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from TumorSynthLib.batch_claim import Claim
from TumorSynthLib.batch_journal import Journal
from TumorSynthLib.batch_keep import Job, Keeper, installed_bundle, is_finished
from TumorSynthLib.batch_leftovers import sweep_results
from TumorSynthLib.batch_lines import Line, claim_outputs, read_lines
from TumorSynthLib.batch_progress import BatchProgress, Progress
from TumorSynthLib.batch_runners import InProcess, Outcome, Runner, in_one_line
from TumorSynthLib.batch_table import Row, Table
from TumorSynthLib.errors import OutputError
from TumorSynthLib.result import read_result


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
    warnings: list[dict[str, Any]] = field(default_factory=list)
    """``line`` and ``warning`` of every line whose earlier result was not simply kept."""


def run_batch(
    requests_file: str | Path,
    out_dir: str | Path,
    progress: Progress | None = None,
    runner: Runner | None = None,
    *,
    bundle_sha256: Callable[[str], str | None] | None = None,
) -> Summary:
    """Run every request of a file, one result folder per line.

    A line's ``out`` is relative to ``out_dir`` and must stay inside; without ``out`` it is the line's number, ``00001``.
    Image and mask paths are taken as they are. A line whose folder holds the result of the same request, made from the
    same files with the same bundle, is kept. A line that fails is reported and the others run. A line whose process is
    lost runs once more. Lines without text are skipped.

    Parameters
    ----------
    requests_file : JSON Lines, UTF-8.
    out_dir : folder of the results, of ``manifest.csv`` and of what the batch must remember, ``.tumorsynth-batch``.
    progress : called with a text and the fraction of the whole batch.
    runner : what carries out the lines; None is this process, one after the other.
    bundle_sha256 : tells the checksum of a bundle by its name; None is what is installed here.

    Raises
    ------
    RequestError : ``batch.file`` when the file cannot be read or holds no line.
    OutputError : ``batch.locked`` when another batch is at work in the folder; when the manifest cannot be written.
    Cancelled : when ``progress`` raises it; finished lines stay.
    """
    folder = Path(out_dir).expanduser().resolve()
    lines = read_lines(requests_file)
    claim_outputs(lines, folder)
    _make(folder)
    with Claim(folder) as claim:
        sweep_results(Path(line.request.out).parent for line in lines if line.request and line.request.out)
        keeper = Keeper(Journal(claim.state / "files.jsonl"), bundle_sha256 or installed_bundle)
        batch = _Batch(lines, folder, keeper, BatchProgress(progress, len(lines)))
        batch.run(runner or InProcess(), claim)
        return batch.summary


class _Batch:
    """The bookkeeping: which lines are still to be run, and what is told of them."""

    def __init__(self, lines: list[Line], folder: Path, keeper: Keeper, progress: BatchProgress) -> None:
        self.summary = Summary(folder / "manifest.csv")
        self._lines = lines
        self._rows = {line.number: Row.pending(line, folder) for line in lines}
        self._table = Table(self.summary.manifest, list(self._rows.values()))
        self._keeper = keeper
        self._progress = progress
        self._todo: deque[Job] = deque()
        self._stamps: dict[int, dict[str, str | None]] = {}

    def run(self, runner: Runner, claim: Claim) -> None:
        """Look what is there, and run the rest."""
        for line in self._lines:
            self._look_at(line)
        self._table.write()
        self._progress.begin()
        try:
            if self._todo:
                with closing(runner.run(self._take, self._tell, claim)) as outcomes:
                    for outcome in outcomes:
                        self._settle(outcome)
                        self._table.change()
                        self._table.update()
        finally:
            for number in self._stamps:
                self._rows[number].status = "pending"
            self.summary.failures.sort(key=lambda failure: int(failure["line"]))
            self._table.write()

    def _look_at(self, line: Line) -> None:
        """Keep, refuse or queue a line."""
        self._progress.check()
        if line.request is None:
            assert line.error is not None, "a line has a request or an error"
            return self._fail(line.number, in_one_line(line.error))
        verdict = self._keeper.judge(line.number, line.request)
        if verdict.warning:
            self.summary.warnings.append({"line": line.number, "warning": verdict.warning})
        if verdict.refused is not None:
            self._fail(line.number, in_one_line(verdict.refused))
        elif verdict.result is not None:
            self._rows[line.number].finish(verdict.result)
            self.summary.kept += 1
            self._progress.settled()
        elif verdict.job is not None:
            self._todo.append(verdict.job)

    def _take(self) -> Job | None:
        """The next line to run."""
        if not self._todo:
            return None
        job = self._todo.popleft()
        self._rows[job.number].status = "running"
        self._stamps[job.number] = self._keeper.stamps(job.request)
        self._table.change()
        return job

    def _tell(self, job: Job, stage: str, fraction: float) -> None:
        self._table.update()
        self._progress.move(job.number, stage, fraction)

    def _settle(self, outcome: Outcome) -> None:
        """Take note of the end of a line."""
        job, error = outcome.job, outcome.error
        stamps = self._stamps.pop(job.number)
        if outcome.lost and is_finished(job):
            error = ""  # it was lost after the result was written
        elif outcome.lost and job.attempt == 1:
            self.summary.warnings.append({"line": job.number, "warning": f"runs once more after {error}"})
            self._rows[job.number].status = "pending"
            self._progress.drop(job.number)
            self._todo.appendleft(replace(job, attempt=2))
            return
        self._rows[job.number].seconds = round(outcome.seconds, 3)
        if error:
            self._fail(job.number, error)
        else:
            self._finish(job, stamps, outcome.seconds)

    def _finish(self, job: Job, stamps: dict[str, str | None], seconds: float) -> None:
        """Take over the result that a line has written."""
        assert job.request.out is not None
        try:
            result = read_result(job.request.out)
        except OutputError as error:
            return self._fail(job.number, in_one_line(error))
        row = self._rows[job.number]
        row.finish(result)
        row.seconds = round(seconds, 3)
        self._keeper.learn(job.request, result, stamps)
        self.summary.done += 1
        self._progress.settled(job.number)

    def _fail(self, number: int, error: str) -> None:
        self._rows[number].fail(error)
        self.summary.failures.append({"line": number, "error": error})
        self._progress.settled(number)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{folder} cannot be made: {error.strerror or error}."
        raise OutputError("output.failed", message, "Choose another folder.") from error
