"""Whole edits with a small random bundle: what must hold whatever the networks say."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import ball, insert, middle, phantom, request
from scipy import ndimage

from TumorSynthLib.errors import Cancelled, GeometryError, OutputError, RequestError, TumorSynthError
from TumorSynthLib.finishing import GRAINS, NOISE_LEVELS
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.protocol import parse_request
from TumorSynthLib.synthesis import candidate_seeds
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import read_mask, read_volume, write_volume


@pytest.mark.parametrize("kind", ["plain", "thick", "oblique, left-handed"])
@pytest.mark.parametrize("suffix", ["nrrd", "nii.gz"])
def test_an_insertion_keeps_grid_type_and_background_and_has_the_volume_asked_for(
    editor: Editor, tmp_path: Path, kind: str, suffix: str
) -> None:
    path = tmp_path / f"scan.{suffix}"
    write_volume(phantom(kind), path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    folder = editor.run(insert(path, tmp_path / "out", format=suffix))
    source, result = read_volume(path), read_volume(folder / f"image.{suffix}")
    mask = read_mask(folder / "segmentation.seg.nrrd").array
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert result.array.dtype == source.array.dtype
    assert result.geometry.same_grid(source.geometry)
    far = ndimage.distance_transform_edt(~mask, sampling=source.geometry.spacing) > 10.0
    np.testing.assert_array_equal(result.array[far], source.array[far])
    assert (result.array[mask] != source.array[mask]).mean() > 0.5
    voxel = source.geometry.voxel_volume_mm3
    assert abs(mask.sum() * voxel - 3000.0) <= max(60.0, voxel)
    centroid = source.geometry.to_ras(np.argwhere(mask).mean(axis=0))
    assert np.abs(centroid - middle(source)).max() <= source.geometry.spacing.max()


def test_the_result_says_what_was_asked_measured_and_used(editor: Editor, scan: Path, tmp_path: Path) -> None:
    folder = editor.run(insert(scan, tmp_path / "out", texture={"firstorder_Mean": 30.0, "glcm_Imc1": -0.1}, candidates=2))
    told = json.loads((folder / "result.json").read_text())
    assert told["synthetic"] == "SYNTHETIC"
    assert told["source_sha256"] == hashlib.sha256(scan.read_bytes()).hexdigest()
    assert told["inputs"] == {"image": told["source_sha256"]}
    assert told["result_sha256"] == hashlib.sha256((folder / "image.nrrd").read_bytes()).hexdigest()
    assert told["bundle"] == editor.bundle.identity
    assert told["requested"] == {"shape_VoxelVolume": 3000.0, "firstorder_Mean": 30.0, "glcm_Imc1": -0.1}
    assert told["request"]["guidance"] == 1.5
    assert told["device"] == "cpu"
    assert set(told["timings"]) == {"reading", "shape", "texture", "measuring", "writing"}
    assert len(told["measured"]) == 14 + 93
    distances = [candidate["distance"] for candidate in told["candidates"]]
    assert [candidate["kept"] for candidate in told["candidates"]] == [True, False]
    assert all(candidate["noise"] in NOISE_LEVELS and candidate["grain"] in GRAINS for candidate in told["candidates"])
    assert distances == sorted(distances)
    assert any("glcm_Imc1" in warning for warning in told["warnings"])
    assert {path.name for path in folder.iterdir()} == {"image.nrrd", "segmentation.seg.nrrd", "preview.png", "result.json"}


def test_the_asked_mean_is_met_on_the_scans_own_grid(editor: Editor, scan: Path, tmp_path: Path) -> None:
    folder = editor.run(insert(scan, tmp_path / "out", texture={"firstorder_Mean": 20.0}))
    mask = read_mask(folder / "segmentation.seg.nrrd").array
    assert abs(float(read_volume(folder / "image.nrrd").array[mask].mean()) - 20.0) < 1.0


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_tumor(editor: Editor, scan: Path, tmp_path: Path) -> None:
    folders = [editor.run(insert(scan, tmp_path / name, seed=seed)) for name, seed in (("a", 5), ("b", 5), ("c", 6))]
    for name in ("image.nrrd", "segmentation.seg.nrrd"):
        first, same, other = ((folder / name).read_bytes() for folder in folders)
        assert first == same
        assert first != other


def test_a_candidate_does_not_depend_on_how_many_there_are() -> None:
    assert candidate_seeds(3, 4)[:2] == candidate_seeds(3, 2)


def test_a_painted_mask_is_the_tumor_voxel_for_voxel(editor: Editor, scan: Path, tmp_path: Path) -> None:
    mask = ball(read_volume(scan), 9.0)
    write_volume(mask, tmp_path / "mask.nii.gz")
    folder = editor.run(request("insert", scan, tmp_path / "out", mask=str(tmp_path / "mask.nii.gz")))
    np.testing.assert_array_equal(read_mask(folder / "segmentation.seg.nrrd").array, mask.array)


def test_a_mask_on_a_finer_grid_marks_the_same_place(editor: Editor, scan: Path, tmp_path: Path) -> None:
    volume = read_volume(scan)
    affine = volume.geometry.affine.copy()
    affine[:3, :3] *= 0.5
    fine = Volume(
        np.zeros([2 * n - 1 for n in volume.array.shape], np.int16), Geometry([2 * n - 1 for n in volume.array.shape], affine)
    )
    write_volume(ball(fine, 9.0), tmp_path / "mask.nrrd")
    folder = editor.run(request("insert", scan, tmp_path / "out", mask=str(tmp_path / "mask.nrrd")))
    found, wanted = read_mask(folder / "segmentation.seg.nrrd").array, ball(volume, 9.0).array
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.9


def test_a_removal_leaves_an_empty_segmentation_and_a_smooth_filling_without_noise(
    editor: Editor, scan: Path, tmp_path: Path
) -> None:
    source = read_volume(scan)
    mask = ball(source, 10.0)
    bright = source.array.copy()
    bright[mask.array] += 500
    write_volume(Volume(bright, source.geometry), tmp_path / "bright.nrrd")
    write_volume(mask, tmp_path / "mask.nrrd")
    folder = editor.run(
        request("remove", tmp_path / "bright.nrrd", tmp_path / "out", mask=str(tmp_path / "mask.nrrd"), noise=False)
    )
    filled = read_volume(folder / "image.nrrd").array[mask.array].astype(float)
    assert not read_volume(folder / "segmentation.seg.nrrd").array.any()
    told = json.loads((folder / "result.json").read_text())
    assert told["steps"] == 1
    assert abs(filled.mean() - 50.0) < 40.0
    assert filled.std() < 0.6 * source.array[mask.array].std() + 10.0


def test_removal_with_noise_continues_the_noise_of_the_surroundings(editor: Editor, scan: Path, tmp_path: Path) -> None:
    from TumorSynthLib.noise import noise_power_ratio, surroundings

    source = read_volume(scan)
    mask = ball(source, 12.0)
    write_volume(mask, tmp_path / "mask.nrrd")
    folder = editor.run(request("remove", scan, tmp_path / "out", mask=str(tmp_path / "mask.nrrd")))
    values = read_volume(folder / "image.nrrd").array.astype(np.float32)
    around = surroundings(source.array.astype(np.float32), mask.array, source.geometry.spacing)
    assert 0.8 < noise_power_ratio(values, mask.array, around, source.geometry.spacing) < 1.25


def test_a_box_and_a_region_hold_the_whole_tumor(editor: Editor, scan: Path, tmp_path: Path) -> None:
    source = read_volume(scan)
    center = middle(source)
    box = [(center - 12).tolist(), (center + 12).tolist()]
    folder = editor.run(request("insert", scan, tmp_path / "boxed", box=box))
    ras = source.geometry.to_ras(np.argwhere(read_mask(folder / "segmentation.seg.nrrd").array))
    assert (ras >= center - 12).all() and (ras <= center + 12).all()
    region = ball(source, 11.0)
    write_volume(region, tmp_path / "region.nrrd")
    aside = (center + np.array([6.0, 0.0, 0.0])).tolist()
    more = {"region": str(tmp_path / "region.nrrd"), "at": aside, "shape": {"volume_ml": 2.0}}
    folder = editor.run(insert(scan, tmp_path / "inside", **more))
    mask = read_mask(folder / "segmentation.seg.nrrd").array
    assert not (mask & ~region.array).any()
    assert abs(mask.sum() * source.geometry.voxel_volume_mm3 - 2000.0) <= 40.0


def test_texture_like_another_tumor_asks_for_its_measured_features(editor: Editor, scan: Path, tmp_path: Path) -> None:
    source = read_volume(scan)
    mask = ball(source, 10.0)
    values = source.array.copy()
    values[mask.array] = 90
    write_volume(Volume(values, source.geometry), tmp_path / "other.nrrd")
    write_volume(mask, tmp_path / "other_mask.nrrd")
    like = {"image": str(tmp_path / "other.nrrd"), "mask": str(tmp_path / "other_mask.nrrd"), "label": 1}
    folder = editor.run(insert(scan, tmp_path / "out", like=like))
    told = json.loads((folder / "result.json").read_text())
    assert told["requested"]["firstorder_Mean"] == pytest.approx(90.0)


def test_a_shape_alone_is_a_mask_at_one_millimetre(editor: Editor, tmp_path: Path) -> None:
    folder = editor.run(request("shape", None, tmp_path / "out", shape={"volume_ml": 5.0, "sphericity": 0.7}, domain="auto"))
    mask = read_mask(folder / "segmentation.seg.nrrd")
    np.testing.assert_allclose(mask.geometry.spacing, 1.0)
    assert mask.array.sum() == 5000
    assert {path.name for path in folder.iterdir()} == {"segmentation.seg.nrrd", "result.json"}


def test_a_shape_alone_lies_inside_its_box_and_fills_a_third_of_it(editor: Editor, tmp_path: Path) -> None:
    box = [[10.0, -5.0, 0.0], [40.0, 20.0, 22.0]]
    folder = editor.run(request("shape", None, tmp_path / "out", box=box))
    mask = read_mask(folder / "segmentation.seg.nrrd")
    places = mask.geometry.to_ras(np.argwhere(mask.array))
    assert (places.min(axis=0) >= box[0]).all() and (places.max(axis=0) <= box[1]).all()
    assert mask.array.sum() == pytest.approx(0.35 * 30 * 25 * 22, rel=0.02)


def test_a_shape_alone_knows_its_domain(editor: Editor, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no domain"):
        editor.run(request("shape", None, tmp_path / "out", domain="knee-xray"))


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"at": [900.0, 0.0, 0.0]}, GeometryError, "outside the scan"),
        ({"domain": "knee-xray"}, RequestError, "soft-tissue-ct"),
        ({"shape": {"volume_ml": 5000.0}}, RequestError, "does not fit"),
        ({"method": "flow", "core": {"share": 0.3}}, RequestError, "core"),
        ({"rim": 0.5}, RequestError, "rim"),
        ({"image": "/nowhere/scan.nrrd"}, TumorSynthError, "scan.nrrd"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    editor: Editor, scan: Path, tmp_path: Path, more: dict[str, Any], error: type[TumorSynthError], words: str
) -> None:
    with pytest.raises(error) as caught:
        values = insert(scan, tmp_path / "out").to_dict()
        editor.run(parse_request({**{key: value for key, value in values.items() if value is not None}, **more}))
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_result_is_kept_unless_told_otherwise(editor: Editor, scan: Path, tmp_path: Path) -> None:
    folder = editor.run(insert(scan, tmp_path / "out"))
    before = (folder / "image.nrrd").read_bytes()
    with pytest.raises(OutputError):
        editor.run(insert(scan, tmp_path / "out", seed=9))
    assert (folder / "image.nrrd").read_bytes() == before
    editor.run(insert(scan, tmp_path / "out", seed=9, overwrite=True))
    assert (folder / "image.nrrd").read_bytes() != before


def test_cancelling_leaves_nothing(editor: Editor, scan: Path, tmp_path: Path) -> None:
    def cancel(stage: str, share: float) -> None:
        if stage == "sampling" and share > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        editor.run(insert(scan, tmp_path / "out"), cancel)
    assert list(tmp_path.iterdir()) == []


def test_progress_never_goes_back_and_ends_at_one(editor: Editor, scan: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    editor.run(insert(scan, tmp_path / "out"), lambda stage, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_a_tumor_in_the_air_is_reported(editor: Editor, scan: Path, tmp_path: Path) -> None:
    source = read_volume(scan)
    corner = source.geometry.to_ras(np.array([7.0, 7.0, 20.0]))
    folder = editor.run(insert(scan, tmp_path / "out", at=corner.tolist(), shape={"volume_ml": 1.0}))
    assert any("air" in warning for warning in json.loads((folder / "result.json").read_text())["warnings"])


@pytest.fixture
def with_tumor(scan: Path, tmp_path: Path) -> dict[str, Any]:
    """The phantom with a brighter ball of about 3 mL at its middle, and the ball's mask, as request fields."""
    source = read_volume(scan)
    mask = ball(source, 9.0)
    values = source.array.copy()
    values[mask.array] += 60
    (tmp_path / "in").mkdir()
    write_volume(Volume(values, source.geometry), tmp_path / "in" / "scan.nrrd")
    write_volume(mask, tmp_path / "in" / "mask.nrrd")
    return {"image": tmp_path / "in" / "scan.nrrd", "mask": str(tmp_path / "in" / "mask.nrrd")}


