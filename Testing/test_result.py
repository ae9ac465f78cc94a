"""Result folders are whole or absent, whatever happens, and say what they are."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from TumorSynthLib import atomic
from TumorSynthLib.errors import Cancelled, OutputError
from TumorSynthLib.result import ResultWriter, build_result, plain, read_result, versions

DEAD_PID = 2**22 + 1  # above the largest process number that Linux gives


def result(**changes: object) -> dict:
    """A complete result.json."""
    values = {
        "requested": {"shape_VoxelVolume": 8000.0},
        "measured": {"shape_VoxelVolume": np.float64(7990.0)},
        "warnings": ["One."],
        "candidates": [{"seed": 1, "kept": True}],
        "timings": {"reading": 0.123456},
        "bundle": {"id": "tiny", "version": "1", "sha256": "00"},
        "device": "cpu",
        "steps": 10,
    }
    return build_result({"schema": 1, "op": "insert", "out": "x"}, **(values | changes))


def write(out: Path, overwrite: bool = False, text: str = "new") -> Path:
    with ResultWriter(out, overwrite) as writer:
        writer.path("image.nrrd").write_text(text)
        writer.write_json(result())
        return writer.commit()


def test_a_result_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with ResultWriter(out) as writer:
        writer.path("image.nrrd").write_text("pixels")
        writer.write_json(result())
        assert not out.exists()
        assert writer.commit() == out
    assert sorted(path.name for path in out.iterdir()) == ["image.nrrd", "result.json"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt(), Cancelled(), SystemExit(143)])
def test_a_run_that_stops_leaves_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), ResultWriter(tmp_path / "deep" / "er" / "out") as writer:
        writer.path("image.nrrd").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_parents_that_were_there_before_stay(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(Cancelled), ResultWriter(tmp_path / "mine" / "out"):
        raise Cancelled
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


def test_a_block_without_commit_writes_nothing(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / "out") as writer:
        writer.path("image.nrrd").write_text("half")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left") as caught, ResultWriter(tmp_path / "out") as writer:
        writer.path("image.nrrd").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.code == "output.failed" and caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_destination_under_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError) as caught, ResultWriter(tmp_path / "file" / "out"):
        pass
    assert caught.value.code == "output.failed"
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_no_file_system_takes_is_an_output_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError) as caught, ResultWriter(f"{tmp_path}/deep/{name}") as writer:
        writer.commit()
    assert caught.value.code == "output.failed"
    assert list(tmp_path.iterdir()) == []


def test_an_existing_result_is_kept_unless_asked(tmp_path: Path) -> None:
    out = write(tmp_path / "out", text="old")
    with pytest.raises(OutputError) as caught:
        ResultWriter(out)
    assert caught.value.code == "output.exists"
    write(out, overwrite=True)
    assert (out / "image.nrrd").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_result_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught, ResultWriter(tmp_path / "out") as writer:
        write(tmp_path / "out", text="first")
        writer.write_json(result())
        writer.commit()
    assert caught.value.code == "output.exists"
    assert (tmp_path / "out" / "image.nrrd").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failed_overwrite_keeps_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = write(tmp_path / "out", text="old")
    rename = Path.rename

    def refuse_new(self: Path, target: Path) -> Path:
        if Path(target) == out and (self / "image.nrrd").read_text() == "new":
            raise PermissionError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(OutputError):
        write(out, overwrite=True)
    assert (out / "image.nrrd").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_overwriting_never_deletes_a_folder_that_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years")
    with pytest.raises(OutputError) as caught:
        ResultWriter(tmp_path / "home", overwrite=True)
    assert caught.value.code == "output.foreign"
    with pytest.raises(OutputError):
        ResultWriter(tmp_path / "home" / "thesis.tex", overwrite=True)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years"


def test_an_empty_folder_may_be_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert read_result(write(tmp_path / "out", overwrite=True))["steps"] == 10


def test_leftovers_of_dead_runs_are_swept_and_those_of_running_ones_kept(tmp_path: Path) -> None:
    dead, alive, old, other = (
        tmp_path / name
        for name in (f".partial-{DEAD_PID}-0a", f".partial-{os.getpid()}-0b", f".partial-{os.getpid()}-0c", ".partial-notes")
    )
    for folder in (dead, alive, old, other):
        folder.mkdir()
    os.utime(old, (time.time() - 90_000,) * 2)
    write(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {alive.name, other.name, "out"}


def test_what_another_computer_is_writing_is_swept_only_when_it_is_old(tmp_path: Path) -> None:
    marks = {"own": atomic._HOST, "other": "f" * 8}
    names = {kind: tmp_path / f".partial-{DEAD_PID}-{mark}{'0' * 12}" for kind, mark in marks.items()}
    assert atomic._HOST != "f" * 8
    for folder in names.values():
        folder.mkdir()
    atomic.sweep(tmp_path)
    assert not names["own"].exists() and names["other"].exists()
    os.utime(names["other"], (1.0, 1.0))
    atomic.sweep(tmp_path)
    assert not names["other"].exists()


def test_a_killed_run_leaves_no_result_and_the_next_run_sweeps(tmp_path: Path) -> None:
    code = (
        "import sys, time; from TumorSynthLib.result import ResultWriter\n"
        f"with ResultWriter({str(tmp_path / 'out')!r}) as writer:\n"
        "    writer.path('image.nrrd').write_text('half'); print('ready', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None and child.stdout.readline().strip() == "ready"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(f".partial-{child.pid}-")
    write(tmp_path / "next")
    assert [path.name for path in tmp_path.iterdir()] == ["next"]


def test_a_link_is_never_swept(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / f".partial-{DEAD_PID}-0a").symlink_to(tmp_path / "kept")
    atomic.sweep(tmp_path)
    assert (tmp_path / "kept").is_dir()


def test_sub_folders_hold_results_of_their_own(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / "out") as writer:
        writer.write_json(result(), "time-1")
        writer.write_json(result())
        out = writer.commit()
    assert read_result(out / "time-1") == read_result(out)


def test_result_json_is_complete_and_strict(tmp_path: Path) -> None:
    values = read_result(write(tmp_path / "out"))
    assert values["synthetic"] == "SYNTHETIC" and values["schema"] == 1
    assert values["measured"] == {"shape_VoxelVolume": 7990.0}
    assert values["timings"] == {"reading": 0.1235}
    assert set(values) == {
        *("request", "requested", "measured", "warnings", "candidates", "timings", "versions", "bundle"),
        *("inputs", "source_sha256", "result_sha256", "changed", "synthetic", "schema", "device", "steps"),
    }


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / "out") as writer:
        writer.write_json(result(measured={"a": float("nan"), "b": np.float32("inf"), "c": np.array([1.0, np.nan])}))
        out = writer.commit()
    text = (out / "result.json").read_text()
    values = json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    assert values["measured"] == {"a": None, "b": None, "c": [1.0, None]}
    assert plain({"path": Path("x"), "pair": (1, True)}) == {"path": "x", "pair": [1, True]}


def test_versions_name_everything_that_numbers_depend_on() -> None:
    assert set(versions()) == {"tumorsynth", "python", "torch", "monai", "SimpleITK", "pyradiomics", "numpy"}
    assert versions()["numpy"] == np.__version__


def test_a_folder_without_a_result_is_told_so(tmp_path: Path) -> None:
    for text in (None, "{", "[]", '{"synthetic": "no"}'):
        if text is not None:
            (tmp_path / "result.json").write_text(text)
        with pytest.raises(OutputError) as caught:
            read_result(tmp_path)
        assert caught.value.code == "output.result"


def test_a_text_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    atomic.write_text(path, "old")
    atomic.write_text(path, "new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError):
        atomic.write_text(tmp_path / "no" / "manifest.csv", "new")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission_is_an_output_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    try:
        with pytest.raises(OutputError), ResultWriter(closed / "out"):
            pass
    finally:
        shutil.rmtree(closed)
