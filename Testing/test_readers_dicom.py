"""DICOM data sets: contours become voxels, segments lie where they were drawn, and PET becomes SUV."""

from pathlib import Path
from typing import Any

import dicom_series
import highdicom
import numpy as np
import public_data
import pydicom
import pytest
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset

from TumorSynthLib.errors import ImageError
from TumorSynthLib.train.readers.contours import matching, rasterized, roi_masks
from TumorSynthLib.train.readers.dicom_mask import segment_masks
from TumorSynthLib.train.readers.find import find_reader, read_dataset
from TumorSynthLib.train.readers.nsclc import NODES, PRIMARY
from TumorSynthLib.train.readers.polygons import fill_even_odd, polygon_area
from TumorSynthLib.train.readers.scan import read_labels, read_scan
from TumorSynthLib.train.readers.suv import factor_of, suv_factor
from TumorSynthLib.volume import Volume
from TumorSynthLib.volume_io import read_volume

HERE = Path("rt.dcm")
SHAPE = (60, 52, 9)


def square(low: float, high: float) -> np.ndarray:
    return np.array([[low, low], [high, low], [high, high], [low, high]])


def test_pixels_are_inside_by_their_centers() -> None:
    assert fill_even_odd([square(1.6, 4.4)], (7, 7)).sum() == 9
    assert fill_even_odd([square(1.4, 4.6)], (7, 7)).sum() == 9
    assert fill_even_odd([square(1.4, 5.1)], (7, 7)).sum() == 16
    assert not fill_even_odd([], (3, 4)).any() and not fill_even_odd([square(1.2, 1.8)], (4, 4)).any()


def test_abutting_polygons_share_no_pixel_and_leave_none_out() -> None:
    whole = fill_even_odd([square(1.0, 9.0)], (12, 12))
    left = np.array([[1.0, 1.0], [5.0, 1.0], [5.0, 9.0], [1.0, 9.0]])
    right = np.array([[5.0, 1.0], [9.0, 1.0], [9.0, 9.0], [5.0, 9.0]])
    halves = [fill_even_odd([half], (12, 12)) for half in (left, right)]
    assert whole.sum() == 64 and not (halves[0] & halves[1]).any() and np.array_equal(halves[0] | halves[1], whole)


def test_a_polygon_inside_another_is_a_hole_and_so_is_a_keyhole() -> None:
    ring = fill_even_odd([square(0.5, 10.5), square(3.5, 7.5)], (12, 12))
    assert ring.sum() == 100 - 16 and not ring[5, 5] and ring[2, 5]
    outer, inner = square(0.5, 10.5), square(3.5, 7.5)[::-1]
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1], outer[:1]])
    assert np.array_equal(fill_even_odd([keyhole], (12, 12)), ring)


def test_polygons_beyond_the_grid_are_cut_by_it() -> None:
    assert np.array_equal(fill_even_odd([square(-5.0, 2.5)], (8, 6)).nonzero()[0].max(), 2)
    assert fill_even_odd([square(-5.0, 50.0)], (8, 6)).all()
    assert not fill_even_odd([square(20.0, 30.0)], (8, 6)).any()


