"""The sensitivity table: one feature is asked for at several values, the others stay or are free; what is measured then?"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.device import choose_device
from TumorSynthLib.edit import TextureEdit, work_task, working_grid
from TumorSynthLib.errors import RequestError
from TumorSynthLib.evaluate.cases import followed, workers
from TumorSynthLib.evaluate.groups import Cases, by_modality, mean_of
from TumorSynthLib.evaluate.order import Findings, Order
from TumorSynthLib.evaluate.report import markdown_table, with_interval
from TumorSynthLib.evaluate.texture import GUIDANCE, STEPS, process_count, tumor_rows
from TumorSynthLib.evaluate.texture_arms import Finisher, Tumor, measured, read_tumor
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.synthesis import candidate_seeds
from TumorSynthLib.texture import Sampling, TextureModel
from TumorSynthLib.typical import complete_texture
from TumorSynthLib.volume import Geometry

SCORES = (-1.2, -0.6, 0.0, 0.6, 1.2)
"""Normal scores that a feature is asked for at: about the 12th, 27th, 50th, 73rd and 88th percentile of real tumors."""
KINDS = ("network", "program", "alone")

PROTOCOL = f"""Soft-tissue tumors of the split, taken out of the scan as in the texture table. Each feature that the bundle
has a token for is asked for at the normal scores {", ".join(f"{score:g}" for score in SCORES)} of the domain's real tumors;
same mask, same seed, {STEPS} steps, guidance {GUIDANCE}, one candidate.
network: the other tokens stay at the values of the real tumor; what the networks draw, measured without noise or calibration.
program: the same, with noise restored and asked first-order features met by a curve, as the program does.
alone: nothing else is asked for, as by one slider of the panel; the other tokens are drawn, as the program does, from a real
tumor of the training data that fits. Slope: of the measured score over the asked one, least squares per case, 1 is obedience,
0 is none. Spearman: of measured and asked per case. Features depend on each other, so one that is varied while the others stay
asks for what no tumor has: a slope of 1 cannot be expected there. Mean over cases with 95 % intervals, resampled patients."""

Curve = dict[str, list[float | None]]
"""Measured normal scores by kind, one for each asked score."""


def sensitivity_findings(order: Order) -> Findings:
    """Carry out the sensitivity table.

    Raises
    ------
    RequestError : when the bundle has no token for a feature that is to be asked for.
    """
    tokens = tuple(order.bundle.network("bridge")["tokens"])
    names = tuple(dict.fromkeys(order.options.features or tokens))
    unknown = [name for name in names if name not in tokens]
    if unknown:
        message = f"Bundle '{order.bundle.id}' has no token for {', '.join(unknown)}."
        raise RequestError("evaluate.feature", message, f"Choose {', '.join(tokens)}.")
    rows = tumor_rows(order.data, order.split, order.limit)
    with workers(process_count(len(rows))) as parallel:
        reading = parallel(partial(read_tumor, data=order.data, bundle=order.bundle), rows)
        tumors = followed(reading, len(rows), "measuring", order.progress)
        model = TextureModel(order.bundle, choose_device("auto"))
        count = len(tumors) * len(names)
        jobs = ((tumor, name) for tumor in tumors for name in names)
        found = parallel(_finish, (_draw(tumor, name, model, order.bundle) for tumor, name in jobs))
        curves = followed(found, count, "sampling", order.progress)
    cases = _cases(tumors, names, curves)
    return Findings(PROTOCOL, cases, summarize(cases), sensitivity_text, sensitivity_figure, (18.0, 12.0))


Sample = tuple[TextureEdit, np.ndarray]
"""What is asked, and what the networks drew for it."""


@dataclass(frozen=True, eq=False)
class Job:
    """One feature of one tumor."""

    tumor: Tumor
    """That is remade."""
    name: str
    """The feature."""
    grid: Geometry
    """Working grid of the samples."""
    others_stay: Sequence[Sample]
    """One for each asked value, the other features those of the real tumor."""
    alone: Sequence[Sample]
    """The same with nothing else asked for."""
    scales: Mapping[str, FeatureScale]
    """Scales of the features."""


def _draw(tumor: Tumor, name: str, model: TextureModel, bundle: Bundle) -> Job:
    """Samples for every asked value of one feature."""
    domain = tumor.case.domain.id
    scales, scene, seeds = model.scales[domain], tumor.case.scene(tumor.blank), _seeds(tumor)
    own = {token: tumor.features[token] for token in model.config.tokens if token in tumor.features}
    volume = float(tumor.mask.sum()) * tumor.case.scan.geometry.voxel_volume_mm3

    def alone(value: float) -> TextureEdit:
        drawn = complete_texture({name: value}, volume, bundle.exemplars(domain), scales, seeds[0])
        return TextureEdit(tumor.mask, {name: value}, drawn=drawn, typical=True)

    def sampled(edit: TextureEdit) -> Sample:
        return edit, model.synthesize(work_task(scene, edit, WorkConfig())[0], Sampling(STEPS, GUIDANCE, seeds))[0]

    asked = [scales[name].value(score) for score in SCORES]
    stay = [sampled(TextureEdit(tumor.mask, {**own, name: value})) for value in asked]
    grid = working_grid(scene.scan, tumor.mask, WorkConfig())
    return Job(tumor, name, grid, stay, [sampled(alone(value)) for value in asked], scales)


def _finish(job: Job) -> Curve:
    """Measured scores of one feature."""
    tumor, seed = job.tumor, _seeds(job.tumor)[0]
    work = Finisher(tumor, job.grid, job.scales)

    def score(u: np.ndarray) -> float | None:
        found = measured(work.region, u, tumor.case, (job.name,))
        return float(job.scales[job.name].score(found[job.name])) if job.name in found else None

    def finished(edit: TextureEdit, u: np.ndarray) -> float | None:
        candidate = work.finished(u, edit, seed)
        return None if candidate is None else score(tumor.case.intensity.normalize(candidate.values))

    stay, alone = ([(edit, work.native(v)) for edit, v in samples] for samples in (job.others_stay, job.alone))
    return {
        "network": [score(u) for _, u in stay],
        "program": [finished(edit, u) for edit, u in stay],
        "alone": [finished(edit, u) for edit, u in alone],
    }


def _seeds(tumor: Tumor) -> list[int]:
    return candidate_seeds(zlib.crc32(tumor.case.id.encode()), 1)


def _cases(tumors: Sequence[Tumor], names: Sequence[str], curves: Sequence[Curve]) -> list[dict[str, Any]]:
    cases = []
    for number, tumor in enumerate(tumors):
        own = curves[number * len(names) : (number + 1) * len(names)]
        case = tumor.case
        head = {"id": case.id, "patient": case.patient, "modality": case.modality, "asked": list(SCORES)}
        cases.append(head | {"curves": dict(zip(names, own, strict=True))})
    return cases


def slope(curve: Sequence[float | None]) -> float | None:
    """Least-squares slope of measured over asked scores; None for fewer than three.

    >>> round(slope([-0.6, -0.3, 0.0, 0.3, 0.6]), 6)
    0.5
    """
    pairs = [(asked, found) for asked, found in zip(SCORES, curve, strict=True) if found is not None]
    if len(pairs) < 3:
        return None
    asked, found = np.array(pairs).T
    return float(np.polyfit(asked, found, 1)[0])


def monotony(curve: Sequence[float | None]) -> float | None:
    """Spearman's correlation of measured and asked scores; 0 where nothing changes, None for fewer than three."""
    pairs = [(asked, found) for asked, found in zip(SCORES, curve, strict=True) if found is not None]
    if len(pairs) < 3:
        return None
    asked, found = np.array(pairs).T
    return 0.0 if np.ptp(found) == 0.0 else float(stats.spearmanr(asked, found).statistic)