def test_editing_texture_keeps_the_mask_and_what_was_not_asked_for(
    editor: Editor, with_tumor: dict[str, Any], tmp_path: Path
) -> None:
    folder = editor.run(request("edit", out=tmp_path / "out", texture={"firstorder_Mean": 70.0}, **with_tumor))
    told = json.loads((folder / "result.json").read_text())
    mask = read_mask(folder / "segmentation.seg.nrrd").array
    np.testing.assert_array_equal(mask, read_mask(with_tumor["mask"]).array)
    assert told["measured"]["firstorder_Mean"] == pytest.approx(70.0, abs=1.0)
    before = read_volume(with_tumor["image"]).array[mask]
    assert told["drawn"]["firstorder_Variance"] == pytest.approx(float(before.astype(float).var()), rel=1e-3)
    assert "firstorder_Mean" not in told["drawn"]


def test_editing_shape_changes_what_was_asked_and_heals_the_rest(
    editor: Editor, with_tumor: dict[str, Any], tmp_path: Path
) -> None:
    folder = editor.run(request("edit", out=tmp_path / "out", shape={"volume_ml": 0.6}, **with_tumor))
    source, result = read_volume(with_tumor["image"]), read_volume(folder / "image.nrrd")
    old, new = read_mask(with_tumor["mask"]).array, read_mask(folder / "segmentation.seg.nrrd").array
    assert new.sum() * source.geometry.voxel_volume_mm3 == pytest.approx(600.0, rel=0.02)
    core = ndimage.binary_erosion(old, iterations=1) & ~ndimage.binary_dilation(new)
    assert core.any()
    assert result.array[core].mean() < source.array[core].mean() - 20
    near = ndimage.distance_transform_edt(~(old | new), sampling=source.geometry.spacing) > 10.0
    np.testing.assert_array_equal(result.array[near], source.array[near])


