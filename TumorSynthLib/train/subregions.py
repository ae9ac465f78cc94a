"""The two sub-regions of a tumor: the core and the rest, from labels where there are any, else by depth.

A core is what lies inside: the tumor core inside its edema (BraTS), necrosis inside an enhancing part. Where nobody labeled
sub-regions, the deepest part of the tumor stands for the core, so that every domain knows how the middle of its tumors differs
from their outer part.
"""

from pathlib import Path

import numpy as np
from scipy import ndimage

from TumorSynthLib.volume import Geometry, mask_box
from TumorSynthLib.volume_io import read_volume

EDEMA = 2
"""BraTS label of the edema; every other label inside the tumor is its core."""
LEAST_VOXELS = 30
"""Smallest sub-region that counts."""
DEPTH_SHARES = (0.15, 0.5)
"""Least and largest share of the volume that is taken as the core where nothing is labeled."""


def subregion_file(data: Path, row: dict[str, str]) -> Path | None:
    """The label map of an image's sub-regions: the index's column ``subregion_file``, or the file beside the image that is
    named like it up to an underscore and ends in ``_subregions``; None where there is none.

    Parameters
    ----------
    data : folder of the index.
    row : of the index; ``file`` is the image's path in the folder.
    """
    named = row.get("subregion_file")
    if named:
        return data / named
    image = data / row["file"]
    words = image.name.removesuffix(".gz").removesuffix(".nii").split("_")
    for count in range(len(words), 0, -1):
        path = image.with_name(f"{'_'.join(words[:count])}_subregions.nii.gz")
        if path.exists():
            return path
    return None


def core_of(data: Path, row: dict[str, str], tumor: np.ndarray, geometry: Geometry, rng: np.random.Generator) -> np.ndarray:
    """The core of a tumor, bool on its grid; all False where one of the two sub-regions would be too small.

    Parameters
    ----------
    data, row : data folder and index row.
    tumor : the whole tumor, bool (i, j, k).
    geometry : its grid.
    rng : draws the share where nothing is labeled.
    """
    path = subregion_file(data, row)
    if path is None:
        core = deepest(tumor, geometry, float(rng.uniform(*DEPTH_SHARES)))
    else:
        labels = read_volume(path).array
        core = tumor & (labels > 0) & (labels != EDEMA) if labels.shape == tumor.shape else np.zeros_like(tumor)
    return core_if_enough(core, tumor)


def core_if_enough(core: np.ndarray, tumor: np.ndarray) -> np.ndarray:
    """The core, or nothing where it or the rest of the tumor would be too small to have a texture."""
    enough = min(int(core.sum()), int(tumor.sum()) - int(core.sum())) >= LEAST_VOXELS
    return core if enough else np.zeros_like(tumor)


def deepest(tumor: np.ndarray, geometry: Geometry, share: float) -> np.ndarray:
    """The given share of a tumor's voxels that lies farthest from its surface, bool on its grid."""
    if not tumor.any():
        return np.zeros_like(tumor)
    box = mask_box(tumor)
    inside = tumor[box.slices]
    spacing = tuple(float(step) for step in geometry.spacing)
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    core = np.zeros_like(tumor)
    core[box.slices] = inside & (depth >= np.quantile(depth[inside], 1.0 - share))
    return core
