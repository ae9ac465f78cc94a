"""The project's own files agree with each other: packaging, versions, licences of weights, README."""

import ast
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import translations
import typer
from packaged_files import LISTS, ROOT, files_in_list, files_in_tree
from packaging.requirements import Requirement
from PIL import Image

from TumorSynthLib.cli import app
from TumorSynthLib.train.__main__ import app as train_app

tomllib = pytest.importorskip("tomllib")

MIB = 1024 * 1024
EXACT = {"PySide6-Essentials", "shiboken6"}
"""Packages whose later releases are known to crash."""


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def project_files() -> list[Path]:
    """Files under version control, or that would be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git work tree")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.mark.parametrize("name", LISTS)
def test_the_extension_packages_every_file_of_the_tree(name: str) -> None:
    assert files_in_list(name) == files_in_tree()[name], "run `python3 Testing/packaged_files.py`"


def test_dependencies_are_ranges_and_the_constraints_lie_inside(pyproject: dict) -> None:
    project = pyproject["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    allowed = {requirement.name.lower(): requirement for requirement in map(Requirement, lines)}
    for requirement in allowed.values():
        assert str(requirement.specifier), f"{requirement.name} has no lower bound"
        assert requirement.name in EXACT or not re.search(r"==", str(requirement.specifier)), f"{requirement} is pinned"
    for line in (ROOT / "Testing" / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pinned = Requirement(line)
            version = str(pinned.specifier).removeprefix("==")
            assert allowed[pinned.name.lower()].specifier.contains(version), f"{line} is outside pyproject's range"


def test_no_file_names_a_path_of_one_machine() -> None:
    pattern = re.compile(rb"/work/|/opt/|/root/|/home/[a-z]|/tmp/|\.\./shared|file:///|C:\\\\Users")
    texts = [path for path in project_files() if path != Path(__file__) and path.suffix not in {".safetensors", ".png"}]
    assert not [path for path in texts if pattern.search(path.read_bytes())]


def test_weights_fit_the_repository_and_are_listed_with_their_checksums() -> None:
    files = [path for path in (ROOT / "models").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 32 * MIB
    assert not [path for path in files if path.suffix in {".pt", ".pth", ".ckpt", ".pkl", ".bin", ".npy"}]
    for path in files:
        if path.suffix == ".safetensors":
            listing = (path.parent / "bundle.json").read_text(encoding="utf-8")
            assert path.name in listing
            assert hashlib.sha256(path.read_bytes()).hexdigest() in listing


def test_the_wheel_carries_the_library_and_the_models(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    models = {path.relative_to(ROOT).as_posix() for path in (ROOT / "models").rglob("[!.]*") if path.is_file()}
    assert set(files_in_tree()["LIBRARY_SCRIPTS"]) <= names
    assert {f"TumorSynthLib/{name}" for name in models} <= names
    assert not [name for name in names if name.startswith(("Testing/", "models/"))]


def test_every_script_that_the_readme_runs_exists() -> None:
    scripts = set(re.findall(r"(?:python3?|bash) ((?:Testing|\.ci)/[\w/.]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"Testing/demo.py", "Testing/run_tests.py"} <= scripts
    assert not [script for script in scripts if not (ROOT / script).is_file()]


def test_the_readme_uses_commands_and_options_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    uses = re.findall(r"^(tumorsynth|python -m TumorSynthLib\.train) ([a-z]+)(.*)$", text, re.MULTILINE)
    assert len(uses) > 10
    programs = {"tumorsynth": typer.main.get_command(app), "python -m TumorSynthLib.train": typer.main.get_command(train_app)}
    for program, command, rest in uses:
        known = {option for parameter in programs[program].commands[command].params for option in parameter.opts}
        assert set(re.findall(r"(?<= )--[a-z-]+", rest)) <= known, f"{program} {command}"


def test_every_picture_and_page_that_the_readme_links_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (ROOT / link).exists()]


def test_the_changelog_knows_the_version(pyproject: dict) -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert pyproject["project"]["version"] in headings or headings[0] == "Unreleased"


def test_the_icon_has_the_size_that_the_extension_catalogue_asks_for() -> None:
    assert Image.open(ROOT / "Resources" / "Icons" / "TumorSynth.png").size == (128, 128)


def test_translators_have_every_text_of_the_panel() -> None:
    assert translations.TEMPLATE.read_text(encoding="utf-8") == translations.template(), "run `python3 Testing/translations.py`"


HEAVY = ("SimpleITK", "monai", "radiomics", "scipy", "torch")
"""What takes seconds to import, or can crash the application: it belongs into the worker."""


def test_the_slicer_side_imports_nothing_heavy_through_the_library() -> None:
    found = set()
    for path in (ROOT / "TumorSynth").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("TumorSynthLib"):
                found.add(node.module)
    assert {"TumorSynthLib.errors", "TumorSynthLib.protocol", "TumorSynthLib.worker_client"} <= found
    program = f"import sys; sys.modules.update(dict.fromkeys({HEAVY})); import {', '.join(sorted(found))}"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_the_catalogue_entry_agrees_with_the_extension() -> None:
    entry = json.loads((ROOT / "TumorSynth.json").read_text(encoding="utf-8"))
    allowed = {"$schema", "build_dependencies", "build_subdirectory", "category", "scm_revision", "scm_type", "scm_url", "tier"}
    assert set(entry) <= allowed and entry["tier"] == 1
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(TumorSynth)\n" in cmake, "what Slicer's own configuration looks for needs a compiler"
    assert f'set(EXTENSION_CATEGORY "{entry["category"]}")' in cmake
    assert f'set(EXTENSION_DEPENDS "{" ".join(entry["build_dependencies"])}")' in cmake
    icon = re.findall(r"/main/(Resources/Icons/\S+?)\"", cmake)
    pictures = [f"Resources/Screenshots/{name}" for name in re.findall(r"\$\{SCREENSHOTS\}/([\w.]+)", cmake)]
    assert len(icon) == 1 and pictures
    assert not [image for image in icon + pictures if not (ROOT / image).is_file()]
