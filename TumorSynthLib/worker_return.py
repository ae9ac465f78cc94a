"""A request between its client's names and this computer's paths, and the way of its result back (standard library only)."""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.input_files import with_files
from TumorSynthLib.protocol import Inquiry, Request, parse_message
from TumorSynthLib.transfer import CHUNK, INLINE, UPLOAD, upload_name, with_texts
from TumorSynthLib.worker_events import EventWriter
from TumorSynthLib.worker_files import Uploads

BACKLOG = 4 * CHUNK
"""Bytes of a result that may wait to be read before more is added."""


class Errand:
    """A request or an inquiry that can be carried out here; in its ``with`` block the files that were sent have their places.

    Parameters
    ----------
    request : as it came in; without uploads and with an ordinary ``out`` nothing is changed.
    uploads : the files that were sent.
    """

    def __init__(self, request: Request | Inquiry, uploads: Uploads) -> None:
        self.request = request
        self._uploads = uploads
        self._names: dict[str, str] = {}
        self._home: Path | None = None

    def __enter__(self) -> "Errand":
        values = with_files(self.request.to_dict(), self._local)
        out = str(values.get("out") or "")
        if out.startswith(INLINE):
            self._home = self._uploads.new_folder()
            values["out"] = str(self._home / "result")
            self._names[values["out"]] = out
        if self._names:
            self.request = parse_message(values)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)

    def told(self, error: TumorSynthError) -> TumorSynthError:
        """An error with the client's names in place of this computer's paths."""
        return TumorSynthError(error.code, self._client_text(error.message), self._client_text(error.hint))

    def delivered(self, folder: Path, events: EventWriter, check: Callable[[], None]) -> str:
        """Send a result back, if that was asked for, and return what the client calls it.

        Parameters
        ----------
        folder : the result.
        events : who is told.
        check : called before each piece; may raise to cancel.
        """
        if self._home is None:
            return str(folder)
        for path in folder.rglob("result.json"):
            values = with_texts(json.loads(path.read_text(encoding="utf-8")), self._client_text)
            path.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        total, sent = max(1, sum(path.stat().st_size for path in files)), 0
        for path in files:
            for data, sha256 in _pieces(path):
                sent += len(data)
                events.wait(BACKLOG, check)
                check()
                piece: dict[str, Any] = {"data": base64.b64encode(data).decode("ascii"), "last": sha256 is not None}
                told = {"path": path.relative_to(folder).as_posix(), "sha256": sha256, "fraction": round(sent / total, 4)}
                events.send("file", id=self.request.id, **told, **piece)
        return self._names[str(self._home / "result")]

    def _local(self, path: str) -> str:
        """The place of a file that was sent; other paths are left alone."""
        if not path.startswith(UPLOAD):
            return path
        place = str(self._uploads.path(upload_name("upload", path.removeprefix(UPLOAD))))
        self._names[place] = path
        return place

    def _client_text(self, text: str) -> str:
        for place, name in self._names.items():
            text = text.replace(place, name)
        return text


def _pieces(path: Path) -> Iterator[tuple[bytes, str | None]]:
    """A file in pieces, the last one with the checksum of the whole."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        data = file.read(CHUNK)
        while True:
            digest.update(data)
            following = file.read(CHUNK) if data else b""
            yield data, None if following else digest.hexdigest()
            if not following:
                return
            data = following
