"""Where the parts of the extension lie.

Installed, everything stands beside the module's file; in a source tree the library, the resources and the models are one
level up.
"""

import sys
from pathlib import Path

MODULE_FOLDER = Path(__file__).resolve().parent.parent
"""Folder of TumorSynth.py."""


def part(name: str) -> Path:
    """A file or folder of the extension, by its path from the project's root, for example ``Resources/UI/TumorSynth.ui``.

    Raises
    ------
    FileNotFoundError : when it is in neither place, so the installation is not whole.
    """
    for folder in (MODULE_FOLDER, MODULE_FOLDER.parent):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"The extension has no {name!r}, looked for in {MODULE_FOLDER} and its parent. Install it again.")


def findLibrary() -> None:
    """Let Python find TumorSynthLib."""
    folder = str(part("TumorSynthLib").parent)
    if folder not in sys.path:
        sys.path.append(folder)
