"""Tissue pushed aside by a tumor, against the elastic-medium law, and what must not move."""

import numpy as np
import pytest
from scipy import ndimage

from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.intensity import Intensity, fit_intensity
from TumorSynthLib.mass_effect import (
    ILLUSTRATIVE,
    LARGEST_SQUEEZE,
    Field,
    displacement,
    push,
    push_labels,
    relax,
    relax_labels,
)
from TumorSynthLib.obstacles import stiff_tissue
from TumorSynthLib.volume import Geometry

RADIUS = 12.0
DOMAIN = {domain.id: domain for domain in DOMAINS}


def grid(shape: tuple[int, int, int], affine: np.ndarray) -> Geometry:
    """A grid of that shape whose middle is at the origin."""
    full = np.eye(4)
    full[:3, :3] = affine
    full[:3, 3] = -affine @ ((np.array(shape) - 1) / 2)
    return Geometry(shape, full)


def places(geometry: Geometry) -> np.ndarray:
    """RAS mm of each voxel."""
    return geometry.to_ras(np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1))


def ball(geometry: Geometry, radius: float = RADIUS) -> np.ndarray:
    return np.linalg.norm(places(geometry), axis=-1) <= radius


def law(r: np.ndarray, radius: float, amount: float, reach: float = 9.0) -> np.ndarray:
    """Linear inside; a R^3 / (3 r^2) outside, times a window that is 1 at the surface and 0 at its reach."""
    t = np.clip((r - radius) / reach, 0.0, 1.0)
    outside = amount * radius**3 / (3.0 * np.maximum(r, radius) ** 2) * (1.0 - 3.0 * t**2 + 2.0 * t**3)
    return np.where(r < radius, amount * r / 3.0, outside)


def distance_to(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    return ndimage.distance_transform_edt(~mask, sampling=tuple(geometry.spacing))


def jacobian(field: Field, maps: np.ndarray) -> np.ndarray:
    """Determinant of the derivative of x + maps(x), by differences between neighboring voxels of the scan."""
    steps = np.stack([np.stack(np.gradient(maps[..., row]), axis=-1) for row in range(3)], axis=-2)
    return np.linalg.det(np.eye(3) + steps @ np.linalg.inv(field.geometry.affine[:3, :3]))


def texture(shape: tuple[int, int, int], sigma: float, seed: int = 0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return noise / noise.std()


def blob(seed: int, size: int = 48) -> np.ndarray:
    """An irregular mask of several lobes."""
    noise = texture((size,) * 3, 4.0, seed)
    return (noise - 0.016 * np.linalg.norm(places(grid((size,) * 3, np.eye(3))), axis=-1) ** 2 + 2.0) > 0


MILLIMETRE = grid((52, 52, 52), np.eye(3))


@pytest.fixture(scope="module")
def common() -> Field:
    """The displacement around a ball at amount 0.8."""
    return displacement(ball(MILLIMETRE), MILLIMETRE, 0.8)


# The law


@pytest.mark.parametrize("amount", [0.3, 0.8])
def test_around_a_ball_tissue_moves_by_the_windowed_elastic_law(amount):
    field = displacement(ball(MILLIMETRE), MILLIMETRE, amount)
    at = places(field.geometry)
    r = np.linalg.norm(at, axis=-1)
    outward = -np.sum(field.inverse * at, axis=-1) / np.maximum(r, 1e-6)
    sideways = np.linalg.norm(field.inverse + outward[..., None] * at / np.maximum(r, 1e-6)[..., None], axis=-1)
    expected = law(r, RADIUS, amount)
    # At the surface itself the law has a kink that no grid shows.
    smooth = np.abs(r - RADIUS) > 1.0
    assert np.abs(outward - expected)[smooth].max() < 0.05 * expected.max()
    assert sideways[smooth].max() < 0.05 * expected.max()
    assert field.largest_mm == pytest.approx(expected.max(), rel=0.05)


def test_the_displacement_is_proportional_to_the_amount(common):
    half = displacement(ball(MILLIMETRE), MILLIMETRE, 0.4)
    assert np.allclose(half.inverse, 0.5 * common.inverse, atol=1e-6)


def test_a_label_around_the_tumor_moves_by_the_analytic_amount(common):
    goal = RADIUS + 2.0
    start = goal - float(law(np.array(goal), RADIUS, 0.8))
    moved = push_labels(ball(MILLIMETRE, start), common)
    assert (3.0 * moved.sum() / (4.0 * np.pi)) ** (1 / 3) == pytest.approx(goal, abs=0.15)


def test_relaxing_shrinks_the_tumors_own_mask_by_the_tissue_that_was_pushed_out(common):
    shrunk = relax_labels(ball(MILLIMETRE), common)
    assert shrunk.dtype == bool
    assert (3.0 * shrunk.sum() / (4.0 * np.pi)) ** (1 / 3) == pytest.approx(RADIUS * (1.0 - 0.8 / 3.0), abs=0.3)


def test_labels_keep_their_values_and_their_order(common):
    labels = np.zeros(MILLIMETRE.shape, np.uint8)
    labels[ball(MILLIMETRE, 17.0)] = 7
    labels[ball(MILLIMETRE, 13.0)] = 200
    moved = push_labels(labels, common)
    assert moved.dtype == np.uint8
    assert set(np.unique(moved)) == {0, 7, 200}
    assert (moved == 200).sum() > (labels == 200).sum()
    assert moved[26, 26, 26] == 200


# What must not move


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.float32, np.float64])
def test_beyond_ten_millimetres_every_voxel_is_the_same_bit_for_bit(common, kind):
    scan = (50.0 * texture(MILLIMETRE.shape, 0.5) + 120.0).clip(0, 255).astype(kind)
    for moved in (push(scan, common), relax(scan, common)):
        assert moved.dtype == scan.dtype
        far = distance_to(ball(MILLIMETRE), MILLIMETRE) >= 10.0
        assert moved[far].tobytes() == scan[far].tobytes()
        assert (moved != scan).any()


