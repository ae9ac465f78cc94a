"""Volumes in the worker's lines: a worker that sees none of its client's files, and what goes wrong on the way."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from quick_worker import ROOT, command, worker_pid
from typer.testing import CliRunner

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.cli import app
from TumorSynthLib.errors import Cancelled, ImageError, OutputError, RequestError, TumorSynthError
from TumorSynthLib.inline_courier import Courier
from TumorSynthLib.inline_files import Names, parcel_of
from TumorSynthLib.inline_results import IncomingResult
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.protocol import Request, parse_request
from TumorSynthLib.result import SYNTHETIC, read_result
from TumorSynthLib.transfer import CHUNK, Piece, parse_have, parse_upload, piece_line
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import sha256_file, write_volume
from TumorSynthLib.worker_client import WorkerClient, WorkerError
from TumorSynthLib.worker_files import Uploads
from TumorSynthLib.worker_folder import sweep
from TumorSynthLib.worker_io import MAX_LINE

START = 600.0
"""Seconds that a worker may take to start on a busy computer."""
GRID = Geometry((48, 48, 40), np.diag([1.5, 1.5, 2.0, 1.0]))
posix = pytest.mark.skipif(sys.platform == "win32", reason="forks and signals")


def noise(seed: int = 0) -> np.ndarray:
    """A soft-tissue CT of noise."""
    return np.random.default_rng(seed).normal(50.0, 8.0, GRID.shape).astype(np.int16)


def ball(center: tuple[float, float, float], radius: float) -> np.ndarray:
    """A ball in mm on the grid, uint8."""
    points = GRID.to_ras(np.stack(np.indices(GRID.shape), axis=-1))
    return (np.linalg.norm(points - np.array(center), axis=-1) < radius).astype(np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's own files, in a folder of which the worker is never told."""
    folder = tmp_path_factory.mktemp("only-the-client-knows")
    write_volume(Volume(noise(), GRID), folder / "scan.nii.gz")
    write_volume(Volume(ball((35, 35, 39), 9.0), GRID), folder / "mask.nrrd")
    write_volume(Volume(ball((35, 35, 39), 30.0), GRID), folder / "organ.nrrd")
    write_volume(Volume(noise(1), GRID), folder / "other.nrrd")
    image = sitk.GetImageFromArray(noise().transpose(2, 1, 0))
    image.SetSpacing(GRID.spacing.tolist())
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(folder / "apart.mhd"))
    return folder


class Remote:
    """A worker as on another computer: it works in another folder, and the lines that it gets are kept."""

    def __init__(self, place: Path, bundle: Bundle, home: Path, **more: Any) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.temporary = home / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.environment = {**os.environ, "TUMORSYNTH_MODELS": str(bundle.path.parent), "TMPDIR": str(self.temporary)}
        self.lines: list[dict[str, Any]] = []
        arguments = ["--bundle", "tiny", "--device", "cpu", *more.pop("arguments", ())]
        options = {"arguments": arguments, "environment": self.environment, "inline": True, **more}
        self.client = WorkerClient(command(place, home), **options)
        write = self.client._process.write

        def spy(line: bytes) -> None:
            self.lines.append(json.loads(line))
            assert len(line) < MAX_LINE
            write(line)

        self.client._process.write = spy  # type: ignore[method-assign]

    def sent(self, op: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["op"] == op]

    def kept(self) -> list[str]:
        """Names of what lies in the worker's temporary folder."""
        return sorted(path.name for path in self.temporary.glob("*/*") if path.name != "lock")


