import gzip
import hashlib
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from TumorSynthLib.errors import GeometryError, ImageError, OutputError, TumorSynthError
from TumorSynthLib.volume import Box, Geometry, Volume
from TumorSynthLib.volume_io import (
    mask_on_grid,
    read_mask,
    read_metadata,
    read_volume,
    sha256_file,
    write_segmentation,
    write_volume,
)

ROOT = Path(__file__).resolve().parents[1]
READ_FORMATS = ("a.nrrd", "a.nii", "a.nii.gz", "a.mha", "a.mhd")
TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
small = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rotation(a: float, b: float, c: float) -> np.ndarray:
    """A rotation by three Euler angles."""
    (ca, cb, cc), (sa, sb, sc) = np.cos([a, b, c]), np.sin([a, b, c])
    return (
        np.array([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]])
        @ np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
        @ np.array([[1, 0, 0], [0, cc, -sc], [0, sc, cc]])
    )


@st.composite
def geometries(draw) -> Geometry:
    """Oblique, permuted, flipped and left-handed anisotropic grids."""
    angle = st.floats(-3.1, 3.1) | st.sampled_from([0.0, np.pi / 2, np.pi])
    matrix = rotation(draw(angle), draw(angle), draw(angle)) @ np.diag(draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)))
    affine = np.eye(4)
    affine[:3, :3] = matrix * np.array(draw(st.tuples(*[st.floats(0.3, 6.0)] * 3)))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-100, 100)] * 3))
    return Geometry(draw(st.tuples(*[st.integers(2, 5)] * 3)), affine)


def ramp(geometry: Geometry, dtype: str = "int16") -> Volume:
    """A volume in which every voxel differs from its neighbors."""
    return Volume((np.arange(np.prod(geometry.shape)) % 120).astype(dtype).reshape(geometry.shape), geometry)


def plain(shape=(6, 5, 4), spacing=(1.0, 2.0, 3.0), origin=(10.0, -20.0, 30.0)) -> Geometry:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Geometry(shape, affine)


