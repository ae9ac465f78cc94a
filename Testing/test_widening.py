"""A network of several methods: what the methods share, what is their own, and how it grows out of the bridge's alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from TumorSynthLib.configs import BridgeConfig
from TumorSynthLib.methods import METHODS
from TumorSynthLib.nets.unet import BridgeUNet, Condition
from TumorSynthLib.train.widening import healing_weights, narrowed, own_weights, widened

ALONE = BridgeConfig(
    latent_channels=3, channels=(8, 16), attention=(False, True), heads=2, token_width=12, tokens=tuple("abcde"), domains=4
)
TOGETHER = replace(ALONE, methods=METHODS, shape_tokens=("s", "t"), shape_quantiles=((0.0, 1.0),) * 2)
BATCH, EDGE = 3, 4
DIFFUSION, FLOW = METHODS.index("diffusion"), METHODS.index("flow")


def filled(config: BridgeConfig, seed: int = 0) -> BridgeUNet:
    """A network without zeros."""
    built = BridgeUNet(config).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parameter in built.parameters():
        parameter.copy_(0.25 * torch.randn(parameter.shape, generator=generator))
    return built


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def condition(count: int, method: int = 0, tumor: tuple[bool, ...] = (True, True, False)) -> Condition:
    present = torch.tensor([[True, True, False, True, False, False, False]] * BATCH)[:, :count]
    return Condition(
        mask=drawn(BATCH, 2, EDGE, EDGE, EDGE, seed=5).sigmoid(),
        values=drawn(BATCH, 7, seed=6)[:, :count],
        present=present,
        tumor=torch.tensor(tumor),
        domain=torch.tensor([0, 1, 3]),
        spacing=torch.tensor([0.8, 1.5, 3.0]),
        method=method,
    )


def run(network: BridgeUNet, given: Condition, channels: int = 3) -> Tensor:
    x, y = (drawn(BATCH, 4, EDGE, EDGE, EDGE, seed=seed)[:, :channels] for seed in (1, 2))
    return network(x, y, torch.tensor([0.9, 0.5, 0.1]), given)


def changed(one: Tensor, other: Tensor) -> bool:
    """Whether every sample differs, by much more than rounding."""
    return float((one - other).flatten(1).abs().amax(dim=1).min()) > 1e-3


def test_the_method_changes_what_is_predicted() -> None:
    network = filled(TOGETHER)
    found = [run(network, condition(7, method)) for method in range(len(METHODS))]
    assert all(changed(found[a], found[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert filled(ALONE).method is None and filled(replace(ALONE, methods=("bridge", "diffusion"))).method is not None


def test_the_mask_channel_of_flow_matters_and_comes_out() -> None:
    network = filled(TOGETHER)
    x, y = drawn(BATCH, 4, EDGE, EDGE, EDGE, seed=1), drawn(BATCH, 4, EDGE, EDGE, EDGE, seed=2)
    t, given = torch.full((BATCH,), 0.5), condition(7, FLOW)
    found = network(x, y, t, given)
    assert found.shape == x.shape
    other = x.clone()
    other[:, -1] += 1.0
    assert changed(found, network(other, y, t, given))
    no_source = y.clone()
    no_source[:, -1] += 1.0
    assert torch.equal(found, network(x, no_source, t, given)), "that of y is the same everywhere, so it is not shown"


@pytest.mark.parametrize("method", [0, DIFFUSION])
def test_other_methods_make_no_mask(method: int) -> None:
    assert run(filled(TOGETHER), condition(7, method)).shape == (BATCH, 3, EDGE, EDGE, EDGE)


def grown(config: BridgeConfig, old: BridgeUNet) -> BridgeUNet:
    """A network of more methods that starts from another's weights."""
    network = BridgeUNet(config)
    network.load_state_dict(widened(old.state_dict(), network))
    return network.requires_grad_(False)


@pytest.mark.parametrize("config", [TOGETHER, replace(ALONE, methods=("bridge", "diffusion"))], ids=["all", "without-flow"])
@pytest.mark.parametrize("tumor", [(True, True, True), (False, False, False), (True, False, True)])
def test_what_the_bridge_learned_alone_it_does_together_whatever_is_asked(
    config: BridgeConfig, tumor: tuple[bool, ...]
) -> None:
    alone = filled(ALONE)
    together = grown(config, alone)
    given, count = condition(5, tumor=tumor), len(config.all_tokens)
    for present in (given.present, torch.zeros_like(given.present), torch.ones_like(given.present)):
        padded = torch.cat([present, torch.zeros(BATCH, count - 5, dtype=torch.bool)], dim=1)
        values = torch.cat([given.values, torch.full((BATCH, count - 5), 7.0)], dim=1)
        before = run(alone, replace(given, present=present))
        after = run(together, replace(given, present=padded, values=values))
        assert float(before.abs().max()) > 0.1 and torch.allclose(before, after, rtol=0.0, atol=1e-6)


