"""Reads files of bit-packed tumor masks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TumorSynthLib.errors import DataError

MIN_ANNOTATORS = 3
"""Lung nodules marked by fewer radiologists have uncertain contours."""


@dataclass(frozen=True, eq=False)
class StoredShape:
    """One real tumor."""

    id: str
    """Name of the shape."""
    patient: str
    """Whose it is."""
    mask: np.ndarray
    """Boolean (x, y, z), two empty voxels around the tumor."""
    spacing: np.ndarray
    """mm along x, y, z."""
    share: float
    """Share of the file read so far."""


def read_shapes(path: Path) -> Iterator[StoredShape]:
    """Whole, reliable masks of one file, in the file's order.

    Shapes cut by the border of their scan are left out, and nodules marked by fewer than ``MIN_ANNOTATORS``.

    Raises
    ------
    DataError : when the file does not exist.
    """
    if not path.exists():
        raise DataError("shapes.missing", f"{path} does not exist.", "Check the data folder and the split.")
    with np.load(path) as file:
        table = {key: file[key] for key in file.files}
    keep = ~table["touches_border"]
    if "meta_n_annotators" in table:
        keep &= table["meta_n_annotators"] >= MIN_ANNOTATORS
    for index in np.flatnonzero(keep):
        shape = table["shapes"][index]
        start, stop = table["offsets"][index : index + 2]
        mask = np.unpackbits(table["packed"][start:stop])[: shape.prod()].reshape(shape).astype(bool)
        spacing = table["spacing"][index].astype(np.float64)
        share = float(index + 1) / len(keep)
        yield StoredShape(
            str(table["ids"][index]), str(table["patients"][index]), mask.transpose(2, 1, 0), spacing[::-1], share
        )
