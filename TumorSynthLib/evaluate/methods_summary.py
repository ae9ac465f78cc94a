"""The methods table in numbers: realism, control, agreement of mask and image, and diversity of every arm."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from TumorSynthLib.configs import SHAPE_TOKENS
from TumorSynthLib.evaluate.agreement import RESAMPLES, Comparison, Estimate, estimate, standardized
from TumorSynthLib.evaluate.feature_sets import COLUMNS, FEATURE_SETS
from TumorSynthLib.evaluate.groups import Cases, by_modality, mean_of
from TumorSynthLib.evaluate.mask_agreement import REAL, mean_agreements
from TumorSynthLib.evaluate.methods_arms import ARMS, CODEC, OTHERS, SMOOTH, STEPS, label
from TumorSynthLib.evaluate.realism import realism
from TumorSynthLib.evaluate.texture import other_patients, random_patient
from TumorSynthLib.evaluate.texture_arms import Features, table
from TumorSynthLib.scaling import FeatureScale

Scales = Mapping[str, Mapping[str, FeatureScale]]
"""Scales of features by domain."""
Tables = dict[str, np.ndarray]
"""Size-free features of all cases by label, (cases, features); ``shift_N`` are those of the Nth next real tumor."""
_FEATURES = FEATURE_SETS["size_free"]
_ASKED = (*(name for name, arm in ARMS.items() if arm.asks), SMOOTH, CODEC)
"""Arms whose texture is meant to be the real tumor's."""


def summarize(cases: Cases, arms: Sequence[str], steps: Sequence[int] = (STEPS,), resamples: int = RESAMPLES) -> dict[str, Any]:
    """Summary of each modality, and of all together with features standardized within each.

    Parameters
    ----------
    cases : of one bundle, with ``diversity`` as ``diversities`` gives it.
    arms : arms of networks that were to make something; told even where they made nothing.
    steps : numbers of steps that were taken.
    resamples : of the patients.
    """
    groups = by_modality(cases)
    labels = dict.fromkeys(arms) | {name: None for case in cases for name in case["features"]}
    tables = {name: _tables(members, list(labels)) for name, members in groups.items()}
    summary = {name: _group(members, tables[name], steps, resamples) for name, members in groups.items()}
    if len(groups) > 1:
        everything = [case for members in groups.values() for case in members]
        summary["all"] = _group(everything, _pooled(list(tables.values())), steps, resamples)
    return summary


def diversities(cases: Cases, scales: Scales) -> list[dict[str, Any]]:
    """For each case how far the two samples of every arm are apart, over what two real patients are apart.

    Texture: root mean square difference of size-free features in normal scores; the unit is its mean over pairs of real
    tumors of different patients and one domain, None where there are none. Masks: 1 - Dice.

    Parameters
    ----------
    cases : of one bundle.
    scales : of its features.
    """
    points = [{name: _scores(values, scales[case["domain"]]) for name, values in case["features"].items()} for case in cases]
    found = []
    for case, own in zip(cases, points, strict=True):
        members = [(other, place) for other, place in zip(cases, points, strict=True) if other["domain"] == case["domain"]]
        unit = real_distance([place[REAL] for _, place in members], [other["patient"] for other, _ in members])
        texture = {
            name: distance(own[name], own[f"{name}_second"]) / unit
            for name in own
            if f"{name}_second" in own and unit is not None
        }
        found.append({"unit": unit, "texture": texture, "mask": dict(case["apart"])})
    return found


def real_distance(points: Sequence[np.ndarray], patients: Sequence[str]) -> float | None:
    """Mean distance between tumors of different patients; None for a single one."""
    count = len(points)
    pairs = [(i, j) for i in range(count) for j in range(i) if patients[i] != patients[j]]
    return float(np.mean([distance(points[i], points[j]) for i, j in pairs])) if pairs else None


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square difference over what is known of both; NaN where nothing is."""
    apart = first - second
    known = apart[np.isfinite(apart)]
    return float(np.sqrt(np.mean(known**2))) if known.size else np.nan


def _scores(features: Features, scales: Mapping[str, FeatureScale]) -> np.ndarray:
    known = [scales[name].score(features[name]) if name in scales and name in features else np.nan for name in _FEATURES]
    return np.array(known)


def _tables(cases: Cases, labels: Sequence[str]) -> Tables:
    found = {name: table([case["features"].get(name, {}) for case in cases])[:, COLUMNS["size_free"]] for name in labels}
    return found | {f"shift_{n}": np.roll(found[REAL], -n, axis=0) for n in range(1, len(cases))}


def _pooled(tables: Sequence[Tables]) -> Tables:
    """Tables of several modalities as one, each in standard deviations of its own real cases."""
    names = [name for name in tables[0] if all(name in one for one in tables)]
    return {name: np.concatenate([standardized(one[name], one[REAL]) for one in tables]) for name in names}


def _group(cases: Cases, tables: Tables, steps: Sequence[int], resamples: int) -> dict[str, Any]:
    patients = [case["patient"] for case in cases]
    arms = [name for name in (*ARMS, *OTHERS) if name in tables]
    others = other_patients(tables, patients, resamples)
    columns = range(len(_FEATURES))
    found = {name: _arm(name, cases, tables, resamples) for name in arms}

    def at(name: str, count: int) -> dict[str, Any]:
        if count == STEPS:
            return {key: found[name][key] for key in ("realism", "texture", "texture_raw")}
        return _quality(label(name, count), name, cases, tables, resamples)

    return {
        "cases": len(cases),
        "patients": len(set(patients)),
        "random_patient": estimate(*random_patient(others, columns)["definition_c"]),
        "arms": found,
        "agreement": mean_agreements(cases, (*ARMS, *OTHERS)),
        "steps": {name: {str(n): at(name, n) for n in steps} for name in arms if name in ARMS},
    }


def _arm(name: str, cases: Cases, tables: Tables, resamples: int) -> dict[str, Any]:
    return {
        "made": float(np.mean([name in case["features"] for case in cases])),
        **_quality(name, name, cases, tables, resamples),
        "shape": _shape(name, cases, resamples),
        "diversity": {kind: mean_of(cases, partial(_apart, arm=name, kind=kind)) for kind in ("texture", "mask")},
    }


def _quality(found: str, arm: str, cases: Cases, tables: Tables, resamples: int) -> dict[str, Any]:
    """Realism, and texture by definition C with and without calibration where it was asked for."""
    patients = [case["patient"] for case in cases]

    def control(name: str) -> Estimate | None:
        if arm not in _ASKED or name not in tables:
            return None
        return Comparison(tables[REAL], tables[name], patients, 0, resamples).definition_c(range(len(_FEATURES)))

    nothing = np.full_like(tables[REAL], np.nan)
    return {
        "realism": realism(tables[REAL], tables.get(found, nothing), patients),
        "texture": control(found),
        "texture_raw": control(f"{found}_raw"),
    }


def _shape(arm: str, cases: Cases, resamples: int) -> Estimate | None:
    """Definition C over the shape features that have a token; None for an arm that makes no masks."""
    if not any(arm in case["shape"] for case in cases):
        return None
    real, made = (
        np.array([[case["shape"].get(name, {}).get(feature, np.nan) for feature in SHAPE_TOKENS] for case in cases])
        for name in (REAL, arm)
    )
    return Comparison(real, made, [case["patient"] for case in cases], 0, resamples).definition_c(range(len(SHAPE_TOKENS)))


def _apart(case: Mapping[str, Any], arm: str, kind: str) -> float | None:
    found: float | None = case["diversity"][kind].get(arm)
    return found
