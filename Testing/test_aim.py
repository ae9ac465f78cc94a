"""Asking for more where a sample fell short: the aim alone, and candidates of a network that errs by a known amount."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from phantoms import insert, phantom
from scipy.stats import norm

from TumorSynthLib.aim import FARTHEST, GAIN, Aim
from TumorSynthLib.bundle import Bundle
from TumorSynthLib.candidates import edit_texture
from TumorSynthLib.edit import TextureEdit
from TumorSynthLib.scaling import LEVELS, FeatureScale
from TumorSynthLib.scene import Scene, read_scene, read_source
from TumorSynthLib.texture import Sampling, Task
from TumorSynthLib.volume_io import write_volume

PLAIN = FeatureScale(tuple(norm.ppf(LEVELS)))
"""Of a feature whose values are its normal scores."""
BENT = FeatureScale(tuple(np.exp(norm.ppf(LEVELS))))
SCALES = {"a": PLAIN, "b": BENT}


@pytest.mark.parametrize("scale", [PLAIN, BENT])
def test_values_beyond_the_quantiles_have_the_score_that_they_were_asked_by(scale: FeatureScale) -> None:
    for score in np.linspace(-3.9, 3.9, 27):
        assert scale.score(scale.extended(score)) == pytest.approx(score, abs=1e-9)
    for score in (-2.0, 0.0, 1.5):
        assert scale.extended(score) == pytest.approx(scale.value(score))


def test_what_comes_out_as_wanted_is_asked_for_again() -> None:
    aim = Aim({"a": 0.5, "b": 2.0, "drawn": 7.0}, {"a": 0.5, "b": 2.0}, SCALES)
    aim.correct({"a": 0.5, "b": 2.0, "drawn": 99.0})
    assert aim.features == pytest.approx({"a": 0.5, "b": 2.0, "drawn": 7.0})


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.6), (0.5, 0.0), (1.4, -0.3)])
def test_a_network_that_errs_alike_every_time_comes_to_what_was_wanted(slope: float, offset: float) -> None:
    aim, missed = Aim({"a": 0.8}, {"a": 0.8}, SCALES), []
    for _ in range(6):
        assert aim.features is not None
        measured = slope * aim.features["a"] + offset
        missed.append(abs(measured - 0.8))
        aim.correct({"a": measured})
    # Each round leaves 1 - GAIN * slope of the error.
    assert missed[1:] == pytest.approx([error * abs(1.0 - GAIN * slope) for error in missed[:-1]], abs=1e-9)
    assert missed[-1] < 0.12 * missed[0]


def test_what_the_network_does_not_follow_is_not_asked_for_without_end() -> None:
    aim = Aim({"a": 1.0}, {"a": 1.0}, SCALES)
    for _ in range(50):
        aim.correct({"a": -2.0})
    assert aim.features == pytest.approx({"a": FARTHEST})


def test_features_without_scale_or_measurement_stay_and_healthy_tissue_asks_for_nothing() -> None:
    aim = Aim({"a": 1.0, "odd": 3.0}, {"a": 1.0, "odd": 3.0}, SCALES)
    aim.correct({"odd": 5.0})
    assert aim.features == {"a": 1.0, "odd": 3.0}
    healthy = Aim(None, None, SCALES)
    healthy.correct({"a": 1.0})
    assert healthy.features is None


class Erring:
    """Networks that make every tumor of one value: what is asked, and 30 more."""

    def __init__(self, scene: Scene, scale: FeatureScale) -> None:
        self.scene, self.scales = scene, {scene.domain.id: {"firstorder_Mean": scale}}
        self.asked: list[float] = []
        self.seeds: list[int] = []

    def synthesize(self, task: Task, sampling: Sampling, progress: Callable[[float], None]) -> np.ndarray:
        """A flat volume."""
        assert task.features is not None
        self.asked.append(task.features["firstorder_Mean"])
        assert task.level == pytest.approx(float(self.scene.intensity.to_input(np.array(self.asked[-1]))))
        self.seeds += sampling.seeds
        progress(1.0)
        u = np.full(task.v.shape, self.asked[-1] + 30.0, dtype=np.float32)
        return np.asarray(self.scene.intensity.to_input(u))[None]


@pytest.fixture
def scene(tmp_path: Path, tiny_bundle: Bundle) -> Scene:
    path = tmp_path / "scan.nrrd"
    write_volume(phantom(), path)
    return read_scene(insert(path, tmp_path / "out"), tiny_bundle, read_source(str(path)))


def run(scene: Scene, count: int, match: bool = False) -> tuple[Erring, list, list]:
    mask = np.zeros(scene.scan.array.shape, dtype=bool)
    middle = np.array(mask.shape) // 2
    mask[tuple(slice(m - 5, m + 5) for m in middle)] = True
    model = Erring(scene, FeatureScale(tuple(np.linspace(-200.0, 200.0, len(LEVELS)))))
    seen: list[tuple[str, float]] = []
    edit = TextureEdit(mask, {"firstorder_Mean": 20.0}, noise=False, match=match)
    seeds = tuple(range(10, 10 + count))
    made = edit_texture(scene, edit, model, Sampling(4, 1.0, seeds), lambda *told: seen.append(told))  # type: ignore[arg-type]
    return model, made, seen


def test_each_candidate_is_asked_for_what_the_one_before_it_missed(scene: Scene) -> None:
    model, made, _ = run(scene, 4)
    assert model.seeds == [10, 11, 12, 13] and model.asked[0] == 20.0
    assert model.asked == sorted(model.asked, reverse=True) and model.asked[-1] == pytest.approx(-10.0, abs=4.0)
    assert [candidate.seed for candidate in made] == [13, 12, 11, 10]
    errors = [abs(candidate.measured["firstorder_Mean"] - 20.0) for candidate in made]
    assert errors[0] < 4.0 and errors[-1] == pytest.approx(30.0, abs=4.0)


def test_a_candidate_depends_on_those_before_it_alone(scene: Scene) -> None:
    assert run(scene, 4)[0].asked[:2] == run(scene, 2)[0].asked


def test_a_feature_that_calibration_brings_to_its_value_is_asked_for_as_it_is(scene: Scene) -> None:
    model, _, _ = run(scene, 3, match=True)
    assert model.asked == pytest.approx([20.0, 20.0, 20.0], abs=1.0)


def test_progress_of_several_candidates_never_goes_back(scene: Scene) -> None:
    _, _, seen = run(scene, 3)
    stages = [stage for stage, _ in seen]
    assert stages == sorted(stages, reverse=True) and {*stages} == {"sampling", "compositing"}
    for name in ("sampling", "compositing"):
        shares = [share for stage, share in seen if stage == name]
        assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)


def test_the_error_of_one_candidate_is_told_by_its_distance(scene: Scene) -> None:
    scale = FeatureScale(tuple(np.linspace(-200.0, 200.0, len(LEVELS))))
    for candidate in run(scene, 2)[1]:
        missed = scale.score(candidate.measured["firstorder_Mean"]) - scale.score(20.0)
        assert candidate.distance == pytest.approx(abs(missed))
