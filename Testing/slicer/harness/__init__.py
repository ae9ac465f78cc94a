"""Slicer without its desktop: the real scene and logics of slicer-core, Qt by PySide6 with the manners of PythonQt.

For tests only. What it offers is a part of what the application offers, never more.
"""

import importlib.util
import os
import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parent.parent.parent
"""The folder Testing of the project."""


def missing() -> str:
    """What has to be installed before ``boot`` works, or nothing."""
    names = {"slicer_core": "slicer-core", "PySide6": "PySide6-Essentials", "vtk": "vtk"}
    absent = [package for module, package in names.items() if importlib.util.find_spec(module) is None]
    return f"needs {', '.join(absent)}: pip install tumorsynth[slicer-test]" if absent else ""


def boot() -> None:
    """Make ``import slicer``, ``qt`` and ``ctk`` work in this process, once."""
    if "qt" in sys.modules:
        return
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    _importSlicer()
    from . import application, ctk_widgets, modules, mrml_widgets, parameter_nodes, qt_module

    qt_module.install((*ctk_widgets.TYPES, *mrml_widgets.TYPES))
    ctk_widgets.install()
    mrml_widgets.install()
    modules.install()
    parameter_nodes.install()
    application.boot()


def _importSlicer() -> None:
    """slicer-core imports every file in every folder ``slicer`` on the path, which Testing/slicer must not be among."""
    path = list(sys.path)
    sys.path[:] = [entry for entry in path if Path(entry or ".").resolve() != TESTING]
    try:
        import slicer
        import slicer.util  # noqa: F401
    finally:
        sys.path[:] = path
