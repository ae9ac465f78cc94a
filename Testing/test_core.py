"""Tumors of two parts: where the core lies, that each part gets its own texture, and that edits carry it along."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import ball, insert, middle, request
from scipy import ndimage

from TumorSynthLib.core_shape import SHARE, carried_core, new_core
from TumorSynthLib.errors import RequestError
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.scaling import fit_scale
from TumorSynthLib.typical import complete_core
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import read_mask, read_volume, write_volume


@pytest.fixture
def tumor(scan: Path, tmp_path: Path) -> dict[str, Any]:
    """The phantom with a bright ball that has a dark core beside its middle, and the label map, as request fields."""
    source = read_volume(scan)
    whole, core = ball(source, 11.0).array, ball(source, 6.5, (2.0, 0.0, 0.0)).array
    values = source.array.copy()
    values[whole] += 60
    values[core] -= 80
    (tmp_path / "in").mkdir()
    write_volume(Volume(values, source.geometry), tmp_path / "in" / "scan.nrrd")
    labels = whole.astype(np.uint8) + core.astype(np.uint8)
    write_volume(Volume(labels, source.geometry), tmp_path / "in" / "mask.nrrd")
    return {"image": tmp_path / "in" / "scan.nrrd", "mask": str(tmp_path / "in" / "mask.nrrd"), "label": 1}


def parts(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Rest and core of a result, and what it tells."""
    file = folder / "segmentation.seg.nrrd"
    return read_mask(file, 1).array, read_mask(file, 2).array, json.loads((folder / "result.json").read_text())


def test_each_part_gets_its_own_texture_and_the_whole_the_volume_asked_for(editor: Editor, scan: Path, tmp_path: Path) -> None:
    core = {"share": 0.25, "texture": {"firstorder_Mean": 5.0}}
    shape = {"volume_ml": 9.0}
    folder = editor.run(insert(scan, tmp_path / "out", shape=shape, texture={"firstorder_Mean": 90.0}, core=core))
    rest, inner, told = parts(folder)
    image = read_volume(folder / "image.nrrd")
    voxel = image.geometry.voxel_volume_mm3
    assert (rest | inner).sum() * voxel == pytest.approx(9000.0, rel=0.02)
    assert inner.sum() / (rest | inner).sum() == pytest.approx(0.25, abs=0.01)
    assert not (ndimage.binary_dilation(inner) & ~(rest | inner)).any(), "the rest lies all around the core"
    assert image.array[inner].mean() == pytest.approx(5.0, abs=2.0)
    assert image.array[rest].mean() == pytest.approx(90.0, abs=4.0)
    for name, mask in (("rest", rest), ("core", inner)):
        measured = told["subregions"][name]["measured"]["firstorder_Mean"]
        assert measured == pytest.approx(float(image.array[mask].mean()), abs=1e-3)
    assert told["subregions"]["core"]["requested"] == {"firstorder_Mean": 5.0}
    assert told["requested"] == {"shape_VoxelVolume": 9000.0}
    assert told["measured"]["shape_VoxelVolume"] == pytest.approx((rest | inner).sum() * voxel)


def test_a_painted_core_is_kept_voxel_for_voxel(editor: Editor, tumor: dict[str, Any], tmp_path: Path) -> None:
    folder = editor.run(request("insert", out=tmp_path / "out", core={"label": 2}, **tumor))
    rest, inner, _ = parts(folder)
    labels = read_volume(tumor["mask"]).array
    np.testing.assert_array_equal(rest, labels == 1)
    np.testing.assert_array_equal(inner, labels == 2)


def test_editing_the_core_alone_leaves_the_rest_as_it_is(editor: Editor, tumor: dict[str, Any], tmp_path: Path) -> None:
    core = {"label": 2, "texture": {"firstorder_Mean": 150.0}}
    folder = editor.run(request("edit", out=tmp_path / "out", core=core, **tumor))
    rest, inner, told = parts(folder)
    before, after = read_volume(tumor["image"]).array, read_volume(folder / "image.nrrd").array
    away = ~ndimage.binary_dilation(inner, iterations=3)
    np.testing.assert_array_equal(after[away], before[away])
    assert after[inner].mean() == pytest.approx(150.0, abs=1.0)
    assert told["subregions"]["rest"]["kept"] and not told["subregions"]["core"]["kept"]
    assert told["subregions"]["rest"]["measured"]["firstorder_Mean"] == pytest.approx(float(after[rest].mean()), abs=1e-3)


def test_editing_the_rest_alone_leaves_the_core_as_it_is(editor: Editor, tumor: dict[str, Any], tmp_path: Path) -> None:
    texture = {"firstorder_Mean": 10.0}
    folder = editor.run(request("edit", out=tmp_path / "out", core={"label": 2}, texture=texture, **tumor))
    rest, inner, told = parts(folder)
    before, after = read_volume(tumor["image"]).array, read_volume(folder / "image.nrrd").array
    deep = ndimage.binary_erosion(inner, iterations=2)
    assert deep.any()
    np.testing.assert_array_equal(after[deep], before[deep])
    assert after[rest].mean() == pytest.approx(10.0, abs=2.0)
    assert told["subregions"]["core"]["kept"]


