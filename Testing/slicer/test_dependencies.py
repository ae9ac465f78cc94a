"""The packages that the worker needs: seen without an import, installed in the right way, and tried in a child process."""

import importlib.metadata
import importlib.util
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import slicer
import tomllib
from heartbeat import TURNS
from packaging.requirements import Requirement
from slicer_case import SlicerCase
from slicer_worker import checkWorker
from test_qt_process import posix

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer import dependencies, qt_process
from TumorSynthSlicer.commands import WorkerChoice
from TumorSynthSlicer.dependency_check import Check, verify
from TumorSynthSlicer.paths import MODULE_FOLDER, part

HEAVY = ("torch", "monai", "radiomics", "SimpleITK", "scipy")


class PythonWith:
    """Stands for a Python with certain packages: versions by name, None where only the metadata is there."""

    def __init__(self, case: SlicerCase, **versions: str) -> None:
        self.versions, self.modules = versions, {*versions}
        patches = (mock.patch("importlib.metadata.version", self.version), mock.patch("importlib.util.find_spec", self.find))
        for patch in patches:
            patch.start()
            case.addCleanup(patch.stop)

    def version(self, name: str) -> str:
        if name not in self.versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return self.versions[name]

    def find(self, name: str) -> object:
        return object() if {"PIL": "Pillow"}.get(name, name) in self.modules else None


ALL = {
    "torch": "2.5.1+cu121", "einops": "0.8", "monai": "1.5", "Pillow": "11.0", "safetensors": "0.5", "scipy": "1.15",
    "tqdm": "4.67", "typer": "0.16", "highdicom": "0.26", "pydicom": "3.0.2", "radiomics": "",
}  # fmt: skip


class DependenciesTest(SlicerCase):
    def setUp(self) -> None:
        super().setUp()
        self.ensure, self.pip = mock.Mock(), mock.Mock()
        patch = mock.patch.multiple(slicer.packaging, create=True, pip_ensure=self.ensure, pip_install=self.pip)
        patch.start()
        self.addCleanup(patch.stop)

    def pyTorchUtils(self, python: PythonWith, answer: Any) -> mock.Mock:
        """The PyTorch extension, whose installation ends so."""
        install = mock.Mock(return_value=answer)
        logic = types.SimpleNamespace(installTorch=install)
        patch = mock.patch.dict(sys.modules, PyTorchUtils=types.SimpleNamespace(PyTorchUtilsLogic=lambda: logic))
        patch.start()
        self.addCleanup(patch.stop)
        python.modules.add("PyTorchUtils")
        return install

    # ------------------------------------------------------------------ what is there
    def test_a_complete_python_needs_nothing(self) -> None:
        PythonWith(self, **ALL)
        self.assertEqual((dependencies.missing(), dependencies.plan()), ([], ""))
        self.assertEqual(dependencies.state(), "All Python packages are installed.")

    def test_missing_old_and_half_installed_packages_are_named(self) -> None:
        python = PythonWith(self, **{**ALL, "monai": "1.3.0", "scipy": ""})
        del python.versions["typer"]
        python.modules.remove("torch")  # its metadata is left from an installation that was interrupted
        self.assertEqual([package.name for package in dependencies.missing()], ["torch", "monai", "scipy", "typer"])
        self.assertIn("torch>=2.2, monai>=1.4", dependencies.state())
        self.assertIn("monai", dependencies.plan())

    def test_nothing_heavy_is_imported_to_find_out(self) -> None:
        before = {name for name in HEAVY if name in sys.modules}
        dependencies.state()
        self.assertEqual({name for name in HEAVY if name in sys.modules}, before)

    def test_the_requirements_agree_with_the_library_s_own(self) -> None:
        project = MODULE_FOLDER.parent / "pyproject.toml"
        if not project.exists():
            self.skipTest("is not in the installed extension")
        values = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        wanted = {item.name: item.specifier for item in map(Requirement, values["dependencies"])}
        wanted |= {item.name: item.specifier for item in map(Requirement, values["optional-dependencies"]["dicom"])}
        lines = part("requirements.txt").read_text(encoding="utf-8").splitlines()
        here = {item.name: item.specifier for item in map(Requirement, (line for line in lines if line and line[0] != "#"))}
        here[dependencies.TORCH.name] = dependencies.TORCH.specifier
        elsewhere = {"numpy", "SimpleITK", "pyradiomics-bhklab"}  # by Slicer and by SlicerRadiomics
        self.assertEqual(here, {name: range_ for name, range_ in wanted.items() if name not in elsewhere})

    # ------------------------------------------------------------------ install
    def test_torch_comes_by_its_extension_and_the_rest_by_pip_without_what_slicer_has(self) -> None:
        python = PythonWith(self, radiomics="")
        install = self.pyTorchUtils(python, object())
        self.assertIn("PyTorch extension", dependencies.plan())
        dependencies.install()
        install.assert_called_once_with(askConfirmation=True, torchVersionRequirement=">=2.2")
        self.pip.assert_not_called()
        (wanted,), options = self.ensure.call_args
        names = {Requirement(str(item)).name for item in wanted}
        self.assertTrue({"monai", "typer", "highdicom"} <= names and not {"torch", "SimpleITK", "numpy"} & names)
        self.assertEqual((options["requester"], options["skip_packages"]), ("TumorSynth", ["SimpleITK", "torch"]))

    def test_without_the_extension_pip_installs_torch_and_the_plan_says_what_that_means(self) -> None:
        PythonWith(self, radiomics="")
        self.assertIn("On Windows that build has no GPU", dependencies.plan())
        dependencies.install()
        self.assertEqual(self.pip.call_args.args[0], ["torch>=2.2"])

    def test_a_torch_that_is_there_is_left_alone(self) -> None:
        PythonWith(self, torch="2.2.0", radiomics="")
        dependencies.install()
        self.pip.assert_not_called()
        self.ensure.assert_called_once()

    def test_who_declines_torch_is_asked_for_nothing_more(self) -> None:
        self.pyTorchUtils(PythonWith(self), None)
        with self.assertRaises(TumorSynthError) as caught:
            dependencies.install()
        self.assertEqual(caught.exception.code, "dependencies.torch")
        self.ensure.assert_not_called()

    def test_a_pip_that_fails_is_told_with_what_to_do(self) -> None:
        PythonWith(self, torch="2.5", radiomics="")
        self.ensure.side_effect = subprocess.CalledProcessError(1, "pip install")
        with self.assertRaises(TumorSynthError) as caught:
            dependencies.install()
        self.assertIn("internet", caught.exception.hint)

    def test_pyradiomics_needs_its_extension(self) -> None:
        python = PythonWith(self, **ALL)
        python.modules.remove("radiomics")
        self.assertIn("SlicerRadiomics", dependencies.plan())
        with self.assertRaises(TumorSynthError) as caught:
            dependencies.install()
        self.assertIn("SlicerRadiomics", caught.exception.hint)


