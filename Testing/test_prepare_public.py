"""From public data sets to a training file: what is in it, what is left out, and that work is never done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import public_data
import pydicom
import pytest
from typer.testing import CliRunner

from TumorSynthLib.cli import app
from TumorSynthLib.configs import ShapeConfig, WorkConfig
from TumorSynthLib.dataset import CORE, HEALTHY, REST, TUMOR, load_training_data, save_training_data, shapes_file
from TumorSynthLib.errors import DataError, ImageError
from TumorSynthLib.train import case_cache, case_pool, cases
from TumorSynthLib.train.case_cache import CaseCache
from TumorSynthLib.train.case_pool import Failure, run_cases
from TumorSynthLib.train.case_shapes import BANK, chosen_shapes
from TumorSynthLib.train.cases import Settings
from TumorSynthLib.train.lesions import Cut, isotropic, split_lesions, toward_lps
from TumorSynthLib.train.merge import merge_training_files
from TumorSynthLib.train.prepare_public import Wanted, prepare_data
from TumorSynthLib.train.readers.record import ReaderOptions, Record
from TumorSynthLib.train.regions import Plan
from TumorSynthLib.volume import Box, Geometry

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = Settings(Plan(tumor=1, part=1, healthy=2), WorkConfig(size=32), Cut(margin_mm=20.0))
ALL = Wanted("all")


def prepare(folder: Path, out: Path, wanted: Wanted = ALL, processes: int = 0, settings: Settings = SETTINGS) -> Any:
    return prepare_data([folder], out, wanted, processes, settings=settings)


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return public_data.write_kits(tmp_path_factory.mktemp("kits"), 3)


@pytest.fixture(scope="module")
def written(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training file of KiTS, made by two processes."""
    out = tmp_path_factory.mktemp("out") / "kits.npz"
    prepare(kits, out, processes=2)
    return out


def test_a_training_file_has_the_scans_their_licence_and_the_features_of_the_tumor(written: Path) -> None:
    data = load_training_data(written)
    assert [image.id for image in data.images] == [f"kits23/case_0000{n}" for n in range(3)]
    assert {image.patient for image in data.images} == {f"kits23/case_0000{n}" for n in range(3)}
    assert all("CC BY-NC-SA 4.0" in image.licence and image.domain.id == "abdomen-ct" for image in data.images)
    mean = data.names.index("firstorder_Mean")
    for number, region in enumerate(data.regions):
        if region.kind == TUMOR:
            assert region.volume_mm3 == pytest.approx(public_data.BALL_MM3, rel=0.03)
            inside = public_data.ball()
            expected = public_data.image("CT", region.image, inside)[inside].mean()
            assert float(data.features[number, mean]) == pytest.approx(float(expected), abs=0.1)
            assert data.mask(number).sum() * region.spacing**3 == pytest.approx(public_data.BALL_MM3, rel=0.1)
    kinds = [region.kind for region in data.regions]
    assert kinds.count(TUMOR) == kinds.count(CORE) == kinds.count(REST) == 3 and kinds.count(HEALTHY) >= 3


def test_a_crop_has_the_margin_and_its_place_in_the_scan_and_knows_every_lesion(written: Path) -> None:
    image = load_training_data(written).images[0]
    inside = public_data.ball()
    low, high = (np.argwhere(inside).min(axis=0), np.argwhere(inside).max(axis=0) + 1)
    margin = np.ceil(20.0 / np.array(public_data.SPACING)).astype(int)
    start, stop = np.maximum(low - margin, 0), np.minimum(high + margin, public_data.SIZE)
    assert image.counts.shape == tuple(stop - start)
    assert np.allclose(image.geometry.to_ras(np.zeros(3)), start * public_data.SPACING * np.array([-1.0, -1.0, 1.0]))
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    expected = public_data.image("CT", 0, inside)[box]
    assert np.abs(image.counts * image.step - expected).max() <= 0.5 + 1e-3
    lesions = (inside | public_data.ball((8.0, 8.0, 8.0), 7.0))[box]
    assert image.tumors is not None
    assert np.array_equal(np.unpackbits(image.tumors)[: lesions.size].reshape(lesions.shape).astype(bool), lesions)


