"""The independent segmenter: masks compared against known overlaps, exact resuming, and a run on a tiny folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_data
import torch

from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.errors import DataError
from TumorSynthLib.index import read_index
from TumorSynthLib.intensity import fit_intensity
from TumorSynthLib.segmentation.images import Sample, isotropic, read_labeled, sample_of, tumor_rows
from TumorSynthLib.segmentation.inference import Segmenter
from TumorSynthLib.segmentation.network import SegmenterConfig, build_network
from TumorSynthLib.segmentation.overlap import dice, surface_dice
from TumorSynthLib.segmentation.patches import OUTSIDE, batch_of, draw_patch, flipped, varied
from TumorSynthLib.segmentation.training import Fit, Schedule
from TumorSynthLib.train.segmenter import train_segmenter
from TumorSynthLib.volume import Geometry, Volume

SMALL = SegmenterConfig(spacing_mm=4.0, patch=16, channels=(8, 8, 16))


def ball(radius: float, offset: float = 0.0, size: int = 40) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(size) - size / 2 + 0.5] * 3, indexing="ij"), axis=-1)
    grid[..., 0] -= offset
    return np.linalg.norm(grid, axis=-1) <= radius


def test_dice_of_overlapping_and_of_empty_masks() -> None:
    first, second = np.zeros((2, 10), bool)
    first[:6], second[4:8] = True, True
    assert dice(first, second) == pytest.approx(0.4)
    assert dice(first, first) == 1.0 and dice(first, ~first) == 0.0
    assert dice(np.zeros(4, bool), np.zeros(4, bool)) == 1.0


def test_the_surface_dice_of_shifted_balls() -> None:
    spacing = np.ones(3)
    assert surface_dice(ball(12), ball(12), spacing, 0.0) == 1.0
    # No voxel of a surface is farther from the other one than the shift.
    assert surface_dice(ball(12), ball(12, 2.0), spacing, 2.0) == 1.0
    # Shifted by d, a ball's surface at the angle a is about d |cos a| away: a share of t / d lies within t.
    assert surface_dice(ball(14), ball(14, 4.0), spacing, 2.0) == pytest.approx(0.5, abs=0.12)
    assert surface_dice(ball(14), ball(10), spacing, 2.0) == 0.0
    assert surface_dice(ball(14), ball(12), spacing, 2.5) == 1.0


def test_the_surface_dice_is_in_millimeters_and_symmetric() -> None:
    first, second = ball(8), ball(8, 2.0)
    assert surface_dice(first, second, np.array([1.0, 1.0, 1.0]), 2.0) == 1.0
    thick = surface_dice(first, second, np.array([3.0, 1.0, 1.0]), 2.0)
    assert thick < 0.8 and thick == pytest.approx(surface_dice(second, first, np.array([3.0, 1.0, 1.0]), 2.0))
    empty = np.zeros_like(first)
    assert surface_dice(first, empty, np.ones(3), 2.0) == 0.0 and surface_dice(empty, empty, np.ones(3), 2.0) == 1.0


def test_the_isotropic_grid_covers_the_image_around_the_same_middle() -> None:
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.0, 2.0, 5.0])
    affine[:3, 3] = [10.0, -20.0, 30.0]
    source = Geometry((30, 20, 8), affine)
    grid = isotropic(source, 2.5)
    assert np.allclose(grid.spacing, 2.5) and grid.shape == (12, 16, 16)
    middles = [one.to_ras((np.array(one.shape) - 1) / 2) for one in (source, grid)]
    assert np.allclose(*middles)


def test_patches_hold_the_image_and_its_tumor_in_step_and_air_beyond() -> None:
    v = np.arange(12.0**3, dtype=np.float32).reshape(12, 12, 12)
    sample = Sample(v, v > 1700, 0)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        patch, tumor = draw_patch(sample, 8, rng)
        assert patch.shape == (8, 8, 8) and np.array_equal(tumor, patch > 1700)
        turned = flipped((patch, tumor), rng)
        assert np.array_equal(turned[1], turned[0] > 1700)
    large, _ = draw_patch(sample, 16, np.random.default_rng(0))
    assert (large == OUTSIDE).sum() == 16**3 - 12**3 and np.isin(v, large).all()


def test_a_focus_draws_the_patches_to_it() -> None:
    sample = Sample(np.zeros((40, 40, 40), np.float32), np.zeros((40, 40, 40), bool), 0)
    focus = np.zeros((40, 40, 40), bool)
    focus[34:38, 34:38, 34:38] = True
    shown = Sample(focus.astype(np.float32), sample.tumor, 0)
    near = [draw_patch(shown, 16, np.random.default_rng(seed), focus)[0].any() for seed in range(60)]
    far = [draw_patch(shown, 16, np.random.default_rng(seed))[0].any() for seed in range(60)]
    assert np.mean(near) > 0.5 and np.mean(near) > np.mean(far) + 0.2


def test_augmentation_depends_on_its_generator_alone() -> None:
    patch = (np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32), ball(3, size=8))
    first, second, other = (varied(patch, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_the_modality_is_told_by_a_channel_of_its_own() -> None:
    patch = (np.full((4, 4, 4), 0.5, np.float32), np.zeros((4, 4, 4), bool))
    image, target = batch_of([patch, patch], [2, 0])
    assert image.shape == (2, 4, 4, 4, 4) and target.shape == (2, 1, 4, 4, 4)
    assert image[:, 1:, 0, 0, 0].tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert (image[:, 0] == 0.5).all()


def draw(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    image = torch.randn(2, 4, 16, 16, 16, generator=generator)
    return image, (image[:, :1] > 0.5).float()


def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = Fit(SMALL, Schedule(6, keep_every=2)).run(draw)
    stopped = Fit(SMALL, Schedule(6, keep_every=2), checkpoint=tmp_path / "fit.pt")
    stopped.run(draw, enough=lambda: stopped.step == 3)
    assert stopped.step == 3 and not stopped.finished
    again = Fit(SMALL, Schedule(6, keep_every=2), checkpoint=tmp_path / "fit.pt")
    assert again.step == 3
    resumed = again.run(draw)
    for mine, theirs in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(DataError, match="run of 6 steps"):
        Fit(SMALL, Schedule(9), checkpoint=tmp_path / "fit.pt")


def test_a_fit_learns_what_can_be_seen() -> None:
    losses: list[float] = []
    Fit(SMALL, Schedule(60, 1e-2)).run(draw, lambda step, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])


class Threshold(torch.nn.Module):
    """Sees tumor where the network input is above 0.5."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :1] - 0.5


