"""Small folders in exactly the layouts of public data sets, with balls for tumors, for tests."""

import json
from collections.abc import Sequence
from pathlib import Path

import dicom_series
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy import ndimage

from TumorSynthLib.volume import Geometry, Volume

SIZE, SPACING = (40, 36, 28), (2.0, 2.0, 2.5)
CENTER, RADIUS = (20.0, 18.0, 14.0), 12.0
LEVELS = {"CT": (-1000.0, 20.0, 15.0, 90.0), "MR": (0.0, 400.0, 60.0, 900.0), "PET": (0.0, 1.5, 0.3, 8.0)}
"""Air, tissue, its deviation, and tumor."""
BALL_MM3 = 4.0 / 3.0 * np.pi * RADIUS**3
DICOM_SHAPE = (60, 52, 9)
SEQUENCES = ("flair", "t1", "t1ce", "t2")


def ball(center: Sequence[float] = CENTER, radius: float = RADIUS, size: Sequence[int] = SIZE) -> np.ndarray:
    """A ball (center in voxels, radius in mm), bool (i, j, k)."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    return (((grid - np.array(center)) * SPACING) ** 2).sum(axis=-1) <= radius**2


def image(kind: str, seed: int, tumor: np.ndarray) -> np.ndarray:
    """Tissue with texture in air, and a brighter tumor in it, float32 (i, j, k)."""
    air, body, deviation, level = LEVELS[kind]
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=tumor.shape), 0.8)
    values = body + deviation * texture / texture.std()
    values[tumor] += level - body
    values[:2] = air
    return values.astype(np.float32)


def write(path: Path, array: np.ndarray, spacing: Sequence[float] = SPACING, origin: Sequence[float] = (0.0, 0.0, 0.0)) -> Path:
    """Write (i, j, k) or (i, j, k, channel) as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if array.ndim == 4:
        parts = [_itk(np.ascontiguousarray(array[..., n]), spacing, origin) for n in range(array.shape[3])]
        sitk.WriteImage(sitk.JoinSeries(parts), str(path))
    else:
        sitk.WriteImage(_itk(array, spacing, origin), str(path))
    return path


def _itk(array: np.ndarray, spacing: Sequence[float], origin: Sequence[float]) -> sitk.Image:
    file = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    file.SetSpacing([float(x) for x in spacing])
    file.SetOrigin([float(x) for x in origin])
    return file


def write_kits(folder: Path, cases: int = 4) -> Path:
    """``case_00000/imaging.nii.gz`` and so on: a kidney (1) with a tumor (2) and a cyst (3)."""
    for number in range(cases):
        tumor, cyst = ball(), ball((8.0, 8.0, 8.0), 7.0)
        labels = ball(radius=22.0).astype(np.uint8)
        labels[cyst], labels[tumor] = 3, 2
        write(folder / f"case_{number:05d}" / "imaging.nii.gz", image("CT", number, tumor))
        write(folder / f"case_{number:05d}" / "segmentation.nii.gz", labels)
    return folder


def brats_labels() -> np.ndarray:
    """Edema (2) around an enhancing rim (4) around necrosis (1)."""
    labels = np.where(ball(radius=18.0), 2, 0).astype(np.uint8)
    labels[ball()], labels[ball(radius=8.0)] = 4, 1
    return labels


def write_brats(folder: Path, cases: int = 2) -> Path:
    """``BraTS2021_00000/BraTS2021_00000_flair.nii.gz`` and so on."""
    for number in range(cases):
        name = f"BraTS2021_{number:05d}"
        for seed, part in enumerate(SEQUENCES):
            values = image("MR", 10 * number + seed, ball())
            write(folder / name / f"{name}_{part}.nii.gz", values.astype(np.int16))
        write(folder / name / f"{name}_seg.nii.gz", brats_labels())
    return folder