def test_every_method_starts_from_what_the_bridge_learned() -> None:
    together = grown(TOGETHER, filled(ALONE))
    bridge = run(together, condition(7))
    assert torch.equal(run(together, condition(7, DIFFUSION)), bridge)
    flow = run(together, condition(7, FLOW), channels=4)
    assert torch.allclose(flow[:, :3], bridge, atol=1e-6) and not flow[:, 3].any()


def test_a_network_of_the_same_methods_takes_the_weights_as_they_are() -> None:
    network = filled(TOGETHER)
    taken = widened(network.state_dict(), BridgeUNet(TOGETHER))
    assert all(torch.equal(taken[name], value) for name, value in network.state_dict().items())


def test_growing_in_two_steps_is_growing_in_one() -> None:
    alone = filled(ALONE)
    halfway = grown(replace(ALONE, methods=("bridge", "diffusion")), alone)
    assert torch.equal(run(grown(TOGETHER, halfway), condition(7)), run(grown(TOGETHER, alone), condition(7)))


def test_every_new_weight_learns_from_a_batch_of_flow() -> None:
    network = grown(TOGETHER, filled(ALONE)).requires_grad_(True)
    given = condition(7, FLOW, (True, True, True))
    given = replace(given, present=torch.ones_like(given.present))
    run(network, given, channels=4).sub(1.0).square().sum().backward()
    assert network.method is not None and network.method.weight.grad is not None
    gradients = {name: value.grad for name, value in network.named_parameters()}
    new = {
        "method.weight": gradients["method.weight"][FLOW],
        "enter.weight": gradients["enter.weight"][:, -1],
        "leave.weight": gradients["leave.weight"][-1],
        "leave.bias": gradients["leave.bias"][-1:],
        "tokens.identity": gradients["tokens.identity"][5:],
        "tokens.gain": gradients["tokens.gain"][5:],
        "tokens.pool.0.weight, values": gradients["tokens.pool.0.weight"][:, 5:7],
        "tokens.pool.0.weight, presence": gradients["tokens.pool.0.weight"][:, 12:],
    }
    assert [name for name, value in new.items() if not value.any()] == []
    assert not gradients["method.weight"][[0, DIFFUSION]].any()


@pytest.mark.parametrize("methods", [("bridge",), ("bridge", "diffusion"), ("bridge", "flow"), METHODS])
def test_a_network_with_fewer_methods_does_with_them_what_the_larger_one_did(methods: tuple[str, ...]) -> None:
    larger = filled(TOGETHER)
    config, weights = narrowed(larger.state_dict(), TOGETHER, methods)
    smaller = BridgeUNet(config)
    smaller.load_state_dict(weights)
    assert config.methods == methods and config.joint == ("flow" in methods)
    for name in methods:
        method = METHODS.index(name)
        channels, count = 4 if name == "flow" else 3, len(config.all_tokens)
        given = condition(7, method)
        shown = given.present.clone()
        shown[:, count:] = False
        wanted = run(larger, replace(given, present=shown), channels)
        found = run(smaller, condition(count, method), channels)
        assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("methods", [("flow",), ("diffusion",), ("diffusion", "flow")])
def test_own_weights_are_those_that_no_other_method_looks_at(methods: tuple[str, ...]) -> None:
    network = filled(TOGETHER).requires_grad_(True)
    everything = torch.ones(BATCH, 7, dtype=torch.bool)
    for method in (name for name in METHODS if name not in methods):
        channels, count = (4, 7) if method == "flow" else (3, 5)
        present = everything.clone()
        present[:, count:] = False
        for tumor in ((True, True, True), (False, False, False)):
            given = replace(condition(7, METHODS.index(method), tumor), present=present)
            run(network, given, channels).square().sum().backward()
    own = own_weights(TOGETHER, methods)
    looked_at = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
    assert not any(looked_at[name][own[name]].any() for name in looked_at)
    assert own["method.weight"].any(dim=1).tolist() == [name in methods for name in METHODS]
    names = ("enter.weight", "leave.weight", "leave.bias", "tokens.identity", "tokens.gain", "tokens.pool.0.weight")
    if "flow" in methods:
        for name in names:
            # What is not their own does matter to the others; a hidden unit that is off has no gradient, so most must.
            assert own[name].any() and looked_at[name][~own[name]].ne(0).float().mean() > 0.5
    else:
        assert not any(part.any() for name, part in own.items() if name != "method.weight")


