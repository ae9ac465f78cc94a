"""Plans: plausible tumors at places that fit, the same bytes for the same plan, and files that a batch can run."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import geometry, phantom, with_entries
from scipy.spatial import cKDTree
from scipy.stats import kstest, spearmanr
from stub_batch import open_stub
from test_places import ellipsoid, outside
from typer.testing import CliRunner

from TumorSynthLib.batch import run_batch
from TumorSynthLib.batch_runners import InProcess
from TumorSynthLib.bundle import MODELS_VARIABLE, Bundle
from TumorSynthLib.cli import app
from TumorSynthLib.errors import BundleError, OutputError, RequestError
from TumorSynthLib.joint import fit_joint
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.plan import OVERLAP, PlanSettings, make_plan, radius_mm, reach_mm
from TumorSynthLib.plan_file import check_writable, requests_of, write_requests
from TumorSynthLib.protocol import lesion_requests, parse_request
from TumorSynthLib.scan_list import ScanEntry, list_scans
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.tumor_draws import DRAWN, LEAST_VOXELS, STEERABLE, VOLUME, TumorDraws, Wishes, smoothest
from TumorSynthLib.volume import Volume
from TumorSynthLib.volume_io import write_volume

SMALL = Wishes({VOLUME: (600.0, 3000.0)})
FINE = np.full(3, 0.3)
TEXTURE = ("firstorder_Mean", "firstorder_Variance", "glcm_Contrast")
EXEMPLARS = [
    {VOLUME: float(v), "firstorder_Mean": 10.0 * n, "firstorder_Variance": 100.0 + n, "glcm_Contrast": 1.0 + n}
    for n, v in enumerate(np.geomspace(400.0, 50_000.0, 20))
]


@pytest.fixture
def bundle(tiny_bundle: Bundle) -> Bundle:
    """The tiny bundle, with real tumors in soft-tissue CT whose features follow their volume."""
    return with_entries(tiny_bundle, exemplars=EXEMPLARS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scans, their organs, and a tumor in the first."""
    made = tmp_path_factory.mktemp("scans")
    for name, kind in (("a", "plain"), ("b", "thick"), ("c", "oblique, left-handed")):
        write_volume(phantom(kind), made / f"{name}.nrrd")
        write_volume(Volume(organ(kind), geometry(kind)), made / f"{name}_organ.nrrd")
    write_volume(Volume(tumor("plain").astype(np.uint8) * 2, geometry("plain")), made / "a_mask.nrrd")
    return made


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with those scans."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def organ(kind: str) -> np.ndarray:
    return ellipsoid(geometry(kind), (4.0, 0.0, 0.0), (36.0, 30.0, 34.0))


def tumor(kind: str) -> np.ndarray:
    return ellipsoid(geometry(kind), (-6.0, 0.0, 0.0), (8.0, 8.0, 8.0))


def entries(*names: str) -> list[ScanEntry]:
    return list_scans([f"{name}.nrrd" for name in names], "{stem}_organ.nrrd", ["{stem}_mask.nrrd"] if "a" in names else [])


def settings(**values: Any) -> PlanSettings:
    return PlanSettings(**{"per_scan": 3, "domain": "soft-tissue-ct", "wishes": SMALL, **values})


def planned(bundle: Bundle, scans: list[ScanEntry], **values: Any) -> list[dict[str, Any]]:
    """The requests of a plan in which nothing failed."""
    chosen = settings(**values)
    plan = make_plan(scans, bundle, chosen)
    assert plan.failures == []
    return [request for scan in plan.scans for request in requests_of(scan, chosen)]


def drawn(draws: TumorDraws, count: int = 300, spacing: np.ndarray = FINE) -> np.ndarray:
    """Drawn shapes, (count, DRAWN)."""
    rng = np.random.default_rng(0)
    shapes = [draws.shape(rng, spacing) for _ in range(count)]
    return np.array([[shape[name] for name in DRAWN] for shape in shapes if shape is not None])


