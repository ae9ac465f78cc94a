"""Whole commands on files that an unlucky user may have: one line on stderr, nothing left behind, nothing changed."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_files
import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from TumorSynthLib import itk_files
from TumorSynthLib.bundle import MODELS_VARIABLE, Bundle
from TumorSynthLib.cli import app
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import write_volume

SHAPE = (40, 36, 24)
GRID = Geometry(SHAPE, np.diag([1.5, 1.5, 2.0, 1.0]))
AT = "--at 29 26 23"
Folder = dict[str, bytes]


def ball(center: tuple[float, float, float] = (20, 18, 12), radius: float = 5) -> np.ndarray:
    """A ball of voxels."""
    ijk = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return ((ijk - center) ** 2).sum(axis=-1) <= radius**2


def scan(kind: str = "int16") -> np.ndarray:
    """A soft-tissue CT of noise."""
    return np.random.default_rng(0).normal(50.0, 8.0, SHAPE).astype(kind)


def poked(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(bytes(content))


def make_inputs(folder: Path) -> None:
    """Good and bad scans and masks."""
    mask = ball().astype(np.uint8)
    write_volume(Volume(scan(), GRID), folder / "scan.nrrd")
    write_volume(Volume(mask, GRID), folder / "mask.nrrd")
    write_volume(Volume(mask * 0, GRID), folder / "empty.nrrd")
    write_volume(Volume(mask * 3, GRID), folder / "three.nrrd")
    far = GRID.affine.copy()
    far[:3, 3] = 500.0
    write_volume(Volume(mask, Geometry(SHAPE, far)), folder / "far.nrrd")
    values = scan("float32")
    values[3, 4, 5] = np.nan
    for name, array in {
        "nan": values,
        "flat": np.zeros(SHAPE[:2], np.int16),
        "series": np.zeros((*SHAPE, 2), np.int16),
        "color": np.zeros((*SHAPE, 3), np.uint8),
    }.items():
        image = sitk.GetImageFromArray(np.ascontiguousarray(array.T), isVector=name == "color")
        sitk.WriteImage(image, str(folder / f"{name}.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray(scan().T), str(folder / "zero.nii"))
    poked(folder / "zero.nii", 80, bytes(4))
    write_volume(Volume(scan()[:5], Geometry((5, *SHAPE[1:]), np.eye(4))), folder / "small.nrrd")
    (folder / "cut.nrrd").write_bytes((folder / "scan.nrrd").read_bytes()[:-1000])
    (folder / "text.nrrd").write_text("This is not an image.\n")
    (folder / "folder").mkdir()
    (folder / "file").write_text("A note of the user.\n")
    fuzz_files.good_file(folder, "zlib.mha")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files, none of which a command may change."""
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