class VerifyTest(SlicerCase):
    def checked(self, choice: WorkerChoice, seconds: float = 120.0) -> Check:
        """What a check finds."""
        found: list[Check] = []
        self.running = verify(choice, found.append)
        self.assertEqual(found, [], "it is told later")
        self.waitUntil(lambda: found, seconds)
        return found[0]

    def script(self, text: str) -> WorkerChoice:
        """A program that stands for a Python."""
        path = self.temporaryFolder() / "python"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return WorkerChoice(command=str(path))

    def test_a_python_with_everything_tells_its_versions_and_devices_while_the_application_goes_on(self) -> None:
        checkWorker()
        with self.heartbeat() as beats:
            check = self.checked(WorkerChoice())
        self.assertEqual(check.error, "")
        self.assertEqual(check.python, ".".join(map(str, sys.version_info[:3])))
        self.assertEqual(check.devices[0], "cpu")
        self.assertEqual(check.versions["torch"], importlib.metadata.version("torch"))
        self.assertGreater(beats.count, TURNS)

    @posix
    def test_the_last_line_of_the_error_is_told(self) -> None:
        trace = "printf 'Traceback:\\nOSError: libcudnn.so.9: cannot open\\n\\n' >&2; exit 1"
        check = self.checked(self.script(f"cat > /dev/null; {trace}"))
        self.assertEqual(check.error, "OSError: libcudnn.so.9: cannot open")
        self.assertIn("Traceback", check.log)

    @posix
    def test_greetings_of_a_remote_computer_do_not_disturb_the_answer(self) -> None:
        answer = '{"python": "3.12.1", "devices": ["cpu", "cuda:0 H100"], "versions": {"torch": "2.5"}, "library": "x"}'
        check = self.checked(self.script(f"cat > /dev/null; echo Welcome to gpu-host; echo '{answer}'; echo bye"))
        self.assertEqual((check.error, check.python, check.devices), ("", "3.12.1", ("cpu", "cuda:0 H100")))
        self.assertEqual(check.log, "Welcome to gpu-host\nbye")

    def test_a_command_that_starts_nothing_is_told(self) -> None:
        check = self.checked(WorkerChoice(command="no-such-python"))
        self.assertIn("no-such-python", check.error)
        self.assertIn("Setup", check.hint)

    @posix
    def test_one_that_is_stopped_tells_nobody_and_leaves_nothing(self) -> None:
        found: Callable[[Check], Any] = mock.Mock()
        running = verify(self.script("sleep 600"), found)
        self.wait(0.1)
        running.stop()
        self.waitUntil(lambda: not qt_process._living, 5.0)
        found.assert_not_called()
