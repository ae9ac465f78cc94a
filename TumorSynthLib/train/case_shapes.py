"""The tumor shapes of a scan: rows for the shape generator, and masks that regions of other scans are cut with."""

import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.train.lesions import Cut, whole_shapes
from TumorSynthLib.train.prepare_shapes import shape_row
from TumorSynthLib.train.readers.record import Record
from TumorSynthLib.train.readers.scan import shape_masks

BANK = 24
"""Shapes of other scans that the regions of one are cut with."""


def chosen_shapes(record: Record, shapes: Sequence[Path]) -> list[Path]:
    """Files of shapes for a scan: those with the lowest hash together with its name.

    So a further scan in the data set changes the choice of few others.
    """
    ranked = sorted(shapes, key=lambda path: (zlib.crc32(f"{record.dataset}/{record.id}/{path.stem}".encode()), path.stem))
    return sorted(ranked[:BANK], key=lambda path: path.stem)


def shape_table(record: Record, cut: Cut) -> dict[str, np.ndarray]:
    """Rows of the shape generator's training file for a scan, and its masks, bit-packed."""
    config = ShapeConfig()
    rows: list[dict[str, Any]] = []
    masks: list[np.ndarray] = []
    for organ, mask, geometry in shape_masks(record):
        number = config.organs.index(organ) if organ in config.organs else len(config.organs)
        for shape in whole_shapes(mask, geometry, cut):
            rows.append(shape_row(shape, np.ones(3), patient_name(record), number, config))
            masks.append(shape)
    table = {key: np.array([row[key] for row in rows]) for key in rows[0]} if rows else {}
    packed = [np.packbits(mask) for mask in masks]
    table["packed"] = np.concatenate([np.empty(0, np.uint8), *packed])
    table["offsets"] = np.cumsum([0, *(part.size for part in packed)])
    table["sizes"] = np.array([mask.shape for mask in masks], dtype=np.int32).reshape(-1, 3)
    return table


@lru_cache(maxsize=4 * BANK)
def stored_shapes(path: Path) -> tuple[np.ndarray, ...]:
    """The masks of ``shape_table``."""
    with np.load(path, allow_pickle=False) as file:
        packed, offsets, sizes = file["packed"], file["offsets"], file["sizes"]
    parts = zip(offsets[:-1], offsets[1:], sizes, strict=True)
    return tuple(np.unpackbits(packed[a:b])[: size.prod()].reshape(size).astype(bool) for a, b, size in parts)


def patient_name(record: Record) -> str:
    """The patient's name in training files, unique over data sets."""
    return f"{record.dataset}/{record.patient}"
