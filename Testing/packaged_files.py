"""The file lists of the CMakeLists.txt: what the Slicer extension packages. Run as a script, it writes them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LISTS = {
    "LIBRARY_SCRIPTS": ROOT / "CMakeLists.txt",
    "LIBRARY_RESOURCES": ROOT / "CMakeLists.txt",
    "MODULE_PYTHON_SCRIPTS": ROOT / "TumorSynth" / "CMakeLists.txt",
    "SLICER_TESTS": ROOT / "Testing" / "CMakeLists.txt",
}
"""Each list and the file that has it; its entries are relative to that file's folder."""
LIST = r"(set\({name}\n)(.*?)(  \)\n)"


def files_in_tree() -> dict[str, list[str]]:
    """Files that belong into each list."""
    resources = [path for folder in ("Resources", "models") for path in (ROOT / folder).rglob("[!.]*") if path.is_file()]
    found = {
        "LIBRARY_SCRIPTS": list((ROOT / "TumorSynthLib").rglob("*.py")),
        "LIBRARY_RESOURCES": [*resources, ROOT / "requirements.txt"],
        "MODULE_PYTHON_SCRIPTS": list((ROOT / "TumorSynth").rglob("*.py")),
        "SLICER_TESTS": [path for path in (ROOT / "Testing" / "slicer").glob("test_*.py") if path.name != "test_harness.py"],
    }
    return {name: sorted(path.relative_to(LISTS[name].parent).as_posix() for path in paths) for name, paths in found.items()}


def files_in_list(name: str) -> list[str]:
    """Files that CMake is told of in one list."""
    found = re.search(LIST.format(name=name), LISTS[name].read_text(encoding="utf-8"), re.DOTALL)
    if not found:
        raise ValueError(f"{LISTS[name]} has no list {name}")
    return found[2].split()


def write_lists() -> None:
    """Bring the lists up to date with the tree."""
    for name, files in files_in_tree().items():
        text = LISTS[name].read_text(encoding="utf-8")
        lines = "".join(f"  {file}\n" for file in files)
        text = re.sub(LIST.format(name=name), rf"\g<1>{lines}\g<3>", text, flags=re.DOTALL)
        LISTS[name].write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_lists()
