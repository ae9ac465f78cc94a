"""What the bridge sees of an edit, against scipy's morphology and by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from TumorSynthLib.conditioning import feature_scores, filled_region, grow, latent_masks, without_region
from TumorSynthLib.scaling import fit_scale


def ball(radius: float, size: int = 24, center: tuple[float, float, float] = (11.3, 12.1, 10.6)) -> Tensor:
    grid = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), axis=-1)
    return torch.from_numpy(((grid - np.array(center)) ** 2).sum(axis=-1) <= radius**2)[None, None]


@pytest.mark.parametrize("voxels", [0, 1, 3])
def test_growing_is_dilation_in_the_18_neighborhood(voxels: int) -> None:
    mask = torch.from_numpy(np.random.default_rng(voxels).random((2, 1, 14, 15, 16)) < 0.01)
    structure = ndimage.generate_binary_structure(3, 2)
    for found, item in zip(grow(mask, voxels), mask, strict=True):
        expected = ndimage.binary_dilation(item[0].numpy(), structure, voxels) if voxels else item[0].numpy()
        assert np.array_equal(found[0].numpy(), expected)


def test_the_hidden_region_covers_the_mask_and_every_face_neighbor() -> None:
    mask = ball(5.0)
    hidden = filled_region(mask)
    assert hidden.dtype == torch.bool and bool((hidden | ~mask).all())
    assert bool((hidden | ~torch.from_numpy(ndimage.binary_dilation(mask.numpy()[0, 0]))).all())


def test_nothing_of_the_hidden_region_reaches_the_bridge_and_nothing_else_changes() -> None:
    hidden = filled_region(ball(5.0))
    rng = torch.Generator().manual_seed(0)
    v = torch.randn(hidden.shape, generator=rng)
    filled = without_region(v, hidden)
    other = without_region(torch.where(hidden, torch.tensor(50.0), v), hidden)
    assert torch.equal(filled, other)
    assert torch.equal(filled[~hidden], v[~hidden])
    assert float(filled[hidden].max()) <= float(v.max()) and float(filled[hidden].min()) >= float(v.min())


def test_removal_from_a_constant_phantom_is_the_constant() -> None:
    hidden = filled_region(ball(6.0))
    v = torch.where(hidden, torch.tensor(3.0), torch.tensor(-0.4))
    assert torch.allclose(without_region(v, hidden), torch.tensor(-0.4), atol=1e-5)


def test_latent_masks_keep_the_volume() -> None:
    mask = ball(7.0)
    soft, _ = latent_masks(mask, filled_region(mask), 4)
    assert soft.shape == (1, 2, 6, 6, 6) and float(soft.min()) >= 0.0 and float(soft.max()) <= 1.0
    assert float(soft[:, 0].sum()) * 64 == pytest.approx(float(mask.sum()), rel=1e-5)


def test_a_tumor_of_one_voxel_is_still_seen() -> None:
    mask = torch.zeros(1, 1, 16, 16, 16, dtype=torch.bool)
    mask[0, 0, 9, 6, 1] = True
    soft, support = latent_masks(mask, filled_region(mask), 4)
    assert float(soft[0, 0, 2, 1, 0]) == pytest.approx(1 / 64)
    assert float(support[0, 0, 2, 1, 0]) == 1.0


def test_the_support_is_every_cell_the_hidden_region_touches_and_its_neighbors() -> None:
    hidden = filled_region(ball(4.0, 32))
    _, support = latent_masks(ball(4.0, 32), hidden, 4)
    touched = hidden[0, 0].numpy().reshape(8, 4, 8, 4, 8, 4).any(axis=(1, 3, 5))
    expected = ndimage.binary_dilation(touched, np.ones((3, 3, 3)))
    assert np.array_equal(support[0, 0].numpy() > 0, expected)
    assert set(np.unique(support.numpy())) <= {0.0, 1.0} and not expected.all()


def test_each_token_gets_the_score_of_its_own_feature() -> None:
    scales = {"a": fit_scale(np.linspace(0, 10, 200)), "b": fit_scale(np.linspace(100, 300, 200))}
    scores, present = feature_scores({"b": 290.0, "a": 5.0, "no_token": 1.0}, ("a", "b", "c"), scales)
    assert present == [True, True, False] and scores[2] == 0.0
    assert (
        scores[0] == pytest.approx(0.0, abs=0.02) and scores[1] == pytest.approx(scales["b"].score(290.0)) and scores[1] > 1.0
    )
    assert feature_scores({"a": 5.0, "b": 290.0}, ("b", "a"), scales)[0] == [scores[1], scores[0]]


def test_a_feature_without_statistics_counts_as_absent() -> None:
    assert feature_scores({"a": 1.0}, ("a",), {}) == ([0.0], [False])