def write(volume: Volume, path: Path) -> Path:
    """Write any format by SimpleITK from numbers, without the code under test."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.transpose(2, 1, 0)))
    flip = np.diag([-1, -1, 1])
    spacing = volume.geometry.spacing
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((flip @ volume.geometry.affine[:3, 3]).tolist())
    image.SetDirection((flip @ volume.geometry.affine[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


def corners_mm(a: Geometry, b: Geometry) -> float:
    """Largest distance between the corners of two grids."""
    ijk = np.array([[i, j, k] for i in (0, a.shape[0] - 1) for j in (0, a.shape[1] - 1) for k in (0, a.shape[2] - 1)])
    return float(np.abs(a.to_ras(ijk) - b.to_ras(ijk)).max())


def raised(kind: type[TumorSynthError], call, *values) -> TumorSynthError:
    """The error of a call, which must be complete."""
    with pytest.raises(kind) as caught:
        call(*values)
    assert caught.value.message and caught.value.hint
    return caught.value


def refused(path: Path, read=read_volume) -> TumorSynthError:
    """The error of a file that cannot be read."""
    return raised(ImageError, read, path)


def poke(path: Path, *changes: tuple[int, str, tuple]) -> Path:
    """Overwrite fields of a plain NIfTI header."""
    data = bytearray(path.read_bytes())
    for offset, layout, values in changes:
        struct.pack_into(layout, data, offset, *values)
    path.write_bytes(bytes(data))
    return path


# Geometry and pixel types


@given(geometries(), st.sampled_from(TYPES), st.sampled_from(["nrrd", "nii.gz"]))
@small
def test_what_is_written_is_read_back_bit_for_bit(tmp_path, geometry, dtype, suffix):
    volume = ramp(geometry, dtype)
    write_volume(volume, tmp_path / f"v.{suffix}")
    again = read_volume(tmp_path / f"v.{suffix}")
    assert again.array.dtype == volume.array.dtype
    assert np.array_equal(again.array, volume.array)
    assert corners_mm(geometry, again.geometry) < (1e-9 if suffix == "nrrd" else 1.5e-5)


@given(geometries())
@small
def test_a_nifti_geometry_no_longer_changes_after_the_first_write(tmp_path, geometry):
    write_volume(ramp(geometry), tmp_path / "a.nii.gz")
    once = read_volume(tmp_path / "a.nii.gz")
    write_volume(once, tmp_path / "b.nii.gz")
    assert corners_mm(once.geometry, read_volume(tmp_path / "b.nii.gz").geometry) < 1e-5


@given(geometries())
@small
def test_all_formats_agree_with_each_other_and_with_simpleitk(tmp_path, geometry):
    volume = ramp(geometry)
    last = [n - 1 for n in geometry.shape]
    for name in READ_FORMATS:
        path = write(volume, tmp_path / name)
        found = read_volume(path)
        assert np.array_equal(found.array, volume.array)
        assert corners_mm(found.geometry, geometry) < 2e-5
        reference = sitk.ReadImage(str(path))
        for ijk in ([0, 0, 0], last, [last[0], 0, 0], [0, last[1], 0]):
            x, y, z = reference.TransformIndexToPhysicalPoint(ijk)
            assert np.allclose(found.geometry.to_ras(np.array(ijk)), [-x, -y, z], atol=1e-9)
            assert found.array[tuple(ijk)] == reference[ijk]


@given(geometries())
@small
def test_nifti_agrees_with_nibabel(tmp_path, geometry):
    nibabel = pytest.importorskip("nibabel")
    write_volume(ramp(geometry), tmp_path / "v.nii.gz")
    reference = nibabel.load(tmp_path / "v.nii.gz")
    found = read_volume(tmp_path / "v.nii.gz")
    assert np.array_equal(found.array, np.asarray(reference.dataobj))
    assert corners_mm(found.geometry, Geometry(reference.shape, reference.affine)) < 1e-4


@pytest.mark.parametrize("name", READ_FORMATS)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_format_keeps_the_pixel_type(tmp_path, name, dtype):
    assert read_volume(write(ramp(plain(), dtype), tmp_path / name)).array.dtype == dtype


def test_nifti_with_slope_and_intercept_comes_as_float(tmp_path):
    path = poke(write(ramp(plain()), tmp_path / "a.nii"), (112, "<2f", (2.0, -5.0)))
    found = read_volume(path)
    assert found.array.dtype == np.float32
    assert np.array_equal(found.array, ramp(plain()).array * 2.0 - 5.0)


def test_big_endian_nifti_is_read(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    values = np.arange(24, dtype=">f4").reshape(2, 3, 4)
    image = nibabel.Nifti1Image(values, np.eye(4), nibabel.Nifti1Header(endianness=">"))
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").array, values)


def test_a_last_axis_of_size_one_is_dropped(tmp_path):
    nii = poke(write(ramp(plain()), tmp_path / "a.nii"), (40, "<8h", (4, 6, 5, 4, 1, 1, 1, 1)))
    assert read_volume(nii).array.shape == (6, 5, 4)
    stack = sitk.JoinSeries([sitk.ReadImage(str(nii))])
    for name in ("b.nrrd", "b.mha"):
        sitk.WriteImage(stack, str(tmp_path / name))
        found = read_volume(tmp_path / name)
        assert np.array_equal(found.array, ramp(plain()).array)
        assert corners_mm(found.geometry, plain()) < 1e-6


def test_writing_twice_gives_the_same_bytes(tmp_path):
    volume = ramp(plain((20, 20, 20)), "float32")
    for name in ("nrrd", "nii.gz", "seg.nrrd"):
        first, second = tmp_path / f"a.{name}", tmp_path / f"b.{name}"
        for path in (first, second):
            if name == "seg.nrrd":
                write_segmentation({"Tumor": volume.array > 50}, volume.geometry, path)
            else:
                write_volume(volume, path)
        assert sha256_file(first) == sha256_file(second) == hashlib.sha256(first.read_bytes()).hexdigest()


def test_booleans_are_written_as_bytes_and_metadata_is_kept(tmp_path):
    mask = Volume(ramp(plain()).array > 50, plain())
    for name, compress in (("a.nrrd", False), ("c.nrrd", True), ("a.nii.gz", False)):
        write_volume(mask, tmp_path / name, {"TumorSynth_Synthetic": "SYNTHETIC"}, compress=compress)
        found = read_volume(tmp_path / name)
        assert found.array.dtype == np.uint8
        assert np.array_equal(found.array, mask.array)
        image = sitk.ReadImage(str(tmp_path / name))
        assert "SYNTHETIC" in image.GetMetaData("ITK_FileNotes" if name.endswith("gz") else "TumorSynth_Synthetic")
    assert b"encoding: raw" in (tmp_path / "a.nrrd").read_bytes()
    assert b"encoding: gzip" in (tmp_path / "c.nrrd").read_bytes()


def test_reading_costs_little_more_than_simpleitk_alone(tmp_path):
    path = write(Volume(np.zeros((512, 512, 60), np.int16), plain((512, 512, 60))), tmp_path / "a.nrrd")
    code = """
        import sys, time
        import SimpleITK as sitk
        from TumorSynthLib.volume_io import read_volume
        def seconds(read):
            start = time.process_time(); read(sys.argv[1]); return time.process_time() - start
        plain = min(seconds(lambda p: sitk.GetArrayFromImage(sitk.ReadImage(p))) for _ in range(3))
        ours = min(seconds(read_volume) for _ in range(3))
        assert ours < plain + 0.1, (ours, plain)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], cwd=ROOT, check=True)


