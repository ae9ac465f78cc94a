"""Tumors from a box: the mask that is cut from a soft one, and whole insertions by ``flow`` with a random bundle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import ball, geometry, middle, phantom, request
from scipy import ndimage, special

from TumorSynthLib.compositing import soft_border
from TumorSynthLib.errors import Cancelled, GeometryError
from TumorSynthLib.joint_insertion import shape_distance
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.soft_mask import (
    FAINT,
    LEVEL,
    ROUNDINGS,
    SPHERICITY,
    USUAL_SPHERICITY,
    VOLUME,
    mask_of,
    near,
    rounded,
    tumor_mask,
)
from TumorSynthLib.volume import Geometry, Volume, work_grid
from TumorSynthLib.volume_io import read_mask, read_volume, write_volume

KINDS = ["plain", "thick", "oblique, left-handed"]
SPACING = 1.2


def center(native: Geometry) -> np.ndarray:
    return native.to_ras((np.array(native.shape) - 1) / 2)


def soft_balls(
    native: Geometry, *balls: tuple[tuple[float, float, float], float], width: float = 4.0
) -> tuple[np.ndarray, Geometry]:
    """A soft mask on a working grid around the middle: balls (offset in mm, radius in mm) with a border of some width."""
    grid = work_grid(native, center(native), SPACING)
    points = grid.to_ras(np.stack(np.indices(grid.shape), axis=-1))
    depth = [radius - np.linalg.norm(points - center(native) - np.array(offset), axis=-1) for offset, radius in balls]
    return special.expit(4.0 * np.max(depth, axis=0) / width).astype(np.float32), grid


def everywhere(native: Geometry) -> np.ndarray:
    return np.ones(native.shape, bool)


def voxels(native: Geometry, volume_mm3: float) -> int:
    return round(volume_mm3 / native.voxel_volume_mm3)


def one_part(mask: np.ndarray) -> bool:
    return int(ndimage.label(mask)[1]) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("volume", [500.0, 3000.0, 4321.0, 8000.0])
def test_the_asked_volume_is_met_voxel_for_voxel(kind: str, volume: float) -> None:
    native = geometry(kind)
    soft, grid = soft_balls(native, ((0.0, 0.0, 0.0), 9.0))
    mask, warnings = mask_of(soft, grid, native, everywhere(native), volume)
    assert mask.shape == native.shape and mask.sum() == voxels(native, volume)
    assert warnings == [] and one_part(mask)
    assert np.abs(native.to_ras(np.argwhere(mask)).mean(axis=0) - center(native)).max() < 0.6 * native.spacing.max()


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_volume_the_mask_is_where_the_soft_one_is_likelier_than_not(kind: str) -> None:
    native = geometry(kind)
    soft, grid = soft_balls(native, ((2.0, -3.0, 4.0), 10.0))
    mask, warnings = mask_of(soft, grid, native, everywhere(native), None)
    points = native.to_ras(np.stack(np.indices(native.shape), axis=-1))
    distance = np.linalg.norm(points - center(native) - np.array([2.0, -3.0, 4.0]), axis=-1)
    assert warnings == [] and mask[distance < 9.5].all() and not mask[distance > 10.5].any()


@pytest.mark.parametrize(("height", "found"), [(0.9, True), (0.4, True), (0.15, True), (0.08, False)])
def test_an_uncertain_tumor_is_cut_at_its_half_maximum_and_a_trace_is_none(height: float, found: bool) -> None:
    native = geometry("plain")
    soft, grid = soft_balls(native, ((0.0, 0.0, 0.0), 10.0))
    certain = mask_of(soft, grid, native, everywhere(native), None)[0]
    mask, _ = mask_of(height * soft, grid, native, everywhere(native), None)
    assert np.array_equal(mask, certain) if found else not mask.any()


def test_of_several_parts_the_largest_is_kept_and_grows_to_the_asked_volume() -> None:
    native = geometry("plain")
    soft, grid = soft_balls(native, ((-14.0, 0.0, 0.0), 9.0), ((14.0, 0.0, 0.0), 6.0))
    free, _ = mask_of(soft, grid, native, everywhere(native), None)
    assert one_part(free) and native.to_ras(np.argwhere(free)).mean(axis=0)[0] < center(native)[0]
    both = float((soft >= LEVEL).sum()) * SPACING**3
    mask, warnings = mask_of(soft, grid, native, everywhere(native), both)
    assert one_part(mask) and mask.sum() == voxels(native, both) and warnings == []
    assert (mask & free).sum() == free.sum()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 1.0])
def test_a_plateau_is_cut_to_the_asked_volume_from_its_border(share: float) -> None:
    native = geometry("plain")
    soft, grid = soft_balls(native, ((0.0, 0.0, 0.0), 12.0), width=0.1)
    whole = mask_of(soft, grid, native, everywhere(native), None)[0]
    volume = share * whole.sum() * native.voxel_volume_mm3
    mask, warnings = mask_of((soft > 0.5).astype(np.float32), grid, native, everywhere(native), volume)
    assert mask.sum() == voxels(native, volume) and one_part(mask) and warnings == []
    distance = np.linalg.norm(native.to_ras(np.argwhere(mask)) - center(native), axis=-1)
    assert distance.max() < 12.0 * share ** (1 / 3) + 2.0 * native.spacing.max(), "it is round, whatever the order of voxels"


def test_the_mask_stays_where_it_is_allowed_and_makes_up_for_it_there() -> None:
    native = geometry("oblique, left-handed")
    soft, grid = soft_balls(native, ((0.0, 0.0, 0.0), 12.0))
    points = native.to_ras(np.stack(np.indices(native.shape), axis=-1))
    allowed = points[..., 0] > center(native)[0] + 2.0
    mask, warnings = mask_of(soft, grid, native, allowed, 3000.0)
    assert not (mask & ~allowed).any() and mask.sum() == voxels(native, 3000.0) and warnings == [] and one_part(mask)


def test_too_little_soft_mask_gives_what_there_is_and_a_sentence() -> None:
    native = geometry("plain")
    soft, grid = soft_balls(native, ((0.0, 0.0, 0.0), 5.0), width=1.0)
    mask, warnings = mask_of(soft, grid, native, everywhere(native), 50_000.0)
    assert 0 < mask.sum() < voxels(native, 50_000.0) and one_part(mask)
    assert (
        len(warnings) == 1 and "50 mL" in warnings[0] and f"{mask.sum() * native.voxel_volume_mm3 / 1000:.4g} mL" in warnings[0]
    )
    small, _ = mask_of(soft, grid, native, mask, 50_000.0)
    assert np.array_equal(small, mask), "more than all voxels are asked for"


@pytest.mark.parametrize("volume", [None, 1000.0])
def test_no_soft_mask_is_no_tumor(volume: float | None) -> None:
    native = geometry("plain")
    soft, grid = soft_balls(native, ((0.0, 0.0, 0.0), 9.0))
    mask, warnings = mask_of(0.5 * FAINT * soft, grid, native, everywhere(native), volume)
    assert not mask.any() and warnings == []


def rough(native: Geometry) -> tuple[np.ndarray, Geometry]:
    """A soft ball with lumps and arms, sure of itself."""
    soft, grid = soft_balls(native, ((0.0, 0.0, 0.0), 12.0))
    lumps = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=soft.shape), 2.0)
    values = ndimage.gaussian_filter(soft, 3.0) + 0.35 * lumps / lumps.std()
    return (values > 0.5).astype(np.float32), grid


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_meets_the_asked_sphericity_and_keeps_the_volume(kind: str) -> None:
    native = geometry(kind)
    soft, grid = rough(native)
    found = {}
    for asked in (None, 0.3, 0.6, 0.7, 0.9):
        targets = {VOLUME: 3000.0} if asked is None else {VOLUME: 3000.0, SPHERICITY: asked}
        mask, warnings = tumor_mask(soft, grid, native, everywhere(native), targets)
        assert mask.sum() == voxels(native, 3000.0) and warnings == [] and one_part(mask)
        found[asked] = measure_mask(mask, native)[SPHERICITY]
    assert found[0.3] < 0.6 and found[0.9] > 0.75 and found[0.3] <= found[0.6] <= found[0.7] <= found[0.9]
    wished = {0.6: 0.6, 0.7: 0.7, None: USUAL_SPHERICITY}
    assert {asked: found[asked] for asked in wished} == {asked: pytest.approx(one, abs=0.06) for asked, one in wished.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_of_what_the_network_is_sure_of_the_part_at_the_point_is_cut(kind: str, side: float) -> None:
    native = geometry(kind)
    soft, grid = soft_balls(native, ((-11.0, 0.0, 0.0), 9.0), ((11.0, 0.0, 0.0), 10.0))
    at = center(native) + np.array([side * 9.0, 3.0, 0.0])
    mask, warnings = tumor_mask(near(soft, grid, at, 1500.0), grid, native, everywhere(native), {VOLUME: 1500.0})
    points = native.to_ras(np.argwhere(mask))
    assert mask.sum() == voxels(native, 1500.0) and warnings == [] and one_part(mask)
    assert np.linalg.norm(points.mean(axis=0) - at) < 3.5 and np.linalg.norm(points - at, axis=1).min() < native.spacing.max()
    # Nothing is added to what the network has.
    assert np.all(near(soft, grid, at, 1500.0) <= soft)


@pytest.mark.parametrize("share", [0.6, 1.0, 1.6])
def test_the_volume_goes_before_the_form(share: float) -> None:
    """A soft mask that falls slowly has the asked volume only when it is rounded far, and is a ball whatever is asked."""
    native = geometry("plain")
    soft, grid = soft_balls(native, ((0.0, 0.0, 0.0), 6.0), width=1.0)
    most = max(int(mask_of(rounded(soft, one), grid, native, everywhere(native), 1e6)[0].sum()) for one in ROUNDINGS)
    volume = share * most * native.voxel_volume_mm3
    mask, warnings = tumor_mask(soft, grid, native, everywhere(native), {VOLUME: volume, SPHERICITY: 0.3})
    assert mask.sum() == (voxels(native, volume) if share <= 1.0 else most)
    assert bool(warnings) == (share > 1.0)


def test_a_ball_is_rounded_to_itself() -> None:
    native = geometry("plain")
    soft, grid = soft_balls(native, ((0.0, 0.0, 0.0), 12.0))
    plain, _ = mask_of(soft, grid, native, everywhere(native), 4000.0)
    mask, _ = tumor_mask(soft, grid, native, everywhere(native), {VOLUME: 4000.0})
    assert 2.0 * (mask & plain).sum() / (mask.sum() + plain.sum()) > 0.98
    assert not tumor_mask(0.0 * soft, grid, native, everywhere(native), {VOLUME: 4000.0, SPHERICITY: 0.8})[0].any()


def test_the_distance_of_shapes_is_in_normal_scores_of_what_was_asked() -> None:
    native = geometry("plain")
    mask = ball(phantom(), 9.0).array
    scales = {"shape_VoxelVolume": FeatureScale(tuple(np.linspace(100.0, 9000.0, 33)))}
    volume = float(mask.sum()) * native.voxel_volume_mm3
    assert shape_distance(mask, native, {}, scales) == 0.0
    assert shape_distance(mask, native, {"shape_Sphericity": 0.3}, scales) == 0.0
    assert shape_distance(mask, native, {"shape_VoxelVolume": volume}, scales) == pytest.approx(0.0, abs=1e-6)
    wrong = [shape_distance(mask, native, {"shape_VoxelVolume": factor * volume}, scales) for factor in (1.1, 1.5, 2.0)]
    assert wrong == sorted(wrong) and wrong[0] > 0.0


def cube(scan: Path, half: float = 12.0, offset: tuple[float, ...] = (0.0, 0.0, 0.0)) -> list[list[float]]:
    """A box around the middle of a scan, or beside it, RAS mm."""
    place = middle(read_volume(scan)) + np.array(offset)
    return [(place - half).tolist(), (place + half).tolist()]


def flow(scan: Path, out: Path, **more: Any) -> Any:
    return request("insert", scan, out, method="flow", **more)


def made(folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Mask and ``result.json``."""
    return read_mask(folder / "segmentation.seg.nrrd").array, json.loads((folder / "result.json").read_text())


