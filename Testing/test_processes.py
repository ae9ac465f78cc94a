"""The three processes: identities in float64, moments against Monte Carlo, posteriors against conditioning a Gaussian chain."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from TumorSynthLib.configs import BridgeConfig
from TumorSynthLib.methods import METHODS
from TumorSynthLib.processes.bridge import BrownianBridge
from TumorSynthLib.processes.diffusion import Diffusion
from TumorSynthLib.processes.flow import RectifiedFlow
from TumorSynthLib.processes.process import Process, column
from TumorSynthLib.sampler import processes

PROCESSES = {
    "bridge-grad": BrownianBridge(0.7, "grad"),
    "bridge-residual": BrownianBridge(0.7, "residual"),
    "bridge-preconditioned": BrownianBridge(0.7, "preconditioned"),
    "diffusion-epsilon": Diffusion("epsilon"),
    "diffusion-v": Diffusion("v"),
    "diffusion-residual": Diffusion("residual"),
    "diffusion-preconditioned": Diffusion("preconditioned"),
    "flow-velocity": RectifiedFlow("velocity"),
    "flow-residual": RectifiedFlow("residual"),
    "flow-preconditioned": RectifiedFlow("preconditioned"),
}
every = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES.keys())
SHAPE = (3, 2, 4, 5)


def drawn(seed: int, batch: int) -> Tensor:
    return torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moments(process: Process, time: float) -> tuple[float, float, float]:
    a, b, c = process.coefficients(torch.tensor([time], dtype=torch.float64))
    return float(a), float(b), float(c)


@every
def test_the_exact_target_gives_x0_back_in_one_step_at_any_time(process: Process) -> None:
    t = torch.rand(64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    t[:2] = torch.tensor([0.0, 1.0])
    x0, y, noise = drawn(0, 64), drawn(1, 64), drawn(2, 64)
    x = process.forward(x0, y, t, noise)
    # Predicted noise is divided by the share of data, which is 1.6 % where the epsilon objective's schedule ends.
    assert torch.allclose(process.estimate(process.target(x0, y, t, noise), x, y, t), x0, rtol=0.0, atol=1e-12)


@every
def test_at_time_0_there_is_the_data_alone(process: Process) -> None:
    x0 = drawn(0, 2)
    assert torch.equal(process.forward(x0, drawn(1, 2), torch.zeros(2, dtype=torch.float64), drawn(2, 2)), x0)


@pytest.mark.parametrize("name", ["diffusion-v", "diffusion-residual", "flow-velocity", "flow-residual"])
def test_at_time_1_there_is_standard_normal_noise_alone(name: str) -> None:
    noise = drawn(2, 2)
    found = PROCESSES[name].forward(drawn(0, 2), drawn(1, 2), torch.ones(2, dtype=torch.float64), noise)
    assert torch.allclose(found, noise, atol=1e-15)


def test_the_bridge_ends_in_its_source_without_variance() -> None:
    assert moments(PROCESSES["bridge-residual"], 1.0) == (0.0, 1.0, 0.0)


def test_the_schedule_of_epsilon_ends_just_short_of_noise() -> None:
    data, source, noise = moments(Diffusion("epsilon"), 1.0)
    assert 0.01 < data < 0.02 and source == 0.0 and 0.9998 < noise < 1.0
    assert moments(Diffusion("epsilon"), 0.5)[0] > moments(Diffusion("v"), 0.5)[0]


@pytest.mark.parametrize("time", [0.15, 0.5, 0.9])
@pytest.mark.parametrize("name", ["bridge-residual", "diffusion-epsilon", "diffusion-v", "flow-velocity"])
def test_mean_and_variance_at_a_time_are_the_closed_form(name: str, time: float) -> None:
    angle = 0.5 * math.pi * time * (0.99 if name == "diffusion-epsilon" else 1.0)
    a, b, variance = {
        "bridge": (1.0 - time, time, 2.0 * 0.7 * time * (1.0 - time)),
        "diffusion": (math.cos(angle), 0.0, math.sin(angle) ** 2),
        "flow": (1.0 - time, 0.0, time**2),
    }[name.split("-")[0]]
    x0, y, count = drawn(0, 1), drawn(1, 1), 4000
    x = PROCESSES[name].forward(x0, y, torch.full((count,), time, dtype=torch.float64), drawn(2, count))
    assert float((x.mean(dim=0) - a * x0[0] - b * y[0]).abs().max()) < 5.0 * math.sqrt(variance / count)
    assert float(x.var(dim=0).mean()) == pytest.approx(variance, rel=0.01)


@every
def test_diffusion_preserves_variance_and_coefficients_never_jump(process: Process) -> None:
    a, b, c = process.coefficients(torch.linspace(0.0, 1.0, 1001, dtype=torch.float64))
    if isinstance(process, Diffusion):
        assert torch.allclose(a.square() + c.square(), torch.ones_like(a), atol=1e-15)
    assert bool((a.diff() < 0.0).all()) and bool((b.diff() >= 0.0).all())
    assert all(float(line.diff().abs().max()) < 0.04 for line in (a, b, c))


def chain_covariance(process: Process, times: list[float]) -> np.ndarray:
    """Covariance of x at the times given x0 and y, of the Markov chain that has the process's marginals."""
    maps = np.zeros((len(times), len(times)))
    before: tuple[float, float] | None = None
    for row, time in enumerate(times):
        a, _, c = moments(process, time)
        if before is None:
            maps[row, row] = c
        else:
            ratio = a / before[0]
            maps[row] = ratio * maps[row - 1]
            maps[row, row] = math.sqrt(c**2 - (ratio * before[1]) ** 2)
        before = (a, c)
    covariance: np.ndarray = maps @ maps.T
    return covariance