# Files that are refused


def test_a_missing_file_and_an_unknown_type_are_refused(tmp_path):
    assert refused(tmp_path / "none.nrrd").code == "image.missing"
    assert refused(tmp_path / ("x" * 5000)).code == "image.missing"
    for name in ("scan.txt", "scan", "scan.nrrd.bak", "scan.dcm"):
        (tmp_path / name).write_bytes(b"hello")
        assert refused(tmp_path / name).code == "image.type"


@pytest.mark.parametrize("name", READ_FORMATS)
def test_an_empty_or_foreign_file_is_refused(tmp_path, name):
    for content in (b"", b"\0" * 400, b"hello world\n" * 100, os.urandom(500)):
        (tmp_path / name).write_bytes(content)
        assert refused(tmp_path / name).code.startswith("image.")


@given(st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_is_refused(tmp_path, data):
    name = data.draw(st.sampled_from(["a.nrrd", "c.nrrd", "a.nii", "a.nii.gz", "a.mha", "c.mha", "a.mhd", "c.mhd"]))
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path), name.startswith("c."))
    cut = {"a.mhd": tmp_path / "a.raw", "c.mhd": tmp_path / "c.zraw"}.get(name, path)
    whole = cut.read_bytes()
    cut.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert refused(path).code in ("image.truncated", "image.header", "image.damaged", "image.spacing", "image.unreadable")


def test_a_header_that_promises_a_billion_slices_costs_no_memory(tmp_path):
    path = poke(write(ramp(plain()), tmp_path / "a.nii"), (40, "<8h", (3, 32000, 32000, 32000, 1, 1, 1, 1)))
    assert refused(path).code == "image.truncated"
    data = write(ramp(plain()), tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "a.nrrd").write_bytes(data.replace(b"sizes: 6 5 4", b"sizes: 600000 500000 400000"))
    assert refused(tmp_path / "a.nrrd").code == "image.truncated"


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("place", [0.4, 0.6, 0.95])
def test_a_damaged_compressed_file_is_refused(tmp_path, name, place):
    noise = np.random.default_rng(0).integers(-100, 100, (20, 40, 40)).astype(np.int16)
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path), True)
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x55
    path.write_bytes(bytes(data))
    assert refused(path).code in ("image.damaged", "image.truncated")


def test_several_gzip_members_are_one_file(tmp_path):
    data = write(ramp(plain()), tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data[:400]) + gzip.compress(data[400:]))
    assert np.array_equal(read_volume(tmp_path / "b.nii.gz").array, ramp(plain()).array)


