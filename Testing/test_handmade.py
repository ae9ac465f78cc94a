"""Hand-made shapes and their places: sizes in mm on any grid, one piece, no folds, whole inside the region."""

import numpy as np
import pytest
from phantoms import geometry as scanner_grid
from scipy import ndimage

from TumorSynthLib.compositing import composite, soft_border
from TumorSynthLib.errors import RequestError
from TumorSynthLib.handmade_place import HALF, TRIES, HandmadePlacer
from TumorSynthLib.handmade_shape import PROPORTIONS, SIZES, bent, displacement, drawn_form
from TumorSynthLib.request_fields import HANDMADE
from TumorSynthLib.shape_measure import fast_shape
from TumorSynthLib.volume import Geometry

BALL = 4.0 / 3.0 * np.pi
PIECES = np.ones((3, 3, 3), bool)


def turned(angle: float) -> np.ndarray:
    """A rotation about an axis that is none of the grid's."""
    axis = np.array([1.0, 2.0, 2.0]) / 3.0
    cross = np.cross(np.eye(3), axis)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def grid(kind: str, reach_mm: float) -> Geometry:
    """A grid of 1 mm, of thick slices or oblique, with room for a ball in its middle."""
    spacing = {"1 mm": (1.0, 1.0, 1.0), "thick": (0.7, 0.7, 5.0), "oblique": (0.9, 1.1, 2.5)}[kind]
    affine = np.eye(4)
    affine[:3, :3] = (turned(0.7) if kind == "oblique" else np.eye(3)) * np.array(spacing) * np.array([-1.0, 1.0, 1.0])
    affine[:3, 3] = (12.0, -7.0, 40.0)
    i, j, k = (int(2 * reach_mm / step) + 4 for step in spacing)
    return Geometry((i, j, k), affine)


def middle(geometry: Geometry) -> np.ndarray:
    """A point near the middle of a grid that is no voxel's center."""
    return geometry.to_ras((np.array(geometry.shape) - 1) / 2 + 0.2)


def made(size: str, seed: int, kind: str = "1 mm", volume_mm3: float | None = None) -> tuple[np.ndarray, Geometry, np.ndarray]:
    """A mask, its grid, and the point that it was put at."""
    form = drawn_form(size, np.random.default_rng(seed), volume_mm3)
    geometry = grid(kind, form.reach_mm + 6.0)
    return form.on_grid(geometry, middle(geometry)), geometry, middle(geometry)


def test_the_protocol_and_the_generator_know_the_same_classes() -> None:
    assert tuple(SIZES) == HANDMADE


@pytest.mark.parametrize("kind", ["1 mm", "thick", "oblique"])
@pytest.mark.parametrize("size", ["tiny", "small", "medium"])
def test_volume_and_diameter_are_those_of_the_class_in_mm_whatever_the_grid(size: str, kind: str) -> None:
    radius = SIZES[size].radius_mm[0]
    low, high = (BALL * (share * radius) ** 3 for share in PROPORTIONS)
    reference = np.array([made(size, seed)[0].sum() for seed in range(6)])
    for seed, wanted in enumerate(reference):
        mask, geometry, at = made(size, seed, kind)
        volume = mask.sum() * geometry.voxel_volume_mm3
        assert low - geometry.voxel_volume_mm3 <= volume <= high + geometry.voxel_volume_mm3
        assert abs(volume - wanted) <= 0.5 * geometry.voxel_volume_mm3 + 1.0, "the same on every grid"
        centroid = geometry.to_ras(np.argwhere(mask).mean(axis=0))
        assert np.linalg.norm(centroid - at) <= 0.1 * radius + 0.4 * geometry.spacing.max()
        if radius > geometry.spacing.max():
            longest = fast_shape(mask, geometry)["shape_Maximum3DDiameter"]
            bend, slack = SIZES[size].bend_mm[1], float(np.linalg.norm(geometry.spacing))
            assert 1.5 * radius - slack <= longest <= 2.5 * radius + 6.0 * bend + slack
        assert ndimage.label(mask, structure=PIECES)[1] == 1


def test_large_tumors_have_radii_over_the_whole_range() -> None:
    radii = np.array([drawn_form("large", np.random.default_rng(seed)).diameter_mm / 2 for seed in range(40)])
    assert radii.min() < 30.0 and radii.max() > 52.0
    assert radii.min() >= 24.0 * PROPORTIONS[0] and radii.max() <= 64.0 * PROPORTIONS[1]
    mask, geometry, _ = made("large", 0, "oblique")
    assert ndimage.label(mask, structure=PIECES)[1] == 1
    form = drawn_form("large", np.random.default_rng(0))
    assert mask.sum() * geometry.voxel_volume_mm3 == pytest.approx(form.volume_mm3, abs=geometry.voxel_volume_mm3)


