"""The project's own Python environment beside the sources, made on first use (standard library only).

Environment variables: ``TUMORSYNTH_VENV`` is another folder for it; ``TUMORSYNTH_TORCH`` are pip's arguments for
another build of PyTorch (``"torch --index-url ..."``), and then the ranges of pyproject.toml decide on versions
instead of constraints.txt. So they do on Python 3.10, for which some of those versions were not made.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "Testing" / "constraints.txt"
FOLDER = Path(os.environ.get("TUMORSYNTH_VENV", ROOT / ".venv")).absolute()
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
QUIET_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""Spinning threads slow each other down by several times wherever anything else runs."""


def enter(extra: str) -> None:
    """Make sure that the environment has an extra of pyproject.toml, and go on running the same script inside it.

    Does not return when called from outside the environment: the script is run again inside, and this process
    ends with its exit code.
    """
    if Path(sys.prefix).resolve() == FOLDER.resolve():
        return
    install(extra)
    command = [str(PYTHON), str(Path(sys.argv[0]).resolve()), *sys.argv[1:]]
    sys.exit(subprocess.call(command, env={**os.environ, **QUIET_THREADS}))


def install(extra: str) -> None:
    """Create the environment where it is missing, and install the project (editable) with an extra.

    A second call does nothing until pyproject.toml, the constraints or the choice of PyTorch change.
    """
    stamp = FOLDER / f"installed-{extra}"
    if stamp.is_file() and stamp.read_text() == _fingerprint():
        return
    print(f"Preparing {FOLDER} ({extra}); the first time takes some minutes.", flush=True)
    if not (FOLDER / "pyvenv.cfg").is_file():
        _create()
    chosen = os.environ.get("TUMORSYNTH_TORCH")
    limits = [] if chosen or sys.version_info < (3, 11) else ["--constraint", str(CONSTRAINTS)]
    _pip([*limits, *shlex.split(chosen or "torch")])
    _pip([*limits, "--editable", f"{ROOT}[{extra}]"])
    stamp.write_text(_fingerprint())


def _create() -> None:
    """An empty environment with pip; nothing is left behind where that fails."""
    try:
        venv.create(FOLDER, with_pip=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(FOLDER)
        sys.exit("This Python cannot make environments with pip. On Debian and Ubuntu install the package python3-venv.")


def _fingerprint() -> str:
    """Changes whenever an installed environment would be out of date."""
    files = (ROOT / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes()
    return hashlib.sha256(files + os.environ.get("TUMORSYNTH_TORCH", "").encode()).hexdigest()


def _pip(arguments: list[str]) -> None:
    command = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments]
    if subprocess.call(command) != 0:
        sys.exit(
            f"Installing failed: {shlex.join(command)}\n"
            "Above is pip's own message. PyRadiomics is compiled on your machine: that needs a C compiler and Python's headers."
        )
