"""Training the independent segmenter on the tumors of one split."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from TumorSynthLib.errors import DataError
from TumorSynthLib.index import read_index
from TumorSynthLib.segmentation.images import Sample, read_labeled, sample_of, tumor_rows
from TumorSynthLib.segmentation.network import MODALITIES, SegmenterConfig, save_segmenter
from TumorSynthLib.segmentation.patches import batch_of, draw_patch, varied
from TumorSynthLib.segmentation.training import Fit, Schedule
from TumorSynthLib.train.common import Log

CHECKPOINT = "fit.pt"


def train_segmenter(
    data: Path,
    out: Path,
    steps: int,
    split: str = "train",
    batch: int = 2,
    seed: int = 0,
    config: SegmenterConfig | None = None,
    device: str = "cpu",
    told: Callable[[int, float], None] | None = None,
) -> Path:
    """Fit one network to the soft-tissue tumors of all modalities of a split; a run that was stopped goes on.

    Parameters
    ----------
    data : folder with ``index.csv``.
    out : folder of the segmenter, of the log and of the state to resume from.
    steps : optimizer steps of the whole run.
    split : never the split that is evaluated.
    batch : patches per step, modalities taking turns.
    seed : of weights and patches.
    config : of the network.
    device : where it runs.
    told : called with the step and its loss.

    Returns
    -------
    The folder, which ``Segmenter.load`` reads.

    Raises
    ------
    DataError : when the split has no soft-tissue tumors.
    """
    config = config or SegmenterConfig()
    rows = tumor_rows(read_index(data, split))
    if not rows:
        raise DataError("segmenter.data", f"The split {split!r} has no soft-tissue tumors.", "Choose another split.")
    samples = [sample_of(read_labeled(data, row), config.spacing_mm) for row in rows]
    log = Log(out)

    def report(step: int, loss: float) -> None:
        if step % 10 == 0:
            log.write(step=step, loss=loss)
        if told is not None:
            told(step, loss)

    fit = Fit(config, Schedule(steps), seed, out / CHECKPOINT, device)
    network = fit.run(lambda step: mixed_batch(samples, config.patch, batch, (seed, step)), report)
    patients = sorted({row["patient_id"] for row in rows})
    about = {"split": split, "images": len(rows), "patients": patients, "steps": steps, "batch": batch, "seed": seed}
    save_segmenter(out, config, network, about)
    return out


def mixed_batch(samples: list[Sample], size: int, count: int, seed: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Patches of random images with classical augmentation; every modality that there is comes up equally often."""
    rng = np.random.default_rng(seed)
    kinds = [kind for kind in range(len(MODALITIES)) if any(sample.kind == kind for sample in samples)]
    chosen = []
    for number in range(count):
        kind = kinds[(seed[1] * count + number) % len(kinds)]
        own = [sample for sample in samples if sample.kind == kind]
        chosen.append(own[int(rng.integers(len(own)))])
    patches = [varied(draw_patch(sample, size, rng), rng) for sample in chosen]
    return batch_of(patches, [sample.kind for sample in chosen])
