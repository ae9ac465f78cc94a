"""The methods table: bridge, diffusion, flow and a hand-made tumor on the same cases, of one bundle or of several."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.device import choose_device
from TumorSynthLib.evaluate.cases import Row, followed, workers
from TumorSynthLib.evaluate.feature_sets import COLUMNS
from TumorSynthLib.evaluate.mask_agreement import TOLERANCE_MM, agreements, told
from TumorSynthLib.evaluate.methods_arms import ARMS, STEPS, WIDENING, draw
from TumorSynthLib.evaluate.methods_cost import REPEATS, costs
from TumorSynthLib.evaluate.methods_made import Sheet, measure
from TumorSynthLib.evaluate.methods_report import methods_figure, methods_text
from TumorSynthLib.evaluate.methods_summary import diversities, summarize
from TumorSynthLib.evaluate.order import Findings, Order
from TumorSynthLib.evaluate.realism import COMPONENTS, SPLITS
from TumorSynthLib.evaluate.texture import GUIDANCE, process_count, tumor_rows
from TumorSynthLib.evaluate.texture_arms import Tumor, read_tumor
from TumorSynthLib.evaluate.timing import computer
from TumorSynthLib.segmentation.inference import Segmenter
from TumorSynthLib.texture import TextureModel

Parallel = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""An ordered map."""

PROTOCOL = f"""Soft-tissue tumors of the split, one per patient and modality, the same for all arms; one sample each, {STEPS}
steps unless said, guidance {GUIDANCE}, finished as the program does (noise restored, asked first-order features met by a
curve). The real tumor is first taken out of the scan, as in the synthesis table: harmonic fill of its mask and of 1.5 voxels
around it, behind which no arm sees; every arm edits that scan. Arms: bridge and diffusion, in the real mask, asked for the
real tumor's own features; flow, from the box of the real tumor with each face moved out by {WIDENING:.0%} of the edge
(rounded up to whole voxels), asked for the same and for the real tumor's shape; flow_box, from that box alone, nothing asked.
Where a tumor's mask is made it keeps clear of other tumors. Nulls: handmade, a bent ellipsoid of the same volume with a
training tumor's level and plain noise; smooth_fill_calibrated, no network, noise and curve in the real mask; random_patient,
the features of another real patient. Ceiling: codec, the real scan encoded and decoded; real. made: share of cases in which
there is a tumor; those without are left out of the arm's other numbers. Frechet radiomics distance and RBF maximum mean
discrepancy over {len(COLUMNS["size_free"])} features that do not follow the number of voxels (at most {COMPONENTS} principal
components), from the real of one half of the patients to the made of the other, over real to real, mean of {SPLITS} splits: 1
is as different as other real patients are. C: correlation with the real tumor across cases per feature, mean over features,
of arms that were asked; raw, without the curve, which is the networks' own part. shape C: the same over volume, sphericity,
elongation and flatness of masks that were made; the volume is met by the level at which the soft mask is cut. Dice and
surface Dice at {TOLERANCE_MM:g} mm: each arm's mask and what a segmenter trained on other patients' real tumors finds in its
image; real is the ceiling. Diversity: root mean square distance of two samples of a case in normal scores of features, over
that of two real patients; of masks, 1 - Dice. Cost: networks alone (encoding, steps, decoding, mask refinement) of one
sample; two evaluations a step where features are asked for. GFLOP by torch.utils.flop_counter, a multiplication and an
addition being two; seconds, median of {REPEATS} after a warm-up; on a computer that does other work as well they are upper
bounds. Intervals: 95 %, resampled patients."""


def methods_findings(order: Order) -> Findings:
    """Carry out the methods table.

    Raises
    ------
    DataError : when the split has no soft-tissue tumors, or the segmenter cannot be read.
    """
    rows = tumor_rows(order.data, order.split, order.limit)
    folder = order.options.segmenter
    segmenter = None if folder is None else Segmenter.load(folder, choose_device("auto"))
    bundles = order.options.bundles or {order.bundle.id: order.bundle}
    cases: dict[str, dict[str, Any]] = {}
    summary: dict[str, Any] = {"bundles": {}}
    with workers(process_count(len(rows))) as parallel:
        for name, bundle in bundles.items():
            found, summary["bundles"][name] = _bundle(order, rows, bundle, parallel, segmenter)
            for case, made in found:
                cases.setdefault(case["id"], {**case, "bundles": {}})["bundles"][name] = made
    if segmenter is not None:
        summary["segmenter"] = dict(told(segmenter))
    return Findings(PROTOCOL, list(cases.values()), summary, methods_text, methods_figure, (16.0, 5.0))


Entries = list[tuple[dict[str, Any], dict[str, Any]]]
"""What is so of each case, and what a bundle made of it."""


def _bundle(
    order: Order, rows: Sequence[Row], bundle: Bundle, parallel: Parallel, segmenter: Segmenter | None
) -> tuple[Entries, dict[str, Any]]:
    """Cases and summary of one bundle."""
    reading = parallel(partial(read_tumor, data=order.data, bundle=bundle), rows)
    tumors = followed(reading, len(rows), f"measuring, {bundle.id}", order.progress)
    model = TextureModel(bundle, choose_device("auto"))
    steps = sorted({STEPS, *order.options.sampling_steps})
    sweep = [count for count in steps if count != STEPS]
    sheets = parallel(measure, (draw(tumor, model, bundle, sweep) for tumor in tumors))
    pairs = zip(tumors, sheets, strict=True)
    entries = ((_told(tumor), _made(tumor, sheet, segmenter)) for tumor, sheet in pairs)
    found = followed(entries, len(rows), f"making, {bundle.id}", order.progress)
    for (_, made), diversity in zip(found, diversities([case | made for case, made in found], model.scales), strict=True):
        made["diversity"] = diversity
    arms = [name for name, arm in ARMS.items() if arm.method in bundle.methods]
    return found, {
        "identity": bundle.identity,
        "left_out": [name for name in ARMS if name not in arms],
        **computer(model),
        "cost": costs(tumors[0], model, steps, order.progress),
        "groups": summarize([case | made for case, made in found], arms, steps),
    }


def _told(tumor: Tumor) -> dict[str, Any]:
    """What is so of a case, whatever the bundle."""
    case = tumor.case
    return {
        "id": case.id,
        "patient": case.patient,
        "modality": case.modality,
        "domain": case.domain.id,
        "voxels": int(tumor.mask.sum()),
        "volume_ml": float(tumor.mask.sum() * case.scan.geometry.voxel_volume_mm3 / 1000.0),
    }


def _made(tumor: Tumor, sheet: Sheet, segmenter: Segmenter | None) -> dict[str, Any]:
    """What a bundle made of a case."""
    parts: dict[str, Mapping[str, Any]] = {"features": sheet.features, "shape": sheet.shape, "apart": sheet.apart}
    agreement = None if segmenter is None else agreements(tumor, sheet.remakes, segmenter)
    return {**{name: dict(values) for name, values in parts.items()}, "agreement": agreement}
