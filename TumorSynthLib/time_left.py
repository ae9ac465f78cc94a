"""How long a run will still take, from the time its stages have taken so far and took in earlier runs."""

from collections.abc import Mapping

FIRST_GUESS = {"reading": 0.3, "shape": 0.5, "sampling": 0.1, "compositing": 0.2, "measuring": 0.3, "writing": 0.5}
"""Seconds of each stage before anything has run; of sampling by step and candidate, of compositing by candidate."""


class Pace:
    """Seconds that each stage takes, learned from the runs of this process.

    Parameters
    ----------
    shares : where each stage ends on a single progress bar from 0 to 1, in their order.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.ends = dict(shares)
        self.starts = dict(zip(shares, [0.0, *list(shares.values())[:-1]], strict=True))
        self.seconds = {stage: FIRST_GUESS.get(stage, 0.0) for stage in shares}


class TimeLeft:
    """Follows one run.

    Parameters
    ----------
    pace : what is known from earlier runs; it learns from this one when that is complete.
    units : how often a stage's work is done in each part, where that is not once: ``sampling`` and ``compositing``.
    now : when the run started, seconds of a clock.
    parts : how often the run goes through all its stages, once for each volume of ``grow``.

    Examples
    --------
    >>> left = TimeLeft(Pace({"reading": 0.2, "sampling": 1.0}), {"sampling": 100}, now=0.0)
    >>> round(left.update("sampling", 0.6, now=5.3), 1)
    5.0
    """

    def __init__(self, pace: Pace, units: Mapping[str, int], now: float, parts: int = 1) -> None:
        self._pace = pace
        self._units = {stage: units.get(stage, 1) for stage in pace.seconds}
        self._spent = dict.fromkeys(pace.seconds, 0.0)
        self._done = dict.fromkeys(pace.seconds, 0.0)
        self._now = now
        self._parts = parts

    def update(self, stage: str, fraction: float, now: float) -> float:
        """Seconds left, at the time ``now``, when ``fraction`` of the whole run is done."""
        start, end = self._pace.starts[stage], self._pace.ends[stage]
        part = max(0, int(fraction * self._parts - start + 1e-9))
        share = (fraction * self._parts - part - start) / (end - start)
        self._advance(stage, part, min(1.0, max(0.0, share)), now)
        if fraction >= 1.0:
            self._learn()
        return sum(self._once(name) * (self._parts - done) for name, done in self._done.items())

    def _advance(self, stage: str, part: int, share: float, now: float) -> None:
        """Divide the time since the last call among the stages that went on in it."""
        stages = list(self._done)
        before = stages[: stages.index(stage)]
        reached = {name: part + (1.0 if name in before else 0.0) for name in stages} | {stage: part + share}
        reached = {name: max(done, self._done[name]) for name, done in reached.items()}
        weights = {name: (done - self._done[name]) * self._expected(name) for name, done in reached.items()}
        total = sum(weights.values())
        for name, weight in weights.items():
            self._spent[name] += (now - self._now) * weight / total if total > 0.0 else 0.0
        self._done, self._now = reached, now

    def _expected(self, stage: str) -> float:
        return self._pace.seconds[stage] * self._units[stage]

    def _once(self, stage: str) -> float:
        """Seconds of a stage in one part: as it goes, or as it went in earlier runs."""
        done = self._done[stage]
        return self._spent[stage] / done if done > 0.0 else self._expected(stage)

    def _learn(self) -> None:
        for stage, units in self._units.items():
            if units > 0 and self._spent[stage] > 0.0:
                self._pace.seconds[stage] = self._spent[stage] / (units * self._parts)
