"""Several edits of one scan in one request: they follow one another and end in one result."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import ball, insert, middle, request
from scipy import ndimage

from TumorSynthLib.errors import GeometryError, RequestError
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.protocol import lesion_requests, parse_request
from TumorSynthLib.volume_io import read_mask, read_volume, write_volume


def beside(scan: Path, *offset: float) -> list[float]:
    """A point beside the middle of a scan, RAS mm."""
    return [float(x) for x in middle(read_volume(scan)) + np.array(offset)]


def test_lesions_are_what_single_edits_one_after_the_other_give(editor: Editor, scan: Path, tmp_path: Path) -> None:
    first = {"at": beside(scan, -18, 0, 0), "shape": {"volume_ml": 2.0}, "texture": {"firstorder_Mean": 90.0}}
    second = {"at": beside(scan, 16, 4, 0), "shape": {"volume_ml": 1.0}}
    together = editor.run(request("lesions", scan, tmp_path / "both", seed=3, lesions=[first, {**second, "name": "small"}]))
    one = editor.run(request("insert", scan, tmp_path / "one", seed=3, **first))
    two = editor.run(request("insert", one / "image.nrrd", tmp_path / "two", seed=4, **second))
    np.testing.assert_array_equal(read_volume(together / "image.nrrd").array, read_volume(two / "image.nrrd").array)
    file = together / "segmentation.seg.nrrd"
    np.testing.assert_array_equal(read_mask(file, 1).array, read_mask(one / "segmentation.seg.nrrd").array)
    np.testing.assert_array_equal(read_mask(file, 2).array, read_mask(two / "segmentation.seg.nrrd").array)
    told = json.loads((together / "result.json").read_text())
    assert [lesion["name"] for lesion in told["lesions"]] == ["Lesion 1", "small"]
    for lesion, single in zip(told["lesions"], (one, two), strict=True):
        assert lesion["measured"] == json.loads((single / "result.json").read_text())["measured"]
    assert {path.name for path in together.glob("*.png")} == {"preview.png", "preview-02.png"}


def test_far_voxels_are_untouched_and_the_whole_request_is_told(editor: Editor, scan: Path, tmp_path: Path) -> None:
    entries = [{"at": beside(scan, x, 0, 0), "shape": {"volume_ml": 1.0}} for x in (-18, 16)]
    asked = request("lesions", scan, tmp_path / "out", lesions=entries)
    folder = editor.run(asked)
    source, result = read_volume(scan), read_volume(folder / "image.nrrd")
    masks = read_volume(folder / "segmentation.seg.nrrd").array > 0
    far = ndimage.distance_transform_edt(~masks, sampling=source.geometry.spacing) > 10.0
    np.testing.assert_array_equal(result.array[far], source.array[far])
    told = json.loads((folder / "result.json").read_text())
    assert parse_request(told["request"]) == asked


def test_a_removal_takes_the_voxels_of_an_earlier_lesion_and_a_later_tumor_those_it_covers(
    editor: Editor, scan: Path, tmp_path: Path
) -> None:
    source = read_volume(scan)
    write_volume(ball(source, 8.0, (10.0, 0.0, 0.0)), tmp_path / "right.nrrd")
    entries = [
        {"name": "first", "at": beside(scan, 4, 0, 0), "shape": {"volume_ml": 4.0}},
        {"op": "remove", "mask": str(tmp_path / "right.nrrd")},
        {"name": "last", "at": beside(scan, -4, 0, 0), "shape": {"volume_ml": 1.0}},
    ]
    folder = editor.run(request("lesions", scan, tmp_path / "out", lesions=entries))
    file = folder / "segmentation.seg.nrrd"
    first, last = read_mask(file, 1).array, read_mask(file, 2).array
    assert first.any() and not (first & ball(source, 8.0, (10.0, 0.0, 0.0)).array).any()
    assert last.sum() * source.geometry.voxel_volume_mm3 == pytest.approx(1000.0, rel=0.02)
    warnings = json.loads((folder / "result.json").read_text())["warnings"]
    assert any("last lies partly on first" in text for text in warnings)


def test_two_lesions_asked_for_alike_do_not_come_out_alike(editor: Editor, scan: Path, tmp_path: Path) -> None:
    entries = [{"at": beside(scan, x, 0, 0), "shape": {"volume_ml": 1.0, "sphericity": 0.6}} for x in (-18, 18)]
    folder = editor.run(request("lesions", scan, tmp_path / "out", lesions=entries))
    masks = [read_mask(folder / "segmentation.seg.nrrd", label).array for label in (1, 2)]
    forms = [np.argwhere(mask) - np.argwhere(mask).min(axis=0) for mask in masks]
    assert {tuple(p) for p in forms[0].tolist()} != {tuple(p) for p in forms[1].tolist()}


def test_a_lesion_that_fails_leaves_nothing_of_the_others(editor: Editor, scan: Path, tmp_path: Path) -> None:
    entries = [{"at": beside(scan, 0, 0, 0), "shape": {"volume_ml": 1.0}}, {"at": [900.0, 0.0, 0.0]}]
    with pytest.raises(GeometryError, match="outside the scan"):
        editor.run(request("lesions", scan, tmp_path / "out", lesions=entries))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"at": [0, 0]}, "request.type"),
        ({"op": "grow", "mask": "m.nrrd", "volumes_ml": [1]}, "request.op"),
        ({"at": [0, 0, 0], "image": "x.nrrd"}, "request.forbidden"),
        ({"at": [0, 0, 0], "out": "x"}, "request.forbidden"),
        ({"at": [0, 0, 0], "name": 3}, "request.type"),
        ({"at": [0, 0, 0], "nmae": "x"}, "request.unknown_field"),
        ({}, "request.place"),
    ],
)
def test_a_wrong_lesion_is_refused_by_its_number(entry: dict[str, Any], code: str) -> None:
    good = {"at": [0.0, 0.0, 0.0]}
    values = {"schema": 1, "op": "lesions", "image": "a.nrrd", "out": "o", "lesions": [good, entry]}
    with pytest.raises(RequestError, match="Lesion 2") as caught:
        parse_request(values)
    assert caught.value.code == code


def test_lesions_inherit_what_they_do_not_say() -> None:
    values = {"schema": 1, "op": "lesions", "image": "a.nrrd", "seed": 7, "steps": 5, "region": "liver.nrrd", "out": "o"}
    entries = [{"at": [0, 0, 0]}, {"op": "remove", "mask": "m.nrrd", "steps": 3}, {"at": [1, 1, 1], "seed": 90}]
    asked = parse_request({**values, "lesions": entries})
    found = lesion_requests(asked)
    assert [one.seed for one in found] == [7, 8, 90]
    assert [one.steps for one in found] == [5, 3, 5]
    assert [one.region for one in found] == ["liver.nrrd", None, "liver.nrrd"]
    assert parse_request(asked.to_dict()) == asked
    with pytest.raises(RequestError, match="lesions"):
        parse_request({**values, "lesions": []})
    with pytest.raises(RequestError, match="at most 200"):
        parse_request({**values, "lesions": [{"at": [0, 0, 0]}] * 201})


def test_single_edits_still_take_no_lesions(scan: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="takes no field 'lesions'"):
        insert(scan, tmp_path / "out", lesions=[{"at": [0, 0, 0]}])
