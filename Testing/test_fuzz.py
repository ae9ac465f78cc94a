"""Broken image files: each is refused by one of our errors, or gives a volume that is right. Nothing else may happen.

``TUMORSYNTH_FUZZ=20`` draws 20 times more examples, and takes all of the enumerated ones instead of every twentieth.
"""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fuzz_files
import numpy as np
import pytest
import SimpleITK as sitk
from fuzz_checks import MORE, drawn, mutated, mutations, outcome, reading, told
from fuzz_files import DETACHED, KINDS, dicom_folder, good_file
from hypothesis import given
from hypothesis import strategies as st

from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import read_mask, read_volume

pytestmark = pytest.mark.filterwarnings("error")
ROOT = Path(__file__).resolve().parents[1]
EVERY = max(1, 20 // MORE)
STEP = 19 if EVERY == 20 else EVERY
"""Of the enumerated cases each so-manieth is taken; prime, so that every field and every value has its turn."""
GRID = Geometry(fuzz_files.SIZE, np.array([[-1.0, 0, 0, -10], [0, -2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]]))
SINGLE = tuple(kind for kind in KINDS if kind != "layers.seg.nrrd")
posix = pytest.mark.skipif(sys.platform == "win32", reason="resource limits, named pipes and links")


def good(volume: Volume | None) -> bool:
    """Whether a volume is that of the good files."""
    return volume is not None and volume.geometry.same_grid(GRID, 1e-4) and np.array_equal(volume.array, fuzz_files.voxels())


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_files_are_good(tmp_path: Path, kind: str) -> None:
    path = good_file(tmp_path, kind)
    if kind in SINGLE:
        assert good(outcome(path))
    assert np.array_equal(read_mask(path).array, fuzz_files.voxels() == 1)


@pytest.mark.parametrize("kind", KINDS)
def test_nonsense_in_any_field_of_a_header_is_refused_or_read_right(tmp_path: Path, kind: str, capfd: Any) -> None:
    path = good_file(tmp_path, kind)
    data = path.read_bytes()
    for what, broken in list(fuzz_files.headers(kind, data))[::STEP]:
        path.write_bytes(broken)
        outcome(path, what)
    assert capfd.readouterr() == ("", ""), "SimpleITK's libraries have written to the terminal"


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_is_no_volume(tmp_path: Path, kind: str, capfd: Any) -> None:
    path = good_file(tmp_path, kind)
    for part in {path, tmp_path / DETACHED.get(kind, kind)}:
        data = part.read_bytes()
        for what, cut in list(fuzz_files.cuts(data, 40 * MORE))[:: 1 + 3 // MORE]:
            part.write_bytes(cut)
            volume = outcome(path, what)
            # A header alone may do without its last line end.
            assert volume is None or (part == path and kind in DETACHED and len(cut) == len(data) - 1 and good(volume)), what
            assert volume is not None or reading(read_mask, path, what) is None, what
        part.write_bytes(data)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["raw.nrrd", "detached.nrrd", "a.nii", "raw.mha", "a.mhd"])
def test_a_bit_turned_in_plain_voxels_changes_that_bit_alone(tmp_path: Path, kind: str) -> None:
    path = good_file(tmp_path, kind)
    part = tmp_path / DETACHED.get(kind, kind)
    header, data = (b"", part.read_bytes()) if kind in DETACHED else fuzz_files.split(kind, part.read_bytes())
    for what, changed in fuzz_files.flips(data, np.random.default_rng(1), 12 * MORE):
        part.write_bytes(header + changed)
        volume = outcome(path, what)
        assert volume is not None and volume.geometry.same_grid(GRID, 1e-4), what
        assert np.array_equal(volume.array, np.frombuffer(changed, "<i2").reshape(fuzz_files.SIZE, order="F")), what


@pytest.mark.parametrize("kind", ["gzip.nrrd", "a.nii.gz", "zlib.mha"])
@pytest.mark.parametrize("bits", [1, 3, 20])
def test_bits_turned_in_compressed_voxels_are_noticed(tmp_path: Path, kind: str, bits: int) -> None:
    path = good_file(tmp_path, kind)
    whole = path.read_bytes()
    header, data = (b"", whole) if kind == "a.nii.gz" else fuzz_files.split(kind, whole)
    for what, changed in fuzz_files.flips(data, np.random.default_rng(bits), 40 * MORE, bits):
        path.write_bytes(header + changed)
        volume = outcome(path, what)
        # What is left of a gzip header says when and where the file was made; that may change.
        assert volume is None or good(volume), what


@given(st.sampled_from(KINDS), mutations, st.booleans())
@drawn(250)
def test_any_accidents_of_a_file_are_refused_or_read_right(
    tmp_path: Path, kind: str, changes: list[tuple[str, float, int, bytes]], header_alone: bool
) -> None:
    path = good_file(tmp_path, kind)
    header, data = fuzz_files.split(kind, path.read_bytes())
    broken = fuzz_files.join(kind, mutated(header, changes), data) if header_alone else mutated(path.read_bytes(), changes)
    path.write_bytes(broken)
    outcome(path, repr(changes))


@given(st.sampled_from([b"NRRD0005\n", b"ObjectType = Image\nNDims = 3\n", b"\x1f\x8b\x08\0", b"\x5c\x01\0\0"]), st.binary())
@drawn(60)
def test_any_bytes_are_no_image(tmp_path: Path, start: bytes, rest: bytes) -> None:
    for name in ("a.nrrd", "a.nii", "a.nii.gz", "a.mha", "a.mhd"):
        path = tmp_path / name
        path.write_bytes(start + rest)
        assert outcome(path) is None


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii", "a.nii.gz", "a.mha", "a.mhd", "a.seg.nrrd"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_mask_may_hold_values_that_are_not_finite_beside_its_label(tmp_path: Path, name: str, value: float) -> None:
    values = np.zeros((4, 5, 6), np.float32)
    values[1, 1, 1], values[2, 2, 2] = 1, value
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / name))
    assert reading(read_volume, tmp_path / name) is None
    mask = reading(read_mask, tmp_path / name)
    assert mask is None or np.array_equal(mask.array, values.transpose(2, 1, 0) == 1)