def test_a_scan_is_segmented_on_its_own_grid() -> None:
    grid = Geometry((40, 36, 16), np.diag([-1.0, 1.0, 3.0, 1.0]))
    points = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    inside = np.linalg.norm(grid.to_ras(points) - grid.to_ras(np.array([20, 18, 8])), axis=-1) <= 12.0
    scan = Volume(np.where(inside, 400, 40).astype(np.int16), grid)
    ct = DOMAINS[0]
    config = SegmenterConfig(spacing_mm=2.0, patch=16, channels=(8, 8, 16))
    seen = Segmenter(Threshold(), config).segment(scan, ct, fit_intensity(scan.array, ct))
    assert seen.shape == scan.array.shape and dice(seen, inside) > 0.9


def test_a_segmenter_is_trained_kept_and_loaded(tmp_path: Path) -> None:
    data = tiny_data.write_folder(tmp_path / "data")
    folder = train_segmenter(data, tmp_path / "out", 3, config=SMALL)
    loaded = Segmenter.load(folder)
    assert loaded.config == SMALL and loaded.about["split"] == "train" and loaded.about["images"] == 3
    assert "TEST_001" not in loaded.about["patients"]
    image = read_labeled(data, tumor_rows(read_index(data, "test"))[0])
    assert sample_of(image, 4.0).tumor.any()
    assert loaded.segment(image.scan, image.domain, image.intensity).shape == image.tumor.shape
    about = json.loads((folder / "segmenter.json").read_text())
    about["config"]["channels"] = [8, 8, 24]
    (folder / "segmenter.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match="does not hold a segmenter"):
        Segmenter.load(folder)
    with pytest.raises(DataError, match="does not hold a segmenter"):
        Segmenter.load(tmp_path)


def test_the_same_seed_gives_the_same_network() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        before = torch.get_rng_state()
        first, second = (Fit(SMALL, Schedule(1), seed=5).network.state_dict() for _ in range(2))
        assert torch.equal(before, torch.get_rng_state()), "nobody else's numbers are changed"
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert set(first) == set(build_network(SMALL).state_dict())
