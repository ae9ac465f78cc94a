"""The table of a batch, ``manifest.csv``: one row per line, what was asked and measured, and what became of it."""

import csv
import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from TumorSynthLib.atomic import write_text
from TumorSynthLib.batch_lines import Line
from TumorSynthLib.protocol import shape_targets

SHARE = 0.02
"""Most of the time that writing the table may take."""

_COLUMNS = ("line", "id", "op", "image", "out", "status", "error", "seconds")


@dataclass
class Row:
    """One row of the manifest."""

    known: dict[str, Any]
    """``line``, ``id``, ``op``, ``image`` and ``out``."""
    asked: Mapping[str, float] = field(default_factory=dict)
    """Wanted features by PyRadiomics name."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """Measured features by PyRadiomics name."""
    status: str = "pending"
    """``pending``, ``running``, ``done`` or ``failed``."""
    error: str = ""
    """What went wrong, in one line."""
    seconds: float | None = None
    """What the line took."""

    @classmethod
    def pending(cls, line: Line, folder: Path) -> "Row":
        """The row of a line that has not run."""
        source = line.values if line.request is None else line.request.to_dict()
        known = {"line": line.number} | {name: source.get(name) for name in ("id", "op", "image", "out")}
        if line.request is None or line.request.out is None:
            return cls(known)
        known["out"] = Path(line.request.out).relative_to(folder).as_posix()
        return cls(known, shape_targets(line.request) | line.request.texture)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Take over a result."""
        self.status, self.error = "done", ""
        self.asked = {**self.asked, **_numbers(result.get("requested"))}
        self.measured = _numbers(result.get("measured"))
        self.seconds = round(sum(_numbers(result.get("timings")).values()), 3)

    def fail(self, error: str) -> None:
        """Take over an error."""
        self.status, self.error = "failed", " ".join(error.split())

    def cells(self) -> dict[str, Any]:
        """The row by column name."""
        own = self.known | {"status": self.status, "error": self.error, "seconds": self.seconds}
        asked = {f"asked_{name}": value for name, value in self.asked.items()}
        return own | asked | {f"measured_{name}": value for name, value in self.measured.items()}


class Table:
    """The table on disk, which takes at most ``SHARE`` of the time to write.

    Parameters
    ----------
    path : its file.
    rows : its rows, whose contents change.
    clock : tells the time in seconds.
    """

    def __init__(self, path: Path, rows: Sequence[Row], clock: Callable[[], float] = time.perf_counter) -> None:
        self._path = path
        self._rows = rows
        self._clock = clock
        self._cost = 0.0
        self._end = 0.0
        self._changed = True

    def change(self) -> None:
        """A row has changed."""
        self._changed = True

    def update(self) -> None:
        """Write what has changed, unless the last time was costly and is not long ago."""
        if self._changed and self._clock() - self._end > self._cost / SHARE:
            self.write()

    def write(self) -> None:
        """Write now, all at once.

        Raises
        ------
        OutputError : when that cannot be done.
        """
        start = self._clock()
        write_manifest(self._path, self._rows)
        self._changed = False
        self._end = self._clock()
        self._cost = self._end - start


def write_manifest(path: Path, rows: Sequence[Row]) -> None:
    """Write the manifest at once; a feature that any line asked for or measured has a column.

    Raises
    ------
    OutputError : when it cannot be written.
    """
    asked = sorted({f"asked_{name}" for row in rows for name in row.asked})
    measured = sorted({f"measured_{name}" for row in rows for name in row.measured})
    text = io.StringIO()
    table = csv.DictWriter(text, [*_COLUMNS, *asked, *measured], restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(row.cells() for row in rows)
    write_text(path, text.getvalue())


def _numbers(values: Any) -> dict[str, float]:
    """The numbers by name in a part of a result; names are shared between the rows, for the memory's sake."""
    if not isinstance(values, Mapping):
        return {}
    return {sys.intern(name): value for name, value in values.items() if isinstance(value, int | float)}
