"""The training file, and what it says about a region."""

from pathlib import Path

import numpy as np
import pytest

from TumorSynthLib.configs import DOMAINS, WorkConfig
from TumorSynthLib.dataset import (
    HEALTHY,
    TUMOR,
    Region,
    TrainImage,
    TrainingData,
    choose_spacing,
    flip,
    load_training_data,
    save_training_data,
)
from TumorSynthLib.errors import DataError
from TumorSynthLib.volume import Geometry

WORK = WorkConfig(size=16)


def content() -> TrainingData:
    """A ramp along each axis, and two regions on it, one of them flipped."""
    affine = np.diag([-1.5, -1.5, 3.0, 1.0])
    affine[:3, 3] = (30.0, 31.0, -32.0)
    counts = np.add.outer(np.add.outer(np.arange(40) * 5, np.arange(41) * 11), np.arange(20) * 17).astype(np.int16)
    image = TrainImage("one", "P1", DOMAINS[2], counts, 0.01, Geometry(counts.shape, affine))
    regions = tuple(
        Region(0, kind, (1.0, 2.0, -4.0), 2.0, flips, 512.0)
        for kind, flips in [(TUMOR, (False, False, False)), (HEALTHY, (True, False, True))]
    )
    masks = np.random.default_rng(0).random((2, 16, 16, 16)) < 0.3
    features = np.array([[1.0, np.nan], [2.5, 3.5]], np.float32)
    packed = np.stack([np.packbits(mask) for mask in masks])
    return TrainingData((image,), regions, packed, features, ("firstorder_Mean", "glcm_MCC"), WORK)


def test_a_training_file_reads_back_what_was_written(tmp_path: Path) -> None:
    data = content()
    save_training_data(tmp_path / "data.npz", data)
    read = load_training_data(tmp_path / "data.npz")
    assert read.regions[0].__dict__ == data.regions[0].__dict__ and read.regions[1].__dict__ == data.regions[1].__dict__
    assert (read.names, read.work) == (data.names, data.work)
    assert np.array_equal(read.masks, data.masks) and np.array_equal(read.features, data.features, equal_nan=True)
    image, original = read.images[0], data.images[0]
    assert (image.id, image.patient, image.domain, image.step) == ("one", "P1", DOMAINS[2], 0.01)
    assert image.counts.dtype == np.int16 and np.array_equal(image.counts, original.counts)
    assert image.geometry.same_grid(original.geometry, 0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"], "no partial file is left"


def test_the_same_content_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_training_data(tmp_path / name, content())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_mask_is_unpacked_in_its_shape() -> None:
    data = content()
    expected = np.random.default_rng(0).random((2, 16, 16, 16)) < 0.3
    assert np.array_equal(data.mask(1), expected[1]) and data.mask(0).dtype == bool


def test_a_patch_is_the_image_on_the_flipped_working_grid() -> None:
    data = content()
    plain, flipped = data.patch(0), data.patch(1)
    assert np.array_equal(flipped, plain[::-1, :, ::-1])
    u = data.images[0].intensity.from_input(plain)
    # One mm along R is -5 / 1.5 counts, along A -11 / 1.5, along S 17 / 3; a count is 0.01.
    assert np.allclose(np.diff(u, axis=0), -0.02 * 5 / 1.5, atol=2e-3)
    assert np.allclose(np.diff(u, axis=1), -0.02 * 11 / 1.5, atol=2e-3)
    assert np.allclose(np.diff(u, axis=2), 0.02 * 17 / 3, atol=2e-3)
    at = data.images[0].geometry.to_ijk(np.array([1.0, 2.0, -4.0]))
    assert float(u.mean()) == pytest.approx(0.01 * float(at @ [5, 11, 17]), abs=2e-3)


@pytest.mark.parametrize("broken", ["empty", "text", "truncated", "foreign", "flipped"])
def test_a_broken_training_file_is_refused(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "data.npz"
    save_training_data(path, content())
    whole = path.read_bytes()
    if broken == "foreign":
        np.savez(path, something=np.zeros(3))
    else:
        damaged = bytearray(whole)
        damaged[len(whole) // 3 : len(whole) // 3 + 400] = bytes(400)
        path.write_bytes(
            {"empty": b"", "text": b"hello", "truncated": whole[: len(whole) // 2], "flipped": bytes(damaged)}[broken]
        )
    with pytest.raises(DataError) as caught:
        load_training_data(path)
    assert caught.value.code == "data.broken" and str(path) in str(caught.value)


def test_a_missing_training_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_training_data(tmp_path / "none.npz")
    assert caught.value.code == "data.missing"


def test_the_working_voxel_leaves_a_margin_and_is_never_finer_than_worth_it() -> None:
    work = WorkConfig(size=64, min_spacing=0.75, margin=0.16)
    wide = choose_spacing(100.0, (1.0, 1.0, 5.0), work)
    assert 100.0 / (64 * wide) == pytest.approx(1.0 - 2 * 0.16)
    assert choose_spacing(5.0, (0.4, 0.4, 3.0), work) == 0.75
    assert choose_spacing(5.0, np.array([2.0, 1.2, 3.0]), work) == pytest.approx(1.2)


def test_flipping_twice_changes_nothing_and_each_flag_has_its_axis() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(flip(array, (False, True, False)), array[:, ::-1])
    assert np.array_equal(flip(flip(array, (True, True, False)), (True, True, False)), array)
    assert flip(array, (True, False, True)).flags["C_CONTIGUOUS"]
