"""Differentiable terms against closed forms, PyRadiomics, and numerical derivatives."""

import math

import numpy as np
import pytest
import torch
from monai.losses import JukeboxLoss
from torch import Tensor

from TumorSynthLib import losses
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.features import measure_shape, measure_texture
from TumorSynthLib.volume import Geometry

SPACINGS = [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (1.5, 0.8, 1.0)]
MOMENTS = ["firstorder_Mean", "firstorder_Variance", "firstorder_Skewness", "firstorder_Kurtosis"]


def ellipsoid(
    semi: tuple[float, float, float], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), turn: np.ndarray | None = None
) -> tuple[np.ndarray, Tensor]:
    """A solid ellipsoid (mm) as a hard mask, and with an edge that falls from 1 to 0 over 2 mm."""
    counts = [int(max(semi) / step) + 4 for step in spacing]
    axes = [np.arange(-n, n + 1) * step for n, step in zip(counts, spacing, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    points = points if turn is None else points @ turn
    level = np.sqrt(((points / np.array(semi)) ** 2).sum(axis=-1))
    slope = np.sqrt(((points / np.array(semi) ** 2) ** 2).sum(axis=-1))
    distance = (level - 1.0) * level / np.maximum(slope, 1e-9)
    return distance < 0.0, torch.from_numpy(np.clip(0.5 - distance / 2.0, 0.0, 1.0))


def ellipsoid_area(semi: tuple[float, float, float]) -> float:
    """Thomsen's formula, within 1.1 %."""
    a, b, c = (axis**1.6075 for axis in semi)
    return 4.0 * math.pi * ((a * b + a * c + b * c) / 3.0) ** (1.0 / 1.6075)


def measured(mask: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, float]:
    return measure_shape(mask, Geometry(mask.shape, np.diag([*spacing, 1.0])))


def leaf(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_volume_of_a_mask_is_that_of_pyradiomics_and_of_a_soft_ball_that_of_the_ball(
    spacing: tuple[float, float, float],
) -> None:
    hard, soft = ellipsoid((12.0, 12.0, 12.0), spacing)
    exact = losses.soft_volume(torch.from_numpy(hard), spacing)
    assert float(exact) == pytest.approx(measured(hard, spacing)["shape_VoxelVolume"], rel=1e-6)
    # The soft edge adds the mean of r^3 over +-1 mm: R (1 mm)^2 * 4 pi / 3.
    assert float(losses.soft_volume(soft, spacing)) == pytest.approx(4 / 3 * math.pi * (12.0**3 + 12.0), rel=0.01)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("semi", [(12.0, 12.0, 12.0), (15.0, 11.0, 8.0)])
def test_surface_area_of_a_soft_ellipsoid_is_that_of_the_ellipsoid(
    semi: tuple[float, float, float], spacing: tuple[float, float, float]
) -> None:
    hard, soft = ellipsoid(semi, spacing)
    assert float(losses.soft_surface_area(soft, spacing)) == pytest.approx(ellipsoid_area(semi), rel=0.03)
    binary = losses.soft_surface_area(torch.from_numpy(hard), spacing)
    assert float(binary) == pytest.approx(ellipsoid_area(semi), rel=0.03)


def test_surface_area_does_not_change_when_the_ellipsoid_is_turned() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    straight, turned = (ellipsoid((15.0, 11.0, 8.0), turn=t)[1] for t in (None, turn))
    areas = [float(losses.soft_surface_area(soft, (1.0, 1.0, 1.0))) for soft in (straight, turned)]
    assert areas[0] == pytest.approx(areas[1], rel=0.005)


@pytest.mark.parametrize("spacing", [*SPACINGS, (0.8, 0.8, 3.0)])
@pytest.mark.parametrize("turned", [False, True])
def test_mesh_area_and_sphericity_of_a_mask_follow_pyradiomics(spacing: tuple[float, float, float], turned: bool) -> None:
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0] if turned else None
    for semi in ((12.0, 12.0, 12.0), (16.0, 12.0, 9.0)):
        hard, soft = ellipsoid(semi, spacing, turn)
        reference = measured(hard, spacing)
        exact = losses.soft_shape(torch.from_numpy(hard), spacing)
        assert float(exact["shape_SurfaceArea"]) == pytest.approx(reference["shape_SurfaceArea"], rel=0.03)
        assert float(exact["shape_Sphericity"]) == pytest.approx(reference["shape_Sphericity"], rel=0.04)
        near = losses.soft_shape(soft, spacing)
        for name, value in near.items():
            # The soft edge is nearer to the true ellipsoid than the mask is, which loses 5 % of an axis to 3 mm slices.
            assert float(value) == pytest.approx(reference[name], rel=0.065), name


def test_the_mesh_area_of_a_box_is_the_sum_of_its_faces() -> None:
    box = torch.zeros(40, 40, 40, dtype=torch.float64)
    box[4:34, 5:30, 6:26] = 1.0
    sides = np.array([30 * 0.5, 25 * 1.0, 20 * 2.0])
    faces = 2 * (sides[0] * sides[1] + sides[0] * sides[2] + sides[1] * sides[2])
    for mesh in (False, True):
        # Smoothing rounds the edges of the box by a voxel or so.
        area = float(losses.soft_surface_area(box, (0.5, 1.0, 2.0), mesh=mesh))
        assert 0.94 * faces < area < faces


def test_a_mask_at_the_border_of_the_grid_is_closed() -> None:
    _, soft = ellipsoid((9.0, 7.0, 6.0))
    half = soft[:, :, : soft.shape[2] // 2]
    padded = torch.nn.functional.pad(half, (6, 6) * 3)
    for mesh in (False, True):
        areas = [float(losses.soft_surface_area(item, (1.0, 1.0, 1.5), mesh=mesh)) for item in (half, padded)]
        assert areas[0] == pytest.approx(areas[1], rel=1e-9)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_moments_of_a_mask_are_those_of_its_points_and_give_the_axes_of_pyradiomics(
    spacing: tuple[float, float, float],
) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    hard, _ = ellipsoid((14.0, 10.0, 7.0), spacing, turn)
    center, covariance = losses.soft_second_moments(torch.from_numpy(hard).double(), spacing)
    points = np.argwhere(hard) * np.array(spacing)
    np.testing.assert_allclose(center.numpy(), points.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(covariance.numpy(), np.cov(points.T, bias=True), rtol=1e-9, atol=1e-9)
    lengths, reference = losses.soft_axis_lengths(covariance), measured(hard, spacing)
    assert lengths.tolist() == pytest.approx([reference[f"shape_{a}AxisLength"] for a in ("Major", "Minor", "Least")], rel=1e-9)
    shape = losses.soft_shape(torch.from_numpy(hard).double(), spacing)
    assert float(shape["shape_Elongation"]) == pytest.approx(reference["shape_Elongation"], rel=1e-9)
    assert float(shape["shape_Flatness"]) == pytest.approx(reference["shape_Flatness"], rel=1e-9)


def test_first_order_terms_inside_a_mask_are_those_of_pyradiomics() -> None:
    hard, soft = ellipsoid((8.0, 7.0, 6.0))
    u = np.random.default_rng(0).gamma(2.0, 30.0, hard.shape)
    reference = measure_texture(u, hard, Geometry(hard.shape, np.eye(4)), DOMAINS[0].radiomics, MOMENTS)
    terms = losses.first_order(torch.from_numpy(u), torch.from_numpy(hard).double())
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(reference, rel=1e-9)
    weight = soft.numpy() / soft.numpy().sum()
    blurred = losses.first_order(torch.from_numpy(u), soft)
    assert float(blurred["firstorder_Mean"]) == pytest.approx((weight * u).sum(), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_region_has_skewness_and_kurtosis_zero(dtype: torch.dtype) -> None:
    u = torch.full((9, 9, 9), 33.3, dtype=dtype, requires_grad=True)
    terms = losses.first_order(u, torch.ones(9, 9, 9, dtype=dtype))
    assert float(terms["firstorder_Mean"].detach()) == pytest.approx(33.3, rel=1e-5)
    for name in MOMENTS[1:]:
        assert float(terms[name].detach()) == pytest.approx(0.0, abs=1e-3)
    torch.stack(list(terms.values())).sum().backward()
    assert u.grad is not None and bool(u.grad.isfinite().all())


def test_every_item_of_a_batch_is_measured_by_itself() -> None:
    shapes = [ellipsoid(semi)[1] for semi in ((9.0, 8.0, 7.0), (9.0, 5.0, 5.0))]
    u = leaf(2, 1, *shapes[0].shape).detach()
    batch = torch.stack(shapes)[:, None]
    together = losses.soft_shape(batch, (1.0, 1.0, 2.0)) | losses.first_order(u, batch)
    for item, shape in enumerate(shapes):
        alone = losses.soft_shape(shape, (1.0, 1.0, 2.0)) | losses.first_order(u[item, 0], shape)
        for name, value in alone.items():
            assert together[name].shape == (2, 1)
            assert float(together[name][item, 0]) == pytest.approx(float(value), rel=1e-10)


def test_derivatives_equal_numerical_ones() -> None:
    occupancy, u, target = leaf(4, 5, 3), leaf(4, 5, 3, seed=1), leaf(1, 1, 4, 4, 4, seed=2).detach()
    spacing = (0.7, 1.0, 2.0)

    def shape(values: Tensor) -> tuple[Tensor, ...]:
        smooth = losses.soft_surface_area(values, spacing)
        return (smooth, *losses.soft_second_moments(values, spacing), *losses.soft_shape(values, spacing).values())

    def intensity(image: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        return tuple(losses.first_order(image, values).values())

    assert torch.autograd.gradcheck(shape, (occupancy,))
    assert torch.autograd.gradcheck(intensity, (u, occupancy))
    assert torch.autograd.gradcheck(lambda p: losses.gradient_loss(p, target, scales=2), (leaf(1, 1, 4, 4, 4),))
    assert torch.autograd.gradcheck(lambda p: losses.spectral_loss(p, target), (leaf(1, 1, 4, 4, 4),))


def test_autocast_changes_nothing() -> None:
    _, soft = ellipsoid((9.0, 7.0, 5.0))
    soft, u = soft.float(), torch.rand(soft.shape)

    def terms() -> list[Tensor]:
        values = losses.soft_shape(soft, (1.0, 1.0, 2.0)) | losses.first_order(u, soft)
        return [*values.values(), losses.gradient_loss(u[None, None], soft[None, None]), losses.spectral_loss(u, soft)]

    plain = terms()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = terms()
    assert all(torch.equal(a, b) for a, b in zip(plain, cast, strict=True))


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_derivatives_are_finite_on_empty_and_full_grids(value: float, dtype: torch.dtype) -> None:
    occupancy = torch.full((2, 8, 8, 8), value, dtype=dtype, requires_grad=True)
    terms = losses.soft_shape(occupancy, (1.0, 1.0, 1.0)) | losses.first_order(torch.ones(2, 8, 8, 8), occupancy)
    total = torch.stack([term.sum() for term in terms.values()]).sum()
    (total + losses.soft_surface_area(occupancy, (1.0, 1.0, 1.0)).sum()).backward()
    assert bool(total.isfinite()) and bool(occupancy.grad.isfinite().all())


def test_descent_on_the_terms_reaches_the_wanted_volume_and_elongation() -> None:
    _, soft = ellipsoid((8.0, 8.0, 8.0))
    field = torch.logit(soft.clamp(0.01, 0.99)).float().requires_grad_()
    optimizer = torch.optim.Adam([field], lr=0.1)
    for _ in range(150):
        shape = losses.soft_shape(field.sigmoid(), (1.0, 1.0, 1.0))
        loss = (shape["shape_VoxelVolume"] / 3000.0 - 1.0) ** 2 + (shape["shape_Elongation"] - 0.7) ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(shape["shape_VoxelVolume"].detach()) == pytest.approx(3000.0, rel=0.02)
    assert float(shape["shape_Elongation"].detach()) == pytest.approx(0.7, abs=0.02)


def test_gradient_loss_ignores_an_offset_and_measures_a_ramp_at_every_scale() -> None:
    image = torch.zeros(1, 1, 16, 16, 16)
    ramp = image + 0.1 * torch.arange(16.0)[:, None, None]
    assert float(losses.gradient_loss(image + 3.0, image)) == pytest.approx(0.0, abs=1e-7)
    # Blocks of 1, 2 and 4 voxels differ by 0.1, 0.2 and 0.4 along one axis of three.
    assert float(losses.gradient_loss(ramp, image)) == pytest.approx((0.1 + 0.2 + 0.4) / 9.0, rel=1e-5)


def test_spectral_loss_sees_texture_but_not_its_place() -> None:
    image = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    other = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    moved = image.roll((3, 5, 7), dims=(-3, -2, -1))
    assert float(losses.spectral_loss(moved, image)) == pytest.approx(0.0, abs=1e-5)
    assert float(losses.spectral_loss(image, image)) == 0.0
    blurred = [torch.nn.functional.avg_pool3d(image, size, stride=1, padding=size // 2) for size in (3, 5)]
    distances = [float(losses.spectral_loss(item, image)) for item in (other, *blurred)]
    assert distances == sorted(distances)


def test_spectral_loss_has_the_amplitudes_of_monai_and_a_finite_gradient_where_monai_has_none() -> None:
    image, target = leaf(1, 1, 6, 5, 4).detach(), leaf(1, 1, 6, 5, 4, seed=1).detach()
    ours = (losses._log_amplitude(image).expm1() - losses._log_amplitude(target).expm1()).square().mean()
    assert float(ours) == pytest.approx(float(JukeboxLoss(spatial_dims=3)(image, target)), rel=1e-9)
    flat = torch.full((1, 1, 8, 8, 8), 0.3, requires_grad=True)
    losses.spectral_loss(flat, torch.rand(1, 1, 8, 8, 8)).backward()
    assert flat.grad is not None and bool(flat.grad.isfinite().all())