@pytest.mark.parametrize("name", READ_FORMATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_image_with_a_value_that_is_not_finite_is_refused(tmp_path, name, value, dtype):
    values = np.zeros((3, 4, 5), dtype)
    values[-1, -1, -1] = value
    assert refused(write(Volume(values, plain((3, 4, 5))), tmp_path / name)).code == "image.not_finite"


def test_nan_far_into_a_large_nifti_is_found(tmp_path):
    values = np.random.default_rng(0).normal(size=(200, 100, 70)).astype(np.float32)
    values[-3, -1, -1] = np.nan
    for name in ("a.nii", "a.nii.gz"):
        assert refused(write(Volume(values, plain(values.shape)), tmp_path / name)).code == "image.not_finite"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((80, "<f", (0.0,)), "image.spacing"),
        ((88, "<f", (float("nan"),)), "image.spacing"),
        ((84, "<f", (-1.0,)), "image.spacing"),
        ((344, "4s", (b"abcd",)), "image.header"),
        ((344, "4s", (b"ni1\0",)), "image.header"),
        ((0, "<i", (540,)), "image.header"),
        ((40, "<8h", (2, 6, 20, 1, 1, 1, 1, 1)), "image.dimensions"),
        ((40, "<8h", (3, 6, 20, 1, 1, 1, 1, 1)), "image.dimensions"),
        ((40, "<8h", (4, 6, 5, 2, 2, 1, 1, 1)), "image.dimensions"),
        ((40, "<8h", (5, 6, 5, 2, 1, 2, 1, 1)), "image.dimensions"),
        ((40, "<8h", (3, 6, -5, 4, 1, 1, 1, 1)), "image.header"),
        ((40, "<8h", (9, 6, 5, 4, 1, 1, 1, 1)), "image.header"),
        ((70, "<2h", (128, 24)), "image.pixel_type"),
        ((70, "<2h", (32, 64)), "image.pixel_type"),
        ((70, "<2h", (1, 1)), "image.pixel_type"),
        ((108, "<f", (float("nan"),)), "image.header"),
        ((108, "<f", (0.0,)), "image.header"),
        ((268, "<f", (float("inf"),)), "image.header"),
        ((284, "<f", (float("nan"),)), "image.header"),
        ((280, "<4f", (-1.0, 0.1, 0.0, 0.0)), "image.shear"),
        ((280, "<4f", (4.0, 0.0, 0.0, 0.0)), "image.spacing"),
    ],
)
def test_a_broken_nifti_header_is_refused(tmp_path, change, code):
    assert refused(poke(write(ramp(plain()), tmp_path / "a.nii"), change)).code == code


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"space directions: (1,0,0)", b"space directions: (0,0,0)"),
        (b"space directions: (1,0,0)", b"space directions: none"),
        (b"space directions: (1,0,0)", b"space directions: (nan,0,0)"),
        (b"space directions: (1,0,0)", b"space directions: (x,0,0)"),
        (b"space directions: (1,0,0)", b"space directions: (1,0.5,0)"),
        (b"space directions: (1,0,0)", b"space directions: (0,2,0)"),
        (b"space origin: (", b"space origin: (nan"),
        (b"space directions:", b"something:"),
        (b"type: short", b"type: block"),
        (b"type: short", b"typo: short"),
        (b"dimension: 3", b"dimension: 4"),
        (b"dimension: 3", b"dimension: x"),
        (b"sizes: 6 5 4", b"sizes: 6 5 -4"),
        (b"sizes: 6 5 4", b"sizes: 6 5"),
        (b"sizes: 6 5 4", b"sizes: 6 5 5"),
        (b"encoding: raw", b"encoding: gzip"),
        (b"NRRD000", b"NARD000"),
    ],
)
def test_a_broken_nrrd_header_is_refused(tmp_path, old, new):
    path = write(ramp(plain(origin=(0, 0, 0))), tmp_path / "a.nrrd")
    data = path.read_bytes().replace(b"(-1,0,0) (0,-2,0)", b"(1,0,0) (0,2,0)")
    assert old in data
    path.write_bytes(data.replace(old, new))
    assert refused(path).code.startswith("image.")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"ElementSpacing = 1 2 3", b"ElementSpacing = 1 0 3"),
        (b"ElementSpacing = 1 2 3", b"ElementSpacing = 1 nan 3"),
        (b"ElementSpacing = 1 2 3", b"ElementSpacing = 1 2 -3"),
        (b"ElementSpacing = 1 2 3", b"Nothing = 1"),
        (b"ElementType = MET_SHORT", b"ElementType = MET_NONE"),
        (b"ElementSpacing = 1 2 3", b"ElementSpacing = 1 2 3 4"),
        (b"NDims = 3", b"NDims = 4"),
        (b"TransformMatrix = -1 0 0", b"TransformMatrix = -1 0 0 0"),
        (b"DimSize = 6 5 4", b"DimSize = 6 5 8"),
        (b"DimSize = 6 5 4", b"DimSize = 6 5 x"),
        (b"TransformMatrix = -1 0 0", b"TransformMatrix = 0 0 0"),
        (b"ElementDataFile = LOCAL", b"ElementDataFile = missing.raw"),
        (b"ElementDataFile", b"Element"),
    ],
)
def test_a_broken_metaimage_header_is_refused(tmp_path, old, new):
    path = write(ramp(plain()), tmp_path / "a.mha")
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    assert refused(path).code.startswith("image.")


