"""Sampling with denoisers that are known exactly: the distribution comes out, not only its shape."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from TumorSynthLib import sampler
from TumorSynthLib.errors import Cancelled
from TumorSynthLib.processes.bridge import BrownianBridge
from TumorSynthLib.processes.diffusion import Diffusion
from TumorSynthLib.processes.flow import RectifiedFlow
from TumorSynthLib.processes.process import Process, column
from TumorSynthLib.sampler import Denoiser, beginning, guided, lead, sample, times

EDGE = 32
SHAPE = (1, 1, EDGE, EDGE, EDGE)
BRIDGE, DIFFUSION, FLOW = BrownianBridge(1.0), Diffusion(), RectifiedFlow()
SAMPLERS: dict[str, tuple[Process, int, bool]] = {
    "dbim-10": (BRIDGE, 10, False),
    "dbim-20": (BRIDGE, 20, False),
    "bridge-ancestral-200": (BRIDGE, 200, True),
    "ddim-4": (DIFFUSION, 4, False),
    "ddim-10": (DIFFUSION, 10, False),
    "ddim-50": (DIFFUSION, 50, False),
    "diffusion-ancestral-200": (DIFFUSION, 200, True),
    "epsilon-10": (Diffusion("epsilon"), 10, False),
    "epsilon-ancestral-50": (Diffusion("epsilon"), 50, True),
    "euler-10": (FLOW, 10, False),
    "euler-50": (FLOW, 50, False),
    "flow-ancestral-200": (FLOW, 200, True),
}
every = pytest.mark.parametrize(("process", "steps", "ancestral"), SAMPLERS.values(), ids=SAMPLERS.keys())
any_process = pytest.mark.parametrize(
    "process", [BRIDGE, DIFFUSION, Diffusion("epsilon"), FLOW], ids=lambda p: type(p).__name__
)


def source(seed: int, like: Tensor) -> Callable[[], Tensor]:
    """Noise with one generator per sample of the batch, seeds counted from ``seed``."""
    generators = [torch.Generator().manual_seed(seed + n) for n in range(like.shape[0])]
    return lambda: torch.stack([torch.randn(like.shape[1:], generator=generator) for generator in generators])


def gaussian_mixture(means: tuple[float, ...], deviation: float, process: Process, shift: float = 0.0) -> Denoiser:
    """E[x0 | x_t, y] for x0 | y an equal mixture of N(mean + shift y, deviation^2), voxel by voxel."""

    def denoise(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        a, b, c = map(column, process.coefficients(t))
        spread = (a * deviation).square() + c.square()
        levels, weights = [], []
        for mean in means:
            center = mean + shift * y
            residual = x - a * center - b * y
            gain = torch.where(spread > 0, a * deviation**2 / spread.clamp(min=1e-20), torch.zeros_like(spread))
            levels.append(center + gain * residual)
            weights.append(-0.5 * residual.square() / spread.clamp(min=1e-20))
        return (torch.stack(weights).softmax(dim=0) * torch.stack(levels)).sum(dim=0)

    return denoise


def drawn(
    denoiser: Denoiser, y: Tensor, steps: int, ancestral: bool = False, process: Process = BRIDGE, seed: int = 0
) -> Tensor:
    support = torch.ones_like(y[:, :1])
    return sample(denoiser, process, y, support, steps=steps, noise=source(seed, y), ancestral=ancestral)


def discrete_moments(mean: float, deviation: float, process: Process, steps: int, ancestral: bool) -> tuple[float, float]:
    """Mean and standard deviation that a finite number of steps gives for a Gaussian x0, in closed form.

    Everything is linear then: what x differs by from the mean of its marginal, a constant and a multiple of each noise that was
    drawn, is carried on by known factors. Sampling starts with the noise of t = 1 and nothing of the data.
    """
    line = times(steps, "linear" if ancestral else "quadratic")
    a, _, c = moments(process, 1.0)
    x, before = np.zeros(steps + 2), np.zeros(steps + 2)
    x[:2] = -a * mean, c
    for number, (t, s) in enumerate(pairwise(line)):
        (a_t, _, c_t), (a_s, _, c_s) = moments(process, t), moments(process, s)
        gain = 0.0 if c_t == 0.0 else a_t * deviation**2 / ((a_t * deviation) ** 2 + c_t**2)
        estimate, fresh = gain * x, 0.0
        led = estimate + (0.0 if ancestral or number < 2 or s == 0.0 else lead(process, line[number - 1], t, s)) * (
            estimate - before
        )
        if c_t == 0.0:
            fresh, carried = c_s**2, 0.0
        else:
            fresh = (c_t**2 - (c_s * a_t / a_s) ** 2) * c_s**2 / c_t**2 if ancestral else 0.0
            carried = math.sqrt((c_s**2 - fresh) / c_t**2)
        x, before = a_s * led + carried * (x - a_t * led), estimate
        x[number + 2 if number + 2 < len(x) else 1] += math.sqrt(fresh)
    return mean + float(x[0]), float(np.linalg.norm(x[1:]))


def moments(process: Process, time: float) -> tuple[float, float, float]:
    a, b, c = process.coefficients(torch.tensor([time], dtype=torch.float64))
    return float(a), float(b), float(c)


def discrete_deviation(deviation: float, steps: int, ancestral: bool, process: Process = BRIDGE) -> float:
    return discrete_moments(0.0, deviation, process, steps, ancestral)[1]


@pytest.mark.parametrize("deviation", [0.3, 1.0])
@every
def test_a_gaussian_comes_out_with_the_mean_and_the_variance_of_the_discrete_chain(
    process: Process, steps: int, ancestral: bool, deviation: float
) -> None:
    y = torch.full(SHAPE, 0.7)
    found = drawn(gaussian_mixture((1.5,), deviation, process), y, steps, ancestral, process)
    mean, wanted = discrete_moments(1.5, deviation, process, steps, ancestral)
    # 32768 voxels: the standard errors are 0.6 % of sd for the mean and 0.4 % for the deviation.
    assert float(found.mean()) == pytest.approx(mean, abs=0.025 * deviation)
    assert mean == pytest.approx(1.5, abs=0.05 * deviation), "the chain itself goes where it should"
    assert float(found.std()) == pytest.approx(wanted, rel=0.016)


@pytest.mark.parametrize("process", [BRIDGE, DIFFUSION], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("deviation", [0.3, 1.0])
def test_with_more_ancestral_steps_the_variance_becomes_the_true_one_at_first_order(process: Process, deviation: float) -> None:
    missing = [abs(1.0 - discrete_deviation(deviation, n, True, process) / deviation) for n in (1000, 2000)]
    assert missing[1] < 0.025 and missing[0] / missing[1] == pytest.approx(2.0, rel=0.25)


@pytest.mark.parametrize(
    ("process", "deviation"), [(DIFFUSION, 0.3), (DIFFUSION, 1.0), (FLOW, 0.3), (FLOW, 1.0), (BRIDGE, 0.3)]
)
def test_with_more_steps_without_noise_the_variance_becomes_the_true_one_at_second_order(
    process: Process, deviation: float
) -> None:
    missing = [abs(1.0 - discrete_deviation(deviation, n, False, process) / deviation) for n in (50, 100)]
    assert missing[1] < 0.002 and 3.0 < missing[0] / missing[1] < 5.5


NARROW = BrownianBridge(0.1)


@pytest.mark.parametrize(
    ("process", "deviation"),
    [(NARROW, 0.16), (NARROW, 0.3), *((process, size) for process in (DIFFUSION, FLOW) for size in (0.16, 0.3, 1.0))],
)
def test_the_lead_halves_what_ten_steps_lose_and_never_overshoots_by_more_than_2_percent(
    process: Process, deviation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = discrete_deviation(deviation, 10, False, process) / deviation
    monkeypatch.setattr(sampler, "_LARGEST_LEAD", 0.0)
    first_order = discrete_deviation(deviation, 10, False, process) / deviation
    assert first_order < 0.9 and 1.0 - found < 0.55 * (1.0 - first_order) and found < 1.02


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
    found = drawn(gaussian_mixture((1.0,), 0.8, BrownianBridge(variance)), y, 20, process=BrownianBridge(variance))
    assert float(found.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(found.std()) == pytest.approx(discrete_deviation(0.8, 20, False, BrownianBridge(variance)), rel=0.016)
    assert float(found.std()) == pytest.approx(0.8, rel=0.11)


def test_the_sample_follows_its_source() -> None:
    y = torch.randn(SHAPE, generator=torch.Generator().manual_seed(9))
    found = drawn(gaussian_mixture((0.0,), 0.5, BrownianBridge(), shift=0.6), y, 20)
    slope = float((found * y).sum() / y.square().sum())
    assert slope == pytest.approx(0.6, abs=0.02)
    assert float((found - slope * y).std()) == pytest.approx(discrete_deviation(0.5, 20, False), rel=0.016)


MODES = {name: SAMPLERS[name] for name in SAMPLERS if not name.endswith("-4") and not name.startswith("epsilon")}


@pytest.mark.parametrize(("process", "steps", "ancestral"), MODES.values(), ids=MODES.keys())
def test_two_modes_are_both_drawn_in_equal_parts_and_with_their_width(process: Process, steps: int, ancestral: bool) -> None:
    found = drawn(gaussian_mixture((-1.0, 1.0), 0.2, process), torch.zeros(SHAPE), steps, ancestral, process)
    upper = found > 0
    assert float(upper.float().mean()) == pytest.approx(0.5, abs=0.02)
    assert float(found[upper].mean()) == pytest.approx(1.0, abs=0.05)
    assert float(found[upper].std()) == pytest.approx(0.2, abs=0.06)
    assert float((found.abs() < 0.3).float().mean()) < 0.02, "nothing is left between the modes"


@any_process
def test_few_steps_without_added_noise_do_not_collapse_to_one_sample(process: Process) -> None:
    y = torch.zeros(2, 2, 6, 6, 6)
    found = drawn(gaussian_mixture((0.0,), 1.0, process), y, 10, process=process)
    assert float((found[0] - found[1]).abs().mean()) > 0.5


@pytest.mark.parametrize("process", [BRIDGE, DIFFUSION, FLOW], ids=lambda p: type(p).__name__)
def test_one_step_is_the_mean_of_the_posterior(process: Process) -> None:
    found = drawn(gaussian_mixture((-1.0, 2.0), 0.3, process), torch.zeros(1, 1, 4, 4, 4), 1, process=process)
    assert torch.allclose(found, torch.full_like(found, 0.5), atol=1e-6)


def test_one_step_of_epsilon_is_the_mean_given_the_noise_it_starts_from() -> None:
    y, process = torch.zeros(1, 1, 4, 4, 4), Diffusion("epsilon")
    denoiser = gaussian_mixture((0.0,), 1.0, process)
    start = moments(process, 1.0)[2] * source(0, y)()
    assert torch.allclose(drawn(denoiser, y, 1, process=process), denoiser(start, y, torch.ones(1)), atol=1e-6)


@pytest.mark.parametrize("ancestral", [False, True])
@any_process
def test_a_seed_gives_the_same_sample_alone_and_in_a_batch(process: Process, ancestral: bool) -> None:
    y = torch.randn(3, 2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    denoiser = gaussian_mixture((0.5,), 0.7, process)
    together = drawn(denoiser, y, 6, ancestral, process, seed=40)
    assert torch.equal(together, drawn(denoiser, y, 6, ancestral, process, seed=40))
    for n in range(3):
        assert torch.equal(together[n : n + 1], drawn(denoiser, y[n : n + 1], 6, ancestral, process, seed=40 + n))
    assert not torch.equal(together, drawn(denoiser, y, 6, ancestral, process, seed=41))


@pytest.mark.parametrize("ancestral", [False, True])
@any_process
def test_outside_the_support_the_sample_is_its_source_bit_by_bit(process: Process, ancestral: bool) -> None:
    y = torch.randn(2, 3, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    support = torch.zeros(2, 1, 6, 6, 6)
    support[:, :, 2:4, 1:5, 3:] = 1.0
    denoiser = gaussian_mixture((5.0,), 1.0, process)
    found = sample(denoiser, process, y, support, steps=7, noise=source(0, y), ancestral=ancestral)
    outside = (support == 0).expand_as(y)
    assert torch.equal(found[outside], y[outside])
    assert float((found[~outside] - y[~outside]).abs().min()) > 0.0


@pytest.mark.parametrize("objective", ["velocity", "residual"])
def test_the_first_two_steps_of_the_flow_are_those_of_euler(objective: str) -> None:
    y = torch.randn(1, 2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    process, denoiser = RectifiedFlow(objective), gaussian_mixture((0.5,), 0.7, FLOW)
    path: list[tuple[float, Tensor, Tensor]] = []

    def told(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        path.append((float(t), x, (x - denoiser(x, y, t)) / t.view(-1, 1, 1, 1, 1)))
        return denoiser(x, y, t)

    end = drawn(told, y, 2, process=process)
    assert [t for t, _, _ in path] == times(2)[:2]
    for (t, x, velocity), (s, after) in pairwise_to(path, end):
        assert torch.allclose(after, x + (s - t) * velocity, atol=1e-6)


def pairwise_to(
    path: list[tuple[float, Tensor, Tensor]], end: Tensor
) -> list[tuple[tuple[float, Tensor, Tensor], tuple[float, Tensor]]]:
    """Each step of a path with the time and the place it leads to."""
    return list(zip(path, [*((t, x) for t, x, _ in path[1:]), (0.0, end)], strict=True))


@pytest.mark.parametrize("process", [DIFFUSION, FLOW], ids=lambda p: type(p).__name__)
def test_a_sample_from_noise_starts_with_its_noise_on_the_support_and_its_source_elsewhere(process: Process) -> None:
    y = torch.full((1, 1, 4, 4, 4), 3.0)
    support = torch.zeros_like(y)
    support[..., :2] = 1.0
    x = beginning(process, y, support, source(7, y))
    assert torch.allclose(x[..., :2], source(7, y)()[..., :2], atol=1e-6) and torch.equal(x[..., 2:], y[..., 2:])
    assert beginning(BRIDGE, y, support, source(7, y)) is y


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