@pytest.mark.parametrize(("name", "kind"), [("a", "plain"), ("b", "thick"), ("c", "oblique, left-handed")])
@pytest.mark.parametrize("label", [1, 2])
def test_every_tumor_keeps_clear_of_the_border_of_what_is_avoided_and_of_the_others(
    bundle: Bundle, folder: Path, name: str, kind: str, label: int
) -> None:
    grid = geometry(kind)
    write_volume(Volume(organ(kind).astype(np.uint8) * label, grid), folder / f"{name}_organ.nrrd")
    (scan,) = make_plan(entries(name), bundle, settings(clearance_mm=3.0, region_label=label)).scans
    lines = [np.arange(-1, n + 1) for n in grid.shape]
    centers = grid.to_ras(np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1))
    beyond = cKDTree(centers[outside(organ(kind))])
    avoided = cKDTree(centers[np.pad(tumor(kind), 1)])
    assert len(scan.tumors) == 3
    for number, one in enumerate(scan.tumors):
        radius, reach = np.cbrt(one.shape[VOLUME] / BALL_VOLUME), reach_mm(one.shape)
        assert reach >= radius == radius_mm(one.shape[VOLUME])
        assert beyond.query(one.at)[0] >= 3.0 + (1.0 - OVERLAP) * radius - 0.02
        if name == "a":
            assert avoided.query(one.at)[0] >= 3.0 + reach - 0.02
        for other in scan.tumors[:number]:
            assert np.linalg.norm(np.subtract(one.at, other.at)) >= 3.0 + reach + reach_mm(other.shape) - 0.02


def test_the_same_plan_has_the_same_bytes_and_another_seed_others(bundle: Bundle, folder: Path) -> None:
    for name, seed in (("1", 5), ("2", 5), ("3", 6)):
        write_requests(planned(bundle, entries("a", "b"), seed=seed), folder / name)
    first, same, other = ((folder / name).read_bytes() for name in "123")
    assert first == same and len(first.splitlines()) == 6
    assert not set(first.splitlines()) & set(other.splitlines())


def test_more_scans_or_tumors_change_none_of_the_others(bundle: Bundle, folder: Path) -> None:
    few = planned(bundle, entries("a", "b"), per_scan=2)
    more = planned(bundle, entries("c", "a", "b"), per_scan=3)
    assert [request for request in more if request in few] == few
    assert len({request["seed"] for request in more}) == len({tuple(request["at"]) for request in more}) == 9


def test_the_requests_ask_for_what_was_drawn_and_what_was_given(bundle: Bundle, folder: Path) -> None:
    common = {"bundle": "tiny", "steps": 4, "candidates": 2, "mass_effect": 0.5, "rim": 0.25}
    chosen = settings(common=common, core_share=0.3, wishes=replace(SMALL, texture={"glcm_Idm": 0.4}))
    plan = make_plan(entries("a"), bundle, chosen)
    requests = requests_of(plan.scans[0], chosen)
    assert [request["out"] for request in requests] == [request["id"] for request in requests] == ["a_t01", "a_t02", "a_t03"]
    for request, one in zip(requests, plan.scans[0].tumors, strict=True):
        parsed = parse_request(request)
        assert parsed.to_dict().items() >= common.items() and parsed.core == {"share": 0.3}
        assert (parsed.image, parsed.region, parsed.domain) == ("a.nrrd", "a_organ.nrrd", "soft-tissue-ct")
        assert parsed.at == one.at and parsed.seed == one.seed
        assert list(parsed.shape) == ["volume_ml", "elongation", "flatness", "sphericity"]
        assert parsed.shape["volume_ml"] == pytest.approx(one.shape[VOLUME] / 1000.0, rel=1e-4)
        assert list(parsed.texture) == ["glcm_Idm", *TEXTURE] and parsed.texture["glcm_Idm"] == 0.4


def test_together_the_tumors_of_a_scan_are_one_request(bundle: Bundle, folder: Path) -> None:
    single = planned(bundle, entries("a"))
    (request,) = planned(bundle, entries("a"), together=True)
    lesions = lesion_requests(parse_request(request))
    assert request["op"] == "lesions" and request["out"] == "a"
    for lesion, alone in zip(lesions, single, strict=True):
        one = parse_request(alone)
        assert (lesion.at, lesion.shape, lesion.texture, lesion.seed) == (one.at, one.shape, one.texture, one.seed)
        assert lesion.region == "a_organ.nrrd" and lesion.domain == "soft-tissue-ct"