@pytest.fixture(scope="module")
def remote(quick_workers: Path, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    remote = Remote(quick_workers, tiny_bundle, tmp_path_factory.mktemp("host"))
    with remote.client as client:
        client.wait_ready(START)
        yield remote
        assert client.alive, client.log
    assert not any(remote.temporary.iterdir()), "the worker left files"


def insert(files: Path, out: Path, **more: Any) -> dict[str, Any]:
    """An insertion of 3 mL in the middle."""
    base = {"schema": 1, "op": "insert", "image": str(files / "scan.nii.gz"), "bundle": "tiny", "domain": "soft-tissue-ct"}
    base |= {"at": [35.0, 35.0, 39.0], "shape": {"volume_ml": 3.0}, "steps": 2, "device": "cpu", "out": str(out)}
    return {**base, **more}


def same_result(found: Path, expected: Path) -> None:
    """Files bit-identical, and the same told of them but for times."""
    names = sorted(path.relative_to(expected).as_posix() for path in expected.rglob("*") if path.is_file())
    assert sorted(path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()) == names
    for name in names:
        if name.endswith("result.json"):
            one, two = (read_result((folder / name).parent) for folder in (found, expected))
            for key in ("requested", "measured", "warnings", "source_sha256", "result_sha256", "changed", "bundle", "request"):
                ours, theirs = one[key], two[key]
                if key == "request":
                    ours, theirs = ({**told, "out": None, "id": None} for told in (ours, theirs))
                assert ours == theirs, (name, key)
        elif not name.endswith(".png"):
            assert (found / name).read_bytes() == (expected / name).read_bytes(), name


@posix
def test_a_worker_without_the_files_makes_the_same_result_and_gets_each_file_once(
    remote: Remote, tiny_bundle: Bundle, files: Path, tmp_path: Path
) -> None:
    more = {"region": str(files / "organ.nrrd"), "format": "nii.gz"}
    more["like"] = {"image": str(files / "other.nrrd"), "mask": str(files / "mask.nrrd")}
    direct = Editor(tiny_bundle, "cpu").run(parse_request(insert(files, tmp_path / "direct", **more)))
    events: list[dict[str, Any]] = []
    folder = remote.client.run(insert(files, tmp_path / "far", id="far", **more), events.append)
    assert folder == tmp_path / "far"
    same_result(folder, direct)
    assert read_result(folder)["request"] == parse_request(insert(files, tmp_path / "far", id="far", **more)).to_dict()
    told = json.dumps(remote.lines)
    assert str(files) not in told and str(tmp_path) not in told and "scan" not in told
    assert len({line["name"] for line in remote.sent("upload")}) == 4
    assert str(remote.temporary) not in (folder / "result.json").read_text()
    kinds = [one["event"] for one in events]
    assert set(kinds) == {"progress", "preview", "done"} and kinds[-1] == "done" and {one["id"] for one in events} == {"far"}
    assert events[-1]["changed"] == read_result(folder)["changed"] is not None
    fractions = [one["fraction"] for one in events if one["event"] == "progress"]
    stages = list(dict.fromkeys(one["stage"] for one in events if one["event"] == "progress"))
    assert fractions == sorted(fractions) and stages[0] == "sending" and stages[-1] == "returning" and fractions[-1] == 1.0
    before = len(remote.lines)
    remote.client.run(insert(files, tmp_path / "again", **more))
    assert [line["op"] for line in remote.lines[before:]] == ["have", "insert"]


@posix
def test_headers_with_their_voxels_apart_and_series_of_results_travel_too(
    remote: Remote, tiny_bundle: Bundle, files: Path, tmp_path: Path
) -> None:
    request = insert(files, tmp_path / "far", op="grow", image=str(files / "apart.mhd"), volumes_ml=[4.0])
    request = {**request, "mask": str(files / "mask.nrrd"), "at": None, "shape": {}}
    folder = remote.client.run(request)
    same_result(folder, Editor(tiny_bundle, "cpu").run(parse_request({**request, "out": str(tmp_path / "direct")})))
    assert [path for path in remote.kept() if path.endswith(".mhd.tar")] == []  # it was unpacked


@posix
def test_dicom_folders_travel_as_they_are(remote: Remote, files: Path, tmp_path: Path) -> None:
    from test_volume_io import dicom_series

    series = dicom_series(tmp_path / "ct", 12)
    request = {"schema": 1, "op": "shape", "image": str(series), "at": [8.0, -22.0, 45.0], "bundle": "tiny"}
    request |= {"domain": "soft-tissue-ct", "shape": {"volume_ml": 0.05}, "device": "cpu", "out": str(tmp_path / "far")}
    with pytest.raises(TumorSynthError) as caught:  # five voxels along one axis are too few, which the worker has read
        remote.client.run(request)
    assert caught.value.code == "image.small" and (tmp_path / "far").exists() is False
    assert remote.sent("upload")[-1]["name"].endswith(".dcm.tar")


@posix
def test_errors_name_the_paths_of_the_user(remote: Remote, files: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.nrrd"
    cut.write_bytes((files / "other.nrrd").read_bytes()[:20_000])
    with pytest.raises(TumorSynthError, match=r"cut\.nrrd' is truncated") as caught:
        remote.client.run(insert(files, tmp_path / "a", image=str(cut)))
    assert caught.value.code == "image.truncated" and str(tmp_path) in str(caught.value)
    with pytest.raises(TumorSynthError, match=r"nowhere\.nrrd' does not exist"):
        remote.client.run(insert(files, tmp_path / "a", image=str(tmp_path / "nowhere.nrrd")))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "result.json").write_text("{}")
    before = len(remote.lines)
    with pytest.raises(OutputError, match="exists already"):
        remote.client.run(insert(files, tmp_path / "there"))
    assert len(remote.lines) == before, "nothing is sent for a result that cannot be written"
    with pytest.raises(TumorSynthError) as caught:
        remote.client.run({**insert(files, tmp_path / "a"), "out": None})
    assert caught.value.code == "request.out"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.nrrd", "there"]


@posix
def test_a_result_that_cannot_be_written_is_told_and_the_worker_lives_on(remote: Remote, files: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TumorSynthError) as caught:
        remote.client.run(insert(files, tmp_path / "file" / "far"))
    assert caught.value.code == "output.failed" and "far" in caught.value.message
    assert remote.client.run(insert(files, tmp_path / "near")).is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "near"]