def assert_untouched_elsewhere(scan: Path, folder: Path, mask: np.ndarray) -> None:
    """What lies in the box but outside the feather of the mask is bit for bit the scan's."""
    source, result = read_volume(scan), read_volume(folder / "image.nrrd")
    written = soft_border(mask, source.geometry.spacing) > 0
    np.testing.assert_array_equal(result.array[~written], source.array[~written])
    assert (result.array[mask] != source.array[mask]).mean() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_tumor_from_a_box_lies_in_it_and_leaves_the_rest_of_it_alone(editor: Editor, tmp_path: Path, kind: str) -> None:
    scan = tmp_path / "scan.nrrd"
    write_volume(phantom(kind), scan)
    low, high = np.array(box := cube(scan))
    folder = editor.run(flow(scan, tmp_path / "out", box=box))
    mask, told = made(folder)
    ras = read_volume(scan).geometry.to_ras(np.argwhere(mask))
    assert one_part(mask) and (ras >= low - 1e-4).all() and (ras <= high + 1e-4).all()
    assert mask.sum() < 0.95 * np.prod((high - low) / read_volume(scan).geometry.spacing), "it does not fill its box"
    assert_untouched_elsewhere(scan, folder, mask)
    assert told["request"]["method"] == "flow" and told["steps"] == 2 and told["requested"] == {}
    assert set(told["timings"]) == {"reading", "texture", "measuring", "writing"}