def test_a_random_polygon_agrees_with_a_point_by_point_count_of_crossings() -> None:
    rng = np.random.default_rng(0)
    angles = np.sort(rng.uniform(0.0, 2.0 * np.pi, 40))
    corners = 20.0 + rng.uniform(6.0, 18.0, 40)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    filled = fill_even_odd([corners], (40, 40))
    for i, j in np.ndindex(40, 40):
        a, b = corners, np.roll(corners, -1, axis=0)
        spans = (a[:, 1] <= j) != (b[:, 1] <= j)
        with np.errstate(divide="ignore", invalid="ignore"):
            x = a[:, 0] + (j - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
        assert filled[i, j] == (int((spans & (x < i)).sum()) % 2 == 1)
    assert filled.sum() == pytest.approx(polygon_area(corners), rel=0.03)


@pytest.mark.parametrize("kind", ["axial", "sagittal", "coronal", "oblique", "left-handed", "flipped"])
def test_a_cylinder_of_contours_has_the_area_of_its_polygons_on_every_grid(kind: str) -> None:
    geometry = dicom_series.grid(kind, SHAPE)
    contours = [public_data.circle(geometry, level, (28.3, 25.2), 14.0) for level in range(2, 7)]
    inside = rasterized(contours, geometry, HERE)
    area = polygon_area(np.delete(geometry.to_ijk(contours[0]), 2, axis=1))
    assert area * 0.7 * 0.8 == pytest.approx(np.pi * 14.0**2, rel=1e-3)
    counts = inside.sum(axis=(0, 1))
    assert counts[[0, 1, 7, 8]].sum() == 0 and np.ptp(counts[2:7]) == 0
    # The error of counting centers is far below a pixel per pixel of the rim.
    rim = 2.0 * np.pi * 14.0 / 0.75
    assert abs(counts[2] - area) < 0.15 * rim and counts[2] == pytest.approx(area, rel=0.01)
    distance = np.linalg.norm(geometry.to_ras(np.argwhere(inside)) - contours_axis(geometry, inside), axis=1)
    assert distance.max() <= 14.0


def contours_axis(geometry: Any, inside: np.ndarray) -> np.ndarray:
    """The middle of the circle in the slice of each voxel."""
    ijk = np.argwhere(inside).astype(float)
    ijk[:, :2] = (28.3, 25.2)
    return geometry.to_ras(ijk)


def test_contours_a_little_off_their_slices_are_taken_and_others_are_refused() -> None:
    geometry = dicom_series.grid("oblique", SHAPE)
    exact = [public_data.circle(geometry, level, (28.3, 25.2), 14.0) for level in range(2, 7)]
    normal = geometry.affine[:3, 2]
    near = [points + 0.2 * normal for points in exact]
    assert np.array_equal(rasterized(near, geometry, HERE), rasterized(exact, geometry, HERE))
    cases = {
        "slices off the nearest": [points + 0.45 * normal for points in exact],
        "every 2th slice": exact[::2],
        "not parallel": [points + np.linspace(0.0, 1.0, len(points))[:, None] * normal for points in exact],
    }
    for words, contours in cases.items():
        with pytest.raises(ImageError, match=words) as caught:
            rasterized(contours, geometry, HERE)
        assert caught.value.code == "mask.contours" and caught.value.hint


def test_nsclc_is_read_from_the_folders_that_nbia_makes(tmp_path: Path) -> None:
    image, mask, scan = public_data.write_nsclc(tmp_path)
    public_data.write_nsclc(tmp_path, "LUNG1-002", "axial")
    assert find_reader(tmp_path).name == "nsclc-radiomics"
    records = read_dataset(tmp_path).records
    assert [record.patient for record in records] == ["LUNG1-001", "LUNG1-002"]
    first = records[0]
    assert (first.image, first.mask, first.domain) == (image, mask, "lung-ct") and "BY-NC" in first.licence
    assert np.array_equal(read_scan(first).array, scan.array)
    labels = read_labels(first)
    assert labels.geometry.same_grid(scan.geometry)
    # Five circles, the middle one with a hole; one of them is written twice, which must not erase it.
    area = np.pi * (5 * 12.0**2 - 5.0**2) * 2.5
    assert labels.tumor.sum() * scan.geometry.voxel_volume_mm3 == pytest.approx(area, rel=0.02)
    assert not labels.tumor[28, 25, 4] and labels.tumor[28, 25, 3] and labels.tumor[:, :, 2].any()
    assert labels.other.sum() * scan.geometry.voxel_volume_mm3 == pytest.approx(np.pi * 4.0**2 * 2 * 2.5, rel=0.1)


def test_the_primary_is_told_from_nodes_whatever_the_spelling() -> None:
    names = ["GTV-1", "gtv-2", "GTV1", "gtv-pre-op", "Lung-Right", "GTV 01", "Neoplasm, Primary", "GTV-1 lymph"]
    chosen = matching(list(enumerate(names)), [PRIMARY, NODES])
    assert [[names[number] for number in numbers] for numbers in chosen] == [
        ["GTV-1", "GTV1", "gtv-pre-op", "GTV 01", "Neoplasm, Primary"],
        ["gtv-2", "GTV-1 lymph"],
    ]


def test_a_missing_region_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    _, mask, scan = public_data.write_nsclc(tmp_path)
    with pytest.raises(ImageError, match="Lung-Left, GTV-1, gtv-2, Spinal-Cord") as caught:
        roi_masks(mask, scan.geometry, ["ctv", ""])
    assert caught.value.code == "mask.roi"


def test_scans_without_mask_and_broken_files_are_skipped(tmp_path: Path) -> None:
    _, mask, _ = public_data.write_nsclc(tmp_path)
    _, other, _ = public_data.write_nsclc(tmp_path, "LUNG1-002")
    other.unlink()
    broken = tmp_path / "LUNG1-003" / "study" / "series" / "1-1.dcm"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(mask.read_bytes()[:300])
    (broken.parent.parent / "x").mkdir()
    (broken.parent.parent / "x" / "1-1.dcm").write_text("no DICOM")
    listing = read_dataset(tmp_path)
    assert [record.patient for record in listing.records] == ["LUNG1-001"]
    reasons = " ".join(entry.reason for entry in listing.skipped)
    assert "No RTSTRUCT or SEG refers to it." in reasons and "is not a DICOM file" in reasons


def segmentation(scan: Path, masks: dict[str, np.ndarray], path: Path, fractional: bool = False) -> Path:
    """A DICOM SEG by highdicom, masks (i, j, k) on the grid of the series."""
    slices = sorted((pydicom.dcmread(path) for path in scan.iterdir()), key=lambda data: int(data.InstanceNumber))
    code = CodedConcept("108369006", "SCT", "Neoplasm")
    algorithm = highdicom.AlgorithmIdentificationSequence("test", code, "1")
    segments = [
        highdicom.seg.SegmentDescription(number, label, code, code, "MANUAL", algorithm)
        for number, label in enumerate(masks, start=1)
    ]
    # Slices run along k; rows are j and columns i.
    pixels = np.stack([mask.transpose(2, 1, 0) for mask in masks.values()], axis=-1)
    array = pixels.astype(np.float32) * 0.9 if fractional else pixels.astype(np.uint8)
    data = highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=array,
        segmentation_type="FRACTIONAL" if fractional else "BINARY",
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(),
        series_number=300,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="ACME",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=True,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path)
    return path


