"""Two processes under torchrun train as one does on the same samples, and the first alone writes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_data
import tiny_training
import torch
from tiny_training import STAGES, run, stage

from TumorSynthLib.configs import TrainConfig
from TumorSynthLib.dataset import save_training_data, shapes_file
from TumorSynthLib.errors import DeviceError
from TumorSynthLib.train import shape_trainer
from TumorSynthLib.train.checkpoints import load_checkpoint
from TumorSynthLib.train.team import Team, gathered, generators

NETWORKS = {"codec": "codec", "shape": "generator", "bridge": "network"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    path = folder / "train.npz"
    save_training_data(path, tiny_data.training_data(tiny_data.write_folder(folder)))
    tiny_training.write_shapes(shapes_file(path))
    return path


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_training.untrained_codec(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def together(data: Path, codec: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes trained, four samples each."""
    out = tmp_path_factory.mktemp("together")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(Path(tiny_training.__file__).parent), str(Path(tiny_training.__file__).parent.parent)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    command = [*launcher, tiny_training.__file__, str(data), str(codec), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def lines(out: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found if "note" not in line]


@pytest.mark.parametrize("name", list(STAGES))
def test_two_processes_train_as_one_does_on_the_same_samples(
    name: str, data: Path, codec: Path, together: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shape_trainer, "CRITIC_FROM", tiny_training.EARLY_CRITIC[0])
    monkeypatch.setattr(shape_trainer, "R1_EVERY", tiny_training.EARLY_CRITIC[1])
    alone = run(name, data, codec, tmp_path, stage(name))
    for left, right in zip(lines(alone), lines(together / name), strict=True):
        left.pop("encoded", None), right.pop("encoded", None)
        exact = any(key in left for key in ("rate", "moments"))
        assert left == pytest.approx(right, rel=1e-3 if exact else 3e-2, abs=1e-4)
    one, two = load_checkpoint(alone), load_checkpoint(together / name)
    assert one is not None and two is not None and one["step"] == two["step"] == 3
    a, b, start = one[NETWORKS[name]], two[NETWORKS[name]], one["average"]
    assert name != "shape" or "critic" in lines(alone)[2]
    moved = sum(float((a[key] - start[key]).abs().sum()) for key in a)
    assert sum(float((a[key] - b[key]).abs().sum()) for key in a) < 0.01 * moved


@pytest.mark.parametrize("name", list(STAGES))
def test_the_first_process_alone_writes(name: str, together: Path) -> None:
    files = {path.name for path in (together / name).iterdir()}
    assert {"best.pt", "checkpoint.pt", "log.jsonl"} <= files <= {"best.pt", "checkpoint.pt", "log.jsonl", "tensorboard"}
    assert [line["step"] for line in lines(together / name)] == [1, 2, 3, 3]
    assert len(list((together / name).glob("tensorboard/*"))) <= 1


def test_every_sample_of_a_step_belongs_to_one_process_and_part() -> None:
    config = TrainConfig(1.0, 4, 1e-3, accumulate=3)
    found = [item for part in range(3) for rank in range(2) for item in Team(rank, 2).items(config, part)]
    assert found == list(range(24))


def test_a_sample_draws_the_same_whoever_handles_it() -> None:
    whole = [rng.random() for rng in generators(5, 7, range(8))]
    assert [rng.random() for part in (range(4), range(4, 8)) for rng in generators(5, 7, part)] == whole
    assert len(set(whole)) == 8 and generators(5, 8, range(1))[0].random() != whole[0]


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError) as caught, gathered("cuda"):
        pass
    assert caught.value.code == "device.missing"