@pytest.mark.parametrize("kind", KINDS)
def test_around_a_point_the_asked_volume_is_met(editor: Editor, tmp_path: Path, kind: str) -> None:
    scan = tmp_path / "scan.nrrd"
    write_volume(phantom(kind), scan)
    source = read_volume(scan)
    place = middle(source) + np.array([5.0, -4.0, 3.0])
    folder = editor.run(flow(scan, tmp_path / "out", at=place.tolist(), shape={"volume_ml": 3.0}, steps=1, guidance=0.0))
    mask, told = made(folder)
    assert mask.sum() == voxels(source.geometry, 3000.0) and one_part(mask) and told["steps"] == 1
    ras = source.geometry.to_ras(np.argwhere(mask))
    radius = np.cbrt(3000.0 / (4.0 / 3.0 * np.pi))
    assert np.abs(ras - place).max() < 0.5 * 1.4 * 2.0 * radius + 1e-3
    assert np.linalg.norm(ras.mean(axis=0) - place) < 0.25 * radius, "it lies where it was asked for"
    assert told["requested"] == {"shape_VoxelVolume": 3000.0}
    assert told["measured"]["shape_VoxelVolume"] == pytest.approx(mask.sum() * source.geometry.voxel_volume_mm3, rel=1e-5)
    assert_untouched_elsewhere(scan, folder, mask)


