"""The texture table: do features that are asked for come out, and by how much more than without asking or without network?"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.device import choose_device
from TumorSynthLib.errors import DataError
from TumorSynthLib.evaluate.agreement import RESAMPLES, Comparison, estimate, standardized
from TumorSynthLib.evaluate.cases import MODALITIES, Progress, Row, followed, limited, workers
from TumorSynthLib.evaluate.feature_sets import COLUMNS, SIZE_FEATURES
from TumorSynthLib.evaluate.texture_arms import CANDIDATES, Features, Tumor, draw, finish_arms, read_tumor, table
from TumorSynthLib.index import read_index
from TumorSynthLib.texture import TextureModel

STEPS, GUIDANCE = 10, 1.5
ARMS = (
    "bridge_1",
    "bridge_1_calibrated",
    "bridge_4",
    "bridge_4_calibrated",
    "no_features",
    "no_features_calibrated",
    "smooth_fill",
    "smooth_fill_noise",
    "flat_noise",
    "smooth_fill_calibrated",
    "codec",
    "codec_noise",
)
NULLS = {
    "bridge_1": ("random_patient", "no_features", "smooth_fill", "smooth_fill_noise", "flat_noise"),
    "bridge_1_calibrated": ("random_patient", "no_features_calibrated", "smooth_fill_calibrated"),
    "bridge_4": ("random_patient", "no_features", "smooth_fill", "smooth_fill_noise", "flat_noise"),
    "bridge_4_calibrated": ("random_patient", "no_features_calibrated", "smooth_fill_calibrated"),
}
"""What each arm has to beat: the same finishing without the features or without the network."""
SWAPS = ("swap", "swap_calibrated", "swap_smooth_fill_calibrated")
PRIMARY, PRIMARY_SET = "bridge_1_calibrated", "size_free"
"""What the program does unless told otherwise, over features that do not follow the number of voxels."""

PROTOCOL = f"""Soft-tissue tumors of the split, one per patient and modality. The real tumor is taken out of the scan (harmonic
fill of its mask and of 1.5 voxels around it, behind which no arm sees), and a tumor with the real mask is asked for by the
features of the bundle's tokens as PyRadiomics measures them on the real tumor, on the scan's grid with the domain's pinned
settings; all {len(COLUMNS["all"])} are measured on the result in the same way. {STEPS} steps, guidance {GUIDANCE}; noise
restored at the level, of up to six, that measures nearest to what was asked.
Arms: bridge_1, one sample; bridge_{CANDIDATES}, of {CANDIDATES} samples, each asked for more of what the one before it had
too little of, the one that measures nearest to what was asked; "_calibrated": asked first-order features are set by a
monotone curve afterwards, as the program does unless told otherwise.
Nulls: random_patient, the real features of another patient of the modality, all cyclic shifts; no_features, a tumor of which
nothing is asked; smooth_fill, no network: the harmonic fill, raw, with the same choice of noise, and with noise and
calibration; flat_noise, no network: the asked mean all over the mask, with the same choice of noise. Ceilings: codec, the
real scan encoded and decoded; codec_noise, with the same choice of noise. Swap: mask of patient i, features asked of patient j;
agreement with j less agreement with i, beside the same without network.
Definition C: correlation across cases per feature, mean over features. B: correlation across features per case, standardized
by the real cases, mean over cases. "all" pools the modalities after standardizing within each. Sets: size_free leaves out
{len(SIZE_FEATURES)} features that follow the number of voxels; beyond_histogram also those that
the histogram decides; tokens are those asked for. definition_c and definition_b of a modality are those of {PRIMARY}
over {PRIMARY_SET}. Intervals: 95 %, {RESAMPLES} resamples of the patients."""


def evaluate_texture(
    data: Path, split: str, bundle: Bundle, limit: int | None, progress: Progress | None, processes: int | None = None
) -> dict[str, Any]:
    """Cases and summary of the texture table.

    Parameters
    ----------
    data : folder with ``index.csv``.
    split : name of the split.
    bundle : what is evaluated.
    limit : at most so many cases per modality.
    progress : called with a stage and the share of it that is done.
    processes : worker processes for the measuring; the number of cores, at most four, unless told.

    Raises
    ------
    DataError : when the split has no soft-tissue tumors.
    """
    rows = tumor_rows(data, split, limit)
    with workers(processes or process_count(len(rows))) as parallel:
        tumors = followed(parallel(partial(read_tumor, data=data, bundle=bundle), rows), len(rows), "measuring", progress)
        model = TextureModel(bundle, choose_device("auto"))
        pairs = ((tumor, partner(tumors, tumor)) for tumor in tumors)
        jobs = followed((draw(*pair, model, STEPS, GUIDANCE) for pair in pairs), len(rows), "sampling", progress)
        arms = followed(parallel(finish_arms, jobs), len(rows), "finishing", progress)
    partners = [partner(tumors, tumor) for tumor in tumors]
    cases = [_entry(tumor, other, found) for tumor, other, found in zip(tumors, partners, arms, strict=True)]
    return {"protocol": PROTOCOL, "cases": cases, "summary": summarize(cases)}


def tumor_rows(data: Path, split: str, limit: int | None) -> list[Row]:
    """Index rows of soft-tissue tumors.

    Raises
    ------
    DataError : when the split has none.
    """
    rows = [row for row in read_index(data, split) if row["role"] == "tumor" and row["organ"].startswith("soft tissue")]
    rows = limited(rows, limit)
    if not rows:
        raise DataError("evaluate.cases", f"The split {split!r} has no soft-tissue tumors.", "Choose another split or table.")
    return rows


def process_count(rows: int) -> int:
    """Worker processes that so many cases are worth."""
    return min(4, os.cpu_count() or 1) if rows > 4 else 1


def partner(tumors: Sequence[Tumor], tumor: Tumor) -> Tumor | None:
    """The tumor half a turn further among those of the modality; None where it is the only patient."""
    same = [other for other in tumors if other.case.modality == tumor.case.modality]
    other = same[(same.index(tumor) + len(same) // 2) % len(same)]
    return None if other.case.patient == tumor.case.patient else other


def _entry(tumor: Tumor, other: Tumor | None, arms: Mapping[str, Features]) -> dict[str, Any]:
    return {
        "id": tumor.case.id,
        "patient": tumor.case.patient,
        "modality": tumor.case.modality,
        "swapped_with": None if other is None else other.case.id,
        "voxels": int(tumor.mask.sum()),
        "volume_ml": float(tumor.mask.sum() * tumor.case.scan.geometry.voxel_volume_mm3 / 1000.0),
        "features": {arm: dict(values) for arm, values in arms.items()},
    }


def summarize(cases: Sequence[Mapping[str, Any]], resamples: int = RESAMPLES) -> dict[str, Any]:
    """Summary of each modality, and of all together."""
    groups = {name: [case for case in cases if case["modality"] == name] for name in MODALITIES}
    groups = {name: members for name, members in groups.items() if members}
    tables = {name: _tables(members) for name, members in groups.items()}
    summary = {name: _summary(tables[name], members, resamples) for name, members in groups.items()}
    if len(groups) > 1:
        everything = [case for members in groups.values() for case in members]
        summary["all"] = _summary(_pooled(list(tables.values())), everything, resamples)
    return summary


Tables = dict[str, np.ndarray]
"""Features of all cases of a group by arm, (cases, features); ``asked`` are those of the swap's other patient, ``shift_N`` of
the Nth next patient."""


def _tables(cases: Sequence[Mapping[str, Any]]) -> Tables:
    real = table([case["features"]["real"] for case in cases])
    ids = [case["id"] for case in cases]
    nothing = np.full(real.shape[1], np.nan)
    others = [case["swapped_with"] for case in cases]
    asked = np.array([nothing if other is None else real[ids.index(other)] for other in others])
    found = {"real": real, "asked": asked}
    for arm in (*ARMS, *SWAPS):
        found[arm] = table([case["features"].get(arm, {}) for case in cases])
    for shift in range(1, len(cases)):
        found[f"shift_{shift}"] = np.roll(real, -shift, axis=0)
    return found


def _pooled(tables: Sequence[Tables]) -> Tables:
    """Tables of several modalities as one, each in standard deviations of its own real cases."""
    names = [name for name in tables[0] if all(name in one for one in tables)]
    return {name: np.concatenate([standardized(one[name], one["real"]) for one in tables]) for name in names}


def _summary(tables: Tables, cases: Sequence[Mapping[str, Any]], resamples: int) -> dict[str, Any]:
    patients = [case["patient"] for case in cases]
    found = {arm: Comparison(tables["real"], tables[arm], patients, 0, resamples) for arm in ARMS}
    values = {(arm, name): _values(found[arm], columns) for arm in ARMS for name, columns in COLUMNS.items()}
    others = other_patients(tables, patients, resamples)
    values |= {("random_patient", name): random_patient(others, columns) for name, columns in COLUMNS.items()}
    arms: dict[str, Any] = {}
    for (arm, name), both in values.items():
        arms.setdefault(arm, {})[name] = {kind: estimate(*pair) for kind, pair in both.items()}
    above = {
        arm: {null: {name: _difference(values[arm, name], values[null, name]) for name in COLUMNS} for null in nulls}
        for arm, nulls in NULLS.items()
    }
    primary = arms[PRIMARY][PRIMARY_SET]
    return {
        "cases": len(cases),
        "patients": len(set(patients)),
        **primary,
        "nulls": {name: arms[name][PRIMARY_SET] for name in arms if not name.startswith(("bridge", "codec"))},
        "ceiling": arms["codec"][PRIMARY_SET],
        "definition_a_all": {arm: found[arm].definition_a(COLUMNS["all"]) for arm in (PRIMARY, "smooth_fill")},
        "arms": arms,
        "above_nulls": above,
        "swap": _swaps(tables, patients, resamples),
    }


Values = dict[str, tuple[np.ndarray, np.ndarray]]
"""Definition C and B, each with its resamples."""


def _values(comparison: Comparison, columns: Sequence[int]) -> Values:
    return {"definition_c": comparison.values_c(columns), "definition_b": comparison.values_b(columns)}


def _difference(first: Values, second: Values) -> dict[str, Any]:
    """How much more the first agrees, with intervals over common resamples."""
    found = {}
    for kind, (value, draws) in first.items():
        other, other_draws = second[kind]
        count = min(len(draws), len(other_draws))
        found[kind] = estimate(value - other, draws[:count] - other_draws[:count])
    return found


def other_patients(tables: Tables, patients: Sequence[str], resamples: int) -> list[Comparison]:
    """Each case against another real patient: one comparison for every cyclic shift, the resamples shared among them."""
    shifts = [name for name in tables if name.startswith("shift_")]
    each = -(-resamples // max(1, len(shifts)))
    return [Comparison(tables["real"], tables[name], patients, seed, each) for seed, name in enumerate(shifts, 1)]


def random_patient(others: Sequence[Comparison], columns: Sequence[int]) -> Values:
    """The mean agreement with another real patient; the interval covers the choice of that patient."""
    if not others:
        nothing = (np.full(2, np.nan), np.full((1, 2), np.nan))
        return {"definition_c": nothing, "definition_b": nothing}
    found = [_values(comparison, columns) for comparison in others]
    return {
        kind: (np.mean([one[kind][0] for one in found], axis=0), np.concatenate([one[kind][1] for one in found]))
        for kind in found[0]
    }


def _swaps(tables: Tables, patients: Sequence[str], resamples: int) -> dict[str, Any]:
    """Agreement with the patient whose features were asked for, with the owner of the mask, and the difference."""
    result: dict[str, Any] = {}
    real = np.where(np.isfinite(tables["asked"]), tables["real"], np.nan)
    for arm in SWAPS:
        asked = Comparison(tables["asked"], tables[arm], patients, 0, resamples)
        owner = Comparison(real, tables[arm], patients, 0, resamples)
        for name, columns in COLUMNS.items():
            first, second = _values(asked, columns), _values(owner, columns)
            result.setdefault(arm, {})[name] = {
                "asked": {kind: estimate(*pair) for kind, pair in first.items()},
                "owner": {kind: estimate(*pair) for kind, pair in second.items()},
                "difference": _difference(first, second),
            }
    return result