@posix
def test_a_file_that_was_never_sent_is_asked_for_and_a_terminated_worker_leaves_nothing(
    quick_workers: Path, tiny_bundle: Bundle, files: Path, tmp_path: Path
) -> None:
    host = Remote(quick_workers, tiny_bundle, tmp_path / "host", inline=False)
    with host.client as client:
        with pytest.raises(TumorSynthError) as caught:
            client.run(insert(files, tmp_path / "far", image=f"upload:{'0' * 64}.nrrd"))
        assert caught.value.code == "upload.missing" and "--uploads" in caught.value.hint
        client.send(insert(files, Path("inline:somewhere"), steps=1000, id="long"))
        for one in client.events(START):
            if one.get("stage") == "sampling":
                break
        assert host.kept()
        os.kill(worker_pid(client.log), signal.SIGTERM)
        assert [one["id"] for one in client.events(30.0) if one["event"] == "failed"] == ["long"]
    assert not any(host.temporary.iterdir())


@posix
@pytest.mark.parametrize("stage", ["sending", "returning"])
def test_a_cancel_while_files_are_on_their_way_leaves_nothing_and_the_next_request_works(
    remote: Remote, files: Path, tmp_path: Path, stage: str
) -> None:
    large = tmp_path / "in" / "large.nrrd"
    large.parent.mkdir()
    values = np.random.default_rng(len(stage)).integers(-100, 100, (160, 160, 120)).astype(np.int16)
    write_volume(Volume(values, Geometry(values.shape, np.eye(4))), large)
    told = []

    def leave(one: dict[str, Any]) -> None:
        told.append(one)
        if one.get("stage") == stage:
            raise Cancelled

    request = insert(files, tmp_path / "out" / "far", image=str(large), at=[80.0, 80.0, 60.0], steps=1)
    with pytest.raises(Cancelled):
        remote.client.run(request, leave)
    assert told[-1]["stage"] == stage and told[-1]["fraction"] < 1.0
    assert remote.client.run(insert(files, tmp_path / "next")).is_dir()
    assert not (tmp_path / "out").exists()
    if stage == "sending":
        assert not list(remote.temporary.rglob("*.partial"))