def test_healthy_regions_keep_clear_of_tumor_and_cyst(written: Path) -> None:
    data = load_training_data(written)
    mean = data.names.index("firstorder_Mean")
    found = [float(data.features[n, mean]) for n, region in enumerate(data.regions) if region.kind == HEALTHY]
    assert len(found) >= 3 and max(abs(value - 20.0) for value in found) < 12.0


def test_the_shapes_of_tumors_and_cysts_are_written_beside(written: Path) -> None:
    with np.load(shapes_file(written), allow_pickle=False) as file:
        organs = [ShapeConfig().organs[number] for number in file["organ"]]
        volumes = file["features"][:, list(file["feature_names"]).index("volume_mm3")]
        sphericity = file["features"][:, list(file["feature_names"]).index("sphericity")]
        patients = set(file["patients"].tolist())
    assert sorted(organs) == ["kidney"] * 3 + ["kidney-cyst"] * 3 and patients == {f"kits23/case_0000{n}" for n in range(3)}
    for organ, volume in zip(organs, volumes, strict=True):
        drawn = public_data.ball() if organ == "kidney" else public_data.ball((8.0, 8.0, 8.0), 7.0)
        assert float(volume) == pytest.approx(float(drawn.sum() * np.prod(public_data.SPACING)), rel=0.01)
    assert sphericity.min() > 0.84


def test_the_number_of_processes_changes_nothing(kits: Path, written: Path, tmp_path: Path) -> None:
    prepare(kits, tmp_path / written.name, processes=0)
    for first, second in ((written, tmp_path / written.name), (shapes_file(written), shapes_file(tmp_path / written.name))):
        assert first.read_bytes() == second.read_bytes()


def test_merging_writes_the_same_bytes_as_saving_at_once(written: Path, tmp_path: Path) -> None:
    data = load_training_data(written)
    save_training_data(tmp_path / "once.npz", data)
    merge_training_files([written], tmp_path / "merged.npz")
    assert (tmp_path / "once.npz").read_bytes() == (tmp_path / "merged.npz").read_bytes() == written.read_bytes()
    merge_training_files([written, written], tmp_path / "twice.npz")
    twice = load_training_data(tmp_path / "twice.npz")
    assert len(twice.images) == 6 and [r.image for r in twice.regions] == [
        *(r.image for r in data.regions),
        *(r.image + 3 for r in data.regions),
    ]
    assert np.array_equal(twice.masks, np.concatenate([data.masks] * 2))


def test_a_second_run_works_nothing_out_again(kits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(kits, tmp_path / "a.npz")
    assert first.kept == 0

    def never(*values: Any) -> Any:
        raise AssertionError("worked out again")

    monkeypatch.setattr(cases, "case_data", never)
    monkeypatch.setattr(cases, "shape_table", never)
    monkeypatch.setattr(case_cache, "sha256_file", never)
    before = (tmp_path / "a.npz").read_bytes()
    again = prepare(kits, tmp_path / "a.npz")
    assert again.kept == 3 and (tmp_path / "a.npz").read_bytes() == before


def test_the_cache_follows_content_and_settings_not_names_or_times(kits: Path, tmp_path: Path) -> None:
    folder = public_data.write_kits(tmp_path / "kits", 3)
    out = tmp_path / "a.npz"
    prepare(folder, out)
    os.utime(folder / "case_00000" / "imaging.nii.gz", (1.0, 1.0))
    assert prepare(folder, out).kept == 3, "the same bytes with another time"
    public_data.write(folder / "case_00000" / "imaging.nii.gz", public_data.image("CT", 77, public_data.ball()))
    changed = prepare(folder, out)
    assert changed.kept == 2, "other bytes under the same name"
    mean = load_training_data(out).names.index("firstorder_Variance")
    assert float(load_training_data(out).features[0, mean]) > 0.0
    assert prepare(folder, out, settings=replace(SETTINGS, cut=Cut(margin_mm=24.0))).kept == 0
    assert prepare(folder, out, settings=replace(SETTINGS, plan=replace(SETTINGS.plan, seed=1))).kept == 0


def test_a_damaged_file_of_the_cache_is_made_again(kits: Path, tmp_path: Path) -> None:
    prepare(kits, tmp_path / "a.npz")
    good = (tmp_path / "a.npz").read_bytes()
    victim = sorted((tmp_path / "a.cache" / "cases").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:500])
    with pytest.raises(DataError) as caught:
        prepare(kits, tmp_path / "a.npz")
    assert caught.value.code == "data.broken" and (tmp_path / "a.npz").read_bytes() == good
    assert prepare(kits, tmp_path / "a.npz").kept == 2 and (tmp_path / "a.npz").read_bytes() == good


