"""What the networks are asked for so that what is wanted comes out: each candidate learns from the one before it.

A network that learned from few tumors says what it was asked for with an error that is nearly the same for every seed: too high
a mean, too fine a grain. So a second sample of the same request errs alike, and one that is asked for less where the first gave
too much errs less.
"""

from collections.abc import Mapping

from TumorSynthLib.scaling import FeatureScale

GAIN = 0.7
"""Share of what was missed by which the next candidate is asked for more: between 0.5 and 1, which come to the same."""
FARTHEST = 3.5
"""Normal score beyond which nothing is asked for."""


class Aim:
    """Features to ask for.

    Parameters
    ----------
    steering : features that the networks are asked for at first, also those that nobody wants in particular; None for healthy
        tissue.
    wanted : those among them that are to come out.
    scales : of the features; in their normal scores what was missed is added. A feature without one is left alone.
    """

    def __init__(
        self, steering: Mapping[str, float] | None, wanted: Mapping[str, float] | None, scales: Mapping[str, FeatureScale]
    ) -> None:
        self.features = None if steering is None else dict(steering)
        """What to ask for now."""
        self._wanted = {name: value for name, value in (wanted or {}).items() if name in scales}
        self._scales = scales
        self._scores = {name: scales[name].score(value) for name, value in self._wanted.items()}

    def correct(self, measured: Mapping[str, float]) -> None:
        """Ask for more of what the last sample had too little of.

        Parameters
        ----------
        measured : features of the finished sample; those that are not there are asked for as before.
        """
        for name, value in self._wanted.items():
            if self.features is None or name not in measured:
                continue
            scale = self._scales[name]
            missed = scale.score(value) - scale.score(measured[name])
            self._scores[name] = min(FARTHEST, max(-FARTHEST, self._scores[name] + GAIN * missed))
            self.features[name] = scale.extended(self._scores[name])
