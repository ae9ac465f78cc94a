"""The shape GAN obeys each feature by itself, its differentiable geometry agrees with formulas, and its training works."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import ellipsoid_field, write_shapes
from torch import Tensor

from TumorSynthLib.configs import ShapeConfig, TrainConfig
from TumorSynthLib.errors import DataError
from TumorSynthLib.nets.shape_gan import Discriminator, Generator, fixed_length
from TumorSynthLib.shape import ShapeGenerator
from TumorSynthLib.shape_field import ball_field
from TumorSynthLib.train.prepare_shapes import prepare_shapes
from TumorSynthLib.train.presets import ShapeStage
from TumorSynthLib.train.shape import export_shape, train_shape
from TumorSynthLib.train.shape_data import ShapeData
from TumorSynthLib.train.shape_directions import fitted_directions, learned_directions
from TumorSynthLib.train.shape_geometry import moments, smooth_sphericity, tilted
from TumorSynthLib.train.shape_trainer import ShapeTrainer
from TumorSynthLib.train.team import Team

CONFIG = ShapeConfig(grid=24, noise=8, channels=(16, 16, 8), token_width=8, heads=2)


@pytest.fixture()
def network() -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Generator(CONFIG).eval()


def made(network: Generator, values: list[float], present: list[float] | None = None, organ: int = 0, seed: int = 0) -> Tensor:
    vector, voxel_noise = network.noise(1, torch.Generator().manual_seed(seed))
    given = torch.ones(1, 5) if present is None else torch.tensor([present])
    with torch.no_grad():
        return network(vector, voxel_noise, torch.tensor([values]), given, torch.tensor([organ]))


VALUES = [0.5, -1.0, 1.5, 0.2, -0.4]


def test_permuting_feature_values_changes_the_shape(network: Generator) -> None:
    assert (made(network, VALUES) - made(network, VALUES[::-1])).abs().max() > 1e-4


@pytest.mark.parametrize("index", range(5))
def test_changing_one_feature_keeping_its_sign_changes_the_shape(network: Generator, index: int) -> None:
    other = [value * (2.0 if i == index else 1.0) for i, value in enumerate(VALUES)]
    assert (made(network, VALUES) - made(network, other)).abs().max() > 1e-4


@pytest.mark.parametrize("index", range(5))
def test_dropping_one_feature_changes_the_shape_and_its_value_then_does_not_matter(network: Generator, index: int) -> None:
    present = [float(i != index) for i in range(5)]
    other = [7.0 if i == index else value for i, value in enumerate(VALUES)]
    dropped = made(network, VALUES, present)
    assert (made(network, VALUES) - dropped).abs().max() > 1e-4
    assert torch.equal(dropped, made(network, other, present))


def test_organ_and_noise_change_the_shape(network: Generator) -> None:
    first = made(network, VALUES)
    assert torch.equal(first, made(network, VALUES))
    assert (first - made(network, VALUES, organ=len(CONFIG.organs))).abs().max() > 1e-4
    assert (first - made(network, VALUES, seed=1)).abs().max() > 1e-2


def test_noise_vectors_have_one_length(network: Generator) -> None:
    vector, _ = network.noise(6, torch.Generator().manual_seed(0))
    assert vector.norm(dim=1).tolist() == pytest.approx([8**0.5] * 6, rel=1e-5)


def test_the_critic_judges_the_same_field_differently_under_other_features() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        critic = Discriminator(CONFIG)
    field = torch.from_numpy(ball_field(24, 1.75))[None, None]
    organ, present = torch.tensor([0]), torch.ones(1, 5)
    seen = critic(field)
    judged = [critic.judge(seen, torch.tensor([v]), present, organ).item() for v in (VALUES, VALUES[::-1])]
    assert judged[0] != judged[1]


def test_modes_given_at_the_start_are_what_the_noise_moves(network: Generator) -> None:
    mean, basis = torch.zeros(12**3), torch.zeros(8, 12**3)
    network.set_modes(mean, basis)
    still = made(network, VALUES)
    basis[0] = 1.0
    network.set_modes(mean, basis)
    vector, _ = network.noise(1, torch.Generator().manual_seed(0))
    moved = (made(network, VALUES) - still).mean().item()
    assert moved == pytest.approx(vector[0, 0].item(), rel=0.3)


def test_smooth_sphericity_of_a_ball_is_one_and_does_not_depend_on_size() -> None:
    for size in (1.0, 30.0):
        value = smooth_sphericity(ellipsoid_field([1.0, 1.0, 1.0]), torch.full((1, 3), size), ShapeConfig())
        assert value.item() == pytest.approx(1.0, abs=0.02)


def test_smooth_sphericity_of_a_stretched_ball_is_the_ellipsoids() -> None:
    axes = np.array([20.0, 10.0, 8.0])
    value = smooth_sphericity(ellipsoid_field([1.0, 1.0, 1.0]), torch.from_numpy(axes).float()[None], ShapeConfig())
    # Knud Thomsen's formula for the area of an ellipsoid, good to 1.1 %.
    p = 1.6075
    area = 4.0 * np.pi * np.mean([(axes[i] * axes[j]) ** p for i, j in ((0, 1), (0, 2), (1, 2))]) ** (1.0 / p)
    exact = np.pi ** (1 / 3) * (8.0 * np.pi * axes.prod()) ** (2 / 3) / area
    assert value.item() == pytest.approx(exact, rel=0.03)


def test_smooth_sphericity_has_a_gradient() -> None:
    field = ellipsoid_field([1.0, 0.9, 0.8]).requires_grad_(True)
    smooth_sphericity(field, torch.ones(1, 3), ShapeConfig()).sum().backward()
    assert field.grad is not None and field.grad.abs().sum() > 0


def test_moments_of_the_ball_are_white() -> None:
    fill, center, second = moments(ellipsoid_field([1.0, 1.0, 1.0]), ShapeConfig())
    assert fill.item() == pytest.approx(1.0, abs=0.03)
    assert center.abs().max() < 1e-4
    assert second[0].numpy() == pytest.approx(np.eye(3), abs=0.05)


def test_moments_of_an_ellipsoid_are_its_axes_squared() -> None:
    _, _, second = moments(ellipsoid_field([1.4, 1.0, 0.8]), ShapeConfig())
    assert torch.diagonal(second[0]).tolist() == pytest.approx([1.96, 1.0, 0.64], rel=0.08)


def test_tilting_keeps_fill_and_moves_the_field() -> None:
    field = ellipsoid_field([1.2, 1.0, 0.8])
    turned = tilted(field, [np.random.default_rng(0)])
    assert moments(turned, ShapeConfig())[0].item() == pytest.approx(moments(field, ShapeConfig())[0].item(), rel=0.02)
    assert (turned - field).abs().max() > 0.01


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training file made of random ellipsoids."""
    return write_shapes(tmp_path_factory.mktemp("shapes") / "train.npz", CONFIG)


