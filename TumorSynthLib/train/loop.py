"""The loop that every training runs: step, log, validate, keep the best, stop early, and go on where an earlier call stopped.

With ``steps`` set the learning rate follows them, and a run that was interrupted and resumed is bit for bit (on the CPU) the
one that was not. With time alone, the learning rate follows the wall time of the call.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from TumorSynthLib.configs import TrainConfig
from TumorSynthLib.train.checkpoints import BEST, load_checkpoint, save_checkpoint, sweep
from TumorSynthLib.train.journal import Journal, Say, silent
from TumorSynthLib.train.team import Team


class Trainer(Protocol):
    """What the loop trains."""

    train: TrainConfig
    warm: bool
    """Whether it starts from finished weights, which are then validated before the first step."""

    def step(self, number: int, share: float) -> dict[str, float]:
        """One step; ``share`` of the training is done, 0 to 1."""
        ...

    def validate(self) -> dict[str, float]:
        """Numbers on held-out patients; empty where there are none."""
        ...

    def score(self, values: Mapping[str, float]) -> float:
        """One number of them, larger is better."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state``."""
        ...

    def exported(self) -> dict[str, Any]:
        """Config and averaged weights."""
        ...

    def panels(self) -> dict[str, np.ndarray]:
        """Pictures (rows, columns) in [0, 1] by name."""
        ...


@dataclass
class Progress:
    """How far a training is."""

    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Wall time spent, over all calls."""
    score: float = -math.inf
    """Best validation so far."""
    best_step: int = 0
    """Where that was."""
    finished: bool = False
    """Whether steps or patience are used up."""


class Clock:
    """Wall time of a training.

    Parameters
    ----------
    minutes : until it is over.
    before : seconds of it that are over already.
    """

    def __init__(self, minutes: float, before: float = 0.0) -> None:
        self.start = time.monotonic() - before
        self.seconds = 60.0 * minutes

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def share(self) -> float:
        """Elapsed share, 0 to 1; 0 where time is unlimited."""
        return min(1.0, self.elapsed / max(self.seconds, 1e-9))


class Loop:
    """One training in one folder.

    Parameters
    ----------
    trainer : what is trained.
    out : folder of checkpoints and log; a checkpoint there is continued.
    team : the processes that train together.
    say : takes lines for whoever watches.
    whole : whether the minutes are those of all calls together rather than of this one.
    """

    def __init__(self, trainer: Trainer, out: Path, team: Team, say: Say = silent, whole: bool = False) -> None:
        self.trainer, self.out, self.team, self.config = trainer, out, team, trainer.train
        saved = load_checkpoint(out)
        self.at = Progress()
        if saved is not None:
            trainer.load(saved)
            # Earlier versions did not say which step was the best; patience starts anew then.
            known = {"best_step": saved["step"], **saved}
            self.at = Progress(**{name: known.get(name, value) for name, value in vars(self.at).items()})
            self.at.finished = False
        self.before, self.started = self.at.seconds, time.monotonic()
        self.clock = Clock(self.config.minutes, self.before if whole else 0.0)
        self.journal = Journal(out, self.at.step, say) if team.leads else None
        self.validated = -1
        if team.leads:
            sweep(out)

    def run(self) -> Progress:
        """Train until steps, time or patience are used up."""
        if self.trainer.warm and self.at.step == 0:
            self._validate()
        for number, share in self._steps():
            began = time.monotonic()
            values = self.trainer.step(number, share)
            self.at.step = number + 1
            self._record(values, time.monotonic() - began)
        self._validate()
        if self.journal is not None:
            self.journal.close()
        # The others wait until everything is written: what comes next may read it.
        self.team.told(0.0)
        return self.at

    def _steps(self) -> Iterator[tuple[int, float]]:
        """Numbers of the steps to do, each with the share of the training that is done."""
        while True:
            step = self.at.step
            share = step / self.config.steps if self.config.steps else self.clock.share
            used_up = bool(self.config.steps and step >= self.config.steps) or self._stale()
            # One process's clock decides for all: each must do the same steps with the same learning rate.
            share, used_up_, late = self.team.told(share, float(used_up), float(self.clock.share >= 1.0))
            self.at.finished = bool(used_up_)
            if used_up_ or late:
                return
            yield step, share

    def _stale(self) -> bool:
        return bool(self.config.patience) and self.at.step - self.at.best_step >= self.config.patience

    def _record(self, values: Mapping[str, float], seconds: float) -> None:
        step = self.at.step
        if step == 1 or step % self.config.log_every == 0:
            values = self.team.mean(values)
            if self.journal is not None:
                self.journal.numbers(step, {**values, "seconds": seconds})
        if step % self.config.validate_every == 0:
            self._validate()

    def _validate(self) -> None:
        """Validate and write checkpoints, once a step."""
        if self.journal is None or (self.validated == self.at.step and not self.at.finished):
            return
        if self.validated != self.at.step:
            self.validated = self.at.step
            values = self.trainer.validate()
            self.journal.numbers(self.at.step, values, aloud=True)
            self.journal.panels(self.at.step, self.trainer.panels)
            self._keep_best(self.trainer.score(values) if values else None)
        self.at.seconds = self._seconds()
        save_checkpoint(self.out, {**self.trainer.state(), **vars(self.at)})

    def _keep_best(self, score: float | None) -> None:
        """Keep these weights where they are better, or where nobody is held out to tell."""
        # Asked this way round, so that the score of weights that have diverged, which is not a number, is not better.
        if score is not None and not score > self.at.score:
            return
        self.at.best_step = self.at.step
        self.at.score = self.at.score if score is None else score
        about = {"step": self.at.step, "seconds": self._seconds(), "score": self.at.score}
        save_checkpoint(self.out, {**self.trainer.exported(), **about}, BEST)

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.started