@pytest.mark.parametrize("kind", ["1 mm", "thick", "oblique"])
def test_an_asked_volume_wins_over_the_class(kind: str) -> None:
    mask, geometry, _ = made("tiny", 3, kind, 9_000.0)
    assert mask.sum() * geometry.voxel_volume_mm3 == pytest.approx(9_000.0, abs=0.51 * geometry.voxel_volume_mm3)


def test_a_tumor_below_a_voxel_is_one_voxel() -> None:
    mask, geometry, at = made("tiny", 0, "thick", 1.0)
    assert mask.sum() == 1 and mask[tuple(np.rint(geometry.to_ijk(at)).astype(int))]


def test_the_same_seed_gives_the_same_mask_and_another_seed_another() -> None:
    first, second, other = (made("small", seed, "oblique")[0] for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, second)
    assert first.shape != other.shape or (first != other).any()


def test_the_form_is_the_same_wherever_it_lies_and_is_cut_at_the_end_of_the_grid() -> None:
    form, geometry = drawn_form("small", np.random.default_rng(0)), Geometry((40, 40, 40), np.eye(4))
    inside, other = (form.on_grid(geometry, np.full(3, place)) for place in (18.0, 21.0))
    np.testing.assert_array_equal(inside[:-3, :-3, :-3], other[3:, 3:, 3:])
    at_corner = form.on_grid(geometry, np.zeros(3))
    np.testing.assert_array_equal(at_corner[:20, :20, :20], inside[18:38, 18:38, 18:38])
    assert not form.on_grid(geometry, np.full(3, -60.0)).any()


@pytest.mark.parametrize("bend", [0.15, 0.25, 0.4])
def test_the_deformation_has_the_strength_asked_for_and_never_folds(bend: float) -> None:
    cells = 8.0
    for seed in range(4):
        moved = displacement(np.random.default_rng(seed), 0.5 * cells, bend * cells)
        assert moved.std() == pytest.approx(bend * cells, rel=0.12)
        jacobian = np.eye(3)[:, :, None, None, None] + np.stack([np.stack(np.gradient(one)) for one in moved])
        assert np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1))).min() > 0.0


def test_the_stronger_the_bend_the_lower_the_sphericity() -> None:
    geometry, axes = Geometry((72, 72, 72), np.eye(4)), np.array([15.0, 16.0, 17.0])
    found = []
    for bend in (0.0, *SIZES["medium"].bend_mm):
        masks = (bent(axes, bend, np.random.default_rng(seed)).on_grid(geometry, np.full(3, 36.0)) for seed in range(5))
        found.append(np.mean([fast_shape(mask, geometry)["shape_Sphericity"] for mask in masks]))
    plain, weak, strong = found
    assert plain > 0.88 and plain - weak > 0.02 and weak - strong > 0.04


def test_without_a_bend_it_is_an_ellipsoid_of_these_axes() -> None:
    geometry = Geometry((64, 64, 64), np.eye(4))
    mask = bent(np.array([10.0, 14.0, 20.0]), 0.0, np.random.default_rng(1)).on_grid(geometry, np.full(3, 32.0))
    found = fast_shape(mask, geometry)
    lengths = [found[f"shape_{name}AxisLength"] for name in ("Least", "Minor", "Major")]
    # PyRadiomics' axis lengths are 4 standard deviations, a uniform ellipsoid's is its semi-axis over sqrt(5).
    assert np.array(lengths) * np.sqrt(5.0) / 4.0 == pytest.approx([10.0, 14.0, 20.0], rel=0.01)


# Places


def organ(geometry: Geometry, radii: tuple[float, float, float]) -> np.ndarray:
    """An ellipsoid along the grid's axes around its middle, in mm, bool."""
    points = np.stack(np.indices(geometry.shape), axis=-1) - (np.array(geometry.shape) - 1) / 2
    return ((points * geometry.spacing / np.array(radii)) ** 2).sum(axis=-1) < 1.0


@pytest.mark.parametrize(("size", "kind"), [("tiny", "thick"), ("small", "oblique, left-handed"), ("medium", "plain")])
def test_a_drawn_place_is_always_whole_inside_the_region(size: str, kind: str) -> None:
    geometry = scanner_grid(kind)
    region = organ(geometry, (44.0, 38.0, 36.0))
    found = []
    for seed in range(50):
        form = drawn_form(size, np.random.default_rng(seed))
        placer = HandmadePlacer(form, size, geometry, region, "the region")
        placed = placer.drawn(np.random.default_rng((seed, 1)))
        assert placed.cut == 0.0 and not (placed.mask & ~region).any()
        assert placed.part.sum() == round(form.volume_mm3 / geometry.voxel_volume_mm3)
        found.append(placed.at)
    assert np.ptp(found, axis=0).min() > (10.0 if size != "medium" else 3.0), "not always the same place"
    again = placer.at(placed.at)
    np.testing.assert_array_equal(again.mask, placed.mask)