SLOW = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
import test_prepare_public as here
from TumorSynthLib.train import cases
make = cases.case_data
def slow(record, *rest):
    if record.id != "case_00000":
        time.sleep(600)
    return make(record, *rest)
cases.case_data = slow
here.prepare(Path({folder!r}), Path({out!r}))
"""


def test_a_killed_run_goes_on_with_what_it_had(kits: Path, written: Path, tmp_path: Path) -> None:
    out = tmp_path / written.name
    script = SLOW.format(root=str(ROOT / "Testing"), folder=str(kits), out=str(out))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)
    place = out.with_suffix(".cache") / "cases"
    try:
        until = time.monotonic() + 60.0
        while time.monotonic() < until and run.poll() is None and not (place.is_dir() and any(place.glob("[0-9a-f]*.npz"))):
            time.sleep(0.05)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    (kept,) = place.glob("[0-9a-f]*.npz")
    before = (kept.stat().st_mtime_ns, kept.stat().st_ino)
    assert not out.exists()
    assert prepare(kits, out).kept == 1
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == before
    assert out.read_bytes() == written.read_bytes(), "the same as a run that nobody killed"


def test_bad_cases_are_left_out_with_their_reasons_and_the_others_go_on(tmp_path: Path) -> None:
    folder = public_data.write_kits(tmp_path / "kits", 6)
    cut = folder / "case_00001" / "imaging.nii.gz"
    cut.write_bytes(cut.read_bytes()[:2000])
    (folder / "case_00002" / "segmentation.nii.gz").write_text("no image")
    public_data.write(folder / "case_00003" / "segmentation.nii.gz", public_data.ball((70.0, 18.0, 14.0), 3.0).astype(np.uint8))
    (folder / "case_00004" / "imaging.nii.gz").unlink()
    tiny = np.zeros(public_data.SIZE, np.uint8)
    tiny[20, 18, 14] = 2
    public_data.write(folder / "case_00005" / "segmentation.nii.gz", tiny)
    report = prepare(folder, tmp_path / "a.npz")
    reasons = {entry.id: entry.reason for entry in report.skipped}
    assert sorted(reasons) == ["case_00001", "case_00002", "case_00004", "case_00005"]
    assert "smaller than 100 mm3" in reasons["case_00005"] and "imaging.nii.gz is missing" in reasons["case_00004"]
    (row,) = report.rows
    assert (row.dataset, row.domain, row.patients, row.scans, row.tumors, row.skipped) == ("kits23", "abdomen-ct", 2, 2, 1, 3)
    told = json.loads((tmp_path / "a.report.json").read_text())
    assert {entry["id"] for entry in told["skipped"]} == set(reasons) and told["rows"][0]["scans"] == 2
    assert "skipped 1 of kits23: imaging.nii.gz is missing" in report.table and "CC BY-NC-SA" in report.table
    assert [image.id for image in load_training_data(tmp_path / "a.npz").images] == ["kits23/case_00000", "kits23/case_00003"]


def test_when_no_case_can_be_used_the_reasons_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    folder = public_data.write_kits(tmp_path / "kits", 2)
    for case in folder.iterdir():
        (case / "imaging.nii.gz").write_text("no image")
    with pytest.raises(DataError, match="None of 2 scans") as caught:
        prepare(folder, tmp_path / "a.npz")
    assert caught.value.code == "data.none" and not (tmp_path / "a.npz").exists()


def work(item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 5:
        raise ImageError("image.x", "Bad.", "Fix it.")
    if item == 6:
        raise KeyError("x")
    return item * item


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_neither_an_error_nor_the_end_of_a_process_ends_the_run() -> None:
    results = run_cases(list(range(9)), work, 2, "test")
    assert [result for result in results if not isinstance(result, Failure)] == [0, 1, 4, 16, 49, 64]
    assert isinstance(results[3], Failure) and "ended by the system" in results[3].reason
    assert results[5] == Failure("Bad. Fix it.") and results[6] == Failure("KeyError: 'x'")


def test_few_cases_are_under_way_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    wait = case_pool.wait

    def watched(futures: Any, **options: Any) -> Any:
        nonlocal most
        most = max(most, len(futures))
        return wait(futures, **options)

    monkeypatch.setattr(case_pool, "wait", watched)
    assert run_cases(list(range(100, 140)), work, 2, "test") == [n * n for n in range(100, 140)]
    assert most <= 4


WORKERS = """
import sys
sys.path.insert(0, {root!r})
import test_prepare_public as here
from TumorSynthLib.train.case_pool import run_cases
if __name__ == "__main__":
    run_cases(list(range(4)), here.linger, 2, "test")
