"""A visual Turing test: real tumors and made ones in one shuffled, self-contained page, and the key to it in another file."""

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.device import choose_device
from TumorSynthLib.edit import TextureEdit, work_task
from TumorSynthLib.errors import DataError
from TumorSynthLib.evaluate.cases import Case
from TumorSynthLib.evaluate.order import Progress
from TumorSynthLib.evaluate.reader_page import page
from TumorSynthLib.evaluate.texture import GUIDANCE, STEPS, tumor_rows
from TumorSynthLib.evaluate.texture_arms import Finisher, Tumor, read_tumor
from TumorSynthLib.existing import centroid
from TumorSynthLib.resample import resample
from TumorSynthLib.synthesis import candidate_seeds
from TumorSynthLib.texture import Sampling, TextureModel
from TumorSynthLib.volume import Geometry, Volume, mask_box

REAL, SYNTHETIC = "real", "synthetic"
MARGIN_MM = 40.0
"""Surroundings of the tumor that are shown."""
PIXELS = 160
"""Most pixels along an edge of a slice."""
SLICE_MM = 3.0
"""Least distance between two slices."""
SCALES = {"CT": 8.0, "MR": 100.0, "PET": 500.0}
"""Steps per domain unit at which voxels are stored: finer than a display shows."""
_LIMIT = 32000


@dataclass(frozen=True)
class StudySettings:
    """What a study is made of."""

    modality: str | None = None
    """CT, MR or PET; None takes all."""
    cases: int | None = None
    """How many cases; None takes all of the split."""
    seed: int = 0
    """Decides which are real and in which order they come."""
    title: str = "Reader study"
    """Shown above the images."""


def write_study(
    data: Path, split: str, out: Path, bundle: Bundle, settings: StudySettings, progress: Progress | None = None
) -> Path:
    """Write the page, and its key beside it as ``<name>.key.json``.

    Every image of the split comes up once, real or with its tumor made anew from its own mask and features, half of each.
    Nothing in the page tells which, also not its order.

    Parameters
    ----------
    data : folder with ``index.csv``.
    split : name of the split.
    out : the page, an HTML file.
    bundle : that makes the tumors.
    settings : of the study.
    progress : follows the work.

    Returns
    -------
    The key's path.

    Raises
    ------
    DataError : when there are fewer than two cases.
    """
    rows = [row for row in tumor_rows(data, split, None) if settings.modality in (None, row["modality"].split("-")[0])]
    rng = np.random.default_rng(settings.seed)
    rows = [rows[n] for n in rng.permutation(len(rows))[: settings.cases]]
    if len(rows) < 2:
        raise DataError("study.cases", f"The split {split!r} has {len(rows)} such cases; 2 are needed.", "Choose another one.")
    made = np.arange(len(rows)) % 2 == 1
    model = TextureModel(bundle, choose_device("auto"))
    shown, key = [], []
    for number, row in enumerate(rows):
        tumor = read_tumor(row, data, bundle)
        scan = remade(tumor, model) if made[number] else tumor.case.scan
        shown.append(embedded(tumor.case, scan, tumor.mask))
        key.append({"source": row["id"], "patient": row["patient_id"], "truth": SYNTHETIC if made[number] else REAL})
        if progress is not None:
            progress("cases", (number + 1) / len(rows))
    return _write(out, shown, key, bundle, settings, rng.permutation(len(rows)))


def _write(
    out: Path,
    shown: list[dict[str, Any]],
    key: list[dict[str, Any]],
    bundle: Bundle,
    settings: StudySettings,
    order: np.ndarray,
) -> Path:
    """Number the cases in their final order and write page and key."""
    names = [f"case {n + 1:02d}" for n in range(len(order))]
    cases = [{"name": name, **shown[int(n)]} for name, n in zip(names, order, strict=True)]
    identity = hashlib.sha256("".join(case["voxels"] for case in cases).encode()).hexdigest()[:16]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(settings.title, identity, cases), encoding="utf-8")
    told = {
        "study": identity,
        "bundle": bundle.identity,
        "seed": settings.seed,
        "cases": {name: key[int(n)] for name, n in zip(names, order, strict=True)},
    }
    path = out.with_suffix(".key.json")
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return path


