"""README's examples of the synthesis methods do what they say, with every bundle that has the method."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from phantoms import middle, phantom
from typer.testing import CliRunner

from TumorSynthLib.bundle import MODELS_VARIABLE, Bundle, load_bundle
from TumorSynthLib.cli import app
from TumorSynthLib.methods import METHODS
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import read_mask, write_volume

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^tumorsynth (insert .*--method .*)$", README, re.MULTILINE)
CENTER = np.array([-30.0, 12.0, 85.0])
"""Middle of the scan that the examples are about, RAS mm."""


def value(words: list[str], option: str, count: int = 1) -> list[str]:
    """What stands behind an option."""
    start = words.index(option) + 1 if option in words else len(words)
    return words[start : start + count]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Bundle) -> Path:
    """A folder with the examples' scan, where bundles are found."""
    scan = phantom()
    affine = scan.geometry.affine.copy()
    affine[:3, 3] += CENTER - middle(scan)
    write_volume(Volume(scan.array, Geometry(scan.geometry.shape, affine)), tmp_path / "scan.nii.gz")
    monkeypatch.setenv(MODELS_VARIABLE, str(tiny_bundle.path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_methods_that_need_an_example_have_one_and_the_table_has_all() -> None:
    assert {value(shlex.split(command), "--method")[0] for command in COMMANDS} == set(METHODS) - {"bridge"}
    table = README.partition("### Three methods")[2].partition("###")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(METHODS)


@pytest.mark.parametrize("bundle", ["tiny", "base"])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_do_what_they_say(place: Path, bundle: str, command: str) -> None:
    words = shlex.split(command)
    method, steps = value(words, "--method")[0], int((value(words, "--steps") or ["10"])[0])
    if method not in load_bundle(bundle).methods:
        pytest.skip(f"the bundle '{bundle}' has no method '{method}'")
    outcome = CliRunner().invoke(app, [*words, "--bundle", bundle, "--device", "cpu"])
    assert outcome.exit_code == 0, outcome.stderr
    out = place / value(words, "--out")[0]
    told = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert (told["request"]["method"], told["steps"]) == (method, steps)
    mask = read_mask(out / "segmentation.seg.nrrd")
    points = mask.geometry.to_ras(np.argwhere(mask.array))
    volume = len(points) * mask.geometry.voxel_volume_mm3
    assert told["measured"]["shape_VoxelVolume"] == pytest.approx(volume)
    for wanted in value(words, "--volume-ml"):
        assert volume == pytest.approx(1000.0 * float(wanted), rel=0.02)
    if box := value(words, "--box", 6):
        low, high = np.array(box, float).reshape(2, 3)
        assert volume > 0.0 and np.all((points >= low) & (points <= high))