def contents(folder: Path) -> Folder:
    """Everything in a folder and the folders in it."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


Call = Callable[[str], Any]


@pytest.fixture
def call(inputs: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Call:
    """Calls a command that must fail, and checks what holds for each; returns what it said."""
    monkeypatch.setenv(MODELS_VARIABLE, str(tiny_bundle.path.parent))
    monkeypatch.chdir(inputs)

    def invoke(words: str) -> str:
        before, place = contents(inputs), contents(tmp_path)
        outcome = CliRunner().invoke(app, words.replace("OUT", str(tmp_path)).split())
        assert outcome.exit_code in (1, 2), (outcome.exit_code, outcome.output, outcome.exception)
        assert outcome.stderr.startswith("error: ") and outcome.stderr.count("\n") == 1 and outcome.stdout == ""
        assert contents(inputs) == before and contents(tmp_path) == place
        assert capfd.readouterr() == ("", ""), "a library has written to the terminal"
        return outcome.stderr

    return invoke


TINY = "--bundle tiny --device cpu --domain soft-tissue-ct --out OUT/made/result"
SAMPLED = f"{TINY} --steps 1"
MASKED = ("edit", "remove", "move --to 29 26 23", "grow --volumes-ml 1")
BAD_SCANS = {
    "zero.nii": "voxel size",
    "flat.nrrd": "3D",
    "series.nrrd": "3D",
    "color.nrrd": "one real number",
    "nan.nrrd": "NaN",
    "small.nrrd": "along each axis",
    "cut.nrrd": "truncated",
    "text.nrrd": "does not start with NRRD",
    "folder": "no DICOM series",
    "file": "type",
    "nowhere.nrrd": "does not exist",
    "zlib.mha": "along each axis",
}


@pytest.mark.parametrize("name", BAD_SCANS)
def test_a_bad_scan_is_refused_by_every_operation(call: Call, name: str) -> None:
    op = MASKED[list(BAD_SCANS).index(name) % len(MASKED)]
    assert BAD_SCANS[name] in call(f"insert {name} {AT} {SAMPLED}")
    assert BAD_SCANS[name] in call(f"{op} --mask mask.nrrd {name} {SAMPLED}")


BAD_MASKS = {
    "far.nrrd": "outside the image",
    "empty.nrrd": "no voxel set",
    "three.nrrd": "found 3",
    "folder": "no DICOM series",
    "file": "type",
    "nowhere.nrrd": "does not exist",
    "cut.nrrd": "truncated",
    "flat.nrrd": "3D",
    "color.nrrd": "one real number",
    "text.nrrd": "does not start with NRRD",
}


@pytest.mark.parametrize("name", BAD_MASKS)
def test_a_bad_mask_is_refused_wherever_it_is_given(call: Call, name: str) -> None:
    number = list(BAD_MASKS).index(name)
    elsewhere = (
        f"insert scan.nrrd --mask {name} {SAMPLED}",
        f"insert scan.nrrd {AT} --region {name} {SAMPLED}",
        f"insert scan.nrrd {AT} --like-image scan.nrrd --like-mask {name} {SAMPLED}",
        f"features scan.nrrd {name} --domain soft-tissue-ct --bundle tiny",
    )
    edited = f"{MASKED[number % 4]} scan.nrrd --mask {name} {SAMPLED}"
    for words in (edited, elsewhere[number % 4], elsewhere[(number + 1) % 4]):
        assert BAD_MASKS[name] in call(words)


@pytest.mark.parametrize("label", ["7", "300", "9223372036854775807"])
def test_a_label_that_is_not_there_is_told_with_those_that_are(call: Call, label: str) -> None:
    assert "found 1" in call(f"remove scan.nrrd --mask mask.nrrd --label {label} {TINY} --steps 1")


@pytest.mark.parametrize("words", ["--label 0", "--label 99999999999999999999", "--label x", "--steps 0", "--seed -1"])
def test_numbers_that_mean_nothing_are_refused(call: Call, words: str) -> None:
    call(f"remove scan.nrrd --mask mask.nrrd {words} {TINY}")


@pytest.mark.parametrize("out", ["file", "scan.nrrd/a/b", "folder", "x" * 300, "."])
def test_a_place_where_no_result_can_be_is_refused(call: Call, inputs: Path, out: str) -> None:
    call(f"insert scan.nrrd {AT} --bundle tiny --device cpu --domain soft-tissue-ct --steps 1 --out {out}")
    call(f"shape --volume-ml 1 --bundle tiny --device cpu --out {out}")


def failing(error: OSError) -> Callable[..., Any]:
    def fail(*values: Any, **options: Any) -> Any:
        raise error

    return fail


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
READ_ONLY = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (itk_files.sitk, "WriteImage", FULL),
        (Path, "mkdir", OSError(errno.EROFS, os.strerror(errno.EROFS))),
        (Path, "write_text", FULL),
        (Path, "rename", READ_ONLY),
    ],
)
def test_a_disk_that_is_full_or_closed_leaves_nothing(
    call: Call, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: OSError
) -> None:
    monkeypatch.setattr(owner, name, failing(error))
    told = call(f"insert scan.nrrd {AT} --volume-ml 1 {SAMPLED}")
    assert "cannot be written" in told and "free space" in told


def test_a_preview_that_cannot_be_written_leaves_nothing(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.Image.save", failing(FULL))
    assert "No space left" in call(f"insert scan.nrrd {AT} --volume-ml 1 {SAMPLED}")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="this user may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused(call: Call, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "ermission" in call(f"insert scan.nrrd {AT} {SAMPLED}")
    finally:
        tmp_path.chmod(0o700)


ODD_SCANS: dict[str, tuple[str, Callable[[], np.ndarray], str]] = {
    "constant": ("soft-tissue-ct", lambda: np.full(SHAPE, 40, np.int16), ""),
    "constant MR": ("brain-t1", lambda: np.full(SHAPE, 40, np.int16), "constant"),
    "limits": ("soft-tissue-ct", lambda: np.where(scan() > 50, 32767, -32768).astype(np.int16), "gray levels"),
    "tiny MR": ("brain-t1", lambda: scan("float64") * 1e-300, ""),
    "huge": ("soft-tissue-ct", lambda: np.where(scan() > 50, 3e38, -3e38).astype(np.float32), "3e+38"),
    "doubles": ("brain-t1", lambda: np.where(scan() > 50, 1e300, -1e300), "1e+300"),
    "long": ("soft-tissue-ct", lambda: np.where(scan() > 50, 2**63 - 1, -(2**63)), "9.22337e+18"),
}
"""Scans of odd values, and what is told where they cannot be edited."""


@pytest.mark.parametrize("name", ODD_SCANS)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_scan_of_odd_values_is_edited_or_refused_in_one_line(call: Call, tmp_path: Path, name: str) -> None:
    domain, values, told = ODD_SCANS[name]
    write_volume(Volume(values(), GRID), tmp_path / "odd.nrrd")
    words = f"insert OUT/odd.nrrd {AT} --volume-ml 1 --bundle tiny --device cpu --domain {domain} --steps 1 --out OUT/result"
    if told:
        assert told in call(words)
        return
    before = (tmp_path / "odd.nrrd").read_bytes()
    outcome = CliRunner().invoke(app, words.replace("OUT", str(tmp_path)).split())
    assert outcome.exit_code == 0 and outcome.stderr == ""
    assert np.isfinite(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "result" / "image.nrrd")))).all()
    assert (tmp_path / "odd.nrrd").read_bytes() == before
