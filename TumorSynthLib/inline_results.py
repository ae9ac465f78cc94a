"""A result that comes back in lines: written beside its place, checked, and renamed (standard library only)."""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from TumorSynthLib.atomic import AtomicFolder
from TumorSynthLib.errors import OutputError
from TumorSynthLib.transfer import decoded, with_texts

_RESULT = "result.json"
_AGAIN = "Ask for it again; the connection may be bad."


class IncomingResult:
    """One result folder on its way.

    Parameters
    ----------
    out : where the user wants it.
    overwrite : whether an existing result is replaced.

    Raises
    ------
    OutputError : when it cannot lie there.
    """

    def __init__(self, out: str, overwrite: bool) -> None:
        self._folder = AtomicFolder(out, overwrite, marker=_RESULT)
        self._opened = ExitStack()
        self._path = ""
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._sums: dict[str, str] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Add the piece of a ``file`` event.

        Raises
        ------
        TumorSynthError : when it cannot be written, is damaged, or would lie outside of the folder.
        """
        path = _inner_path(event.get("path"))
        try:
            if self._file is None:
                self._begin(path)
            assert self._file is not None
            if path != self._path:
                raise _damaged(self._path)
            data = decoded(event.get("data"))
            self._file.write(data)
            self._digest.update(data)
            if event.get("last"):
                self._finish(event.get("sha256"))
        except OSError as error:
            message = f"{self._folder.out} cannot be written: {error.strerror or error}."
            raise OutputError("output.failed", message, "Check free space and permissions.") from error

    def commit(self, change: Callable[[dict[str, Any]], Any]) -> Path:
        """Rename the folder into its place.

        Parameters
        ----------
        change : gives each ``result.json`` the user's own paths.

        Raises
        ------
        OutputError : when an image is another than its ``result.json`` tells, or the file system refuses.
        """
        if self._file is not None or _RESULT not in self._sums:
            raise _damaged(self._path)
        for path in self._sums:
            if PurePosixPath(path).name == _RESULT:
                self._settle(path, change)
        folder = self._folder.commit()
        self._opened.close()
        return folder

    def discard(self) -> None:
        """Remove every trace of it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._opened.close()

    def _begin(self, path: str) -> None:
        if not self._sums:
            self._opened.enter_context(self._folder)
        self._path, self._digest = path, hashlib.sha256()
        self._file = self._folder.path(path).open("wb")

    def _finish(self, sha256: Any) -> None:
        assert self._file is not None
        self._file.close()
        self._file = None
        if self._digest.hexdigest() != sha256:
            raise _damaged(self._path)
        self._sums[self._path] = str(sha256)

    def _settle(self, path: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Compare the image beside a ``result.json`` with its checksum there, and let the user's paths in."""
        file = self._folder.path(path)
        values = json.loads(file.read_text(encoding="utf-8"))
        parent = PurePosixPath(path).parent
        images = [
            found for name, found in self._sums.items()
            if PurePosixPath(name).parent == parent and PurePosixPath(name).name.startswith("image.")
        ]  # fmt: skip
        if values.get("result_sha256") is not None and values["result_sha256"] not in images:
            raise _damaged(str(parent / "image"))
        file.write_text(json.dumps(change(values), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def changed_texts(names: Mapping[str, str]) -> Callable[[str], str]:
    """A function that replaces each of some names by a text wherever it stands."""

    def change(text: str) -> str:
        for name, own in names.items():
            text = text.replace(name, own)
        return text

    return change


def with_own_request(
    values: dict[str, Any], sent: Mapping[str, Any], own: Mapping[str, Any], change: Callable[[str], str]
) -> dict[str, Any]:
    """A ``result.json`` with the user's own paths.

    Parameters
    ----------
    values : as the worker wrote it.
    sent : the request as it was sent.
    own : the request as the user made it; it stands in place of ``sent``, so that two paths to the same bytes stay two.
    change : of all other texts.
    """
    told: dict[str, Any] = with_texts(values, change)
    return {**told, "request": dict(own)} if values.get("request") == sent else told


def _inner_path(value: Any) -> str:
    """A path inside of the result folder."""
    path = PurePosixPath(str(value))
    if not isinstance(value, str) or not path.parts or path.is_absolute() or ".." in path.parts or set(value) & set("\\:\0"):
        message = f"The worker sent a file with the path {value!r}, expected one inside of the result."
        raise OutputError("output.path", message, "Update the older of the two programs.")
    return str(path)


def _damaged(path: str) -> OutputError:
    return OutputError("output.damaged", f"The file '{path}' of the result arrived damaged.", _AGAIN)
