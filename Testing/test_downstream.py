"""The downstream table: arms that differ in nothing but the made tumors, folds without leaks, and runs that go on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_data
import torch
from phantoms import ball, phantom
from scipy import stats

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.errors import DataError, GeometryError
from TumorSynthLib.evaluate import Options, downstream_arms, downstream_summary, run
from TumorSynthLib.evaluate.downstream_arms import ARMS, Arm, CopyPaste, HandMade, Synthetic, Working, arm, working
from TumorSynthLib.insertion import Inserter, InsertionSettings, Site
from TumorSynthLib.intensity import fit_intensity
from TumorSynthLib.models import Models
from TumorSynthLib.segmentation.images import LabeledImage
from TumorSynthLib.tumor_draws import VOLUME, Wishes

CT = DOMAINS[0]
SETTINGS = InsertionSettings(Wishes(shape={VOLUME: (1_000.0, 4_000.0)}), steps=1)


def labeled(name: str = "a", radius: float = 12.0) -> LabeledImage:
    scan = phantom()
    tumor = ball(scan, radius, (15.0, 0.0, 0.0)).array
    scan.array[tumor] += 60
    return LabeledImage(name, name, CT, scan, tumor, fit_intensity(scan.array, CT))


@pytest.fixture(scope="module")
def inserter(tiny_bundle: Bundle) -> Inserter:
    return Inserter(Models(tiny_bundle, "cpu"), CT.id, SETTINGS)


@pytest.fixture(scope="module")
def host() -> Working:
    return working(labeled(), 2.5)


def site(host: Working, volume: float = 2_000.0) -> Site:
    at = host.scan.geometry.to_ras(np.array(host.scan.array.shape) / 2.0 - [8.0, 0.0, 0.0])
    shape = {VOLUME: volume, "shape_Elongation": 0.8, "shape_Flatness": 0.7, "shape_Sphericity": 0.75}
    return Site((float(at[0]), float(at[1]), float(at[2])), shape, None)


def makers(host: Working, inserter: Inserter) -> dict[str, Any]:
    level = [{"firstorder_Mean": 90.0, "firstorder_Variance": 25.0}]
    return {"copy_paste": CopyPaste([host]), "handmade": HandMade(level), "tumorsynth": Synthetic(inserter)}


@pytest.mark.parametrize("name", ["copy_paste", "handmade", "tumorsynth"])
def test_a_made_tumor_has_its_volume_and_place_and_changes_nothing_far_from_it(
    name: str, host: Working, inserter: Inserter
) -> None:
    wanted = site(host)
    scan, new = makers(host, inserter)[name](host, wanted, np.random.default_rng(0))
    geometry = host.scan.geometry
    assert new.sum() * geometry.voxel_volume_mm3 == pytest.approx(2_000.0, rel=0.15)
    middle = geometry.to_ras(np.argwhere(new).mean(axis=0))
    assert np.linalg.norm(middle - np.array(wanted.at)) < 4.0
    changed = np.argwhere(scan.array != host.scan.array)
    assert len(changed) and np.linalg.norm(geometry.to_ras(changed) - middle, axis=-1).max() < 30.0
    again, same = makers(host, inserter)[name](host, wanted, np.random.default_rng(0))
    assert np.array_equal(scan.array, again.array) and np.array_equal(new, same)


def test_a_pasted_tumor_brings_its_donors_values_and_a_hand_made_one_its_level(host: Working, inserter: Inserter) -> None:
    for name, level in (("copy_paste", 110.0), ("handmade", 90.0)):
        scan, new = makers(host, inserter)[name](host, site(host), np.random.default_rng(1))
        assert float(np.median(scan.array[new])) == pytest.approx(level, abs=12.0), name


def test_a_bundle_without_tumors_of_the_domain_makes_none_by_hand(host: Working) -> None:
    with pytest.raises(GeometryError, match="no tumor"):
        HandMade([])(host, site(host), np.random.default_rng(0))


def test_a_batch_depends_on_seed_and_step_alone_also_after_a_stop(host: Working, inserter: Inserter) -> None:
    def source() -> Arm:
        return Arm([host], True, (makers(host, inserter)["handmade"], inserter), seed=3)

    straight, resumed = source(), source()
    wanted = [straight.batch(step, 2, 16) for step in range(30)]
    for step in (28, 29):
        for mine, theirs in zip(resumed.batch(step, 2, 16), wanted[step], strict=True):
            assert torch.equal(mine, theirs)
    assert not torch.equal(wanted[0][0], wanted[1][0])
    assert len(straight._pool) <= downstream_arms.POOL


def test_arms_see_the_same_real_images_in_the_same_order(inserter: Inserter) -> None:
    images = [working(labeled(name, radius), 2.5) for name, radius in (("a", 8.0), ("b", 14.0))]
    plain, other = arm("real", images, inserter, 0), arm("handmade", images, inserter, 0)
    plain_batch = plain.batch(0, 2, 16)
    assert torch.equal(plain_batch[0], arm("real", images, inserter, 0).batch(0, 2, 16)[0])
    assert not plain.augment and other.augment and plain.maker is None and other.maker is not None
    assert {name: arm(name, images, inserter, 0).maker is not None for name in ARMS} == {
        "real": False,
        "augmented": False,
        "copy_paste": True,
        "handmade": True,
        "tumorsynth": True,
    }


def cases(gains: list[float]) -> list[dict[str, Any]]:
    found = []
    for n, gain in enumerate(gains):
        base = 0.5 + 0.01 * n
        scores = {name: [{"dice": base, "nsd": 0.4}, {"dice": base, "nsd": 0.4}] for name in ARMS}
        scores["tumorsynth"] = [{"dice": base + gain + d, "nsd": 0.5} for d in (-0.01, 0.01)]
        entry = {"id": f"c{n}", "patient": f"p{n}", "volume_ml": 50.0 * (n + 1), "seen_by_bundle": n < 6}
        found.append(entry | {"modality": "MR", "fold": n % 2, "scores": scores})
    return found


def test_differences_are_paired_by_patient() -> None:
    gains = [0.02, 0.03, -0.01, 0.05, 0.04, 0.06, 0.01, 0.07]
    summary = downstream_summary.summarize(cases(gains), 2, 10)
    found = summary["all"]["differences"]["tumorsynth"]["augmented"]
    assert found["mean"] == pytest.approx(np.mean(gains)) and found["p"] == pytest.approx(stats.wilcoxon(gains).pvalue)
    assert found["ci"][0] > 0.0
    assert summary["all"]["differences"]["augmented"]["real"]["p"] == 1.0
    assert set(summary["all"]["differences"]["tumorsynth"]) == {"real", "augmented", "copy_paste", "handmade"}
    unseen = summary["unseen_by_bundle"]["differences"]["tumorsynth"]["augmented"]
    assert unseen["mean"] == pytest.approx(0.04) and unseen["cases"] == 2
    sizes = summary["all"]["arms"]["real"]["dice_by_size"]
    assert {name: one["cases"] for name, one in sizes.items()} == {"small": 1, "middle": 6, "large": 1}
    assert sizes["small"]["mean"] == pytest.approx(0.5) and summary["all"]["arms"]["real"]["detected"]["mean"] == 1.0


def test_the_table_is_finished_in_several_sittings(tiny_bundle: Bundle, tmp_path: Path) -> None:
    data = tiny_data.write_folder(tmp_path / "data")
    options = Options(modality="CT", folds=2, seeds=1, steps=2, patch=16)
    with pytest.raises(DataError, match="No fold is finished"):
        run(
            data,
            "all",
            "downstream",
            tmp_path / "out",
            tiny_bundle,
            options=Options(modality="CT", folds=2, seeds=1, steps=2, patch=16, minutes=0.0),
        )
    report = run(data, "all", "downstream", tmp_path / "out", tiny_bundle, options=options)
    kept = sorted((tmp_path / "out" / "downstream" / "CT").iterdir())
    assert len(kept) == 2 * len(ARMS) and all(path.suffix == ".json" for path in kept)
    stamps = [path.stat().st_mtime_ns for path in kept]
    again = run(data, "all", "downstream", tmp_path / "out", tiny_bundle, options=options)
    assert again == report and [path.stat().st_mtime_ns for path in kept] == stamps, "nothing is trained twice"
    assert report["summary"]["finished"] == {"done": 2, "wanted": 2}
    assert len(report["cases"]) == 3 and sum(not case["seen_by_bundle"] for case in report["cases"]) == 1
    for case in report["cases"]:
        stored = json.loads((tmp_path / "out" / "downstream" / "CT" / f"seed0_fold{case['fold']}_real.json").read_text())
        assert case["scores"]["real"][0]["dice"] == pytest.approx(stored["scores"][case["id"]]["dice"], rel=1e-6)
    folds = stored["settings"]["folds"]
    assert all(folds[case["patient"]] == case["fold"] for case in report["cases"])
    text = (tmp_path / "out" / "downstream.md").read_text()
    assert "2 of 2 folds" in text and "never saw: 1" in text and "tumorsynth - handmade" in text


def test_what_cannot_be_is_refused_with_what_there_is(tiny_bundle: Bundle, tmp_path: Path) -> None:
    data = tiny_data.write_folder(tmp_path / "data")
    with pytest.raises(DataError, match="There is no modality 'US'"):
        run(data, "all", "downstream", tmp_path, tiny_bundle, options=Options(modality="US"))
    with pytest.raises(DataError, match="1 patients"):
        run(data, "test", "downstream", tmp_path, tiny_bundle, options=Options(modality="CT", folds=2))
