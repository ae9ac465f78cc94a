"""The removal table: healthy regions are hidden and filled, and compared with what was there."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.candidates import edit_texture
from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.device import choose_device
from TumorSynthLib.edit import TextureEdit, work_task
from TumorSynthLib.errors import DataError
from TumorSynthLib.evaluate.agreement import mean_estimate
from TumorSynthLib.evaluate.cases import MODALITIES, Case, Progress, limited, read_case
from TumorSynthLib.evaluate.quality import data_range, psnr, ssim
from TumorSynthLib.evaluate.regions import RADII_MM, healthy_regions
from TumorSynthLib.evaluate.report import error_bars, markdown_table, with_interval
from TumorSynthLib.fill import harmonic_fill_exact
from TumorSynthLib.index import read_index
from TumorSynthLib.noise import noise_power_ratio, surroundings
from TumorSynthLib.resample import resample
from TumorSynthLib.texture import Sampling, TextureModel
from TumorSynthLib.volume import Box, Volume, mask_box
from TumorSynthLib.volume_io import write_volume

REGIONS = 6
"""Regions per image."""
ARMS = ("mean_fill", "harmonic_fill", "bridge", "bridge_noise", "codec")
_RIM_MM = 3.0
_AROUND_MM = 18.0
_CLOSE = 0.2

PROTOCOL = f"""Healthy regions of all images of the split: seeded ellipsoids of {RADII_MM[0]:g} to {RADII_MM[1]:g} mm
equivalent radius, {REGIONS} per image where they fit, in the body, at least 3 mm from any tumor. PSNR and SSIM inside the
mask, on the scan's own grid, in domain values, beside what was there. Data range, the width of the display window: CT 400 HU
(lung 1400 HU), MR 100 % of the scan's range, PET SUV 5; values are not clipped. SSIM: MONAI, Gaussian window of 11 voxels,
sigma 1.5, map averaged inside the mask.
Arms: bridge, what remove writes with noise off, the posterior mean (one step): the membrane plus the network's change to it,
weighted as the bundle says; mean_fill, the mean of a shell of {_RIM_MM:g} mm (at least one voxel); harmonic_fill, the
membrane alone, through all voxels around the mask on the scan's grid; bridge_noise, the same with the scan's
noise restored, as remove does unless told otherwise; codec, the real scan encoded and decoded, a ceiling.
Noise: power of the high-pass in the homogeneous part of the region over that of its surroundings. Intervals: 95 %, resampled
patients."""


def evaluate_removal(
    data: Path, split: str, bundle: Bundle, limit: int | None, progress: Progress | None, keep: Path | None = None
) -> dict[str, Any]:
    """Cases and summary of the removal table.

    Parameters
    ----------
    data : folder with ``index.csv``.
    split : name of the split.
    bundle : what is evaluated.
    limit : at most so many images per modality.
    progress : called with a stage and the share of it that is done.
    keep : folder for the mask and the posterior mean of every case, as NIfTI; None writes none.

    Raises
    ------
    DataError : when no image has room for a region.
    """
    rows = limited([row for row in read_index(data, split) if row["role"] in ("tumor", "healthy")], limit)
    model = TextureModel(bundle, choose_device("auto"))
    cases = []
    for number, row in enumerate(rows):
        cases += list(image_cases(read_case(data, row, bundle), model, keep))
        if progress is not None:
            progress("removing", (number + 1) / len(rows))
    if not cases:
        raise DataError("evaluate.cases", f"No image of the split {split!r} has room for a region.", "Choose another split.")
    return {"protocol": PROTOCOL, "cases": cases, "summary": summarize(cases)}


def image_cases(case: Case, model: TextureModel, keep: Path | None) -> Iterator[dict[str, Any]]:
    """One entry for each healthy region of an image."""
    for number, mask in enumerate(healthy_regions(case, REGIONS)):
        name = f"{case.id}_{number}"
        fills, box = region_fills(case, mask, model, number)
        inside = mask[box.slices]
        true = case.intensity.normalize(case.scan.array[box.slices])
        peak, voxels = data_range(case.domain), int(mask.sum())
        found = {
            arm: {"psnr": psnr(true, u, inside, peak), "ssim": ssim(true, u, inside, case.domain)} for arm, u in fills.items()
        }
        files = _write(keep, name, case, mask, fills["bridge"], box)
        yield {
            "id": name,
            "patient": case.patient,
            "modality": case.modality,
            "domain": case.domain.id,
            "source": str(case.source),
            **files,
            "data_range": peak,
            "radius_mm": float((3.0 * voxels * case.scan.geometry.voxel_volume_mm3 / (4.0 * np.pi)) ** (1.0 / 3.0)),
            "voxels": voxels,
            "psnr_mask": found["bridge"]["psnr"],
            "ssim_mask": found["bridge"]["ssim"],
            "noise_power_ratio": _noise_ratio(fills["bridge_noise"], inside, case, box),
            "arms": found,
        }


def region_fills(case: Case, mask: np.ndarray, model: TextureModel, seed: int) -> tuple[dict[str, np.ndarray], Box]:
    """Domain values of every arm in a box around a region of the scan's grid."""
    geometry = case.scan.geometry
    box = mask_box(mask).expanded(_AROUND_MM / geometry.spacing, mask.shape)
    near, inside = geometry.cropped(box), mask[box.slices]
    spacing = (float(near.spacing[0]), float(near.spacing[1]), float(near.spacing[2]))
    u = case.intensity.normalize(case.scan.array[box.slices])
    distance = ndimage.distance_transform_edt(~inside, sampling=spacing)
    shell = (distance > 0) & (distance <= max(_RIM_MM, 1.01 * min(spacing)))
    task, grid = work_task(case.scene(), TextureEdit(mask, None), WorkConfig())
    codec = resample(case.intensity.from_input(model.reconstruct(task.v)), grid, near, smooth=False)
    return {
        "mean_fill": np.where(inside, np.float32(u[shell].mean()), u),
        "harmonic_fill": harmonic_fill_exact(u, inside, spacing).astype(np.float32),
        "bridge": removed(case, mask, model, seed, box, noise=False),
        "bridge_noise": removed(case, mask, model, seed, box, noise=True),
        "codec": np.where(inside, codec, u),
    }, box


