"""Ranges given what is asked, sentences about implausible requests, and the command that shows them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from joint_bundle import DOMAIN, NAMES, entry, joint_model, named, tumors, with_joint
from tiny_bundle import make_tiny_bundle, shape_statistics
from typer.testing import CliRunner

from TumorSynthLib.bundle import BUNDLE_FILE, MODELS_VARIABLE, Bundle
from TumorSynthLib.cli import app
from TumorSynthLib.errors import BundleError
from TumorSynthLib.joint import fit_joint
from TumorSynthLib.ranges import conditional_ranges, implausible, unit_of
from TumorSynthLib.scaling import fit_scale
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.shape_joint import shape_model
from TumorSynthLib.shape_targets import SEMI_AXIS
from TumorSynthLib.typical import VOLUME


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Bundle) -> Bundle:
    return with_joint(tiny_bundle)


def ends(one: dict[str, float]) -> tuple[float, float, float]:
    return one["low"], one["middle"], one["high"]


def test_the_range_given_a_volume_holds_nine_of_ten_tumors_of_about_that_volume(bundle: Bundle) -> None:
    table = tumors(40_000, 5)
    near = table[np.abs(table[:, -1] / 60_000.0 - 1.0) < 0.1, NAMES.index("firstorder_Mean")]
    found = conditional_ranges(bundle, DOMAIN, {"volume_ml": 60.0}, {})["firstorder_Mean"]
    assert ((near >= found["low"]) & (near <= found["high"])).mean() == pytest.approx(0.9, abs=0.05)
    alone = conditional_ranges(bundle, DOMAIN, {}, {})["firstorder_Mean"]
    # The mean falls by 8 per standard deviation of the volume's logarithm, here log 3, and six tenths of the spread remain.
    assert found["middle"] - alone["middle"] == pytest.approx(-8.0 * np.log(3.0), abs=1.5)
    assert (found["high"] - found["low"]) / (alone["high"] - alone["low"]) == pytest.approx(0.6, abs=0.1)


def test_an_asked_feature_has_the_range_that_the_others_leave_it(bundle: Bundle) -> None:
    asked = {"glcm_Contrast": 55.0, "glcm_Idm": 30.0}
    both = conditional_ranges(bundle, DOMAIN, {"volume_ml": 10.0}, asked)
    one = conditional_ranges(bundle, DOMAIN, {"volume_ml": 10.0}, {"glcm_Contrast": 55.0})
    assert both["glcm_Idm"] == one["glcm_Idm"]
    assert both["glcm_Contrast"] != one["glcm_Contrast"]
    assert both["ngtdm_Contrast"] != one["ngtdm_Contrast"]


def test_short_names_and_units_are_understood(bundle: Bundle) -> None:
    short = conditional_ranges(bundle, DOMAIN, {"volume_ml": 30.0, "sphericity": 0.7}, {})
    assert short == conditional_ranges(bundle, DOMAIN, {"shape_VoxelVolume": 30_000.0, "shape_Sphericity": 0.7}, {})
    units = {name: one["unit"] for name, one in short.items()}
    assert (units["firstorder_Mean"], units["firstorder_Variance"], units["glcm_Contrast"]) == ("HU", "HU^2", "")
    assert (units[VOLUME], units["shape_MajorAxisLength"]) == ("mm^3", "mm")
    percent = bundle.domain("brain-t1")
    assert unit_of("firstorder_Variance", percent) == "(% of the scan's range)^2"
    assert (unit_of("shape_SurfaceVolumeRatio", percent), unit_of("shape_Maximum3DDiameter", percent)) == ("1/mm", "mm")


def test_answers_are_json(bundle: Bundle) -> None:
    found = conditional_ranges(bundle, DOMAIN, {"volume_ml": 30.0}, {"glcm_Contrast": 50.0})
    assert json.loads(json.dumps(found)) == found
    assert all(one["low"] <= one["middle"] <= one["high"] for one in found.values())
    assert set(NAMES) <= set(found)


def test_no_flatness_above_an_asked_elongation(bundle: Bundle) -> None:
    assert conditional_ranges(bundle, DOMAIN, {"elongation": 0.62}, {})["shape_Flatness"]["high"] == 0.62
    assert conditional_ranges(bundle, DOMAIN, {"flatness": 0.85}, {})["shape_Elongation"]["low"] == 0.85


def test_axis_lengths_follow_from_volume_and_proportions() -> None:
    model = shape_model(shape_statistics(), "kidney")
    asked = {VOLUME: 20_000.0, "shape_Elongation": 0.8, "shape_Flatness": 0.7}
    found = model.range(asked)
    # The tumors fill 85 to 97 % of their ellipsoid, which hardly matters for its axes.
    major = np.cbrt(20_000.0 / (BALL_VOLUME * 0.91 * 0.8 * 0.7)) / SEMI_AXIS
    for name, share in (("Major", 1.0), ("Minor", 0.8), ("Least", 0.7)):
        one = found[f"shape_{name}AxisLength"]
        assert one.low < share * major < one.high
        assert one.middle == pytest.approx(share * major, rel=0.1)


def test_shapes_of_an_organ_have_the_bundles_own_quantiles() -> None:
    statistics = shape_statistics()
    model = shape_model(statistics, "lung")
    for row, name in enumerate((VOLUME, "shape_Sphericity", "shape_Elongation", "shape_Flatness")):
        assert model.range({})[name].middle == pytest.approx(statistics["organs"]["lung"]["quantiles"][row][10], rel=1e-6)
        assert model.range({}, 0.5)[name].low == pytest.approx(statistics["organs"]["lung"]["quantiles"][row][5], rel=0.01)


def test_an_unknown_organ_has_its_own_volumes_and_the_proportions_that_go_with_them() -> None:
    statistics = shape_statistics()
    correlation = np.eye(6)
    correlation[0, 1] = correlation[1, 0] = -0.8
    statistics["organs"]["any"] = {**statistics["organs"]["any"], "correlation": correlation.tolist()}
    volumes = fit_scale(np.geomspace(60_000.0, 150_000.0, 200))
    model, base = shape_model(statistics, "soft tissue", volumes), shape_model(statistics, "soft tissue")
    assert model.range({})[VOLUME].middle == pytest.approx(volumes.value(0.0), rel=0.03)
    given, known = (one.range({VOLUME: 95_000.0})["shape_Sphericity"] for one in (model, base))
    assert given.middle == pytest.approx(known.middle, abs=0.01)
    assert model.range({})["shape_Sphericity"].middle < base.range({})["shape_Sphericity"].middle - 0.02
    kept = shape_model(statistics, "lung", volumes).range({})[VOLUME].middle
    assert kept == shape_model(statistics, "lung").range({})[VOLUME].middle


def test_a_domain_without_images_answers_as_the_one_it_is_trained_as(tiny_bundle: Bundle) -> None:
    bundle = with_joint(tiny_bundle, "soft-tissue-pet")
    asked = {"firstorder_Mean": 45.0}
    first, second = (conditional_ranges(bundle, name, {}, asked) for name in ("head-neck-pet", "soft-tissue-pet"))
    assert first == second
    assert first["glcm_Contrast"]["conditional"]
    assert bundle.joint("head-neck-pet") is bundle.joint("head-neck-pet")
    np.testing.assert_array_equal(bundle.joint_distances("head-neck-pet"), bundle.joint_distances("soft-tissue-pet"))


def test_without_joint_statistics_each_feature_has_its_own_range_and_answers_say_so(tiny_bundle: Bundle) -> None:
    found = conditional_ranges(tiny_bundle, DOMAIN, {"volume_ml": 10.0}, {"firstorder_Mean": 30.0})
    known = tiny_bundle.statistics(DOMAIN)["glcm_Contrast"]
    assert ends(found["glcm_Contrast"]) == (known["range"][0], known["median"], known["range"][1])
    assert not found["glcm_Contrast"]["conditional"]
    assert found["shape_Sphericity"]["conditional"]
    told = implausible(tiny_bundle, DOMAIN, {}, {"firstorder_Mean": 1e5})
    assert len(told) == 2
    assert "no joint statistics" in told[1]
    assert implausible(tiny_bundle, DOMAIN, {}, {"firstorder_Mean": known["median"]}) == []


def test_a_bundle_without_shapes_still_knows_textures(bundle: Bundle) -> None:
    info = {name: value for name, value in bundle.info.items() if name != "shape_statistics"}
    found = conditional_ranges(replace(bundle, info=info), DOMAIN, {}, {})
    assert set(found) == set(NAMES)


def test_an_unknown_domain_is_refused(bundle: Bundle) -> None:
    for call in (conditional_ranges, implausible):
        with pytest.raises(BundleError) as error:
            call(bundle, "nowhere", {}, {})
        assert error.value.code == "bundle.domain"


def test_typical_requests_are_plausible(bundle: Bundle) -> None:
    told = [implausible(bundle, DOMAIN, {VOLUME: row[-1]}, dict(list(named(row).items())[:4])) for row in tumors(100, 7)]
    assert sum(bool(sentences) for sentences in told) <= 4


def test_a_value_far_from_all_training_tumors_is_named_with_the_typical_range(bundle: Bundle) -> None:
    told = implausible(bundle, DOMAIN, {}, {"firstorder_Mean": 400.0, "glcm_Contrast": 41.0})
    assert len(told) == 1
    assert told[0].startswith("firstorder_Mean 400 HU is far above what training tumors show, typically")
    low, high = (float(number) for number in re.findall(r"typically (\S+) to (\S+) HU", told[0])[0])
    assert (low, high) == pytest.approx((MEAN_LOW, MEAN_HIGH), abs=2.5)
    assert "far below" in implausible(bundle, DOMAIN, {"sphericity": 0.2}, {})[0]


MEAN_LOW, MEAN_HIGH = 40.0 - 16.4, 40.0 + 16.4
"""5 and 95 % of a normal distribution with mean 40 and standard deviation 10."""


def test_values_that_contradict_each_other_are_named(tiny_bundle: Bundle) -> None:
    values = tumors(400)
    low, high = NAMES.index("firstorder_10Percentile"), NAMES.index("firstorder_90Percentile")
    values[:, high] = values[:, low] + 5.0 + np.random.default_rng(0).normal(0.0, 1.0, 400)
    known = entry(fit_joint(values, NAMES))
    domains = [one | known if one["id"] == DOMAIN else one for one in tiny_bundle.info["domains"]]
    bundle = replace(tiny_bundle, info={**tiny_bundle.info, "domains": domains})
    asked = {"firstorder_10Percentile": 50.0, "firstorder_90Percentile": 40.0}
    told = implausible(bundle, DOMAIN, {}, asked)
    assert [sentence.split()[0] for sentence in told] == list(asked)
    assert all("does not go with the other features" in sentence for sentence in told)
    assert implausible(bundle, DOMAIN, {}, {"firstorder_10Percentile": 50.0, "firstorder_90Percentile": 55.0}) == []


def test_a_combination_can_be_implausible_though_each_value_is_not(bundle: Bundle) -> None:
    names = [name for name in NAMES if name.startswith("glrlm_")][:12]
    asked = {name: 40.0 + 17.0 * (-1.0) ** number for number, name in enumerate(names)}
    told = implausible(bundle, DOMAIN, {}, asked)
    assert len(told) == 1
    assert told[0].startswith(f"Together {', '.join(names)} are implausible")


def test_a_volume_is_far_only_where_neither_shapes_nor_images_have_it(bundle: Bundle) -> None:
    # The shapes of this organ end at 2 mL, the tumors with an image at some 250 mL.
    statistics = shape_statistics()
    small = [line if row else (0.01 * np.array(line)).tolist() for row, line in enumerate(SPREAD["quantiles"])]
    statistics["organs"]["lung"] = {**SPREAD, "quantiles": small}
    lung = with_joint(bundle, "lung-ct")
    lung = replace(lung, info={**lung.info, "shape_statistics": statistics})
    assert implausible(lung, "lung-ct", {"volume_ml": 0.02}, {}) == []
    assert implausible(lung, "lung-ct", {"volume_ml": 100.0}, {}) == []
    told = implausible(lung, "lung-ct", {"volume_ml": 3000.0}, {})
    assert len(told) == 1
    assert told[0].startswith(f"{VOLUME} 3000 mL is far above")


SPREAD = shape_statistics()["organs"]["any"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny bundle, to which joint statistics of one domain were added."""
    folder = tmp_path_factory.mktemp("models")
    description = make_tiny_bundle(folder).path / BUNDLE_FILE
    info = json.loads(description.read_text(encoding="utf-8"))
    known = entry(joint_model())
    info["domains"] = [one | known if one["id"] == DOMAIN else one for one in info["domains"]]
    description.write_text(json.dumps(info), encoding="utf-8")
    return folder


