"""The methods beside the bridge in whole requests: every operation, what is refused, previews, series, the worker."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle as tiny
import torch
from phantoms import ball, insert, middle, request, with_exemplars
from quick_worker import command
from scipy import ndimage

from TumorSynthLib import methods
from TumorSynthLib.batch import run_batch
from TumorSynthLib.batch_runners import InProcess
from TumorSynthLib.bundle import Bundle, load_bundle, write_bundle
from TumorSynthLib.configs import BridgeConfig, to_dict
from TumorSynthLib.errors import Cancelled, RequestError
from TumorSynthLib.live import LiveShapes
from TumorSynthLib.mask_code import decode_mask
from TumorSynthLib.nets.unet import BridgeUNet
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.placing import shape_model
from TumorSynthLib.possible import check_possible
from TumorSynthLib.protocol import METHODS, parse_request
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import read_mask, read_volume, write_volume
from TumorSynthLib.worker_client import WorkerClient


def cube(scan: Path, half: float = 10.0, offset: tuple[float, ...] = (0.0, 0.0, 0.0)) -> list[list[float]]:
    """A box around the middle of a scan, or beside it, RAS mm."""
    place = middle(read_volume(scan)) + np.array(offset)
    return [(place - half).tolist(), (place + half).tolist()]


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


@pytest.fixture
def with_tumor(scan: Path, tmp_path: Path) -> dict[str, Any]:
    """The phantom with a brighter ball at its middle, and the ball's mask, as request fields."""
    source = read_volume(scan)
    mask = ball(source, 9.0)
    values = source.array.copy()
    values[mask.array] += 60
    (tmp_path / "in").mkdir()
    write_volume(Volume(values, source.geometry), tmp_path / "in" / "scan.nrrd")
    write_volume(mask, tmp_path / "in" / "mask.nrrd")
    return {"image": tmp_path / "in" / "scan.nrrd", "mask": str(tmp_path / "in" / "mask.nrrd")}


@pytest.fixture(scope="module")
def bridge_only(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Bundle:
    """A bundle as earlier versions made them, with the bridge alone."""
    config = replace(tiny.BRIDGE, methods=("bridge",), shape_tokens=(), shape_quantiles=())
    old = {key: value for key, value in to_dict(config).items() if key in OLD_FIELDS}
    networks = {name: entry for name, entry in tiny_bundle.configs.items() if name != "refiner"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = {name: tiny_bundle.weights(name) for name in networks} | {"bridge": BridgeUNet(config).state_dict()}
    info = {key: value for key, value in tiny_bundle.info.items() if key not in ("schema", "files")}
    folder = tmp_path_factory.mktemp("old") / "old"
    return load_bundle(write_bundle(folder, {**info, "id": "old", "networks": {**networks, "bridge": old}}, weights, "# Old\n"))


OLD_FIELDS = (
    "latent_channels",
    "channels",
    "blocks",
    "attention",
    "heads",
    "token_width",
    "tokens",
    "domains",
    "objective",
    "steps",
    "variance",
)
"""Fields of the network's config before there were other methods."""


def test_every_method_says_what_it_is_and_when_to_prefer_it() -> None:
    assert tuple(method.name for method in methods.ALL) == METHODS == ("bridge", "diffusion", "flow")
    for method in methods.ALL:
        assert method.source in methods.told() and method.prefer in methods.told() and method.prefer.startswith("Prefer it")


def test_a_config_without_methods_is_that_of_a_bridge(bridge_only: Bundle) -> None:
    assert BridgeConfig().methods == ("bridge",) and not BridgeConfig().joint
    assert bridge_only.methods == ("bridge",) and "methods" not in bridge_only.configs["bridge"]


@pytest.mark.parametrize("method", ["diffusion", "flow"])
def test_a_bundle_of_the_bridge_alone_edits_and_refuses_other_methods_by_name(
    bridge_only: Bundle, scan: Path, tmp_path: Path, method: str
) -> None:
    editor = Editor(bridge_only, "cpu")
    with pytest.raises(RequestError, match=f"has no method '{method}'") as caught:
        editor.run(insert(scan, tmp_path / "out", method=method, bundle="old"))
    assert caught.value.code == "request.method" and caught.value.hint == "Available: bridge."
    assert list(tmp_path.iterdir()) == []
    assert (editor.run(insert(scan, tmp_path / "out", bundle="old")) / "image.nrrd").exists()


FLOW = {"schema": 1, "op": "insert", "image": "scan.nrrd", "out": "o", "method": "flow"}
BOX = {"box": [[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]}
PLACED = {"at": [0.0, 0.0, 0.0], "shape": {"volume_ml": 1.0}}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"at": [0.0, 0.0, 0.0]}, "request.method"),
        ({"at": [0.0, 0.0, 0.0], "shape": {"sphericity": 0.7}}, "request.method"),
        ({"mask": "m.nrrd"}, "request.method"),
        ({"op": "edit", "mask": "m.nrrd"}, "request.method"),
        ({"op": "move", "mask": "m.nrrd", "to": [1.0, 1.0, 1.0]}, "request.method"),
        ({"op": "grow", "mask": "m.nrrd", "volumes_ml": [1.0]}, "request.method"),
        ({"op": "shape"}, "request.method"),
        ({**BOX, "mass_effect": 0.5}, "request.mass_effect"),
        ({**BOX, "rim": 0.5}, "request.rim"),
        ({**BOX, "core": {"share": 0.3}}, "request.core"),
        ({"op": "lesions", "lesions": [BOX, {"at": [0.0, 0.0, 0.0]}]}, "request.method"),
        ({"op": "lesions", "lesions": [{**BOX, "method": "bridge"}, {**BOX, "rim": 0.1}]}, "request.rim"),
    ],
)
def test_what_flow_cannot_do_is_refused_before_anything_is_read(more: dict[str, Any], code: str, tiny_bundle: Bundle) -> None:
    asked = parse_request({**FLOW, **more})
    for bundle in (None, tiny_bundle):
        with pytest.raises(RequestError) as caught:
            check_possible(asked, bundle)
        assert caught.value.code == code and caught.value.hint