@pytest.fixture
def any_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Voxels so fine that they show every surface, for free."""
    monkeypatch.setattr("TumorSynthLib.tumor_draws.smoothest", lambda *values: 1.0)


@pytest.mark.usefixtures("any_surface")
def test_drawn_shapes_have_the_marginals_and_the_correlation_of_the_statistics(tiny_bundle: Bundle) -> None:
    info = copy.deepcopy(tiny_bundle.info)
    correlation = np.eye(6)
    # volume, sphericity, elongation, flatness
    correlation[0, 1] = correlation[1, 0] = -0.6
    correlation[2, 3] = correlation[3, 2] = 0.7
    info["shape_statistics"]["organs"]["any"] = {
        **info["shape_statistics"]["organs"]["any"],
        "correlation": correlation.tolist(),
    }
    bundle = replace(tiny_bundle, info=info)
    draws = TumorDraws(bundle, bundle.domain("soft-tissue-ct"), Wishes())
    values = drawn(draws, 800)
    for column, low, high in ((0, 500.0, 200_000.0), (1, 0.6, 0.95), (3, 0.6, 0.8)):
        # The statistics of the tiny bundle are geometric.
        uniform = np.log(values[:, column] / low) / np.log(high / low)
        assert kstest(uniform, "uniform").pvalue > 0.001
    expected = 6.0 / np.pi * np.arcsin(-0.3)
    assert spearmanr(values[:, 0], values[:, 3])[0] == pytest.approx(expected, abs=0.1)
    assert spearmanr(values[:, 1], values[:, 2])[0] > 0.5
    assert (values[:, 2] <= values[:, 1]).all()


def test_drawn_texture_follows_the_volume_as_the_joint_model_says(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    volume, noise = rng.normal(9.0, 1.0, 2000), rng.normal(size=(2, 2000))
    mean = 40.0 - 12.0 * (volume - 9.0) + 9.0 * noise[0]
    model = fit_joint(np.stack([np.exp(volume), mean, mean * 0.1 + noise[1]], axis=1), [VOLUME, *TEXTURE[:2]])
    monkeypatch.setattr(Bundle, "joint", lambda self, domain: model)
    draws = TumorDraws(tiny_bundle, tiny_bundle.domain("soft-tissue-ct"), Wishes(texture={"glcm_Idm": 0.5}))
    shapes = [{VOLUME: float(v)} for v in np.exp(volume[:800])]
    found = [draws.texture(shape, rng) for shape in shapes]
    assert all(list(one) == ["glcm_Idm", *TEXTURE[:2]] and one["glcm_Idm"] == 0.5 for one in found)
    table = np.array([[one[name] for name in TEXTURE[:2]] for one in found])
    assert spearmanr(volume[:800], table[:, 0])[0] == pytest.approx(spearmanr(volume, mean)[0], abs=0.06)
    assert spearmanr(table[:, 0], table[:, 1])[0] == pytest.approx(spearmanr(mean, mean * 0.1 + noise[1])[0], abs=0.06)


def test_drawn_percentiles_lie_around_the_drawn_mean(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["firstorder_10Percentile", "firstorder_Mean", "firstorder_90Percentile"]
    model = fit_joint(np.random.default_rng(0).normal([30.0, 40.0, 55.0], 10.0, (500, 3)), names)
    monkeypatch.setattr(Bundle, "joint", lambda self, domain: model)
    for fixed in ({}, {"firstorder_Mean": 47.0}):
        draws = TumorDraws(tiny_bundle, tiny_bundle.domain("soft-tissue-ct"), Wishes(texture=fixed))
        found = [draws.texture({VOLUME: 1000.0}, np.random.default_rng(n)) for n in range(60)]
        assert all(one[names[0]] <= one[names[1]] <= one[names[2]] for one in found)


def test_without_a_joint_model_texture_is_that_of_one_real_tumor_of_about_the_size(bundle: Bundle) -> None:
    draws = TumorDraws(bundle, bundle.domain("soft-tissue-ct"), Wishes())
    rng = np.random.default_rng(0)
    tumors = [{name: exemplar[name] for name in TEXTURE} for exemplar in EXEMPLARS]
    small, large = ([draws.texture({VOLUME: v}, rng) for _ in range(40)] for v in (500.0, 40_000.0))
    assert all(one in tumors for one in small + large)
    assert np.mean([one["firstorder_Mean"] for one in small]) + 100 < np.mean([one["firstorder_Mean"] for one in large])


@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_as_many_texture_features_are_asked_for_as_wanted(bundle: Bundle, count: int) -> None:
    draws = TumorDraws(bundle, bundle.domain("soft-tissue-ct"), Wishes(count=count))
    texture = draws.texture({VOLUME: 1000.0}, np.random.default_rng(0))
    assert list(texture) == list(TEXTURE)[:count]
    assert STEERABLE[:3] == TEXTURE


@pytest.mark.usefixtures("any_surface")
def test_where_no_organ_has_shapes_of_its_own_volumes_are_those_of_the_domains_tumors(bundle: Bundle) -> None:
    own = drawn(TumorDraws(bundle, bundle.domain("soft-tissue-ct"), Wishes()), 150)[:, 0]
    lung = drawn(TumorDraws(bundle, bundle.domain("lung-ct"), Wishes()), 150)[:, 0]
    assert own.min() >= 400.0 and own.max() <= 50_000.0 < lung.max()


RANGES = {VOLUME: (2000.0, 4000.0), "shape_Sphericity": (0.65, 0.7), "shape_Flatness": (0.72, 0.8)}


def test_ranges_are_kept_and_fixed_features_have_their_value(bundle: Bundle) -> None:
    values = drawn(TumorDraws(bundle, bundle.domain("lung-ct"), Wishes(RANGES)), 200)
    for name, (low, high) in RANGES.items():
        line = values[:, DRAWN.index(name)]
        assert low <= line.min() < low + 0.1 * (high - low) and high - 0.1 * (high - low) < line.max() <= high
    fixed = Wishes({VOLUME: (7e6, 7e6), "shape_Elongation": (0.61, 0.61), "shape_Sphericity": (0.3, 0.3)})
    values = drawn(TumorDraws(bundle, bundle.domain("lung-ct"), fixed), 20)
    assert set(values[:, 0]) == {7e6} and set(values[:, 1]) == {0.61} and set(values[:, 3]) == {0.3}
    assert (values[:, 2] <= 0.61).all() and len(set(values[:, 2])) > 10


def test_no_tumor_is_drawn_that_the_voxels_cannot_show(bundle: Bundle) -> None:
    draws, spacing = TumorDraws(bundle, bundle.domain("lung-ct"), Wishes()), np.array([1.0, 1.0, 6.0])
    values = drawn(draws, 60, spacing)
    assert values[:, 0].min() >= LEAST_VOXELS * 6.0
    assert (values[:, 3] <= [smoothest(v, e, f, spacing) for v, e, f in values[:, :3]]).all()
    asked = TumorDraws(bundle, bundle.domain("lung-ct"), Wishes({"shape_Sphericity": (0.78, 0.8)}))
    assert drawn(asked, 20, spacing)[:, 3].min() >= 0.78
    assert draws.shape(np.random.default_rng(0), np.full(3, 30.0)) is None
    assert draws.shape(np.random.default_rng(0), FINE, below_mm3=400.0) is None


def test_the_smoothest_shape_is_nearly_a_ball_on_fine_voxels_and_far_from_it_on_thick_slices() -> None:
    ball, thick = smoothest(5000.0, 1.0, 1.0, np.ones(3)), smoothest(5000.0, 1.0, 1.0, np.array([1.0, 1.0, 6.0]))
    assert 0.87 < ball < 0.93 and thick < 0.85
    assert smoothest(5e6, 1.0, 1.0, np.ones(3)) == pytest.approx(ball, abs=0.02)
    assert smoothest(5000.0, 0.5, 0.5, np.ones(3)) < ball


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"shape": {"shape_Sphericity": (0.9, 0.8)}}, "plan.range"),
        ({"shape": {"shape_Sphericity": (float("nan"), 1.0)}}, "plan.range"),
        ({"shape": {"shape_Flatness": (0.9, 0.95), "shape_Elongation": (0.5, 0.8)}}, "plan.range"),
        ({"shape": {"shape_SurfaceArea": (10.0, 20.0)}}, "plan.feature"),
        ({"shape": {"shape_Sphericity": (1.2, 1.2)}}, "request.range"),
        ({"texture": {"glcm_Contrst": 1.0}}, "request.feature"),
        ({"texture": {"glcm_Contrast": -1.0}}, "request.range"),
    ],
)
def test_wishes_that_make_no_sense_are_refused_before_any_scan_is_read(values: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestError) as caught:
        PlanSettings(wishes=Wishes(**values))
    assert caught.value.code == code and caught.value.hint


@pytest.mark.parametrize(
    ("field", "value"), [("common", {"steps": 0}), ("common", {"rim": 2.0}), ("core_share", 1.5), ("seed", -1)]
)
def test_fields_out_of_range_are_refused_before_any_scan_is_read(field: str, value: Any) -> None:
    with pytest.raises(RequestError):
        PlanSettings(**{field: value})


def test_a_range_without_real_tumors_and_an_unknown_domain_end_the_plan(bundle: Bundle) -> None:
    with pytest.raises(RequestError, match=r"1000 to 2000 mL .* tumors have 0.5 to 200 mL") as caught:
        make_plan(entries_missing(), bundle, settings(domain="lung-ct", wishes=Wishes({VOLUME: (1e6, 2e6)})))
    assert caught.value.code == "plan.range"
    with pytest.raises(BundleError, match="liver-ct"):
        make_plan(entries_missing(), bundle, settings(domain="liver-ct"))


def entries_missing() -> list[ScanEntry]:
    return [ScanEntry("nowhere.nrrd", name="nowhere")]


def tiny_organ(folder: Path) -> None:
    write_volume(Volume(ellipsoid(geometry("plain"), (0, 0, 0), (5.0, 5.0, 5.0)), geometry("plain")), folder / "b_organ.nrrd")


def empty_organ(folder: Path) -> None:
    write_volume(Volume(np.zeros(geometry("thick").shape, bool), geometry("thick")), folder / "b_organ.nrrd")


def far_organ(folder: Path) -> None:
    affine = geometry("thick").affine.copy()
    affine[:3, 3] += 900.0
    write_volume(Volume(organ("thick"), replace(geometry("thick"), affine=affine)), folder / "b_organ.nrrd")


def no_organ(folder: Path) -> None:
    (folder / "b_organ.nrrd").unlink()


def small_scan(folder: Path) -> None:
    grid = replace(geometry("thick"), shape=(96, 96, 4))
    write_volume(Volume(np.zeros(grid.shape, np.int16), grid), folder / "b.nrrd")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (tiny_organ, ["plan.no_place", "Tumor 1 of 3", "'b_organ.nrrd' of 'b.nrrd'", "0.6", "radius 2", "2 mm clear"]),
        (empty_organ, ["mask.empty", "b_organ.nrrd"]),
        (far_organ, ["mask.outside", "drawn on this image"]),
        (no_organ, ["image.missing", "b_organ.nrrd"]),
        (small_scan, ["image.small"]),
    ],
)
def test_a_scan_that_cannot_be_planned_is_told_of_and_the_others_are_planned(
    bundle: Bundle, folder: Path, spoil: Callable[[Path], None], told: list[str]
) -> None:
    spoil(folder)
    plan = make_plan(entries("a", "b", "c"), bundle, settings())
    assert [scan.entry.name for scan in plan.scans] == ["a", "c"]
    ((image, error),) = [(failure["image"], failure["error"]) for failure in plan.failures]
    assert image == "b.nrrd"
    for words in told:
        assert words in error, error


def test_a_region_on_another_grid_is_resampled(bundle: Bundle, folder: Path) -> None:
    grid = geometry("plain")
    affine = grid.affine @ np.diag([-0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = grid.to_ras(np.array([grid.shape[0] - 1, 0, 0]))
    other = replace(grid, affine=affine, shape=tuple(2 * n for n in grid.shape))
    fine = np.repeat(np.repeat(np.repeat(organ("plain")[::-1], 2, 0), 2, 1), 2, 2)
    write_volume(Volume(fine, other), folder / "a_organ.nrrd")
    (scan,) = make_plan(entries("a"), bundle, settings()).scans
    beyond = cKDTree(grid.to_ras(np.argwhere(~organ("plain"))))
    for one in scan.tumors:
        assert beyond.query(one.at)[0] >= (1.0 - OVERLAP) * radius_mm(one.shape[VOLUME]) - 1.0


def test_tumors_that_do_not_fit_are_drawn_again_and_it_is_told(bundle: Bundle, folder: Path) -> None:
    (scan,) = make_plan(entries("b"), bundle, settings(per_scan=4, wishes=Wishes({VOLUME: (600.0, 50_000.0)}))).scans
    assert max(one.tries for one in scan.tumors) > 1 and all(one.tries <= 20 for one in scan.tumors)
    beyond = cKDTree(geometry("thick").to_ras(np.argwhere(~organ("thick"))))
    assert all(beyond.query(one.at)[0] >= (1.0 - OVERLAP) * radius_mm(one.shape[VOLUME]) + 1.98 for one in scan.tumors)


def test_without_a_region_tumors_go_into_tissue_and_it_is_told(bundle: Bundle, folder: Path) -> None:
    chosen = settings()
    (scan,) = make_plan([ScanEntry("a.nrrd", name="a")], bundle, chosen).scans
    assert any("No region" in note for note in scan.notes)
    assert all("region" not in request for request in requests_of(scan, chosen))
    air = cKDTree(geometry("plain").to_ras(np.argwhere(phantom().array < -500)))
    assert all(air.query(one.at)[0] >= 3.0 + reach_mm(one.shape) for one in scan.tumors)


def test_the_domain_of_each_scan_is_found_or_the_scan_is_refused_with_the_domains(bundle: Bundle, folder: Path) -> None:
    grid = geometry("plain")
    write_volume(Volume(np.random.default_rng(0).gamma(4.0, 100.0, grid.shape).astype(np.float32), grid), folder / "b.nrrd")
    write_volume(Volume(organ("plain"), grid), folder / "b_organ.nrrd")
    plan = make_plan(entries("a", "b"), bundle, settings(domain="auto"))
    assert [scan.domain for scan in plan.scans] == ["soft-tissue-ct"]
    assert any("soft-tissue-ct" in note for note in plan.scans[0].notes)
    assert all(request["domain"] == "soft-tissue-ct" for request in requests_of(plan.scans[0], settings()))
    assert "brain-t1" in plan.failures[0]["error"] and plan.failures[0]["image"] == "b.nrrd"


def test_a_planned_file_runs_in_a_batch(bundle: Bundle, folder: Path) -> None:
    together = planned(bundle, entries("c"), together=True)
    write_requests(planned(bundle, entries("a", "b")) + together, folder / "requests.jsonl")
    summary = run_batch(folder / "requests.jsonl", folder / "out", runner=InProcess(open_stub), bundle_sha256=lambda name: None)
    assert (summary.done, summary.failures) == (7, [])
    assert {path.parent.name for path in (folder / "out").glob("*/result.json")} == {
        *(f"{name}_t{number:02d}" for name in "ab" for number in (1, 2, 3)),
        "c",
    }


def test_planned_tumors_are_made_as_they_were_planned(bundle: Bundle, folder: Path) -> None:
    editor = Editor(bundle, "cpu")
    request = parse_request(planned(bundle, entries("b"), common={"steps": 1})[0])
    result = json.loads((editor.run(replace(request, out=str(folder / "out"))) / "result.json").read_text())
    assert result["measured"][VOLUME] == pytest.approx(
        1000.0 * request.shape["volume_ml"], abs=geometry("thick").voxel_volume_mm3
    )
    assert result["measured"]["firstorder_Mean"] == pytest.approx(request.texture["firstorder_Mean"], abs=2.0)
    assert not [warning for warning in result["warnings"] if "shape_" in warning]


@pytest.fixture
def call(folder: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Calls the command in the folder of scans, with the tiny bundle."""
    monkeypatch.setenv(MODELS_VARIABLE, str(tiny_bundle.path.parent))

    def invoke(words: str) -> Any:
        start = "plan --bundle tiny --domain soft-tissue-ct --volume-ml 0.6 3 --region {stem}_organ.nrrd --out r.jsonl"
        return CliRunner().invoke(app, f"{start} {words}".split())

    return invoke


