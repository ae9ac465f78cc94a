"""Scoring the answers of a reader study."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from TumorSynthLib.errors import DataError
from TumorSynthLib.evaluate.agreement import interval, resampled_rows
from TumorSynthLib.evaluate.reader_study import REAL, SYNTHETIC

RESAMPLES = 2000
"""Resamples of the patients."""
HIGHEST = 5
"""Highest confidence."""


def score_answers(answers: Path, key: Path) -> dict[str, Any]:
    """Accuracy, sensitivity, specificity and AUC of one reader, with intervals and a test against guessing.

    A synthetic case is a positive. Ratings for the AUC are the confidence, positive for an answer ``synthetic`` and negative
    for ``real``. Intervals: 95 %, resampled patients. ``p`` is that of the exact two-sided binomial test of the accuracy
    against one half.

    Raises
    ------
    DataError : when a file cannot be read, the answers belong to another study, or none fits the key.
    """
    told, secret = (_read(path) for path in (answers, key))
    if told.get("study") != secret.get("study"):
        message = f"The answers belong to the study {told.get('study')}, the key to {secret.get('study')}."
        raise DataError("study.other", message, "Give the key that was written beside the page.")
    rows = _rows(told, secret)
    truth = np.array([row["truth"] == SYNTHETIC for row in rows])
    rating = np.array([row["rating"] for row in rows], dtype=np.float64)
    drawn = resampled_rows([row["patient"] for row in rows], np.random.default_rng(0), RESAMPLES)
    draws = [_numbers(truth[line[line >= 0]], rating[line[line >= 0]]) for line in drawn]
    found = _numbers(truth, rating)
    right = int(((rating > 0) == truth).sum())
    return {
        "reader": str(told.get("reader", "")),
        "study": secret["study"],
        "answered": len(rows),
        "cases": len(secret["cases"]),
        "right": right,
        "p": float(stats.binomtest(right, len(rows)).pvalue),
        "seconds_median": float(np.median([row["seconds"] for row in rows])),
        **{
            name: {"value": _known(value), "ci": interval(np.array([draw[name] for draw in draws]))}
            for name, value in found.items()
        },
        "answers": rows,
    }


def auc(truth: np.ndarray, rating: np.ndarray) -> float:
    """Probability that a positive is rated above a negative, ties counting one half; NaN without both kinds.

    >>> auc(np.array([True, False]), np.array([2.0, 2.0]))
    0.5
    """
    above = rating[truth][:, None] - rating[~truth][None]
    return float((above > 0).mean() + 0.5 * (above == 0).mean()) if above.size else float("nan")


def _numbers(truth: np.ndarray, rating: np.ndarray) -> dict[str, float]:
    said = rating > 0

    def share(of: np.ndarray, value: bool) -> float:
        return float((said[of] == value).mean()) if of.any() else float("nan")

    return {
        "accuracy": float((said == truth).mean()),
        "sensitivity": share(truth, True),
        "specificity": share(~truth, False),
        "auc": auc(truth, rating),
    }


def _rows(told: Mapping[str, Any], secret: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Answered cases with their truth."""
    rows = []
    for answer in told.get("answers", []):
        if answer.get("answer") not in (REAL, SYNTHETIC):
            continue
        known = secret["cases"].get(answer.get("case"))
        if known is None:
            raise DataError("study.case", f"The key has no {answer.get('case')!r}.", "Give the key of this study.")
        confidence = int(answer.get("confidence") or 1)
        if not 1 <= confidence <= HIGHEST:
            raise DataError("study.confidence", f"{answer['case']} has the confidence {confidence}; expected 1 to {HIGHEST}.")
        rating = confidence if answer["answer"] == SYNTHETIC else -confidence
        rows.append({**known, "case": answer["case"], "rating": rating, "seconds": float(answer.get("seconds") or 0.0)})
    if not rows:
        raise DataError("study.empty", "There are no answers in the file.", "Export them from the page.")
    return rows


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError("study.file", f"{path} cannot be read: {error}", "Give the JSON that the page exports.") from error
    if not isinstance(found, dict):
        raise DataError("study.file", f"{path} holds a {type(found).__name__}, expected an object.")
    return found


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def told_lines(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The scores in words, a line for each number."""
    lines = []
    for found in results:
        lines.append(f"{found['reader'] or 'reader'}: {found['right']} of {found['answered']} right (p = {found['p']:.3f})")
        for name in ("accuracy", "sensitivity", "specificity", "auc"):
            value, ends = found[name]["value"], found[name]["ci"]
            shown = "-" if value is None else f"{value:.3f}"
            lines.append(f"  {name:<12} {shown}" + ("" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"))
    return lines
