"""The synthesis table: real tumors made anew from their own mask and features, beside what was there."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage

from TumorSynthLib.device import choose_device
from TumorSynthLib.evaluate.agreement import standardized
from TumorSynthLib.evaluate.cases import followed, workers
from TumorSynthLib.evaluate.feature_sets import COLUMNS
from TumorSynthLib.evaluate.groups import Cases, by_modality, mean_of
from TumorSynthLib.evaluate.mask_agreement import REAL, TOLERANCE_MM, agreements, mean_agreements, told
from TumorSynthLib.evaluate.order import Findings, Order
from TumorSynthLib.evaluate.quality import data_range, psnr, ssim
from TumorSynthLib.evaluate.realism import COMPONENTS, SPLITS, realism
from TumorSynthLib.evaluate.synthesis_arms import ARMS, Remade, Remakes, predict, remake
from TumorSynthLib.evaluate.synthesis_report import synthesis_figure, synthesis_text
from TumorSynthLib.evaluate.texture import GUIDANCE, STEPS, partner, process_count, tumor_rows
from TumorSynthLib.evaluate.texture_arms import Tumor, read_tumor, table
from TumorSynthLib.segmentation.inference import Segmenter
from TumorSynthLib.texture import TextureModel

DILATION = 2
"""Voxels by which the mask is grown before PSNR and SSIM are taken."""
KINDS = ("psnr_mask", "ssim_mask", "psnr_crop", "ssim_crop")

PROTOCOL = f"""Soft-tissue tumors of the split, one per patient and modality. The real tumor is taken out of the scan
(harmonic fill of its mask and of 1.5 voxels around it, behind which no arm sees), and a tumor is made in the real mask from
the real tumor's own features. PSNR and SSIM against the real scan on its own grid, in domain values that are not clipped:
mask, in the mask grown by {DILATION} voxels; crop, in the tumor's box and 18 mm around it. Outside the mask every arm is the
scan itself, so the crop's PSNR is the mask's plus about 10 log10(crop voxels / mask voxels): that gain, given for each group,
is no merit. Data range, the width of the display window: CT 400 HU (lung 1400 HU), MR 100 % of the scan's range, PET SUV 5.
SSIM: MONAI, Gaussian window of 11 voxels, sigma 1.5. Arms: bridge, what the program does ({STEPS} steps, guidance {GUIDANCE},
noise restored, asked first-order features met by a curve); bridge_raw, without that curve; bridge_mean, one step without
noise, the posterior mean, which PSNR rewards. Nulls: no_features, nothing asked; random_patient, the features of another
patient; smooth_fill, the harmonic fill itself, and _calibrated with noise and curve; handmade, a bent ellipsoid of the same
volume with a training tumor's level and plain noise. Ceiling: codec, the real scan encoded and decoded. Realism: features
that do not follow the number of voxels ({len(COLUMNS["size_free"])}), at most {COMPONENTS} principal components of the real
cases. Frechet radiomics distance and RBF maximum mean discrepancy from the real of one half of the patients to the made of
the other, over that to the real of the other, mean of {SPLITS} splits: 1 is as different as other real patients are. p: share
of permutations (real and made swapped within patients) with as much discrepancy. It says nothing about control:
random_patient may well be realistic. Mask and image: Dice and surface Dice at {TOLERANCE_MM:g} mm between each arm's mask and
what a segmenter finds in its image that was trained on other patients' real tumors; real is its ceiling, smooth_fill its
floor. Intervals: 95 %, resampled patients."""


def synthesis_findings(order: Order) -> Findings:
    """Carry out the synthesis table.

    Raises
    ------
    DataError : when the split has no soft-tissue tumors, or the segmenter cannot be read.
    """
    rows = tumor_rows(order.data, order.split, order.limit)
    segmenter = None if order.options.segmenter is None else Segmenter.load(order.options.segmenter, choose_device("auto"))
    with workers(process_count(len(rows))) as parallel:
        reading = parallel(partial(read_tumor, data=order.data, bundle=order.bundle), rows)
        tumors = followed(reading, len(rows), "measuring", order.progress)
        model = TextureModel(order.bundle, choose_device("auto"))
        jobs = (predict(tumor, partner(tumors, tumor), model, order.bundle, STEPS, GUIDANCE) for tumor in tumors)
        found = parallel(remake, jobs)
        entries = (_entry(tumor, made, segmenter) for tumor, made in zip(tumors, found, strict=True))
        cases = followed(entries, len(rows), "synthesizing", order.progress)
    summary = summarize(cases)
    if segmenter is not None:
        summary["segmenter"] = dict(told(segmenter))
    return Findings(PROTOCOL, cases, summary, synthesis_text, synthesis_figure, (16.0, 9.0))


def _entry(tumor: Tumor, made: Remakes, segmenter: Segmenter | None) -> dict[str, Any]:
    case = tumor.case
    true = case.intensity.normalize(case.scan.array[made.box.slices])
    near = ndimage.binary_dilation(tumor.mask[made.box.slices], iterations=DILATION)
    return {
        "id": case.id,
        "patient": case.patient,
        "modality": case.modality,
        "domain": case.domain.id,
        "data_range": data_range(case.domain),
        "voxels": int(tumor.mask.sum()),
        "volume_ml": float(tumor.mask.sum() * case.scan.geometry.voxel_volume_mm3 / 1000.0),
        "crop_gain_db": float(10.0 * np.log10(near.size / near.sum())),
        "arms": {name: _image_quality(tumor, true, near, one) for name, one in made.arms.items()},
        "agreement": None if segmenter is None else agreements(tumor, made, segmenter),
        "features": {REAL: tumor.features, **{name: dict(one.features) for name, one in made.arms.items()}},
    }


def _image_quality(tumor: Tumor, true: np.ndarray, near: np.ndarray, made: Remade) -> dict[str, float]:
    """PSNR and SSIM of one arm, in the grown mask and in the whole crop."""
    domain, u = tumor.case.domain, tumor.case.intensity.normalize(made.values)
    crop, peak = np.ones(true.shape, bool), data_range(domain)
    return {
        "psnr_mask": psnr(true, u, near, peak),
        "ssim_mask": ssim(true, u, near, domain),
        "psnr_crop": psnr(true, u, crop, peak),
        "ssim_crop": ssim(true, u, crop, domain),
    }


def summarize(cases: Cases) -> dict[str, Any]:
    """Summary of each modality, and the realism of all together."""
    groups = by_modality(cases)
    tables = {name: _tables(members) for name, members in groups.items()}
    summary: dict[str, Any] = {name: _summary(members, tables[name]) for name, members in groups.items()}
    if len(groups) > 1:
        everything = [case for members in groups.values() for case in members]
        pooled = {arm: np.concatenate([standardized(one[arm], one[REAL]) for one in tables.values()]) for arm in (REAL, *ARMS)}
        summary["all"] = {"realism": _realism(everything, pooled), "agreement": mean_agreements(everything, ARMS)}
    return summary


def _tables(cases: Cases) -> dict[str, np.ndarray]:
    """Size-free features by arm, (cases, features)."""
    columns = COLUMNS["size_free"]
    return {arm: table([case["features"].get(arm, {}) for case in cases])[:, columns] for arm in (REAL, *ARMS)}


def _summary(cases: Cases, tables: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        "cases": len(cases),
        "patients": len({case["patient"] for case in cases}),
        "data_range": sorted({case["data_range"] for case in cases}),
        "crop_gain_db": mean_of(cases, lambda case: case["crop_gain_db"]),
        "arms": {
            arm: {kind: mean_of(cases, partial(_quality, arm=arm, kind=kind)) for kind in KINDS}
            for arm in ARMS
            if any(arm in case["arms"] for case in cases)
        },
        "realism": _realism(cases, tables),
        "agreement": mean_agreements(cases, ARMS),
    }


def _quality(case: Mapping[str, Any], arm: str, kind: str) -> float | None:
    return case["arms"][arm][kind] if arm in case["arms"] else None


def _realism(cases: Cases, tables: Mapping[str, np.ndarray]) -> dict[str, Any]:
    patients = [case["patient"] for case in cases]
    return {arm: realism(tables[REAL], tables[arm], patients) for arm in ARMS}
