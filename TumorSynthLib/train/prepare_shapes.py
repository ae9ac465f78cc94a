"""Turns bit-packed tumor masks into one training file of canonical fields and features."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.errors import DataError
from TumorSynthLib.shape_field import BALL_VOLUME, canonical_field
from TumorSynthLib.shape_files import read_shapes
from TumorSynthLib.shape_surface import surface_and_volume

SOURCES = {
    "kits23_tumor": "kidney",
    "kits23_cyst": "kidney-cyst",
    "lidc_nodule": "lung",
    "brats20_tc": "brain-core",
    "brats20_wt": "brain-whole",
}
"""Shape files and the organ token of each."""
FEATURES = ("volume_mm3", "sphericity", "elongation", "flatness", "fill", "voxels")
"""Columns of ``features`` in the training file."""


def prepare_shapes(data: Path, split: str, out: Path, progress: Callable[[float], None] | None = None) -> int:
    """Write the training file of the shape generator.

    Parameters
    ----------
    data : folder with ``shapes/<source>_<split>.npz``.
    split : name of the split.
    out : ``.npz`` to write: ``fields`` (int8, n x 32^3, 127 = one radius), ``semi_axes`` (mm), ``features``
        (columns ``feature_names``), ``organ`` (index into ``organs``), ``patients``.
    progress : called with a share from 0 to 1.

    Returns
    -------
    Number of shapes written.

    Raises
    ------
    DataError : when no shape file of the split exists.
    """
    config = ShapeConfig()
    rows: list[dict[str, Any]] = []
    sources = [name for name in SOURCES if (data / "shapes" / f"{name}_{split}.npz").exists()]
    if not sources:
        raise DataError("shapes.missing", f"There are no shapes of split {split!r} in {data}.", "Check folder and split.")
    for index, source in enumerate(sources):
        for stored in read_shapes(data / "shapes" / f"{source}_{split}.npz"):
            rows.append(shape_row(stored.mask, stored.spacing, stored.patient, config.organs.index(SOURCES[source]), config))
            if progress is not None:
                progress((index + stored.share) / len(sources))
    write_shape_rows(rows, out, config)
    return len(rows)


def write_shape_rows(rows: Sequence[Mapping[str, Any]], out: Path, config: ShapeConfig) -> None:
    """Write the rows of ``shape_row`` as one training file, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    table: dict[str, Any] = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    table |= {"organs": np.array(config.organs), "feature_names": np.array(FEATURES), "half_width": np.array(config.half_width)}
    partial = out.with_name(f".partial-{out.name}")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, **table)
    partial.replace(out)


def shape_row(mask: np.ndarray, spacing: np.ndarray, patient: str, organ: int, config: ShapeConfig) -> dict[str, Any]:
    """One shape's entry of the training file.

    Parameters
    ----------
    mask : bool (i, j, k), with empty voxels around the shape.
    spacing : mm along i, j, k.
    patient : whose it is.
    organ : index into the config's organs; their number means another organ.
    config : of the shape generator.
    """
    field, frame = canonical_field(mask, spacing, config.grid, config.half_width)
    area, mesh_volume = surface_and_volume(np.pad(mask, 1), spacing)
    volume = float(mask.sum() * np.prod(spacing))
    axes = frame.semi_axes
    return {
        "fields": np.round(field * 127.0).astype(np.int8),
        "semi_axes": axes.astype(np.float32),
        "features": np.array(
            [
                volume,
                (36.0 * np.pi * mesh_volume**2) ** (1.0 / 3.0) / area,
                axes[1] / axes[0],
                axes[2] / axes[0],
                volume / (BALL_VOLUME * float(np.prod(axes))),
                float(mask.sum()),
            ],
            dtype=np.float32,
        ),
        "organ": organ,
        "patients": patient,
    }
