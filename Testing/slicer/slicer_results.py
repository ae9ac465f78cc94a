"""Result folders as the worker writes them, made without it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from TumorSynthLib.segments import SegmentStyle, segment_keys
from TumorSynthLib.volume import mask_box
from TumorSynthSlicer.grids import ijkToRas
from TumorSynthSlicer.nrrd_files import writeNrrd
from TumorSynthSlicer.tasks import finished


def writeResult(
    folder: Path,
    volume: Any,
    array: np.ndarray,
    masks: Mapping[str, np.ndarray],
    changed: bool = True,
    **values: Any,
) -> Path:
    """Write image, segmentation and result.json.

    Parameters
    ----------
    volume : the scan that was edited.
    array : the edited voxels [k, j, i].
    masks : bool (i, j, k) on the whole grid by name of segment.
    changed : whether result.json tells what was changed.
    values : further fields of result.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished(writeNrrd(folder / "image.nrrd", array, ijkToRas(volume), {"TumorSynth_Synthetic": "SYNTHETIC"}))
    writeSegmentation(folder, volume, masks)
    told: dict[str, Any] = {"schema": 1, "synthetic": "SYNTHETIC", "request": {"op": "insert", "seed": 7}, "measured": {}}
    if changed:
        box = mask_box((array != slicer.util.arrayFromVolume(volume)).transpose(2, 1, 0))
        told["changed"] = {"start": list(box.start), "stop": list(box.stop)}
    (folder / "result.json").write_text(json.dumps({**told, **values}), encoding="utf-8")
    return folder


def writeSegmentation(folder: Path, volume: Any, masks: Mapping[str, np.ndarray]) -> None:
    """Write segmentation.seg.nrrd."""
    labels = np.zeros(volume.GetImageData().GetDimensions(), np.uint8)
    boxes = [mask_box(mask) if mask.any() else None for mask in masks.values()]
    for number, mask in enumerate(masks.values(), start=1):
        labels[mask] = number
    styles = [SegmentStyle(name, (1.0, 0.0, 0.0)) for name in masks]
    keys = segment_keys(styles, [None if box is None else (box.start, box.stop) for box in boxes])
    path = folder / "segmentation.seg.nrrd"
    finished(writeNrrd(path, np.ascontiguousarray(labels.transpose(2, 1, 0)), ijkToRas(volume), keys, compress=True))
