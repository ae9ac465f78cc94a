"""Geometry against hand-made affines: oblique, flipped, left-handed, anisotropic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TumorSynthLib.errors import GeometryError
from TumorSynthLib.volume import Box, Geometry, Volume, closest_axes, mask_box, work_grid


def rotation(seed: int) -> np.ndarray:
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return turn * np.sign(np.linalg.det(turn))


def geometry(directions: np.ndarray, spacing: tuple[float, float, float] = (0.7, 1.1, 5.0)) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = directions * np.array(spacing)
    affine[:3, 3] = (-120.0, 33.5, 810.25)
    return Geometry((30, 20, 10), affine)


GRIDS = {
    "ras": geometry(np.eye(3)),
    "lps": geometry(np.diag([-1.0, -1.0, 1.0])),
    "left-handed": geometry(np.diag([1.0, 1.0, -1.0])),
    "sagittal": geometry(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])),
    "oblique": geometry(rotation(3)),
}
any_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())


@any_grid
def test_voxel_coordinates_come_back_from_ras(grid: Geometry) -> None:
    ijk = np.random.default_rng(0).uniform(-5, 40, (50, 3))
    assert np.allclose(grid.to_ijk(grid.to_ras(ijk)), ijk, atol=1e-9)


@any_grid
def test_spacing_and_volume_do_not_depend_on_orientation(grid: Geometry) -> None:
    assert np.allclose(grid.spacing, (0.7, 1.1, 5.0))
    assert grid.voxel_volume_mm3 == pytest.approx(0.7 * 1.1 * 5.0)


def test_a_sheared_voxel_has_the_volume_of_its_parallelepiped() -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.5
    assert Geometry((2, 2, 2), affine).voxel_volume_mm3 == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("affine", "code"),
    [
        (np.diag([1.0, 0.0, 1.0, 1.0]), "geometry.singular"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "geometry.singular"),
        (np.full((4, 4), np.nan), "geometry.affine"),
        (np.eye(3), "geometry.affine"),
    ],
    ids=["zero spacing", "parallel axes", "nan", "3x3"],
)
def test_an_impossible_affine_is_refused(affine: np.ndarray, code: str) -> None:
    with pytest.raises(GeometryError) as caught:
        Geometry((4, 4, 4), affine)
    assert caught.value.code == code


def test_the_affine_can_be_changed_neither_from_inside_nor_from_outside() -> None:
    affine = np.eye(4)
    grid = Geometry((2, 2, 2), affine)
    affine[0, 3] = 99.0
    assert grid.affine[0, 3] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 1.0


@any_grid
def test_a_grid_contains_half_a_voxel_around_its_outermost_centers(grid: Geometry) -> None:
    assert grid.contains(grid.to_ras(np.array([-0.49, 19.49, 9.49])))
    assert not grid.contains(grid.to_ras(np.array([-0.51, 5.0, 5.0])))
    assert not grid.contains(grid.to_ras(np.array([5.0, 5.0, 9.51])))


def test_grids_are_the_same_only_when_shape_and_every_axis_agree() -> None:
    grid = GRIDS["oblique"]
    assert grid.same_grid(Geometry(grid.shape, grid.affine))
    assert not grid.same_grid(Geometry((30, 20, 11), grid.affine))
    for row, column in np.ndindex(3, 4):
        affine = grid.affine.copy()
        affine[row, column] += 0.01
        assert not grid.same_grid(Geometry(grid.shape, affine)), (row, column)


@any_grid
def test_a_crop_keeps_its_voxels_in_place_and_paste_undoes_it(grid: Geometry) -> None:
    array = np.random.default_rng(1).normal(size=grid.shape)
    volume, box = Volume(array, grid, "HU"), Box((3, 4, 5), (13, 9, 8))
    part = volume.cropped(box)
    assert np.allclose(part.geometry.to_ras(np.zeros(3)), grid.to_ras(np.array(box.start)))
    assert np.allclose(part.geometry.to_ras(np.array([2, 1, 1])), grid.to_ras(np.array([5, 5, 6])))
    assert part.unit == "HU"
    pasted = volume.pasted(part.array + 1.0, box)
    inside = np.zeros(grid.shape, bool)
    inside[box.slices] = True
    assert np.array_equal(pasted.array[~inside], array[~inside])
    assert np.array_equal(pasted.array[inside], array[inside] + 1.0)
    assert np.array_equal(volume.array, array) and volume.pasted(part.array, box).array.tobytes() == array.tobytes()


def test_a_volume_whose_array_does_not_fit_its_geometry_is_refused() -> None:
    with pytest.raises(GeometryError, match=r"\(10, 20, 30\).*\(30, 20, 10\)"):
        Volume(np.zeros((10, 20, 30)), GRIDS["ras"])


def test_an_expanded_box_rounds_up_and_stops_at_the_border() -> None:
    box = Box((5, 5, 5), (8, 8, 8))
    assert box.expanded(np.array([1.2, 2.0, 0.0]), (30, 30, 30)) == Box((3, 3, 5), (10, 10, 8))
    assert box.expanded(np.array([9, 9, 9]), (10, 30, 9)) == Box((0, 0, 0), (10, 17, 9))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(0, 7)), min_size=1, max_size=5))
def test_the_box_of_a_mask_is_the_smallest_that_holds_it(points: list[tuple[int, int, int]]) -> None:
    mask = np.zeros((6, 7, 8), bool)
    mask[tuple(np.array(points).T)] = True
    box = mask_box(mask)
    assert box.start == tuple(np.min(points, axis=0)) and box.stop == tuple(np.max(points, axis=0) + 1)


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(GeometryError) as caught:
        mask_box(np.zeros((3, 3, 3), bool))
    assert caught.value.code == "mask.empty"


@any_grid
def test_the_working_grid_is_a_centered_isotropic_cube_along_the_image_axes(grid: Geometry) -> None:
    center = np.array([-100.0, 40.0, 830.0])
    cube = work_grid(grid, center, 1.5, 32)
    assert np.allclose(cube.spacing, 1.5) and cube.shape == (32, 32, 32)
    assert np.allclose(cube.to_ras(np.full(3, 15.5)), center)
    steps = np.linalg.inv(grid.affine[:3, :3]) @ cube.affine[:3, :3] * grid.spacing[:, None] / 1.5
    assert np.allclose(np.sort(np.abs(steps), axis=0), [[0] * 3, [0] * 3, [1] * 3], atol=1e-9), "no rotation against the image"


@pytest.mark.parametrize("name", ["ras", "lps", "left-handed", "sagittal"])
def test_anatomy_always_faces_the_same_way_in_the_working_grid(name: str) -> None:
    cube = work_grid(GRIDS[name], np.zeros(3), 2.0)
    assert np.allclose(cube.affine[:3, :3], 2.0 * np.eye(3))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_every_image_axis_is_used_once_whatever_the_rotation(seed: int) -> None:
    assert sorted(closest_axes(rotation(seed))) == [0, 1, 2]
    cube = work_grid(geometry(rotation(seed)), np.zeros(3), 1.0)
    assert np.all(np.diag(cube.affine)[:3] > 0.0)