def test_the_maps_are_exactly_zero_from_ten_millimetres_on(common):
    far = distance_to(ball(MILLIMETRE), MILLIMETRE)[common.box.slices] >= 10.0
    assert far.any()
    assert not common.forward[far].any()
    assert not common.inverse[far].any()


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 5.0), (3.0, 1.0, 1.0)])
def test_thick_slices_do_not_widen_what_moves(spacing):
    geometry = grid((60, 60, 20), np.diag(spacing))
    field = displacement(ball(geometry, 10.0), geometry, 1.0)
    far = distance_to(ball(geometry, 10.0), geometry)[field.box.slices] >= 10.0
    assert not field.inverse[far].any()
    # Cutting the maps off there left no step.
    last = (distance_to(ball(geometry, 10.0), geometry)[field.box.slices] >= 9.0) & ~far
    assert np.abs(field.inverse[last]).max() < 0.3


def test_amount_zero_changes_nothing():
    scan = texture(MILLIMETRE.shape, 0.5).astype(np.float32)
    field = displacement(ball(MILLIMETRE), MILLIMETRE, 0.0)
    assert push(scan, field).tobytes() == scan.tobytes() == relax(scan, field).tobytes()
    assert (field.largest_mm, field.smallest_jacobian, field.warnings) == (0.0, 1.0, [])


def test_scans_are_neither_changed_nor_shared(common):
    scan = texture(MILLIMETRE.shape, 0.5).astype(np.float32)
    before = scan.copy()
    moved = push(scan, common)
    moved[:] = 0.0
    assert np.array_equal(scan, before)


def test_bone_does_not_move_and_the_tissue_before_it_less():
    wall = np.zeros(MILLIMETRE.shape, bool)
    wall[42:44] = True
    field = displacement(ball(MILLIMETRE), MILLIMETRE, 0.8, wall)
    assert not field.inverse[wall[field.box.slices]].any()
    scan = np.where(wall, 1000.0, texture(MILLIMETRE.shape, 1.0)).astype(np.float32)
    assert push(scan, field)[wall].tobytes() == scan[wall].tobytes()
    # Beside the wall tissue is held, on the other side it moves as without one.
    start = np.array(field.box.start)
    held, free = np.array([40, 26, 26]) - start, np.array([11, 26, 26]) - start
    length = [np.linalg.norm(field.inverse, axis=-1)[tuple(at)] for at in (held, free)]
    assert length[0] < 0.2 * length[1]
    assert length[1] == pytest.approx(float(law(np.array(14.5), RADIUS, 0.8)), rel=0.06)


