"""Regions with another look: what changes, what does not, and that it is the same on every grid."""

import numpy as np
import pytest

from TumorSynthLib.counterfactual import Change, draw_change
from TumorSynthLib.volume import Geometry

NOTHING = {"shift": 0.0, "coarse": 1.0, "fine": 1.0, "pattern": 0.0, "length_mm": 10.0, "seed": 1}


def ball(size: int, spacing: float = 1.0) -> tuple[np.ndarray, Geometry]:
    """A ball in the middle of a cube around the origin, and the cube's grid."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * (size - 1) / 2.0
    geometry = Geometry((size, size, size), affine)
    points = geometry.to_ras(np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), axis=-1).reshape(-1, 3))
    return (np.linalg.norm(points, axis=1) < 12.0).reshape(size, size, size), geometry


def noise(size: int) -> np.ndarray:
    return np.random.default_rng(0).normal(50.0, 10.0, (size, size, size)).astype(np.float32)


def test_outside_nothing_changes_and_inside_the_mean_moves_by_the_shift() -> None:
    inside, geometry = ball(40)
    u = noise(40)
    changed = Change(**{**NOTHING, "shift": 7.0}).apply(u, inside, geometry, -1000.0)
    np.testing.assert_array_equal(changed[~inside], u[~inside])
    np.testing.assert_allclose(changed[inside], u[inside] + 7.0, atol=1e-3)


def test_fine_structure_is_scaled_and_coarse_structure_is_not() -> None:
    inside, geometry = ball(40)
    ramp = np.broadcast_to(np.linspace(-20.0, 20.0, 40, dtype=np.float32)[:, None, None], (40, 40, 40))
    grain = np.where(np.indices((40, 40, 40)).sum(axis=0) % 2, 1.0, -1.0).astype(np.float32)
    halved = Change(**{**NOTHING, "fine": 0.5}).apply(ramp + grain, inside, geometry, -1000.0)
    np.testing.assert_allclose(halved[inside], (ramp + 0.5 * grain)[inside], atol=0.05)
    doubled = Change(**{**NOTHING, "coarse": 2.0}).apply(ramp + grain, inside, geometry, -1000.0)
    np.testing.assert_allclose(doubled[inside], (2.0 * ramp - ramp[inside].mean() + grain)[inside], atol=0.1)


def test_a_pattern_has_the_asked_spread_and_is_the_same_on_another_grid() -> None:
    change = Change(**{**NOTHING, "pattern": 5.0, "length_mm": 6.0})
    fine, fine_grid = ball(61, 0.5)
    added = change.apply(np.zeros(fine.shape, np.float32), fine, fine_grid, -1000.0)
    assert added[fine].std() == pytest.approx(5.0, rel=0.2)
    assert abs(added[fine].mean()) < 1.5
    coarse, coarse_grid = ball(31, 1.0)
    again = change.apply(np.zeros(coarse.shape, np.float32), coarse, coarse_grid, -1000.0)
    np.testing.assert_allclose(again[coarse], added[::2, ::2, ::2][coarse], atol=1e-4)


def test_nothing_falls_below_what_the_scan_has_and_an_empty_region_is_left_alone() -> None:
    inside, geometry = ball(30)
    changed = Change(**{**NOTHING, "shift": -500.0}).apply(noise(30), inside, geometry, 0.0)
    assert changed.min() == 0.0
    np.testing.assert_array_equal(Change(**NOTHING).apply(noise(30), np.zeros_like(inside), geometry, 0.0), noise(30))


def test_drawn_changes_follow_the_spread_and_the_generator() -> None:
    changes = [draw_change(np.random.default_rng(seed), 20.0) for seed in range(300)]
    shifts = np.array([change.shift for change in changes])
    assert np.abs(shifts).max() <= 40.0 and shifts.std() == pytest.approx(18.0, rel=0.15)
    assert np.mean([change.pattern > 0.0 for change in changes]) == pytest.approx(0.5, abs=0.1)
    assert changes[5] == draw_change(np.random.default_rng(5), 20.0)