@pytest.mark.parametrize("label", [2**31, 2**63 - 1, 2**64, 10**400])
def test_a_label_that_no_voxel_can_have_is_refused(tmp_path: Path, label: int) -> None:
    path = good_file(tmp_path, "raw.nrrd")
    with pytest.raises(TumorSynthError) as caught:
        read_mask(path, label)
    assert caught.value.code == "mask.label" and told(caught.value, path)


# One test for each defect that was found


@pytest.mark.parametrize("name", ["A.NRRD", "A.NII", "A.NII.GZ", "A.MHA"])
def test_capital_letters_in_the_ending_change_nothing(tmp_path: Path, name: str) -> None:
    kind = {"A.NRRD": "gzip.nrrd", "A.NII": "a.nii", "A.NII.GZ": "a.nii.gz", "A.MHA": "zlib.mha"}[name]
    assert good(outcome(good_file(tmp_path, kind).rename(tmp_path / name)))


@pytest.mark.parametrize("length", [1 << 14, (1 << 14) - 1, 1 << 15])
def test_a_gzip_member_may_end_anywhere(tmp_path: Path, length: int) -> None:
    values = np.random.default_rng(0).integers(0, 2000, (30, 30, 30)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.nii"))
    packed = fuzz_files.in_members((tmp_path / "a.nii").read_bytes(), length)
    (tmp_path / "b.nii.gz").write_bytes(packed)
    assert np.array_equal(read_volume(tmp_path / "b.nii.gz").array, values.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("kind", "old", "new", "code"),
    [
        ("raw.mha", b"ElementDataFile = LOCAL", b"ElementDataFile = %s%s%s%n", "image.encoding"),
        ("raw.mha", b"ElementDataFile", b"Name = " + b"y" * 300 + b"\nElementDataFile", "image.header"),
        ("raw.mha", b"NDims = 3", b"NDims = 4\nNDims = 3", "image.header"),
        ("raw.mha", b"CompressedData = False", b"CompressedData = 1", "image.truncated"),
        ("raw.mha", b"BinaryData = True", b"BinaryData = 0", "image.encoding"),
        ("zlib.mha", b"ElementDataFile", b"HeaderSize = -1\nElementDataFile", "image.header"),
        ("raw.mha", b"DimSize = 7", b"DimSize = \xd9\xa7", "image.header"),
        ("raw.mha", b"ElementSpacing = 1 2 3", b"ElementSpacing = 1 2 1_000", "image.header"),
        ("raw.mha", b"Offset = 10 -20 30", b"Offset = 10 -20 1e30", "image.spacing"),
        ("raw.nrrd", b"kinds: ", b"kinds: " + b"y" * 2000 + b" ", "image.header"),
        ("raw.nrrd", b"endian: little", b"endian: " + b"y" * 2000, "image.header"),
        ("raw.nrrd", b"type: ", b"k" * 2000 + b"\ntype: ", "image.header"),
        ("raw.nrrd", b"type: ", b"\n".join(b"k%d:=x" % n for n in range(20_000)) + b"\ntype: ", "image.header"),
        ("raw.nrrd", b"encoding: raw", b"encoding: ascii", "image.encoding"),
        ("raw.nrrd", b"encoding: raw", b"encoding: raw\ndata file: x%d.raw 0 4 1", "image.encoding"),
        ("raw.nrrd", b"encoding: raw", b"encoding: raw\ndata file: /dev/zero", "image.unreadable"),
        ("raw.nrrd", b"(0,0,3)", b"(0,0,1e30)", "image.spacing"),
        ("gzip.nrrd", b"sizes: 7 6 5", b"sizes: 100000 100000 100000", "image.truncated"),
    ],
)
def test_what_broke_the_parsers_of_simpleitk_no_longer_reaches_them(
    tmp_path: Path, kind: str, old: bytes, new: bytes, code: str, capfd: Any
) -> None:
    path = good_file(tmp_path, kind)
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(TumorSynthError) as caught:
        read_volume(path)
    assert caught.value.code == code and told(caught.value, path)
    assert outcome(path) is None
    assert capfd.readouterr() == ("", "")


LIMITED = """
import resource, sys, time
from pathlib import Path
from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.volume_io import read_geometry, read_mask, read_metadata, read_volume
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    for read in (read_volume, read_mask, read_geometry, read_metadata):
        started = time.process_time()
        try:
            read(Path(name))
            told = "read"
        except TumorSynthError as error:
            told = error.code if error.hint and error.message else "no advice"
        assert time.process_time() - started < 5.0, name
        print(told, end=" ")
    print()
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10, "used more than 200 MB"
"""


def limited(paths: list[Path | str]) -> list[list[str]]:
    """What each of the four readers says to each file in a process of its own, which may neither hang nor use much memory."""
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120)
    assert done.returncode == 0 and done.stderr == b"", (done.returncode, done.stderr[-500:])
    return [line.split() for line in done.stdout.decode().splitlines()]


