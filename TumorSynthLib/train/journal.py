"""What a training tells: lines in ``log.jsonl``, lines for whoever watches, and TensorBoard where that is installed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.train.common import Log

Say = Callable[[str], None]
"""Takes one line for whoever watches."""


def silent(line: str) -> None:
    """Nobody watches."""


class Journal:
    """Writes the same numbers to the log, to TensorBoard (``tensorboard/`` beside it) and to whoever watches.

    Parameters
    ----------
    folder : of the training.
    step : where the training goes on; what was logged for later steps is dropped.
    say : takes one line.
    """

    def __init__(self, folder: Path, step: int, say: Say = silent) -> None:
        self.log, self.say = Log(folder), say
        self.log.forget_after(step)
        self.board = _board(folder / "tensorboard", step)
        if self.board is None:
            self.note(step, "TensorBoard is not installed (extra `train`): there are no curves and panels, the log goes on.")

    def numbers(self, step: int, values: Mapping[str, float], aloud: bool = False) -> None:
        """Numbers of a step."""
        self.log.write(step=step, **values)
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)
        if aloud:
            self.say(f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def panels(self, step: int, draw: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Pictures (rows, columns) in [0, 1] by name; drawn only where TensorBoard is there to show them."""
        if self.board is None:
            return
        for name, picture in draw().items():
            self.board.add_image(name, picture, step, dataformats="HW")

    def note(self, step: int, text: str) -> None:
        """A sentence."""
        self.log.write(step=step, note=text)
        self.say(text)

    def close(self) -> None:
        """Write what is still in memory."""
        if self.board is not None:
            self.board.close()


def _board(folder: Path, step: int) -> Any:
    """TensorBoard's writer, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def picture(rows: list[list[np.ndarray]], low: float = -1.5, high: float = 1.5) -> np.ndarray:
    """Middle slices of volumes (i, j, k), side by side and in rows, in [0, 1].

    Parameters
    ----------
    rows : volumes of equal size.
    low, high : values that become black and white.
    """
    lines = [np.concatenate([volume[:, :, volume.shape[2] // 2].T[::-1] for volume in row], axis=1) for row in rows]
    shades = np.clip((np.concatenate(lines) - low) / (high - low), 0.0, 1.0)
    return np.nan_to_num(shades).astype(np.float32)
