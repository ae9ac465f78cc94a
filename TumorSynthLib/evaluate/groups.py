"""Cases by modality, and all of them together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from TumorSynthLib.evaluate.agreement import Estimate, mean_estimate
from TumorSynthLib.evaluate.cases import MODALITIES

Cases = Sequence[Mapping[str, Any]]
"""Cases of a report."""


def by_modality(cases: Cases) -> dict[str, list[Mapping[str, Any]]]:
    """Cases of each modality that there is, in a fixed order."""
    groups = {name: [case for case in cases if case["modality"] == name] for name in MODALITIES}
    return {name: members for name, members in groups.items() if members}


def mean_of(cases: Cases, value: Callable[[Mapping[str, Any]], float | None]) -> Estimate:
    """Mean of a value over the cases that have it, with its interval over resampled patients, and how many these are."""
    known = [(found, case["patient"]) for case in cases if (found := value(case)) is not None]
    estimate = mean_estimate([found for found, _ in known], [patient for _, patient in known]) if known else _NOTHING
    return {**estimate, "cases": len(known)}


_NOTHING: Estimate = {"mean": None, "ci": None}
