"""The two file lists of CMakeLists.txt: what the Slicer extension packages. Run as a script, it writes them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CMAKE = ROOT / "CMakeLists.txt"
LIST = r"(set\({name}\n)(.*?)(  \)\n)"


def files_in_tree() -> dict[str, list[str]]:
    """Root-relative files that belong into each list."""
    scripts = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "TumorSynthLib").rglob("*.py"))
    found = [path for folder in ("Resources", "models") for path in (ROOT / folder).rglob("[!.]*") if path.is_file()]
    resources = sorted(path.relative_to(ROOT).as_posix() for path in found)
    return {"LIBRARY_SCRIPTS": scripts, "LIBRARY_RESOURCES": resources}


def files_in_list(name: str) -> list[str]:
    """Files that CMakeLists.txt names in one list."""
    found = re.search(LIST.format(name=name), CMAKE.read_text(encoding="utf-8"), re.DOTALL)
    if not found:
        raise ValueError(f"CMakeLists.txt has no list {name}")
    return found[2].split()


def write_lists() -> None:
    """Bring both lists of CMakeLists.txt up to date with the tree."""
    text = CMAKE.read_text(encoding="utf-8")
    for name, files in files_in_tree().items():
        lines = "".join(f"  {file}\n" for file in files)
        text = re.sub(LIST.format(name=name), rf"\g<1>{lines}\g<3>", text, flags=re.DOTALL)
    CMAKE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_lists()