@posix
def test_a_request_that_waits_to_be_sent_is_cancelled_at_once(remote: Remote, files: Path, tmp_path: Path) -> None:
    client = remote.client
    client.send(insert(files, tmp_path / "first", id="first"))
    client.send(insert(files, tmp_path / "second", id="second", image=str(files / "other.nrrd")))
    client.send(insert(files, tmp_path / "third", id="third"))
    client.cancel("second")
    said = []
    for one in client.events(60.0):
        if one["event"] in ("done", "failed", "cancelled"):
            said.append((one["id"], one["event"]))
        if len(said) == 3:
            break
    assert sorted(said) == [("first", "done"), ("second", "cancelled"), ("third", "done")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "third"]


@posix
def test_a_killed_host_is_told_and_what_it_kept_is_swept_by_the_next(
    quick_workers: Path, tiny_bundle: Bundle, files: Path, tmp_path: Path
) -> None:
    first = Remote(quick_workers, tiny_bundle, tmp_path / "host")
    name = first.client.send(insert(files, tmp_path / "far", steps=1000))
    for one in first.client.events(START):
        if one.get("stage") == "sampling":
            break
    assert first.kept()
    os.kill(worker_pid(first.client.log), signal.SIGKILL)
    (last,) = [one for one in first.client.events(10.0) if one["event"] == "failed"]
    assert (last["id"], last["code"]) == (name, "worker.died")
    assert "signal 9" in last["message"] and "memory" in last["hint"]
    first.client.close()
    (before,) = first.temporary.iterdir()
    assert first.kept() and not list(tmp_path.glob(".partial-*")) and not (tmp_path / "far").exists()
    second = Remote(quick_workers, tiny_bundle, tmp_path / "host")
    with second.client as client:
        assert client.run(insert(files, tmp_path / "far")).is_dir()
        (folder,) = second.temporary.iterdir()
        assert folder != before
    assert list(second.temporary.iterdir()) == []


@posix
def test_the_program_works_elsewhere_with_the_same_output_and_exit_codes(
    quick_workers: Path, tiny_bundle: Bundle, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUMORSYNTH_MODELS", str(tiny_bundle.path.parent))
    monkeypatch.chdir(files)
    words = ["insert", "scan.nii.gz", "--at", "35", "35", "39", "--volume-ml", "3", "--steps", "2", "--device", "cpu"]
    words += ["--bundle", "tiny", "--domain", "soft-tissue-ct"]
    there = ["--worker", " ".join(command(quick_workers, tmp_path))]
    far = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "far"), "--json", *there])
    here = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "here"), "--json"])
    assert far.exit_code == here.exit_code == 0, far.stderr
    same_result(tmp_path / "far", tmp_path / "here")
    assert json.loads(far.stdout)["request"]["image"] == "scan.nii.gz"
    wrong = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "far"), *there])
    assert wrong.exit_code == 1 and "exists already" in wrong.stderr
    for bad in ("", "'open", "no-such-program"):
        outcome = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "x"), "--worker", bad])
        assert outcome.exit_code == 1 and outcome.stderr.startswith("error: ") and outcome.stderr.count("\n") == 1