@every
def test_the_posterior_variance_is_that_of_a_chain_conditioned_on_where_it_goes(process: Process) -> None:
    times = [0.05, 0.2, 0.45, 0.7, 0.95]
    whole = chain_covariance(process, times)
    assert np.diag(whole) == pytest.approx([moments(process, time)[2] ** 2 for time in times], rel=1e-12)
    for here in range(len(times) - 1):
        for ahead in range(here + 1, len(times)):
            # All that comes later is known; by the Markov property the next time alone matters.
            later = list(range(ahead, len(times)))
            cross = whole[here, later]
            expected = whole[here, here] - cross @ np.linalg.solve(whole[np.ix_(later, later)], cross)
            s, t = (torch.tensor([times[index]], dtype=torch.float64) for index in (here, ahead))
            assert float(process.posterior_variance(s, t)) == pytest.approx(expected, rel=1e-9)


@every
def test_the_posterior_of_the_data_has_no_variance_and_that_from_noise_alone_is_the_marginal(process: Process) -> None:
    line = torch.linspace(0.05, 1.0, 20, dtype=torch.float64)
    assert not process.posterior_variance(torch.zeros_like(line), line).any()
    s, end = line[:-1], torch.ones_like(line[:-1])
    marginal = process.coefficients(s)[2].square()
    found = process.posterior_variance(s, end)
    if moments(process, 1.0)[0] < 1e-6:
        assert torch.allclose(found, marginal, rtol=0.0, atol=1e-12)
    else:
        assert bool((found < marginal).all()), "short of noise, the end still tells something"


@pytest.mark.parametrize(
    ("residual", "published"), [(Diffusion("residual"), Diffusion("v")), (RectifiedFlow("residual"), RectifiedFlow("velocity"))]
)
def test_an_error_of_the_residual_weighs_what_it_costs_as_an_error_of_the_velocity(
    residual: Process, published: Process
) -> None:
    t = torch.linspace(0.01, 1.0, 100, dtype=torch.float64)
    x0, y, noise, wrong = drawn(0, 100), drawn(1, 100), drawn(2, 100), 0.3 * drawn(4, 100)
    x = residual.forward(x0, y, t, noise)
    estimate = residual.estimate(residual.target(x0, y, t, noise) + wrong, x, y, t)
    a, _, c = map(column, published.coefficients(t))
    # The velocity that says the same about x0 at the same x.
    implied = (a * x - estimate) / c if isinstance(published, Diffusion) else (x - estimate) / c
    assert torch.allclose(published.estimate(implied, x, y, t), estimate, atol=1e-10)
    cost = (implied - published.target(x0, y, t, noise)).square().flatten(1).mean(dim=1)
    found = residual.weight(t) * wrong.square().flatten(1).mean(dim=1)
    full = 1.0 / c.flatten().square()
    capped = full > 4.0
    assert torch.allclose(found[~capped], cost[~capped], rtol=1e-9) and bool((found[capped] < cost[capped]).all())
    assert bool((residual.weight(t)[capped] == 4.0).all()) and 0 < int(capped.sum()) < 60
    assert float(residual.weight(t)[-1]) == pytest.approx(1.0)