def test_a_batch_is_standardized_and_reproducible(prepared: Path) -> None:
    shapes = ShapeData(prepared, CONFIG)
    first, again = (shapes.batch(shapes.train_rows, [np.random.default_rng(n) for n in shapes.train_rows]) for _ in range(2))
    assert torch.equal(first.field, again.field)
    assert torch.equal(first.present, again.present)
    assert first.values[:, 1:4].mean(dim=0).abs().max() < 0.01
    assert 0.0 < first.present.mean() < 1.0
    held = {*shapes.validation_rows.tolist()}
    assert held and held.isdisjoint(shapes.train_rows.tolist())


def test_directions_tell_real_shapes_apart(prepared: Path) -> None:
    shapes = ShapeData(prepared, CONFIG)
    vectors = fitted_directions(shapes, Generator(CONFIG), 0).of(shapes.field(shapes.train_rows[:10]))
    assert vectors.norm(dim=1).tolist() == pytest.approx([8**0.5] * 10, rel=1e-4)
    assert torch.allclose(vectors, fixed_length(vectors), atol=1e-5)
    assert (vectors @ vectors.T / 8).triu(1).max() < 0.999


def test_a_trained_generator_says_which_noise_a_shape_came_from(network: Generator) -> None:
    vector, voxel_noise = network.noise(6, torch.Generator().manual_seed(2))
    nothing = torch.zeros(6, 5)
    with torch.no_grad():
        network.modes.weight.mul_(10.0)
        network.strengths.weight.zero_()
        network.strengths.bias.zero_()
        network.out.weight.zero_()
        network.out.bias.zero_()
        fields = network(vector, voxel_noise, nothing, nothing, torch.zeros(6, dtype=torch.long))
    found = learned_directions(network).of(fields)
    assert torch.nn.functional.cosine_similarity(found, vector).min() > 0.95