@pytest.mark.parametrize("kind", ["axial", "oblique", "sagittal", "flipped"])
@pytest.mark.parametrize("fractional", [False, True])
def test_segments_lie_voxel_by_voxel_where_they_were_drawn(tmp_path: Path, kind: str, fractional: bool) -> None:
    geometry = dicom_series.grid(kind)
    dicom_series.write_series(tmp_path / "ct", Volume(dicom_series.values(geometry), geometry))
    rng = np.random.default_rng(1)
    tumor, node = rng.random(geometry.shape) > 0.7, rng.random(geometry.shape) > 0.9
    tumor[:, :, 3] = False
    path = segmentation(tmp_path / "ct", {"GTV-1": tumor, "gtv-2": node}, tmp_path / "seg" / "1-1.dcm", fractional)
    read = read_volume(tmp_path / "ct").geometry
    found = segment_masks(path, read, ["gtv-1", "gtv.*"])
    # The series may be read from its other end; compare in space.
    for mask, expected in zip(found, (tumor, node), strict=True):
        places = {tuple(row) for row in np.rint(read.to_ras(np.argwhere(mask)) * 100.0).astype(int).tolist()}
        assert places == {tuple(row) for row in np.rint(geometry.to_ras(np.argwhere(expected)) * 100.0).astype(int).tolist()}


def test_a_segment_on_another_grid_and_an_unknown_one_are_refused(tmp_path: Path) -> None:
    geometry = dicom_series.grid("axial")
    dicom_series.write_series(tmp_path / "ct", Volume(dicom_series.values(geometry), geometry))
    path = segmentation(tmp_path / "ct", {"Lung": np.ones(geometry.shape, bool)}, tmp_path / "1-1.dcm")
    with pytest.raises(ImageError, match="its segments: Lung") as caught:
        segment_masks(path, geometry, ["gtv.*"])
    assert caught.value.code == "mask.roi"
    affine = geometry.affine.copy()
    affine[:3, :3] = affine[:3, :3] * 1.5
    with pytest.raises(ImageError) as caught:
        segment_masks(path, type(geometry)(geometry.shape, affine), ["lung"])
    assert caught.value.code == "mask.grid"


def pet_header(**changes: Any) -> Dataset:
    """F-18, 370 MBq at 9:00, scan at 10:00, 70 kg."""
    data, drug = Dataset(), Dataset()
    data.Units, data.DecayCorrection, data.CorrectedImage = "BQML", "START", ["NORM", "DTIM", "ATTN", "SCAT", "DECY"]
    data.PatientWeight, data.SeriesTime, data.AcquisitionTime = 70, "100000.00", "100130"
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 370e6, 6586.2
    drug.RadiopharmaceuticalStartTime = "090000"
    data.RadiopharmaceuticalInformationSequence = [drug]
    for name, value in changes.items():
        setattr(drug if name.startswith("Radio") else data, name, value)
    return data


