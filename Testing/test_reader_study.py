"""The reader study: a page that holds its images and not its key, and scores against a calculation by hand."""

import base64
import gzip
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_data
from scipy import stats

from TumorSynthLib import finishing
from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.errors import DataError
from TumorSynthLib.evaluate import reader_study
from TumorSynthLib.evaluate.cases import Case
from TumorSynthLib.evaluate.reader_page import page
from TumorSynthLib.evaluate.reader_score import auc, score_answers, told_lines
from TumorSynthLib.evaluate.reader_study import StudySettings, embedded, write_study
from TumorSynthLib.intensity import fit_intensity
from TumorSynthLib.volume import Geometry, Volume

VOID = {"meta", "input", "br", "link"}


class Outline(HTMLParser):
    """Elements of a page; every one that is opened must be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.data: dict[str, str] = {}
        self.links: list[str] = []
        self.current = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.current = named.get("id") or tag
        self.ids += [named["id"]] if named.get("id") else []
        self.links += [value for key, value in attrs if key in ("src", "href") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.data[self.current] = self.data.get(self.current, "") + data


def outline(path: Path) -> Outline:
    found = Outline()
    found.feed(path.read_text(encoding="utf-8"))
    found.close()
    assert not found.open
    return found


def ct_case(affine: np.ndarray, shape: tuple[int, int, int]) -> tuple[Case, np.ndarray]:
    geometry = Geometry(shape, affine)
    points = geometry.to_ras(np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1))
    # Brighter to the right, to the front and upwards.
    array = np.rint(points @ [1.0, 2.0, 3.0]).astype(np.int16)
    center = points[tuple(n // 2 for n in shape)]
    mask = np.linalg.norm(points - center, axis=-1) <= 10.0
    labels = mask.astype(np.uint8)
    return Case("c", "p", Path("c"), DOMAINS[0], Volume(array, geometry), fit_intensity(array, DOMAINS[0]), labels), mask


def voxels(entry: dict[str, Any]) -> np.ndarray:
    raw = gzip.decompress(base64.b64decode(entry["voxels"]))
    return np.frombuffer(raw, "<i2").reshape(entry["shape"]) / entry["scale"]


@pytest.mark.parametrize("flips", [(1.0, 1.0, 1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0)])
def test_slices_are_shown_as_radiologists_look_at_them_whatever_the_axes_of_the_file(flips: tuple[float, ...]) -> None:
    affine = np.diag([2.0 * flips[0], 2.0 * flips[1], 3.0 * flips[2], 1.0])
    case, mask = ct_case(affine, (40, 36, 20))
    entry = embedded(case, case.scan, mask)
    shown = voxels(entry)
    assert entry["pixel_mm"] == [2.0, 3.0]
    # Columns run to the patient's left (-1 HU/mm), rows to the back (-2), slices upwards (+3); values to 1/8 HU.
    assert np.allclose(np.diff(shown, axis=2), -2.0, atol=0.13) and np.allclose(np.diff(shown, axis=1), -4.0, atol=0.13)
    assert np.allclose(np.diff(shown, axis=0), 9.0, atol=0.13)
    expected = case.scan.array[tuple(n // 2 for n in case.scan.array.shape)]
    assert shown[tuple(entry["marker"])] == pytest.approx(expected, abs=6.0)
    assert [one["name"] for one in entry["windows"]] == ["soft tissue", "bone", "lung"]


@pytest.fixture(scope="module")
def study(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    data = tiny_data.write_folder(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader_study, "STEPS", 1)
        patch.setattr(finishing, "NOISE_LEVELS", (1.0,))
        patch.setattr(finishing, "GRAINS", (0.7,))
        patch.setattr(finishing, "MATCHABLE", {"firstorder_Mean": finishing.MATCHABLE["firstorder_Mean"]})
        for name in ("study", "again"):
            write_study(data, "train", folder / f"{name}.html", tiny_bundle, StudySettings(title="A <b> & c"))
    return folder / "study.html"


def test_the_page_is_one_file_that_stands_on_its_own(study: Path) -> None:
    found = outline(study)
    assert not found.links and "http" not in study.read_text().replace("http-equiv", "")
    assert found.data["title"].strip() == "A <b> & c"
    for name in ("view", "slice", "real", "synthetic", "confidence", "windows", "json", "csv", "reader"):
        assert found.ids.count(name) == 1
    script = found.data["script"]
    for name in set(re.findall(r'byId\("(\w+)"\)', script)):
        assert name in found.ids, name


def test_nothing_in_the_page_tells_the_truth(study: Path) -> None:
    key = json.loads(study.with_suffix(".key.json").read_text())
    told = json.loads(outline(study).data["study"])
    assert told["id"] == key["study"] and [case["name"] for case in told["cases"]] == list(key["cases"])
    assert sorted(case["truth"] for case in key["cases"].values()) == ["real", "real", "synthetic"]
    text = study.read_text()
    for entry in key["cases"].values():
        assert entry["source"] not in text and entry["patient"] not in text
    assert all(set(case) == set(told["cases"][0]) for case in told["cases"]) and "truth" not in told["cases"][0]


def test_the_same_seed_gives_the_same_page_and_key(study: Path) -> None:
    for suffix in (".html", ".key.json"):
        assert study.with_suffix(suffix).read_bytes() == study.with_name("again.html").with_suffix(suffix).read_bytes()


def test_data_cannot_end_the_script_that_holds_it() -> None:
    found = Outline()
    found.feed(page("t", "0", [{"name": "</script><script>alert(1)</script>"}]))
    assert json.loads(found.data["study"])["cases"][0]["name"].startswith("</script>")


def test_a_study_needs_two_cases(tiny_bundle: Bundle, tmp_path: Path) -> None:
    data = tiny_data.write_folder(tmp_path)
    with pytest.raises(DataError, match="has 1 such cases"):
        write_study(data, "train", tmp_path / "s.html", tiny_bundle, StudySettings(modality="MR"))


def files(folder: Path, answers: list[tuple[str, int]], truths: list[str]) -> tuple[Path, Path]:
    cases = {f"case {n}": {"source": f"s{n}", "patient": f"p{n}", "truth": truth} for n, truth in enumerate(truths)}
    (folder / "k.json").write_text(json.dumps({"study": "x", "cases": cases}))
    given = [
        {"case": f"case {n}", "answer": answer, "confidence": confidence, "seconds": 2.0 * n}
        for n, (answer, confidence) in enumerate(answers)
    ]
    (folder / "a.json").write_text(json.dumps({"study": "x", "reader": "R", "answers": given}))
    return folder / "a.json", folder / "k.json"


def test_scores_are_those_of_a_calculation_by_hand(tmp_path: Path) -> None:
    truths = ["synthetic"] * 4 + ["real"] * 4
    answers = [
        ("synthetic", 5),
        ("synthetic", 2),
        ("real", 1),
        ("real", 4),
        ("real", 5),
        ("real", 3),
        ("real", 2),
        ("synthetic", 1),
    ]
    found = score_answers(*files(tmp_path, answers, truths))
    assert found["right"] == 5 and found["answered"] == found["cases"] == 8 and found["seconds_median"] == 7.0
    assert found["accuracy"]["value"] == 5 / 8 and found["sensitivity"]["value"] == 2 / 4
    assert found["specificity"]["value"] == 3 / 4
    # Ratings 5, 2, -1, -4 against -5, -3, -2, 1: above are 4, 4, 3 and 1 of 4 each.
    assert found["auc"]["value"] == pytest.approx((4 + 4 + 3 + 1) / 16)
    assert found["p"] == pytest.approx(stats.binomtest(5, 8).pvalue) == pytest.approx(93 / 128)
    for name in ("accuracy", "sensitivity", "specificity", "auc"):
        low, high = found[name]["ci"]
        assert low <= found[name]["value"] <= high
    assert told_lines([found])[0] == "R: 5 of 8 right (p = 0.727)"


def test_the_auc_of_separated_reversed_and_equal_ratings() -> None:
    truth = np.array([True, True, False, False])
    assert auc(truth, np.array([3.0, 2.0, 1.0, -1.0])) == 1.0 and auc(truth, np.array([-3.0, -2.0, 1.0, 2.0])) == 0.0
    assert auc(truth, np.ones(4)) == 0.5 and np.isnan(auc(np.ones(3, bool), np.arange(3.0)))


def test_unanswered_cases_are_left_out_and_one_kind_alone_has_no_auc(tmp_path: Path) -> None:
    answers, key = files(tmp_path, [("synthetic", 3), ("", 1), ("real", 2)], ["synthetic", "real", "synthetic"])
    found = score_answers(answers, key)
    assert found["answered"] == 2 and found["cases"] == 3
    assert found["specificity"] == {"value": None, "ci": None} and found["auc"]["value"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"study": "other"}, "belong to the study other"),
        ({"answers": []}, "no answers"),
        ({"answers": [{"case": "case 9", "answer": "real", "confidence": 3}]}, "no 'case 9'"),
        ({"answers": [{"case": "case 0", "answer": "real", "confidence": 9}]}, "expected 1 to 5"),
    ],
)
def test_answers_that_do_not_fit_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    answers, key = files(tmp_path, [("real", 1)], ["real"])
    answers.write_text(json.dumps({**json.loads(answers.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        score_answers(answers, key)
    answers.write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        score_answers(answers, key)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js runs the page's script")
def test_keys_show_slices_and_record_answers_with_confidence_and_time(study: Path, tmp_path: Path) -> None:
    stub = Path(__file__).with_name("reader_page_stub.js")
    done = subprocess.run(["node", str(stub), str(study)], capture_output=True, text=True, timeout=60, check=True)
    seen = json.loads(done.stdout)
    case = json.loads(outline(study).data["study"])["cases"][0]
    slice_shown, window = voxels(case)[case["marker"][0]], case["windows"][0]
    gray = np.clip(255.0 * (slice_shown - window["low"]) / (window["high"] - window["low"]), 0.0, 255.0)
    assert seen["first"]["size"] == [case["shape"][2], case["shape"][1]]
    assert np.abs(np.array(seen["first"]["gray"]) - gray.ravel()).max() <= 1.0
    assert seen["refused"] == 1, "without an answer there is no next case"
    assert [text.split(",")[0] for text in seen["where"]] == ["case 01 of 3", "case 02 of 3"]
    (tmp_path / "answers.json").write_text(seen["files"]["answers.json"])
    found = score_answers(tmp_path / "answers.json", study.with_suffix(".key.json"))
    assert [row["rating"] for row in found["answers"]] == [4, -1] and all(row["seconds"] > 0.1 for row in found["answers"])
    assert [line.split(",")[3:5] for line in seen["files"]["answers.csv"].splitlines()[1:]] == [
        ['"synthetic"', '"4"'],
        ['"real"', '"1"'],
    ]
    assert seen["kept"] == [f"reader-study-{found['study']}"]