@pytest.mark.parametrize(
    "more",
    [
        BOX,
        PLACED,
        {"at": [0.0, 0.0, 0.0], "shape": {"shape_VoxelVolume": 900.0}},
        {"op": "remove", "mask": "m.nrrd"},
        {"op": "lesions", "lesions": [BOX, {"op": "remove", "mask": "m.nrrd"}, {**PLACED, "method": "diffusion"}]},
        {"op": "lesions", "method": "bridge", "lesions": [{**BOX, "method": "flow"}]},
    ],
)
def test_what_flow_can_do_is_not(more: dict[str, Any], tiny_bundle: Bundle) -> None:
    check_possible(parse_request({**FLOW, **more}), tiny_bundle)


@pytest.mark.parametrize("name", ["deffusion", "FLOW"])
def test_an_unknown_method_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request({**FLOW, **BOX, "method": name})
    assert "flow" in str(caught.value) and "bridge" in str(caught.value)


def test_diffusion_inserts_with_the_asked_volume_and_leaves_the_rest_alone(editor: Editor, scan: Path, tmp_path: Path) -> None:
    by_bridge, by_diffusion, again = (
        editor.run(insert(scan, tmp_path / name, method=method, steps=4, texture={"firstorder_Mean": 40.0}))
        for name, method in (("a", "bridge"), ("b", "diffusion"), ("c", "diffusion"))
    )
    source, result = read_volume(scan), read_volume(by_diffusion / "image.nrrd").array
    mask = read_mask(by_diffusion / "segmentation.seg.nrrd").array
    np.testing.assert_array_equal(mask, read_mask(by_bridge / "segmentation.seg.nrrd").array)
    assert (result[mask] != read_volume(by_bridge / "image.nrrd").array[mask]).mean() > 0.2
    assert (by_diffusion / "image.nrrd").read_bytes() == (again / "image.nrrd").read_bytes()
    far = ndimage.distance_transform_edt(~mask, sampling=source.geometry.spacing) > 10.0
    np.testing.assert_array_equal(result[far], source.array[far])
    assert told(by_diffusion)["request"]["method"] == "diffusion" and told(by_diffusion)["steps"] == 4
    assert result[mask].mean() == pytest.approx(40.0, abs=1.0)