def test_a_moved_tumor_takes_its_core_along(editor: Editor, tumor: dict[str, Any], tmp_path: Path) -> None:
    source = read_volume(tumor["image"])
    step = np.array([9.0, -6.0, 4.0])
    to = (middle(source) + step).tolist()
    rest, inner, _ = parts(editor.run(request("move", out=tmp_path / "out", to=to, core={"label": 2}, **tumor)))
    labels = read_volume(tumor["mask"]).array
    assert inner.sum() == pytest.approx((labels == 2).sum(), abs=1)
    was, now = (source.geometry.to_ras(np.argwhere(mask).mean(axis=0)) for mask in (labels == 2, inner))
    assert np.linalg.norm(now - was - step) < 1.0
    assert (rest | inner).sum() == (labels > 0).sum()


def test_growing_keeps_the_share_of_the_core(editor: Editor, tumor: dict[str, Any], tmp_path: Path) -> None:
    folder = editor.run(request("grow", out=tmp_path / "out", volumes_ml=[3.0, 8.0], core={"label": 2}, **tumor))
    labels = read_volume(tumor["mask"]).array
    share = (labels == 2).sum() / (labels > 0).sum()
    for name in ("01_3mL", "02_8mL"):
        rest, inner, told = parts(folder / name)
        assert inner.sum() / (rest | inner).sum() == pytest.approx(share, abs=0.01)
        means = [told["subregions"][part]["measured"]["firstorder_Mean"] for part in ("core", "rest")]
        assert means[0] < means[1] - 30.0


def test_removal_takes_both_parts(editor: Editor, tumor: dict[str, Any], tmp_path: Path) -> None:
    folder = editor.run(request("remove", out=tmp_path / "out", core={"label": 2}, noise=False, **tumor))
    labels = read_volume(tumor["mask"]).array
    after = read_volume(folder / "image.nrrd").array
    assert np.abs(after[labels > 0].astype(float) - 50.0).max() < 40.0
    assert read_volume(folder / "segmentation.seg.nrrd").array.max() == 0


def test_a_shape_alone_may_have_a_core(editor: Editor, tmp_path: Path) -> None:
    folder = editor.run(request("shape", None, tmp_path / "out", shape={"volume_ml": 10.0}, core={"share": 0.4}))
    rest, inner, _ = parts(folder)
    assert inner.sum() / (rest | inner).sum() == pytest.approx(0.4, abs=0.01)


def test_a_core_that_does_not_fit_is_refused(editor: Editor, scan: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not fit"):
        editor.run(insert(scan, tmp_path / "out", core={"shape": {"volume_ml": 5.0}}))
    assert not (tmp_path / "out").exists()


def ellipsoid(center: tuple[float, float, float], axes: tuple[float, float, float], grid: Geometry) -> np.ndarray:
    """An ellipsoid along the grid's axes, mm."""
    points = np.stack(np.indices(grid.shape), axis=-1) * grid.spacing
    return (((points - np.array(center)) / np.array(axes)) ** 2).sum(axis=-1) <= 1.0


def test_a_carried_core_is_the_affine_image_of_the_old_one() -> None:
    grid = Geometry((80, 70, 40), np.diag([1.0, 1.0, 2.0, 1.0]))
    old, core = ellipsoid((30, 35, 40), (20, 14, 10), grid), ellipsoid((38, 35, 40), (6, 5, 4), grid)
    new = ellipsoid((45, 35, 40), (30, 10, 12), grid)
    carried = carried_core(old, core, new, grid)
    expected = ellipsoid((45 + 8 * 1.5, 35, 40), (6 * 1.5, 5 * 10 / 14, 4 * 1.2), grid)
    assert 2 * (carried & expected).sum() / (carried.sum() + expected.sum()) > 0.85
    assert carried.sum() / new.sum() == pytest.approx(core.sum() / old.sum(), rel=0.02)
    assert not (carried & ~new).any()


def test_a_new_core_lies_along_the_tumors_axes_and_has_the_default_share(editor: Editor) -> None:
    grid = Geometry((70, 50, 40), np.eye(4))
    whole = ellipsoid((35, 25, 20), (28, 12, 10), grid)
    core, warnings = new_core(whole, grid, {}, editor.shapes, "soft tissue", 0)
    assert core.sum() / whole.sum() == pytest.approx(SHARE, abs=0.01)
    spread = np.argwhere(core).std(axis=0)
    assert spread[0] > 1.7 * spread[1] and not warnings


def test_a_typical_core_comes_from_the_tumor_whose_rest_fits() -> None:
    def features(mean: float, volume: float) -> dict[str, float]:
        return {"firstorder_Mean": mean, "glcm_Contrast": mean / 10.0, "shape_VoxelVolume": volume}

    pairs = [{"rest": features(m, 1000.0), "core": features(m - 100.0, 300.0)} for m in (0.0, 50.0, 100.0)]
    scales = {"firstorder_Mean": fit_scale(np.linspace(-100.0, 100.0, 50)), "glcm_Contrast": fit_scale(np.linspace(0, 10, 50))}
    rest, core = complete_core({"firstorder_Mean": 52.0}, {}, (1000.0, 300.0), pairs, scales, 3)
    assert "firstorder_Mean" not in rest and rest["glcm_Contrast"] == 5.0
    assert core == {"firstorder_Mean": -50.0, "glcm_Contrast": -5.0}
    assert complete_core({}, {}, (1.0, 1.0), [], scales, 0) == ({}, {})
