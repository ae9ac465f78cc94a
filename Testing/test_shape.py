"""The closed loop: what is asked for is what PyRadiomics measures, on any grid, for any seed, without a trained network."""

import numpy as np
import pytest
import torch
from radiomics import cShape
from scipy import ndimage
from scipy.stats import special_ortho_group

from TumorSynthLib.configs import ShapeConfig
from TumorSynthLib.errors import GeometryError, RequestError
from TumorSynthLib.features import measure_shape
from TumorSynthLib.nets.shape_gan import Generator
from TumorSynthLib.shape import ShapeGenerator, ShapeResult, solve_shape
from TumorSynthLib.shape_field import BALL_VOLUME, ball_field, canonical_field, frame_of
from TumorSynthLib.shape_level import mask_of_count, solidified
from TumorSynthLib.shape_measure import fast_shape
from TumorSynthLib.shape_surface import sphericity, surface_and_volume
from TumorSynthLib.shape_targets import plan_shape
from TumorSynthLib.volume import Geometry, mask_box

CONFIG = ShapeConfig(grid=16, noise=8, channels=(16, 16, 8), token_width=8, heads=2)
COLUMNS = ["volume_mm3", "sphericity", "elongation", "flatness", "fill", "smooth_sphericity"]
V, S = "shape_VoxelVolume", "shape_Sphericity"
E, F = "shape_Elongation", "shape_Flatness"
MAJOR, MINOR, LEAST = "shape_MajorAxisLength", "shape_MinorAxisLength", "shape_LeastAxisLength"


def statistics() -> dict:
    low, high = [500.0, 0.6, 0.5, 0.4, 0.8, 0.65], [50_000.0, 0.88, 1.0, 0.95, 0.98, 0.95]
    spread = {
        "count": 50,
        "quantiles": np.linspace(low, high, 21).T.tolist(),
        "correlation": (0.7 * np.eye(6) + 0.3).tolist(),
    }
    return {
        "tokens": list(CONFIG.tokens),
        "mean": [0.8, 0.8, 0.65, 9.0, 0.9],
        "std": [0.1, 0.1, 0.1, 1.5, 0.05],
        "smooth_sphericity": [0.05, 1.0, 0.0],
        "columns": COLUMNS,
        "organs": {"any": spread, **{organ: spread for organ in CONFIG.organs}},
    }


