"""The loss of the flow of tumor and mask: its constraints are what TumorGen says they are."""

import pytest
import torch
from torch import Tensor

from TumorSynthLib.processes.flow import RectifiedFlow
from TumorSynthLib.train.flow_loss import COARSE, FINE, MASK, WEIGHTS, fine_constraint, flow_loss, flow_weights, over_cells

BATCH, CHANNELS, EDGE = 4, 5, 8
SHAPE = (BATCH, CHANNELS, EDGE, EDGE, EDGE)
NONE = {f"flow_{name}": 0.0 for name in WEIGHTS}


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape or SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def box() -> Tensor:
    found = torch.zeros(BATCH, 1, EDGE, EDGE, EDGE, dtype=torch.float64)
    found[:, :, 2:6, 1:5, 3:7] = 1.0
    return found


def ball(radius: float, shift: int = 0) -> Tensor:
    """A soft mask channel, -1 to 1, (1, 1, EDGE, EDGE, EDGE)."""
    line = torch.arange(EDGE, dtype=torch.float64) - 3.6
    distance = ((line - shift)[:, None, None] ** 2 + line[:, None] ** 2 + line**2).sqrt()
    return (2.0 * (radius - distance + 0.5).clamp(0.0, 1.0) - 1.0)[None, None]


def test_the_published_coarse_constraint_is_the_error_of_the_velocity_with_a_weight() -> None:
    flow = RectifiedFlow("velocity")
    x0, y, noise, t = drawn(0), drawn(1), drawn(2), torch.tensor([0.05, 0.3, 0.7, 1.0], dtype=torch.float64)
    x = flow.forward(x0, y, t, noise)
    target = flow.target(x0, y, t, noise)
    prediction = target + 0.2 * drawn(3)
    estimate = flow.estimate(prediction, x, y, t)
    published = (box() * (estimate - x0)).square().mean(dim=(1, 2, 3, 4))
    error = (prediction - target).square()
    reweighted = (t.square().view(-1, 1, 1, 1, 1) * box() * error).mean(dim=(1, 2, 3, 4))
    assert torch.allclose(published, reweighted, rtol=1e-9)


def test_the_coarse_weight_adds_that_constraint_to_the_loss() -> None:
    error, t, x0 = drawn(0).square(), torch.tensor([0.05, 0.3, 0.7, 1.0], dtype=torch.float64), drawn(1)
    support, one = torch.ones_like(box()), torch.ones(BATCH, dtype=torch.float64)

    def total(coarse: float) -> Tensor:
        # Not divided by the sum of the weights, as ``over_cells`` does.
        inside = support * (0.5 + box() * (1.0 + coarse * t.square().view(-1, 1, 1, 1, 1)))
        return flow_loss(error, one, x0, x0, box(), support, t, {**NONE, "flow_coarse": coarse}) * inside.sum(dim=(1, 2, 3, 4))

    codes = error[:, :-1].mean(dim=1, keepdim=True)
    published = (t.square().view(-1, 1, 1, 1, 1) * box() * codes).sum(dim=(1, 2, 3, 4))
    assert torch.allclose(total(2.5) - total(0.0), 2.5 * published, rtol=1e-9)


def test_a_coarse_weight_prefers_the_box_and_the_more_so_near_noise() -> None:
    support, one, x0 = torch.ones_like(box()), torch.ones(BATCH, dtype=torch.float64), drawn(1)
    t = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)
    inside = box().expand(SHAPE)
    found = flow_loss(inside, one, x0, x0, box(), support, t, {**NONE, "flow_coarse": 1.0})
    plain = flow_loss(inside, one, x0, x0, box(), support, t, NONE)
    assert float(found[0]) == float(plain[0]) and bool((found.diff() > 0.0).all()) and bool((found[1:] > plain[1:]).all())


def test_an_even_error_costs_itself_wherever_the_weights_are() -> None:
    t, support = torch.linspace(0.1, 1.0, BATCH, dtype=torch.float64), torch.ones_like(box())
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    found = flow_loss(torch.full(SHAPE, 0.3, dtype=torch.float64), weight, drawn(1), drawn(1), box(), support, t, {})
    assert torch.allclose(found, 0.3 * weight, rtol=1e-9)