def sparse(folder: Path) -> Path:
    """A file of 16 GB that takes no room on the disk, with a header that tells its size rightly."""
    path = good_file(folder, "raw.nrrd").rename(folder / "sparse.nrrd")
    header, _ = fuzz_files.split("raw.nrrd", path.read_bytes())
    header = header.replace(b"sizes: 7 6 5", b"sizes: 2000 2000 2000")
    path.write_bytes(header)
    os.truncate(path, len(header) + 2 * 2000**3)
    return path


def huge_headers(folder: Path) -> Iterator[Path]:
    """Small files whose headers promise more voxels than any memory holds."""
    for kind in ("raw.nrrd", "gzip.nrrd", "detached.nrrd", "raw.mha", "zlib.mha", "a.mhd"):
        whole = good_file(folder, kind).read_bytes()
        for number, size in enumerate((b"100000 100000 100000", b"4294967296 4294967296 1", b"2000 2000 1000")):
            other = folder / f"{number}-{kind}"
            data = whole.replace(b"sizes: 7 6 5", b"sizes: " + size).replace(b"DimSize = 7 6 5", b"DimSize = " + size)
            other.write_bytes(data)
            yield other
    for kind in ("a.nii", "a.nii.gz"):
        header, data = fuzz_files.split(kind, good_file(folder, kind).read_bytes())
        changed = header[:40] + np.array([3, 32767, 32767, 32767, 1, 1, 1, 1], "<i2").tobytes() + header[56:]
        (folder / f"0-{kind}").write_bytes(fuzz_files.join(kind, changed, data))
        yield folder / f"0-{kind}"


@posix
def test_files_that_are_more_or_less_than_they_seem_cost_neither_time_nor_memory(tmp_path: Path) -> None:
    paths: list[Path | str] = [sparse(tmp_path), *huge_headers(tmp_path)]
    (tmp_path / "bombs").mkdir()
    bombs = fuzz_files.bombs(tmp_path / "bombs", 300)
    found = limited([*paths, *bombs])
    assert [volume for volume, *_ in found] == ["image.large", *["image.truncated"] * (len(paths) - 1), *["image.header"] * 3]
    assert [mask for _, mask, *_ in found] == [volume for volume, *_ in found]


@posix
def test_what_is_no_file_and_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nrrd")
    (tmp_path / "folder.nii.gz").mkdir()
    (tmp_path / "loop.nrrd").symlink_to("loop.nrrd")
    (tmp_path / "zero.mha").symlink_to("/dev/zero")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.nrrd"))
    odd.write_bytes(good_file(tmp_path, "raw.nrrd").read_bytes())
    for name, add in {
        "with-pipe": lambda folder: os.mkfifo(folder / "99.dcm"),
        "with-loop": lambda folder: (folder / "99.dcm").symlink_to("99.dcm"),
        "with-name": lambda folder: os.rename(folder / "00.dcm", os.fsencode(folder) + b"/\xff.dcm"),
    }.items():
        add(dicom_folder(tmp_path / name))
    names = ["pipe.nrrd", "folder.nii.gz", "loop.nrrd", "zero.mha", odd.name, "with-pipe", "with-loop", "with-name"]
    found = limited([tmp_path / name for name in names])
    codes = [f"image.{what}" for what in ("type", "dicom", "missing", "type", "name", "dicom", "dicom", "name")]
    assert [volume for volume, *_ in found] == [mask for _, mask, *_ in found] == [grid for _, _, grid, _ in found] == codes
