"""DICOM folders as bad exporters and bad copies leave them: refused by one of our errors, or read right and whole.

``TUMORSYNTH_FUZZ=20`` draws 20 times more examples.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_checks import drawn, mutated, mutations, outcome
from fuzz_files import dicom_folder
from hypothesis import given
from hypothesis import strategies as st

from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.volume_io import read_metadata, read_volume

pytestmark = pytest.mark.filterwarnings("error")


def setting(which: int | None, **values: Any) -> Callable[[int, Any], None]:
    """A change of tags in one slice or in all; None takes a tag away."""

    def change(index: int, data: Any) -> None:
        if which in (None, index):
            for name, value in values.items():
                if value is None:
                    delattr(data, name)
                else:
                    setattr(data, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (setting(None, PixelSpacing=[0, 0]), "image.spacing"),
        (setting(None, PixelSpacing=[-1, 1]), "image.spacing"),
        (setting(None, PixelSpacing=None), "image.dicom"),
        (setting(1, PixelSpacing=None), "image.dicom"),
        (setting(1, PixelSpacing=[2, 2]), "image.dicom"),
        (setting(None, SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1"), "image.spacing"),
        (setting(None, SOPClassUID="1.2.840.10008.5.1.4.1.1.20"), "image.spacing"),
        (setting(None, ImagePositionPatient=None), "image.dicom"),
        (setting(2, ImagePositionPatient=None), "image.dicom"),
        (setting(None, ImagePositionPatient=[1, 2]), "image.dicom"),
        (setting(2, ImagePositionPatient=[-10, 20, 32.5]), "image.dicom"),
        (setting(3, ImagePositionPatient=[-10, 20, 1e9]), "image.dicom"),
        (setting(2, ImagePositionPatient=[-10, 23, 35]), "image.shear"),
        (setting(None, ImageOrientationPatient=[0] * 6), "image.shear"),
        (setting(None, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "image.shear"),
        (setting(None, ImageOrientationPatient=[1, 0, 0, 0.5, 1, 0]), "image.shear"),
        (setting(None, ImageOrientationPatient=[2, 0, 0, 0, 2, 0]), "image.shear"),
        (setting(2, ImageOrientationPatient=[1, 0, 0, 0, 0, 1]), "image.dicom"),
        (setting(2, Modality="MR"), "image.dicom"),
        (setting(2, SeriesInstanceUID="9.9"), "image.dicom"),
        (setting(None, RescaleSlope=0), "image.dicom"),
        (setting(None, RescaleSlope="1e308"), "image.not_finite"),
        (setting(2, PixelData=bytes(20)), "image.truncated"),
        (setting(None, Rows=500), "image.truncated"),
        (setting(2, Rows=6, PixelData=bytes(72)), "image.unreadable"),
        (setting(None, Rows=65535, Columns=65535), "image.large"),
        (setting(None, NumberOfFrames=1_000_000), "image.truncated"),
        (setting(None, BitsAllocated=32, BitsStored=32, HighBit=31), "image.truncated"),
        (setting(None, BitsAllocated=7), "image.unreadable"),
        (setting(None, PixelData=None), "image.dicom"),
        (setting(3, PixelData=None), "image.truncated"),
        (setting(None, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0, PixelData=bytes(180)),
         "image.pixel_type"),
    ],
)  # fmt: skip
def test_slices_that_are_no_volume_are_refused(tmp_path: Path, change: Callable[[int, Any], None], code: str) -> None:
    folder = dicom_folder(tmp_path / "ct", change)
    with pytest.raises(TumorSynthError) as caught:
        read_volume(folder)
    assert caught.value.code == code and caught.value.hint and "ct" in caught.value.message
    assert outcome(folder) is None


def test_numbers_of_a_slice_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    for name, old, new in (
        ("position", rb"-10.0\20.0\32.5 ", rb"-10.0\20.0\nan  "),
        ("infinite", rb"-10.0\20.0", rb"1e400\20.0"),
        ("axes", rb"1.0\0.0\0.0\0.0\1.0\0.0 ", rb"nan\0.0\0.0\0.0\1.0\0.0 "),
    ):
        folder = dicom_folder(tmp_path / name)
        data = {path: path.read_bytes() for path in folder.iterdir()}
        assert any(old in content for content in data.values())
        for path, content in data.items():
            path.write_bytes(content.replace(old, new))
        with pytest.raises(TumorSynthError) as caught:
            read_volume(folder)
        assert caught.value.code == "image.dicom" and "finite" in caught.value.message


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("length", [0, 400, 700, -1])
def test_a_slice_that_is_cut_is_never_left_out_in_silence(tmp_path: Path, index: int, length: int) -> None:
    folder = dicom_folder(tmp_path / "ct")
    path = folder / f"{index:02d}.dcm"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(TumorSynthError) as caught:
        read_volume(folder)
    assert caught.value.code in ("image.truncated", "image.unreadable", "image.dicom")


def test_a_file_of_several_frames_that_does_not_tell_their_distance_is_refused(tmp_path: Path) -> None:
    def frames(index: int, data: Any) -> None:
        data.NumberOfFrames, data.PixelData = 3, data.PixelData * 3

    folder = dicom_folder(tmp_path / "ct", frames, count=1)
    with pytest.raises(TumorSynthError) as caught:
        read_volume(folder)
    assert caught.value.code == "image.spacing" and outcome(folder) is None


def test_what_else_lies_in_a_folder_does_not_matter(tmp_path: Path) -> None:
    def presentation(index: int, data: Any) -> None:
        image = type(data)()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = data.SOPClassUID, "1.2.3.4.1"
        data.ReferencedImageSequence, data.SOPClassUID = [image], "1.2.840.10008.5.1.4.1.1.11.1"
        data.SeriesInstanceUID, data.Modality = "1.2.3.9", "PR"
        del data.PixelData, data.Rows, data.Columns

    folder = dicom_folder(tmp_path / "ct")
    whole = read_volume(folder)
    (folder / "readme.txt").write_text("")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(200))
    (folder / "inside").mkdir()
    (dicom_folder(tmp_path / "pr", presentation, count=1) / "00.dcm").rename(folder / "pr.dcm")
    again = outcome(folder)
    assert again is not None and np.array_equal(again.array, whole.array)


@pytest.mark.parametrize(
    "slopes", [("1", "0.5", "0.5", "0.5"), ("1", "1", "0.25", "1"), ("2", "1", "3", "1"), ("0.1", "1", "2", "1")]
)
def test_every_slice_has_its_own_slope(tmp_path: Path, slopes: tuple[str, ...]) -> None:
    folder = dicom_folder(tmp_path / "pet", lambda index, data: setattr(data, "RescaleSlope", slopes[index]))
    for index, slope in enumerate(slopes):
        stored = (np.arange(30) + 100 * index).reshape(5, 6).T
        np.testing.assert_allclose(read_volume(folder).array[..., index], stored * float(slope) - 1000, atol=1e-9)


def test_tags_that_are_not_utf8_are_told_on_one_line(tmp_path: Path) -> None:
    folder = dicom_folder(tmp_path / "ct")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"Abdomen venous", b"Abd\xe9men v\xff\n\x1bus"))
    found = read_metadata(folder)["series_description"]
    assert found.isprintable() and found.encode() and found.startswith("Abd")


@given(st.integers(0, 3), mutations)
@drawn(40)
def test_any_accidents_of_a_slice_are_refused_or_leave_the_volume_whole(
    tmp_path_factory: Any, index: int, changes: list[tuple[str, float, int, bytes]]
) -> None:
    folder = dicom_folder(tmp_path_factory.mktemp("dicom") / "ct")
    path = folder / f"{index:02d}.dcm"
    path.write_bytes(mutated(path.read_bytes(), changes))
    volume = outcome(folder, repr(changes))
    assert volume is None or min(volume.array.shape) > 1