def write_msd(folder: Path) -> Path:
    """The brain task: four sequences in one 4D file, labels 1 edema, 2 non-enhancing, 3 enhancing."""
    stack = np.stack([np.full(SIZE, 100 * (n + 1), np.float32) + image("MR", n, ball()) for n in range(4)], axis=-1)
    labels = np.where(ball(radius=18.0), 1, 0).astype(np.uint8)
    labels[ball()], labels[ball(radius=8.0)] = 3, 2
    write(folder / "imagesTr" / "BRATS_001.nii.gz", stack)
    write(folder / "labelsTr" / "BRATS_001.nii.gz", labels)
    content = {
        "name": "BRATS",
        "licence": "CC-BY-SA 4.0",
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}],
        "test": ["./imagesTs/BRATS_485.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def write_autopet(folder: Path) -> Path:
    """``PETCT_<patient>/<study>/{SUV,CTres,SEG}.nii.gz``: a patient with two studies, and one without lesions."""
    for patient, study, lesions in (("PETCT_0aa", "2001", True), ("PETCT_0aa", "2002", True), ("PETCT_1bb", "2003", False)):
        tumor = ball() if lesions else np.zeros(SIZE, bool)
        place = folder / patient / f"01-01-{study}-NA-PET-CT"
        write(place / "SUV.nii.gz", image("PET", int(study), tumor))
        write(place / "CTres.nii.gz", image("CT", int(study), tumor))
        write(place / "SEG.nii.gz", tumor.astype(np.uint8))
    return folder


def write_autopet_nnunet(folder: Path) -> Path:
    """``imagesTr/fdg_<patient>_<study>_0000.nii.gz`` (CT) and ``_0001`` (SUV), with a split that keeps one study back."""
    cases = ("fdg_0aa_01-01-2001-NA-PET-CT", "fdg_0aa_02-01-2001-NA-PET-CT", "fdg_1bb_01-01-2001-NA", "psma_2cc_2018-01-01")
    for seed, case in enumerate(cases):
        write(folder / "imagesTr" / f"{case}_0000.nii.gz", image("CT", seed, ball()))
        write(folder / "imagesTr" / f"{case}_0001.nii.gz", image("PET", seed, ball()))
        write(folder / "labelsTr" / f"{case}.nii.gz", ball().astype(np.uint8))
    (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT", "1": "CT"}, "file_ending": ".nii.gz"}))
    # The official fold tears the two studies of one patient apart.
    (folder / "splits_final.json").write_text(json.dumps([{"train": list(cases[1:]), "val": [cases[0]]}]))
    return folder


def write_hecktor(folder: Path) -> Path:
    """``imagesTr/CHUM-001__CT.nii.gz`` with a PET on a coarser grid, GTVp (1) and GTVn (2) on the CT's grid."""
    for number, name in enumerate(("CHUM-001", "MDA-002")):
        labels = ball().astype(np.uint8)
        labels[ball((33.0, 18.0, 14.0), 6.0)] = 2
        write(folder / "imagesTr" / f"{name}__CT.nii.gz", image("CT", number, labels > 0))
        coarse = image("PET", number, ball(tuple(c / 2 for c in CENTER), RADIUS / 2, tuple(n // 2 for n in SIZE)))
        write(folder / "imagesTr" / f"{name}__PT.nii.gz", coarse, tuple(2 * s for s in SPACING))
        write(folder / "labelsTr" / f"{name}.nii.gz", labels)
    write(folder / "imagesTs" / "USZ-001__CT.nii.gz", image("CT", 9, ball()))
    return folder


def circle(geometry: Geometry, level: int, center: tuple[float, float], radius: float, corners: int = 128) -> np.ndarray:
    """A circle (mm) in a slice of a grid, RAS mm (n, 3)."""
    turns = np.linspace(0.0, 2.0 * np.pi, corners, endpoint=False)
    across, down = (radius * turn for turn in (np.cos(turns), np.sin(turns)))
    ijk = np.stack(
        [center[0] + across / geometry.spacing[0], center[1] + down / geometry.spacing[1], np.full(corners, level)], 1
    )
    return geometry.to_ras(ijk)


def write_rtstruct(path: Path, regions: dict[str, list[np.ndarray]], scan: Dataset) -> Path:
    """An RTSTRUCT as treatment planning systems write it.

    Parameters
    ----------
    path : file to write.
    regions : contours in RAS mm by name.
    scan : header of one slice of the scan.
    """
    data = _object("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT", scan)
    series = Dataset()
    series.SeriesInstanceUID = scan.SeriesInstanceUID
    study = Dataset()
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = scan.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions.items(), start=1):
        region, drawn = Dataset(), Dataset()
        region.ROINumber, region.ROIName = number, name
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            contour.ContourData = [f"{x:.4f}" for x in (points * (-1.0, -1.0, 1.0)).ravel()]
            drawn.ContourSequence.append(contour)
        data.StructureSetROISequence.append(region)
        data.ROIContourSequence.append(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def _object(kind: str, modality: str, scan: Dataset) -> Dataset:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = kind, generate_uid(prefix=None), modality
    data.PatientID, data.StudyInstanceUID = scan.PatientID, scan.StudyInstanceUID
    data.SeriesInstanceUID, data.FrameOfReferenceUID = generate_uid(prefix=None), scan.FrameOfReferenceUID
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = kind, data.SOPInstanceUID
    return data


def first_header(folder: Path) -> Dataset:
    """The header of one slice of a series."""
    return pydicom.dcmread(sorted(folder.iterdir())[0], stop_before_pixels=True)


def write_nsclc(folder: Path, patient: str = "LUNG1-001", kind: str = "oblique") -> tuple[Path, Path, Volume]:
    """A study as NBIA's downloads lay it out: CT and RTSTRUCT; the folders and the scan."""
    geometry = dicom_series.grid(kind, DICOM_SHAPE)
    scan = Volume(dicom_series.values(geometry, -1000, 200), geometry)
    study = folder / patient / "01-01-2014-StudyID-NA-34270"

    def named(number: int, data: Dataset) -> None:
        data.PatientID = patient

    dicom_series.write_series(study / "1.000000-NA-28595", scan, change=named)
    header = first_header(study / "1.000000-NA-28595")
    tumor = [circle(geometry, level, (28.0, 25.0), 12.0) for level in range(2, 7)]
    hole = [circle(geometry, 4, (28.0, 25.0), 5.0)]
    node = [circle(geometry, level, (52.0, 45.0), 4.0) for level in range(3, 5)]
    regions = {"Lung-Left": node, "GTV-1": tumor + hole + tumor[:1], "gtv-2": node, "Spinal-Cord": []}
    write_rtstruct(study / "3.000000-NA-22712" / "1-1.dcm", regions, header)
    return study / "1.000000-NA-28595", study / "3.000000-NA-22712" / "1-1.dcm", scan