@pytest.mark.parametrize("size", [b"3", b"0", b"-1", b"99999", b"x"])
def test_a_metaimage_with_a_wrong_compressed_size_is_refused(tmp_path, size):
    sitk.WriteImage(sitk.ReadImage(str(write(ramp(plain()), tmp_path / "a.nrrd"))), str(tmp_path / "a.mha"), True)
    before, _, after = (tmp_path / "a.mha").read_bytes().partition(b"CompressedDataSize = ")
    (tmp_path / "a.mha").write_bytes(before + b"CompressedDataSize = " + size + after[after.index(b"\n") :])
    assert refused(tmp_path / "a.mha").code == "image.truncated"


def test_flat_vector_complex_and_four_dimensional_images_are_refused(tmp_path):
    images = {
        "flat": sitk.Image([6, 5], sitk.sitkInt16),
        "slice": sitk.Image([6, 5, 1], sitk.sitkInt16),
        "series": sitk.Image([6, 5, 4, 2], sitk.sitkInt16),
        "color": sitk.Image([6, 5, 4], sitk.sitkVectorUInt8, 3),
    }
    for name, image in images.items():
        for suffix in ("nrrd", "nii.gz", "mha"):
            path = tmp_path / f"{name}.{suffix}"
            sitk.WriteImage(image, str(path))
            assert refused(path).code in ("image.dimensions", "image.pixel_type")


@given(st.integers(0, 351), st.integers(0, 255))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_header_byte_gives_an_image_or_our_error(tmp_path, offset, value):
    path = poke(write(ramp(plain()), tmp_path / "a.nii"), (offset, "B", (value,)))
    try:
        assert np.isfinite(read_volume(path).array).all()
    except ImageError as error:
        assert error.hint


def test_an_unreadable_file_is_refused(tmp_path):
    path = write(ramp(plain()), tmp_path / "a.nrrd")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert refused(path).code == "image.unreadable"


# Masks


def test_a_mask_is_the_voxels_of_its_label(tmp_path):
    for dtype in ("uint8", "int16", "float32"):
        volume = ramp(plain(), dtype)
        for name in READ_FORMATS:
            found = read_mask(write(volume, tmp_path / name), label=7)
            assert found.array.dtype == bool
            assert np.array_equal(found.array, volume.array == 7)


def test_an_absent_label_is_refused_with_those_that_are_there(tmp_path):
    values = np.zeros((3, 4, 5), np.uint8)
    values[0, 0, 0], values[1, 1, 1] = 3, 8
    path = write(Volume(values, plain((3, 4, 5))), tmp_path / "m.nrrd")
    error = refused(path, read_mask)
    assert error.code == "mask.label"
    assert "3, 8" in error.message
    write(Volume(values * 0, plain((3, 4, 5))), path)
    assert refused(path, read_mask).code == "mask.empty"


def slicer_layers(path: Path, dtype=np.uint8) -> np.ndarray:
    """A file as Slicer writes overlapping segments: one layer per component, two of them with label 1."""
    layers = np.zeros((4, 5, 6, 2), dtype)
    layers[1:3, 1:3, 1:3, 0] = 1
    layers[3, 0, 0, 0] = 2
    layers[2:4, 2:4, 2:4, 1] = 1
    layers[0, 0, 0, 1] = 5
    image = sitk.GetImageFromArray(layers, isVector=True)
    for number, (name, label, layer) in enumerate([("a", 1, 0), ("b", 2, 0), ("c", 1, 1), ("d", 5, 1)]):
        for key, value in (("Name", name), ("LabelValue", label), ("Layer", layer)):
            image.SetMetaData(f"Segment{number}_{key}", str(value))
    sitk.WriteImage(image, str(path))
    return layers.transpose(2, 1, 0, 3)


def test_overlapping_segments_of_slicer_are_found_in_their_layer(tmp_path):
    path = tmp_path / "s.seg.nrrd"
    layers = slicer_layers(path)
    for label, layer in ((1, 0), (2, 0), (5, 1)):
        assert np.array_equal(read_mask(path, label).array, layers[..., layer] == label)
    error = raised(ImageError, read_mask, path, 9)
    assert "1 (a)" in error.message or "1 (c)" in error.message


