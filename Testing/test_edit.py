"""How much noise a finished edit gets: levels around the best of the first ones are tried as well."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import middle, request

from TumorSynthLib import edit, synthesis
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.edit import Candidate, TextureEdit, between, edit_region, finish
from TumorSynthLib.intensity import MEAN, VARIANCE, Intensity
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.scaling import KNOTS, FeatureScale
from TumorSynthLib.scene import Scene
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import read_volume

CT = next(domain for domain in DOMAINS if domain.id == "soft-tissue-ct")
CONTRAST = "glcm_DifferenceAverage"
SCALES = {CONTRAST: FeatureScale(tuple(np.linspace(0.0, 6.0, KNOTS)))}


@pytest.mark.parametrize(("best", "tried"), [(0.0, [0.25]), (0.5, [0.25, 0.75]), (1.0, [0.75, 1.5]), (2.0, [1.5, 3.0])])
def test_levels_between_the_best_and_its_neighbors_are_tried(best: float, tried: Sequence[float]) -> None:
    assert between(best, edit.NOISE_FACTORS) == tried


def test_a_level_without_others_has_nothing_beside_it() -> None:
    assert between(1.0, (1.0,)) == []


@pytest.fixture(scope="module")
def place() -> tuple[Scene, TextureEdit, np.ndarray]:
    """A scan of noise of 20 HU, a ball in it, and a prediction without any noise."""
    rng = np.random.default_rng(0)
    array = (40.0 + rng.normal(0.0, 20.0, (40, 40, 40))).round().astype(np.int16)
    scan = Volume(array, Geometry((40, 40, 40), np.eye(4)))
    at = np.indices(array.shape) - 20
    mask = (at**2).sum(axis=0) <= 81
    intensity = Intensity(0.0, 1.0, CT.center, CT.scale)
    scene = Scene(scan, CT, intensity, None, None, None, {}, "", [])
    ask = TextureEdit(mask, {CONTRAST: 0.0}, match=False)
    return scene, ask, np.full(edit_region(scene, ask).u.shape, 60.0, np.float32)


def made(place: tuple[Scene, TextureEdit, np.ndarray], wanted: float) -> Candidate:
    scene, ask, u = place
    asked = TextureEdit(ask.mask, {CONTRAST: wanted}, match=False)
    return finish(scene, asked, edit_region(scene, asked), u, 3, SCALES)


def test_the_level_that_measures_nearest_is_kept(place: tuple[Scene, TextureEdit, np.ndarray]) -> None:
    plain, busy = made(place, 0.0), made(place, 100.0)
    assert plain.noise == 0.0 and busy.noise == 3.0
    # A level that only the second round has: its own contrast is met exactly, and by no first one.
    contrast = {}
    for level in (0.5, 0.75, 1.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(edit, "NOISE_FACTORS", (level,))
            contrast[level] = made(place, 0.0).measured[CONTRAST]
    assert contrast[0.5] < contrast[0.75] < contrast[1.0]
    found = made(place, contrast[0.75])
    assert found.noise == 0.75 and found.distance == 0.0


@pytest.mark.parametrize(("stretch", "sd"), [(edit.TYPICAL_STRETCH, 15.0), (edit.LARGEST_GAIN, 50.0)])
def test_a_typical_tumor_s_variance_stretches_the_prediction_only_so_far(
    place: tuple[Scene, TextureEdit, np.ndarray], stretch: float, sd: float
) -> None:
    scene, ask, u = place
    waves = u + np.float32(10.0 * np.sqrt(2.0)) * np.sin(0.9 * np.indices(u.shape)[0]).astype(np.float32)
    region = edit_region(scene, ask)
    waves[region.mask] = (waves[region.mask] - waves[region.mask].mean()) * 10.0 / waves[region.mask].std() + 60.0
    drawn = {MEAN: 60.0, VARIANCE: 2500.0}
    typical = TextureEdit(ask.mask, {}, noise=False, drawn=drawn, stretch=stretch)
    found = finish(scene, typical, region, waves, 3, SCALES).values[region.mask]
    assert found.mean() == pytest.approx(60.0, abs=0.5) and found.std() == pytest.approx(sd, rel=0.02)
    asked = TextureEdit(ask.mask, {VARIANCE: 2500.0}, noise=False, drawn=drawn, stretch=stretch)
    assert finish(scene, asked, region, waves, 3, SCALES).values[region.mask].std() == pytest.approx(50.0, rel=0.02)


def test_what_is_there_keeps_its_variance_and_what_is_typical_need_not(
    editor: Editor, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[TextureEdit] = []
    make = synthesis.edit_texture

    def follow(scene: Scene, asked: TextureEdit, *others: Any) -> list[Candidate]:
        seen.append(asked)
        return make(scene, asked, *others)

    monkeypatch.setattr(synthesis, "edit_texture", follow)
    where = middle(read_volume(scan)).tolist()
    made = editor.run(request("insert", scan, out=tmp_path / "new", at=where, shape={"volume_ml": 2.0}))
    there = {"image": made / "image.nrrd", "mask": str(made / "segmentation.seg.nrrd")}
    editor.run(request("edit", out=tmp_path / "edited", texture={MEAN: 70.0}, **there))
    assert [one.stretch for one in seen] == [edit.TYPICAL_STRETCH, edit.LARGEST_GAIN]


def test_progress_rises_to_the_end(place: tuple[Scene, TextureEdit, np.ndarray]) -> None:
    scene, ask, u = place
    told: list[float] = []
    finish(scene, ask, edit_region(scene, ask), u, 3, SCALES, told.append)
    assert told == sorted(told) and told[-1] == 1.0 and len(told) == len(set(told)) >= 5