@pytest.fixture(scope="module")
def generator() -> ShapeGenerator:
    """A network that was never trained, with smooth random modes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Generator(CONFIG)
        rough = np.random.default_rng(0).standard_normal((CONFIG.noise, 8, 8, 8))
    modes = np.array([0.1 * mode / mode.std() for mode in (ndimage.gaussian_filter(r, 1.0) for r in rough)])
    network.set_modes(torch.zeros(512), torch.from_numpy(modes.reshape(CONFIG.noise, -1)).float())
    return ShapeGenerator(CONFIG, network.state_dict(), statistics())


def grid(
    size: int = 48, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), directions: np.ndarray | None = None
) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if directions is None else directions) * np.array(spacing)
    affine[:3, 3] = [-120.0, 35.0, 7.0]
    return Geometry((size, size, size), affine)


def middle(geometry: Geometry) -> np.ndarray:
    return geometry.to_ras((np.array(geometry.shape) - 1) / 2 + [0.3, -0.2, 0.1])


def solved(generator: ShapeGenerator, targets: dict, geometry: Geometry, seed: int = 0, **options) -> ShapeResult:
    return solve_shape(generator, targets, geometry, middle(geometry), "kidney", seed, **options)


OBLIQUE = special_ortho_group.rvs(3, random_state=1)
GRIDS = {
    "isotropic": grid(),
    "fine": grid(72, (0.7, 0.7, 0.7)),
    "thick": grid(40, (0.9, 0.9, 5.0)),
    "oblique": grid(48, (1.0, 1.2, 1.5), OBLIQUE),
    "left-handed": grid(48, (1.0, 1.0, 1.0), np.diag([1.0, 1.0, -1.0])),
    "permuted": grid(48, (1.0, 1.3, 0.8), np.eye(3)[:, [2, 0, 1]]),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_volume_is_exact_on_every_grid(generator: ShapeGenerator, name: str) -> None:
    geometry = GRIDS[name]
    result = solved(generator, {V: 4000.0}, geometry)
    assert int(result.mask.sum()) == round(4000.0 / geometry.voxel_volume_mm3)
    assert result.measured[V] == pytest.approx(4000.0, abs=geometry.voxel_volume_mm3)
    assert not result.warnings


@pytest.mark.parametrize("name", GRIDS)
def test_the_centroid_lies_where_it_was_asked(generator: ShapeGenerator, name: str) -> None:
    geometry = GRIDS[name]
    centroid = geometry.to_ras(np.argwhere(solved(generator, {V: 4000.0}, geometry, seed=2).mask)).mean(axis=0)
    assert np.all(np.abs(centroid - middle(geometry)) < geometry.spacing.max())


def test_the_mask_is_one_piece_without_holes(generator: ShapeGenerator) -> None:
    mask = solved(generator, {V: 5000.0, S: 0.6}, GRIDS["isotropic"]).mask
    assert np.array_equal(solidified(mask), mask)


@pytest.mark.parametrize("asked", [0.65, 0.75, 0.85])
def test_sphericity_is_reached_as_pyradiomics_measures_it(generator: ShapeGenerator, asked: float) -> None:
    geometry = GRIDS["isotropic"]
    mask = solved(generator, {V: 6000.0, S: asked}, geometry).mask
    assert measure_shape(mask, geometry)[S] == pytest.approx(asked, abs=0.01)


def test_a_sphericity_above_a_digital_balls_gives_the_roundest_and_a_warning(generator: ShapeGenerator) -> None:
    result = solved(generator, {V: 6000.0, S: 0.99}, GRIDS["isotropic"])
    assert result.measured[S] > 0.88
    assert len(result.warnings) == 1 and S in result.warnings[0] and "0.99" in result.warnings[0]


def test_proportions_are_reached_together_with_volume_and_sphericity(generator: ShapeGenerator) -> None:
    asked = {V: 6000.0, S: 0.72, E: 0.75, F: 0.6}
    measured = solved(generator, asked, GRIDS["isotropic"]).measured
    assert measured[S] == pytest.approx(0.72, abs=0.015)
    assert measured[E] == pytest.approx(0.75, rel=0.03)
    assert measured[F] == pytest.approx(0.6, rel=0.03)


def test_axis_lengths_alone_decide_the_volume(generator: ShapeGenerator) -> None:
    asked = {MAJOR: 30.0, MINOR: 24.0, LEAST: 18.0}
    measured = solved(generator, asked, GRIDS["isotropic"]).measured
    for name, value in asked.items():
        assert measured[name] == pytest.approx(value, rel=0.05)


def test_volume_wins_over_axes_and_the_difference_is_told(generator: ShapeGenerator) -> None:
    result = solved(generator, {V: 3000.0, MAJOR: 60.0, MINOR: 50.0, LEAST: 40.0}, GRIDS["isotropic"])
    assert result.measured[V] == 3000.0
    assert result.measured[E] == pytest.approx(50.0 / 60.0, rel=0.03)
    assert any(MAJOR in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("name", "value"), [("shape_SurfaceArea", 2000.0), ("shape_MeshVolume", 5100.0), ("shape_Maximum3DDiameter", 34.0)]
)
def test_other_features_can_be_asked_by_name(generator: ShapeGenerator, name: str, value: float) -> None:
    asked = {name: value} if name == "shape_MeshVolume" else {V: 5000.0, name: value}
    result = solved(generator, asked, GRIDS["isotropic"])
    assert result.measured[name] == pytest.approx(value, rel=0.03)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 27])
def test_tiny_tumors_have_the_voxels_asked_for(generator: ShapeGenerator, count: int) -> None:
    geometry = GRIDS["isotropic"]
    result = solved(generator, {V: float(count), S: 0.8}, geometry)
    assert int(result.mask.sum()) == count
    if count == 1:
        assert result.warnings == [f"{S} cannot be measured on so small a tumor."]


def test_the_same_seed_gives_the_same_mask_and_another_seed_another(generator: ShapeGenerator) -> None:
    first, again, other = (solved(generator, {V: 4000.0, S: 0.75}, GRIDS["isotropic"], seed=seed).mask for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    dice = 2.0 * (first & other).sum() / (first.sum() + other.sum())
    assert dice < 0.95


def test_a_tumor_cut_by_the_allowed_region_keeps_its_volume(generator: ShapeGenerator) -> None:
    geometry = GRIDS["isotropic"]
    inside = np.zeros(geometry.shape, dtype=bool)
    inside[10:38, 10:25, 10:38] = True
    result = solved(generator, {V: 5000.0, S: 0.75}, geometry, inside=inside)
    assert int(result.mask.sum()) == 5000
    assert not (result.mask & ~inside).any()


def test_a_tumor_larger_than_the_allowed_region_is_refused(generator: ShapeGenerator) -> None:
    inside = np.zeros((48, 48, 48), dtype=bool)
    inside[20:24, 20:24, 20:24] = True
    with pytest.raises(RequestError, match="does not fit"):
        solved(generator, {V: 5000.0}, GRIDS["isotropic"], inside=inside)


def test_a_center_outside_the_image_is_refused(generator: ShapeGenerator) -> None:
    with pytest.raises(GeometryError, match="outside the image"):
        solve_shape(generator, {V: 100.0}, GRIDS["isotropic"], np.array([500.0, 0.0, 0.0]), "kidney", 0)


def test_the_size_of_the_scan_changes_nothing(generator: ShapeGenerator) -> None:
    small, large = grid(48), grid(160)
    center = small.to_ras(np.array([24.0, 24.0, 24.0]))
    masks = [solve_shape(generator, {V: 2000.0, S: 0.75}, g, center, "lung", 3).mask for g in (small, large)]
    assert np.array_equal(masks[0], masks[1][:48, :48, :48])
    assert not masks[1][48:].any()


def test_a_preview_has_the_volume_and_nearly_the_sphericity(generator: ShapeGenerator) -> None:
    result = solved(generator, {V: 4000.0, S: 0.75}, GRIDS["isotropic"], preview=True)
    full = measure_shape(result.mask, GRIDS["isotropic"])
    for name, value in result.measured.items():
        # PyRadiomics' meshes can be open at ambiguous corners, and its volume then depends a little on the crop.
        assert value == pytest.approx(full[name], rel=1e-3 if name == S else 1e-9)
    assert full[V] == 4000.0
    assert full[S] == pytest.approx(0.75, abs=0.04)


def test_nothing_asked_gives_a_typical_tumor(generator: ShapeGenerator) -> None:
    result = solved(generator, {}, GRIDS["isotropic"])
    assert 500.0 <= result.measured[V] <= 50_000.0
    assert not result.warnings


def test_what_was_not_asked_follows_what_was() -> None:
    rng = np.random.default_rng(0)
    small, large = ([plan_shape({V: v}, statistics(), "lung", rng).features[E] for _ in range(200)] for v in (1000.0, 45_000.0))
    assert np.mean(large) > np.mean(small) + 0.03


def test_two_axes_and_a_volume_decide_the_third() -> None:
    plan = plan_shape({V: 8000.0, MAJOR: 40.0, MINOR: 25.0}, statistics(), "any", np.random.default_rng(0))
    assert plan.semi_axes[1] / plan.semi_axes[0] == pytest.approx(25.0 / 40.0)
    assert np.prod(plan.semi_axes) * BALL_VOLUME * plan.features["fill"] == pytest.approx(8000.0)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 5.0), (1.2, 0.8, 2.0)])
def test_the_fast_surface_equals_pyradiomics(spacing: tuple[float, float, float]) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((14, 15, 13)), 1.0)
    mask = np.pad(noise > 0.1, 1)
    area, volume, _ = cShape.calculate_coefficients(np.ascontiguousarray(mask.T, dtype=np.int8), np.array(spacing[::-1]))
    assert surface_and_volume(mask, np.array(spacing)) == pytest.approx((area, volume), rel=1e-9)
    measured = measure_shape(mask, Geometry(mask.shape, np.diag([*spacing, 1.0])))
    assert area == pytest.approx(measured["shape_SurfaceArea"], rel=1e-9)
    assert sphericity(mask, np.array(spacing)) == pytest.approx(measured[S], rel=0.01)


@pytest.mark.parametrize("name", GRIDS)
def test_the_fast_features_equal_pyradiomics(generator: ShapeGenerator, name: str) -> None:
    mask = solved(generator, {V: 3000.0, S: 0.6}, GRIDS[name], seed=5).mask
    measured = measure_shape(mask, GRIDS[name])
    assert fast_shape(mask, GRIDS[name]) == pytest.approx(measured, rel=1e-9)


def test_the_fast_features_of_two_voxels_equal_pyradiomics() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[1:3, 1, 1] = True
    measured = measure_shape(mask, grid(4, (1.0, 2.0, 3.0)))
    assert fast_shape(mask, grid(4, (1.0, 2.0, 3.0))) == pytest.approx(measured, rel=1e-6, abs=1e-6)


def test_an_ellipsoids_canonical_field_is_the_balls() -> None:
    spacing = np.array([1.0, 1.0, 1.5])
    rotation = special_ortho_group.rvs(3, random_state=3)
    points = (np.stack(np.meshgrid(*[np.arange(60)] * 3, indexing="ij"), axis=-1) - 29.5) * spacing
    mask = np.linalg.norm(points @ rotation / np.array([24.0, 18.0, 14.0]), axis=-1) < 1.0
    field, frame = canonical_field(mask, spacing, 16, 1.75)
    assert frame.semi_axes == pytest.approx([24.0, 18.0, 14.0], rel=0.02)
    near = np.abs(ball_field(16, 1.75)) < 0.5
    assert np.abs(field - ball_field(16, 1.75))[near].max() < 0.08


def test_a_frame_is_right_handed_and_sorted() -> None:
    mask = np.zeros((12, 20, 8), dtype=bool)
    mask[2:10, 2:18, 2:6] = True
    frame = frame_of(mask, np.ones(3))
    assert np.linalg.det(frame.rotation) == pytest.approx(1.0)
    assert np.all(np.diff(frame.semi_axes) <= 0)
    assert frame.semi_axes[0] == pytest.approx(np.sqrt(5.0 * 16.0**2 / 12.0))


def test_a_level_set_of_noise_has_its_count_in_one_piece() -> None:
    values = np.random.default_rng(0).standard_normal((12, 12, 12))
    values[0] = -np.inf
    mask = mask_of_count(ndimage.gaussian_filter(values, 0.0), 300)
    assert int(mask.sum()) == 300
    assert not mask[0].any()
    assert mask_box(mask).start[0] >= 1
