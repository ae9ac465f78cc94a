"""Scans that tests edit: a soft-tissue phantom on grids as scanners make them, and requests with few steps."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.protocol import Request, parse_request
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import read_volume


def geometry(kind: str) -> Geometry:
    """Grids as scanners make them."""
    affine = np.diag([1.5, 1.5, 2.0, 1.0])
    shape = (64, 56, 40)
    if kind == "thick":
        affine, shape = np.diag([0.9, 0.9, 5.0, 1.0]), (96, 96, 18)
    if kind == "oblique, left-handed":
        turn = np.array([[np.cos(0.4), -np.sin(0.4), 0], [np.sin(0.4), np.cos(0.4), 0], [0, 0, 1]])
        affine[:3, :3] = turn @ np.diag([-1.5, 1.5, 2.0])
    affine[:3, 3] = [-40.0, 15.0, -30.0]
    return Geometry(shape, affine)


def phantom(kind: str = "plain", dtype: str = "int16") -> Volume:
    """A soft-tissue CT: air, fat, muscle with noise."""
    grid = geometry(kind)
    rng = np.random.default_rng(1)
    ijk = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in grid.shape), indexing="ij"))
    radius = np.sqrt((ijk[:2] ** 2).sum(axis=0))
    values = np.select([radius > 0.95, radius > 0.8], [-1000.0, -100.0], 50.0) + rng.normal(0, 8, grid.shape)
    return Volume(values.astype(dtype), grid)


def middle(volume: Volume) -> np.ndarray:
    """RAS of the middle of a scan."""
    return volume.geometry.to_ras((np.array(volume.array.shape) - 1) / 2)


def ball(volume: Volume, radius_mm: float, offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Volume:
    """A ball around the middle of a scan, or beside it."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in volume.array.shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(volume.geometry.to_ras(grid) - middle(volume) - np.array(offset_mm), axis=-1)
    return Volume(distance <= radius_mm, volume.geometry)


def request(op: str, image: Path | None, out: Path, **more: Any) -> Request:
    """A parsed request with few steps."""
    values = {"schema": 1, "op": op, "out": str(out), "steps": 2, "domain": "soft-tissue-ct", **more}
    if image is not None:
        values["image"] = str(image)
    return parse_request(values)


def insert(image: Path, out: Path, **more: Any) -> Request:
    """An insertion of 3 mL in the middle."""
    more.setdefault("shape", {"volume_ml": 3.0})
    more.setdefault("at", middle(read_volume(image)).tolist())
    return request("insert", image, out, **more)


def with_exemplars(bundle: Bundle, tumors: dict[str, list[tuple[float, float]]]) -> Bundle:
    """The bundle with real tumors, of a mean and a volume in mm^3, for some domains."""

    def exemplar(mean: float, volume: float) -> dict[str, float]:
        return {"firstorder_Mean": mean, "firstorder_Variance": 100.0, "shape_VoxelVolume": volume}

    entries = [
        {**entry, "exemplars": [exemplar(*tumor) for tumor in tumors[entry["id"]]]} if entry["id"] in tumors else entry
        for entry in bundle.info["domains"]
    ]
    return replace(bundle, info={**bundle.info, "domains": entries})


def with_entries(bundle: Bundle, **entries: Any) -> Bundle:
    """A bundle whose soft-tissue CT domain says more."""
    info = copy.deepcopy(bundle.info)
    next(entry for entry in info["domains"] if entry["id"] == "soft-tissue-ct").update(entries)
    return replace(bundle, info=info)