@pytest.mark.parametrize("name", [name for name in PROCESSES if name.startswith("bridge") or not name.endswith("residual")])
def test_published_objectives_weigh_all_times_alike(name: str) -> None:
    t = torch.linspace(0.0, 1.0, 11)
    assert torch.equal(PROCESSES[name].weight(t), torch.ones_like(t))


@pytest.mark.parametrize("sd", [0.07, 1.0, 2.5])
@pytest.mark.parametrize("name", [name for name in PROCESSES if name.endswith("preconditioned")])
def test_a_preconditioned_network_is_shown_and_predicts_what_has_a_variance_of_1_and_is_not_known(name: str, sd: float) -> None:
    process, y = PROCESSES[name], 3.0 * drawn(1, 400)
    deviation = torch.full((1, 3, 1, 1, 1), sd, dtype=torch.float64)
    x0, noise = y + sd * drawn(0, 400), drawn(2, 400)
    for time in (0.001, 0.03, 0.3, 0.9, 1.0):
        t = torch.full((400,), time, dtype=torch.float64)
        x = process.forward(x0, y, t, noise)
        target, shown = process.target(x0, y, t, noise, deviation), process.shown(x, y, t, deviation)
        # 48,000 values: the standard errors are 0.5 % for each mean, and 0.6 % for each variance.
        assert float(target.square().mean()) == pytest.approx(1.0, abs=0.025)
        assert abs(float((target * y).mean())) < 0.06 and abs(float((shown * y).mean())) < 0.06
        if name.startswith("bridge") and time == 1.0:
            assert not shown.any()
        else:
            assert float(shown.square().mean()) == pytest.approx(1.0, abs=0.025)
            assert abs(float((target * shown).mean())) < 0.025, "what x_t tells is not left to the network"


@pytest.mark.parametrize("name", [name for name in PROCESSES if name.endswith("preconditioned")])
def test_a_network_that_predicts_nothing_gives_the_best_linear_estimate(name: str) -> None:
    process, sd = PROCESSES[name], torch.full((1, 1, 1, 1, 1), 0.4, dtype=torch.float64)
    t = torch.full((2,), 0.2, dtype=torch.float64)
    x, y = drawn(0, 2), drawn(1, 2)
    a, b, c = moments(process, 0.2)
    wanted = y + a * 0.16 / (0.16 * a**2 + c**2) * (x - (a + b) * y)
    assert torch.allclose(process.estimate(torch.zeros_like(x), x, y, t, sd), wanted, atol=1e-12)


def test_other_objectives_are_shown_x_itself() -> None:
    x, y, t = drawn(0, 2), drawn(1, 2), torch.full((2,), 0.5, dtype=torch.float64)
    others = [process for name, process in PROCESSES.items() if not name.endswith("preconditioned")]
    assert all(process.shown(x, y, t) is x for process in others)


def test_a_network_gives_the_processes_of_its_methods_with_their_objectives() -> None:
    config = BridgeConfig(variance=0.3, methods=METHODS, diffusion_objective="epsilon", flow_objective="velocity")
    made = processes(config)
    assert made == {"bridge": BrownianBridge(0.3), "diffusion": Diffusion("epsilon"), "flow": RectifiedFlow("velocity")}
    assert list(processes(BridgeConfig())) == ["bridge"]
