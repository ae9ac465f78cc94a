"""Inquiries: what they answer, what is refused, and how they go through a worker."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joint_bundle import DOMAIN, with_joint
from quick_worker import command
from test_domains import LUNG, TISSUE, chest, mr

from TumorSynthLib.bundle import MODELS_VARIABLE, Bundle
from TumorSynthLib.bundle_list import described_bundles
from TumorSynthLib.errors import Cancelled, FeatureError, ImageError, RequestError, TumorSynthError
from TumorSynthLib.feature_names import SHAPE_FEATURES, TEXTURE_FEATURES
from TumorSynthLib.features import measure_shape, measure_texture
from TumorSynthLib.inquiries import Inquiries
from TumorSynthLib.inquiry import Inquiry
from TumorSynthLib.methods import METHODS
from TumorSynthLib.protocol import parse_inquiry, parse_message, parse_request
from TumorSynthLib.ranges import conditional_ranges, implausible
from TumorSynthLib.region_features import measure_files
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import write_volume
from TumorSynthLib.worker_client import WorkerClient
from TumorSynthLib.worker_events import EventWriter
from TumorSynthLib.worker_files import Uploads
from TumorSynthLib.worker_io import Inbox
from TumorSynthLib.worker_loop import Worker

START = 600.0
"""Seconds that a worker may take to start on a busy computer."""
GRID = Geometry((40, 36, 30), np.diag([0.8, 1.0, 1.5, 1.0]))
posix = pytest.mark.skipif(sys.platform == "win32", reason="forks and signals")


def labels() -> np.ndarray:
    """A region (2), its core (3), and something else (1)."""
    array = np.zeros(GRID.shape, np.uint8)
    array[8:24, 9:25, 6:20] = 2
    array[12:18, 13:19, 9:14] = 3
    array[30:33, 2:5, 2:5] = 1
    return array


def values() -> np.ndarray:
    """A soft-tissue CT with air, and a core that is darker than the rest."""
    array = np.random.default_rng(3).normal(60.0, 12.0, GRID.shape)
    array[:3] = -1000.0
    return (array - 50.0 * (labels() == 3)).astype(np.int16)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_volume(Volume(values(), GRID), folder / "scan.nrrd")
    write_volume(Volume(labels(), GRID), folder / "mask.nrrd")
    write_volume(chest(), folder / "chest.nrrd")
    write_volume(mr(), folder / "mr.nrrd")
    return folder


@pytest.fixture(scope="module")
def answers(tiny_bundle: Bundle) -> Callable[..., dict[str, Any]]:
    """Ask without a worker."""
    inquiries = Inquiries(lambda name: with_joint(tiny_bundle))
    return lambda op, **fields: inquiries.answer(parse_inquiry({"schema": 1, "op": op, **fields}))


def measured(inside: np.ndarray, bundle: Bundle, domain: str = "abdomen-ct") -> dict[str, float]:
    return measure_shape(inside, GRID) | measure_texture(values().astype(float), inside, GRID, bundle.radiomics(domain))


def test_ranges_are_those_of_the_library_with_its_warnings(answers: Callable[..., dict[str, Any]], tiny_bundle: Bundle) -> None:
    asked = {"volume_ml": 9000.0}, {"glcm_Contrast": 55.0}
    answer = answers("ranges", bundle="tiny", domain=DOMAIN, shape=asked[0], texture=asked[1])
    bundle = with_joint(tiny_bundle)
    assert answer == {
        "ranges": conditional_ranges(bundle, DOMAIN, *asked),
        "warnings": implausible(bundle, DOMAIN, *asked),
    }
    assert answer["warnings"] and answer["ranges"]["glcm_Contrast"]["conditional"]
    with pytest.raises(TumorSynthError, match="moon-ct"):
        answers("ranges", domain="moon-ct")


def test_a_region_is_measured_as_the_library_measures_it(
    answers: Callable[..., dict[str, Any]], tiny_bundle: Bundle, files: Path
) -> None:
    answer = answers("measure", image=str(files / "scan.nrrd"), mask=str(files / "mask.nrrd"), label=2, domain="abdomen-ct")
    assert answer["domain"] == "abdomen-ct" and answer["warnings"] == []
    assert list(answer["measured"]) == [*SHAPE_FEATURES, *TEXTURE_FEATURES]
    inside = labels() == 2
    assert answer["measured"] == pytest.approx(measured(inside, tiny_bundle), rel=1e-9)
    assert answer["measured"]["firstorder_Mean"] == pytest.approx(values()[inside].mean())


def test_a_core_is_measured_apart_and_the_domain_is_found(
    answers: Callable[..., dict[str, Any]], tiny_bundle: Bundle, files: Path
) -> None:
    answer = answers("measure", image=str(files / "scan.nrrd"), mask=str(files / "mask.nrrd"), label=2, core_label=3)
    assert answer["domain"] == "soft-tissue-ct" and "soft-tissue-ct" in answer["warnings"][0]
    of_parts = {"measured": labels() >= 2, "measured_core": labels() == 3, "measured_rest": labels() == 2}
    for name, inside in of_parts.items():
        assert answer[name] == pytest.approx(measured(inside, tiny_bundle, "soft-tissue-ct"), rel=1e-9), name
    assert answer["measured_core"]["firstorder_Mean"] < answer["measured_rest"]["firstorder_Mean"] - 40.0


def test_a_core_that_is_too_small_is_told_and_the_region_measured(tiny_bundle: Bundle, files: Path, tmp_path: Path) -> None:
    array = labels() * (labels() == 2)
    array[12, 12, 12] = 3
    write_volume(Volume(array, GRID), tmp_path / "mask.nrrd")
    found = measure_files(files / "scan.nrrd", tmp_path / "mask.nrrd", 2, "abdomen-ct", tiny_bundle, 3)
    assert found.parts["core"] == {} and "The core cannot be measured" in found.warnings[0]
    assert found.measured["shape_VoxelVolume"] == pytest.approx((array > 0).sum() * 1.2)
    with pytest.raises(FeatureError):
        measure_files(files / "scan.nrrd", tmp_path / "mask.nrrd", 3, "abdomen-ct", tiny_bundle)


def test_a_large_region_is_measured_the_fast_way_with_the_same_values(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Geometry((64, 60, 44), GRID.affine)
    points = np.stack(np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in grid.shape), indexing="ij"))
    inside = (points**2).sum(axis=0) < 1.0
    assert inside.sum() > 50_000
    write_volume(Volume(inside, grid), tmp_path / "mask.nrrd")
    write_volume(Volume(np.random.default_rng(0).normal(50, 5, grid.shape).astype(np.int16), grid), tmp_path / "scan.nrrd")
    expected = measure_shape(inside, grid)
    monkeypatch.setattr("TumorSynthLib.shape_measure.measure_shape", None)
    found = measure_files(tmp_path / "scan.nrrd", tmp_path / "mask.nrrd", 1, "abdomen-ct", tiny_bundle).measured
    assert {name: found[name] for name in SHAPE_FEATURES} == pytest.approx(expected, rel=1e-6)


def test_a_measurement_can_be_given_up_between_any_two_classes_of_features(tiny_bundle: Bundle, files: Path) -> None:
    inquiry = parse_inquiry(
        {"schema": 1, "op": "measure", "image": str(files / "scan.nrrd"), "mask": str(files / "mask.nrrd"), "label": 2}
    )
    classes: list[str] = []

    def give_up_after(texture_classes: int) -> Callable[[], None]:
        def alive() -> None:
            if len(classes) >= texture_classes:
                raise Cancelled

        return alive

    from TumorSynthLib import features

    execute = features._execute
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_execute", lambda name, *rest: classes.append(name) or execute(name, *rest))
        for count in range(7):
            classes.clear()
            with pytest.raises(Cancelled):
                Inquiries(lambda name: tiny_bundle).answer(inquiry, give_up_after(count))
            assert len(classes) == count
    assert classes == ["shape", "firstorder", "glcm", "glrlm", "glszm", "gldm"]


@pytest.mark.parametrize(("at", "domain"), [(LUNG, "lung-ct"), (TISSUE, "soft-tissue-ct")])
def test_a_ct_has_the_domain_of_the_place(
    answers: Callable[..., dict[str, Any]], files: Path, at: np.ndarray, domain: str
) -> None:
    answer = answers("domain", image=str(files / "chest.nrrd"), at=at.tolist())
    assert (answer["domain"], answer["modality"]) == (domain, "CT")
    assert set(answer["candidates"]) == {"soft-tissue-ct", "lung-ct", "abdomen-ct"} and domain in answer["warnings"][0]


def test_what_cannot_be_told_is_null_with_the_candidates(
    answers: Callable[..., dict[str, Any]], tiny_bundle: Bundle, files: Path
) -> None:
    every = [domain.id for domain in tiny_bundle.domains]
    answer = answers("domain", image=str(files / "mr.nrrd"))
    assert answer | {"warnings": []} == {"domain": None, "modality": None, "candidates": every, "warnings": []}
    assert "no modality in the file" in answer["warnings"][0]
    told = answers("domain", image=str(files / "mr.nrrd"), modality="MR")
    assert (told["domain"], told["modality"]) == (None, "MR") and "brain-flair" in told["candidates"]
    assert not any(name.endswith(("ct", "pet")) for name in told["candidates"])
    with pytest.raises(ImageError):
        answers("domain", image=str(files / "nowhere.nrrd"))


def test_bundles_are_told_with_their_domains_and_broken_ones_with_their_error(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "bundle.json").write_text("{}")
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    by_id = {entry["id"]: entry for entry in Inquiries().answer(parse_inquiry({"schema": 1, "op": "bundles"}))["bundles"]}
    assert set(by_id["broken"]) == {"id", "error"}
    monkeypatch.setenv(MODELS_VARIABLE, str(tiny_bundle.path.parent))
    (entry,) = [entry for entry in described_bundles() if entry["id"] == "tiny"]
    assert (entry["version"], entry["licence"], entry["intended_use"]) == ("0", "CC0-1.0", "tests")
    assert [domain["id"] for domain in entry["domains"]] == [domain.id for domain in tiny_bundle.domains]
    assert entry["methods"] == ["bridge", "diffusion", "flow"]
    (base,) = [entry for entry in described_bundles() if entry["id"] == "base"]
    assert set(base["methods"]) <= set(METHODS) and "bridge" in base["methods"]
    domain = {"id": "soft-tissue-ct", "organ": "soft tissue", "modality": "CT", "unit": "HU", "rim": False}
    assert entry["domains"][0] == domain


MEASURE = {"schema": 1, "op": "measure", "image": "scan.nrrd", "mask": "mask.nrrd"}
RANGES = {"schema": 1, "op": "ranges", "domain": "lung-ct"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ({**MEASURE, "labl": 1}, "request.unknown_field"),
        ({**MEASURE, "out": "folder"}, "request.unknown_field"),
        ({**MEASURE, "at": [0, 0, 0]}, "request.unknown_field"),
        ({**MEASURE, "label": "1"}, "request.type"),
        ({**MEASURE, "label": 0}, "request.range"),
        ({**MEASURE, "core_label": 1.0}, "request.type"),
        ({**MEASURE, "core_label": 1}, "request.core"),
        ({**MEASURE, "mask": None}, "request.missing"),
        ({**MEASURE, "bundle": "../base"}, "request.bundle"),
        ({**MEASURE, "id": True}, "request.type"),
        ({**MEASURE, "schema": 2}, "request.schema"),
        ({"op": "bundles"}, "request.missing"),
        ({"schema": 1, "op": "bundles", "bundle": "base"}, "request.unknown_field"),
        ({"schema": 1, "op": "domain"}, "request.missing"),
        ({"schema": 1, "op": "domain", "image": "a.nrrd", "at": [0, 0]}, "request.type"),
        ({"schema": 1, "op": "domain", "image": "a.nrrd", "modality": "US"}, "request.modality"),
        ({"schema": 1, "op": "ranges"}, "request.missing"),
        ({**RANGES, "domain": "auto"}, "request.domain"),
        ({**RANGES, "shape": {"sphericity": 2.0}}, "request.range"),
        ({**RANGES, "shape": {"roundness": 2.0}}, "request.feature"),
        ({**RANGES, "texture": {"firstorder_Mean": float("nan")}}, "request.not_finite"),
        ({"schema": 1, "op": "range", "domain": "lung-ct"}, "request.op"),
        ({"schema": 1, "op": ["ranges"]}, "request.type"),
    ],
)
def test_a_wrong_inquiry_is_refused_before_any_work(line: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_message(line)
    assert caught.value.code == code and caught.value.hint


@pytest.mark.parametrize(
    "line",
    [
        {"schema": 1, "op": "bundles", "id": 3},
        {**MEASURE, "core_label": 2, "domain": None},
        {**RANGES, "shape": {"volume_ml": 3.0}, "texture": {"firstorder_Mean": -4}},
        {"schema": 1, "op": "domain", "image": "a.nrrd", "at": [1, 2, 3], "modality": "PT"},
    ],
)
def test_an_inquiry_is_complete_and_survives_as_json(line: dict[str, Any]) -> None:
    inquiry = parse_message(line)
    assert isinstance(inquiry, Inquiry)
    assert parse_inquiry(json.loads(json.dumps(inquiry.to_dict()))) == inquiry
    with pytest.raises(RequestError):
        parse_request(line)


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, EventWriter, Uploads, int]]:
    """An inbox, the writer of its events, where files are kept, and where events come out."""
    reading, writing = os.pipe()
    events = EventWriter(writing)
    with Uploads(1 << 20, print) as uploads:
        yield Inbox(events, uploads), events, uploads, reading
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


def said(events: EventWriter, reading: int) -> list[dict[str, Any]]:
    events.flush(10.0)
    return [json.loads(text) for text in os.read(reading, 1 << 20).splitlines()]


def test_inquiries_go_ahead_of_edits_in_their_order_and_cancel_no_preview(
    inbox: tuple[Inbox, EventWriter, Uploads, int],
) -> None:
    taken, events, _, reading = inbox
    shape = {"schema": 1, "op": "shape", "shape": {"volume_ml": 2.0}}
    for name, line in {
        "edit": {**shape, "out": "x"},
        "i1": {"schema": 1, "op": "bundles"},
        "p1": {**shape, "preview": True},
        "later": {**shape, "out": "y"},
        "i2": RANGES,
        "p2": {**shape, "preview": True},
        "i3": MEASURE,
    }.items():
        taken.take(json.dumps({**line, "id": name}).encode())
    taken.cancel("i3")
    assert [(one["event"], one["id"]) for one in said(events, reading)] == [("cancelled", "p1"), ("cancelled", "i3")]
    jobs = [taken.next() for _ in range(5)]
    assert [job.request.id for job in jobs if job is not None] == ["i1", "i2", "p2", "edit", "later"]


def test_inquiries_that_wait_are_answered_before_anything_is_loaded(
    inbox: tuple[Inbox, EventWriter, Uploads, int], tiny_bundle: Bundle, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, events, uploads, reading = inbox
    monkeypatch.setenv(MODELS_VARIABLE, str(tiny_bundle.path.parent))
    before = sorted(path.name for path in files.iterdir())
    ask = {"image": str(files / "scan.nrrd"), "mask": str(files / "mask.nrrd"), "label": 2, "bundle": "tiny"}
    taken.take(json.dumps({"schema": 1, "op": "measure", **ask, "id": "m"}).encode())
    taken.take(json.dumps({"schema": 1, "op": "measure", **ask, "label": 9, "id": "wrong"}).encode())
    taken.take(json.dumps({**RANGES, "bundle": "tiny", "id": "r"}).encode())
    worker = Worker(taken, events, uploads)
    worker.load("no-such-bundle", "cpu")
    told = said(events, reading)
    order = [(one["event"], one.get("id")) for one in told]
    assert order == [("done", "m"), ("failed", "wrong"), ("done", "r"), ("log", None), ("ready", None)]
    assert told[0]["result"] is None and told[0]["measured"].keys() >= {"shape_VoxelVolume", "glcm_Contrast"}
    assert told[1]["code"] == "mask.label"
    assert worker._editors == {} and sorted(path.name for path in files.iterdir()) == before


@posix
@pytest.mark.parametrize("inline", [False, True])
def test_a_worker_answers_inquiries_also_about_files_that_it_does_not_see(
    quick_workers: Path, tiny_bundle: Bundle, files: Path, tmp_path: Path, inline: bool
) -> None:
    environment = {**os.environ, MODELS_VARIABLE: str(tiny_bundle.path.parent)}
    arguments = ["--bundle", "tiny", "--device", "cpu"]
    here = command(quick_workers, tmp_path)
    with WorkerClient(here, arguments=arguments, environment=environment, inline=inline) as client:
        ask = {**MEASURE, "image": str(files / "scan.nrrd"), "mask": str(files / "mask.nrrd"), "bundle": "tiny"}
        found = client.ask({**ask, "label": 2, "domain": "abdomen-ct"})
        assert found["event"] == "done" and found["result"] is None
        assert found["measured"] == pytest.approx(measured(labels() == 2, tiny_bundle), rel=1e-9)
        with pytest.raises(TumorSynthError, match=r"Label 9 is not in '.*mask\.nrrd'") as caught:
            client.ask({**ask, "label": 9, "domain": "abdomen-ct"})
        assert str(files) in str(caught.value)
        with pytest.raises(RequestError):
            client.ask({**ask, "out": "there"})
        name = client.send({"schema": 1, "op": "domain", "image": str(files / "chest.nrrd"), "bundle": "tiny", "id": "d"})
        answer = next(one for one in client.events(START) if one.get("id") == name and one["event"] == "done")
        assert answer["domain"] in ("lung-ct", "soft-tissue-ct") and answer["modality"] == "CT"
        assert "tiny" in [entry["id"] for entry in client.ask({"schema": 1, "op": "bundles"})["bundles"]]
    assert list(tmp_path.iterdir()) == []
