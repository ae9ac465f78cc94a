"""Exported DICOM has the result's values at their places, is marked as synthetic, and appears whole or not at all."""

import re
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_series import GRIDS, make_case, on_grid, read_back, slices_of, voxels, write_result
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

from TumorSynthLib.dicom_export import DicomOptions, Exported, export_dicom
from TumorSynthLib.version import VERSION
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import read_volume


@pytest.fixture
def case(tmp_path: Path) -> tuple[Path, Path, Volume, np.ndarray]:
    """A series, a result made from it, the edited image and the tumor."""
    return make_case(tmp_path, "axial")


def assert_same_voxels(exported: Exported, image: Volume) -> None:
    """By pydicom alone, and by the library's own reader: every value at its place."""
    assert np.array_equal(on_grid(image.geometry, *voxels(slices_of(exported))), image.array)
    again = read_volume(exported.out / "image")
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in again.array.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    found = on_grid(image.geometry, again.geometry.to_ras(ijk), again.array.reshape(-1))
    assert np.array_equal(found, image.array)


def segment_by_pydicom(path: Path, number: int, geometry: Geometry) -> np.ndarray:
    """A segment from the frames of a file, on a grid."""
    data = pydicom.dcmread(path)
    frames = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    mask = np.zeros(geometry.shape, bool)
    shared = data.SharedFunctionalGroupsSequence[0]
    for pixels, groups in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        named = groups if "SegmentIdentificationSequence" in groups else shared
        if named.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        part = Dataset()
        part.ImagePositionPatient = groups.PlanePositionSequence[0].ImagePositionPatient
        part.ImageOrientationPatient = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        part.PixelSpacing = shared.PixelMeasuresSequence[0].PixelSpacing
        row, column = np.nonzero(pixels)
        across, down = np.reshape([float(x) for x in part.ImageOrientationPatient], (2, 3))
        lps = np.array([float(x) for x in part.ImagePositionPatient])
        lps = lps + np.outer(column, across * part.PixelSpacing[1]) + np.outer(row, down * part.PixelSpacing[0])
        mask[tuple(np.rint(geometry.to_ijk(lps * [-1, -1, 1])).astype(int).T)] = True
    return mask


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("with_source", [True, False])
def test_every_voxel_is_found_at_its_place(tmp_path: Path, kind: str, with_source: bool) -> None:
    source, result, image, mask = make_case(tmp_path, kind)
    exported = export_dicom(result, tmp_path / "out", source if with_source else None)
    assert_same_voxels(exported, image)
    assert np.array_equal(segment_by_pydicom(exported.out / "segmentation.dcm", 1, image.geometry), mask)
    assert not exported.warnings


@pytest.mark.parametrize("kind", GRIDS)
def test_the_segmentation_is_read_by_highdicom(tmp_path: Path, kind: str) -> None:
    _, result, image, mask = make_case(tmp_path, kind)
    exported = export_dicom(result, tmp_path / "out")
    volume = highdicom.seg.segread(exported.out / "segmentation.dcm").get_volume(combine_segments=True)
    places = np.argwhere(volume.array > 0)
    ras = volume.map_indices_to_reference(places) * [-1, -1, 1]
    found = np.zeros(mask.shape, bool)
    found[tuple(np.rint(image.geometry.to_ijk(ras)).astype(int).T)] = True
    assert np.array_equal(found, mask)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("axial", [1, 0, 0, 0, 1, 0]),
        ("flipped", [1, 0, 0, 0, 1, 0]),
        ("coronal", [1, 0, 0, 0, 0, -1]),
        ("sagittal", [0, 1, 0, 0, 0, -1]),
        ("slices first", [1, 0, 0, 0, 1, 0]),
    ],
)
def test_slices_without_source_are_oriented_as_radiologists_expect(tmp_path: Path, kind: str, expected: list[int]) -> None:
    _, result, image, _ = make_case(tmp_path, kind)
    slices = slices_of(export_dicom(result, tmp_path / "out"))
    assert [float(x) for x in slices[0].ImageOrientationPatient] == expected
    assert [data.InstanceNumber for data in slices] == list(range(1, len(slices) + 1))
    assert float(slices[0].SliceThickness) == pytest.approx(max(image.geometry.spacing))


