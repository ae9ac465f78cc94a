"""What killed batches leave beside the results: folders and tables half-written (standard library only)."""

import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from TumorSynthLib.atomic import sweep

_FOLDER = re.compile(r"\.partial-(\d+)-[0-9a-f]+")
_TABLE = re.compile(r"\.(manifest\.csv|run\.json)-\d+")


def sweep_results(parents: Iterable[Path]) -> None:
    """Remove half-written result folders of processes of this computer that have ended.

    In a container a killed process may stay in the list of processes until the container ends, because nobody asks for its
    exit code. Such a process counts as ended.

    Parameters
    ----------
    parents : the folders that hold result folders; they may be missing.
    """
    for parent in set(parents):
        if parent.is_dir():
            sweep(parent)
            for path in parent.glob(".partial-*"):
                match = _FOLDER.fullmatch(path.name)
                if match and not path.is_symlink() and _unreaped(match[1]):
                    shutil.rmtree(path, ignore_errors=True)


def sweep_tables(folder: Path) -> None:
    """Remove half-written tables; only for who alone may write them."""
    for path in folder.iterdir():
        if _TABLE.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _unreaped(pid: str) -> bool:
    """Whether a process has ended, but is still in the list (Linux)."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
    return False
