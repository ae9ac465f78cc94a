"""Checkpoints of a training folder: the state that a later call continues, and the best weights, which are what is exported."""

import os
from pathlib import Path
from typing import Any

import torch

from TumorSynthLib.errors import DataError

STATE = "checkpoint.pt"
"""Everything a resumed run needs."""
BEST = "best.pt"
"""Config and averaged weights at the best validation."""


def save_checkpoint(folder: Path, state: dict[str, Any], name: str = STATE) -> None:
    """Write a checkpoint whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"partial-{os.getpid()}.pt"
    torch.save(state, partial)
    partial.replace(folder / name)


def load_checkpoint(folder: Path, name: str = STATE) -> dict[str, Any] | None:
    """A checkpoint, or None where there is none. Only tensors and plain values are read, never pickled objects.

    Raises
    ------
    DataError : when the file cannot be read.
    """
    path = folder / name
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError("checkpoint.broken", f"{path} cannot be read: {error}", "Delete it to start again.") from error
    return state


def load_best(folder: Path) -> dict[str, Any]:
    """The best weights of a training, or its last ones where it was made before there were best ones.

    Raises
    ------
    DataError : when the folder holds no training.
    """
    state = load_checkpoint(folder, BEST) or load_checkpoint(folder)
    if state is None:
        raise DataError("checkpoint.missing", f"There is no checkpoint in {folder}.", "Train first, or give another folder.")
    return state


def sweep(folder: Path) -> None:
    """Remove what killed runs left half-written."""
    for path in folder.glob("partial-*.pt"):
        path.unlink(missing_ok=True)
