"""Free places: what a brute-force search over all voxels says about every place that is drawn."""

from dataclasses import replace

import numpy as np
import pytest
from phantoms import geometry, middle, phantom
from scipy.spatial import cKDTree

from TumorSynthLib import places as module
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.errors import GeometryError
from TumorSynthLib.places import Places, tissue_region
from TumorSynthLib.volume import Geometry, Volume

KINDS = ["plain", "thick", "oblique, left-handed"]
CT = next(domain for domain in DOMAINS if domain.id == "soft-tissue-ct")
LUNG = next(domain for domain in DOMAINS if domain.id == "lung-ct")


def centers(grid: Geometry) -> np.ndarray:
    """RAS of every voxel center, and of those of one more layer around the grid, (i, j, k, 3)."""
    lines = [np.arange(-1, n + 1) for n in grid.shape]
    return grid.to_ras(np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1))


def ellipsoid(grid: Geometry, offset: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """An ellipsoid around a point near the middle of the grid, mm along its axes, bool."""
    lines = [np.arange(n) - (n - 1) / 2 for n in grid.shape]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1) * grid.spacing
    return ((((points - offset) / radii) ** 2).sum(axis=-1) <= 1.0) & True


def distances(flagged: np.ndarray, points: np.ndarray, grid: Geometry) -> np.ndarray:
    """Distance in mm from each point to the nearest flagged center, by a search tree over all of them."""
    tree = cKDTree(centers(grid)[flagged], balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(points)[0])


def outside(region: np.ndarray) -> np.ndarray:
    """Voxels outside the region, the layer around the grid among them."""
    return ~np.pad(region, 1)