def test_a_tumor_that_fits_at_a_few_voxels_alone_is_placed_there() -> None:
    geometry, form = Geometry((40, 40, 40), np.eye(4)), bent(np.array([4.0, 6.0, 9.0]), 0.0, np.random.default_rng(0))
    region = form.on_grid(geometry, np.array([11.0, 20.0, 17.0]))
    region = ndimage.binary_dilation(region, ndimage.generate_binary_structure(3, 1))
    placed = HandmadePlacer(form, "small", geometry, region, "the region").drawn(np.random.default_rng(0))
    assert np.abs(placed.at - [11.0, 20.0, 17.0]).max() <= 1.0


def test_an_impossible_region_is_refused_after_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = Geometry((300, 300, 60), np.diag([0.7, 0.7, 2.0, 1.0]))
    tube = organ(geometry, (100.0, 6.0, 6.0))
    form, tried = drawn_form("small", np.random.default_rng(0)), []
    placed = HandmadePlacer._placed
    monkeypatch.setattr(HandmadePlacer, "_placed", lambda *given: tried.append(1) or placed(*given))
    for region, tries in ((tube, TRIES), (organ(geometry, (5.0, 5.0, 5.0)), 0)):
        tried.clear()
        with pytest.raises(RequestError) as caught:
            HandmadePlacer(form, "small", geometry, region, "the region").drawn(np.random.default_rng(0))
        assert len(tried) == tries
        assert caught.value.code == "handmade.no_room" and "small tumor of" in caught.value.message
        assert "volume_ml" in caught.value.hint


def test_a_point_too_near_to_the_border_is_refused_and_one_inside_taken() -> None:
    geometry = scanner_grid("plain")
    region, form = organ(geometry, (40.0, 36.0, 34.0)), drawn_form("small", np.random.default_rng(0))
    placer = HandmadePlacer(form, "small", geometry, region, "the region")
    inside = geometry.to_ras((np.array(geometry.shape) - 1) / 2)
    assert placer.at(inside).cut == 0.0
    with pytest.raises(RequestError, match="would lie outside the region") as caught:
        placer.at(inside + np.array([0.0, 33.0, 0.0]))
    assert "expected all of it" in caught.value.message


def test_a_large_tumor_may_be_cut_and_the_share_is_told() -> None:
    geometry = scanner_grid("plain")
    region, form = organ(geometry, (44.0, 40.0, 38.0)), bent(np.full(3, 30.0), 6.0, np.random.default_rng(0))
    placer = HandmadePlacer(form, "large", geometry, region, "the region")
    placed = placer.drawn(np.random.default_rng(0))
    kept = placed.part.sum() * geometry.voxel_volume_mm3 / form.volume_mm3
    assert not (placed.mask & ~region).any() and HALF <= kept < 1.0
    assert placed.cut == pytest.approx(1.0 - kept, abs=0.001)
    assert f"{placed.cut:.0%} of the large tumor" in placer.warnings(placed)[0]
    assert placer.told(placed)["diameter_mm"] == pytest.approx(form.diameter_mm * np.cbrt(kept), rel=0.001)
    assert ndimage.label(placed.mask, structure=PIECES)[1] == 1
    with pytest.raises(RequestError, match="finds no place"):
        small = organ(geometry, (14.0, 14.0, 14.0))
        HandmadePlacer(form, "large", geometry, small, "the region").drawn(np.random.default_rng(0))


def test_what_a_region_leaves_of_a_large_tumor_is_one_piece() -> None:
    geometry = Geometry((90, 90, 90), np.eye(4))
    region = np.ones(geometry.shape, bool)
    region[:, 50:53] = False
    form = bent(np.full(3, 30.0), 0.0, np.random.default_rng(0))
    placed = HandmadePlacer(form, "large", geometry, region, "the region").at(np.full(3, 44.0))
    assert ndimage.label(placed.mask, structure=PIECES)[1] == 1 and not placed.mask[:, 50:].any()


# Contrast


def contrast(weights: np.ndarray, mask: np.ndarray) -> float:
    """Mean over a mask of the share of a prediction's contrast that is left when it is blended into a scan."""
    original = np.full(mask.shape, 50.0, np.float32)
    values = composite(original, np.full(mask.shape, 150.0), weights)
    return float((values[mask] - 50.0).mean() / 100.0)


def test_a_tumor_of_5_mm_keeps_its_contrast_which_a_wide_blur_takes() -> None:
    center = np.full(3, 12.0)
    for seed in range(5):
        form = drawn_form("tiny", np.random.default_rng(seed), BALL * 2.5**3)
        mask = form.on_grid(Geometry((25, 25, 25), np.eye(4)), center)
        assert form.diameter_mm == pytest.approx(5.0) and mask.sum() == round(BALL * 2.5**3)
        weights = soft_border(mask, (1.0, 1.0, 1.0))
        assert weights[12, 12, 12] == 1.0 and contrast(weights, mask) >= 0.95
        assert contrast(ndimage.gaussian_filter(mask.astype(np.float32), 4.0), mask) < 1.0 / 3.0
