"""The program: options become requests, failures one line on stderr, and machines read JSON alone."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from TumorSynthLib.bundle import MODELS_VARIABLE, domain_entry, write_bundle
from TumorSynthLib.cli import OPERATIONS, app
from TumorSynthLib.cli.options import PARAMETERS
from TumorSynthLib.cli.report import progress_bar, show_result
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.errors import ImageError
from TumorSynthLib.evaluate import Options
from TumorSynthLib.feature_names import SHAPE_FEATURES, TEXTURE_FEATURES
from TumorSynthLib.protocol import OPS, Request, parse_request
from TumorSynthLib.result import ResultWriter, build_result
from TumorSynthLib.train.readers.record import ReaderOptions
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import write_volume

ROOT = Path(__file__).parent.parent


def fake_run(request: Request, *, bundle: Any = None, progress: Any = None) -> Path:
    """A pipeline that only writes a result folder."""
    if request.image == "missing.nrrd":
        raise ImageError("image.missing", "missing.nrrd\nis not there.", "Check the path.")
    if request.image == "stop.nrrd":
        raise KeyboardInterrupt
    if request.image == "disk.nrrd":
        raise OSError(28, "No space left on device")
    assert request.out is not None
    with ResultWriter(request.out, request.overwrite) as writer:
        writer.path("preview.png").write_bytes(b"png")
        writer.write_json(
            build_result(
                request.to_dict(),
                requested={"shape_VoxelVolume": 8000.0, "glcm_Contrast": 8.1},
                measured={"shape_VoxelVolume": 7984.0, "glcm_Contrast": 8.3, "firstorder_Mean": 41.0, "glcm_Idm": 0.4},
                warnings=["The tumor touches the border."],
                candidates=[],
                timings={},
                bundle={"id": "tiny", "version": "1", "sha256": "00"},
                device="cpu",
                steps=request.steps,
            )
        )
        return writer.commit()


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Calls the program in an empty folder, with a pipeline that keeps the last request in ``call.requests``."""
    requests: list[Request] = []

    def run(request: Request, **options: Any) -> Path:
        requests.append(request)
        return fake_run(request, **options)

    pipeline = ModuleType("TumorSynthLib.pipeline")
    pipeline.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "TumorSynthLib.pipeline", pipeline)
    monkeypatch.chdir(tmp_path)

    def invoke(*words: object) -> Any:
        return CliRunner().invoke(app, " ".join(map(str, words)).split())

    invoke.requests = requests  # type: ignore[attr-defined]
    return invoke


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the bundle ``tiny``."""
    info = {
        "id": "tiny",
        "version": "1",
        "licence": "CC-BY-4.0",
        "intended_use": "Tests.",
        "training_data": ["none"],
        "domains": [domain_entry(domain, {}) for domain in DOMAINS if domain.id in ("abdomen-ct", "brain-t1")],
        "networks": {},
    }
    write_bundle(tmp_path / "models" / "tiny", info, {"codec": {"a": torch.zeros(1)}}, "# Card\n")
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


def one_line(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1 and "Traceback" not in text


def test_options_become_the_request(call: Any) -> None:
    words = "insert scan.nii.gz --at -30 12 -85.5 --volume-ml 8 --sphericity 0.8 --shape shape_MajorAxisLength=31"
    words += " --texture firstorder_Mean=-45 --texture glcm_Contrast=8.1 --domain lung-ct --steps 20 --guidance 2"
    words += " --candidates 4 --seed 7 --device cpu --no-noise --format nii.gz --out out --region organ.nrrd"
    words += " --like-image a.nrrd --like-mask b.nrrd --like-label 3 --bundle tiny --method bridge"
    outcome = call(words)
    assert outcome.exit_code == 0, outcome.stderr
    expected = {
        "schema": 1,
        "op": "insert",
        "image": "scan.nii.gz",
        "at": [-30, 12, -85.5],
        "shape": {"volume_ml": 8, "sphericity": 0.8, "shape_MajorAxisLength": 31},
        "texture": {"firstorder_Mean": -45, "glcm_Contrast": 8.1},
        "like": {"image": "a.nrrd", "mask": "b.nrrd", "label": 3},
        "region": "organ.nrrd",
        "domain": "lung-ct",
        "bundle": "tiny",
        "method": "bridge",
        "steps": 20,
        "guidance": 2,
        "candidates": 4,
        "seed": 7,
        "device": "cpu",
        "noise": False,
        "format": "nii.gz",
        "out": "out",
    }
    assert call.requests == [parse_request(expected)]


def test_what_is_not_given_is_left_to_the_defaults(call: Any) -> None:
    assert call("insert", "scan.nrrd", "--box", -1, -2, -3, 4, 5, 6, "--out", "a").exit_code == 0
    assert call("remove", "scan.nrrd", "--mask", "m.nrrd", "--label", 2, "--out", "b").exit_code == 0
    assert call("shape", "--volume-ml", 5, "--out", "c").exit_code == 0
    assert call("move", "scan.nrrd", "--mask", "m.nrrd", "--to", -1, 2, 3, "--out", "d").exit_code == 0
    assert call("grow scan.nrrd --mask m.nrrd --volumes-ml 4 --volumes-ml 8.5 --out e").exit_code == 0
    assert call("edit scan.nrrd --mask m.nrrd --texture firstorder_Mean=3 --out f").exit_code == 0
    inserted = {"op": "insert", "image": "scan.nrrd", "box": [[-1, -2, -3], [4, 5, 6]], "out": "a"}
    removed = {"op": "remove", "image": "scan.nrrd", "mask": "m.nrrd", "label": 2, "out": "b"}
    shaped = {"op": "shape", "shape": {"volume_ml": 5}, "out": "c"}
    moved = {"op": "move", "image": "scan.nrrd", "mask": "m.nrrd", "to": [-1, 2, 3], "out": "d"}
    grown = {"op": "grow", "image": "scan.nrrd", "mask": "m.nrrd", "volumes_ml": [4, 8.5], "out": "e"}
    edited = {"op": "edit", "image": "scan.nrrd", "mask": "m.nrrd", "texture": {"firstorder_Mean": 3}, "out": "f"}
    expected = (inserted, removed, shaped, moved, grown, edited)
    assert call.requests == [parse_request({"schema": 1} | values) for values in expected]


def test_every_option_of_every_operation_is_a_field_of_the_request() -> None:
    fields = set(Request.__dataclass_fields__)
    parts = {"volume_ml", "sphericity", "elongation", "flatness", "like_image", "like_mask", "like_label", "json", "worker"}
    parts |= {"core_label", "core_share", "core_shape", "core_texture"}
    for parameters in PARAMETERS.values():
        assert {parameter.name for parameter in parameters} <= fields | parts


def test_every_operation_is_offered(call: Any) -> None:
    listed = re.findall(r"^  ([a-z-]+)  ", call("--help").stdout.partition("Commands:")[2], re.MULTILINE)
    assert {*OPERATIONS, "lesions"} == set(OPS), "lesions are too much for options; `run` takes them from a file"
    others = ["run", "batch", "plan", "ranges", "features", "bundles", "dicom", "prepare", "evaluate", "reader-study"]
    assert listed == [*OPERATIONS, *others]
    outcome = call("enhance", "scan.nrrd", "--mask", "m.nrrd", "--out", "a")
    assert outcome.exit_code == 2 and one_line(outcome.stderr)


@pytest.mark.parametrize(
    "words",
    [
        "insert",
        "insert scan.nrrd --at 1 2 3",
        "insert scan.nrrd --at 1 2 --out a",
        "insert scan.nrrd --at 1 2 x --out a",
        "insert scan.nrrd --at 1 2 3 --out a --seed one",
        "insert scan.nrrd --at 1 2 3 --out a --shape sphericity",
        "insert scan.nrrd --at 1 2 3 --out a --shape sphericity=round",
        "insert scan.nrrd --at 1 2 3 --out a --shape volume_ml=3 --volume-ml 4",
        "insert scan.nrrd --at 1 2 3 --out a --colour red",
        "remove scan.nrrd --mask m.nrrd --out a --texture firstorder_Mean=1",
        "features scan.nrrd m.nrrd",
        "dance",
    ],
)
def test_a_command_that_cannot_be_understood_exits_with_2_and_one_line(call: Any, words: str) -> None:
    outcome = call(words)
    assert outcome.exit_code == 2 and outcome.stdout == "" and one_line(outcome.stderr)
    assert call.requests == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("insert scan.nrrd --out a", "'at', 'mask' and 'box'"),
        ("insert scan.nrrd --at 1 2 3 --out a --sphericity 1.5", "sphericity"),
        ("insert scan.nrrd --at 1 2 nan --out a", "at"),
        ("insert scan.nrrd --at 1 2 3 --out a --texture glcm_Contrst=1", "glcm_Contrast"),
        ("insert scan.nrrd --at 1 2 3 --out a --bundle ../base", "bundle"),
        ("insert missing.nrrd --at 1 2 3 --out a", "missing.nrrd is not there.  Check the path."),
        ("insert disk.nrrd --at 1 2 3 --out a", "No space left on device"),
        ("batch missing.jsonl --out a", "missing.jsonl"),
    ],
)
@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_an_error_exits_with_1_and_one_line_with_a_hint(call: Any, words: str, told: str, json_flag: list[str]) -> None:
    outcome = call(words, *json_flag)
    assert outcome.exit_code == 1 and outcome.stdout == "" and one_line(outcome.stderr)
    assert told in outcome.stderr


def test_no_command_at_all_shows_the_help(call: Any) -> None:
    outcome = call()
    assert outcome.exit_code == 2 and outcome.stdout == ""
    assert outcome.stderr.startswith("Usage: ") and "\n  insert " in outcome.stderr


def test_a_bar_is_drawn_on_a_terminal_and_a_line_a_minute_written_to_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    log, now = io.StringIO(), [1000.0]
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress_bar(quiet=False) as progress:
        assert progress is not None
        for second in range(0, 200, 10):
            now[0] = 1000.0 + second
            progress("making", second / 400)
    assert log.getvalue().splitlines() == [f"making: {15 * minute}% after {minute} min" for minute in (1, 2, 3)]
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(quiet=True) as progress:
        assert progress is None
    with progress_bar(quiet=False) as progress:
        assert progress is not None
        progress("sampling", 0.5)
    assert "sampling" in sys.stderr.getvalue() and "50%" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_ctrl_c_exits_with_130(call: Any) -> None:
    outcome = call("insert", "stop.nrrd", "--at", 1, 2, 3, "--out", "a")
    assert outcome.exit_code == 130 and "Traceback" not in outcome.stderr and outcome.stdout == ""


def test_people_see_where_the_result_is_and_how_well_it_fits(call: Any, tmp_path: Path) -> None:
    outcome = call("insert", "scan.nrrd", "--at", 1, 2, 3, "--out", "a")
    assert outcome.stdout.splitlines() == [
        f"result   {tmp_path / 'a'}",
        f"picture  {tmp_path / 'a' / 'preview.png'}",
        "feature            requested    measured",
        "volume in mL               8       7.984",
        "glcm_Contrast            8.1         8.3",
        "firstorder_Mean            -          41",
        "warning: The tumor touches the border.",
    ]


def test_machines_see_json_alone(call: Any, tmp_path: Path) -> None:
    outcome = call("insert", "scan.nrrd", "--at", 1, 2, 3, "--out", "a", "--json")
    values = json.loads(outcome.stdout)
    assert outcome.stderr == "" and values.pop("out") == str(tmp_path / "a")
    assert values == json.loads((tmp_path / "a" / "result.json").read_text())


def test_of_a_series_every_part_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = {"synthetic": "SYNTHETIC", "requested": {"shape_VoxelVolume": 4000.0}, "measured": {}, "warnings": []}
    with ResultWriter(tmp_path / "out") as writer:
        for name in ("01", "02"):
            writer.write_json(part, name)
        writer.write_json({**part, "series": ["01", "02"]})
        folder = writer.commit()
    show_result(folder, as_json=False)
    assert [line for line in capsys.readouterr().out.splitlines() if "result" in line] == [
        f"result   {folder / '01'}",
        f"result   {folder / '02'}",
    ]
    show_result(folder, as_json=True)
    assert json.loads(capsys.readouterr().out)["parts"] == [part, part]


def test_an_existing_result_is_replaced_only_when_asked(call: Any) -> None:
    words = ["insert", "scan.nrrd", "--at", 1, 2, 3, "--out", "a"]
    assert [call(*words).exit_code, call(*words).exit_code, call(*words, "--overwrite").exit_code] == [0, 1, 0]


@pytest.fixture
def scan(tmp_path: Path) -> tuple[np.ndarray, np.ndarray, Geometry]:
    """A scan, ``scan.nrrd``, and label 2 of ``mask.nrrd``; returned as arrays with their grid."""
    rng = np.random.default_rng(0)
    geometry = Geometry((20, 18, 16), np.diag([0.8, 0.8, 2.5, 1.0]))
    x = rng.normal(40.0, 30.0, geometry.shape).round().astype(np.int16)
    labels = np.zeros(geometry.shape, np.uint8)
    labels[4:12, 5:13, 4:10] = 2
    labels[15:18, 2:5, 2:5] = 1
    write_volume(Volume(x, geometry), tmp_path / "scan.nrrd")
    write_volume(Volume(labels, geometry), tmp_path / "mask.nrrd")
    return x, labels == 2, geometry


def test_features_are_flat_complete_and_measured_on_the_label(call: Any, models: Path, scan: Any) -> None:
    x, inside, geometry = scan
    outcome = call("features scan.nrrd mask.nrrd --domain abdomen-ct --label 2 --bundle tiny --json")
    values = json.loads(outcome.stdout)
    assert set(values) == {*SHAPE_FEATURES, *TEXTURE_FEATURES}
    assert values["firstorder_Mean"] == pytest.approx(x[inside].mean())
    assert values["firstorder_Variance"] == pytest.approx(x[inside].var())
    assert values["shape_VoxelVolume"] == pytest.approx(inside.sum() * geometry.voxel_volume_mm3)


def test_features_of_mr_are_measured_in_percent_of_the_whole_scan(call: Any, models: Path, scan: Any) -> None:
    x, inside, _ = scan
    outcome = call("features scan.nrrd mask.nrrd --domain brain-t1 --label 2 --bundle tiny --json")
    low, high = np.percentile(x, [0.5, 99.5])
    expected = 100 * (x[inside].mean() - low) / (high - low)
    assert json.loads(outcome.stdout)["firstorder_Mean"] == pytest.approx(expected, rel=1e-5)


def test_features_of_people_are_a_list(call: Any, models: Path, scan: Any) -> None:
    outcome = call("features scan.nrrd mask.nrrd --domain abdomen-ct --label 2 --bundle tiny")
    assert re.search(r"^shape_VoxelVolume +614\.4$", outcome.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("features scan.nrrd mask.nrrd --domain moon-ct --bundle tiny", "abdomen-ct, brain-t1"),
        ("features scan.nrrd mask.nrrd --domain abdomen-ct --bundle tiny --label 9", "9"),
        ("features no.nrrd mask.nrrd --domain abdomen-ct --bundle tiny", "no.nrrd"),
        ("features scan.nrrd mask.nrrd --domain abdomen-ct --bundle nothing", "tiny"),
    ],
)
def test_features_that_cannot_be_measured_are_one_line(call: Any, models: Path, scan: Any, words: str, told: str) -> None:
    outcome = call(words, "--json")
    assert outcome.exit_code == 1 and outcome.stdout == "" and one_line(outcome.stderr) and told in outcome.stderr


def test_bundles_are_listed_with_licence_and_domains(call: Any, models: Path) -> None:
    (entry,) = [entry for entry in json.loads(call("bundles", "--json").stdout) if entry["id"] == "tiny"]
    assert entry["licence"] == "CC-BY-4.0" and entry["version"] == "1" and len(entry["sha256"]) == 64
    assert entry["methods"] == [], "it has no network for textures"
    assert entry["domains"][0] == {"id": "abdomen-ct", "organ": "abdomen", "modality": "CT", "unit": "HU", "rim": False}
    listed = call("bundles").stdout
    assert "tiny 1, CC-BY-4.0" in listed and "abdomen-ct" in listed and "methods: none" in listed


def test_a_broken_bundle_is_listed_as_such(call: Any, models: Path) -> None:
    (models / "tiny" / "CARD.md").unlink()
    outcome = call("bundles", "--json")
    (entry,) = [entry for entry in json.loads(outcome.stdout) if entry["id"] == "tiny"]
    assert outcome.exit_code == 1 and "CARD.md" in entry["error"]


def test_prepare_and_evaluate_pass_their_options_on(call: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    prepare, evaluation = ModuleType("TumorSynthLib.train.prepare_public"), ModuleType("TumorSynthLib.evaluate")
    report = SimpleNamespace(table="2 scans", kept=1, files=("a", "b"), voxel_gb=0.5)
    prepare.prepare_data = lambda *values: seen.append(values) or report  # type: ignore[attr-defined]
    prepare.Wanted = lambda *values: values  # type: ignore[attr-defined]
    evaluation.run = lambda *values: seen.append(values) or {"cases": 3}  # type: ignore[attr-defined]
    evaluation.Options = lambda **values: values  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, prepare.__name__, prepare)
    monkeypatch.setitem(sys.modules, evaluation.__name__, evaluation)
    outcome = call(
        "prepare --data d --data e --split train --out f.npz --only lung-ct --label 2 --roi gtv --processes 3 --seed 4"
    )
    assert outcome.exit_code == 0 and "2 scans" in outcome.stdout and "1 of 2 scans from the cache" in outcome.stdout
    outcome = call("evaluate --data d --split test --table tumors --out r --bundle tiny --limit 3 --keep-files --json")
    assert json.loads(outcome.stdout) == {"cases": 3}
    reader = ReaderOptions("", (2,), "gtv")
    assert seen[0][:2] == ([Path("d"), Path("e")], Path("f.npz")) and seen[0][3:] == (3, None)
    assert seen[0][2] == ("train", "", reader, ("lung-ct",), None, 4, 0.2)
    assert seen[1][:4] == (Path("d"), "test", "tumors", Path("r")) and seen[1][4].id == "tiny"
    assert seen[1][5:7] == (3, None) and seen[1][7]["keep_files"] is True
    assert seen[1][7] | {"keep_files": False} == asdict(Options()), "what is not given is as the library has it"
    compared = f"--bundle tiny --bundle old={models / 'tiny'}"
    outcome = call(f"evaluate --data d --split test --table methods --out r --steps 4,50 {compared}")
    assert outcome.exit_code == 0 and list(seen[2][7]["bundles"]) == ["tiny", "old"] and seen[2][4].id == "tiny"
    assert seen[2][7]["sampling_steps"] == (4, 50) and seen[2][7]["steps"] == Options().steps
    assert call("evaluate --data d --split test --table downstream --out r --bundle tiny --steps 20").exit_code == 0
    assert seen[3][7]["steps"] == 20 and seen[3][7]["bundles"] == {} and seen[3][7]["sampling_steps"] == ()
    few = "--feature firstorder_Mean --feature glcm_Contrast"
    assert call(f"evaluate --data d --split test --table sensitivity --out r --bundle tiny {few}").exit_code == 0
    assert seen[4][7]["features"] == ("firstorder_Mean", "glcm_Contrast") and seen[3][7]["features"] == ()
    for wrong in ("--table methods --steps 4,x", "--table methods --steps 0", "--table downstream --steps 4,10"):
        outcome = call(f"evaluate --data d --split test --out r --bundle tiny {wrong}")
        assert outcome.exit_code == 2 and "--steps found" in outcome.stderr
    for wrong in (f"texture {compared}", "methods --bundle tiny --bundle tiny", "methods --bundle =tiny"):
        outcome = call(f"evaluate --data d --split test --out r --table {wrong}")
        assert outcome.exit_code == 2 and "--bundle" in outcome.stderr and len(seen) == 5


def test_a_batch_with_a_bad_line_exits_with_1(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Editor:
        def run(self, request: Request, progress: Any = None) -> Path:
            return fake_run(request)

    monkeypatch.setattr("TumorSynthLib.batch_runners.load_editor", lambda bundle, device: Editor())
    monkeypatch.setattr("TumorSynthLib.batch.installed_bundle", lambda name: "00")
    good = '{"schema": 1, "op": "insert", "image": "scan.nrrd", "at": [1, 2, 3]}'
    (tmp_path / "r.jsonl").write_text(good + "\n{\n")
    outcome = call("batch", "r.jsonl", "--out", "results", "--json")
    values = json.loads(outcome.stdout)
    assert outcome.exit_code == 1 and outcome.stderr.startswith("error: line 2: request.json: ")
    assert (values["done"], values["kept"], [failure["line"] for failure in values["failures"]]) == (1, 0, [2])
    (tmp_path / "r.jsonl").write_text(good)
    outcome = call("batch", "r.jsonl", "--out", "results")
    assert outcome.exit_code == 0 and "0 done, 1 there already, 0 failed" in outcome.stdout


def python(*words: str, **options: Any) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *words], text=True, env=environment, **pipes, **options)


def test_the_module_is_the_program() -> None:
    child = python("-m", "TumorSynthLib", "insert", "scan.nrrd", "--out", "x")
    out, err = child.communicate()
    assert child.returncode == 1 and out == "" and one_line(err)


def test_help_waits_for_nothing_heavy() -> None:
    heavy = "{'torch', 'monai', 'SimpleITK', 'radiomics', 'scipy', 'numpy'}"
    code = f"import sys; from TumorSynthLib.cli import app\ntry: app(['--help'])\nfinally: print({heavy} & set(sys.modules))"
    out, _ = python("-c", code).communicate()
    assert "Usage: " in out and out.endswith("set()\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_nothing_half_written(tmp_path: Path, number: int, code: int) -> None:
    program = (
        "import sys, time; from types import ModuleType, SimpleNamespace; from TumorSynthLib.result import ResultWriter\n"
        "def run(request, **options):\n"
        "    with ResultWriter(request.out) as writer:\n"
        "        writer.path('image.nrrd').write_text('half'); print('ready', flush=True); time.sleep(60)\n"
        "sys.modules['TumorSynthLib.pipeline'] = pipeline = ModuleType('pipeline'); pipeline.run = run\n"
        "sys.argv = 'tumorsynth insert scan.nrrd --at 1 2 3 --out out'.split()\n"
        "from TumorSynthLib.cli import main; main()"
    )
    child = python("-c", program, cwd=tmp_path)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    child.send_signal(number)
    _, err = child.communicate(timeout=20)
    assert child.returncode == code and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_reader_study_is_written_and_scored(call: Any, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        "TumorSynthLib.evaluate.reader_study.write_study", lambda *values: seen.append(values) or Path("s.key.json")
    )
    outcome = call("reader-study --data d --out s.html --bundle tiny --modality MR --cases 4 --seed 2")
    assert outcome.exit_code == 0 and "s.key.json" in outcome.stdout
    assert seen[0][:3] == (Path("d"), "test", Path("s.html")) and seen[0][3].id == "tiny"
    assert (seen[0][4].modality, seen[0][4].cases, seen[0][4].seed) == ("MR", 4, 2)
    assert call("reader-study --data d").exit_code == 2
    cases = {f"case {n}": {"source": "s", "patient": f"p{n}", "truth": ("real", "synthetic")[n % 2]} for n in range(4)}
    (tmp_path / "k.json").write_text(json.dumps({"study": "x", "cases": cases}))
    answers = [{"case": name, "answer": "real", "confidence": 2, "seconds": 3.0} for name in cases]
    (tmp_path / "a.json").write_text(json.dumps({"study": "x", "reader": "R", "answers": answers}))
    outcome = call("reader-study", "score", str(tmp_path / "a.json"), "--key", str(tmp_path / "k.json"))
    assert outcome.exit_code == 0 and outcome.stdout.startswith("R: 2 of 4 right (p = 1.000)")
    (found,) = json.loads(
        call("reader-study", "score", str(tmp_path / "a.json"), "--key", str(tmp_path / "k.json"), "--json").stdout
    )
    assert found["sensitivity"]["value"] == 0.0 and found["specificity"]["value"] == 1.0
    outcome = call("reader-study", "score", str(tmp_path / "a.json"), "--key", str(tmp_path / "none.json"))
    assert outcome.exit_code == 1 and one_line(outcome.stderr)
