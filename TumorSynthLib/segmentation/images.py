"""Images as the segmenter sees them: normalized like everywhere else, on an isotropic grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TumorSynthLib.configs import Domain
from TumorSynthLib.index import domain_of
from TumorSynthLib.intensity import Intensity, fit_intensity
from TumorSynthLib.resample import resample
from TumorSynthLib.segmentation.network import MODALITIES
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import read_volume

Row = dict[str, str]


@dataclass(frozen=True, eq=False)
class LabeledImage:
    """An image with its tumors, as read."""

    id: str
    """Name in the index."""
    patient: str
    """Patient; no patient is ever trained on and tested."""
    domain: Domain
    """Organ and modality."""
    scan: Volume
    """Stored values."""
    tumor: np.ndarray
    """All tumors of the image, bool on the scan's grid."""
    intensity: Intensity
    """From stored values to network input, fitted to the scan."""


@dataclass(frozen=True, eq=False)
class Sample:
    """An image on the working grid."""

    v: np.ndarray
    """Network input, float32 (i, j, k)."""
    tumor: np.ndarray
    """Its tumors, bool (i, j, k)."""
    kind: int
    """Number of the modality in ``MODALITIES``."""


def read_labeled(data: Path, row: Row) -> LabeledImage:
    """The image and the tumors of an index row; an image without a mask file has none."""
    scan, domain = read_volume(data / row["file"]), domain_of(row)
    tumor = np.zeros(scan.array.shape, bool) if not row["mask_file"] else read_volume(data / row["mask_file"]).array > 0
    return LabeledImage(row["id"], row["patient_id"], domain, scan, tumor, fit_intensity(scan.array, domain))


def tumor_rows(rows: Sequence[Row], modalities: Sequence[str] = MODALITIES) -> list[Row]:
    """Soft-tissue tumors among index rows, of some modalities."""
    wanted = [row for row in rows if row["role"] == "tumor" and row["organ"].startswith("soft tissue")]
    return [row for row in wanted if row["modality"].split("-")[0] in modalities]


def sample_of(image: LabeledImage, spacing_mm: float) -> Sample:
    """An image on the isotropic grid of the network."""
    v, grid = network_input(image.scan, image.intensity, spacing_mm)
    tumor = resample(image.tumor, image.scan.geometry, grid, outside=0.0) > 0.5
    return Sample(v, tumor, kind_of(image.domain))


def network_input(scan: Volume, intensity: Intensity, spacing_mm: float) -> tuple[np.ndarray, Geometry]:
    """A scan as network input on an isotropic grid along its own axes."""
    grid = isotropic(scan.geometry, spacing_mm)
    values = resample(scan.array, scan.geometry, grid)
    return intensity.to_input(intensity.normalize(values)), grid


def isotropic(geometry: Geometry, spacing_mm: float) -> Geometry:
    """The grid of cubes that covers another one, axes and the middle in common."""
    extent = np.array(geometry.shape) * geometry.spacing
    shape = np.maximum(1, np.ceil(extent / spacing_mm - 1e-6)).astype(int)
    affine = geometry.affine.copy()
    affine[:3, :3] *= spacing_mm / geometry.spacing
    middle = geometry.to_ras((np.array(geometry.shape) - 1) / 2.0)
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2.0)
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def kind_of(domain: Domain) -> int:
    """Number of a domain's modality.

    >>> from TumorSynthLib.configs import DOMAINS
    >>> kind_of(DOMAINS[0])
    0
    """
    return MODALITIES.index(domain.modality.split("-")[0])