def test_a_moved_tumor_keeps_its_voxels_and_leaves_healthy_tissue(
    editor: Editor, with_tumor: dict[str, Any], tmp_path: Path
) -> None:
    source = read_volume(with_tumor["image"])
    to = middle(source) + np.array([14.0, 11.0, 6.0])
    folder = editor.run(request("move", out=tmp_path / "out", to=to.tolist(), **with_tumor))
    old, new = read_mask(with_tumor["mask"]).array, read_mask(folder / "segmentation.seg.nrrd").array
    result = read_volume(folder / "image.nrrd").array
    assert new.sum() == old.sum()
    assert np.abs(source.geometry.to_ras(np.argwhere(new).mean(axis=0)) - to).max() < 0.6
    left = old & ~ndimage.binary_dilation(new)
    assert abs(result[left].mean() - 50.0) < 25.0
    assert result[new].mean() > 80.0


def test_a_tumor_cannot_be_moved_out_of_the_scan(editor: Editor, with_tumor: dict[str, Any], tmp_path: Path) -> None:
    source = read_volume(with_tumor["image"])
    edge = source.geometry.to_ras(np.array([1.0, 20.0, 20.0]))
    with pytest.raises(GeometryError, match="outside the scan"):
        editor.run(request("move", out=tmp_path / "out", to=edge.tolist(), **with_tumor))
    assert not (tmp_path / "out").exists()


def test_growing_gives_one_result_per_volume_and_keeps_the_form(
    editor: Editor, with_tumor: dict[str, Any], tmp_path: Path
) -> None:
    shares: list[float] = []
    values = request("grow", out=tmp_path / "out", volumes_ml=[2.0, 4.0, 8.0], **with_tumor)
    folder = editor.run(values, lambda stage, share: shares.append(share))
    told = json.loads((folder / "result.json").read_text())
    assert told["series"] == ["01_2mL", "02_4mL", "03_8mL"]
    masks = [read_mask(folder / name / "segmentation.seg.nrrd") for name in told["series"]]
    volumes = [mask.array.sum() * mask.geometry.voxel_volume_mm3 / 1000.0 for mask in masks]
    assert volumes == pytest.approx([2.0, 4.0, 8.0], rel=0.01)
    for small, large in pairwise(masks):
        assert (small.array & large.array).sum() >= 0.98 * small.array.sum()
    assert all((folder / name / "result.json").exists() for name in told["series"])
    assert shares == sorted(shares)
