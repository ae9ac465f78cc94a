"""Resampling against linear ramps, SimpleITK, and itself on the uncropped image."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from TumorSynthLib.resample import gaussian, resample
from TumorSynthLib.volume import Geometry, work_grid

SLOPE, LEVEL = np.array([0.8, -1.3, 2.1]), 40.0


def grid(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float] = (1, 1, 1),
    seed: int = -1,
    flips: tuple[int, ...] = (1, 1, 1),
) -> Geometry:
    """A grid centered at the origin; ``seed`` turns it, ``flips`` reverse its axes."""
    turn = np.eye(3) if seed < 0 else np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * (np.array(spacing) * np.array(flips))
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(shape, affine)


def points(geometry: Geometry) -> np.ndarray:
    return geometry.to_ras(np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1))


def ramp(geometry: Geometry) -> np.ndarray:
    return points(geometry) @ SLOPE + LEVEL


SOURCES = {
    "aligned": grid((40, 40, 40)),
    "flipped": grid((40, 40, 40), flips=(-1, 1, -1)),
    "left-handed": grid((40, 40, 40), flips=(1, 1, -1)),
    "anisotropic": grid((60, 50, 12), (0.7, 0.9, 4.0)),
    "five mm slices": grid((45, 45, 10), (0.9, 0.9, 5.0), flips=(-1, -1, 1)),
    "oblique": grid((50, 50, 50), (1.0, 1.1, 0.9), seed=4),
    "oblique, anisotropic": grid((60, 60, 24), (0.9, 0.9, 3.0), seed=5, flips=(1, -1, 1)),
}


@pytest.mark.parametrize("smooth", [True, False], ids=["smooth", "plain"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_linear_ramp_is_reproduced_on_every_kind_of_grid(source: Geometry, smooth: bool) -> None:
    target = work_grid(source, np.array([1.0, -2.0, 0.5]), 1.3, 16)
    found = resample(ramp(source), source, target, smooth=smooth)
    assert found.dtype == np.float32
    assert np.abs(found - ramp(target)).max() < 2e-3


@pytest.mark.parametrize("seed", [1, 2])
def test_a_target_turned_against_the_source_sees_the_same_ramp(seed: int) -> None:
    source, target = grid((50, 50, 50)), grid((20, 12, 9), (1.0, 1.5, 2.0), seed=seed)
    assert np.abs(resample(ramp(source), source, target, smooth=False) - ramp(target)).max() < 2e-3


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_the_same_grid_gives_the_same_values(mode: str) -> None:
    source = SOURCES["oblique, anisotropic"]
    array = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    assert np.allclose(resample(array, source, source, mode=mode), array, atol=2e-4)


def test_a_permuted_and_flipped_target_moves_voxels_without_changing_them() -> None:
    source = grid((9, 10, 11))
    array = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    affine = np.eye(4)
    affine[:3, :3] = source.affine[:3, [2, 0, 1]] * (-1, 1, 1)
    affine[:3, 3] = source.to_ras(np.array([0, 0, 10]))
    found = resample(array, source, Geometry((11, 9, 10), affine))
    assert np.allclose(found, array.transpose(2, 0, 1)[::-1], atol=1e-5)


def test_a_single_slice_is_constant_across_itself() -> None:
    source = grid((8, 8, 1), (1.0, 1.0, 5.0))
    array = np.random.default_rng(0).normal(size=source.shape)
    found = resample(array, source, grid((8, 8, 5)))
    assert np.allclose(found, np.repeat(array, 5, axis=2), atol=1e-6)


def test_outside_the_scan_is_the_border_or_the_value_asked_for() -> None:
    source, target = grid((4, 4, 4)), grid((12, 4, 4))
    array = np.random.default_rng(0).normal(size=source.shape)
    repeated, given = resample(array, source, target), resample(array, source, target, outside=-7.0)
    assert np.allclose(repeated[:4], array[:1], atol=1e-6) and np.allclose(repeated[8:], array[-1:], atol=1e-6)
    assert np.all(given[:4] == -7.0) and np.all(given[8:] == -7.0)
    assert np.array_equal(given[4:8], repeated[4:8])


def test_a_target_beside_the_scan_holds_nothing_of_it() -> None:
    source = grid((6, 6, 6))
    far = Geometry((3, 3, 3), np.array([[1, 0, 0, 900], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    assert np.all(resample(np.ones(source.shape), source, far, outside=0.0) == 0.0)
    assert np.all(resample(np.ones(source.shape), source, far) == 1.0)


@pytest.mark.parametrize("spacing", [0.8, 3.5])
@pytest.mark.parametrize("seed", [-1, 7])
def test_the_rest_of_a_large_scan_changes_nothing(spacing: float, seed: int) -> None:
    source = grid((90, 80, 45), (1.0, 1.0, 2.0), seed=seed)
    place, edge = np.array([12.0, -10.0, 8.0]), 8
    target = work_grid(source, place, spacing, edge)
    array = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    far = np.linalg.norm(points(source) - place, axis=-1) > (0.87 * edge + 9.0) * max(spacing, 2.0)
    assert far.any()
    found = resample(array, source, target)
    assert np.array_equal(found, resample(np.where(far, np.float32(1e6), array), source, target))
    affine = source.affine.copy()
    affine[:3, 3] = source.to_ras(np.array([-3, -2, -1]))
    padded = np.pad(array, [(3, 0), (2, 0), (1, 0)])
    assert np.allclose(resample(padded, Geometry(padded.shape, affine), target), found, atol=1e-3)


def test_smoothing_removes_what_a_coarser_grid_cannot_show() -> None:
    source, target = grid((48, 48, 48)), grid((14, 14, 14), (3.0, 3.0, 3.0))
    board = 100.0 * (1 - 2 * (np.indices(source.shape).sum(axis=0) % 2))
    assert np.abs(resample(board, source, target)).max() < 3.0
    assert np.abs(resample(board, source, target, smooth=False)).max() > 50.0


def test_smoothing_acts_only_along_axes_that_get_coarser() -> None:
    source, target = grid((48, 24, 24)), grid((12, 24, 24), (4.0, 1.0, 1.0))
    stripes = 100.0 * (1 - 2 * (np.indices(source.shape)[1] % 2))
    assert np.allclose(resample(stripes, source, target), 100.0 * (1 - 2 * (np.indices(target.shape)[1] % 2)), atol=1e-2)


def test_nearest_keeps_labels() -> None:
    source, target = grid((20, 20, 20), seed=2), grid((16, 16, 16), (1.7, 0.6, 1.1))
    labels = np.random.default_rng(0).choice([0, 3, 17], size=source.shape)
    assert set(np.unique(resample(labels, source, target, mode="nearest"))) == {0.0, 3.0, 17.0}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_linear_interpolation_agrees_with_simpleitk(source: Geometry) -> None:
    array = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    target = grid((15, 14, 13), (0.8, 1.2, 1.0), seed=9)
    flip = np.diag([-1.0, -1.0, 1.0])

    def placed(image: sitk.Image, geometry: Geometry) -> sitk.Image:
        image.SetSpacing(geometry.spacing.tolist())
        image.SetDirection((flip @ geometry.affine[:3, :3] / geometry.spacing).ravel().tolist())
        image.SetOrigin((flip @ geometry.affine[:3, 3]).tolist())
        return image

    reference = placed(sitk.Image(*target.shape, sitk.sitkFloat32), target)
    moving = placed(sitk.GetImageFromArray(array.transpose(2, 1, 0)), source)
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, reference, sitk.Transform(), sitk.sitkLinear)).transpose(2, 1, 0)
    assert np.abs(resample(array, source, target, smooth=False, outside=0.0) - expected).max() < 1e-3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_gaussian_has_the_width_asked_for_and_keeps_the_sum(axis: int) -> None:
    values = torch.zeros(31, 31, 31)
    values[15, 15, 15] = 1.0
    line = gaussian(values, 2.0, axis).movedim(axis, 0)[:, 15, 15]
    offsets = torch.arange(31.0) - 15.0
    assert float(line.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float((line * offsets**2).sum()) == pytest.approx(4.0, rel=0.05)
