"""Real workers for tests: with a tiny bundle, and starting at once where processes can be forked."""

import atexit
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from contextlib import ExitStack
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_kept = ExitStack()
atexit.register(_kept.close)


def checkWorker() -> None:
    """Raises SkipTest where no worker can run, as in a Slicer without PyTorch."""
    for name in ("torch", "radiomics"):
        if importlib.util.find_spec(name) is None:
            raise unittest.SkipTest(f"needs {name}")


@cache
def temporaryPlace() -> Path:
    """A folder that lasts as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="tumorsynth-tests-"))
    _kept.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def tinyBundle() -> Path:
    """Folder of the bundle that Testing/tiny_bundle.py makes."""
    checkWorker()
    folder = temporaryPlace() / "models"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(ROOT / "Testing" / "tiny_bundle.py"), str(folder)], check=True, env=environment)
    return folder / "tiny"


@cache
def workerCommand() -> tuple[str, ...]:
    """The words that stand for ``python`` in the command of a worker, which finds the bundle ``tiny``."""
    models = tinyBundle().parent
    if not hasattr(os, "fork"):
        os.environ["TUMORSYNTH_MODELS"] = str(models)
        return (sys.executable,)
    testing = str(ROOT / "Testing")
    if testing not in sys.path:
        sys.path.append(testing)
    from quick_worker import command, quick_server

    place = temporaryPlace() / "quick"
    place.mkdir()
    return ("env", f"TUMORSYNTH_MODELS={models}", *command(_kept.enter_context(quick_server(place)), ROOT))