def test_where_everything_is_stiff_nothing_moves():
    field = displacement(ball(MILLIMETRE), MILLIMETRE, 1.0, np.ones(MILLIMETRE.shape, bool))
    assert not field.inverse.any()
    assert not field.forward.any()


# Invertible


@pytest.mark.parametrize("seed", range(3))
def test_irregular_tumors_between_obstacles_never_fold_tissue(seed):
    mask = blob(seed)
    geometry = grid(mask.shape, np.eye(3))
    stiff = texture(mask.shape, 2.0, seed + 100) > 2.0
    field = displacement(mask, geometry, 1.0, stiff)
    assert field.largest_mm > 0.5
    assert field.smallest_jacobian > 0.1
    for maps in (field.forward, field.inverse):
        assert jacobian(field, maps).min() > 0.05
    assert not field.inverse[stiff[field.box.slices]].any()


def test_forward_and_inverse_undo_each_other():
    mask = blob(0)
    field = displacement(mask, grid(mask.shape, np.eye(3)), 1.0)
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in field.box.shape), indexing="ij"))
    there = ijk + np.moveaxis(field.inverse, -1, 0)
    back = np.stack([ndimage.map_coordinates(field.forward[..., a], there, order=1, mode="nearest") for a in range(3)])
    errors = np.linalg.norm(there + back - ijk, axis=0)
    assert np.sqrt(np.mean(errors[field.inverse.any(axis=-1)] ** 2)) < 0.06
    assert errors.max() < 0.5


def test_a_large_tumor_is_limited_and_says_by_how_much():
    geometry = grid((50, 50, 50), np.diag([3.0, 3.0, 3.0]))
    field = displacement(ball(geometry, 60.0), geometry, 1.0)
    assert field.asked_mm == pytest.approx(20.0, rel=0.08)
    assert 5.0 < field.largest_mm < 0.8 * field.asked_mm
    assert f"{field.largest_mm:.1f} mm instead of {field.asked_mm:.1f} mm" in field.warnings[1]
    assert field.smallest_jacobian > 0.0
    assert jacobian(field, field.forward).min() > 0.0
    assert jacobian(field, field.inverse).max() < LARGEST_SQUEEZE * 1.1


def test_a_common_tumor_is_not_limited(common):
    assert common.largest_mm == common.asked_mm
    assert common.warnings == [ILLUSTRATIVE]


def test_push_and_relax_return_a_smooth_scan(common):
    scan = texture(MILLIMETRE.shape, 3.0)
    assert np.abs(relax(push(scan, common), common) - scan).max() < 0.1
    assert np.abs(push(relax(scan, common), common) - scan).max() < 0.1
    assert np.abs(push(scan, common) - scan).max() > 1.0


def test_pushed_noise_keeps_most_of_its_power(common):
    scan = texture(MILLIMETRE.shape, 0.0)
    r = np.linalg.norm(places(MILLIMETRE), axis=-1)
    shell = (r > RADIUS) & (r < RADIUS + 4.0)
    assert push(scan, common)[shell].std() > 0.75 * scan[shell].std()


def test_pushed_values_stay_in_the_scans_range(common):
    scan = np.where(places(MILLIMETRE)[..., 0] > 13.0, 255, 0).astype(np.uint8)
    moved = push(scan, common)
    assert (moved.min(), moved.max()) == (0, 255)


# Geometry


@pytest.mark.parametrize("kind", ["anisotropic", "oblique", "flipped"])
def test_the_displacement_in_mm_does_not_depend_on_the_grid(common, kind):
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    affine = {"anisotropic": np.diag([1.0, 1.0, 2.0]), "oblique": turn, "flipped": np.diag([-1.0, 1.0, -1.0])}[kind]
    geometry = grid((52, 52, 26 if kind == "anisotropic" else 52), affine)
    field = displacement(ball(geometry), geometry, 0.8)
    ijk = common.geometry.to_ijk(places(field.geometry))
    there = np.moveaxis(ijk, -1, 0)
    same = np.stack([ndimage.map_coordinates(common.inverse[..., a], there, order=1, cval=np.nan) for a in range(3)], axis=-1)
    known = np.isfinite(same).all(axis=-1)
    errors = np.linalg.norm(field.inverse - same, axis=-1)[known]
    assert np.sqrt(np.mean(errors**2)) < 0.04 * common.largest_mm
    assert errors.max() < 0.15 * common.largest_mm


