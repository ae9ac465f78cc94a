"""DICOM series and result folders for tests: synthetic phantoms on grids as scanners, and other programs, make them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from TumorSynthLib.dicom_export import Exported
from TumorSynthLib.dicom_export_planes import Planes
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import sha256_file, write_segmentation, write_volume

CT, MR, PT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128"
_CLASSES = {"CT": CT, "MR": MR, "PT": PT}

Change = Callable[[int, Dataset], None]


def grid(kind: str, shape: tuple[int, int, int] = (14, 12, 9)) -> Geometry:
    """A grid by its name.

    Parameters
    ----------
    kind : ``axial``, ``sagittal``, ``coronal``, ``oblique``, ``left-handed``, ``flipped`` or ``slices first``.
    shape : voxels; those of ``slices first`` are in reverse order.
    """
    spacing = np.diag([0.7, 0.8, 2.5])
    turn = _rotation(0.3, 0.2) @ _rotation(0.1, -0.4).T
    affines = {
        "axial": np.diag([-1.0, -1.0, 1.0]) @ spacing,
        "sagittal": np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]) @ spacing,
        "coronal": np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]]) @ spacing,
        "oblique": turn @ np.diag([-1.0, -1.0, 1.0]) @ spacing,
        "left-handed": turn @ np.diag([1.0, -1.0, 1.0]) @ spacing,
        "flipped": np.diag([1.0, 1.0, -1.0]) @ spacing,
        "slices first": np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]) @ np.diag([4.0, 0.75, 0.75]),
    }
    affine = np.eye(4)
    affine[:3, :3] = affines[kind]
    affine[:3, 3] = [31.5, -20.25, 112.125]
    return Geometry(shape[::-1] if kind == "slices first" else shape, affine)


GRIDS = ("axial", "sagittal", "coronal", "oblique", "left-handed", "flipped", "slices first")


def _rotation(a: float, b: float) -> np.ndarray:
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return first @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])


def values(geometry: Geometry, low: int = -1000, high: int = 1200) -> np.ndarray:
    """Noise: every voxel has a value of its own, int16."""
    return np.asfortranarray(np.random.default_rng(5).integers(low, high, geometry.shape).astype(np.int16))


def as_slices(geometry: Geometry) -> Planes:
    """The grid as a scanner stores it: the last axis from slice to slice, nothing flipped."""
    return Planes(geometry, (0, 1, 2), (False, False, False))


def write_series(folder: Path, volume: Volume, modality: str = "CT", change: Change | None = None) -> list[Path]:
    """A series whose slices run along the last axis; names say nothing about their order.

    Parameters
    ----------
    folder : to make.
    volume : whole numbers; what is stored is 1024 more, unsigned, for a CT.
    modality : CT, MR or PT.
    change : called with the number of a slice and its data set before it is written.
    """
    folder.mkdir(parents=True)
    planes = as_slices(volume.geometry)
    affine, (across, down, through) = planes.affine, planes.spacing
    study, series, frame = (str(generate_uid(prefix=None)) for _ in range(3))
    paths = []
    for number, pixels in enumerate(planes.view(volume.array)):
        data = Dataset()
        data.SOPClassUID, data.SOPInstanceUID, data.Modality = _CLASSES[modality], generate_uid(prefix=None), modality
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "Doe^Jane", "4711", "19600102", "F"
        data.StudyDate, data.StudyTime, data.AccessionNumber, data.StudyID = "20240102", "101112", "A77", "S1"
        data.ReferringPhysicianName, data.Manufacturer, data.PositionReferenceIndicator = "Who^Doctor", "ACME", ""
        data.SeriesDescription, data.SeriesNumber, data.InstanceNumber = "Abdomen venous", 4, number + 1
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.PatientPosition, data.KVP, data.AcquisitionNumber = "HFS", 120, 2
        data.ImagePositionPatient = [round(float(x), 6) for x in affine[:3, 3] + number * affine[:3, 2]]
        data.ImageOrientationPatient = [round(float(x), 10) for x in (affine[:3, :2] / np.array([across, down])).T.ravel()]
        data.PixelSpacing, data.SliceThickness = [down, across], through
        data.Rows, data.Columns = pixels.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        intercept = -1024 if modality == "CT" else 0
        if modality != "MR":
            data.RescaleSlope, data.RescaleIntercept = 1, intercept
        data.WindowCenter, data.WindowWidth = 40, 400
        data.PixelData = np.ascontiguousarray(pixels - intercept).astype("<u2").tobytes()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = (
            data.SOPClassUID,
            data.SOPInstanceUID,
        )
        if change is not None:
            change(number, data)
        paths.append(folder / f"{(number * 7919) % 104729:06d}.dcm")
        data.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_result(folder: Path, edited: Volume, masks: Mapping[str, np.ndarray], name: str = "image.nrrd", **told: Any) -> Path:
    """A result folder as the pipeline writes it.

    Parameters
    ----------
    folder : to make.
    edited : the image.
    masks : by the name of their segment.
    name : of the image's file.
    told : further fields of ``result.json``.
    """
    folder.mkdir(parents=True)
    write_volume(edited, folder / name)
    write_segmentation(masks, edited.geometry, folder / "segmentation.seg.nrrd")
    request = {"schema": 1, "op": "insert", "seed": 7, "domain": "soft-tissue-ct"}
    fields = {
        "schema": 1,
        "synthetic": "SYNTHETIC",
        "request": request,
        "bundle": {"id": "base", "version": "0.1.1", "sha256": "0"},
        "result_sha256": sha256_file(folder / name),
        **told,
    }
    (folder / "result.json").write_text(json.dumps(fields))
    return folder


def edited(volume: Volume, start: tuple[int, int, int] = (4, 3, 2)) -> tuple[Volume, np.ndarray, dict[str, list[int]]]:
    """A volume with a changed box, a mask inside of it, and the box as ``result.json`` tells it."""
    stop = tuple(first + 5 for first in start)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    array = volume.array.copy(order="K")
    array[box] = array[box] // 2 + 11
    mask = np.zeros(array.shape, bool)
    mask[tuple(slice(a + 1, b - 1) for a, b in zip(start, stop, strict=True))] = True
    mask[tuple(start)] = True
    return Volume(array, volume.geometry), mask, {"start": list(start), "stop": list(stop)}


def read_back(paths: list[Path]) -> list[Dataset]:
    """Slices of a series in the order of their place along the normal of the first."""
    slices = [pydicom.dcmread(path) for path in paths]
    normal = np.cross(slices[0].ImageOrientationPatient[:3], slices[0].ImageOrientationPatient[3:])
    return sorted(slices, key=lambda data: float(np.dot(normal, data.ImagePositionPatient)))


def voxels(slices: list[Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """RAS of the center of every pixel, (n, 3), and its value, (n,), after PS3.3 C.7.6.2.1.1."""
    places, found = [], []
    for data in slices:
        row, column = np.mgrid[: data.Rows, : data.Columns]
        across, down = np.reshape([float(x) for x in data.ImageOrientationPatient], (2, 3))
        height, width = (float(x) for x in data.PixelSpacing)
        lps = np.array([float(x) for x in data.ImagePositionPatient])
        lps = lps + column[..., None] * across * width + row[..., None] * down * height
        places.append((lps * [-1, -1, 1]).reshape(-1, 3))
        slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
        found.append((data.pixel_array * slope + intercept).ravel())
    return np.concatenate(places), np.concatenate(found)


def on_grid(geometry: Geometry, places: np.ndarray, found: np.ndarray, tolerance_mm: float = 1e-4) -> np.ndarray:
    """Values at places that are the centers of a grid's voxels, as an array of that grid; each must occur once."""
    ijk = geometry.to_ijk(places)
    nearest = np.rint(ijk).astype(int)
    assert np.abs(geometry.to_ras(nearest) - places).max() < tolerance_mm
    flat = np.ravel_multi_index(tuple(nearest.T), geometry.shape)
    assert np.unique(flat).size == flat.size == np.prod(geometry.shape)
    array = np.empty(geometry.shape, found.dtype)
    array.reshape(-1)[flat] = found
    return array


def make_case(
    folder: Path, kind: str = "axial", modality: str = "CT", change: Change | None = None, **told: Any
) -> tuple[Path, Path, Volume, np.ndarray]:
    """A series, a result made from it, the edited image and the tumor.

    Parameters
    ----------
    folder : gets ``source`` and ``result``.
    kind, modality, change : of the series.
    told : further fields of ``result.json``.
    """
    geometry = grid(kind)
    volume = Volume(values(geometry, -1000 if modality == "CT" else 0), geometry)
    image, mask, box = edited(volume, (1, 3, 4) if kind == "slices first" else (4, 3, 2))
    write_series(folder / "source", volume, modality, change)
    write_result(folder / "result", image, {"Tumor": mask}, **{"changed": box, **told})
    return folder / "source", folder / "result", image, mask


def slices_of(exported: Exported) -> list[Dataset]:
    """The derived slices in the order of their place."""
    return read_back(sorted((exported.out / "image").iterdir()))
