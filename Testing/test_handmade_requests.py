"""Requests for hand-made tumors and for tumors of another domain: what is refused, and what whole edits do."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from phantoms import ball, middle, phantom, request, with_exemplars
from scipy import ndimage
from test_protocol import EDIT, GROW, INSERT, MOVE, SHAPE, refused
from typer.testing import CliRunner

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.cli import app
from TumorSynthLib.configs import DOMAINS, WorkConfig
from TumorSynthLib.domains import tumor_domain
from TumorSynthLib.edit import TextureEdit, work_task
from TumorSynthLib.errors import Cancelled, RequestError
from TumorSynthLib.handmade_shape import PROPORTIONS, SIZES
from TumorSynthLib.live import LiveShapes
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.protocol import lesion_requests, parse_request
from TumorSynthLib.scene import read_scene, read_source
from TumorSynthLib.targets import choose_target
from TumorSynthLib.texture import Sampling, TextureModel
from TumorSynthLib.volume_io import read_mask, read_volume, write_volume

NOWHERE = {key: value for key, value in INSERT.items() if key != "at"}
BY_ID = {domain.id: domain for domain in DOMAINS}


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An organ beside the middle of the phantom."""
    path = tmp_path_factory.mktemp("region") / "organ.nrrd"
    write_volume(ball(phantom(), 25.0, (-4.0, 3.0, 2.0)), path)
    return path


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


# Fields


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({**NOWHERE, "handmade": "tiny"}, "request.place", "expected 'at', 'region' or both"),
        ({**NOWHERE, "handmade": "tiny", "mask": "m"}, "request.place", "found 'mask'"),
        ({**INSERT, "handmade": "tiny", "box": [[0, 0, 0], [9, 9, 9]]}, "request.place", "found 'box'"),
        ({**SHAPE, "handmade": "tiny", "box": [[0, 0, 0], [9, 9, 9]]}, "request.place", "found 'box'"),
        ({**NOWHERE, "region": "organ.nrrd"}, "request.place", "expected one"),
        ({**INSERT, "handmade": "huge"}, "request.handmade", "huge"),
        ({**INSERT, "handmade": 3}, "request.type", "handmade"),
        ({**INSERT, "handmade": "tiny", "shape": {"sphericity": 0.8}}, "request.shape", "sphericity"),
        ({**INSERT, "handmade": "tiny", "shape": {"volume_ml": 1, "shape_MeshVolume": 9}}, "request.shape", "MeshVolume"),
        *(({**line, "handmade": "tiny"}, "request.forbidden", "handmade") for line in (EDIT, MOVE, GROW)),
        ({**EDIT, "op": "remove", "handmade": "tiny"}, "request.forbidden", "handmade"),
        ({**EDIT, "op": "remove", "tumor_domain": "abdomen-ct"}, "request.forbidden", "tumor_domain"),
        ({**SHAPE, "tumor_domain": "abdomen-ct"}, "request.forbidden", "tumor_domain"),
        ({**SHAPE, "handmade": "tiny", "region": "organ.nrrd"}, "request.missing", "'region' needs a scan"),
    ],
)
def test_what_contradicts_itself_is_refused(values: dict[str, Any], code: str, words: str) -> None:
    error = refused(values)
    assert error.code == code and words in error.message


@pytest.mark.parametrize(
    "values",
    [
        {**INSERT, "handmade": "large", "region": "organ.nrrd"},
        {**NOWHERE, "handmade": "tiny", "region": "organ.nrrd", "shape": {"shape_VoxelVolume": 300.0}},
        {**SHAPE, "handmade": "medium"},
        {**MOVE, "tumor_domain": "abdomen-ct"},
    ],
)
def test_what_fits_together_is_taken(values: dict[str, Any]) -> None:
    assert parse_request(values).handmade == values.get("handmade")


