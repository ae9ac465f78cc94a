"""Live previews: the shape while a slider moves, from the scan's header alone."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from quick_worker import command
from test_volume_io import dicom_series, plain, ramp, rotation

from TumorSynthLib import live_files
from TumorSynthLib.bundle import Bundle
from TumorSynthLib.errors import Cancelled, GeometryError, ImageError, RequestError, TumorSynthError
from TumorSynthLib.existing import moved
from TumorSynthLib.live import MOST_VOXELS, LiveShape, LiveShapes
from TumorSynthLib.mask_code import decode_mask
from TumorSynthLib.placing import shape_model
from TumorSynthLib.protocol import parse_request
from TumorSynthLib.scene import read_scene, read_source
from TumorSynthLib.shape import ShapeGenerator, solve_shape
from TumorSynthLib.shape_measure import fast_shape
from TumorSynthLib.volume import Geometry, Volume, mask_box
from TumorSynthLib.volume_io import read_geometry, read_mask, read_volume, write_volume
from TumorSynthLib.worker_client import WorkerClient

AFFINE = np.eye(4)
AFFINE[:3, :3] = rotation(0.2, 0.0, 0.0) * np.array([-1.2, 0.8, 2.0])
AFFINE[:3, 3] = (70.0, -60.0, 10.0)
GRID = Geometry((90, 120, 50), AFFINE)
CENTER = GRID.to_ras(np.array([40.0, 60.0, 25.0]))


@pytest.fixture(scope="module")
def generator(tiny_bundle: Bundle) -> ShapeGenerator:
    return shape_model(tiny_bundle)


@pytest.fixture
def live(tiny_bundle: Bundle, generator: ShapeGenerator) -> LiveShapes:
    return LiveShapes(tiny_bundle, generator)


def ellipsoid(center: np.ndarray, radii: tuple[float, float, float], grid: Geometry = GRID) -> np.ndarray:
    """An ellipsoid along R, A and S in mm, bool."""
    points = grid.to_ras(np.stack(np.indices(grid.shape), axis=-1))
    return (((points - center) / np.array(radii)) ** 2).sum(axis=-1) < 1.0


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan whose voxels are not there: whoever reads them is refused."""
    path = tmp_path_factory.mktemp("live") / "scan.nrrd"
    write_volume(Volume(np.zeros(GRID.shape, np.int16, order="F"), GRID), path)
    path.write_bytes(path.read_bytes()[: -GRID.shape[0] * GRID.shape[1] * GRID.shape[2]])
    with pytest.raises(ImageError):
        read_volume(path)
    return path


@pytest.fixture(scope="module")
def tumor(scan: Path) -> Path:
    """An ellipsoid of label 1 with a core of label 2."""
    values = ellipsoid(CENTER, (14.0, 11.0, 9.0)).astype(np.uint8)
    values[ellipsoid(CENTER, (6.0, 5.0, 5.0))] = 2
    path = scan.with_name("tumor.nrrd")
    write_volume(Volume(values, GRID), path)
    return path


def request(scan: Path | None, **more: Any) -> Any:
    base = {"schema": 1, "op": "insert", "image": None if scan is None else str(scan), "bundle": "tiny", "preview": True}
    return parse_request({**base, **more})


def volume_ml(shape: LiveShape) -> float:
    return float(shape.mask.array.sum() * shape.mask.geometry.voxel_volume_mm3 / 1000.0)


def center_of(shape: LiveShape) -> np.ndarray:
    return shape.mask.geometry.to_ras(np.argwhere(shape.mask.array)).mean(axis=0)


# The header alone


