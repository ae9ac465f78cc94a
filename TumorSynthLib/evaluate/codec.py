"""The codec table: how much of a real tumor is left after encoding and decoding."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.device import choose_device
from TumorSynthLib.edit import TextureEdit, work_task
from TumorSynthLib.errors import DataError
from TumorSynthLib.evaluate.agreement import mean_estimate
from TumorSynthLib.evaluate.cases import MODALITIES, Case, Progress, limited, read_case
from TumorSynthLib.evaluate.quality import data_range, psnr
from TumorSynthLib.evaluate.report import error_bars, markdown_table, with_interval
from TumorSynthLib.index import read_index
from TumorSynthLib.resample import resample
from TumorSynthLib.texture import TextureModel
from TumorSynthLib.volume import mask_box

KINDS = ("work", "native", "resampling")
"""Where a PSNR is taken: on the working grid, on the scan's grid, and on the scan's grid without the codec."""

PROTOCOL = """All images of the split with a tumor, the region being all its labels. PSNR inside the mask in domain values, not
clipped. Data range, the width of the display window: CT 400 HU (lung 1400 HU), MR 100 % of the scan's range, PET SUV 5.
work: on the working grid of 64^3 that the networks see; native: brought back to the scan's grid and compared with the scan;
resampling: the same without the codec, what the working grid alone costs. Intervals: 95 %, resampled patients."""


def evaluate_codec(data: Path, split: str, bundle: Bundle, limit: int | None, progress: Progress | None) -> dict[str, Any]:
    """Cases and summary of the codec table.

    Parameters
    ----------
    data : folder with ``index.csv``.
    split : name of the split.
    bundle : what is evaluated.
    limit : at most so many cases per modality.
    progress : called with a stage and the share of it that is done.

    Raises
    ------
    DataError : when the split has no tumors.
    """
    rows = limited([row for row in read_index(data, split) if row["role"] == "tumor" and row["mask_file"]], limit)
    if not rows:
        raise DataError("evaluate.cases", f"The split {split!r} has no tumors.", "Choose another split.")
    model = TextureModel(bundle, choose_device("auto"))
    cases = []
    for number, row in enumerate(rows):
        cases.append(codec_case(read_case(data, row, bundle), model))
        if progress is not None:
            progress("encoding", (number + 1) / len(rows))
    return {"protocol": PROTOCOL, "cases": cases, "summary": summarize(cases)}


def codec_case(case: Case, model: TextureModel) -> dict[str, Any]:
    """PSNR of one tumor."""
    mask = case.labels > 0
    peak = data_range(case.domain)
    task, grid = work_task(case.scene(), TextureEdit(mask, {}), WorkConfig())
    true, made = (case.intensity.from_input(v) for v in (task.v, model.reconstruct(task.v)))
    box = mask_box(mask)
    near, inside = case.scan.geometry.cropped(box), mask[box.slices]
    native = case.intensity.normalize(case.scan.array[box.slices])
    back = {kind: resample(u, grid, near, smooth=False) for kind, u in (("native", made), ("resampling", true))}
    return {
        "id": case.id,
        "patient": case.patient,
        "modality": case.modality,
        "domain": case.domain.id,
        "data_range": peak,
        "spacing_mm": float(grid.spacing[0]),
        "voxels": int(mask.sum()),
        "psnr": {
            "work": psnr(true, made, task.mask, peak),
            **{kind: psnr(native, u, inside, peak) for kind, u in back.items()},
        },
    }


def summarize(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summary of each modality and of each of its domains."""
    summary = {}
    for modality in MODALITIES:
        members = [case for case in cases if case["modality"] == modality]
        if members:
            domains = sorted({case["domain"] for case in members})
            parts = {name: _summary([case for case in members if case["domain"] == name]) for name in domains}
            summary[modality] = {**_summary(members), "domains": parts}
    return summary


def _summary(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    patients = [case["patient"] for case in cases]
    return {
        "cases": len(cases),
        "patients": len(set(patients)),
        "data_range": sorted({case["data_range"] for case in cases}),
        "spacing_mm": float(np.median([case["spacing_mm"] for case in cases])),
        "psnr": {kind: mean_estimate([case["psnr"][kind] for case in cases], patients) for kind in KINDS},
    }


def codec_text(summary: Mapping[str, Any]) -> str:
    """Markdown table of the summary."""
    rows = []
    for modality, group in summary.items():
        rows += [_row(modality, group), *(_row(name, part) for name, part in group["domains"].items())]
    return markdown_table(["group", "cases", "patients", "voxel, mm", *(f"PSNR {kind}, dB" for kind in KINDS)], rows)


def _row(name: str, group: Mapping[str, Any]) -> list[str]:
    values = [with_interval(group["psnr"][kind], "mean", 1) for kind in KINDS]
    return [name, str(group["cases"]), str(group["patients"]), f"{group['spacing_mm']:.2f}", *values]


def codec_figure(figure: Any, cases: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """PSNR of every case over the working voxel, and the means."""
    left, right = figure.subplots(1, 2)
    for index, (name, group) in enumerate(summary.items()):
        members = [case for case in cases if case["modality"] == name]
        left.scatter([case["spacing_mm"] for case in members], [case["psnr"]["work"] for case in members], label=name, s=14)
        values, errors = error_bars([group["psnr"][kind] for kind in KINDS], "mean")
        right.bar([place + 0.27 * index for place in range(len(KINDS))], values, width=0.25, yerr=errors, label=name)
    left.set_xlabel("working voxel, mm")
    left.set_ylabel("PSNR in mask on the working grid, dB")
    right.set_xticks([place + 0.27 for place in range(len(KINDS))], list(KINDS))
    right.set_ylabel("PSNR in mask, dB")
    left.legend(fontsize=8)