def test_all_weights_are_the_own_of_all_methods() -> None:
    assert all(part.all() for part in own_weights(TOGETHER, METHODS).values())


HEALED = (False, False, False)


def test_a_healing_change_begins_without_effect_and_then_reaches_healthy_tissue_alone() -> None:
    plain = filled(TOGETHER)
    ranked = grown(replace(TOGETHER, healing_rank=2), plain)
    mixed = condition(7, tumor=(True, False, True))
    assert all(torch.equal(run(ranked, given), run(plain, given)) for given in (mixed, condition(7, tumor=HEALED)))
    for name, part in healing_weights(ranked.config).items():
        ranked.state_dict()[name][part] += 0.3
    before, after = run(plain, mixed), run(ranked, mixed)
    assert torch.equal(after[[0, 2]], before[[0, 2]]) and changed(before[1:2], after[1:2])
    # Alone in a batch a healthy sample comes out as beside tumors.
    assert torch.allclose(run(ranked, condition(7, tumor=HEALED))[1], after[1], atol=1e-5)


def test_healing_weights_are_those_that_no_tumor_looks_at_and_all_of_them_learn() -> None:
    config = replace(TOGETHER, healing_rank=2)
    own, network = healing_weights(config), grown(config, filled(TOGETHER)).requires_grad_(True)
    for method, name in enumerate(METHODS):
        run(network, condition(7, method, (True, True, True)), 4 if name == "flow" else 3).square().sum().backward()
    looked_at = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
    assert not any(looked_at[name][own[name]].any() for name in looked_at)
    network.zero_grad(set_to_none=True)
    # The second factor learns first, then, as it is zero no more, the first.
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight += 0.1 * name.endswith((".healing.0.1.weight", ".healing.1.1.weight"))
    run(network, condition(7, tumor=HEALED)).sub(1.0).square().sum().backward()
    # Keys have no offset that matters: softmax takes it away.
    silent = [name for name, weight in network.named_parameters() if own[name].any() and not weight.grad[own[name]].any()]
    assert silent == [] and sum(part.any().item() for part in own.values()) > 20
    assert not healing_weights(TOGETHER)["enter.weight"].any() and own["path.weight"].any(dim=1).tolist() == [True, False]


def test_a_network_with_fewer_methods_heals_as_the_larger_one_did() -> None:
    config = replace(TOGETHER, healing_rank=2)
    larger = filled(config)
    smaller_config, weights = narrowed(larger.state_dict(), config, ("bridge",))
    smaller = BridgeUNet(smaller_config)
    smaller.load_state_dict(weights)
    given = condition(7, tumor=HEALED)
    found = run(smaller, condition(5, tumor=HEALED))
    assert smaller_config.healing_rank == 2 and torch.allclose(found, run(larger, given), atol=1e-5)


def test_a_change_of_flow_begins_without_effect_and_then_reaches_flow_alone() -> None:
    plain = filled(TOGETHER)
    ranked = grown(replace(TOGETHER, flow_rank=2), plain)
    given = [(condition(7, METHODS.index(name)), 4 if name == "flow" else 3) for name in METHODS]
    before = [run(plain, *one) for one in given]
    assert all(torch.equal(run(ranked, *one), old) for one, old in zip(given, before, strict=True))
    for name, weight in ranked.named_parameters():
        if ".block.flow." in name:
            weight += 0.3
    after = [run(ranked, *one) for one in given]
    assert [torch.equal(new, old) for new, old in zip(after, before, strict=True)] == [name != "flow" for name in METHODS]
    assert changed(after[FLOW], before[FLOW])


def test_the_change_of_flow_is_its_own_and_goes_with_it() -> None:
    config = replace(TOGETHER, flow_rank=2, flow_leveled=True)
    own, network = own_weights(config, ("flow",)), filled(config).requires_grad_(True)
    changes = [name for name, _ in network.named_parameters() if ".block.flow." in name]
    assert len(changes) > 20 and all(own[name].all() for name in changes)
    run(network, condition(7, FLOW, (True, True, True)), channels=4).square().sum().backward()
    assert all(dict(network.named_parameters())[name].grad.any() for name in changes)  # type: ignore[union-attr]
    smaller, weights = narrowed(network.state_dict(), config, ("bridge", "diffusion"))
    assert smaller.flow_rank == 0 and not smaller.flow_leveled and not set(changes) & set(weights)
