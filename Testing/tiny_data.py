"""A small data folder in the layout of the training data, and a training file made from it, for tests."""

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.dataset import Region, TrainImage, TrainingData, save_training_data
from TumorSynthLib.index import read_index
from TumorSynthLib.protocol import TEXTURE_FEATURES
from TumorSynthLib.train.common import is_validation
from TumorSynthLib.train.prepare import Plan, ShapeBank, prepare_row

COLUMNS = [
    "id",
    "dataset",
    "organ",
    "modality",
    "split",
    "file",
    "mask_file",
    "spacing",
    "tumor_volume_mm3",
    "license",
    "patient_id",
    "role",
    "organ_mask_file",
    "size_voxels",
    "sphericity",
    "max_extent_mm",
    "touches_border",
    "note",
]
SIZE, SPACING, ORIGIN = (48, 44, 20), (2.0, 2.0, 3.3), (-40.0, 25.0, -310.0)
CENTER, RADII = (22.0, 20.0, 10.0), (16.0, 14.0, 15.0)
OTHER = (38.0, 34.0, 10.0)
TUMOR_LEVEL = {"CT": 80.0, "MR-T1": 900.0, "PET-FDG": 8.0}
SMALL = WorkConfig(size=32)


@cache
def patient(held: bool, number: int = 0) -> str:
    """The name of a training patient that validation holds out, or does not."""
    names = (f"TINY_{n:03d}" for n in range(10_000))
    fitting = (name for name in names if is_validation(name) == held)
    for _ in range(number):
        next(fitting)
    return next(fitting)


def ellipsoid(center: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """An ellipsoid (center in voxels, radii in mm) on the grid of the images, bool (i, j, k)."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SIZE), indexing="ij"), axis=-1)
    return ((((grid - center) * SPACING) / np.array(radii)) ** 2).sum(axis=-1) <= 1.0


def labels() -> np.ndarray:
    """1: the tumor. 2: another one. uint8 (i, j, k)."""
    values = ellipsoid(CENTER, RADII).astype(np.uint8)
    values[ellipsoid(OTHER, (9.0, 9.0, 12.0))] = 2
    return values


def image(modality: str, seed: int) -> np.ndarray:
    """Tissue with texture in air, and brighter tumors in it, (i, j, k)."""
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.normal(size=SIZE), 0.8)
    texture /= texture.std()
    background, body, deviation = {"CT": (-1000, 20, 15), "MR-T1": (0, 400, 60), "PET-FDG": (0, 1.5, 0.3)}[modality]
    values = body + deviation * texture
    values[labels() > 0] += TUMOR_LEVEL[modality] - body
    values[:3] = background
    return values.astype(np.float32 if modality == "PET-FDG" else np.int16)


def write(path: Path, array: np.ndarray) -> None:
    """Write an array (i, j, k) as NIfTI, axes in LPS order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    file.SetSpacing(SPACING)
    file.SetOrigin(ORIGIN)
    sitk.WriteImage(file, str(path))


def write_shapes(path: Path, seed: int) -> None:
    """Three tumor shapes, bit-packed, and one that the border of its scan cuts."""
    rng = np.random.default_rng(seed)
    packed, offsets, shapes = [], [0], []
    grid = np.stack(np.meshgrid(*[np.arange(22) - 10.5] * 3, indexing="ij"), axis=-1)
    for _ in range(4):
        mask = ((grid / rng.uniform(6.0, 10.0, 3)) ** 2).sum(axis=-1) <= 1.0
        packed.append(np.packbits(mask))
        offsets.append(offsets[-1] + packed[-1].size)
        shapes.append(mask.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        packed=np.concatenate(packed),
        offsets=np.array(offsets),
        shapes=np.array(shapes),
        spacing=np.ones((4, 3)),
        ids=np.array([f"{path.stem}_{n}" for n in range(4)]),
        patients=np.array([f"{path.stem}_patient_{n}" for n in range(4)]),
        touches_border=np.array([False, False, False, True]),
    )


def write_folder(folder: Path) -> Path:
    """Three training patients (one of them held out by validation) and one test patient; one image has no tumor."""
    cases = [
        (patient(False, 0), "CT", "soft tissue (extremity)", "train", "tumor"),
        (patient(False, 1), "MR-T1", "soft tissue (extremity)", "train", "tumor"),
        (patient(True, 0), "CT", "soft tissue (extremity)", "train", "tumor"),
        (patient(False, 2), "PET-FDG", "soft tissue (extremity)", "train", "healthy"),
        ("TEST_001", "CT", "soft tissue (extremity)", "test", "tumor"),
    ]
    rows = []
    for number, (name, modality, organ, split, role) in enumerate(cases):
        id_ = f"{name}_{modality.replace('-', '_')}"
        file, mask = f"images/tiny/{id_}.nii.gz", f"images/tiny/{id_}_mask.nii.gz"
        write(folder / file, image(modality, number))
        if role == "tumor":
            write(folder / mask, labels())
        row = dict.fromkeys(COLUMNS, "") | {"id": id_, "dataset": "tiny", "organ": organ, "modality": modality, "split": split}
        rows.append(row | {"file": file, "mask_file": mask if role == "tumor" else "", "patient_id": name, "role": role})
    for split in ("train", "test"):
        write_shapes(folder / "shapes" / f"kits23_tumor_{split}.npz", len(split))
        shape = {"id": f"kits23_tumor_{split}_0", "dataset": "kits23_tumor", "organ": "kidney", "split": split, "role": "shape"}
        rows.append(
            dict.fromkeys(COLUMNS, "") | shape | {"mask_file": f"shapes/kits23_tumor_{split}.npz#0", "patient_id": f"S_{split}"}
        )
    np.savez(folder / "shapes" / "kits23_context_train.npz", context=np.zeros((4, 4, 4), np.uint8))
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def training_data(folder: Path, work: WorkConfig = SMALL, plan: Plan | None = None) -> TrainingData:
    """What ``prepare`` writes for the training split of a tiny folder, without worker processes and on small working grids."""
    plan = plan or Plan(tumor=2, part=1, healthy=2)
    bank = ShapeBank(folder, "train")
    images: list[TrainImage] = []
    entries: list[tuple[Region, np.ndarray, list[float]]] = []
    for row in read_index(folder, "train"):
        found, regions = prepare_row(row, folder, bank, plan, work)
        entries += [(replace(region, image=len(images)), mask, values) for region, mask, values in regions]
        images.append(found)
    masks = np.array([mask for _, mask, _ in entries], dtype=np.uint8)
    features = np.array([values for _, _, values in entries], dtype=np.float32)
    return TrainingData(tuple(images), tuple(region for region, _, _ in entries), masks, features, TEXTURE_FEATURES, work)


def write_training_file(folder: Path, path: Path) -> TrainingData:
    """The training file of a tiny folder, on small working grids."""
    data = training_data(folder)
    save_training_data(path, data)
    return data
