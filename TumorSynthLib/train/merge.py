"""Many small training files into one, image by image, so that memory does not grow with their number."""

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.dataset import Region, TrainingData, image_entry, load_training_data
from TumorSynthLib.errors import DataError
from TumorSynthLib.protocol import TEXTURE_FEATURES


def merge_training_files(paths: Sequence[Path], out: Path) -> None:
    """Write one training file with the images and regions of several, in order, whole or not at all.

    Parameters
    ----------
    paths : training files of the same working grid and features.
    out : the file.

    Raises
    ------
    DataError : when one of them is broken.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".partial-{out.name}")
    work = WorkConfig()
    regions: list[Region] = []
    entries: list[dict[str, object]] = []
    features: list[np.ndarray] = []
    tumors: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            for path in paths:
                data = _read(path)
                work = data.work
                first = len(entries)
                regions += [replace(region, image=region.image + first) for region in data.regions]
                features.append(data.features)
                for image in data.images:
                    number = len(entries)
                    _write(archive, f"image_{number:04d}", image.counts)
                    if image.tumors is not None:
                        tumors[f"tumors_{number:04d}"] = image.tumors
                    entries.append(image_entry(image))
            for name, packed in tumors.items():
                _write(archive, name, packed)
            _write_masks(archive, paths, len(regions), work)
            _write(archive, "features", np.concatenate([np.empty((0, len(TEXTURE_FEATURES)), np.float32), *features]))
            meta = {
                "schema": 1,
                "images": entries,
                "regions": [asdict(region) for region in regions],
                "names": list(TEXTURE_FEATURES),
                "work": asdict(work),
            }
            _write(archive, "meta", np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8))
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path) -> TrainingData:
    """A training file; a broken one is removed, so that the next run makes it again."""
    try:
        return load_training_data(path)
    except DataError:
        path.unlink(missing_ok=True)
        raise


def _write(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    """One array, as numpy's npz has it."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)


def _write_masks(archive: zipfile.ZipFile, paths: Sequence[Path], rows: int, work: WorkConfig) -> None:
    """The masks of all files as one array, a file at a time."""
    width = (work.size**3 + 7) // 8
    with archive.open("masks.npy", "w", force_zip64=True) as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, width)}
        np.lib.format.write_array_header_1_0(stream, header)
        for path in paths:
            with np.load(path, allow_pickle=False) as file:
                stream.write(np.ascontiguousarray(file["masks"], dtype=np.uint8).tobytes())