def test_a_broken_segment_header_is_refused(tmp_path):
    path = tmp_path / "s.seg.nrrd"
    slicer_layers(path)
    data = path.read_bytes()
    for old, new in ((b"Segment0_LabelValue:=1", b"Segment0_LabelValue:=x"), (b"Segment1_Layer:=0", b"Segment1_Layer:=7")):
        assert old in data
        path.write_bytes(data.replace(old, new))
        assert raised(ImageError, read_mask, path, 2).code == "mask.header"


@given(geometries())
@small
def test_a_segmentation_is_read_back_with_its_name_and_mark(tmp_path, geometry):
    mask = Volume(ramp(geometry).array % 3 == 1, geometry)
    path = tmp_path / "s.seg.nrrd"
    write_segmentation({"Lesion 1": mask.array}, geometry, path)
    again = read_mask(path)
    assert np.array_equal(again.array, mask.array)
    assert corners_mm(again.geometry, geometry) < 1e-9
    image = sitk.ReadImage(str(path))
    assert image.GetPixelID() == sitk.sitkUInt8
    keys = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    assert keys["Segment0_Name"] == "Lesion 1"
    assert keys["Segment0_Color"] == "0.9 0.3 0.3"
    assert keys["TumorSynth_Synthetic"] == "SYNTHETIC"
    assert keys["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert "SCT^86049000^Neoplasm, Primary" in keys["Segment0_Tags"]
    filled = np.argwhere(mask.array)
    low, high = filled.min(axis=0), filled.max(axis=0)
    assert [int(word) for word in keys["Segment0_Extent"].split()] == np.stack([low, high], axis=1).ravel().tolist()


def test_an_empty_segmentation_can_be_written(tmp_path):
    path = tmp_path / "s.seg.nrrd"
    write_segmentation({"Tumor": np.zeros((4, 5, 6), bool)}, plain((4, 5, 6)), path)
    image = sitk.ReadImage(str(path))
    assert image.GetSize() == (4, 5, 6)
    assert image.GetMetaData("Segment0_Extent") == "0 -1 0 -1 0 -1"
    assert refused(path, read_mask).code == "mask.empty"


def test_several_segments_have_a_label_a_name_and_a_color_each_and_the_later_one_has_shared_voxels(tmp_path):
    path, grid = tmp_path / "s.seg.nrrd", plain((6, 5, 4))
    first, second = np.zeros((6, 5, 4), bool), np.zeros((6, 5, 4), bool)
    first[1:4, 1:4, 1:3] = True
    second[3:5, 2:4, 1:2] = True
    write_segmentation({"Tumor": first, "Core": second, "None": np.zeros((6, 5, 4), bool)}, grid, path)
    assert np.array_equal(read_mask(path, 1).array, first & ~second)
    assert np.array_equal(read_mask(path, 2).array, second)
    keys = {key: sitk.ReadImage(str(path)).GetMetaData(key) for key in sitk.ReadImage(str(path)).GetMetaDataKeys()}
    assert [keys[f"Segment{number}_Name"] for number in range(3)] == ["Tumor", "Core", "None"]
    assert len({keys[f"Segment{number}_Color"] for number in range(3)}) == 3
    assert keys["Segment1_Extent"] == "3 4 2 3 1 1" and keys["Segment2_Extent"] == "0 -1 0 -1 0 -1"


# A mask on another grid


def ball(geometry: Geometry, radius: float, center=(0.0, 0.0, 0.0)) -> np.ndarray:
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), axis=-1)
    return np.linalg.norm(geometry.to_ras(ijk) - np.array(center), axis=-1) <= radius


@given(geometries(), st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3), st.tuples(*[st.integers(0, 2)] * 3))
@small
def test_a_shifted_flipped_or_permuted_mask_is_copied_exactly(geometry, order, flips, pad):
    array = ramp(geometry).array % 3 == 1
    affine = geometry.affine[:, [*order, 3]].copy()
    moved = array.transpose(order)
    for axis, flip in enumerate(flips):
        if flip:
            moved = np.flip(moved, axis)
            affine[:3, 3] += affine[:3, axis] * (moved.shape[axis] - 1)
            affine[:3, axis] *= -1
    affine[:3, 3] -= affine[:3, :3] @ np.array(pad)
    moved = np.pad(moved, [(n, n) for n in pad])
    assume(array.any())
    found = mask_on_grid(Volume(moved, Geometry(moved.shape, affine)), geometry)
    assert found.dtype == bool
    assert np.array_equal(found, array)


