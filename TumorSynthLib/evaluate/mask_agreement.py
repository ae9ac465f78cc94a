"""Whether an image shows its tumor where the mask says, by a segmenter that shares nothing with the networks under test."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from TumorSynthLib.evaluate.cases import Case
from TumorSynthLib.evaluate.groups import Cases, mean_of
from TumorSynthLib.evaluate.synthesis_arms import Remakes
from TumorSynthLib.evaluate.texture_arms import Tumor
from TumorSynthLib.segmentation.inference import Segmenter
from TumorSynthLib.segmentation.overlap import dice, surface_dice
from TumorSynthLib.volume import Volume

TOLERANCE_MM = 2.0
"""Tolerance of the normalized surface Dice."""
REAL = "real"
"""The ceiling: the real image and its mask."""


def agreements(tumor: Tumor, remakes: Remakes, segmenter: Segmenter) -> dict[str, dict[str, float]]:
    """Dice and surface Dice between each arm's mask and what the segmenter finds in its image; of the real image as well.

    The other tumors of a scan, which no arm has touched, are left out of both masks.
    """
    case, box = tumor.case, remakes.box
    found = {REAL: _agreement(case, case.scan, tumor.mask, segmenter)}
    for name, made in remakes.arms.items():
        mask = np.zeros(tumor.mask.shape, bool)
        mask[box.slices] = made.mask
        base = case.scan if name == "codec" else tumor.blank
        found[name] = _agreement(case, base.pasted(made.values, box), mask, segmenter)
    return found


def _agreement(case: Case, scan: Volume, mask: np.ndarray, segmenter: Segmenter) -> dict[str, float]:
    others = (case.labels > 0) & (case.labels != 1)
    seen = segmenter.segment(scan, case.domain, case.intensity) & ~(others & ~mask)
    return {"dice": dice(mask, seen), "nsd": surface_dice(mask, seen, scan.geometry.spacing, TOLERANCE_MM)}


def mean_agreements(cases: Cases, arms: Sequence[str]) -> dict[str, Any] | None:
    """Mean Dice (``dice``) and surface Dice (``nsd``) of the real tumors and of arms, with intervals; None without a segmenter.

    Parameters
    ----------
    cases : with ``patient``, and ``agreement`` as ``agreements`` gives it or None.
    arms : names.
    """
    if not any(case["agreement"] for case in cases):
        return None

    def value(case: Mapping[str, Any], arm: str, kind: str) -> float | None:
        return case["agreement"].get(arm, {}).get(kind)

    kinds = ("dice", "nsd")
    return {arm: {kind: mean_of(cases, partial(value, arm=arm, kind=kind)) for kind in kinds} for arm in (REAL, *arms)}


def told(segmenter: Segmenter) -> Mapping[str, Any]:
    """What the report says about the segmenter."""
    return {key: value for key, value in segmenter.about.items() if key != "patients"} | {
        "patients": len(segmenter.about.get("patients", ())),
        "spacing_mm": segmenter.config.spacing_mm,
    }