def test_the_critic_judges_a_group_the_same_whatever_else_is_in_the_batch() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        critic, fields = Discriminator(CONFIG), torch.randn(8, 1, 24, 24, 24)
    with torch.no_grad():
        assert torch.allclose(critic(fields)[4:], critic(fields[4:]), atol=1e-6)
        assert not torch.allclose(critic(fields[:4])[:2], critic(fields[:2]), atol=1e-6), "members are compared"


def stage(steps: int, batch: int) -> ShapeStage:
    train = TrainConfig(float("inf"), batch, 3e-3, warmup=10, ema=0.9, validate_every=100, steps=steps, log_every=10)
    return ShapeStage(train, CONFIG)


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_training_lowers_the_losses_and_a_resumed_run_continues(prepared: Path, tmp_path: Path) -> None:
    untrained = ShapeTrainer(ShapeData(prepared, CONFIG), stage(64, 6).train, Team()).validate()
    train_shape(prepared, tmp_path, stage(64, 6), Team())
    trained = log_of(tmp_path)[-1]
    assert trained["step"] == 64 and untrained.keys() <= trained.keys() and len(untrained) == 4
    assert trained["validation_moments"] < 0.85 * untrained["validation_moments"]
    critic = [line["step"] for line in log_of(tmp_path) if "critic_loss" in line]
    train_shape(prepared, tmp_path, stage(70, 6), Team())
    assert critic == [] and [line["step"] for line in log_of(tmp_path) if "critic_loss" in line] == [70]


def test_an_exported_generator_makes_shapes(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no trained"):
        export_shape(tmp_path)
    train_shape(prepared, tmp_path, stage(2, 4), Team())
    config, state, statistics = export_shape(tmp_path)
    assert config == CONFIG
    assert all(value.dtype == torch.float16 for value in state.values())
    assert json.loads(json.dumps(statistics)) == statistics
    fields = [ShapeGenerator(config, state, statistics).field({"shape_Sphericity": s}, "lung", 0) for s in (0.6, 0.6, 0.9)]
    assert fields[0].shape == (24, 24, 24)
    assert np.array_equal(fields[0], fields[1]) and not np.array_equal(fields[0], fields[2])


def test_a_file_prepared_for_another_config_is_refused(prepared: Path) -> None:
    with pytest.raises(DataError, match="another shape config"):
        ShapeData(prepared, ShapeConfig())


def test_preparing_leaves_out_shapes_cut_by_the_border_and_uncertain_nodules(tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    masks = []
    for radius in (4, 5, 6):
        offsets = np.stack(np.meshgrid(*[np.arange(17) - 8] * 3, indexing="ij"))
        masks.append(np.sqrt((offsets**2).sum(axis=0)) < radius)
    bits = [np.packbits(mask) for mask in masks]
    np.savez(
        tmp_path / "shapes" / "lidc_nodule_train.npz",
        packed=np.concatenate(bits),
        offsets=np.cumsum([0, *(len(b) for b in bits)]),
        shapes=np.full((3, 3), 17),
        spacing=np.full((3, 3), 0.5, np.float32),
        ids=np.array(["a", "b", "c"]),
        patients=np.array(["p", "q", "r"]),
        touches_border=np.array([False, True, False]),
        meta_n_annotators=np.array([4, 4, 2]),
    )
    assert prepare_shapes(tmp_path, "train", tmp_path / "out" / "shapes.npz") == 1
    with np.load(tmp_path / "out" / "shapes.npz") as file:
        row = dict(zip(file["feature_names"].tolist(), file["features"][0].tolist(), strict=True))
        field = file["fields"][0] / 127.0
    assert row["volume_mm3"] == pytest.approx(masks[0].sum() * 0.125)
    assert row["fill"] == pytest.approx(1.0, abs=0.05)
    assert np.abs(field - ball_field(32, 1.75).clip(-1, 1)).max() < 0.12
    with pytest.raises(DataError, match="no shapes"):
        prepare_shapes(tmp_path, "test", tmp_path / "none.npz")