@pytest.mark.parametrize("most", [10**9, 5_000])
@pytest.mark.parametrize("kind", KINDS)
def test_every_place_keeps_its_distance_from_the_region_and_from_what_is_avoided(
    kind: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_VOXELS", most)
    grid = geometry(kind)
    region, avoid = ellipsoid(grid, (5.0, 0.0, 0.0), (60.0, 30.0, 34.0)), ellipsoid(grid, (-10.0, 4.0, 3.0), (9.0, 9.0, 9.0))
    places, rng = Places(region, grid, avoid), np.random.default_rng(0)
    found = np.array([places.draw(7.0, 10.0, rng) for _ in range(60)])
    assert distances(outside(region), found, grid).min() >= 7.0 - 1e-3
    assert distances(np.pad(avoid, 1), found, grid).min() >= 10.0 - 1e-3
    assert np.ptp(found, axis=0).min() > 5.0


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_overstate_no_distance_from_single_voxels(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_VOXELS", 3_000)
    grid, rng = geometry(kind), np.random.default_rng(2)
    region, avoid = np.ones(grid.shape, bool), np.zeros(grid.shape, bool)
    for array, value in ((region, False), (avoid, True)):
        array[tuple(rng.integers(0, n, 15) for n in grid.shape)] = value
    places = Places(region, grid, avoid)
    found = np.array([places.draw(6.0, 7.0, rng) for _ in range(150)])
    assert distances(outside(region), found, grid).min() >= 6.0 - 1e-3
    assert distances(np.pad(avoid, 1), found, grid).min() >= 7.0 - 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_on_a_small_region_the_places_are_exactly_those_that_keep_the_distance(kind: str) -> None:
    grid = geometry(kind)
    region = ellipsoid(grid, (3.0, -2.0, 1.0), (16.0, 14.0, 15.0))
    places, rng = Places(region, grid), np.random.default_rng(1)
    inside = grid.to_ras(np.argwhere(region))
    right = inside[distances(outside(region), inside, grid) >= 9.07]
    drawn = np.array([places.draw(9.07, 0.0, rng) for _ in range(30 * len(right))])
    assert {tuple(point) for point in drawn.round(3)} == {tuple(point) for point in right.round(3)}
    counts = np.unique(drawn.round(3), axis=0, return_counts=True)[1]
    assert counts.max() < 4 * counts.mean()


@pytest.mark.parametrize("most", [10**9, 3_000])
def test_the_largest_ball_fits_and_a_larger_one_does_not(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_VOXELS", most)
    grid = geometry("plain")
    region = ellipsoid(grid, (0.0, 0.0, 0.0), (30.0, 25.0, 25.0))
    places, rng = Places(region, grid), np.random.default_rng(0)
    largest = places.largest_mm()
    blocks = float(np.linalg.norm(places.geometry.spacing))
    assert 25.0 - 1.5 * blocks < largest < 25.0 + 1.0
    assert places.draw(largest, largest, rng) is not None and places.draw(largest + 0.01, 0.0, rng) is None
    np.testing.assert_allclose(places.deepest, middle(Volume(region, grid)), atol=blocks)


def test_the_border_of_the_scan_is_a_border_of_the_region() -> None:
    grid = Geometry((40, 40, 40), np.eye(4))
    places, rng = Places(np.ones(grid.shape, bool), grid), np.random.default_rng(0)
    found = np.array([places.draw(10.0, 0.0, rng) for _ in range(300)])
    assert found.min() == 9.0 and found.max() == 30.0


def test_tumors_that_were_placed_take_their_surroundings_away() -> None:
    grid = geometry("oblique, left-handed")
    places, rng = Places(ellipsoid(grid, (0.0, 0.0, 0.0), (45.0, 40.0, 38.0)), grid), np.random.default_rng(0)
    placed: list[np.ndarray] = []
    while (point := places.draw(5.0, 8.0, rng)) is not None:
        assert all(np.linalg.norm(point - other) >= 8.0 + 6.0 - 1e-3 for other in placed)
        places.take(point, 6.0)
        placed.append(point)
    assert len(placed) > 5 and places.largest_mm() < 8.0


def test_what_is_avoided_counts_outside_the_region_too() -> None:
    grid = Geometry((60, 30, 30), np.eye(4))
    region, avoid = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    region[30:, :, :], avoid[:20, :, :] = True, True
    found = [Places(region, grid, avoid).draw(1.0, 25.0, np.random.default_rng(n)) for n in range(50)]
    assert min(point[0] for point in found if point is not None) >= 44.0
    nothing = Places(region, grid, np.zeros(grid.shape, bool))
    assert np.isinf(nothing.space).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_region_places_lie_in_tissue_below_the_skin(kind: str) -> None:
    scan = phantom(kind)
    inside = tissue_region(scan, CT)
    assert inside.shape == scan.array.shape and inside.any()
    air = np.pad(scan.array, 1, mode="edge") < -500
    points = scan.geometry.to_ras(np.argwhere(inside)[::7])
    assert distances(air, points, scan.geometry).min() > 3.0


def test_lung_is_what_holds_air_inside_the_patient() -> None:
    grid = Geometry((60, 60, 40), np.diag([2.0, 2.0, 2.0, 1.0]))
    body, lung = ellipsoid(grid, (0, 0, 0), (55.0, 50.0, 200.0)), ellipsoid(grid, (-22.0, 0, 0), (20.0, 30.0, 200.0))
    x = np.where(lung, -820.0, np.where(body, 30.0, -1000.0)) + np.random.default_rng(0).normal(0, 15, grid.shape)
    scan = Volume(x.astype(np.int16), grid)
    assert not (tissue_region(scan, LUNG) & ~lung).any() and tissue_region(scan, LUNG).sum() > 0.2 * lung.sum()
    assert not (tissue_region(scan, CT) & (lung | ~body)).any()


def test_bone_is_no_place_in_ct() -> None:
    scan = phantom()
    bone = ellipsoid(scan.geometry, (0.0, 0.0, 0.0), (10.0, 10.0, 200.0))
    inside = tissue_region(replace(scan, array=np.where(bone, 900, scan.array).astype(np.int16)), CT)
    assert inside.any() and not (inside & ellipsoid(scan.geometry, (0.0, 0.0, 0.0), (8.0, 8.0, 200.0))).any()


def test_a_scan_of_nothing_but_air_has_no_places() -> None:
    scan = replace(phantom(), array=np.full(phantom().array.shape, -1000, np.int16))
    with pytest.raises(GeometryError, match="soft-tissue-ct") as caught:
        tissue_region(scan, CT)
    assert caught.value.code == "plan.tissue" and caught.value.hint