def removed(case: Case, mask: np.ndarray, model: TextureModel, seed: int, box: Box, noise: bool) -> np.ndarray:
    """Domain values of a box of the scan after the program's own removal; the posterior mean, with or without noise."""
    edit = TextureEdit(mask, None, noise)
    best = edit_texture(case.scene(), edit, model, Sampling(1, 1.0, (seed,)), lambda stage, share: None)[0]
    return case.intensity.normalize(best.apply(case.scan).array[box.slices])


def _noise_ratio(u: np.ndarray, inside: np.ndarray, case: Case, box: Box) -> float:
    spacing = case.scan.geometry.cropped(box).spacing
    around = surroundings(u, inside, spacing, like=u[inside])
    return noise_power_ratio(u, inside, around, spacing)


def _write(keep: Path | None, name: str, case: Case, mask: np.ndarray, u: np.ndarray, box: Box) -> dict[str, str | None]:
    """Write mask and result on the scan's grid; the result holds the scan's values outside the box."""
    if keep is None:
        return {"mask": None, "result": None}
    keep.mkdir(parents=True, exist_ok=True)
    values = case.intensity.denormalize(u)
    if case.scan.array.dtype.kind in "iu":
        values = np.rint(values)
    result = case.scan.pasted(values.astype(case.scan.array.dtype), box)
    paths = {"mask": keep / f"{name}_mask.nii.gz", "result": keep / f"{name}_result.nii.gz"}
    write_volume(Volume(mask.astype(np.uint8), case.scan.geometry), paths["mask"])
    write_volume(result, paths["result"])
    return {key: str(path) for key, path in paths.items()}


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

    def mean(arm: str, key: str, less: str | None = None) -> dict[str, Any]:
        values = [case["arms"][arm][key] - (case["arms"][less][key] if less else 0.0) for case in cases]
        return mean_estimate(values, patients)

    ratios = np.array([case["noise_power_ratio"] for case in cases], dtype=np.float64)
    known = ratios[np.isfinite(ratios)]
    return {
        "cases": len(cases),
        "patients": len(set(patients)),
        "data_range": sorted({case["data_range"] for case in cases}),
        "arms": {arm: {key: mean(arm, key) for key in ("psnr", "ssim")} for arm in ARMS},
        "bridge_minus": {null: {key: mean("bridge", key, null) for key in ("psnr", "ssim")} for null in ARMS[:2]},
        "noise": {
            "regions": int(known.size),
            "median_ratio": float(np.median(known)) if known.size else None,
            "share_within_20_percent": float(np.mean(np.abs(known - 1.0) <= _CLOSE)) if known.size else None,
        },
    }


def removal_text(summary: Mapping[str, Any]) -> str:
    """Markdown table of the summary."""
    head = ["group", "regions", "patients", *(f"{arm} PSNR / SSIM" for arm in ARMS), "bridge - mean dB", "bridge - harmonic dB"]
    head += ["bridge - harmonic SSIM", "noise ratio", "within 20 %"]
    rows = []
    for modality, group in summary.items():
        rows += [_row(modality, group), *(_row(name, part) for name, part in group["domains"].items())]
    return markdown_table(head, rows)


def _row(name: str, group: Mapping[str, Any]) -> list[str]:
    arms = [f"{group['arms'][arm]['psnr']['mean']:.1f} / {group['arms'][arm]['ssim']['mean']:.2f}" for arm in ARMS]
    less, noise = group["bridge_minus"], group["noise"]
    gains = [with_interval(less[null]["psnr"], "mean") for null in ARMS[:2]]
    gains.append(with_interval(less["harmonic_fill"]["ssim"], "mean", 3))
    ratio, share = noise["median_ratio"], noise["share_within_20_percent"]
    told = ["-", "-"] if ratio is None else [f"{ratio:.2f}", f"{share:.0%}"]
    return [name, str(group["cases"]), str(group["patients"]), *arms, *gains, *told]


def removal_figure(figure: Any, cases: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """PSNR and SSIM of every arm with intervals, and the noise ratios."""
    panels = figure.subplots(1, 3)
    for panel, key in zip(panels, ("psnr", "ssim"), strict=False):
        for index, (name, group) in enumerate(summary.items()):
            values, errors = error_bars([group["arms"][arm][key] for arm in ARMS], "mean")
            places = [place + 0.27 * index for place in range(len(ARMS))]
            panel.bar(places, values, width=0.25, yerr=errors, label=f"{name} (n = {group['cases']})")
        panel.set_xticks([place + 0.27 for place in range(len(ARMS))], [arm.replace("_", "\n") for arm in ARMS])
        panel.set_ylabel("PSNR in mask, dB" if key == "psnr" else "SSIM in mask")
    panels[0].legend(fontsize=8)
    for name in summary:
        ratios = [case["noise_power_ratio"] for case in cases if case["modality"] == name]
        finite = [ratio for ratio in ratios if ratio is not None]
        panels[2].hist(finite, bins=[0.1 * n for n in range(31)], histtype="step", label=name)
    panels[2].set_xlabel("noise power over surroundings")
    panels[2].set_ylabel("regions")
    panels[2].legend(fontsize=8)