def test_a_mask_on_the_same_grid_is_itself():
    mask = Volume(ramp(plain()).array == 7, plain())
    assert np.array_equal(mask_on_grid(mask, plain()), mask.array)


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (0.6, 0.6, 2.0), (2.0, 2.0, 2.0), (1.0, 1.0, 5.0)])
def test_a_resampled_ball_keeps_its_volume_and_place(spacing):
    source = plain((50, 50, 50), (1, 1, 1), (-24.3, -24.6, -25.1))
    shape = tuple(int(60 / s) for s in spacing)
    target = plain(shape, spacing, (-29.0, -29.5, -30.0))
    found = mask_on_grid(Volume(ball(source, 12.0), source), target)
    volume = found.sum() * target.voxel_volume_mm3
    assert volume == pytest.approx(4 / 3 * np.pi * 12.0**3, rel=0.02)
    assert np.allclose(target.to_ras(np.argwhere(found)).mean(axis=0), 0.0, atol=0.15)


@pytest.mark.parametrize("shift", [0.5, -0.5, 0.25, 1.5])
def test_a_mask_shifted_by_part_of_a_voxel_keeps_its_size(shift):
    source = plain((20, 20, 20), (1, 1, 1), (0, 0, 0))
    mask = np.zeros((20, 20, 20), bool)
    mask[5:11, 5:11, 5:11] = True
    target = plain((20, 20, 20), (1, 1, 1), (shift, 0, 0))
    assert mask_on_grid(Volume(mask, source), target).sum() == 216


def test_a_mask_that_misses_the_image_is_refused():
    mask = Volume(np.ones((4, 4, 4), bool), plain((4, 4, 4), (1, 1, 1), (500, 0, 0)))
    image = plain((20, 20, 20), (1, 1, 1), (0, 0, 0))
    assert raised(GeometryError, mask_on_grid, mask, image).code == "mask.outside"
    empty = Volume(np.zeros((4, 4, 4), bool), image.cropped(Box((0, 0, 0), (4, 4, 4))))
    assert raised(GeometryError, mask_on_grid, empty, image).code == "mask.empty"
    speck = Volume(np.pad(np.ones((1, 1, 1), bool), 2), plain((5, 5, 5), (0.1, 0.1, 0.1), (5.3, 5.3, 5.3)))
    assert raised(GeometryError, mask_on_grid, speck, image).code == "mask.too_small"


# DICOM


def dicom_series(
    folder: Path, count: int = 4, *, step=(0.0, 0.0, 2.5), uid: str = "1.2.3.4", modality: str = "CT", skip=()
) -> Path:
    """A small axial series, written slice by slice in shuffled file order."""
    pydicom = pytest.importorskip("pydicom")
    folder.mkdir(exist_ok=True)
    for index in range(count):
        if index in skip:
            continue
        data = pydicom.dataset.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"{uid}.{index + 1}"
        data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = uid, "1.2.3", "1.2.5"
        data.Modality, data.SeriesDescription, data.BodyPartExamined = modality, "Abdomen venous", "ABDOMEN"
        data.PatientID, data.InstanceNumber, data.SeriesNumber = "x", index + 1, 1
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [-10 + index * step[0], 20 + index * step[1], 30 + index * step[2]]
        data.PixelSpacing, data.SliceThickness = [0.8, 0.7], 2.5
        data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 5, 6, 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.RescaleSlope, data.RescaleIntercept = 1, -1000
        data.PixelData = (np.arange(30, dtype=np.int16) + 100 * index).tobytes()
        data.save_as(folder / f"{(index * 7) % 11:02d}.dcm", enforce_file_format=True)
    return folder


def test_a_dicom_series_comes_in_hounsfield_units_and_ras(tmp_path):
    found = read_volume(dicom_series(tmp_path / "ct"))
    assert found.unit == "HU"
    assert found.array.shape == (6, 5, 4)
    assert found.array[2, 3, 1] == 3 * 6 + 2 + 100 - 1000
    assert np.allclose(found.geometry.affine, [[-0.7, 0, 0, 10], [0, -0.8, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]])


def test_metadata_of_a_dicom_folder_and_of_other_files(tmp_path):
    found = read_metadata(dicom_series(tmp_path / "ct"))
    assert found == {"modality": "CT", "series_description": "Abdomen venous", "body_part": "ABDOMEN"}
    assert read_metadata(write(ramp(plain()), tmp_path / "a.nrrd")) == {}


