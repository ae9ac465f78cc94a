"""Textures of typical tumors for what the user leaves open."""

import numpy as np
import pytest

from TumorSynthLib.scaling import fit_scale
from TumorSynthLib.typical import VOLUME, complete_texture, follow

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