@pytest.mark.parametrize("name", ["a.nrrd", "a.NII", "a.nii.gz", "a.mha", "a.mhd", "flat.nrrd"])
def test_the_grid_in_a_header_is_that_of_the_volume_and_no_voxel_is_read(tmp_path: Path, name: str) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(0.3, -0.2, 0.9) * np.array([0.7, 1.3, 2.5])
    matrix[:3, 3] = (-80.0, 33.0, 12.0)
    geometry = Geometry((9, 8, 7), matrix)
    values = ramp(geometry).array
    image = sitk.GetImageFromArray(values.transpose(2, 1, 0))
    flip = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(geometry.spacing.tolist())
    image.SetOrigin((flip @ matrix[:3, 3]).tolist())
    image.SetDirection((flip @ matrix[:3, :3] / geometry.spacing).ravel().tolist())
    if name == "flat.nrrd":  # a fourth axis of one voxel
        image = sitk.JoinSeries([image])
    sitk.WriteImage(image, str(tmp_path / name.lower()))
    (tmp_path / name.lower()).rename(tmp_path / name)
    whole = read_volume(tmp_path / name).geometry
    data = tmp_path / ("a.raw" if name == "a.mhd" else name)
    data.write_bytes(data.read_bytes()[: -8 if name.endswith("gz") else -40])
    found = read_geometry(tmp_path / name)
    assert found.shape == whole.shape and np.array_equal(found.affine, whole.affine)
    np.testing.assert_allclose(found.affine, matrix, atol=2e-5)


def test_the_grid_of_a_dicom_folder_is_that_of_the_volume(tmp_path: Path) -> None:
    for name, step in (("up", (0.0, 0.0, 2.5)), ("down", (0.0, 0.0, -1.25))):
        folder = dicom_series(tmp_path / name, 6, step=step)
        found, whole = read_geometry(folder), read_volume(folder).geometry
        assert found.shape == whole.shape and np.array_equal(found.affine, whole.affine)