@posix
def test_ctrl_c_ends_a_run_elsewhere_with_nothing_left(
    quick_workers: Path, tiny_bundle: Bundle, files: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "TumorSynthLib", "insert", str(files / "scan.nii.gz"), "--at", "35", "35", "39"]
    words += ["--steps", "1000", "--device", "cpu", "--bundle", "tiny", "--domain", "soft-tissue-ct"]
    words += ["--volume-ml", "3", "--out", str(tmp_path / "out" / "far")]
    words += ["--worker", " ".join(command(quick_workers, tmp_path))]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TUMORSYNTH_MODELS": str(tiny_bundle.path.parent), "TMPDIR": str(temporary)}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        until(lambda: any(temporary.glob("*/*.nii.gz")))
        run.send_signal(signal.SIGINT)
        out, told = run.communicate(timeout=60.0)
    assert (run.returncode, out, told) == (130, b"", b"Stopped.\n")
    until(lambda: not any(temporary.iterdir()))
    assert not (tmp_path / "out").exists()


def until(true: Callable[[], bool], seconds: float = START) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


# Files on their way there


def pieces(data: bytes, ending: str = ".nrrd", size: int = 1000, name: str = "") -> list[Piece]:
    """A file as pieces."""
    name = name or hashlib.sha256(data).hexdigest() + ending
    starts = range(0, len(data), size)
    return [Piece("id", name, start, data[start : start + size], start + size >= len(data)) for start in starts]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploads]:
    """Room for 10 000 bytes; what is dropped is told in ``store.log``."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    log: list[str] = []
    with Uploads(10_000, log.append) as store:
        store.log = log  # type: ignore[attr-defined]
        yield store
    assert not any(tmp_path.iterdir())


def put(store: Uploads, sent: list[Piece], in_use: tuple[str, ...] = ()) -> str:
    """Send all pieces of a file; its name."""
    for piece in sent:
        assert store.take(piece, in_use) == piece.offset + len(piece.data)
    return sent[0].name


def refused(store: Uploads, *sent: Piece, in_use: tuple[str, ...] = ()) -> str:
    """Code of the error of the last of some pieces."""
    with pytest.raises(TumorSynthError) as caught:
        for piece in sent:
            store.take(piece, in_use)
    assert caught.value.message and caught.value.hint
    return caught.value.code


def test_lines_of_files_are_read_back_and_wrong_ones_refused() -> None:
    name = "0" * 64 + ".seg.nrrd"
    piece = Piece(7, name, 3, bytes(range(256)), True)
    assert parse_upload(json.loads(json.dumps({"schema": 1, **piece_line(piece)}))) == piece
    assert parse_have({"schema": 1, "op": "have", "id": "a", "names": [name]}) == ("a", [name])
    good = {"schema": 1, **piece_line(piece)}
    for wrong in ("../" + name, "/etc/passwd", "0" * 63 + ".nrrd", name + "/x", "A" * 64, name.replace(".", "\\"), 5, ""):
        with pytest.raises(RequestError):
            parse_upload({**good, "name": wrong})
        with pytest.raises(RequestError):
            parse_have({"schema": 1, "op": "have", "names": [wrong]})
    for change in ({"data": "@@"}, {"data": None}, {"offset": -1}, {"last": 1}, {"more": 1}, {"schema": 2}):
        with pytest.raises(RequestError):
            parse_upload({**good, **change})


def test_files_are_kept_by_their_bytes_and_damaged_or_unordered_ones_refused(store: Uploads) -> None:
    data = bytes(np.random.default_rng(0).integers(0, 256, 2500, np.uint8))
    name = put(store, pieces(data))
    assert store.path(name).read_bytes() == data and store.present([name, "1" * 64]) == [name]
    other = pieces(data[:1500], name=pieces(b"x")[0].name)
    assert refused(store, *other) == "upload.checksum"
    assert store.take(Piece("id", other[0].name, 500, b"late", True), ()) is None, "it was refused already"
    first, second, last = pieces(data[::-1])
    assert refused(store, first, last) == "upload.order"
    store.take(first, ())
    put(store, pieces(b"begun later"))  # drops the one before
    assert store.take(second, ()) is None
    with pytest.raises(RequestError) as caught:
        store.path(first.name)
    assert caught.value.code == "upload.missing"
    assert len(list(store.path(name).parent.iterdir())) == 3


def test_the_files_that_were_not_used_for_longest_make_room(store: Uploads) -> None:
    names = [put(store, pieces(bytes([number]) * 3000)) for number in range(3)]
    store.path(names[0])
    fourth = put(store, pieces(b"d" * 3000))
    assert store.present([*names, fourth]) == [names[0], names[2], fourth]
    assert store.log == [f"The file {names[1]} was dropped to make room for another."]  # type: ignore[attr-defined]
    fifth = put(store, pieces(b"e" * 3000), in_use=(names[0], names[2]))
    assert store.present([*names, fourth, fifth]) == [names[0], names[2], fifth]
    assert refused(store, *pieces(b"f" * 3000), in_use=(names[0], names[2], fifth)) == "upload.large"
    assert refused(store, *pieces(b"g" * 10_001)) == "upload.large"
    put(store, pieces(b"h" * 10_000))


def test_a_folder_that_was_cleaned_up_is_made_again(store: Uploads, tmp_path: Path) -> None:
    name = put(store, pieces(b"abc"))
    shutil.rmtree(store.path(name).parent)
    assert store.present([name]) == []
    assert store.path(put(store, pieces(b"abc"))).read_bytes() == b"abc"


def test_only_folders_without_a_living_owner_are_swept(store: Uploads, tmp_path: Path) -> None:
    name = put(store, pieces(b"abc"))
    dead, foreign = tmp_path / "tumorsynth-dead", tmp_path / "tumorsynth-foreign"
    for folder in (dead, foreign):
        folder.mkdir()
    (dead / "lock").touch()
    (dead / "patient.nrrd").touch()
    sweep()
    assert store.path(name).is_file() and not dead.exists() and foreign.is_dir()
    foreign.rmdir()
    if sys.platform != "win32":
        assert store.path(name).parent.stat().st_mode & 0o077 == 0, "others can read what was sent"


def archive(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.type = len(data), kind
            file.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        (archive(("../out.dcm", b"x")), ".dcm.tar"),
        (archive(("/out.dcm", b"x")), ".dcm.tar"),
        (archive(("a", b""), kind=tarfile.SYMTYPE), ".dcm.tar"),
        (archive(("a.raw", b"x")), ".mhd.tar"),
        (archive(("a.mhd", b"x"), ("b.mhd", b"x")), ".mhd.tar"),
        (b"no archive at all", ".mhd.tar"),
    ],
)
def test_archives_that_could_write_elsewhere_or_make_no_sense_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, ending: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Uploads(100_000, print) as store:
        name = put(store, pieces(data, ending, 100_000))
        with pytest.raises(RequestError) as caught:
            store.path(name)
        assert caught.value.code == "upload.archive"
    assert not any(tmp_path.iterdir())


def test_a_path_becomes_the_files_that_it_needs(tmp_path: Path) -> None:
    names, alive = Names(), lambda: None
    (tmp_path / "a.NII.GZ").write_bytes(b"bytes")
    assert names.name(parcel_of(str(tmp_path / "a.NII.GZ")), alive) == hashlib.sha256(b"bytes").hexdigest() + ".nii.gz"
    series = tmp_path / "series"
    series.mkdir()
    long = "slice" * 40
    for name in ("b", "a", long):
        (series / name).write_bytes(name.encode() * 700)
    parcel = parcel_of(str(series))
    data = b"".join(parcel.pieces())
    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        found = {member.name: packed.extractfile(member).read() for member in packed}  # type: ignore[union-attr]
    assert found == {name: name.encode() * 700 for name in ("a", "b", long)}
    first = names.name(parcel, alive)
    assert first == hashlib.sha256(data).hexdigest() + ".dcm.tar"
    os.utime(series / "a", (1, 1))
    assert names.name(parcel_of(str(series)), alive) == first, "times do not count, bytes do"
    (series / "a").write_bytes(b"changed")
    assert names.name(parcel_of(str(series)), alive) != first
    (tmp_path / "d.nrrd").write_text("NRRD0004\ntype: short\ndata file: d.raw\n\n")
    (tmp_path / "d.raw").write_bytes(bytes(3 * CHUNK))
    parcel = parcel_of(str(tmp_path / "d.nrrd"))
    assert [file.name for file in parcel.files] == ["d.nrrd", "d.raw"] and parcel.archive == ".nrrd.tar"
    assert max(len(piece) for piece in parcel.pieces()) <= CHUNK
    for data_file in ("LIST", "sub/d.raw", "d%03d.raw 1 3 1", str(tmp_path / "d.raw")):
        (tmp_path / "e.nrrd").write_text(f"NRRD0004\ntype: short\ndata file: {data_file}\n\n")
        with pytest.raises(ImageError) as caught:
            parcel_of(str(tmp_path / "e.nrrd"))
        assert caught.value.code == "image.detached"


# Results on their way back


def file_events(path: str, data: bytes, **more: Any) -> list[dict[str, Any]]:
    """The events of one file in two pieces."""
    import base64

    half = len(data) // 2
    first = {"event": "file", "path": path, "data": base64.b64encode(data[:half]).decode(), "last": False, "sha256": None}
    second = {"data": base64.b64encode(data[half:]).decode(), "last": True, "sha256": hashlib.sha256(data).hexdigest()}
    return [first, {**first, **second, **more}]


def result_json(image: bytes | None) -> bytes:
    digest = None if image is None else hashlib.sha256(image).hexdigest()
    return json.dumps({"synthetic": SYNTHETIC, "result_sha256": digest, "request": {"image": "upload:x"}}).encode()


def test_a_result_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    image = bytes(range(200))
    result = IncomingResult(str(tmp_path / "in" / "good"), False)
    for event in (*file_events("image.nrrd", image), *file_events("result.json", result_json(image))):
        result.take(event)
    assert not (tmp_path / "in" / "good").exists()
    folder = result.commit(lambda values: {**values, "request": {"image": "own"}})
    assert (folder / "image.nrrd").read_bytes() == image and read_result(folder)["request"] == {"image": "own"}
    wrong = {
        "output.damaged": [
            [*file_events("image.nrrd", image, sha256="0" * 64)],
            [*file_events("image.nrrd", b"another"), *file_events("result.json", result_json(image))],
            [*file_events("image.nrrd", image)],
            [*file_events("result.json", result_json(None)), file_events("image.nrrd", image)[0]],
            [file_events("image.nrrd", image)[0], *file_events("result.json", result_json(None))],
        ],
        "output.path": [
            [file_events(path, image)[0]] for path in ("../image.nrrd", "/image.nrrd", "a/../../b", "c:\\b", "", ".")
        ],
    }
    for code, cases in wrong.items():
        for events in cases:
            result = IncomingResult(str(tmp_path / "in" / "bad"), False)
            with pytest.raises(TumorSynthError) as caught:
                for event in events:
                    result.take(event)
                result.commit(dict)
            assert caught.value.code == code, events
            result.discard()
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["good"]


def test_the_same_bytes_under_two_names_stay_two_in_the_request(
    quick_workers: Path, remote: Remote, files: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.nrrd"
    shutil.copy(files / "organ.nrrd", copy)
    request = insert(files, tmp_path / "far", region=str(files / "organ.nrrd"))
    request["like"] = {"image": str(files / "other.nrrd"), "mask": str(copy)}
    told = read_result(remote.client.run(request))["request"]
    assert (told["region"], told["like"]["mask"]) == (str(files / "organ.nrrd"), str(copy))
    assert told["out"] == str(tmp_path / "far") and sha256_file(copy) == sha256_file(files / "organ.nrrd")


def test_a_host_that_does_not_answer_is_told(tmp_path: Path, files: Path) -> None:
    with WorkerClient([sys.executable, "-c", "import sys; sys.exit(255)"], inline=True) as client:
        with pytest.raises(WorkerError) as caught:
            client.run(insert(files, tmp_path / "far"))
        assert "255" in caught.value.message and "terminal" in caught.value.hint


def test_a_host_that_ends_while_a_request_is_queued_is_told(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, asked = Courier.submit, tmp_path / "asked"
    program = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)"

    def late(courier: Courier, request: Request, name: str | int) -> None:
        asked.touch()
        time.sleep(0.5)  # the end of the process is read in the meantime
        submit(courier, request, name)

    monkeypatch.setattr(Courier, "submit", late)
    with WorkerClient([sys.executable, "-c", program, str(asked)], inline=True) as client:
        client.send(insert(files, tmp_path / "far"))
        event = next(client.events(timeout=20), None)
    assert event is not None and (event["event"], event["code"]) == ("failed", "worker.died")
    assert [entry.name for entry in tmp_path.iterdir() if "partial" in entry.name] == []
