"""A batch: one result folder a line, bad lines reported, finished ones kept, a manifest that tells of all."""

import csv
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from TumorSynthLib.batch import Summary, run_batch
from TumorSynthLib.batch_claim import STATE, Claim, is_current
from TumorSynthLib.batch_journal import Journal
from TumorSynthLib.batch_lines import Line
from TumorSynthLib.batch_progress import Progress
from TumorSynthLib.batch_runners import InProcess
from TumorSynthLib.batch_table import SHARE, Row, Table
from TumorSynthLib.errors import Cancelled, DeviceError, ImageError, OutputError, RequestError
from TumorSynthLib.file_lock import FileLock
from TumorSynthLib.input_files import input_files
from TumorSynthLib.protocol import Request
from TumorSynthLib.result import ResultWriter, build_result, read_result

ROOT = Path(__file__).resolve().parent.parent
VOLUME = {"volume_ml": 8.0}


@dataclass
class FakeEditor:
    """Writes results without networks: the measured volume is 1 % too large."""

    ran: list[Request] = field(default_factory=list)
    opened: list[tuple[str, str]] = field(default_factory=list)
    bundle_sha256: str = "00"
    tells_inputs: bool = True

    def open(self, bundle: str, device: str) -> "FakeEditor":
        self.opened.append((bundle, device))
        if device == "cuda":
            raise DeviceError("device.missing", "There is no GPU.", "Use the CPU.")
        return self

    def run(self, request: Request, progress: Progress | None = None) -> Path:
        self.ran.append(request)
        if progress is not None:
            progress("sampling", 0.5)
        if request.image == "missing.nrrd":
            raise ImageError("image.missing", "missing.nrrd\nis not there.", "Check the path.")
        if request.image == "bug.nrrd":
            raise ZeroDivisionError("a bug")
        assert request.out is not None
        asked = {"shape_VoxelVolume": request.shape["volume_ml"] * 1000} if "volume_ml" in request.shape else {}
        measured = {name: value * 1.01 for name, value in asked.items()} | {"firstorder_Mean": 42.0}
        files = {name: path for name, path in input_files(request.to_dict()).items() if Path(path).exists()}
        digests = {name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for name, path in files.items()}
        with ResultWriter(request.out, request.overwrite) as writer:
            told = build_result(
                request.to_dict(),
                requested=asked,
                measured=measured,
                warnings=[],
                candidates=[],
                timings={"sampling": 1.5},
                bundle={"id": request.bundle, "version": "1", "sha256": self.bundle_sha256},
                device="cpu",
                steps=request.steps,
                source_sha256=digests.get("image"),
            )
            writer.write_json({**told, "inputs": digests} if self.tells_inputs else told)
            return writer.commit()


@pytest.fixture
def editor() -> FakeEditor:
    return FakeEditor()


@pytest.fixture
def run(tmp_path: Path, editor: FakeEditor) -> Callable[..., Summary]:
    """Runs a batch of lines (objects or raw text) into ``tmp_path/out``."""

    def run_lines(*lines: object, progress: Progress | None = None) -> Summary:
        path = tmp_path / "requests.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return run_batch(
            path, tmp_path / "out", progress, InProcess(editor.open), bundle_sha256=lambda name: editor.bundle_sha256
        )

    return run_lines


def insert(**changes: object) -> dict:
    return {"schema": 1, "op": "insert", "image": "scan.nrrd", "at": [1, 2, 3], "shape": VOLUME} | changes


def manifest(summary: Summary) -> list[dict[str, str]]:
    with summary.manifest.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_line_gets_a_folder_of_its_own(run: Callable[..., Summary], tmp_path: Path) -> None:
    summary = run(insert(out="a/first"), insert(id="p7"), "   ", "", insert(out="last", shape={"volume_ml": 2}))
    assert (summary.done, summary.kept, summary.failures) == (3, 0, [])
    rows = manifest(summary)
    assert [(row["line"], row["out"], row["status"]) for row in rows] == [
        ("1", "a/first", "done"),
        ("2", "00002", "done"),
        ("5", "last", "done"),
    ]
    assert rows[1]["id"] == "p7" and rows[1]["op"] == "insert" and rows[1]["image"] == "scan.nrrd"
    for row in rows:
        assert read_result(tmp_path / "out" / row["out"])["measured"]["firstorder_Mean"] == 42.0
    assert [float(row["asked_shape_VoxelVolume"]) for row in rows] == [8000.0, 8000.0, 2000.0]
    assert [float(row["measured_shape_VoxelVolume"]) for row in rows] == [8080.0, 8080.0, 2020.0]