"""


def linger(item: int) -> None:
    (Path(os.environ["LINGER"]) / str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(WORKERS.format(root=str(ROOT / "Testing")))
    (tmp_path / "pids").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LINGER": str(tmp_path / "pids")}
    run = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 90.0
    while time.monotonic() < until and run.poll() is None and len(list((tmp_path / "pids").iterdir())) < 2:
        time.sleep(0.05)
    workers = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    run.kill()
    run.wait()
    assert len(workers) == 2
    while time.monotonic() < until and any(alive(pid) for pid in workers):
        time.sleep(0.05)
    assert not any(alive(pid) for pid in workers)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_several_data_sets_become_one_file_with_their_own_domains(tmp_path: Path, kits: Path) -> None:
    brats, pet = public_data.write_brats(tmp_path / "brats", 1), public_data.write_autopet(tmp_path / "pet")
    report = prepare_data([kits, brats, pet], tmp_path / "a.npz", ALL, 0, settings=SETTINGS)
    found = {(row.dataset, row.domain): (row.patients, row.scans, row.tumors) for row in report.rows}
    sequences = {("brats", f"brain-{name}"): (1, 1, 1) for name in ("flair", "t1", "t1c", "t2")}
    assert found == {("kits23", "abdomen-ct"): (3, 3, 3), **sequences, ("autopet", "soft-tissue-pet"): (2, 3, 2)}
    assert set(report.licences) == {"kits23", "brats", "autopet"}
    data = load_training_data(tmp_path / "a.npz")
    flair = next(image for image in data.images if image.domain.id == "brain-flair")
    core = next(r for r in data.regions if r.kind == CORE and data.images[r.image] is flair)
    rest = next(r for r in data.regions if r.kind == REST and data.images[r.image] is flair)
    assert core.volume_mm3 == pytest.approx(public_data.BALL_MM3, rel=0.03), "necrosis and rim"
    assert core.volume_mm3 + rest.volume_mm3 == pytest.approx(4.0 / 3.0 * np.pi * 18.0**3, rel=0.03), "and the edema"
    healthy = next(image for image in data.images if image.patient == "autopet/PETCT_1bb")
    number = data.images.index(healthy)
    assert {region.kind for region in data.regions if region.image == number} == {HEALTHY}


def test_dicom_contours_become_lung_tumors_and_those_off_the_slices_are_left_out(tmp_path: Path) -> None:
    for number, kind in enumerate(("axial", "oblique", "axial")):
        _, mask, _ = public_data.write_nsclc(tmp_path / "d", f"LUNG1-00{number}", kind)
    data = pydicom.dcmread(mask)
    for contour in data.ROIContourSequence[1].ContourSequence:
        contour.ContourData = [float(x) + (1.2 if n % 3 == 2 else 0.0) for n, x in enumerate(contour.ContourData)]
    data.save_as(mask)
    report = prepare(tmp_path / "d", tmp_path / "a.npz")
    (left_out,) = report.skipped
    assert left_out.id.startswith("LUNG1-002") and "slices off the nearest slice" in left_out.reason
    (row,) = report.rows
    assert (row.domain, row.patients, row.tumors, row.skipped) == ("lung-ct", 2, 2, 1)
    found = load_training_data(tmp_path / "a.npz")
    volumes = [region.volume_mm3 for region in found.regions if region.kind == TUMOR]
    assert volumes == pytest.approx([np.pi * (5 * 12.0**2 - 5.0**2) * 2.5] * 2, rel=0.02)
    assert prepare(tmp_path / "d", tmp_path / "a.npz").kept == 2


def test_only_some_domains_and_patients_are_taken_when_asked(tmp_path: Path) -> None:
    brats = public_data.write_brats(tmp_path / "brats", 3)
    report = prepare(brats, tmp_path / "a.npz", Wanted("all", domains=("brain-t1c",), patients=2))
    assert [(row.domain, row.patients, row.scans) for row in report.rows] == [("brain-t1c", 2, 2)]
    with pytest.raises(DataError, match="brain-flair, brain-t1, brain-t1c, brain-t2"):
        prepare(brats, tmp_path / "b.npz", Wanted("all", domains=("lung-ct",)))


def test_parts_share_no_patient(tmp_path: Path) -> None:
    folder = public_data.write_kits(tmp_path / "kits", 5)
    quick = replace(SETTINGS, regions=False)
    found = {}
    for part in ("train", "test"):
        prepare(folder, tmp_path / f"{part}.npz", Wanted(part, test_share=0.4), settings=quick)
        found[part] = {image.patient for image in load_training_data(tmp_path / f"{part}.npz").images}
    assert found["train"].isdisjoint(found["test"]) and len(found["train"] | found["test"]) == 5


def test_each_lesion_has_a_crop_of_its_own_and_knows_the_others(tmp_path: Path) -> None:
    tumor = public_data.ball((12.0, 18.0, 14.0), 9.0) | public_data.ball((31.0, 18.0, 14.0), 12.0)
    for name, values in (("a", public_data.image("CT", 0, tumor)), ("a_mask", tumor.astype(np.uint8))):
        public_data.write(tmp_path / "d" / f"{name}.nii.gz", values)
    reader = ReaderOptions(domain="soft-tissue-ct")
    prepare(tmp_path / "d", tmp_path / "a.npz", Wanted("all", reader=reader))
    data = load_training_data(tmp_path / "a.npz")
    assert [image.id for image in data.images] == ["d/a", "d/a_2"] and {image.patient for image in data.images} == {"d/a"}
    volumes = [region.volume_mm3 for region in data.regions if region.kind == TUMOR]
    assert volumes == pytest.approx([4.0 / 3.0 * np.pi * r**3 for r in (12.0, 9.0)], rel=0.06), "the largest first"
    mean = data.names.index("firstorder_Mean")
    for number, region in enumerate(data.regions):
        if region.kind == HEALTHY:
            assert float(data.features[number, mean]) < 45.0, "never in the other lesion"


def test_lesions_are_told_apart_by_corners_and_small_ones_left_out() -> None:
    geometry = Geometry((20, 20, 20), np.diag([2.0, 2.0, 2.0, 1.0]))
    tumor = np.zeros(geometry.shape, bool)
    tumor[2:6, 2:6, 2:6] = tumor[6:8, 6:8, 6:8] = tumor[12:17, 12:17, 12:17] = True
    tumor[19, 0, 0] = True
    found = split_lesions(tumor, geometry, Cut())
    assert [int(lesion.mask.sum()) for lesion in found] == [125, 72]
    assert [int(lesion.mask.sum()) for lesion in split_lesions(tumor, geometry, Cut(lesions=1))] == [125]
    whole = Box((0, 0, 0), geometry.shape)
    expected = tumor.copy()
    expected[19, 0, 0] = False
    assert np.array_equal(found[0].inside(whole) | found[1].inside(whole), expected)
    assert split_lesions(np.zeros(geometry.shape, bool), geometry, Cut()) == []


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 5.0), (2.0, 2.0, 2.0)])
def test_a_shape_keeps_its_volume_and_extent_on_the_grid_of_1_mm(spacing: tuple[float, float, float]) -> None:
    radii = np.array([14.0, 11.0, 17.0])
    grid = np.stack(np.meshgrid(*(np.arange(-24.0, 24.1, step) for step in spacing), indexing="ij"), axis=-1)
    mask = ((grid / radii) ** 2).sum(axis=-1) <= 1.0
    made = isotropic(mask, np.array(spacing))
    assert made.sum() == pytest.approx(mask.sum() * np.prod(spacing), abs=1.0)
    extent = [np.ptp(line) + 1 for line in np.nonzero(made)]
    assert np.abs(extent - 2.0 * radii).max() <= 1.0 + max(spacing)
    assert not any(face.any() for axis in range(3) for face in (made.take(0, axis), made.take(-1, axis)))


def test_shapes_are_turned_towards_left_posterior_superior() -> None:
    mask = np.zeros((5, 6, 7), bool)
    mask[4, 0, 0] = True
    # Axes of the array: inferior, right, anterior.
    affine = np.array([[0, 2.0, 0, 0], [0, 0, 2.0, 0], [-2.0, 0, 0, 0], [0, 0, 0, 1.0]])
    turned = toward_lps(mask, Geometry(mask.shape, affine))
    assert turned.shape == (6, 7, 5) and np.argwhere(turned).tolist() == [[5, 6, 0]], "left end, back end, bottom"


def test_a_further_scan_changes_the_choice_of_shapes_of_few_others() -> None:
    paths = [Path(f"{number:032x}.npz") for number in range(300)]
    people = [Record(f"r{n}", f"p{n}", "d", "lung-ct", Path("x")) for n in range(200)]
    changed = sum(chosen_shapes(record, paths[:-1]) != chosen_shapes(record, paths) for record in people)
    assert all(len(chosen_shapes(record, paths)) == BANK for record in people)
    assert 0 < changed < 200 * 3 * BANK / 300
    assert chosen_shapes(people[0], paths[::-1]) == chosen_shapes(people[0], paths)


def test_a_case_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    cache = CaseCache(tmp_path)

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cache.kept(cache.path("cases", 1), fail)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    for name, age in (
        (".partial-partial-1-a.npz", 7200.0),
        ("partial-1-a.npz", 7200.0),
        ("partial-2-b.npz", 0.0),
        ("c.npz", 7200.0),
    ):
        (tmp_path / "cases" / name).touch()
        os.utime(tmp_path / "cases" / name, (time.time() - age,) * 2)
    cache.sweep()
    assert sorted(path.name for path in (tmp_path / "cases").iterdir()) == ["c.npz", "partial-2-b.npz"], "of a killed run"
    assert cache.path("cases", 1) != cache.path("cases", 2) and cache.path("cases", 1) == cache.path("cases", 1)


def test_the_command_prepares_a_data_set_and_shows_the_table(kits: Path, tmp_path: Path) -> None:
    words = ["prepare", "--data", str(kits), "--split", "all", "--out", str(tmp_path / "k.npz"), "--processes", "0"]
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0, outcome.output
    assert "kits23" in outcome.stdout and "CC BY-NC-SA 4.0" in outcome.stdout
    lines = [line.split() for line in outcome.stdout.splitlines()]
    assert ["kits23", "abdomen-ct", "3", "3", "3"] in [line[:5] for line in lines]
    again = CliRunner().invoke(app, [*words, "--json"])
    assert again.exit_code == 0 and json.loads(again.stdout[again.stdout.index("{") :])["kept"] == 3