def test_the_mask_has_its_share_of_the_error() -> None:
    support, one, t = torch.ones_like(box()), torch.ones(BATCH, dtype=torch.float64), torch.full((BATCH,), 0.5)
    error = torch.zeros(SHAPE, dtype=torch.float64)
    error[:, -1] = 1.0
    for share in (0.0, 0.2, 1.0):
        found = flow_loss(error, one, drawn(1), drawn(1), box(), support, t.double(), {**NONE, "flow_mask": share})
        assert torch.allclose(found, torch.full_like(found, share), atol=1e-12)
    codes = flow_loss(1.0 - error, one, drawn(1), drawn(1), box(), support, t.double(), NONE)
    assert torch.allclose(codes, torch.ones_like(codes))


def test_what_cannot_be_changed_costs_nothing() -> None:
    support = box()
    error = (1.0 - support).expand(SHAPE).clone()
    t, one = torch.full((BATCH,), 0.5, dtype=torch.float64), torch.ones(BATCH, dtype=torch.float64)
    assert not flow_loss(error, one, drawn(1), drawn(1), box(), support, t, {}).any()


def test_the_fine_constraint_is_nothing_for_equals_and_rises_as_the_mask_moves_away() -> None:
    codes = drawn(0, 1, 4, EDGE, EDGE, EDGE)
    truth = torch.cat([codes, ball(2.5)], dim=1)
    assert float(fine_constraint(truth, truth)) == pytest.approx(0.0, abs=1e-6)
    moved = [float(fine_constraint(torch.cat([codes, ball(2.5, shift)], dim=1), truth)) for shift in (0, 1, 2, 3)]
    assert moved == sorted(moved) and moved[1] > 0.01 and moved[3] > 2.0 * moved[1]
    shrunk = [float(fine_constraint(torch.cat([codes, ball(radius)], dim=1), truth)) for radius in (2.5, 2.0, 1.0)]
    assert shrunk == sorted(shrunk)


def test_the_fine_constraint_sees_the_tumor_alone_and_is_one_number_for_each_sample() -> None:
    codes, mask = drawn(0, 1, 4, EDGE, EDGE, EDGE), ball(2.0)
    truth = torch.cat([codes, mask], dim=1)
    outside = torch.where(mask > -1.0, codes, codes + 3.0)
    assert float(fine_constraint(torch.cat([outside, mask], dim=1), truth)) == pytest.approx(0.0, abs=1e-6)
    inside = torch.where(mask > -1.0, codes + 3.0, codes)
    wrong = torch.cat([inside, mask], dim=1)
    assert float(fine_constraint(wrong, truth)) > 0.05
    together = fine_constraint(torch.cat([truth, wrong]), torch.cat([truth, truth]))
    assert together.shape == (2,) and float(together[0]) == pytest.approx(0.0, abs=1e-6) and float(together[1]) > 0.05


def test_the_fine_constraint_pulls_the_mask_towards_the_truth() -> None:
    codes = drawn(0, 1, 4, EDGE, EDGE, EDGE).float()
    truth = torch.cat([codes, ball(2.5).float()], dim=1)
    estimate = torch.cat([codes, 0.5 * ball(2.5, 1).float()], dim=1).requires_grad_(True)
    before = fine_constraint(estimate, truth)
    before.sum().backward()
    assert estimate.grad is not None and bool(estimate.grad[:, -1].any())
    assert float(fine_constraint(estimate.detach() - 5.0 * estimate.grad, truth)) < float(before.detach())


def test_weights_are_those_of_the_training_where_it_says_so() -> None:
    assert flow_weights({}) == WEIGHTS and flow_weights({"adversarial": 3.0}) == WEIGHTS
    assert flow_weights({"flow_fine": 0.0, "flow_mask": 0.5}) == {**WEIGHTS, FINE: 0.0, MASK: 0.5}
    error, one, t = drawn(0).square(), torch.ones(BATCH, dtype=torch.float64), torch.full((BATCH,), 0.5, dtype=torch.float64)
    given = (error, one, drawn(1), drawn(2), box(), torch.ones_like(box()), t)
    for name in (MASK, COARSE, FINE):
        assert not torch.allclose(flow_loss(*given, {}), flow_loss(*given, {f"flow_{name}": 0.0}))


def test_a_mean_over_cells_is_weighted() -> None:
    error, weight = torch.zeros(2, 1, 2, 1, 1), torch.zeros(2, 1, 2, 1, 1)
    error[:, 0, :, 0, 0] = torch.tensor([[1.0, 3.0], [5.0, 7.0]])
    weight[:, 0, :, 0, 0] = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    assert over_cells(error, weight).tolist() == [2.5, 0.0]