@pytest.mark.parametrize(
    "asked",
    [
        {"op": "edit", "texture": {"firstorder_Mean": 70.0}},
        {"op": "edit", "shape": {"volume_ml": 1.5}},
        {"op": "move", "to_offset": [14.0, 11.0, 6.0]},
        {"op": "grow", "volumes_ml": [2.0, 4.0]},
        {"op": "insert", "core": {"share": 0.3}},
    ],
    ids=lambda asked: "-".join(asked),
)
def test_diffusion_does_what_the_bridge_does(
    editor: Editor, with_tumor: dict[str, Any], tmp_path: Path, asked: dict[str, Any]
) -> None:
    asked = dict(asked)
    if "to_offset" in asked:
        asked["to"] = (middle(read_volume(with_tumor["image"])) + np.array(asked.pop("to_offset"))).tolist()
    folders = [
        editor.run(request(out=tmp_path / method, method=method, **asked, **with_tumor)) for method in ("bridge", "diffusion")
    ]
    parts = told(folders[0]).get("series", ["."])
    for part in parts:
        one, other = (folder / part for folder in folders)
        np.testing.assert_array_equal(
            read_volume(one / "segmentation.seg.nrrd").array, read_volume(other / "segmentation.seg.nrrd").array
        )
        assert not np.array_equal(read_volume(one / "image.nrrd").array, read_volume(other / "image.nrrd").array)
        assert told(other)["steps"] == 2 and told(other)["request"]["method"] == "diffusion"


@pytest.mark.parametrize("method", ["diffusion", "flow"])
def test_removal_is_the_bridges_whatever_is_asked_and_says_so(
    editor: Editor, with_tumor: dict[str, Any], tmp_path: Path, method: str
) -> None:
    plain, other = (
        editor.run(request("remove", out=tmp_path / name, method=name, **with_tumor)) for name in ("bridge", method)
    )
    assert (plain / "image.nrrd").read_bytes() == (other / "image.nrrd").read_bytes()
    assert f"Removal is done by the bridge, not by '{method}'." in told(other)["warnings"]
    assert not any("bridge" in text for text in told(plain)["warnings"])


def test_lesions_may_follow_different_methods(editor: Editor, scan: Path, tmp_path: Path) -> None:
    offsets = ((-20.0, 0.0, 0.0), (0.0, 14.0, 0.0), (20.0, 0.0, 0.0))
    boxes = [cube(scan, 8.0, offset) for offset in offsets]
    entries = [
        {"box": boxes[0], "method": "flow"},
        {"box": boxes[1], "method": "flow", "shape": {"volume_ml": 0.6}, "name": "sized"},
        {"box": boxes[2], "method": "diffusion", "steps": 3},
    ]
    folder = editor.run(request("lesions", scan, tmp_path / "out", seed=3, lesions=entries))
    first = editor.run(request("insert", scan, tmp_path / "one", seed=3, **entries[0]))
    lesions, file = told(folder)["lesions"], folder / "segmentation.seg.nrrd"
    assert [lesion["request"]["method"] for lesion in lesions] == ["flow", "flow", "diffusion"]
    assert [lesion["steps"] for lesion in lesions] == [2, 2, 3]
    np.testing.assert_array_equal(read_mask(file, 1).array, read_mask(first / "segmentation.seg.nrrd").array)
    for label, (low, high) in enumerate(boxes, start=1):
        mask = read_mask(file, label)
        ras = mask.geometry.to_ras(np.argwhere(mask.array))
        assert (ras >= np.array(low) - 1e-4).all() and (ras <= np.array(high) + 1e-4).all()
    assert read_mask(file, 2).array.sum() == round(600.0 / read_volume(scan).geometry.voxel_volume_mm3)


def test_lines_of_a_batch_may_follow_different_methods(editor: Editor, scan: Path, tmp_path: Path) -> None:
    base = {"schema": 1, "op": "insert", "image": str(scan), "bundle": "tiny", "domain": "soft-tissue-ct", "steps": 2}
    lines = [{**base, "box": cube(scan), "method": method, "out": method} for method in METHODS]
    lines.append({**base, "method": "flow", "at": middle(read_volume(scan)).tolist(), "out": "refused"})
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = run_batch(path, tmp_path / "out", runner=InProcess(lambda name, device: editor))
    assert summary.done == 3 and [failure["line"] for failure in summary.failures] == [4]
    assert [told(tmp_path / "out" / method)["request"]["method"] for method in METHODS] == list(METHODS)
    assert not (tmp_path / "out" / "refused").exists()


@pytest.fixture
def live(tiny_bundle: Bundle) -> LiveShapes:
    return LiveShapes(tiny_bundle, shape_model(tiny_bundle))


def preview(scan: Path, **more: Any) -> Any:
    return parse_request({"schema": 1, "op": "insert", "image": str(scan), "method": "flow", "preview": True, **more})