def test_a_region_holds_the_tumor_too(editor: Editor, scan: Path, tmp_path: Path) -> None:
    region = ball(read_volume(scan), 8.0, (4.0, 0.0, 0.0))
    write_volume(region, tmp_path / "region.nrrd")
    given = {"box": cube(scan), "region": str(tmp_path / "region.nrrd")}
    mask, _ = made(editor.run(flow(scan, tmp_path / "out", **given)))
    assert mask.any() and not (mask & ~region.array).any()
    sized, told = made(editor.run(flow(scan, tmp_path / "sized", shape={"volume_ml": 1.0}, **given)))
    assert sized.sum() == voxels(region.geometry, 1000.0) and not (sized & ~region.array).any()
    assert not any("volume" in text for text in told["warnings"])


def test_a_region_beside_the_box_is_told(editor: Editor, scan: Path, tmp_path: Path) -> None:
    write_volume(ball(read_volume(scan), 6.0, (-25.0, 0.0, 0.0)), tmp_path / "region.nrrd")
    with pytest.raises(GeometryError, match="no voxel in the box"):
        editor.run(flow(scan, tmp_path / "out", box=cube(scan, offset=(20.0, 0.0, 0.0)), region=str(tmp_path / "region.nrrd")))
    assert not (tmp_path / "out").exists()
    with pytest.raises(GeometryError, match="holds no voxel"):
        editor.run(flow(scan, tmp_path / "out", box=cube(scan, offset=(900.0, 0.0, 0.0))))


@pytest.mark.parametrize("kind", ["plain", "oblique, left-handed"])
def test_a_box_larger_than_the_scan_is_the_scan(editor: Editor, tmp_path: Path, kind: str) -> None:
    scan = tmp_path / "scan.nrrd"
    write_volume(phantom(kind), scan)
    mask, _ = made(editor.run(flow(scan, tmp_path / "out", box=cube(scan, 500.0))))
    assert mask.any() and one_part(mask)


def test_a_box_partly_outside_the_scan_is_the_part_inside(editor: Editor, scan: Path, tmp_path: Path) -> None:
    box = cube(scan, 14.0, (40.0, 0.0, 0.0))
    folder = editor.run(flow(scan, tmp_path / "out", box=box))
    mask, _ = made(folder)
    ras = read_volume(scan).geometry.to_ras(np.argwhere(mask))
    assert mask.any() and ras[:, 0].min() >= box[0][0] - 1e-4
    assert_untouched_elsewhere(scan, folder, mask)


