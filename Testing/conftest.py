"""What several tests share: a complete bundle with small random networks."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_data
import tiny_training
from phantoms import phantom
from quick_worker import quick_server
from tiny_bundle import make_tiny_bundle

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.dataset import TrainingData
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.volume_io import write_volume

# A shell that starts the tests in the background lets them, and all that they start, ignore Ctrl-C, which some of them send.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with small networks whose random weights are the same in every run."""
    return make_tiny_bundle(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def editor(tiny_bundle: Bundle) -> Editor:
    """One warm editor for all tests, with the tiny bundle."""
    return Editor(tiny_bundle, "cpu")


@pytest.fixture(scope="session")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain phantom on disk."""
    path = tmp_path_factory.mktemp("scan") / "scan.nrrd"
    write_volume(phantom(), path)
    return path


@pytest.fixture(scope="session")
def quick_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where workers start at once; see ``quick_worker``."""
    with quick_server(tmp_path_factory.mktemp("quick")) as place:
        yield place


# What trainings start from, made anew for each file of tests.


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """What ``prepare`` makes of a small folder of images."""
    return tiny_data.training_data(tiny_data.write_folder(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def data(content: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a training file, with shapes beside it."""
    return tiny_training.write_data(content, tmp_path_factory.mktemp("file"))


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a codec that was never trained."""
    return tiny_training.untrained_codec(tmp_path_factory.mktemp("codec"))