def test_models_are_loaded_once_for_each_bundle_and_device(run: Callable[..., Summary], editor: FakeEditor) -> None:
    run(insert(), insert(), insert(device="cpu"), insert(bundle="other"), insert())
    assert editor.opened == [("base", "auto"), ("base", "cpu"), ("other", "auto")]


def test_bad_lines_are_reported_and_the_others_run(run: Callable[..., Summary]) -> None:
    bad = [
        '{"schema": 1',
        "[1]",
        insert(colour="red"),
        insert(shape={"sphericity": 1.2}),
        insert(image="missing.nrrd"),
        insert(image="bug.nrrd"),
        insert(device="cuda"),
    ]
    summary = run(*bad, insert())
    assert summary.done == 1
    assert [failure["line"] for failure in summary.failures] == [1, 2, 3, 4, 5, 6, 7]
    rows = manifest(summary)
    assert [row["status"] for row in rows] == ["failed"] * 7 + ["done"]
    assert "colour" in rows[2]["error"] and "request." in rows[2]["error"]
    assert rows[4]["error"] == "image.missing: missing.nrrd is not there. Check the path."
    assert rows[5]["error"] == "ZeroDivisionError: a bug"
    assert rows[2]["op"] == "insert" and rows[0]["op"] == ""


def test_bytes_that_are_not_text_spoil_one_line_only(tmp_path: Path, editor: FakeEditor) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(insert()).encode() + b"\r\n\xff\xfe\r\n" + json.dumps(insert()).encode())
    summary = run_batch(path, tmp_path / "out", runner=InProcess(editor.open))
    assert [row["status"] for row in manifest(summary)] == ["done", "failed", "done"]


@pytest.mark.parametrize("out", ["../elsewhere", "a/../../b", "a/../b", "/elsewhere", ".", "", "link/x"])
def test_a_line_cannot_write_outside_the_folder(
    run: Callable[..., Summary], tmp_path: Path, editor: FakeEditor, out: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "away").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "away")
    summary = run(insert(out=out))
    assert [failure["line"] for failure in summary.failures] == [1]
    assert editor.ran == [] and list((tmp_path / "away").iterdir()) == []
    assert not (tmp_path / "elsewhere").exists() and not (tmp_path / "b").exists()


def test_an_absolute_folder_inside_is_allowed(run: Callable[..., Summary], tmp_path: Path) -> None:
    assert manifest(run(insert(out=str(tmp_path / "out" / "x"))))[0]["out"] == "x"


def test_two_lines_never_share_a_folder(run: Callable[..., Summary], editor: FakeEditor) -> None:
    outs = ["same", "same", "same/inner", "deep/inner", "deep", "./same", "deep/other", "00009", None]
    summary = run(*(insert(out=out) for out in outs))
    assert [failure["line"] for failure in summary.failures] == [2, 3, 5, 6, 9]
    assert len(editor.ran) == 4
    assert "line 1" in summary.failures[0]["error"]


def test_a_second_run_keeps_what_is_done_and_runs_the_rest(run: Callable[..., Summary], editor: FakeEditor) -> None:
    run(insert(out="a"), insert(out="b", image="missing.nrrd"))
    editor.ran.clear()
    summary = run(insert(out="a", id="renamed"), insert(out="b"), insert(out="c"))
    assert (summary.done, summary.kept, summary.failures) == (2, 1, [])
    assert [Path(request.out or "").name for request in editor.ran] == ["b", "c"]
    row = manifest(summary)[0]
    assert row["status"] == "done" and float(row["measured_shape_VoxelVolume"]) == 8080.0 and float(row["seconds"]) == 1.5