def test_a_preview_of_flow_is_the_box(live: LiveShapes, scan: Path) -> None:
    low, high = np.array(box := cube(scan))
    found = live.shape(preview(scan, box=box)).mask
    source = read_volume(scan)
    points = source.geometry.to_ras(np.stack(np.indices(source.array.shape), axis=-1))
    wanted = ((points >= low) & (points <= high)).all(axis=-1)
    assert found.array.sum() == wanted.sum()
    np.testing.assert_allclose(
        np.sort(found.geometry.to_ras(np.argwhere(found.array)), axis=0), np.sort(points[wanted], axis=0), atol=1e-4
    )
    place = middle(source)
    around = live.shape(preview(scan, at=place.tolist(), shape={"volume_ml": 2.0})).mask
    ras = around.geometry.to_ras(np.argwhere(around.array))
    edge = 1.4 * 2.0 * np.cbrt(2000.0 / (4.0 / 3.0 * np.pi))
    assert (np.ptp(ras, axis=0) <= edge).all() and (np.ptp(ras, axis=0) > edge - 2.0 * source.geometry.spacing).all()


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_a_preview_of_a_large_thin_box_does_not_miss_it(live: LiveShapes, tmp_path: Path, thin: int) -> None:
    shape = (200, 200, 200)
    write_volume(Volume(np.zeros(shape, np.int16), Geometry(shape, np.eye(4))), tmp_path / "scan.nrrd")
    low, high = np.full(3, 5.0), np.full(3, 195.0)
    low[thin], high[thin] = 50.8, 52.0
    found = live.shape(preview(tmp_path / "scan.nrrd", box=[low.tolist(), high.tolist()])).mask
    ras = found.geometry.to_ras(np.argwhere(found.array))
    assert set(ras[:, thin].round(3)) <= {51.0, 52.0} and np.ptp(ras, axis=0).max() > 180.0


@pytest.mark.skipif(os.name == "nt", reason="forks")
def test_the_worker_makes_a_tumor_by_flow_shows_its_mask_and_can_be_cancelled(
    quick_workers: Path, tiny_bundle: Bundle, scan: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "TUMORSYNTH_MODELS": str(tiny_bundle.path.parent)}
    asked = {"schema": 1, "op": "insert", "image": str(scan), "bundle": "tiny", "domain": "soft-tissue-ct", "device": "cpu"}
    asked |= {"box": cube(scan), "method": "flow", "steps": 2}
    (tmp_path / "home").mkdir()
    events: list[dict[str, Any]] = []
    with WorkerClient(
        command(quick_workers, tmp_path / "home"), arguments=["--bundle", "tiny", "--device", "cpu"], environment=environment
    ) as client:
        client.wait_ready(600.0)
        folder = client.run({**asked, "out": str(tmp_path / "out")}, events.append)

        def leave(one: dict[str, Any]) -> None:
            if one["event"] == "progress" and one["stage"] == "sampling":
                raise Cancelled

        with pytest.raises(Cancelled):
            client.run({**asked, "steps": 1000, "out": str(tmp_path / "cancelled")}, leave)
        box = client.preview(preview(scan, bundle="tiny", box=asked["box"]))
    assert not (tmp_path / "cancelled").exists() and told(folder)["request"]["method"] == "flow"
    shown = [decode_mask(one) for one in events if one["event"] == "preview"]
    written = read_mask(folder / "segmentation.seg.nrrd")
    assert len(shown) == 1 and shown[0].array.sum() == written.array.sum()
    fractions = [one["fraction"] for one in events if one["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert decode_mask(box).array.sum() >= written.array.sum()


def test_a_tumor_by_flow_of_which_no_texture_is_asked_looks_like_a_real_one(
    tiny_bundle: Bundle, scan: Path, tmp_path: Path
) -> None:
    exemplars = {"soft-tissue-ct": [(20.0, 3000.0), (95.0, 90_000.0)]}
    editor = Editor(with_exemplars(tiny_bundle, exemplars), "cpu")
    folder = editor.run(
        request("insert", scan, tmp_path / "out", box=cube(scan, 11.0), shape={"volume_ml": 3.0}, method="flow")
    )
    assert told(folder)["drawn"]["firstorder_Mean"] == 20.0, "the tumor that is as large as the one asked for"
    mask = read_mask(folder / "segmentation.seg.nrrd").array > 0
    assert read_volume(folder / "image.nrrd").array[mask].mean() == pytest.approx(20.0, abs=3.0)
    free = editor.run(request("insert", scan, tmp_path / "free", box=cube(scan, 33.0), method="flow"))
    assert told(free)["drawn"]["firstorder_Mean"] == 95.0, "the tumor that fills the box as tumors do"
