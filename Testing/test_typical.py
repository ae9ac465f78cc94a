"""Textures of typical tumors for what the user leaves open."""

import numpy as np
import pytest

from TumorSynthLib.scaling import FeatureScale, fit_scale
from TumorSynthLib.typical import BESIDE, VOLUME, among, complete_core, complete_texture, follow

TUMOR = {
    "firstorder_Mean": 100.0,
    "firstorder_10Percentile": 80.0,
    "firstorder_90Percentile": 130.0,
    "firstorder_Variance": 400.0,
    "glcm_Contrast": 5.0,
}


def test_percentiles_follow_an_asked_mean() -> None:
    moved = follow(TUMOR, {"firstorder_Mean": 60.0})
    assert moved == {
        "firstorder_10Percentile": 40.0,
        "firstorder_90Percentile": 90.0,
        "firstorder_Variance": 400.0,
        "glcm_Contrast": 5.0,
    }


def test_percentiles_stretch_with_an_asked_variance() -> None:
    moved = follow(TUMOR, {"firstorder_Variance": 100.0})
    assert moved["firstorder_Mean"] == 100.0
    assert (moved["firstorder_10Percentile"], moved["firstorder_90Percentile"]) == (90.0, 115.0)


def test_values_follow_any_affine_map_of_their_tissue() -> None:
    rng = np.random.default_rng(0)
    values = rng.gamma(3.0, 10.0, 20_000)

    def features(of: np.ndarray) -> dict[str, float]:
        low, high = np.percentile(of, [10, 90])
        names = ("firstorder_Mean", "firstorder_10Percentile", "firstorder_90Percentile", "firstorder_Variance")
        return dict(zip(names, (of.mean(), low, high, of.var()), strict=True))

    before, after = features(values), features(0.5 * values + 7.0)
    asked = {name: after[name] for name in ("firstorder_10Percentile", "firstorder_90Percentile")}
    assert follow(before, asked) == pytest.approx({name: after[name] for name in ("firstorder_Mean", "firstorder_Variance")})


def test_nothing_asked_changes_nothing() -> None:
    assert follow(TUMOR, {}) == TUMOR


def exemplars() -> list[dict[str, float]]:
    return [{VOLUME: 1000.0 * 2.0**n, "firstorder_Mean": 10.0 * n, "glcm_Contrast": float(n)} for n in range(8)]


def test_the_texture_drawn_comes_from_one_tumor_of_about_the_volume() -> None:
    scales = {"firstorder_Mean": fit_scale(np.arange(80.0))}
    for seed in range(20):
        drawn = complete_texture({}, 8000.0, exemplars(), scales, seed)
        assert drawn["firstorder_Mean"] == 10.0 * drawn["glcm_Contrast"]
        assert abs(drawn["glcm_Contrast"] - 3.0) <= 3.0


def test_what_is_asked_is_never_drawn_and_decides_which_tumor_is() -> None:
    scales = {"firstorder_Mean": fit_scale(np.arange(80.0))}
    contrasts = [
        complete_texture({"firstorder_Mean": 70.0}, 16000.0, exemplars(), scales, seed)["glcm_Contrast"] for seed in range(30)
    ]
    freely = [complete_texture({}, 16000.0, exemplars(), scales, seed)["glcm_Contrast"] for seed in range(30)]
    assert np.mean(contrasts) > np.mean(freely) + 0.5
    assert "firstorder_Mean" not in complete_texture({"firstorder_Mean": 70.0}, 16000.0, exemplars(), scales, 0)


def test_the_same_seed_draws_the_same_and_no_exemplars_draw_nothing() -> None:
    assert complete_texture({}, 5000.0, exemplars(), {}, 3) == complete_texture({}, 5000.0, exemplars(), {}, 3)
    assert complete_texture({}, 5000.0, [], {}, 3) == {}


def with_bone() -> list[dict[str, float]]:
    """Nine tumors of about 30 HU, and one whose mask reaches into bone."""
    plain = [{VOLUME: 9000.0 + n, "firstorder_Mean": 28.0 + n, "firstorder_Variance": 300.0 + 10.0 * n} for n in range(9)]
    return [*plain, {VOLUME: 9000.0, "firstorder_Mean": 126.0, "firstorder_Variance": 70_000.0}]


def look_scales() -> dict[str, FeatureScale]:
    names = ("firstorder_Mean", "firstorder_Variance")
    return {name: fit_scale(np.array([exemplar[name] for exemplar in with_bone()])) for name in names}


def test_a_tumor_like_no_other_is_not_typical() -> None:
    drawn = [complete_texture({}, 9000.0, with_bone(), look_scales(), seed)["firstorder_Variance"] for seed in range(200)]
    assert drawn.count(70_000.0) <= 4, "by the volumes alone it would be one in ten"
    assert len(set(drawn)) >= 7, "the others all are"


def test_a_tumor_like_no_other_is_drawn_where_it_is_asked_for() -> None:
    asked = {"firstorder_Mean": 126.0}
    drawn = [complete_texture(asked, 9000.0, with_bone(), look_scales(), seed)["firstorder_Variance"] for seed in range(50)]
    assert drawn.count(70_000.0) > 25


def test_cores_too_are_typical() -> None:
    pairs = [{"rest": one, "core": one} for one in with_bone()]
    drawn = [complete_core({}, {}, (9000.0, 9000.0), pairs, look_scales(), seed)[1] for seed in range(100)]
    assert [one["firstorder_Variance"] for one in drawn].count(70_000.0) == 0


def test_an_exemplar_moves_with_the_tissue_beside_it_by_its_share() -> None:
    there = {**TUMOR, VOLUME: 5000.0, BESIDE: 90.0}
    moved = among(there, 0.75, 50.0)
    assert moved == there | {"firstorder_Mean": 70.0, "firstorder_10Percentile": 50.0, "firstorder_90Percentile": 100.0}
    assert among(there, 0.0, 50.0) == there and among(there, 0.75, None) == there
    assert among(TUMOR, 0.75, 50.0) == TUMOR, "where it lay is not known"


def test_the_tissue_beside_is_never_drawn_as_a_texture() -> None:
    assert complete_texture({}, 5000.0, [{**TUMOR, VOLUME: 5000.0, BESIDE: 90.0}], {}, 0) == TUMOR