def test_models_are_not_loaded_when_everything_is_done(run: Callable[..., Summary], editor: FakeEditor) -> None:
    run(insert())
    editor.opened.clear()
    assert run(insert()).kept == 1
    assert editor.opened == []


def test_another_request_for_a_finished_folder_needs_overwrite(run: Callable[..., Summary], tmp_path: Path) -> None:
    run(insert(out="a", seed=1))
    summary = run(insert(out="a", seed=2))
    assert "output.exists" in summary.failures[0]["error"] and "(other: seed)" in summary.failures[0]["error"]
    assert read_result(tmp_path / "out" / "a")["request"]["seed"] == 1
    assert run(insert(out="a", seed=2, overwrite=True)).done == 1
    assert read_result(tmp_path / "out" / "a")["request"]["seed"] == 2


def test_a_cancelled_batch_keeps_finished_lines_and_says_what_is_pending(run: Callable[..., Summary], tmp_path: Path) -> None:
    def cancel(stage: str, fraction: float) -> None:
        if stage.startswith("1/3 sampling"):
            raise Cancelled

    with pytest.raises(Cancelled):
        run(insert(), insert(), insert(), progress=cancel)
    rows = manifest(Summary(tmp_path / "out" / "manifest.csv"))
    assert [row["status"] for row in rows] == ["done", "pending", "pending"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [STATE, "00001", "manifest.csv"]


def test_progress_covers_the_whole_batch(run: Callable[..., Summary]) -> None:
    seen: list[tuple[str, float]] = []
    run(insert(out="a"))
    run(insert(out="a"), insert(), insert(), insert(), progress=lambda stage, fraction: seen.append((stage, fraction)))
    running = [(stage.split(",")[0], fraction) for stage, fraction in seen if "looked at" not in stage]
    assert running == [("1/4 sampling", 0.375), ("2/4 sampling", 0.625), ("3/4 sampling", 0.875)]
    assert "left" not in running[0][0] and "/min, " in seen[-1][0] and seen[-1][0].endswith(" left")


def test_the_manifest_stands_after_every_line_of_a_short_batch(
    tmp_path: Path, editor: FakeEditor, run: Callable[..., Summary], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [["running", "pending", "pending"], ["done", "running", "pending"], ["done", "failed", "running"]]
    seen = []

    class SlowEditor(FakeEditor):
        def run(self, request: Request, progress: Progress | None = None) -> Path:
            assert progress is not None
            limit = time.monotonic() + 20.0
            states: list[str] = []
            while states != expected[len(seen)] and time.monotonic() < limit:  # a line takes much longer than the table
                time.sleep(0.02)
                progress("reading", 0.1)
                states = [row["status"] for row in manifest(Summary(tmp_path / "out" / "manifest.csv"))]
            seen.append(states)
            return super().run(request, progress)

    slow = SlowEditor()
    monkeypatch.setattr(editor, "open", lambda bundle, device: slow)
    run(insert(), insert(image="bug.nrrd"), insert())
    assert seen == expected


def test_the_table_takes_its_share_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    writes: list[float] = []

    def write(path: Path, rows: object) -> None:
        writes.append(now[0])
        now[0] += 2.0

    monkeypatch.setattr("TumorSynthLib.batch_table.write_manifest", write)
    table = Table(tmp_path / "manifest.csv", [], lambda: now[0])
    table.write()
    for _ in range(1000):
        now[0] += 1.0
        table.change()
        table.update()
    spent = 2.0 * len(writes)
    assert SHARE / 2 < spent / now[0] < SHARE + 2.0 / now[0]


@pytest.mark.parametrize("out", ["a\0b", "x" * 300, "y/" * 3000, "manifest.csv", "\ud800", "a\nb"])
def test_a_strange_name_spoils_its_own_line_at_most(run: Callable[..., Summary], out: str) -> None:
    rows = manifest(run(insert(out=out, id=out[:10]), insert(out="fine")))
    assert [row["line"] for row in rows] == ["1", "2"] and rows[1]["status"] == "done"


def test_a_file_without_requests_is_refused(tmp_path: Path, editor: FakeEditor) -> None:
    (tmp_path / "empty.jsonl").write_text("\n \n")
    for name in ("empty.jsonl", "missing.jsonl"):
        with pytest.raises(RequestError) as caught:
            run_batch(tmp_path / name, tmp_path / "out", runner=InProcess(editor.open))
        assert caught.value.code == "batch.file"
    assert not (tmp_path / "out").exists()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files that a request names, which have not been changed for a minute."""
    paths = {name: tmp_path / f"{name}.nrrd" for name in ("scan", "mask", "other", "other_mask", "region")}
    for name, path in paths.items():
        change(path, name)
    return {name: str(path) for name, path in paths.items()}


def change(path: str | Path, text: str, age: float = 60.0) -> None:
    """Write a file that seems to be so many seconds old."""
    Path(path).write_text(text)
    os.utime(path, (time.time() - age,) * 2)


@pytest.mark.parametrize("tells_inputs", [False, True])
def test_a_changed_scan_makes_its_lines_run_again(
    run: Callable[..., Summary], editor: FakeEditor, files: dict[str, str], tmp_path: Path, tells_inputs: bool
) -> None:
    editor.tells_inputs = tells_inputs
    lines = insert(image=files["scan"]), insert(image=files["other"])
    run(*lines)
    change(files["scan"], "naca")  # of the same size
    summary = run(*lines)
    assert (summary.done, summary.kept, summary.failures) == (1, 1, [])
    (warning,) = summary.warnings
    assert warning["line"] == 1 and f"image {files['scan']}" in warning["warning"]
    now = read_result(tmp_path / "out" / "00001")
    assert now["source_sha256"] == hashlib.sha256(b"naca").hexdigest()
    assert run(*lines).kept == 2


@pytest.mark.parametrize("changed", ["mask", "other", "other_mask", "region"])
def test_every_file_that_a_request_names_counts(
    run: Callable[..., Summary], editor: FakeEditor, files: dict[str, str], changed: str
) -> None:
    like = {"image": files["other"], "mask": files["other_mask"]}
    line = insert(at=None, image=files["scan"], mask=files["mask"], region=files["region"], like=like)
    run(line)
    assert run(line).kept == 1
    change(files[changed], "something else")
    summary = run(line)
    assert summary.done == 1 and files[changed] in summary.warnings[0]["warning"]


def test_files_of_lesions_are_known_by_their_place() -> None:
    lesions = [{"at": [1, 2, 3]}, {"op": "remove", "mask": "m"}, {"mask": "n", "like": {"image": "i", "mask": "j"}}]
    found = input_files({"image": "s", "labels": "l", "lesions": lesions, "mask": None})
    places = {"lesions.1.mask": "m", "lesions.2.mask": "n", "lesions.2.like.image": "i", "lesions.2.like.mask": "j"}
    assert found == {"image": "s", "labels": "l", **places}


def test_another_bundle_of_the_same_name_makes_lines_run_again(run: Callable[..., Summary], editor: FakeEditor) -> None:
    run(insert(), insert(bundle="other"))
    editor.bundle_sha256 = "11"
    summary = run(insert(), insert(bundle="other"))
    assert summary.done == 2 and "bundle base" in summary.warnings[0]["warning"]
    assert run(insert(), insert(bundle="other")).kept == 2


def test_files_are_read_again_only_when_size_or_time_have_changed(
    run: Callable[..., Summary], files: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[str] = []

    def sha256(path: str) -> str:
        read.append(path)
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()

    monkeypatch.setattr("TumorSynthLib.volume_io.sha256_file", sha256)
    lines = [insert(image=files["scan"], seed=seed) for seed in range(5)]
    run(*lines)
    assert run(*lines).kept == 5 and read == []
    os.utime(files["scan"], (time.time() - 30.0,) * 2)
    assert run(*lines).kept == 5 and read == [files["scan"]]
    change(files["scan"], "scan", age=0.0)  # so young that the next change may not show
    assert run(*lines).kept == 5 and len(read) == 6
    (tmp_path / "out" / STATE / "files.jsonl").unlink()
    os.utime(files["scan"], (time.time() - 30.0,) * 2)
    assert run(*lines).kept == 5 and len(read) == 7


def test_a_scan_that_is_gone_keeps_its_result_and_is_told_of(run: Callable[..., Summary], files: dict[str, str]) -> None:
    run(insert(image=files["scan"]))
    Path(files["scan"]).unlink()
    summary = run(insert(image=files["scan"]))
    assert summary.kept == 1 and "cannot be read" in summary.warnings[0]["warning"]


def test_a_torn_journal_loses_its_last_line_alone(tmp_path: Path, files: dict[str, str]) -> None:
    path = tmp_path / "files.jsonl"
    for name in ("scan", "mask"):
        Journal(path).sha256(files[name])
    path.write_bytes(path.read_bytes()[:-9])
    journal = Journal(path)
    assert list(journal._known) == [files["scan"]]
    journal.sha256(files["other"])
    path.write_bytes(path.read_bytes() + b"\xff\xfe{\n[]\nnull\n")
    assert list(Journal(path)._known) == [files["scan"], files["other"]]


def test_a_folder_of_slices_is_stamped_by_its_files(tmp_path: Path) -> None:
    stamps = [Journal.stamp(str(tmp_path))]
    for name, text in (("1.dcm", "a"), ("2.dcm", "b"), ("2.dcm", "longer")):
        change(tmp_path / name, text)
        stamps.append(Journal.stamp(str(tmp_path)))
    (tmp_path / "1.dcm").unlink()
    stamps += [Journal.stamp(str(tmp_path)), Journal.stamp(str(tmp_path / "none"))]
    assert len(set(stamps)) == 6 and stamps[-1] is None


def test_a_result_of_an_earlier_version_is_kept(run: Callable[..., Summary], tmp_path: Path) -> None:
    run(insert())
    path = tmp_path / "out" / "00001" / "result.json"
    result = json.loads(path.read_text())
    result["request"] = {name: result["request"][name] for name in ("schema", "op", "image", "at", "shape")}
    path.write_text(json.dumps(result))
    assert run(insert()).kept == 1
    path.write_text(json.dumps({**result, "request": {"op": "dance"}}))
    assert "output.exists" in run(insert()).failures[0]["error"]


def test_a_relative_path_is_the_file_that_it_names(
    run: Callable[..., Summary], files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(insert(image="scan.nrrd"))
    assert run(insert(image=files["scan"])).kept == 1
    assert run(insert(image="./a/../scan.nrrd")).kept == 1


def test_a_folder_has_one_batch_at_a_time(run: Callable[..., Summary], tmp_path: Path) -> None:
    refused = []

    def second(stage: str, fraction: float) -> None:
        with pytest.raises(OutputError, match=f"process {os.getpid()} on ") as caught:
            run(insert())
        refused.append(caught.value.code)

    assert run(insert(), progress=second).done == 1
    assert set(refused) == {"batch.locked"}
    assert run(insert()).kept == 1


HOLDER = """
import sys, time
from pathlib import Path
from TumorSynthLib.batch_claim import Claim, seat_lock
from TumorSynthLib.file_lock import FileLock
folder, what = Path(sys.argv[1]), sys.argv[2]
if what == "batch":
    Claim(folder).__enter__()
else:
    lock = seat_lock(folder / ".tumorsynth-batch", 0)
    assert lock.take()
print("ready", flush=True)
time.sleep(float(sys.argv[3]))
"""


def holder(folder: Path, what: str, seconds: float) -> "subprocess.Popen[str]":
    """Another process that holds the folder, or sits in it as a worker."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", HOLDER, str(folder), what, str(seconds)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    return child


def test_the_folder_of_a_killed_batch_is_taken_over(run: Callable[..., Summary], tmp_path: Path) -> None:
    run(insert())
    child = holder(tmp_path / "out", "batch", 60.0)
    with pytest.raises(OutputError, match=f"process {child.pid} on "):
        run(insert())
    child.kill()
    child.wait()
    assert run(insert()).kept == 1


def test_a_batch_begins_when_the_workers_of_the_last_one_are_gone(
    run: Callable[..., Summary], tmp_path: Path, editor: FakeEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(insert())
    (tmp_path / "out" / STATE / "locks").mkdir(exist_ok=True)
    child = holder(tmp_path / "out", "worker", 1.0)
    assert run(insert(out="next")).done == 1
    assert child.poll() is not None or child.wait(0.5) == 0
    child = holder(tmp_path / "out", "worker", 60.0)
    monkeypatch.setattr("TumorSynthLib.batch_claim.LEFTOVER_SECONDS", 0.3)
    with pytest.raises(OutputError, match="Workers of an earlier batch"):
        run(insert())
    child.kill()
    child.wait()
    assert run(insert()).kept == 1


def test_only_the_last_batch_of_a_folder_is_current(tmp_path: Path) -> None:
    with Claim(tmp_path) as first:
        assert is_current(first.state, first.token)
        first.revoke()
        assert not is_current(first.state, first.token)
    with Claim(tmp_path) as second:
        assert not is_current(first.state, first.token) and is_current(second.state, second.token)
    assert not is_current(second.state, second.token)


def test_locks_hold_within_a_process_too_and_a_wait_can_be_given_up(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    with first:
        assert first.take() and not second.take() and not second.wait(0.15)
    assert second.take()

    def give_up() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        first.wait(60.0, give_up)


def test_what_killed_batches_left_is_swept_before_anything_runs(run: Callable[..., Summary], tmp_path: Path) -> None:
    run(insert(out="deep/a"), insert(out="b"))
    child = subprocess.Popen([sys.executable, "-c", ""])
    time.sleep(0.3)  # it has ended, and nobody has asked for its exit code
    out = tmp_path / "out"
    for folder in (out, out / "deep"):
        (folder / f".partial-{child.pid}-0a").mkdir()
        (folder / f".partial-{os.getpid()}-0b").mkdir()
    for name in (".manifest.csv-123", f"{STATE}/.run.json-7", ".manifest.csv-notes"):
        (out / name).write_text("half")
    assert run(insert(out="deep/a"), insert(out="b")).kept == 2
    child.wait()
    assert {path.name for path in out.iterdir()} == {
        STATE,
        "b",
        "deep",
        "manifest.csv",
        ".manifest.csv-notes",
        f".partial-{os.getpid()}-0b",
    }
    assert {path.name for path in (out / "deep").iterdir()} == {"a", f".partial-{os.getpid()}-0b"}
    assert not (out / STATE / ".run.json-7").exists()


def test_a_preview_is_refused_and_the_batchs_own_folder_too(run: Callable[..., Summary], editor: FakeEditor) -> None:
    summary = run(insert(preview=True), insert(out=STATE), insert(out=f"{STATE}/locks/x"), insert())
    codes = [failure["error"].split(":")[0] for failure in summary.failures]
    assert codes == ["batch.preview", "batch.out", "batch.out"] and len(editor.ran) == 1


def test_a_line_with_several_lesions_has_a_row(run: Callable[..., Summary]) -> None:
    lesions = [{"at": [1, 2, 3], "shape": {"volume_ml": 4}, "texture": {"firstorder_Mean": 30}}, {"op": "remove", "mask": "m"}]
    line = {"schema": 1, "op": "lesions", "image": "scan.nrrd", "lesions": lesions}
    (row,) = manifest(run(line))
    assert (row["op"], row["status"], row["measured_firstorder_Mean"]) == ("lesions", "done", "42.0")
    assert not [name for name, value in row.items() if name.startswith("asked_") and value]
    assert run(line).kept == 1


def test_a_row_takes_numbers_by_name_and_nothing_else() -> None:
    row = Row.pending(Line(1), Path())
    result: dict[str, Any] = {"requested": [{"volume": 1}], "measured": {"a": 1.5, "b": None, "c": {"d": 1}}, "timings": {}}
    row.finish(result)
    assert (row.asked, row.measured, row.status) == ({}, {"a": 1.5}, "done")
