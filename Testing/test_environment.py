"""The demo's and the tests' environment is made once, and the demo finds its scan and its point."""

from pathlib import Path

import demo
import environment
import numpy as np
import pytest
import SimpleITK as sitk


@pytest.fixture
def pip_calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What would have been installed into an empty folder."""
    calls: list[list[str]] = []
    monkeypatch.setattr(environment, "FOLDER", tmp_path)
    monkeypatch.setattr(environment, "_create", lambda: None)
    monkeypatch.setattr(environment, "_pip", calls.append)
    monkeypatch.delenv("TUMORSYNTH_TORCH", raising=False)
    return calls


def test_a_second_run_installs_nothing(pip_calls: list[list[str]]) -> None:
    environment.install("demo")
    first = len(pip_calls)
    environment.install("demo")
    assert first > 0
    assert len(pip_calls) == first


def test_another_extra_or_another_torch_installs_again(pip_calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    environment.install("demo")
    environment.install("dev")
    assert pip_calls[-1][-1].endswith("[dev]")
    monkeypatch.setenv("TUMORSYNTH_TORCH", "torch --pre")
    environment.install("dev")
    assert pip_calls[-2] == ["torch", "--pre"]
    assert "--constraint" not in pip_calls[-1]


def test_the_default_point_is_the_middle_of_the_body_in_ras(tmp_path: Path) -> None:
    values = np.full((40, 50, 60), -1000, np.int16)  # k, j, i
    values[10:21, 20:31, 30:41] = 50
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((2.0, 1.0, 3.0))
    image.SetOrigin((5.0, -7.0, 11.0))
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    lps = image.TransformIndexToPhysicalPoint((35, 25, 15))
    assert demo.middle_of_body(tmp_path / "scan.nrrd") == pytest.approx((-lps[0], -lps[1], lps[2]))


def test_the_default_point_lies_in_tissue_where_the_center_does_not(tmp_path: Path) -> None:
    values = np.zeros((20, 20, 20), np.int16)
    values[:, :, 2:6] = 100
    values[:, :, 14:18] = 100
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "scan.nrrd"))
    r, a, s = demo.middle_of_body(tmp_path / "scan.nrrd")
    assert values[round(s), round(-a), round(-r)] == 100
