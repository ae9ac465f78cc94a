"""Numbers of the downstream table: Dice by arm and size, and paired differences."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from TumorSynthLib.evaluate.downstream_arms import ARMS
from TumorSynthLib.evaluate.groups import Cases, mean_of

SIZES_ML = (100.0, 400.0)
"""Volumes that part small, middle and large tumors."""
DETECTED = 0.1
"""Dice from which on a tumor counts as found."""
BASELINES = ("real", "augmented", "copy_paste", "handmade")
"""What each later arm is compared with."""


def score(case: Mapping[str, Any], arm: str, kind: str = "dice") -> float:
    """Mean of a score over the seeds."""
    return float(np.mean([one[kind] for one in case["scores"][arm]]))


def found(case: Mapping[str, Any], arm: str) -> float:
    """Share of the seeds in which the tumor was found."""
    return float(np.mean([one["dice"] >= DETECTED for one in case["scores"][arm]]))


def size_of(case: Mapping[str, Any]) -> str:
    """Which size a tumor has.

    >>> size_of({"volume_ml": 250.0})
    'middle'
    """
    return ("small", "middle", "large")[int(np.searchsorted(SIZES_ML, case["volume_ml"], side="right"))]


def summarize(cases: Cases, done: int, wanted: int) -> dict[str, Any]:
    """Summary of all patients and of those that the bundle never saw.

    Parameters
    ----------
    cases : as the report has them.
    done, wanted : folds times seeds that are finished in all arms, and that were asked for.
    """
    unseen = [case for case in cases if not case["seen_by_bundle"]]
    return {
        "finished": {"done": done, "wanted": wanted},
        "all": _summary(cases),
        "unseen_by_bundle": _summary(unseen) if unseen else None,
    }


def _summary(cases: Cases) -> dict[str, Any]:
    sizes = [name for name in ("small", "middle", "large") if any(size_of(case) == name for case in cases)]
    arms = {}
    by_size = {name: [case for case in cases if size_of(case) == name] for name in sizes}
    for arm in ARMS:
        arms[arm] = {
            "dice": mean_of(cases, partial(score, arm=arm)),
            "nsd": mean_of(cases, partial(score, arm=arm, kind="nsd")),
            "detected": mean_of(cases, partial(found, arm=arm)),
            "dice_by_size": {name: mean_of(members, partial(score, arm=arm)) for name, members in by_size.items()},
        }
    differences = {arm: {other: difference(cases, arm, other) for other in BASELINES[: ARMS.index(arm)]} for arm in ARMS[1:]}
    return {"patients": len({case["patient"] for case in cases}), "arms": arms, "differences": differences}


def difference(cases: Cases, arm: str, other: str) -> dict[str, Any]:
    """Mean gain in Dice of an arm over another one, its interval, and the p-value of Wilcoxon's signed-rank test."""
    gains = np.array([score(case, arm) - score(case, other) for case in cases])
    p = 1.0
    if np.any(gains != 0.0):
        p = float(stats.wilcoxon(gains).pvalue)
    return {**mean_of(cases, lambda case: score(case, arm) - score(case, other)), "p": p}