def test_a_nifti_result_with_its_axes_turned_finds_its_source(tmp_path: Path) -> None:
    source, _, image, mask = make_case(tmp_path, "oblique")
    affine = image.geometry.affine.copy()
    affine[:3, 3] = image.geometry.to_ras(np.array([0, image.array.shape[1] - 1, 0]))
    affine[:3, 1] *= -1
    affine = affine[:, [2, 1, 0, 3]]
    turned = Geometry(image.array.shape[::-1], affine)
    array, tumor = (part[:, ::-1].transpose(2, 1, 0) for part in (image.array, mask))
    result = write_result(tmp_path / "turned", Volume(array, turned), {"Tumor": tumor}, "image.nii.gz")
    exported = export_dicom(result, tmp_path / "out", source)
    assert np.array_equal(on_grid(image.geometry, *voxels(slices_of(exported))), image.array)


def test_a_derived_slice_has_its_source_s_header_and_all_marks(case: Any, tmp_path: Path) -> None:
    source, result, _, _ = case
    exported = export_dicom(result, tmp_path / "out", source)
    origin = {str(data.InstanceNumber): data for data in read_back(list(source.iterdir()))}
    uids = set()
    for data in slices_of(exported):
        old = origin[str(data.InstanceNumber)]
        for name in [
            "ImagePositionPatient",
            "ImageOrientationPatient",
            "PixelSpacing",
            "SliceThickness",
            "FrameOfReferenceUID",
            "KVP",
            "StudyDate",
            "PatientBirthDate",
            "RescaleSlope",
            "RescaleIntercept",
            "WindowCenter",
            "WindowWidth",
            "BitsStored",
            "PixelRepresentation",
            "Manufacturer",
        ]:
            assert data[name].value == old[name].value, name
        assert (data.SyntheticData, data.ContentQualification, data.BurnedInAnnotation) == ("YES", "RESEARCH", "NO")
        assert list(data.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert re.search(rf"'insert' \(seed 7\) by TumorSynth {VERSION}, bundle base 0\.1\.1\.", data.DerivationDescription)
        assert coded(data.DerivationCodeSequence[-1]) == ("113077", "DCM")
        (image,) = data.SourceImageSequence
        assert (image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID) == (old.SOPClassUID, old.SOPInstanceUID)
        assert coded(image.PurposeOfReferenceCodeSequence[0]) == ("121322", "DCM")
        assert coded(data.ContributingEquipmentSequence[-1].PurposeOfReferenceCodeSequence[0]) == ("109102", "DCM")
        assert data.SeriesDescription == "[SYNTHETIC] Abdomen venous" and data.SeriesNumber == 1004
        assert data.PatientID == "SYNTHETIC_4711" and data.PatientName == "SYNTHETIC_Doe^Jane"
        assert data.StudyInstanceUID != old.StudyInstanceUID and not data.AccessionNumber
        assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
        uids |= {data.SOPInstanceUID}
    assert len(uids) == len(origin) and not uids & {data.SOPInstanceUID for data in origin.values()}


def coded(item: Dataset) -> tuple[str, str]:
    return item.CodeValue, item.CodingSchemeDesignator


def burdened(number: int, data: Dataset) -> None:
    """Add what cannot be taken over, and what can."""
    data.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", bytes(40))
    block = data.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.00025")
    block.add_new(0x77, "LO", "something else")
    data.IconImageSequence = data.DigitalSignaturesSequence = data.RequestAttributesSequence = [Dataset()]
    data.add_new(0x60003000, "OW", bytes(22))
    data.add_new(0x60000010, "US", 12)
    data.SmallestImagePixelValue, data.LargestImagePixelValue, data.LargestPixelValueInSeries = 1, 2, 3
    data.OtherPatientIDs, data.IssuerOfPatientID = "other", "hospital"
    data.LossyImageCompression, data.ImageType = "01", ["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    data.DerivationDescription, data.DerivationCodeSequence = "Lossy", [Dataset()]
    data.DerivationCodeSequence[0].CodeValue = "113040"
    data.PixelPaddingValue = 0


def test_what_no_longer_holds_is_left_out_and_the_rest_is_kept(tmp_path: Path) -> None:
    source, result, image, _ = make_case(tmp_path, "axial", change=burdened)
    exported = export_dicom(result, tmp_path / "out", source)
    assert_same_voxels(exported, image)
    for data in slices_of(exported):
        private = [element for element in data if element.tag.is_private]
        assert sorted(element.tag for element in private) == [0x70530010, 0x70531000]
        assert not [element for element in data if 0x6000 <= element.tag.group < 0x6100]
        gone = "IconImageSequence DigitalSignaturesSequence RequestAttributesSequence LargestPixelValueInSeries OtherPatientIDs"
        assert not [name for name in [*gone.split(), "IssuerOfPatientID"] if name in data]
        assert data.SmallestImagePixelValue == data.pixel_array.min() and data.LargestImagePixelValue == data.pixel_array.max()
        assert data.LossyImageCompression == "01" and data.PixelPaddingValue == 0
        assert list(data.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 SPI"]
        assert [item.CodeValue for item in data.DerivationCodeSequence] == ["113040", "113077"]
        assert data.DerivationDescription.endswith("Lossy")


def test_headers_that_lack_what_the_standard_asks_for_are_taken_over(tmp_path: Path) -> None:
    def bare(number: int, data: Dataset) -> None:
        lost = "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber StudyID SeriesNumber "
        lost += "ReferringPhysicianName Manufacturer SeriesDescription FrameOfReferenceUID SliceThickness ImageType BitsStored"
        for name in lost.split():
            delattr(data, name)

    source, result, image, mask = make_case(tmp_path, "oblique", change=bare)
    exported = export_dicom(result, tmp_path / "out", source)
    assert_same_voxels(exported, image)
    slices = slices_of(exported)
    assert np.array_equal(segment_by_pydicom(exported.out / "segmentation.dcm", 1, image.geometry), mask)
    assert len({data.FrameOfReferenceUID for data in slices}) == 1 and slices[0].PatientID == "SYNTHETIC_"
    assert list(slices[0].ImageType) == ["DERIVED", "SECONDARY"] and slices[0].SeriesDescription == "[SYNTHETIC]"


def test_the_study_is_kept_on_demand_and_identity_is_chosen(case: Any, tmp_path: Path) -> None:
    source, result, _, _ = case
    kept = slices_of(export_dicom(result, tmp_path / "kept", source, DicomOptions(keep_study=True, series_number=88)))[0]
    old = read_back(list(source.iterdir()))[0]
    assert (kept.StudyInstanceUID, kept.PatientID, kept.AccessionNumber) == (old.StudyInstanceUID, "4711", "A77")
    assert kept.SeriesInstanceUID != old.SeriesInstanceUID and kept.SeriesNumber == 88 and kept.SyntheticData == "YES"
    chosen = export_dicom(result, tmp_path / "chosen", source, DicomOptions(patient_id="PHANTOM-1"))
    segmentation = pydicom.dcmread(chosen.out / "segmentation.dcm")
    assert slices_of(chosen)[0].PatientID == segmentation.PatientID == chosen.summary["patient_id"] == "PHANTOM-1"


def test_the_segmentation_tells_what_it_is_and_refers_to_the_derived_series(case: Any, tmp_path: Path) -> None:
    source, result, _, _ = case
    exported = export_dicom(result, tmp_path / "out", source)
    data, slices = pydicom.dcmread(exported.out / "segmentation.dcm"), slices_of(exported)
    (segment,) = data.SegmentSequence
    assert data.SegmentationType == "BINARY" and segment.SegmentLabel == "Tumor"
    assert coded(segment.SegmentedPropertyTypeCodeSequence[0]) == ("108369006", "SCT")
    assert coded(segment.SegmentedPropertyCategoryCodeSequence[0]) == ("49755003", "SCT")
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("TumorSynth", VERSION)
    assert (data.SyntheticData, data.ContentQualification, data.SeriesNumber) == ("YES", "RESEARCH", 1005)
    assert data.SeriesDescription.startswith("[SYNTHETIC]") and data.PatientID == "SYNTHETIC_4711"
    assert (data.StudyInstanceUID, data.FrameOfReferenceUID) == (slices[0].StudyInstanceUID, slices[0].FrameOfReferenceUID)
    (series,) = data.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == slices[0].SeriesInstanceUID
    found = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert found == {part.SOPInstanceUID for part in slices}


def test_lesions_are_segments_of_their_own_and_keep_their_names(tmp_path: Path) -> None:
    source, _, image, mask = make_case(tmp_path, "left-handed", change=japanese)
    core = np.zeros_like(mask)
    core[9:12, 2:5, 6:8] = True
    masks = {"Läsion 1": mask, "nothing": np.zeros_like(mask), "病変 2": core}
    result = write_result(tmp_path / "several", image, masks)
    exported = export_dicom(result, tmp_path / "out", source)
    path = exported.out / "segmentation.dcm"
    data = pydicom.dcmread(path)
    assert [item.SegmentLabel for item in data.SegmentSequence] == ["Läsion 1", "病変 2"] == exported.summary["segments"]
    names = {str(part.PatientName) for part in (data, *slices_of(exported))}
    assert names == {"SYNTHETIC_Yamada^Tarou=SYNTHETIC_山田^太郎"}
    for number, expected in ((1, mask), (2, core)):
        assert np.array_equal(segment_by_pydicom(path, number, image.geometry), expected)


def japanese(number: int, data: Dataset) -> None:
    data.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    data.PatientName = "Yamada^Tarou=山田^太郎"


def test_a_segmentation_that_was_cut_to_one_slice_is_read(tmp_path: Path) -> None:
    """3D Slicer writes no more than the extent of the segments: a thin tumor fills one slice, nothing at all one voxel."""
    _, result, image, mask = make_case(tmp_path, "axial")
    path = result / "segmentation.seg.nrrd"
    whole = sitk.ReadImage(str(path))
    low, high = np.argwhere(mask).min(axis=0).tolist(), (np.argwhere(mask).max(axis=0) + 1).tolist()
    cut = whole[low[0] : high[0], low[1] : high[1], low[2] : low[2] + 1]
    for key in whole.GetMetaDataKeys():
        cut.SetMetaData(key, whole.GetMetaData(key))
    sitk.WriteImage(cut, str(path))
    exported = export_dicom(result, tmp_path / "out")
    thin = np.zeros_like(mask)
    thin[:, :, low[2]] = mask[:, :, low[2]]
    assert np.array_equal(segment_by_pydicom(exported.out / "segmentation.dcm", 1, image.geometry), thin)


def test_after_a_removal_there_is_no_segmentation(tmp_path: Path) -> None:
    source, _, image, mask = make_case(tmp_path, "axial")
    result = write_result(tmp_path / "removed", image, {"Tumor": np.zeros_like(mask)}, request={"op": "remove", "seed": 1})
    exported = export_dicom(result, tmp_path / "out", source)
    assert exported.summary["segmentation"] is None and exported.summary["segments"] == []
    assert not (exported.out / "segmentation.dcm").exists() and "no tumor" in " ".join(exported.warnings)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_source_in_any_notation_is_taken_over(tmp_path: Path, syntax: str) -> None:
    source, result, image, _ = make_case(tmp_path, "coronal", change=burdened)
    for path in source.iterdir():
        data = pydicom.dcmread(path)
        if syntax in (RLELossless, JPEGLSLossless):
            data.compress(syntax, generate_instance_uid=False)
            data.save_as(path)
        else:
            if syntax == ExplicitVRBigEndian:
                data.PixelData = data.pixel_array.astype(">u2").tobytes()
            data.file_meta.TransferSyntaxUID = syntax
            pydicom.dcmwrite(path, data, implicit_vr=syntax == ImplicitVRLittleEndian,
                             little_endian=syntax != ExplicitVRBigEndian, enforce_file_format=True)  # fmt: skip
    exported = export_dicom(result, tmp_path / "out", source)
    assert not exported.warnings
    assert_same_voxels(exported, image)
    assert slices_of(exported)[0].file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