def summarize(cases: Cases) -> dict[str, Any]:
    """Slope and Spearman of every feature, by modality."""
    summary: dict[str, Any] = {}
    for modality, members in by_modality(cases).items():
        names = list(members[0]["curves"])
        summary[modality] = {
            "cases": len(members),
            "patients": len({case["patient"] for case in members}),
            "features": {name: {kind: _feature(members, name, kind) for kind in KINDS} for name in names},
        }
    return summary


def _feature(cases: Cases, name: str, kind: str) -> dict[str, Any]:
    def curve(case: Mapping[str, Any]) -> list[float | None]:
        found: list[float | None] = case["curves"][name][kind]
        return found

    return {
        "slope": mean_of(cases, lambda case: slope(curve(case))),
        "spearman": mean_of(cases, lambda case: monotony(curve(case))),
    }


def sensitivity_text(summary: Mapping[str, Any]) -> str:
    """Markdown tables of the summary."""
    head = ["feature", *(f"{measure}, {kind}" for kind in KINDS for measure in ("slope", "Spearman"))]
    parts = []
    for modality, group in summary.items():
        rows = [
            [name, *(with_interval(found[kind][measure], "mean") for kind in KINDS for measure in ("slope", "spearman"))]
            for name, found in group["features"].items()
        ]
        parts += [f"## {modality}: {group['cases']} cases, {group['patients']} patients", markdown_table(head, rows)]
    return "\n\n".join(parts)


def sensitivity_figure(figure: Any, cases: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """Measured over asked scores of every feature, mean over the cases of each modality."""
    names = list(next(iter(summary.values()))["features"])
    panels = figure.subplots(-(-len(names) // 6), min(6, len(names)), sharex=True, sharey=True, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        panel.plot(SCORES, SCORES, color="black", linewidth=0.6)
        for index, modality in enumerate(summary):
            members = [case["curves"][name] for case in cases if case["modality"] == modality]
            for kind, style in zip(KINDS, ("-", "--", ":"), strict=True):
                table = np.array([curve[kind] for curve in members], dtype=np.float64)
                known = np.isfinite(table)
                mean = np.where(known, table, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
                panel.plot(SCORES, mean, style, color=f"C{index}", label=f"{modality}, {kind}")
        panel.set_title(name, fontsize=7)
        panel.set_ylim(-2.5, 2.5)
    panels[0].legend(fontsize=6)
    figure.supxlabel("asked, normal score")
    figure.supylabel("measured, normal score")
