"""The lines of a batch: read, checked against each other, and told of in ``manifest.csv``."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from TumorSynthLib.atomic import write_text
from TumorSynthLib.errors import RequestError, TumorSynthError
from TumorSynthLib.protocol import Request, load_object, parse_request, shape_targets

_COLUMNS = ("line", "id", "op", "image", "out", "status", "error", "seconds")
_LONGEST = 1000


@dataclass
class Line:
    """One line of a batch file."""

    number: int
    """Its number in the file, from 1."""
    values: dict[str, Any] = field(default_factory=dict)
    """The JSON object, empty where there is none."""
    request: Request | None = None
    """The request, with ``out`` resolved; None where the line is bad."""
    error: TumorSynthError | None = None
    """What is wrong with the line."""

    def checked(self) -> Request:
        """The request, or the line's error."""
        if self.error is not None:
            raise self.error
        assert self.request is not None, "a line has a request or an error"
        return self.request


def read_lines(path: str | Path) -> list[Line]:
    """The lines of a batch file that hold text, with their errors.

    Raises
    ------
    RequestError : ``batch.file`` when the file cannot be read or has no such line.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}."
        raise RequestError("batch.file", message, "Give a file with one request per line.") from error
    numbered = enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1)
    lines = [_parse(number, text) for number, text in numbered if text.strip()]
    if not lines:
        raise RequestError("batch.file", f"{path} holds no request.", "Write one JSON object per line.")
    return lines


def claim_outputs(lines: Sequence[Line], folder: Path) -> None:
    """Give every request its folder inside ``folder``; a line that would leave it or meet an earlier line gets an error."""
    taken: dict[Path, int] = {}
    above: dict[Path, int] = {}
    for line in lines:
        if line.request is None:
            continue
        try:
            out = _inside(line.request.out or f"{line.number:05d}", folder)
            parents = list(takewhile(lambda parent: parent != folder, out.parents))
            for other in (above.get(out), *map(taken.get, [out, *parents])):
                _refuse_meeting(out, other)
        except RequestError as error:
            line.request, line.error = None, error
            continue
        line.request = replace(line.request, out=str(out))
        taken[out] = line.number
        above |= dict.fromkeys(parents, line.number)


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
    """``pending``, ``done`` or ``failed``."""
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
        self.status = "done"
        self.asked = {**self.asked, **(result.get("requested") or {})}
        self.measured = result.get("measured") or {}
        self.seconds = round(sum(result.get("timings", {}).values()), 3)

    def fail(self, error: str) -> None:
        """Take over an error."""
        self.status, self.error = "failed", " ".join(error.split())

    def cells(self) -> dict[str, Any]:
        """The row by column name."""
        own = self.known | {"status": self.status, "error": self.error, "seconds": self.seconds}
        asked = {f"asked_{name}": value for name, value in self.asked.items()}
        return own | asked | {f"measured_{name}": value for name, value in self.measured.items()}


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


def _parse(number: int, text: bytes) -> Line:
    line = Line(number)
    try:
        line.values = load_object(text.decode("utf-8"))
        line.request = parse_request(line.values)
    except UnicodeDecodeError as error:
        line.error = RequestError("request.json", f"The line is not UTF-8: {error}.", "Save the file as UTF-8.")
    except TumorSynthError as error:
        line.error = error
    return line


def _inside(out: str, folder: Path) -> Path:
    try:
        if len(out) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST} characters")
        path = (folder / out).resolve()
    except (OSError, ValueError) as error:
        raise RequestError("batch.out", f"'out' found {out[:80]!r}: {error}.", "Give another relative path.") from error
    if ".." in Path(out).parts or folder not in path.parents:
        message = f"'out' found {out!r}, expected a folder inside {folder}."
        raise RequestError("batch.out", message, "Give a relative path without '..'.")
    return path


def _refuse_meeting(out: Path, other: int | None) -> None:
    if other is not None:
        message = f"'out' is {out.name!r}, where line {other} writes."
        raise RequestError("batch.out", message, "Give every line a folder of its own.")
