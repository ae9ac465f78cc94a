"""Files that appear whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from TumorSynthLib.errors import OutputError


@contextlib.contextmanager
def wholeFile(path: Path) -> Iterator[BinaryIO]:
    """A stream to write a file with, which is at its place when the block ends; one that is there is replaced.

    Where the block raises, or is left because the work is given up, nothing is there, or what was there before.

    Raises
    ------
    OutputError : ``output.failed`` when the file system refuses.
    """
    partial = path.with_name(f".partial-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        message = f"'{path}' cannot be written: {error.strerror or error}."
        raise OutputError("output.failed", message, "Check the free space and the permissions of the folder.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
