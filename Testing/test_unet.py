"""What the denoiser listens to. Its last layers start at zero, so every weight is drawn at random here."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from TumorSynthLib.configs import BridgeConfig
from TumorSynthLib.nets.unet import BridgeUNet, Condition, waves

CONFIG = BridgeConfig(
    latent_channels=3, channels=(8, 16), attention=(False, True), heads=2, token_width=12, tokens=tuple("abcde"), domains=4
)
BATCH, EDGE = 3, 4


@pytest.fixture(scope="module")
def network() -> BridgeUNet:
    """A network without zeros; no dropout, so two calls agree."""
    built = BridgeUNet(CONFIG).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in built.parameters():
        parameter.copy_(0.25 * torch.randn(parameter.shape, generator=generator))
    return built


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def condition(size: tuple[int, int, int] = (EDGE, EDGE, EDGE), tumor: bool = True) -> Condition:
    return Condition(
        mask=drawn(BATCH, 2, *size, seed=5).sigmoid(),
        values=drawn(BATCH, 5, seed=6),
        present=torch.tensor([[True, True, False, True, False]] * BATCH),
        tumor=torch.full((BATCH,), tumor),
        domain=torch.tensor([0, 1, 3]),
        spacing=torch.tensor([0.8, 1.5, 3.0]),
    )


def run(network: BridgeUNet, given: Condition, rows: slice = slice(None), time: float | None = None) -> Tensor:
    size = given.mask.shape[2:]
    x, y = drawn(BATCH, 3, *size, seed=1)[rows], drawn(BATCH, 3, *size, seed=2)[rows]
    t = torch.tensor([0.9, 0.5, 0.1])[rows] if time is None else torch.full((len(x),), time)
    return network(x, y, t, given)


def changed(one: Tensor, other: Tensor) -> bool:
    """Whether every sample differs, by much more than rounding."""
    return float((one - other).flatten(1).abs().amax(dim=1).min()) > 1e-3


def test_swapping_the_values_of_two_features_changes_the_output(network: BridgeUNet) -> None:
    given = condition()
    assert changed(run(network, given), run(network, replace(given, values=given.values[:, [1, 0, 2, 3, 4]])))


def test_permuting_presence_and_values_together_changes_the_output(network: BridgeUNet) -> None:
    # As a set of nameless numbers this is the same condition; with identities it is not.
    given, order = condition(), [3, 0, 4, 1, 2]
    permuted = replace(given, values=given.values[:, order], present=given.present[:, order])
    assert changed(run(network, given), run(network, permuted))


@pytest.mark.parametrize("feature", [0, 1, 3])
def test_the_magnitude_of_one_feature_changes_the_output_and_not_only_its_sign(network: BridgeUNet, feature: int) -> None:
    given = condition()
    values = given.values.clone()
    values[:, feature] *= 1.7
    assert changed(run(network, given), run(network, replace(given, values=values)))


@pytest.mark.parametrize("value", [99.0, float("nan")])
def test_the_value_of_an_absent_feature_does_not_matter(network: BridgeUNet, value: float) -> None:
    given = condition()
    values = given.values.clone()
    values[:, [2, 4]] = value
    assert torch.equal(run(network, given), run(network, replace(given, values=values)))


def test_a_feature_at_its_median_is_not_an_absent_feature(network: BridgeUNet) -> None:
    given = condition()
    values = given.values.clone()
    values[:, 1] = 0.0
    absent = given.present.clone()
    absent[:, 1] = False
    assert changed(run(network, replace(given, values=values)), run(network, replace(given, values=values, present=absent)))


def test_healthy_tissue_ignores_features_entirely(network: BridgeUNet) -> None:
    given = condition(tumor=False)
    expected = run(network, given)
    assert torch.equal(expected, run(network, replace(given, values=5.0 * given.values + 1.0)))
    assert torch.equal(expected, run(network, replace(given, present=~given.present)))
    assert torch.equal(expected, run(network, given.without_features()))


def test_the_path_of_healthy_tissue_is_not_that_of_an_average_tumor(network: BridgeUNet) -> None:
    assert changed(run(network, condition().without_features()), run(network, condition(tumor=False)))


def test_a_mixed_batch_gives_what_its_samples_give_alone(network: BridgeUNet) -> None:
    given = replace(condition(), tumor=torch.tensor([True, False, True]))
    present = given.present.clone()
    present[2] = False
    given = replace(given, present=present)
    together = run(network, given)
    for n in range(BATCH):
        row = slice(n, n + 1)
        names = [name for name in Condition.__dataclass_fields__ if name != "method"]
        alone = Condition(*(getattr(given, name)[row] for name in names))
        assert torch.allclose(run(network, alone, row), together[row], atol=2e-4, rtol=1e-4)


def test_without_features_is_a_condition_with_every_feature_absent_and_nothing_else_changed(network: BridgeUNet) -> None:
    given = condition()
    free = given.without_features()
    assert not free.present.any() and given.present.any()
    assert free.method == given.method
    for name in set(Condition.__dataclass_fields__) - {"present", "method"}:
        assert torch.equal(getattr(free, name), getattr(given, name))
    assert changed(run(network, given), run(network, free))
    assert torch.isfinite(run(network, free)).all()


@pytest.mark.parametrize("tumor", [True, False])
def test_domain_spacing_mask_and_time_matter_on_both_paths(network: BridgeUNet, tumor: bool) -> None:
    given = condition(tumor=tumor)
    expected = run(network, given)
    assert changed(expected, run(network, replace(given, domain=torch.tensor([2, 2, 2]))))
    assert changed(expected, run(network, replace(given, spacing=2.0 * given.spacing)))
    assert changed(expected, run(network, replace(given, mask=given.mask.flip(1))))
    assert changed(run(network, given, time=1.0), run(network, given, time=0.7))


@pytest.mark.parametrize("size", [(2, 4, 6), (6, 10, 2), (8, 2, 2)])
def test_any_even_size_works_also_if_no_cube(network: BridgeUNet, size: tuple[int, int, int]) -> None:
    found = run(network, condition(size))
    assert found.shape == (BATCH, 3, *size) and torch.isfinite(found).all()


def test_sizes_need_no_division_without_levels_below() -> None:
    flat = BridgeUNet(replace(CONFIG, channels=(8,), attention=(True,)))
    assert run(flat, condition((3, 5, 7))).shape == (BATCH, 3, 3, 5, 7)


def test_a_new_network_predicts_nothing_yet() -> None:
    assert not run(BridgeUNet(CONFIG), condition()).any()


def test_every_weight_learns_from_a_mixed_batch(network: BridgeUNet) -> None:
    learner = BridgeUNet(CONFIG)
    learner.load_state_dict(network.state_dict())
    run(learner, replace(condition(), tumor=torch.tensor([True, False, True]))).square().sum().backward()
    silent = [name for name, value in learner.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


def test_the_waves_tell_times_apart() -> None:
    table = waves(torch.linspace(0.0, 1.0, 200))
    distance = torch.cdist(table, table) + 10.0 * torch.eye(200)
    assert table.shape == (200, 64) and float(distance.min()) > 0.1