def test_a_header_that_cannot_be_used_is_refused_as_the_volume_is(tmp_path: Path) -> None:
    write_volume(ramp(plain()), tmp_path / "a.nrrd")
    good = (tmp_path / "a.nrrd").read_bytes()
    cases = {
        "spacing.nrrd": good.replace(b"(-1,0,0)", b"(0,0,0)"),
        "sheared.nrrd": good.replace(b"(-1,0,0)", b"(-1,0.5,0)"),
        "two.nrrd": good.replace(b"sizes: 6 5 4", b"sizes: 6 20 1"),
        "type.png": good,
        "header.nrrd": b"NRRD0004\ntype: short\n\n",
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        codes = []
        for read in (read_geometry, read_volume):
            with pytest.raises(ImageError) as caught:
                read(tmp_path / name)
            codes.append(caught.value.code)
        assert codes[0] == codes[1], name
    with pytest.raises(ImageError, match="does not exist"):
        read_geometry(tmp_path / "nowhere.nrrd")


# New tumors


@pytest.mark.parametrize("domain", ["lung-ct", "auto"])
def test_a_small_tumor_has_the_voxels_of_the_solver_on_the_whole_grid(
    live: LiveShapes, generator: ShapeGenerator, scan: Path, domain: str
) -> None:
    shape = live.shape(request(scan, at=CENTER.tolist(), shape={"volume_ml": 4.0, "sphericity": 0.7}, domain=domain, seed=5))
    organ = "lung" if domain == "lung-ct" else "any"
    asked = {"shape_VoxelVolume": 4000.0, "shape_Sphericity": 0.7}
    expected = solve_shape(generator, asked, GRID, CENTER, organ, 5, preview=True)
    assert shape.measured == pytest.approx(expected.measured) and shape.warnings == expected.warnings
    found = GRID.to_ijk(shape.mask.geometry.to_ras(np.argwhere(shape.mask.array)))
    np.testing.assert_allclose(found, np.argwhere(expected.mask), atol=1e-6)
    assert (domain == "auto") == np.array_equal(
        expected.mask, solve_shape(generator, asked, GRID, CENTER, "unheard of", 5, preview=True).mask
    )


def test_a_large_tumor_has_its_volume_and_place_on_a_coarser_grid(live: LiveShapes, tmp_path: Path) -> None:
    grid = Geometry((400, 380, 90), np.diag([0.5, 0.5, 2.0, 1.0]))
    write_volume(Volume(np.zeros(grid.shape, np.uint8, order="F"), grid), tmp_path / "fine.nrrd", compress=True)
    center = np.array([99.0, 95.0, 90.0])
    for volume in (20.0, 150.0):
        shape = live.shape(request(tmp_path / "fine.nrrd", at=center.tolist(), shape={"volume_ml": volume}))
        voxel = shape.mask.geometry.voxel_volume_mm3
        assert shape.mask.array.sum() < 1.4 * MOST_VOXELS
        assert volume_ml(shape) == pytest.approx(volume, abs=voxel / 1000.0)
        assert np.linalg.norm(center_of(shape) - center) < 0.5 * shape.mask.geometry.spacing.max()
        steps = shape.mask.geometry.spacing / grid.spacing
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
        corners = grid.to_ijk(shape.mask.geometry.to_ras(np.zeros(3)))
        np.testing.assert_allclose((corners - (steps - 1) / 2) % steps, 0.0, atol=1e-6)
        box = mask_box(shape.mask.array)
        assert box.shape == shape.mask.array.shape, "the grid ends where the tumor ends"


def test_a_tumor_stays_inside_its_region_and_its_box(live: LiveShapes, scan: Path) -> None:
    organ = ellipsoid(CENTER, (20.0, 12.0, 30.0))
    path = scan.with_name("organ.nrrd")
    write_volume(Volume(organ.astype(np.uint8), GRID), path)
    shape = live.shape(request(scan, at=CENTER.tolist(), shape={"volume_ml": 9.0}, region=str(path)))
    ijk = np.rint(GRID.to_ijk(shape.mask.geometry.to_ras(np.argwhere(shape.mask.array)))).astype(int)
    assert organ[tuple(ijk.T)].all() and volume_ml(shape) == pytest.approx(9.0, abs=0.003)
    reach = np.array([8.0, 20.0, 14.0])
    low, high = CENTER - reach, CENTER + reach
    boxed = live.shape(request(scan, box=[low.tolist(), high.tolist()]))
    ras = boxed.mask.geometry.to_ras(np.argwhere(boxed.mask.array))
    assert (ras >= low).all() and (ras <= high).all()
    assert volume_ml(boxed) == pytest.approx(0.35 * 16 * 40 * 28 / 1000.0, rel=0.01)
    both = live.shape(request(scan, box=[low.tolist(), high.tolist()], region=str(path), shape={"volume_ml": 2.0}))
    ras = both.mask.geometry.to_ras(np.argwhere(both.mask.array))
    ijk = np.rint(GRID.to_ijk(ras)).astype(int)
    assert organ[tuple(ijk.T)].all() and (ras >= low).all() and (ras <= high).all()
    with pytest.raises(RequestError) as caught:
        live.shape(request(scan, at=CENTER.tolist(), shape={"volume_ml": 60.0}, region=str(path)))
    assert caught.value.code == "shape.too_large"


def test_what_cannot_be_is_refused(live: LiveShapes, scan: Path, tumor: Path) -> None:
    outside = (GRID.to_ras(np.array([200.0, 0.0, 0.0]))).tolist()
    cases = {
        "shape.center": request(scan, at=outside, shape={"volume_ml": 4.0}),
        "shape.too_large": request(scan, at=CENTER.tolist(), shape={"volume_ml": 5000.0}),
        "request.domain": request(scan, at=CENTER.tolist(), domain="liver-ct"),
        "image.missing": request(scan.with_name("nowhere.nrrd"), at=CENTER.tolist()),
        "mask.label": request(scan, op="move", mask=str(tumor), label=7, to=CENTER.tolist()),
        "geometry.move": request(scan, op="move", mask=str(tumor), to=GRID.to_ras(np.array([3.0, 60.0, 25.0])).tolist()),
    }
    for code, asked in cases.items():
        with pytest.raises(TumorSynthError) as caught:
            live.shape(asked)
        assert caught.value.code == code and caught.value.hint


def test_a_shape_needs_no_scan_and_lies_at_the_origin_or_its_point(live: LiveShapes) -> None:
    for at in (None, [12.3, -45.6, 78.9]):
        for volume in (3.0, 300.0):
            shape = live.shape(request(None, op="shape", at=at, shape={"volume_ml": volume, "elongation": 0.8}))
            assert volume_ml(shape) == pytest.approx(volume, abs=shape.mask.geometry.voxel_volume_mm3 / 1000.0)
            assert np.linalg.norm(center_of(shape) - (at or [0.0, 0.0, 0.0])) < 0.5 * shape.mask.geometry.spacing.max()
            assert shape.measured["shape_Elongation"] == pytest.approx(0.8, abs=0.05)


# Tumors that are there


def test_a_painted_tumor_is_shown_as_it_is_and_measured_as_pyradiomics_does(live: LiveShapes, scan: Path, tumor: Path) -> None:
    painted = read_volume(tumor).array
    for asked, mask in (
        (request(scan, mask=str(tumor)), painted == 1),
        (request(scan, op="edit", mask=str(tumor), texture={"firstorder_Mean": 50.0}, core={"label": 2}), painted > 0),
    ):
        shape = live.shape(asked)
        box = mask_box(mask)
        np.testing.assert_array_equal(shape.mask.array, mask[box.slices])
        np.testing.assert_allclose(shape.mask.geometry.affine, GRID.cropped(box).affine)
        assert shape.measured == pytest.approx(fast_shape(mask[box.slices], GRID.cropped(box)), rel=1e-6)


def test_a_tumor_that_is_reshaped_keeps_what_was_not_asked_for(live: LiveShapes, scan: Path, tumor: Path) -> None:
    asked = {"op": "edit", "mask": str(tumor), "core": {"label": 2}}
    before = live.shape(request(scan, **asked))
    rounder = live.shape(request(scan, **asked, shape={"flatness": 0.9, "elongation": 0.95}))
    larger = live.shape(request(scan, **asked, shape={"volume_ml": 9.0}))
    assert volume_ml(rounder) == pytest.approx(volume_ml(before), abs=0.003)
    assert rounder.measured["shape_Flatness"] == pytest.approx(0.9, abs=0.05)
    assert volume_ml(larger) == pytest.approx(9.0, abs=0.003)
    for name in ("shape_Elongation", "shape_Flatness"):
        assert larger.measured[name] == pytest.approx(before.measured[name], abs=0.05)
    for shape in (rounder, larger):
        assert np.linalg.norm(center_of(shape) - center_of(before)) < 1.0


def test_a_moved_tumor_is_the_same_at_its_new_place_and_within_a_voxel_of_the_edit(
    live: LiveShapes, tiny_bundle: Bundle, scan: Path, tumor: Path, tmp_path: Path
) -> None:
    to = CENTER + np.array([-9.4, 17.3, -6.6])
    shape = live.shape(request(scan, op="move", mask=str(tumor), core={"label": 2}, to=to.tolist()))
    before = live.shape(request(scan, op="edit", mask=str(tumor), core={"label": 2}))
    np.testing.assert_allclose(center_of(shape), to, atol=1e-6)
    np.testing.assert_array_equal(shape.mask.array, before.mask.array)
    assert shape.measured == before.measured
    full = tmp_path / "full.nrrd"
    write_volume(Volume(np.zeros(GRID.shape, np.int16), GRID), full)
    told = {"schema": 1, "op": "move", "image": str(full), "mask": str(tumor), "to": to.tolist(), "domain": "lung-ct"}
    scene = read_scene(parse_request({**told, "core": {"label": 2}}), tiny_bundle, read_source(str(full)))
    assert scene.painted is not None
    expected = moved(scene.painted, scene, to)
    ijk = np.rint(GRID.to_ijk(shape.mask.geometry.to_ras(np.argwhere(shape.mask.array)))).astype(int)
    found = np.zeros(GRID.shape, bool)
    found[tuple(ijk.T)] = True
    overlap = 2.0 * (found & expected).sum() / (found.sum() + expected.sum())
    assert overlap > 0.9
    organ = tmp_path / "organ.nrrd"
    write_volume(Volume(ellipsoid(CENTER, (15.0, 12.0, 10.0)).astype(np.uint8), GRID), organ)
    live.shape(request(scan, op="move", mask=str(tumor), to=CENTER.tolist(), region=str(organ)))
    with pytest.raises(GeometryError):
        live.shape(request(scan, op="move", mask=str(tumor), to=to.tolist(), region=str(organ)))


def test_a_mask_is_read_again_only_when_it_has_changed(live: LiveShapes, scan: Path, tumor: Path, tmp_path: Path) -> None:
    mask = tmp_path / "mask.nrrd"
    mask.write_bytes(tumor.read_bytes())
    asked = request(scan, op="edit", mask=str(mask))
    first = live.shape(asked)
    assert live.shape(asked).mask is first.mask
    state = mask.stat()
    write_volume(Volume(ellipsoid(CENTER, (5.0, 5.0, 5.0)).astype(np.uint8), GRID), mask)
    os.utime(mask, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert volume_ml(live.shape(asked)) < 0.5 * volume_ml(first)
    mask.unlink()
    with pytest.raises(ImageError):
        live.shape(asked)


def test_reading_a_mask_can_be_cancelled(live: LiveShapes, scan: Path, tumor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = request(scan, op="edit", mask=str(tumor)), threading.Event()

    def read_slowly(*values: Any) -> Volume:
        assert go_on.wait(60.0)
        return read_mask(*values)

    def leave() -> None:
        go_on.set()
        raise Cancelled

    monkeypatch.setattr(live_files, "read_mask", read_slowly)
    with pytest.raises(Cancelled):
        live.shape(asked, leave)
    assert live.shape(asked).mask.array.any()


# Through the worker


@pytest.fixture(scope="module")
def client(quick_workers: Path, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerClient]:
    environment = {**os.environ, "TUMORSYNTH_MODELS": str(tiny_bundle.path.parent)}
    home = tmp_path_factory.mktemp("elsewhere")
    arguments = ["--bundle", "tiny", "--device", "cpu"]
    with WorkerClient(command(quick_workers, home), arguments=arguments, environment=environment) as client:
        client.wait_ready(600.0)
        yield client
    assert not any(home.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="forks")
def test_the_worker_answers_a_preview_with_mask_and_features_and_writes_nothing(
    client: WorkerClient, live: LiveShapes, scan: Path
) -> None:
    files = sorted(scan.parent.iterdir())
    asked = request(scan, at=CENTER.tolist(), shape={"volume_ml": 4.0}, seed=3)
    told, expected = client.preview(asked), live.shape(asked)
    mask = decode_mask(told)
    np.testing.assert_array_equal(mask.array, expected.mask.array)
    np.testing.assert_array_equal(mask.geometry.affine, expected.mask.geometry.affine)
    assert told["measured"] == pytest.approx(expected.measured) and told["warnings"] == expected.warnings
    assert sorted(scan.parent.iterdir()) == files
    for wrong in ({"out": "somewhere"}, {"domain": "liver-ct"}, {"bundle": "unknown"}, {"at": [9e3, 0.0, 0.0]}):
        with pytest.raises(TumorSynthError):
            client.preview({**asked.to_dict(), **wrong})


@pytest.mark.skipif(os.name == "nt", reason="forks")
def test_a_moving_slider_ends_at_its_last_position_and_nothing_queues_up(client: WorkerClient, scan: Path) -> None:
    for number in range(60):
        asked = request(scan, at=CENTER.tolist(), shape={"volume_ml": 1.0 + 0.1 * number}, id=f"move-{number}")
        client.send(asked)
    ends: dict[str, str] = {}
    for one in client.events(60.0):
        if one["event"] in ("done", "cancelled", "failed"):
            ends[one["id"]] = one["event"]
            if len(ends) == 60:
                break
    assert ends["move-59"] == "done" and set(ends.values()) == {"done", "cancelled"}
    assert "cancelled" in ends.values(), "sixty moves come faster than sixty outlines"