def test_suv_by_hand() -> None:
    # 370 MBq decay over 3600 s to 370e6 * 0.684634 = 253.315 MBq; 70000 g / 253.315 MBq.
    assert factor_of([pet_header()], HERE) == pytest.approx(2.763367e-4, rel=1e-5)
    # Tissue that takes up as much per gram as the body on average has the SUV 1.
    average = 370e6 * 2.0 ** (-3600.0 / 6586.2) / 70_000.0
    assert average * factor_of([pet_header()], HERE) == pytest.approx(1.0)
    assert factor_of([pet_header(DecayCorrection="ADMIN")], HERE) == pytest.approx(70_000.0 / 370e6)
    assert factor_of([pet_header(Units="GML")], HERE) == 1.0


def test_the_scan_starts_with_its_first_acquisition_and_may_run_past_midnight() -> None:
    expected = factor_of([pet_header()], HERE)
    earlier = pet_header(SeriesTime="103000", AcquisitionTime="100000")
    assert factor_of([pet_header(SeriesTime="103000", AcquisitionTime="101500"), earlier], HERE) == pytest.approx(expected)
    night = pet_header(RadiopharmaceuticalStartTime="233000", SeriesTime="003000", AcquisitionTime="003100")
    assert factor_of([night], HERE) == pytest.approx(expected)
    dated = pet_header(RadiopharmaceuticalStartTime="", RadiopharmaceuticalStartDateTime="20100101090000.0")
    assert factor_of([dated], HERE) == pytest.approx(expected)


def test_philips_counts_have_factors_of_their_own() -> None:
    direct, activity = pet_header(Units="CNTS"), pet_header(Units="CNTS")
    direct.add_new(0x70531000, "DS", "0.00042")
    activity.add_new(0x70531009, "DS", "2.5")
    assert factor_of([direct], HERE) == pytest.approx(0.00042)
    assert factor_of([activity], HERE) == pytest.approx(2.5 * 2.763367e-4, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PatientWeight": None}, "weight 0 kg"),
        ({"RadionuclideTotalDose": None}, "dose 0 Bq"),
        ({"Units": "PROPCPS"}, "PROPCPS"),
        ({"Units": "CNTS"}, "without a factor"),
        ({"Units": "GML", "SUVType": "LBM"}, "LBM"),
        ({"DecayCorrection": "NONE"}, "decay correction NONE"),
        ({"CorrectedImage": ["NORM"]}, "corrected for NORM"),
        ({"RadiopharmaceuticalStartTime": "110000"}, "after the injection"),
        ({"RadiopharmaceuticalStartTime": ""}, "when the injection"),
        ({"RadiopharmaceuticalInformationSequence": []}, "what was injected"),
    ],
)
def test_a_pet_that_cannot_become_suv_is_refused(changes: dict[str, Any], words: str) -> None:
    header = pet_header(**{key: value for key, value in changes.items() if key != "RadiopharmaceuticalInformationSequence"})
    if "RadiopharmaceuticalInformationSequence" in changes:
        header.RadiopharmaceuticalInformationSequence = []
    with pytest.raises(ImageError, match=words) as caught:
        factor_of([header], HERE)
    assert caught.value.code == "image.suv"


def test_a_pet_series_with_a_segmentation_becomes_a_scan_in_suv(tmp_path: Path) -> None:
    geometry = dicom_series.grid("axial", (24, 20, 9))
    scan = Volume(dicom_series.values(geometry, 0, 4000), geometry)
    study = tmp_path / "FDG-PET-CT-Lesions" / "PETCT_0aa" / "03-23-2003-NA-PET-CT"

    def change(number: int, data: Dataset) -> None:
        # highdicom wants the slices of a series to agree in what a patient is.
        data.PatientID = "PETCT_0aa"
        for element in pet_header():
            data[element.tag] = element
        data.RescaleSlope = 3.0

    dicom_series.write_series(study / "4.000000-PET-1", scan, "PT", change)
    dicom_series.write_series(study / "2.000000-CT-2", scan, "CT")
    tumor = np.zeros(geometry.shape, bool)
    tumor[8:14, 6:12, 3:6] = True
    segmentation(study / "4.000000-PET-1", {"Lesion": tumor}, study / "300.000000-Segmentation-1" / "1-1.dcm")
    assert find_reader(tmp_path).name == find_reader(tmp_path / "FDG-PET-CT-Lesions").name == "autopet"
    (record,) = read_dataset(tmp_path).records
    assert (record.domain, record.patient) == ("soft-tissue-pet", "PETCT_0aa")
    assert suv_factor(record.image) == pytest.approx(2.763367e-4, rel=1e-5)
    assert np.allclose(read_scan(record).array, scan.array * 3.0 * 2.763367e-4, rtol=1e-4)
    assert np.array_equal(read_labels(record).tumor, tumor)
    header = pydicom.dcmread(sorted(record.image.iterdir())[0])
    assert header.Modality == "PT"