def test_a_folder_without_or_with_several_series_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty").code == "image.dicom"
    dicom_series(tmp_path / "two", uid="1.2.3.4")
    for path in (tmp_path / "two").iterdir():
        path.rename(path.with_suffix(".first"))
    dicom_series(tmp_path / "two", uid="1.2.3.9")
    error = refused(tmp_path / "two")
    assert "1.2.3.4" in error.message and "1.2.3.9" in error.message


def test_missing_doubled_and_slanted_slices_are_refused(tmp_path):
    assert refused(dicom_series(tmp_path / "gap", 6, skip=(2,))).code == "image.dicom"
    assert refused(dicom_series(tmp_path / "doubled", 6, step=(0, 0, 0))).code == "image.dicom"
    assert refused(dicom_series(tmp_path / "tilted", 6, step=(0, 0.5, 2.5))).code == "image.shear"
    assert refused(dicom_series(tmp_path / "single", 1)).code == "image.dimensions"


def test_a_dicom_series_that_is_cut_is_refused(tmp_path):
    folder = dicom_series(tmp_path / "ct")
    path = sorted(folder.iterdir())[1]
    path.write_bytes(path.read_bytes()[:-20])
    refused(folder)


# Files that cannot be written


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    volume = ramp(plain())
    assert raised(OutputError, write_volume, volume, tmp_path / "no" / "a.nrrd").code == "output.folder"
    assert raised(OutputError, write_volume, volume, tmp_path / "a.png").code == "output.type"
    mask = Volume(volume.array > 0, volume.geometry)
    error = raised(OutputError, write_segmentation, {"Tumor": mask.array}, mask.geometry, tmp_path / "a.nrrd")
    assert error.code == "output.type"
    half = Volume(volume.array.astype(np.float16), volume.geometry)
    assert raised(OutputError, write_volume, half, tmp_path / "a.nrrd").code == "output.type"
    (tmp_path / "folder.nrrd").mkdir()
    assert raised(OutputError, write_volume, volume, tmp_path / "folder.nrrd").code == "output.write"
    assert [path.name for path in tmp_path.iterdir()] == ["folder.nrrd"]


def test_a_sheared_grid_is_not_bent_into_nifti(tmp_path):
    affine = plain().affine.copy()
    affine[0, 1] = 0.5
    volume = Volume(ramp(plain()).array, Geometry((6, 5, 4), affine))
    assert raised(OutputError, write_volume, volume, tmp_path / "a.nii.gz").code == "output.geometry"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii.gz", "c.nrrd", "a.seg.nrrd"])
def test_a_full_disk_keeps_the_old_file_and_leaves_no_half_written_one(tmp_path, name):
    pytest.importorskip("resource")
    (tmp_path / name).write_bytes(b"old")
    code = """
        import resource, signal, sys
        import numpy as np
        from TumorSynthLib.errors import OutputError
        from TumorSynthLib.volume import Geometry, Volume
        from TumorSynthLib.volume_io import write_segmentation, write_volume
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        values = np.random.default_rng(0).integers(0, 255, (40, 40, 40)).astype(np.uint8)
        try:
            if sys.argv[1].endswith(".seg.nrrd"):
                write_segmentation({"Tumor": values > 100}, Geometry(values.shape, np.eye(4)), sys.argv[1])
            else:
                write_volume(Volume(values, Geometry(values.shape, np.eye(4))), sys.argv[1], compress="c.nrrd" in sys.argv[1])
        except OutputError as error:
            sys.exit(0 if error.code == "output.write" else 3)
        sys.exit(2)
    """
    if name.endswith(".seg.nrrd"):
        code = code.replace("20_000, 20_000", "2_000, 2_000")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path / name)], cwd=ROOT)
    assert done.returncode == 0
    assert (tmp_path / name).read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_file_has_no_checksum(tmp_path):
    assert raised(ImageError, sha256_file, tmp_path / "none").code == "image.unreadable"


def test_a_data_set_of_real_scans_is_read_as_simpleitk_reads_it():
    folder = os.environ.get("TUMORSYNTH_DATA")
    if not folder:
        pytest.skip("TUMORSYNTH_DATA is not set")
    for path in sorted(Path(folder).glob("images/*/*_mask.nii.gz"))[:6]:
        reference = sitk.ReadImage(str(path))
        found = read_volume(path)
        assert np.array_equal(found.array, sitk.GetArrayViewFromImage(reference).transpose(2, 1, 0))