def test_lesions_inherit_the_tumor_domain_unless_they_are_removals() -> None:
    lesions = [{"handmade": "tiny", "region": "r"}, {"op": "remove", "mask": "m"}]
    line = {"schema": 1, "op": "lesions", "image": "scan.nrrd", "tumor_domain": "abdomen-ct", "lesions": lesions}
    made, removed = lesion_requests(parse_request(line))
    assert (made.tumor_domain, made.handmade, removed.tumor_domain) == ("abdomen-ct", "tiny", None)
    assert refused({**line, "handmade": "tiny"}).code == "request.forbidden"


def test_the_commands_have_the_options(tmp_path: Path) -> None:
    arguments = ["insert", "scan.nii.gz", "--handmade", "tiny", "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 1 and "expected 'at', 'region' or both" in found.stderr
    for command, option in (("insert", "--handmade"), ("shape", "--handmade"), ("grow", "--tumor-domain")):
        assert option in CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output


# Hand-made tumors


@pytest.mark.parametrize("size", ["tiny", "small", "medium"])
def test_a_hand_made_tumor_lies_in_the_region_with_the_size_of_its_class(
    editor: Editor, scan: Path, region: Path, tmp_path: Path, size: str
) -> None:
    folder = editor.run(request("insert", scan, tmp_path / "out", handmade=size, region=str(region), seed=3))
    mask, organ = read_mask(folder / "segmentation.seg.nrrd"), read_mask(region)
    assert mask.array.any() and not (mask.array & ~organ.array).any()
    placed, radius = told(folder)["placed"], SIZES[size].radius_mm[0]
    assert placed["handmade"] == size and placed["cut"] == 0.0
    assert 2 * radius * PROPORTIONS[0] <= placed["diameter_mm"] <= 2 * radius * PROPORTIONS[1]
    volume = mask.array.sum() * mask.geometry.voxel_volume_mm3
    assert placed["diameter_mm"] == pytest.approx(2 * np.cbrt(volume / (4 / 3 * np.pi)), rel=1e-6)
    centroid = mask.geometry.to_ras(np.argwhere(mask.array).mean(axis=0))
    assert np.linalg.norm(centroid - placed["at"]) < 1.5
    changed = read_volume(folder / "image.nrrd").array != read_volume(scan).array
    assert changed[mask.array].mean() > 0.5


def test_the_told_place_gives_the_same_tumor_again_and_another_seed_another(
    editor: Editor, scan: Path, region: Path, tmp_path: Path
) -> None:
    def masks(name: str, **more: Any) -> tuple[np.ndarray, list[float]]:
        folder = editor.run(request("shape", scan, tmp_path / name, handmade="small", **more))
        return read_mask(folder / "segmentation.seg.nrrd").array, told(folder)["placed"]["at"]

    drawn, at = masks("a", region=str(region), seed=8)
    np.testing.assert_array_equal(drawn, masks("b", region=str(region), seed=8)[0])
    np.testing.assert_array_equal(drawn, masks("c", at=at, seed=8)[0])
    other, there = masks("d", region=str(region), seed=9)
    assert there != at and (other != drawn).any()


def test_an_asked_volume_and_a_core_are_kept(editor: Editor, scan: Path, region: Path, tmp_path: Path) -> None:
    more = {"shape": {"volume_ml": 4.0}, "core": {"share": 0.3}}
    folder = editor.run(request("insert", scan, tmp_path / "out", handmade="tiny", region=str(region), **more))
    result = told(folder)
    assert result["measured"]["shape_VoxelVolume"] == pytest.approx(4000.0, rel=0.002)
    assert set(result["subregions"]) == {"rest", "core"} and result["requested"]["shape_VoxelVolume"] == 4000.0


def test_what_does_not_fit_is_one_clear_error_and_leaves_nothing(
    editor: Editor, scan: Path, region: Path, tmp_path: Path
) -> None:
    write_volume(ball(phantom(), 6.0), tmp_path / "small.nrrd")
    for more in (
        {"region": str(tmp_path / "small.nrrd")},
        {"at": middle(phantom()).tolist(), "region": str(tmp_path / "small.nrrd")},
    ):
        with pytest.raises(RequestError) as caught:
            editor.run(request("insert", scan, tmp_path / "out", handmade="medium", **more))
        assert caught.value.code == "handmade.no_room" and "medium tumor of" in caught.value.message and caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_large_tumor_is_cut_by_the_region_with_a_warning(editor: Editor, scan: Path, region: Path, tmp_path: Path) -> None:
    folder = editor.run(request("shape", scan, tmp_path / "out", handmade="large", region=str(region), seed=1))
    mask, result = read_mask(folder / "segmentation.seg.nrrd").array, told(folder)
    assert not (mask & ~read_mask(region).array).any()
    assert any(f"{result['placed']['cut']:.0%} of the large tumor" in warning for warning in result["warnings"])


def test_the_search_for_a_place_can_be_cancelled(editor: Editor, scan: Path, region: Path, tmp_path: Path) -> None:
    asked = request("insert", scan, tmp_path / "out", handmade="large", region=str(region))
    scene = read_scene(asked, editor.bundle, read_source(str(scan)))

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        choose_target(asked, scene, editor.shapes, stop)


def test_drawn_places_of_several_lesions_are_clear_of_each_other(
    editor: Editor, scan: Path, region: Path, tmp_path: Path
) -> None:
    lesions = [{"handmade": "small", "region": str(region), "domain": "soft-tissue-ct", "steps": 1} for _ in range(3)]
    folder = editor.run(request("lesions", scan, tmp_path / "out", lesions=lesions))
    result = told(folder)
    assert not any("lies partly on" in warning for warning in result["warnings"])
    assert len({tuple(one["placed"]["at"]) for one in result["lesions"]}) == 3


def test_a_shape_without_a_scan_has_the_class(editor: Editor, tmp_path: Path) -> None:
    folder = editor.run(request("shape", None, tmp_path / "out", handmade="large", at=[5.0, 6.0, 7.0], domain="auto"))
    mask = read_mask(folder / "segmentation.seg.nrrd")
    assert ndimage.label(mask.array, structure=np.ones((3, 3, 3)))[1] == 1
    centroid = mask.geometry.to_ras(np.argwhere(mask.array).mean(axis=0))
    assert np.linalg.norm(centroid - [5.0, 6.0, 7.0]) < 2.0
    assert 2 * 24.0 * PROPORTIONS[0] <= told(folder)["placed"]["diameter_mm"] <= 2 * 64.0 * PROPORTIONS[1]


def test_the_live_outline_is_that_of_the_edit(
    tiny_bundle: Bundle, editor: Editor, scan: Path, region: Path, tmp_path: Path
) -> None:
    live = LiveShapes(tiny_bundle, editor.shapes)
    for number, more in enumerate(({"region": str(region)}, {"at": middle(phantom()).tolist()})):
        asked = {"handmade": "small", "seed": 4, **more}
        folder = editor.run(request("shape", scan, tmp_path / str(number), **asked))
        mask, preview = read_mask(folder / "segmentation.seg.nrrd"), request("shape", scan, tmp_path, **asked)
        shape = live.shape(replace(preview, preview=True, out=None))
        outline = shape.mask.geometry.to_ras(np.argwhere(shape.mask.array))
        np.testing.assert_allclose(outline, mask.geometry.to_ras(np.argwhere(mask.array)), atol=1e-3)
        assert shape.measured["shape_VoxelVolume"] == pytest.approx(told(folder)["measured"]["shape_VoxelVolume"], rel=1e-6)
    alone = live.shape(parse_request({**SHAPE, "handmade": "tiny", "preview": True}))
    assert alone.measured["shape_VoxelVolume"] == pytest.approx(12_000.0, rel=0.001)


# Tumors of another domain


def test_a_tumor_of_another_domain_looks_like_those_and_is_told(tiny_bundle: Bundle, scan: Path, tmp_path: Path) -> None:
    editor = Editor(with_exemplars(tiny_bundle, {"soft-tissue-ct": [(20.0, 3000.0)], "abdomen-ct": [(95.0, 3000.0)]}), "cpu")
    place = {"at": middle(phantom()).tolist(), "shape": {"volume_ml": 3.0}}
    own, other = (
        editor.run(request("insert", scan, tmp_path / name, **place, **more))
        for name, more in (("own", {}), ("other", {"tumor_domain": "abdomen-ct"}))
    )
    mask = read_mask(other / "segmentation.seg.nrrd").array
    np.testing.assert_array_equal(mask, read_mask(own / "segmentation.seg.nrrd").array)
    assert told(own)["drawn"]["firstorder_Mean"] == 20.0 and told(other)["drawn"]["firstorder_Mean"] == 95.0
    assert read_volume(own / "image.nrrd").array[mask].mean() == pytest.approx(20.0, abs=3.0)
    assert read_volume(other / "image.nrrd").array[mask].mean() == pytest.approx(95.0, abs=3.0)
    assert told(other)["tumor_domain"] == "abdomen-ct" and "tumor_domain" not in told(own)
    assert told(other)["request"]["tumor_domain"] == "abdomen-ct"


def trained_like(bundle: Bundle) -> TextureModel:
    """The bundle's networks with something in all the weights that training starts at zero."""
    model, generator = TextureModel(bundle, "cpu"), torch.Generator().manual_seed(0)
    for parameter in model.network.parameters():
        if not parameter.any():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def test_the_networks_see_the_tumors_domain_and_healing_the_scans(
    tiny_bundle: Bundle, editor: Editor, scan: Path, tmp_path: Path
) -> None:
    place = {"at": middle(phantom()).tolist(), "shape": {"volume_ml": 3.0}}
    asked = request("insert", scan, tmp_path, **place, tumor_domain="abdomen-ct")
    scene = read_scene(asked, tiny_bundle, read_source(str(scan)))
    assert (scene.domain.id, scene.appearance.id) == ("soft-tissue-ct", "abdomen-ct")
    target = choose_target(asked, scene, editor.shapes, lambda: None)
    task = work_task(scene, TextureEdit(target.mask, {}), WorkConfig())[0]
    healing = work_task(scene, TextureEdit(target.mask, None), WorkConfig())[0]
    assert (task.domain.id, healing.domain.id) == ("abdomen-ct", "soft-tissue-ct")
    np.testing.assert_array_equal(task.v, healing.v)
    # The statistics of this bundle's domains are the same, so only the embedding differs.
    model = trained_like(tiny_bundle)
    ids = ("soft-tissue-ct", "abdomen-ct", task.domain.id)
    own, other, again = (model.synthesize(replace(task, domain=BY_ID[name]), Sampling(2)) for name in ids)
    assert np.abs(own - other)[0][task.mask].max() > 0.001
    np.testing.assert_array_equal(other, again)


def test_another_domain_must_mean_the_same_by_its_values(editor: Editor, scan: Path, tmp_path: Path) -> None:
    place = {"at": middle(phantom()).tolist(), "shape": {"volume_ml": 3.0}}
    for name, words in (("lung-ct", "cannot be made"), ("brain-t1", "cannot be made"), ("liver-ct", "no domain 'liver-ct'")):
        with pytest.raises(RequestError, match=words) as caught:
            editor.run(request("insert", scan, tmp_path / "out", **place, tumor_domain=name))
        assert caught.value.code == "request.tumor_domain"
        assert caught.value.hint == "Possible are: soft-tissue-ct, abdomen-ct."
    assert tumor_domain("breast-dce", BY_ID["brain-flair"], DOMAINS) is BY_ID["breast-dce"]
    assert tumor_domain("soft-tissue-pet", BY_ID["head-neck-pet"], DOMAINS).id == "soft-tissue-pet"


def test_other_edits_of_a_tumor_take_its_domain_as_well(editor: Editor, scan: Path, tmp_path: Path) -> None:
    write_volume(ball(phantom(), 8.0), tmp_path / "mask.nrrd")
    more = {"mask": str(tmp_path / "mask.nrrd"), "tumor_domain": "abdomen-ct"}
    folder = editor.run(request("edit", scan, tmp_path / "out", shape={"volume_ml": 3.0}, **more))
    assert told(folder)["tumor_domain"] == "abdomen-ct"
