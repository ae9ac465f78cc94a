"""What killed batches leave beside the results: folders and tables half-written (standard library only)."""

import re
from collections.abc import Iterable
from pathlib import Path

from TumorSynthLib.atomic import sweep

_TABLE = re.compile(r"\.(manifest\.csv|run\.json)-\d+")


def sweep_results(parents: Iterable[Path]) -> None:
    """Remove half-written result folders of processes of this computer that have ended.

    Parameters
    ----------
    parents : the folders that hold result folders; they may be missing.
    """
    for parent in set(parents):
        if parent.is_dir():
            sweep(parent)


def sweep_tables(folder: Path) -> None:
    """Remove half-written tables; only for who alone may write them."""
    for path in folder.iterdir():
        if _TABLE.fullmatch(path.name):
            path.unlink(missing_ok=True)
