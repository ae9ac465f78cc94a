"""The smooth noise that flow's mask starts from: its variance, how far it reaches, and that training and sampling use it."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from TumorSynthLib.configs import BridgeConfig
from TumorSynthLib.methods import METHODS
from TumorSynthLib.processes.bridge import BrownianBridge
from TumorSynthLib.processes.flow import RectifiedFlow, smoothed
from TumorSynthLib.sampler import beginning, processes, sample

FLOW = RectifiedFlow("preconditioned", mask_noise=1.0)


def white(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("edge", [4, 12, 16])
def test_smooth_noise_has_a_variance_of_1_in_every_place(edge: int) -> None:
    # The covariance is exact: that of the map applied to each unit vector.
    unit = torch.eye(edge, dtype=torch.float64).view(edge, 1, edge, 1, 1)
    along = smoothed(unit, 1.0).view(edge, edge)
    assert torch.allclose(along.square().sum(dim=0), torch.ones(edge, dtype=torch.float64), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("width", [0.8, 1.0, 1.5])
def test_neighbors_vary_together_as_white_noise_behind_a_gaussian_does(width: float) -> None:
    field = smoothed(white(600, 1, 16, 16, 16), width)
    assert float(field.var()) == pytest.approx(1.0, abs=0.02) and abs(float(field.mean())) < 0.01
    for axis in (2, 3, 4):
        for cells in (1, 2, 3):
            expected = math.exp(-0.25 * (cells / width) ** 2)
            assert float((field * field.roll(cells, axis)).mean()) == pytest.approx(expected, abs=0.02)


def test_only_the_mask_s_channel_is_smooth_and_0_leaves_it_white() -> None:
    noise = white(2, 5, 8, 8, 8)
    shaped = FLOW.shaped(noise)
    assert torch.equal(shaped[:, :-1], noise[:, :-1]) and torch.equal(shaped[:, -1:], smoothed(noise[:, -1:], 1.0))
    assert RectifiedFlow().shaped(noise) is noise and BrownianBridge().shaped(noise) is noise


def test_half_precision_around_it_changes_nothing() -> None:
    noise = white(1, 5, 8, 8, 8).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = FLOW.shaped(noise)
    assert inside.dtype == torch.float32 and torch.equal(inside, FLOW.shaped(noise))


def test_sampling_starts_from_it() -> None:
    y, support, noise = torch.zeros(1, 3, 8, 8, 8), torch.ones(1, 1, 8, 8, 8), white(1, 3, 8, 8, 8).float()
    assert torch.equal(beginning(FLOW, y, support, lambda: noise), FLOW.shaped(noise))
    # One step of an estimate that is what it is shown gives that back.
    assert torch.equal(sample(lambda x, *_: x, FLOW, y, support, steps=1, noise=lambda: noise), FLOW.shaped(noise))


def test_ancestral_noise_is_smooth_as_well() -> None:
    y, support = torch.zeros(400, 2, 8, 8, 8), torch.ones(400, 1, 8, 8, 8)
    kept: list[Tensor] = []

    def seen(x: Tensor, *_: Tensor) -> Tensor:
        kept.append(x.clone())
        return torch.zeros_like(x)

    noise = iter(range(20))
    sample(seen, FLOW, y, support, steps=2, noise=lambda: white(400, 2, 8, 8, 8, seed=next(noise)).float(), ancestral=True)
    middle = kept[1]
    together = [float((middle[:, n] * middle[:, n].roll(1, 1)).mean() / middle[:, n].square().mean()) for n in (0, 1)]
    assert abs(together[0]) < 0.02 and together[1] == pytest.approx(math.exp(-0.25), abs=0.03)


def test_the_network_s_configuration_tells_it() -> None:
    config = BridgeConfig(methods=METHODS, mask_noise=1.0)
    assert processes(config)["flow"] == RectifiedFlow("residual", 1.0)
    assert processes(replace(config, mask_noise=0.0))["flow"] == RectifiedFlow("residual")