def lines(path: str = "r.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_the_command_writes_a_file_and_tells_of_it(call: Callable[[str], Any]) -> None:
    words = "--scans . --avoid {stem}_mask.nrrd --per-scan 2 --seed 4 --shape sphericity=0.7:0.75 --shape flatness=0.6"
    outcome = call(f"{words} --texture firstorder_Mean=33 --features 0 --steps 3 --core 0.2")
    assert outcome.exit_code == 0, outcome.stderr
    assert "6, of which" in outcome.stdout and "3 planned, 0 failed" in outcome.stdout and "relative" in outcome.stdout
    for request in lines():
        assert 0.7 <= request["shape"]["sphericity"] <= 0.75 and request["shape"]["flatness"] == 0.6
        assert 0.6 <= request["shape"]["volume_ml"] <= 3.0 and request["texture"] == {"firstorder_Mean": 33.0}
        assert (request["bundle"], request["steps"], request["core"]) == ("tiny", 3, {"share": 0.2})
    again = call(f"{words} --overwrite --json")
    values = json.loads(again.stdout)
    assert again.stderr == "" and values["requests"] == 6 and values["failures"] == [] and values["out"] == "r.jsonl"
    assert [len(scan["tumors"]) for scan in values["scans"]] == [2, 2, 2]
    assert {name: scan["domain"] for scan in values["scans"] for name in [scan["name"]]} == dict.fromkeys(
        "abc", "soft-tissue-ct"
    )


def test_a_scan_that_fails_exits_with_1_and_the_file_is_written_only_on_request(
    call: Callable[[str], Any], folder: Path
) -> None:
    tiny_organ(folder)
    outcome = call("--scans a.nrrd --scans b.nrrd")
    assert outcome.exit_code == 1 and not Path("r.jsonl").exists() and "--keep-going" in outcome.stdout
    assert outcome.stderr.startswith("error: b.nrrd: plan.no_place: ") and outcome.stderr.count("\n") == 1
    outcome = call("--scans a.nrrd --scans b.nrrd --keep-going --json")
    assert outcome.exit_code == 1 and [request["id"] for request in lines()] == ["a_t01"]
    assert json.loads(outcome.stdout)["failures"][0]["image"] == "b.nrrd"
    Path("r.jsonl").unlink()
    outcome = call("--scans b.nrrd --keep-going")
    assert outcome.exit_code == 1 and not Path("r.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("", 2),
        ("--scans a.nrrd --shape sphericity", 2),
        ("--scans a.nrrd --shape sphericity=1:2:3", 2),
        ("--scans a.nrrd --shape sphericity=round", 2),
        ("--scans a.nrrd --shape volume_ml=3", 2),
        ("--scans a.nrrd --texture firstorder_Mean=1 --texture firstorder_Mean=2", 2),
        ("--scans a.nrrd --per-scan 0", 2),
        ("--scans a.nrrd --shape surface=3", 1),
        ("--scans a.nrrd --texture glcm_Contrst=3", 1),
        ("--scans a.nrrd --rim 3", 1),
        ("--scans nothing.nrrd", 1),
        ("--scans a.nrrd --bundle nothing", 1),
    ],
)
def test_a_wrong_option_is_told_in_one_line(call: Callable[[str], Any], words: str, code: int) -> None:
    outcome = call(words)
    assert outcome.exit_code == code and outcome.stdout == "" and not Path("r.jsonl").exists()
    assert outcome.stderr.startswith("error: ") and outcome.stderr.count("\n") == 1


def test_an_existing_file_is_replaced_only_on_request(folder: Path) -> None:
    with pytest.raises(OutputError) as caught:
        check_writable(folder / "a.nrrd", overwrite=False)
    assert caught.value.code == "output.exists"
    check_writable(folder / "a.nrrd", overwrite=True)
    with pytest.raises(OutputError, match="nowhere"):
        check_writable(folder / "nowhere" / "r.jsonl", overwrite=False)
