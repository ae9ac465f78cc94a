"""Identities of the Brownian bridge, and its moments by Monte Carlo against the closed form."""

import pytest
import torch
from torch import Tensor

from TumorSynthLib.processes.bridge import BrownianBridge

LINE = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)
any_variance = pytest.mark.parametrize("variance", [0.25, 1.0, 2.0])


def drawn(seed: int, batch: int) -> Tensor:
    return torch.randn(batch, 3, 2, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@any_variance
def test_the_variance_vanishes_at_both_ends_and_is_half_its_scale_in_the_middle(variance: float) -> None:
    delta = BrownianBridge(variance).delta(LINE)
    assert float(delta[0]) == 0.0 and float(delta[-1]) == 0.0
    assert float(delta.max()) == float(delta[50]) == pytest.approx(variance / 2)
    assert torch.allclose(delta, delta.flip(0))


def test_both_ends_are_exact() -> None:
    x0, y, noise = drawn(0, 2), drawn(1, 2), drawn(2, 2)
    assert torch.equal(BrownianBridge().forward(x0, y, torch.zeros(2), noise), x0)
    assert torch.equal(BrownianBridge().forward(x0, y, torch.ones(2), noise), y)


@any_variance
def test_the_posterior_variance_lies_between_0_and_the_variance_ahead(variance: float) -> None:
    bridge = BrownianBridge(variance)
    for index in range(1, 101):
        s = LINE[:index]
        found = bridge.posterior_variance(s, LINE[index].expand_as(s))
        assert bool((found >= 0.0).all()) and bool((found <= bridge.delta(s) + 1e-12).all())


def test_the_posterior_variance_is_that_of_a_gaussian_chain() -> None:
    # x_t = a x_s + (terms of x0 and y) + e with a = (1 - t) / (1 - s), so precision adds: 1 / p = 1 / delta_s + a^2 / Var e.
    bridge = BrownianBridge(1.3)
    for s, t in [(0.1, 0.2), (0.4, 0.9), (0.0, 0.5), (0.98, 0.99)]:
        behind, ahead = (bridge.delta(torch.tensor(v, dtype=torch.float64)) for v in (s, t))
        a = (1 - t) / (1 - s)
        expected = 1.0 / (1.0 / behind + a**2 / (ahead - a**2 * behind))
        found = bridge.posterior_variance(torch.tensor([s], dtype=torch.float64), torch.tensor([t], dtype=torch.float64))
        assert float(found) == pytest.approx(float(expected), rel=1e-9)


def test_from_the_very_start_the_posterior_is_the_marginal() -> None:
    bridge = BrownianBridge()
    assert torch.allclose(bridge.posterior_variance(LINE[:-1], torch.ones_like(LINE[:-1])), bridge.delta(LINE[:-1]), atol=1e-15)


@any_variance
@pytest.mark.parametrize("objective", ["grad", "residual"])
def test_the_exact_target_gives_x0_back_at_every_time(objective: str, variance: float) -> None:
    bridge = BrownianBridge(variance, objective)
    x0, y, noise = drawn(0, 101), drawn(1, 101), drawn(2, 101)
    x = bridge.forward(x0, y, LINE, noise)
    assert torch.allclose(bridge.estimate(bridge.target(x0, y, LINE, noise), x, y, LINE), x0, atol=1e-12)


@pytest.mark.parametrize("time", [0.1, 0.5, 0.8])
def test_the_moments_of_the_forward_process_are_the_closed_form(time: float) -> None:
    bridge, count = BrownianBridge(1.7), 4000
    x0, y = drawn(0, 1), drawn(1, 1)
    x = bridge.forward(x0, y, torch.full((count,), time, dtype=torch.float64), drawn(2, count))
    delta = 2 * 1.7 * (time - time**2)
    error = x.mean(dim=0) - ((1 - time) * x0[0] + time * y[0])
    assert float(error.abs().max()) < 5.0 * (delta / count) ** 0.5
    assert float(x.var(dim=0).mean()) == pytest.approx(delta, rel=0.01)
    flat = (x - x.mean(dim=0)).flatten(1)
    correlation = torch.corrcoef(flat.T) - torch.eye(flat.shape[1])
    assert float(correlation.abs().max()) < 0.09, "voxels are independent given both ends"


def test_each_sample_of_a_batch_has_its_own_time() -> None:
    x0, y, noise, t = drawn(0, 3), drawn(1, 3), drawn(2, 3), torch.tensor([0.2, 0.5, 1.0])
    together = BrownianBridge().forward(x0, y, t, noise)
    for n in range(3):
        one = slice(n, n + 1)
        assert torch.equal(together[one], BrownianBridge().forward(x0[one], y[one], t[one], noise[one]))