def remade(tumor: Tumor, model: TextureModel) -> Volume:
    """The scan with its tumor made anew from its own mask and features, as the program does unless told otherwise."""
    asked = {name: tumor.features[name] for name in model.config.tokens if name in tumor.features}
    task, grid = work_task(tumor.case.scene(tumor.blank), TextureEdit(tumor.mask, asked), WorkConfig())
    (seed,) = candidate_seeds(zlib.crc32(tumor.case.id.encode()), 1)
    drawn = model.synthesize(task, Sampling(STEPS, GUIDANCE, (seed,)))[0]
    work = Finisher(tumor, grid, model.scales[tumor.case.domain.id])
    candidate = work.candidate(work.native(drawn), asked, True, seed)
    if candidate is None:
        message = f"The features of the tumor of {tumor.case.id} cannot be measured."
        raise DataError("study.features", message, "Leave that image out.")
    return candidate.apply(tumor.blank)


def embedded(case: Case, scan: Volume, mask: np.ndarray) -> dict[str, Any]:
    """Axial slices around a tumor for the page: size, pixel, marker, windows, and the voxels as text.

    Slices run upwards; rows run to the back and columns to the patient's left, as radiologists look at them. The voxels are
    domain values times ``scale`` as little-endian 16-bit whole numbers, gzipped, in base64.
    """
    grid = display_grid(scan.geometry, mask)
    u = resample(case.intensity.normalize(scan.array), scan.geometry, grid)
    scale = SCALES[case.modality]
    voxels = np.clip(np.rint(u * scale), -_LIMIT, _LIMIT).astype("<i2").transpose(2, 1, 0)
    marker = np.rint(grid.to_ijk(centroid(mask, scan.geometry))).astype(int)
    # A fixed time stamp: the same study gives the same bytes.
    packed = gzip.compress(np.ascontiguousarray(voxels).tobytes(), 9, mtime=0)
    return {
        "shape": [int(n) for n in voxels.shape],
        "marker": [int(n) for n in marker[::-1]],
        "pixel_mm": [float(grid.spacing[0]), float(grid.spacing[2])],
        "modality": case.modality,
        "scale": scale,
        "windows": windows(case, u),
        "voxels": base64.b64encode(packed).decode(),
    }


def display_grid(geometry: Geometry, mask: np.ndarray) -> Geometry:
    """Square pixels in axial slices around a mask, within the scan."""
    box = mask_box(mask).expanded(MARGIN_MM / geometry.spacing, geometry.shape)
    ends = np.array([[box.start[a], box.stop[a] - 1] for a in range(3)], dtype=np.float64)
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    points = geometry.to_ras(corners)
    low, high = points.min(axis=0), points.max(axis=0)
    finest = float(np.sort(geometry.spacing)[:2].mean())
    pixel = max(finest, float((high - low)[:2].max()) / (PIXELS - 1))
    steps = np.array([pixel, pixel, max(SLICE_MM, finest)])
    shape = np.floor((high - low) / steps).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1.0, -1.0, 1.0] * steps)
    affine[:3, 3] = [high[0], high[1], low[2]]
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def windows(case: Case, u: np.ndarray) -> list[Mapping[str, Any]]:
    """Named display windows of a modality, in domain values."""
    if case.modality == "CT":
        known: Sequence[tuple[str, float, float]] = (
            ("soft tissue", -160.0, 240.0),
            ("bone", -450.0, 1050.0),
            ("lung", -1000.0, 400.0),
        )
    elif case.modality == "PET":
        known = (("SUV 5", 0.0, 5.0), ("SUV 10", 0.0, 10.0), ("SUV 20", 0.0, 20.0))
    else:
        middle = float(np.percentile(u, 99.0))
        known = (("whole range", 0.0, 100.0), ("contrast", 0.0, max(1.0, middle)), ("narrow", 0.0, max(1.0, 0.6 * middle)))
    return [{"name": name, "low": round(low, 3), "high": round(high, 3)} for name, low, high in known]
