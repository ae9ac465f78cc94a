"""Shape features as tokens of ``flow``: measured on what it learns from alone, and scaled alike wherever they are used."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from TumorSynthLib.configs import SHAPE_TOKENS, BridgeConfig
from TumorSynthLib.dataset import CHANGED, TUMOR, TrainingData
from TumorSynthLib.methods import METHODS
from TumorSynthLib.scaling import FeatureScale
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.train.conditions import Conditions, stacked
from TumorSynthLib.train.shape_tokens import shape_tokens
from TumorSynthLib.volume import work_grid

JOINT = BridgeConfig(methods=METHODS)


def test_a_network_that_makes_no_masks_has_no_shape_tokens(content: TrainingData) -> None:
    for methods in (("bridge",), ("bridge", "diffusion")):
        config, found = shape_tokens(content, BridgeConfig(methods=methods))
        assert config == BridgeConfig(methods=methods)
        assert found.values.shape == (len(content.regions), 0) and found.scales == ()


def learned_by_flow(content: TrainingData) -> np.ndarray:
    return np.array([region.kind in (TUMOR, CHANGED) for region in content.regions])


def test_what_flow_learns_from_is_measured_and_nothing_else(content: TrainingData) -> None:
    config, found = shape_tokens(content, JOINT)
    assert config.shape_tokens == SHAPE_TOKENS and config.all_tokens == (*JOINT.tokens, *SHAPE_TOKENS)
    whole = learned_by_flow(content)
    assert {content.regions[n].kind for n in np.flatnonzero(whole)} == {TUMOR, CHANGED}
    assert whole.any() and np.isfinite(found.values[whole]).all() and np.isnan(found.values[~whole]).all()


def test_values_are_those_of_the_mask_and_the_volume_that_of_the_scan(content: TrainingData) -> None:
    _, found = shape_tokens(content, JOINT)
    for row in np.flatnonzero(learned_by_flow(content)):
        region = content.regions[row]
        grid = work_grid(content.images[region.image].geometry, np.array(region.center), region.spacing, content.work.size)
        measured = measure_mask(content.mask(row), grid)
        values = dict(zip(SHAPE_TOKENS, found.values[row], strict=True))
        assert values.pop("shape_VoxelVolume") == pytest.approx(region.volume_mm3)
        assert values == pytest.approx({name: measured[name] for name in values}, rel=1e-3)


def test_scales_travel_with_the_config_and_known_ones_are_kept(content: TrainingData) -> None:
    config, found = shape_tokens(content, JOINT)
    assert found.scales == tuple(FeatureScale(line) for line in config.shape_quantiles)
    again, same = shape_tokens(content, config)
    assert again == config and np.array_equal(same.values, found.values, equal_nan=True)
    other = tuple((*(1.5 * value for value in line),) for line in config.shape_quantiles)
    kept, _ = shape_tokens(content, replace(config, shape_quantiles=other))
    assert kept.shape_quantiles == other


def test_conditions_score_shape_features_after_texture_and_leave_others_unknown(content: TrainingData) -> None:
    config, shapes = shape_tokens(content, JOINT)
    conditions = Conditions(content, config.tokens, None, shapes)
    count = len(config.tokens)
    for row, region in enumerate(content.regions):
        told = conditions.row(row)
        assert told.values.shape == told.known.shape == (len(config.all_tokens),)
        measured = region.kind in (TUMOR, CHANGED)
        assert told.known[count:].all() == measured == told.known[count:].any()
        if measured:
            expected = [scale.score(float(value)) for scale, value in zip(shapes.scales, shapes.values[row], strict=True)]
            assert told.values[count:] == pytest.approx(expected, abs=1e-5)
    fresh = conditions.fresh(np.zeros(count, np.float32), 0, 1.0, content.images[0].intensity)
    assert len(fresh.values) == len(config.all_tokens) and not fresh.known[count:].any()
    plain = Conditions(content, config.tokens)
    assert np.array_equal(plain.values, conditions.values[:, :count]) and plain.scales == conditions.scales


def test_a_batch_says_which_method_it_follows(content: TrainingData) -> None:
    config, shapes = shape_tokens(content, JOINT)
    conditions = Conditions(content, config.tokens, None, shapes)
    rows = [conditions.row(0), conditions.row(len(content.regions) - 1)]
    shown = np.ones((2, len(config.all_tokens)), bool)
    for method in METHODS:
        batch = stacked(rows, torch.zeros(2, 2, 4, 4, 4), shown, np.ones(2, bool), method)
        assert batch.method == METHODS.index(method)
        assert batch.present.tolist() == [row.known.tolist() for row in rows]


def test_without_whole_tumors_the_scales_are_still_scales(content: TrainingData) -> None:
    parts = replace(content, regions=tuple(replace(region, kind=TUMOR + 1) for region in content.regions))
    config, found = shape_tokens(parts, JOINT)
    assert np.isnan(found.values).all() and all(np.isfinite(line).all() for line in config.shape_quantiles)
