"""What every result tells of where the scan was changed: the smallest box, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import ball, middle, phantom, request

from TumorSynthLib.changes import changed_box, told_box
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.result import read_result
from TumorSynthLib.volume import Box, Geometry, Volume
from TumorSynthLib.volume_io import read_volume, write_volume


@pytest.fixture(scope="module", params=["plain", "thick", "oblique, left-handed"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan with a bright ball, and the ball's mask."""
    folder = tmp_path_factory.mktemp("files")
    source = phantom(request.param)
    mask = ball(source, 8.0)
    source.array[mask.array] += 60
    write_volume(source, folder / "scan.nrrd")
    write_volume(mask, folder / "mask.nrrd")
    return folder


def difference(files: Path, image: Path) -> dict[str, list[int]]:
    """The smallest box around all voxels that differ, by comparing all of them."""
    where = np.argwhere(read_volume(files / "scan.nrrd").array != read_volume(image).array)
    return {"start": where.min(axis=0).tolist(), "stop": (where.max(axis=0) + 1).tolist()}


def beside(files: Path, *offset: float) -> list[float]:
    return (middle(read_volume(files / "scan.nrrd")) + np.array(offset)).tolist()


def run(editor: Editor, files: Path, out: Path, op: str, **more: Any) -> dict[str, Any]:
    folder = editor.run(request(op, files / "scan.nrrd", out, **more))
    assert folder == out
    return read_result(folder)


@pytest.mark.parametrize(
    ("op", "more"),
    [
        ("insert", {"at": (12, 4, 2), "shape": {"volume_ml": 1.0}}),
        ("insert", {"at": (12, 4, 2), "shape": {"volume_ml": 1.0}, "mass_effect": 1.0}),
        ("edit", {"texture": {"firstorder_Mean": 70.0}}),
        ("edit", {"shape": {"volume_ml": 0.6}, "mass_effect": 0.5}),
        ("remove", {"mass_effect": 0.5}),
        ("remove", {"noise": False}),
        ("move", {"to": (14, 8, 4)}),
    ],
)
def test_outside_of_the_box_nothing_changed_and_the_box_is_the_smallest(
    editor: Editor, files: Path, tmp_path: Path, op: str, more: dict[str, Any]
) -> None:
    places = {name: beside(files, *more[name]) for name in ("at", "to") if name in more}
    mask = {} if op == "insert" else {"mask": str(files / "mask.nrrd")}
    told = run(editor, files, tmp_path / "out", op, **{**mask, **more, **places})
    assert told["changed"] == difference(files, tmp_path / "out" / "image.nrrd")
    extent = np.subtract(told["changed"]["stop"], told["changed"]["start"])
    assert np.prod(extent) < 0.5 * read_volume(files / "scan.nrrd").array.size


def test_time_points_tell_their_own_boxes_and_the_series_that_of_all(editor: Editor, files: Path, tmp_path: Path) -> None:
    told = run(editor, files, tmp_path / "out", "grow", mask=str(files / "mask.nrrd"), volumes_ml=[1.0, 4.0])
    boxes = [difference(files, tmp_path / "out" / name / "image.nrrd") for name in told["series"]]
    assert [read_result(tmp_path / "out" / name)["changed"] for name in told["series"]] == boxes
    low, high = (np.array([box[end] for box in boxes]) for end in ("start", "stop"))
    assert told["changed"] == {"start": low.min(axis=0).tolist(), "stop": high.max(axis=0).tolist()}


def test_several_lesions_tell_the_box_that_holds_all_of_them(editor: Editor, files: Path, tmp_path: Path) -> None:
    entries = [
        {"at": beside(files, -14, 0, 0), "shape": {"volume_ml": 1.0}},
        {"op": "remove", "mask": str(files / "mask.nrrd")},
    ]
    told = run(editor, files, tmp_path / "out", "lesions", lesions=entries)
    assert told["changed"] == difference(files, tmp_path / "out" / "image.nrrd")
    single = run(editor, files, tmp_path / "one", "insert", **entries[0])
    assert told["lesions"][0]["changed"] == single["changed"] != told["changed"]


def test_a_shape_alone_changes_no_image(editor: Editor, files: Path, tmp_path: Path) -> None:
    assert run(editor, files, tmp_path / "out", "shape", shape={"volume_ml": 1.0}, at=beside(files, 0, 0, 0))["changed"] is None


def test_only_the_neighborhood_of_the_masks_is_compared_and_bits_count() -> None:
    grid = Geometry((60, 50, 40), np.diag([1.0, 2.0, 5.0, 1.0]))
    before = Volume(np.zeros(grid.shape, np.float32, order="F"), grid)
    after = Volume(before.array.copy(order="K"), grid)
    mask = np.zeros(grid.shape, bool)
    mask[30:34, 20:24, 10:12] = True
    assert changed_box(before, after, [mask]) is None
    assert told_box(None) == {"start": [0, 0, 0], "stop": [0, 0, 0]}
    after.array[29, 20, 10] = -0.0
    after.array[33, 25, 13] = 1.0
    assert changed_box(before, after, [mask]) == Box((29, 20, 10), (34, 26, 14))
    after.array[30 - 11, 20 - 6, 10 - 3] = 1.0  # 10 mm away, and as many voxels as that can be
    assert changed_box(before, after, [mask]) == Box((19, 14, 7), (34, 26, 14))
