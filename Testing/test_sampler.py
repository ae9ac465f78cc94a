"""Sampling with denoisers that are known exactly: the distribution comes out, not only its shape."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from TumorSynthLib.errors import Cancelled
from TumorSynthLib.processes.bridge import BrownianBridge
from TumorSynthLib.processes.process import column
from TumorSynthLib.sampler import Denoiser, guided, sample, times

EDGE = 32
SHAPE = (1, 1, EDGE, EDGE, EDGE)
SAMPLERS = {"dbim-10": (10, False), "dbim-20": (20, False), "ancestral-200": (200, True)}


def source(seed: int, like: Tensor) -> Callable[[], Tensor]:
    """Noise with one generator per sample of the batch, seeds counted from ``seed``."""
    generators = [torch.Generator().manual_seed(seed + n) for n in range(like.shape[0])]
    return lambda: torch.stack([torch.randn(like.shape[1:], generator=generator) for generator in generators])


def gaussian_mixture(means: tuple[float, ...], deviation: float, bridge: BrownianBridge, shift: float = 0.0) -> Denoiser:
    """E[x0 | x_t, y] for x0 | y an equal mixture of N(mean + shift y, deviation^2), voxel by voxel."""

    def denoise(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        m, delta = column(t), column(bridge.delta(t))
        spread = ((1 - m) * deviation).square() + delta
        levels, weights = [], []
        for mean in means:
            center = mean + shift * y
            residual = x - (1 - m) * center - m * y
            gain = torch.where(spread > 0, (1 - m) * deviation**2 / spread.clamp(min=1e-20), torch.zeros_like(spread))
            levels.append(center + gain * residual)
            weights.append(-0.5 * residual.square() / spread.clamp(min=1e-20))
        return (torch.stack(weights).softmax(dim=0) * torch.stack(levels)).sum(dim=0)

    return denoise


def drawn(denoiser: Denoiser, y: Tensor, steps: int, ancestral: bool = False, variance: float = 1.0, seed: int = 0) -> Tensor:
    bridge, support = BrownianBridge(variance), torch.ones_like(y[:, :1])
    return sample(denoiser, bridge, y, support, steps=steps, noise=source(seed, y), ancestral=ancestral)


def discrete_deviation(deviation: float, steps: int, ancestral: bool, variance: float = 1.0) -> float:
    """The standard deviation that a finite number of steps gives for a Gaussian x0, in closed form.

    Everything is linear then: x - E x is multiplied by a known factor in each step, and known noise is added.
    """
    line = times(steps, "linear" if ancestral else "quadratic")
    spread = 0.0
    for t, s in pairwise(line):
        ahead, behind = (2.0 * variance * (value - value**2) for value in (t, s))
        gain = (1 - t) * deviation**2 / (((1 - t) * deviation) ** 2 + ahead) if ahead > 0 else 0.0
        if ahead == 0.0:
            fresh, carried = behind, 0.0
        else:
            fresh = (ahead - behind * ((1 - t) / (1 - s)) ** 2) * behind / ahead if ancestral else 0.0
            carried = math.sqrt((behind - fresh) / ahead)
        factor = (1 - s) * gain + carried * (1 - (1 - t) * gain)
        spread = factor**2 * spread + fresh
    return math.sqrt(spread)


@pytest.mark.parametrize("deviation", [0.3, 1.0])
@pytest.mark.parametrize(("steps", "ancestral"), SAMPLERS.values(), ids=SAMPLERS.keys())
def test_a_gaussian_comes_out_with_its_mean_and_the_variance_of_the_discrete_chain(
    steps: int, ancestral: bool, deviation: float
) -> None:
    y = torch.full(SHAPE, 0.7)
    found = drawn(gaussian_mixture((1.5,), deviation, BrownianBridge()), y, steps, ancestral)
    # 32768 voxels: the standard errors are 0.6 % of sd for the mean and 0.4 % for the deviation.
    assert float(found.mean()) == pytest.approx(1.5, abs=0.025 * deviation)
    assert float(found.std()) == pytest.approx(discrete_deviation(deviation, steps, ancestral), rel=0.016)


@pytest.mark.parametrize(("steps", "ancestral"), [(320, False), (2000, True)], ids=["dbim", "ancestral"])
@pytest.mark.parametrize("deviation", [0.3, 1.0])
def test_with_more_steps_the_variance_becomes_the_true_one_at_first_order(
    steps: int, ancestral: bool, deviation: float
) -> None:
    missing = [1.0 - discrete_deviation(deviation, n, ancestral) / deviation for n in (steps // 2, steps)]
    assert 0.0 < missing[1] < 0.025 and missing[0] / missing[1] == pytest.approx(2.0, rel=0.2)


@pytest.mark.parametrize(
    ("steps", "ancestral", "tolerance"), [(10, False, 0.14), (20, False, 0.08), (50, False, 0.035), (200, True, 0.03)]
)
def test_a_gaussian_as_wide_as_the_bridge_keeps_its_variance_within_the_stated_tolerance(
    steps: int, ancestral: bool, tolerance: float
) -> None:
    found = drawn(gaussian_mixture((0.0,), 1.0, BrownianBridge()), torch.full(SHAPE, 0.7), steps, ancestral)
    assert 1.0 - tolerance < float(found.std()) < 1.015


@pytest.mark.parametrize("variance", [0.25, 2.0])
def test_the_scale_of_the_bridge_changes_the_way_and_not_the_end(variance: float) -> None:
    y = torch.full(SHAPE, -0.4)
    found = drawn(gaussian_mixture((1.0,), 0.8, BrownianBridge(variance)), y, 20, variance=variance)
    assert float(found.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(found.std()) == pytest.approx(discrete_deviation(0.8, 20, False, variance), rel=0.016)
    assert float(found.std()) == pytest.approx(0.8, rel=0.11)


def test_the_sample_follows_its_source() -> None:
    y = torch.randn(SHAPE, generator=torch.Generator().manual_seed(9))
    found = drawn(gaussian_mixture((0.0,), 0.5, BrownianBridge(), shift=0.6), y, 20)
    slope = float((found * y).sum() / y.square().sum())
    assert slope == pytest.approx(0.6, abs=0.02)
    assert float((found - slope * y).std()) == pytest.approx(discrete_deviation(0.5, 20, False), rel=0.016)


@pytest.mark.parametrize(("steps", "ancestral"), SAMPLERS.values(), ids=SAMPLERS.keys())
def test_two_modes_are_both_drawn_in_equal_parts_and_with_their_width(steps: int, ancestral: bool) -> None:
    found = drawn(gaussian_mixture((-1.0, 1.0), 0.2, BrownianBridge()), torch.zeros(SHAPE), steps, ancestral)
    upper = found > 0
    assert float(upper.float().mean()) == pytest.approx(0.5, abs=0.02)
    assert float(found[upper].mean()) == pytest.approx(1.0, abs=0.05)
    assert float(found[upper].std()) == pytest.approx(0.2, abs=0.06)
    assert float((found.abs() < 0.3).float().mean()) < 0.02, "nothing is left between the modes"


def test_few_steps_without_added_noise_do_not_collapse_to_one_sample() -> None:
    y = torch.zeros(2, 2, 6, 6, 6)
    found = drawn(gaussian_mixture((0.0,), 1.0, BrownianBridge()), y, 10)
    assert float((found[0] - found[1]).abs().mean()) > 0.5


def test_one_step_is_the_mean_of_the_posterior() -> None:
    found = drawn(gaussian_mixture((-1.0, 2.0), 0.3, BrownianBridge()), torch.zeros(1, 1, 4, 4, 4), 1)
    assert torch.allclose(found, torch.full_like(found, 0.5), atol=1e-6)


@pytest.mark.parametrize("ancestral", [False, True])
def test_a_seed_gives_the_same_sample_alone_and_in_a_batch(ancestral: bool) -> None:
    y = torch.randn(3, 2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    denoiser = gaussian_mixture((0.5,), 0.7, BrownianBridge())
    together = drawn(denoiser, y, 6, ancestral, seed=40)
    assert torch.equal(together, drawn(denoiser, y, 6, ancestral, seed=40))
    for n in range(3):
        assert torch.equal(together[n : n + 1], drawn(denoiser, y[n : n + 1], 6, ancestral, seed=40 + n))
    assert not torch.equal(together, drawn(denoiser, y, 6, ancestral, seed=41))


@pytest.mark.parametrize("ancestral", [False, True])
def test_outside_the_support_the_sample_is_its_source_bit_by_bit(ancestral: bool) -> None:
    y = torch.randn(2, 3, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    support = torch.zeros(2, 1, 6, 6, 6)
    support[:, :, 2:4, 1:5, 3:] = 1.0
    denoiser = gaussian_mixture((5.0,), 1.0, BrownianBridge())
    found = sample(denoiser, BrownianBridge(), y, support, steps=7, noise=source(0, y), ancestral=ancestral)
    outside = (support == 0).expand_as(y)
    assert torch.equal(found[outside], y[outside])
    assert float((found[~outside] - y[~outside]).abs().min()) > 0.0


def test_the_denoiser_never_sees_noise_outside_the_support() -> None:
    y = torch.zeros(1, 1, 4, 4, 4)
    support = torch.zeros_like(y)
    support[..., :2] = 1.0
    seen: list[Tensor] = []

    def denoise(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        seen.append(x[..., 2:])
        return torch.ones_like(x)

    sample(denoise, BrownianBridge(), y, support, steps=5, noise=source(0, y), ancestral=True)
    assert len(seen) == 5 and all(float(x.abs().max()) == 0.0 for x in seen)


@pytest.mark.parametrize("spacing", ["quadratic", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 7, 200])
def test_times_fall_from_one_to_zero(steps: int, spacing: str) -> None:
    line = times(steps, spacing)
    assert len(line) == steps + 1 and line[0] == 1.0 and line[-1] == 0.0
    assert all(later < earlier for earlier, later in pairwise(line))


def test_quadratic_times_are_the_squares_of_linear_ones() -> None:
    assert all(math.isclose(a, b**2, abs_tol=1e-12) for a, b in zip(times(10), times(10, "linear"), strict=True))


def test_guidance_is_linear_in_its_weight_and_one_is_no_guidance() -> None:
    def one(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return 2.0 * x + y

    def other(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return x - column(t)

    x, y, t = torch.randn(2, 1, 3, 3, 3), torch.randn(2, 1, 3, 3, 3), torch.tensor([0.2, 0.9])
    assert guided(one, other, 1.0) is one
    assert torch.equal(guided(one, other, 0.0)(x, y, t), other(x, y, t))
    at = {weight: guided(one, other, weight)(x, y, t) for weight in (0.5, 2.0, 3.0)}
    step = one(x, y, t) - other(x, y, t)
    for weight, found in at.items():
        assert torch.allclose(found, other(x, y, t) + weight * step, atol=1e-6)


def test_progress_counts_every_step_and_may_cancel() -> None:
    seen: list[int] = []
    y = torch.zeros(1, 1, 4, 4, 4)
    denoiser, bridge = gaussian_mixture((0.0,), 1.0, BrownianBridge()), BrownianBridge()
    sample(denoiser, bridge, y, torch.ones_like(y), steps=4, noise=source(0, y), progress=seen.append)
    assert seen == [1, 2, 3, 4]
    calls = []

    def counted(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        calls.append(1)
        return denoiser(x, y, t)

    def cancel(done: int) -> None:
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        sample(counted, bridge, y, torch.ones_like(y), steps=9, noise=source(0, y), progress=cancel)
    assert len(calls) == 2