def test_a_tumor_at_the_border_of_the_scan_is_pushed_inward_only_by_what_is_there():
    geometry = grid((30, 52, 52), np.eye(3))
    mask = np.roll(ball(geometry, 8.0), -8, axis=0)
    field = displacement(mask, geometry, 1.0)
    assert field.box.start[0] == 0
    assert np.isfinite(push(texture(geometry.shape, 1.0), field)).all()


# Obstacles


def plain_ct() -> tuple[np.ndarray, np.ndarray]:
    """A CT of soft tissue with a slab of bone, air on one side, and a speck; and a tumor."""
    scan = np.full(MILLIMETRE.shape, 40, np.int16)
    scan[:, 40:43] = 700
    scan[:, :, 44:] = -1000
    scan[26, 12, 26] = 900
    return scan, ball(MILLIMETRE, 8.0)


def test_bone_and_air_are_stiff_and_specks_are_not():
    scan, mask = plain_ct()
    domain = DOMAIN["soft-tissue-ct"]
    stiff = stiff_tissue(scan, mask, MILLIMETRE, fit_intensity(scan, domain), domain)
    near = stiff[14:38, 14:46, 14:46]
    assert stiff.shape == scan.shape
    assert np.array_equal(near, (scan > 250)[14:38, 14:46, 14:46] | (scan < -250)[14:38, 14:46, 14:46])
    assert not stiff[26, 12, 26]


def test_what_lies_outside_the_region_is_stiff_and_the_scans_own_tumor_is_not():
    scan, mask = plain_ct()
    scan[mask] = 600
    domain = DOMAIN["soft-tissue-ct"]
    region = np.zeros(scan.shape, bool)
    region[:30] = True
    intensity = fit_intensity(scan, domain)
    free = stiff_tissue(scan, mask, MILLIMETRE, intensity, domain, tumor=mask)
    held = stiff_tissue(scan, mask, MILLIMETRE, intensity, domain, region=region)
    assert not free[mask].any()
    assert held[mask].all()
    assert held[30:38, 20:30, 20:30].all()
    assert not held[16:18, 20:30, 20:30].any()


@pytest.mark.parametrize("background", ["constant", "noisy"])
def test_a_dark_ventricle_is_not_stiff_but_the_background_is(background):
    geometry = grid((60, 60, 60), np.diag([2.5, 2.5, 2.5]))
    r = np.linalg.norm(places(geometry), axis=-1)
    u = np.where(r < 65.0, 50.0, 0.0)
    ventricle = np.linalg.norm(places(geometry) - np.array([20.0, 0.0, 0.0]), axis=-1) < 9.0
    u[ventricle] = 2.0
    # In a whole head the skull is dark, but not connected to the air.
    skull = (r > 52.0) & (r < 58.0) if background == "noisy" else np.zeros(r.shape, bool)
    u[skull] = 3.0
    if background == "noisy":
        u += np.abs(texture(u.shape, 0.0))
    domain = DOMAIN["brain-flair"]
    mask = ball(geometry, 48.0)
    stiff = stiff_tissue(u, mask, geometry, Intensity(0.0, 1.0, 50.0, 50.0), domain)
    near = distance_to(mask, geometry) < 10.0
    assert not stiff[ventricle].any()
    assert stiff[near & skull].all()
    assert not stiff[near & (r < 51.0)].any()
    lower = displacement(mask, geometry, 1.0, stiff)
    assert lower.smallest_jacobian > 0.0
    far = ball(geometry, 60.0)
    assert stiff_tissue(u, far, geometry, Intensity(0.0, 1.0, 50.0, 50.0), domain)[(r > 67.0) & (r < 70.0)].all()
