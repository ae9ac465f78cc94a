"""The compact training file: images in domain values, and regions with their masks and measured features."""

import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.configs import DOMAINS, Domain, WorkConfig
from TumorSynthLib.counterfactual import Change
from TumorSynthLib.errors import DataError
from TumorSynthLib.intensity import Intensity
from TumorSynthLib.resample import resample
from TumorSynthLib.volume import Geometry, work_grid

TUMOR, PART, HEALTHY, CORE, REST, CHANGED = 0, 1, 2, 3, 4, 5
"""Kinds of region: a whole tumor, a part of one, tissue without tumor, a tumor's core, the rest of that tumor, and any of these
with its look changed (see ``counterfactual``)."""


@dataclass(frozen=True, eq=False)
class TrainImage:
    """One image of the training file."""

    id: str
    """Name in the data set's index."""
    patient: str
    """Patient, for splits."""
    domain: Domain
    """Organ and modality."""
    counts: np.ndarray
    """Stored values, int16 (i, j, k)."""
    step: float
    """Domain units per count."""
    geometry: Geometry
    """Where the voxels are."""
    tumors: np.ndarray | None = None
    """Bit-packed voxels of every tumor that is known of, uint8; None in training files that do not say."""
    licence: str = ""
    """Licence of the image, where the data set's index has one."""

    @property
    def intensity(self) -> Intensity:
        """Maps of the stored counts: they are domain values already, up to a factor."""
        return Intensity(0.0, 1.0 / self.step, self.domain.center, self.domain.scale)

    @property
    def lowest(self) -> float:
        """Smallest domain value."""
        return float(self.counts.min()) * self.step

    def patch(self, grid: Geometry) -> np.ndarray:
        """Network input on a working grid, float32."""
        u = resample(self.counts, self.geometry, grid) * np.float32(self.step)
        return self.intensity.to_input(u)


@dataclass(frozen=True, eq=False)
class Region:
    """A masked region of an image on a working grid, with the features of the tissue inside."""

    image: int
    """Index of the image."""
    kind: int
    """TUMOR, PART, HEALTHY, CORE or REST."""
    center: tuple[float, float, float]
    """Center of the working grid, RAS mm."""
    spacing: float
    """Working voxel in mm."""
    flips: tuple[bool, bool, bool]
    """Axes of the working grid that are reversed (augmentation)."""
    volume_mm3: float
    """Volume of the region on the image's own grid."""
    change: Change | None = None
    """How its look differs from that in the image."""


def choose_spacing(extent_mm: float, native: Iterable[float], work: WorkConfig) -> float:
    """Working voxel in mm for a region of the given largest extent: fine enough to show texture, coarse enough for a margin.

    Never finer than the finest native spacing, which would only cost.
    """
    needed = extent_mm / (work.size * (1.0 - 2.0 * work.margin))
    return float(max(needed, work.min_spacing, min(native)))


def flip(array: np.ndarray, flips: Sequence[bool]) -> np.ndarray:
    """Reverse the chosen axes of an (i, j, k) array."""
    axes = tuple(axis for axis, flag in enumerate(flips) if flag)
    return np.ascontiguousarray(np.flip(array, axes)) if axes else array


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Everything the trainers of codec and bridge read."""

    images: tuple[TrainImage, ...]
    """All images."""
    regions: tuple[Region, ...]
    """All regions."""
    masks: np.ndarray
    """Bit-packed region masks on their (flipped) working grids, uint8 (n, size^3 / 8)."""
    features: np.ndarray
    """Measured texture features, float32 (n, names); NaN where undefined."""
    names: tuple[str, ...]
    """Names of the features."""
    work: WorkConfig
    """The working grid."""

    def mask(self, index: int) -> np.ndarray:
        """Mask of a region, bool (size, size, size)."""
        size = self.work.size
        return np.unpackbits(self.masks[index])[: size**3].reshape(size, size, size).astype(bool)

    def patch(self, index: int) -> np.ndarray:
        """Network input around a region, float32 (size, size, size)."""
        region = self.regions[index]
        image = self.images[region.image]
        grid = work_grid(image.geometry, np.array(region.center), region.spacing, self.work.size)
        if region.change is None:
            return flip(image.patch(grid), region.flips)
        u = resample(image.counts, image.geometry, grid) * np.float32(image.step)
        changed = region.change.apply(u, flip(self.mask(index), region.flips), grid, image.lowest)
        return flip(image.intensity.to_input(changed), region.flips)


def shapes_file(path: Path) -> Path:
    """Where the shapes of a training file are: beside it, ending in ``.shapes.npz``."""
    return path.with_suffix(".shapes.npz")


def image_entry(image: TrainImage) -> dict[str, Any]:
    """What a training file says about an image beside its voxels, JSON-ready."""
    return {
        "id": image.id,
        "patient": image.patient,
        "domain": image.domain.id,
        "step": image.step,
        "affine": image.geometry.affine.tolist(),
        "licence": image.licence,
    }


def _change(entry: Mapping[str, Any]) -> Change | None:
    """The change of a region's look, which older files do not have."""
    return Change(**entry["change"]) if entry.get("change") else None


def save_training_data(path: Path, data: TrainingData) -> None:
    """Write the training file (numpy's npz, compressed), whole or not at all."""
    arrays: dict[str, np.ndarray] = {f"image_{n:04d}": image.counts for n, image in enumerate(data.images)}
    arrays |= {f"tumors_{n:04d}": image.tumors for n, image in enumerate(data.images) if image.tumors is not None}
    meta = {
        "schema": 1,
        "images": [image_entry(image) for image in data.images],
        "regions": [asdict(region) for region in data.regions],
        "names": list(data.names),
        "work": asdict(data.work),
    }
    arrays["masks"] = data.masks
    arrays["features"] = data.features
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    partial = path.with_name(f".partial-{path.name}")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def load_training_data(path: Path) -> TrainingData:
    """Read a training file.

    Raises
    ------
    DataError : when the file is missing, broken or of another kind.
    """
    if not path.exists():
        raise DataError("data.missing", f"There is no training file {path}.", "Make one with `tumorsynth prepare`.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta: dict[str, Any] = json.loads(arrays["meta"].tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            "data.broken", f"{path} is not a training file: {error}", "Make it again with `tumorsynth prepare`."
        ) from error
    domains = {domain.id: domain for domain in DOMAINS}
    images = tuple(
        TrainImage(
            m["id"],
            m["patient"],
            domains[m["domain"]],
            arrays[f"image_{n:04d}"],
            m["step"],
            Geometry(arrays[f"image_{n:04d}"].shape, np.array(m["affine"])),
            arrays.get(f"tumors_{n:04d}"),
            m.get("licence", ""),
        )
        for n, m in enumerate(meta["images"])
    )
    regions = tuple(
        Region(r["image"], r["kind"], tuple(r["center"]), r["spacing"], tuple(r["flips"]), r["volume_mm3"], _change(r))
        for r in meta["regions"]
    )
    return TrainingData(images, regions, arrays["masks"], arrays["features"], tuple(meta["names"]), WorkConfig(**meta["work"]))
