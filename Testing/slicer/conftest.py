"""Runs the tests of the Slicer side without the application, where slicer-core and PySide6 are installed."""

import sys
from pathlib import Path
from typing import Any

import harness
import pytest

MISSING = harness.missing()
if not MISSING:
    sys.path.append(str(Path(__file__).resolve().parents[2] / "TumorSynth"))
    harness.boot()


class SkippedModule(pytest.Module):
    """A file that cannot even be imported here."""

    def collect(self) -> Any:
        """Nothing, with the reason."""
        pytest.skip(MISSING, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> Any:
    """Skip every file where the harness cannot run."""
    return SkippedModule.from_parent(parent, path=module_path) if MISSING else None
