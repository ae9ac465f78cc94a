"""A batch: one result folder a line, bad lines reported, finished ones kept, a manifest that tells of all."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from TumorSynthLib.batch import Progress, Summary, run_batch
from TumorSynthLib.errors import Cancelled, DeviceError, ImageError, RequestError
from TumorSynthLib.protocol import Request
from TumorSynthLib.result import ResultWriter, build_result, read_result

VOLUME = {"volume_ml": 8.0}


@dataclass
class FakeEditor:
    """Writes results without networks: the measured volume is 1 % too large."""

    ran: list[Request] = field(default_factory=list)
    opened: list[tuple[str, str]] = field(default_factory=list)

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
        with ResultWriter(request.out, request.overwrite) as writer:
            writer.write_json(
                build_result(
                    request.to_dict(),
                    requested=asked,
                    measured=measured,
                    warnings=[],
                    candidates=[],
                    timings={"sampling": 1.5},
                    bundle={"id": request.bundle, "version": "1", "sha256": "00"},
                    device="cpu",
                    steps=request.steps,
                )
            )
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
        return run_batch(path, tmp_path / "out", progress, editor.open)

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
    summary = run_batch(path, tmp_path / "out", open_runner=editor.open)
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
    assert "output.exists" in summary.failures[0]["error"]
    assert read_result(tmp_path / "out" / "a")["request"]["seed"] == 1
    assert run(insert(out="a", seed=2, overwrite=True)).done == 1
    assert read_result(tmp_path / "out" / "a")["request"]["seed"] == 2


def test_a_cancelled_batch_keeps_finished_lines_and_says_what_is_pending(run: Callable[..., Summary], tmp_path: Path) -> None:
    def cancel(stage: str, fraction: float) -> None:
        if stage.startswith("2/"):
            raise Cancelled

    with pytest.raises(Cancelled):
        run(insert(), insert(), insert(), progress=cancel)
    rows = manifest(Summary(tmp_path / "out" / "manifest.csv"))
    assert [row["status"] for row in rows] == ["done", "pending", "pending"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00001", "manifest.csv"]


def test_progress_covers_the_whole_batch(run: Callable[..., Summary]) -> None:
    seen: list[tuple[str, float]] = []
    run(insert(), insert(), progress=lambda stage, fraction: seen.append((stage, fraction)))
    assert seen == [("1/2 sampling", 0.25), ("2/2 sampling", 0.75)]


def test_the_manifest_stands_after_every_line(tmp_path: Path, editor: FakeEditor, run: Callable[..., Summary]) -> None:
    seen = []

    def look(stage: str, fraction: float) -> None:
        seen.append([row["status"] for row in manifest(Summary(tmp_path / "out" / "manifest.csv"))])

    run(insert(), insert(image="missing.nrrd"), insert(), progress=look)
    assert seen == [["pending"] * 3, ["done", "pending", "pending"], ["done", "failed", "pending"]]


@pytest.mark.parametrize("out", ["a\0b", "x" * 300, "y/" * 3000, "manifest.csv", "\ud800", "a\nb"])
def test_a_strange_name_spoils_its_own_line_at_most(run: Callable[..., Summary], out: str) -> None:
    rows = manifest(run(insert(out=out, id=out[:10]), insert(out="fine")))
    assert [row["line"] for row in rows] == ["1", "2"] and rows[1]["status"] == "done"


def test_a_file_without_requests_is_refused(tmp_path: Path, editor: FakeEditor) -> None:
    (tmp_path / "empty.jsonl").write_text("\n \n")
    for name in ("empty.jsonl", "missing.jsonl"):
        with pytest.raises(RequestError) as caught:
            run_batch(tmp_path / name, tmp_path / "out", open_runner=editor.open)
        assert caught.value.code == "batch.file"
    assert not (tmp_path / "out").exists()