def run(models: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setenv(MODELS_VARIABLE, str(models))
    done = CliRunner().invoke(app, ["ranges", "--bundle", "tiny", *arguments])
    return done.exit_code, done.output


def test_the_command_shows_people_a_table(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("--volume-ml", "60", "--texture", "firstorder_Mean=400", "--shape", "sphericity=0.7")
    code, output = run(models, monkeypatch, "--domain", DOMAIN, *wanted)
    lines = {line.split()[0]: line.split() for line in output.splitlines()}
    assert code == 0
    assert lines["feature"] == ["feature", "wanted", "5", "%", "typical", "95", "%", "unit"]
    assert (lines["volume"][1], lines["volume"][-1]) == ("60", "mL")
    assert (lines["firstorder_Mean"][1], lines["firstorder_Mean"][-1]) == ("400", "HU")
    assert "warning: firstorder_Mean 400 HU is far above" in output
    assert "no joint statistics" not in output
    assert "no joint statistics" in run(models, monkeypatch, "--domain", "brain-t1")[1]


def test_the_command_tells_machines_everything(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = run(models, monkeypatch, "--domain", DOMAIN, "--texture", "glcm_Contrast=50", "--json")
    values = json.loads(output)
    assert code == 0
    assert values["wanted"] == {"shape": {}, "texture": {"glcm_Contrast": 50.0}}
    assert set(NAMES) <= set(values["ranges"])
    assert values["warnings"] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--domain", DOMAIN, "--shape", "sphericity=1.2"), "shape.sphericity"),
        (("--domain", DOMAIN, "--texture", "glcm_Contrst=1"), "glcm_Contrst"),
        (("--domain", "nowhere"), "nowhere"),
    ],
)
def test_the_command_refuses_what_cannot_be(
    models: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    code, output = run(models, monkeypatch, *arguments)
    assert code == 1
    assert output.startswith("error: ")
    assert told in output
