"""The downstream table: does training on made tumors help a segmenter on real ones?"""

import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from TumorSynthLib.device import choose_device
from TumorSynthLib.errors import DataError
from TumorSynthLib.evaluate.cases import limited
from TumorSynthLib.evaluate.downstream_arms import ARMS, EVERY, MADE_SHARE, POOL, working
from TumorSynthLib.evaluate.downstream_report import downstream_figure, downstream_text
from TumorSynthLib.evaluate.downstream_runs import BATCH, TOLERANCE_MM, Key, Store, train_and_test
from TumorSynthLib.evaluate.downstream_summary import DETECTED, SIZES_ML, summarize
from TumorSynthLib.evaluate.order import Findings, Order
from TumorSynthLib.index import read_index
from TumorSynthLib.insertion import Inserter, InsertionSettings
from TumorSynthLib.models import Models
from TumorSynthLib.segmentation.images import LabeledImage, Row, read_labeled, tumor_rows
from TumorSynthLib.segmentation.network import MODALITIES, SegmenterConfig
from TumorSynthLib.tumor_draws import VOLUME, Wishes

VOLUMES_MM3 = (1e3, 2e5)
"""Volumes of made tumors; larger ones find no room in the images."""
SPACING_MM = 3.0
"""Working voxel: fine enough for the texture of made tumors, coarse enough for a patch to show large ones."""
SPLITS = ("train", "test")

PROTOCOL = f"""Cross-validation by patient on the soft-tissue tumors of one modality. MONAI's DynUNet (the architecture of
nnU-Net) on an isotropic grid, DiceCE, {BATCH} patches a step, the same number of optimizer steps, the same first weights and
the same order of real images in every arm; tested on the whole stored images of the held-out patients, on their own grid.
Arms: real, without any augmentation; augmented, with flips, zoom, contrast and noise; the others are augmented as well and
show in {MADE_SHARE:.0%} of the patches a made tumor in a real training image, at sites and of volumes that are drawn in the
same way (1 to 200 mL where the bundle knows them): copy_paste, a real tumor of another training image, scaled to the volume;
handmade, a bent ellipsoid of a training tumor's level with plain noise (as SynTumor); tumorsynth, the bundle. Made tumors are
made online, one every {EVERY} steps, and the newest {POOL} are drawn from. Dice per patient is the mean over the seeds;
differences are paired by patient, p by Wilcoxon's signed-rank test, two-sided, not corrected for the number of comparisons.
Detected: Dice of at least {DETECTED:g}. Surface Dice at {TOLERANCE_MM:g} mm. Sizes: {SIZES_ML[0]:g} and {SIZES_ML[1]:g} mL
part small, middle and large. A bundle that was trained on the training split has seen those patients when they are held out
here: numbers for the patients it never saw are given apart. Intervals: 95 %, resampled patients."""


def downstream_findings(order: Order) -> Findings:
    """Carry out the downstream table, or as much of it as the time allows; the same call goes on where it stopped.

    Raises
    ------
    DataError : when there are fewer patients than folds, the modality is unknown, or nothing was finished in the time.
    """
    options = order.options
    rows = _rows(order)
    patients = sorted({row["patient_id"] for row in rows}, key=lambda name: (zlib.crc32(name.encode()), name))
    folds = {patient: number % options.folds for number, patient in enumerate(patients)}
    config = SegmenterConfig(SPACING_MM, options.patch)
    settings = {
        "bundle": order.bundle.identity,
        "steps": options.steps,
        "folds": folds,
        "segmenter": asdict(config) | {"channels": list(config.channels)},
    }
    store = Store(order.out / "downstream" / options.modality, settings)
    images = [read_labeled(order.data, row) for row in rows]
    stop = time.monotonic() + 60.0 * options.minutes if options.minutes is not None else np.inf
    _work_off(order, images, folds, config, store, stop)
    done = [block for block in _blocks(order) if all(store.scores(key) is not None for key in block)]
    if not done:
        raise DataError(
            "downstream.unfinished",
            f"No fold is finished in all {len(ARMS)} arms yet.",
            "Run the same command again: it goes on where it stopped. Or ask for fewer --steps.",
        )
    cases = _cases(rows, images, folds, store, done)
    summary = summarize(cases, done=len(done), wanted=options.folds * options.seeds)
    summary["settings"] = {"modality": options.modality, "steps": options.steps, "folds": options.folds, "patch": options.patch}
    return Findings(PROTOCOL, cases, summary, downstream_text, downstream_figure, (14.0, 5.0))


def _rows(order: Order) -> list[Row]:
    modality, folds = order.options.modality, order.options.folds
    if modality not in MODALITIES:
        raise DataError("downstream.modality", f"There is no modality {modality!r}.", f"Choose {', '.join(MODALITIES)}.")
    splits = SPLITS if order.split == "all" else (order.split,)
    rows = tumor_rows([row for split in splits for row in read_index(order.data, split)], (modality,))
    rows = limited(rows, order.limit)
    patients = {row["patient_id"] for row in rows}
    if len(patients) < folds:
        message = f"{len(patients)} patients have a soft-tissue tumor in {modality}; {folds} folds were asked for."
        raise DataError("downstream.patients", message, "Ask for fewer folds, or for --split all.")
    return rows


def _blocks(order: Order) -> Iterator[list[Key]]:
    """All arms of a fold and seed: compared only when all are done, so that every arm has seen the same."""
    for seed in range(order.options.seeds):
        for fold in range(order.options.folds):
            yield [Key(seed, fold, name) for name in ARMS]


def _work_off(
    order: Order, images: Sequence[LabeledImage], folds: Mapping[str, int], config: SegmenterConfig, store: Store, stop: float
) -> None:
    """Train what is not done yet, as long as there is time."""
    keys = [key for block in _blocks(order) for key in block]
    if all(store.scores(key) is not None for key in keys):
        return
    settings = InsertionSettings(Wishes(shape={VOLUME: VOLUMES_MM3}))
    inserter = Inserter(Models(order.bundle, choose_device("auto")), images[0].domain.id, settings)
    prepared = {image.id: working(image, config.spacing_mm) for image in images}

    def enough() -> bool:
        return time.monotonic() >= stop

    for number, key in enumerate(keys):
        if store.scores(key) is not None:
            continue
        if enough():
            return
        train = [prepared[image.id] for image in images if folds[image.patient] != key.fold]
        test = [image for image in images if folds[image.patient] == key.fold]

        def told(share: float, done: int = number, name: str = key.name) -> None:
            order.report(f"training {name}", (done + share) / len(keys))

        scores = train_and_test(key, train, test, inserter, config, order.options.steps, store.state(key), enough, told)
        if scores is not None:
            store.keep(key, scores)


def _cases(
    rows: Sequence[Row], images: Sequence[LabeledImage], folds: Mapping[str, int], store: Store, done: Sequence[list[Key]]
) -> list[dict[str, Any]]:
    """Every image with the scores of all trainings that tested it."""
    cases = []
    for row, image in zip(rows, images, strict=True):
        scores: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
        for key in (key for block in done for key in block):
            found = store.scores(key)
            if key.fold == folds[image.patient] and found is not None:
                scores[key.arm].append(found[image.id])
        if not scores[ARMS[0]]:
            continue
        cases.append(
            {
                "id": image.id,
                "patient": image.patient,
                "modality": image.domain.modality.split("-")[0],
                "fold": folds[image.patient],
                "seen_by_bundle": row["split"] == "train",
                "volume_ml": float(image.tumor.sum() * image.scan.geometry.voxel_volume_mm3 / 1000.0),
                "scores": scores,
            }
        )
    return cases