@pytest.mark.parametrize("volume", [{}, {"shape": {"volume_ml": 0.4}}])
def test_a_box_one_voxel_thick_holds_a_tumor_one_voxel_thick(
    editor: Editor, scan: Path, tmp_path: Path, volume: dict[str, Any]
) -> None:
    source = read_volume(scan)
    plane = source.geometry.to_ras(np.array([32.0, 28.0, 20.0]))
    half = np.array([12.0, 12.0, 0.9])
    box = [(plane - half).tolist(), (plane + half).tolist()]
    mask, _ = made(editor.run(flow(scan, tmp_path / "out", box=box, **volume)))
    assert mask.any() and set(np.argwhere(mask)[:, 2].tolist()) == {20}
    assert not volume or mask.sum() == voxels(source.geometry, 400.0)


def test_a_large_box_is_told_what_its_voxels_cost(editor: Editor, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(2.0, 0.2, (50, 50, 50)).astype(np.float32)
    write_volume(Volume(values, Geometry(values.shape, np.diag([4.0, 4.0, 4.0, 1.0]))), tmp_path / "pet.nrrd")
    asked = {"domain": "soft-tissue-pet", "box": [[2.0, 2.0, 2.0], [190.0, 190.0, 190.0]]}
    mask, told = made(editor.run(flow(tmp_path / "pet.nrrd", tmp_path / "out", **asked)))
    assert mask.any() and any("voxels of 4.3 mm" in text for text in told["warnings"])
    asked["box"] = [[50.0, 50.0, 50.0], [90.0, 90.0, 90.0]]
    _, told = made(editor.run(flow(tmp_path / "pet.nrrd", tmp_path / "small", **asked)))
    assert not any("voxels of" in text for text in told["warnings"])


def test_candidates_are_judged_by_texture_and_shape_and_seeds_repeat(editor: Editor, scan: Path, tmp_path: Path) -> None:
    asked = {"box": cube(scan), "texture": {"firstorder_Mean": 60.0}, "shape": {"volume_ml": 2.0, "sphericity": 0.7}}
    folders = [
        editor.run(flow(scan, tmp_path / name, candidates=count, seed=seed, **asked))
        for name, count, seed in (("a", 3, 5), ("b", 3, 5), ("one", 1, 5), ("other", 1, 6))
    ]
    for name in ("image.nrrd", "segmentation.seg.nrrd"):
        first, same, _, other = ((folder / name).read_bytes() for folder in folders)
        assert first == same != other
    told = [made(folder)[1] for folder in folders]
    distances = [candidate["distance"] for candidate in told[0]["candidates"]]
    assert len(distances) == 3 and distances == sorted(distances) and distances[0] > 0.0
    alone = told[2]["candidates"][0]
    assert {**alone, "kept": None} in [{**candidate, "kept": None} for candidate in told[0]["candidates"]]
    assert told[0]["measured"]["firstorder_Mean"] == pytest.approx(60.0, abs=1.0)


def test_what_cannot_be_steered_and_what_hangs_in_the_air_is_told(editor: Editor, scan: Path, tmp_path: Path) -> None:
    asked = {"shape": {"volume_ml": 1.0, "shape_MajorAxisLength": 20.0}, "texture": {"glcm_Imc1": -0.1}}
    corner = read_volume(scan).geometry.to_ras(np.array([8.0, 8.0, 20.0]))
    _, told = made(editor.run(flow(scan, tmp_path / "out", at=corner.tolist(), **asked)))
    said = " ".join(told["warnings"])
    assert "no token for shape_MajorAxisLength" in said and "no token for glcm_Imc1" in said and "lies in air" in said
    assert "shape_VoxelVolume;" not in said


def test_progress_rises_to_one_and_a_cancel_on_the_way_leaves_nothing(editor: Editor, scan: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    editor.run(flow(scan, tmp_path / "out", box=cube(scan), candidates=2), lambda stage, share: seen.append((stage, share)))
    shares = [share for _, share in seen]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0) and {"sampling", "compositing"} <= {s for s, _ in seen}

    def cancel(stage: str, share: float) -> None:
        if stage == "compositing":
            raise Cancelled

    with pytest.raises(Cancelled):
        editor.run(flow(scan, tmp_path / "cancelled", box=cube(scan)), cancel)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
