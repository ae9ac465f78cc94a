"""The lines of a batch: read, and checked by themselves and against each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from TumorSynthLib.batch_claim import STATE
from TumorSynthLib.errors import RequestError, TumorSynthError
from TumorSynthLib.protocol import Request, load_object, parse_request

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


def _parse(number: int, text: bytes) -> Line:
    line = Line(number)
    try:
        line.values = load_object(text.decode("utf-8"))
        line.request = _writing(parse_request(line.values))
    except UnicodeDecodeError as error:
        line.error = RequestError("request.json", f"The line is not UTF-8: {error}.", "Save the file as UTF-8.")
    except TumorSynthError as error:
        line.error = error
    return line


def _writing(request: Request) -> Request:
    """The request, unless it writes nothing that a batch could keep."""
    if request.preview:
        message = "Field 'preview' is true, and a preview writes no result."
        raise RequestError("batch.preview", message, "Remove 'preview', or send the request to a worker.")
    return request


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
    if folder / STATE in (path, *path.parents):
        raise RequestError("batch.out", f"'out' found {out!r}, which the batch needs itself.", "Give another relative path.")
    return path


def _refuse_meeting(out: Path, other: int | None) -> None:
    if other is not None:
        message = f"'out' is {out.name!r}, where line {other} writes."
        raise RequestError("batch.out", message, "Give every line a folder of its own.")
