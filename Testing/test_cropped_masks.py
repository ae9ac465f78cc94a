"""Files as 3D Slicer's side writes them: small cropped masks on the scan's own grid, and grids of either handedness."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from phantoms import request

from TumorSynthLib.errors import ImageError
from TumorSynthLib.existing import centroid
from TumorSynthLib.live_files import LiveFiles
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.result import read_result
from TumorSynthLib.volume import Box, Geometry
from TumorSynthLib.volume_io import mask_on_grid, read_mask, read_volume


@dataclass(frozen=True)
class Plain:
    """An NRRD file read or written without any library: array (i, j, k) and affine from ijk to RAS mm."""

    array: np.ndarray
    affine: np.ndarray

    def write(self, path: Path) -> str:
        columns = " ".join("(" + ",".join(repr(float(x)) for x in column) + ")" for column in self.affine[:3, :3].T)
        origin = "(" + ",".join(repr(float(x)) for x in self.affine[:3, 3]) + ")"
        kind = {np.dtype(np.int16): "short", np.dtype(np.uint8): "uchar", np.dtype(np.float32): "float"}[self.array.dtype]
        lines = ["NRRD0004", f"type: {kind}", "dimension: 3", "space: right-anterior-superior"]
        lines += [f"sizes: {' '.join(map(str, self.array.shape))}", f"space directions: {columns}", f"space origin: {origin}"]
        lines += ["kinds: domain domain domain", "endian: little", "encoding: raw", "", ""]
        path.write_bytes("\n".join(lines).encode() + self.array.tobytes(order="F"))
        return str(path)

    @classmethod
    def read(cls, path: Path) -> "Plain":
        head, data = path.read_bytes().split(b"\n\n", 1)
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        assert fields["encoding"] == "raw" and fields["endian"] == "little"
        affine = np.eye(4)
        vectors = [*fields["space directions"].split(") ("), fields["space origin"]]
        for column, text in enumerate(vectors):
            affine[:3, column] = [float(x) for x in text.strip("()").split(",")]
        if fields["space"] == "left-posterior-superior":
            affine[:2] *= -1
        kind = {"short": "<i2", "int16": "<i2", "float": "<f4", "uchar": "u1"}[fields["type"]]
        sizes = [int(n) for n in fields["sizes"].split()]
        return cls(np.frombuffer(data, kind).reshape(sizes, order="F"), affine)


def rotation(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    return q * np.sign(np.diag(r)) * np.sign(np.linalg.det(q * np.sign(np.diag(r))))


def affines() -> dict[str, np.ndarray]:
    """Grids of scanners, of either handedness, with spacings and origins that no decimal number gives exactly."""
    rng = np.random.default_rng(8)
    spacing = np.diag([0.9765625 / 1.3, 0.7421, 5.0 / 3.0])
    frames = {
        "straight": np.diag([-1.0, -1.0, 1.0]),
        "left-handed": np.diag([-1.0, -1.0, -1.0]),
        "mirrored in i": np.diag([-1.0, 1.0, 1.0]),
        "sagittal": np.eye(3)[:, [1, 2, 0]],
        "sagittal, left-handed": np.eye(3)[:, [1, 2, 0]] * [-1.0, -1.0, -1.0],
        "oblique": rotation(rng),
        "oblique, left-handed": rotation(rng) @ np.diag([1.0, 1.0, -1.0]),
    }
    found = {}
    for name, frame in frames.items():
        found[name] = np.eye(4)
        found[name][:3, :3] = frame @ spacing
        found[name][:3, 3] = rng.uniform(-400, 400, 3)
    for name in frames:
        assert (np.linalg.det(frames[name]) < 0) == ("left-handed" in name or "mirrored" in name), name
    return found


def cropped(mask: np.ndarray, affine: np.ndarray, box: Box) -> Plain:
    """A part of a mask with its own origin, computed as the Slicer side does."""
    own = affine.copy()
    own[:3, 3] = affine[:3, :3] @ np.array(box.start, float) + affine[:3, 3]
    return Plain(np.ascontiguousarray(mask[box.slices]).astype(np.uint8), own)


@pytest.mark.parametrize("name", affines())
def test_a_cropped_mask_is_taken_voxel_for_voxel(name: str, tmp_path: Path) -> None:
    affine, rng = affines()[name], np.random.default_rng(1)
    shape = (512, 500, 90)
    geometry = Geometry(shape, affine)
    scan = Plain(np.zeros((4, 4, 4), np.int16), affine)
    scan_geometry = read_volume(scan.write(tmp_path / "scan.nrrd")).geometry
    for corner in ("anywhere", "first", "last"):
        size = rng.integers(1, 24, 3)
        free = np.array(shape) - size
        start = {"anywhere": rng.integers(0, free), "first": 0 * free, "last": free}[corner]
        box = Box(tuple(start.tolist()), tuple((start + size).tolist()))
        mask = np.zeros(shape, bool, order="F")
        mask[box.slices] = rng.random(box.shape) < 0.4  # single voxels and holes: nothing may be smoothed
        mask[box.start] = True
        path = cropped(mask, affine, box).write(tmp_path / "mask.nrrd")
        grid = Geometry(shape, scan_geometry.affine)
        np.testing.assert_array_equal(mask_on_grid(read_mask(path), grid), mask)
        boxed = LiveFiles().mask(path, (1,), grid, lambda: None)
        np.testing.assert_array_equal(boxed.volume.array, mask[boxed.box.slices])
        np.testing.assert_allclose(boxed.center, centroid(mask, geometry), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 5, 6), (5, 1, 6), (5, 6, 1), (1, 1, 1)])
@pytest.mark.parametrize("name", ["straight", "sagittal, left-handed", "oblique"])
def test_a_mask_painted_in_a_single_slice_may_be_cropped_to_it(name: str, size: tuple[int, ...], tmp_path: Path) -> None:
    affine = affines()[name]
    grid = Geometry((40, 36, 30), affine)
    box = Box((10, 11, 12), (10 + size[0], 11 + size[1], 12 + size[2]))
    mask = np.zeros(grid.shape, bool)
    mask[box.slices] = True
    path = cropped(mask, affine, box).write(tmp_path / "mask.nrrd")
    np.testing.assert_array_equal(mask_on_grid(read_mask(path), grid), mask)
    with pytest.raises(ImageError, match="several slices"):
        read_volume(path)


@pytest.mark.parametrize("name", affines())
def test_a_scan_comes_back_on_its_own_grid_in_its_own_order(name: str, editor: Editor, tmp_path: Path) -> None:
    affine, rng = affines()[name], np.random.default_rng(2)
    shape = (44, 40, 24)
    scan = Plain(rng.normal(50.0, 8.0, shape).astype(np.int16), affine)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    mask = np.linalg.norm((index - [18, 22, 12]) * spacing, axis=-1) < 6.0
    mask[17:19, 22, 12] = False  # a hole, which has to stay one
    scan.array[mask] += 70
    image = scan.write(tmp_path / "scan.nrrd")
    painted = cropped(mask, affine, Box((8, 11, 7), (30, 33, 17))).write(tmp_path / "mask.nrrd")
    texture = {"firstorder_Mean": 90.0}
    out = editor.run(request("edit", Path(image), tmp_path / "out", mask=painted, texture=texture))
    result, told = Plain.read(out / "image.nrrd"), read_result(out)
    assert result.array.shape == shape and result.array.dtype == np.int16
    np.testing.assert_allclose(result.affine, affine, atol=1e-9)
    np.testing.assert_array_equal(read_mask(out / "segmentation.seg.nrrd").array, mask)
    box = Box(tuple(told["changed"]["start"]), tuple(told["changed"]["stop"]))
    outside = np.ones(shape, bool)
    outside[box.slices] = False
    np.testing.assert_array_equal(result.array[outside], scan.array[outside])
    assert (result.array[mask] != scan.array[mask]).mean() > 0.5
    # Beyond the feather nothing changes: the result is neither shifted nor flipped.
    away = ~mask
    for axis in range(3):
        away &= ~np.roll(mask, 1, axis) & ~np.roll(mask, -1, axis)
    assert (result.array[away] == scan.array[away]).mean() > 0.99
    assert result.array[mask].mean() == pytest.approx(90.0, abs=1.0)


@pytest.mark.parametrize("name", affines())
def test_a_point_in_ras_is_the_voxel_that_it_is_in_slicer(name: str, editor: Editor, tmp_path: Path) -> None:
    affine = affines()[name]
    scan = Plain(np.random.default_rng(2).normal(50.0, 8.0, (44, 40, 24)).astype(np.int16), affine)
    image = scan.write(tmp_path / "scan.nrrd")
    wanted = np.array([28.0, 12.0, 9.0])
    at = (affine[:3, :3] @ wanted + affine[:3, 3]).tolist()
    out = editor.run(request("insert", Path(image), tmp_path / "out", at=at, shape={"volume_ml": 0.5}))
    mask = Plain.read(out / "image.nrrd").array != scan.array
    assert np.abs(np.argwhere(mask).mean(axis=0) - wanted).max() < 1.0
