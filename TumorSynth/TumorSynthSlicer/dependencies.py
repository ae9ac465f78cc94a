"""The Python packages that the worker needs: which are there, how they are installed, and whether they really work."""

import importlib.metadata
import importlib.util
import subprocess
from dataclasses import dataclass

import slicer
from packaging.requirements import Requirement
from slicer.i18n import tr as _

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.paths import part

TORCH = Requirement("torch>=2.2")
"""Not in requirements.txt, because the PyTorch extension knows which build fits the computer."""
_MODULES = {"Pillow": "PIL"}
"""Modules that are not called like their packages."""
_SKIPPED = ["SimpleITK", "torch"]
"""Slicer brings the first; the second is installed on its own."""


@dataclass(frozen=True)
class Package:
    """A package, as this Slicer's Python has it. Nothing is imported to find out."""

    name: str
    """As pip calls it."""
    wanted: str
    """Range of its versions; empty for any."""
    installed: str
    """Its version; empty where there is none, ``?`` where it is not known."""
    usable: bool
    """Whether it is there, whole as far as can be seen, and in the range."""


def packages() -> list[Package]:
    """All that the worker needs in this Slicer's Python."""
    wanted = [TORCH, *(Requirement(str(found)) for found in slicer.packaging.load_requirements(part("requirements.txt")))]
    radiomics = importlib.util.find_spec("radiomics") is not None
    return [*map(_package, wanted), Package("pyradiomics", "", "?" if radiomics else "", radiomics)]


def missing() -> list[Package]:
    """Those that are missing, too old, or half-installed."""
    return [package for package in packages() if not package.usable]


def state() -> str:
    """A sentence for the user about this Slicer's Python."""
    lacking = missing()
    if not lacking:
        return _("All Python packages are installed.")
    names = ", ".join(f"{package.name}{package.wanted}" for package in lacking)
    return _("Python packages to be installed: {names}.").format(names=names)


def plan() -> str:
    """What ``install`` would do, for the question whether it should; empty where there is nothing to do."""
    lines = []
    lacking = {package.name: package for package in missing()}
    if lacking.pop("torch", None):
        if _torchInstaller():
            lines.append(_("PyTorch, in the build for this computer's GPU, by the PyTorch extension (up to 3 GB)."))
        else:
            text = _(
                "PyTorch by pip (up to 3 GB). On Windows that build has no GPU: install the extension PyTorch first for one."
            )
            lines.append(text)
    if lacking.pop("pyradiomics", None):
        lines.append(_("PyRadiomics comes with the extension SlicerRadiomics: install that in the Extensions Manager."))
    if lacking:
        lines.append(_("By pip: {names}.").format(names=", ".join(lacking)))
    return "\n".join(lines)


def install() -> None:
    """Install what is missing in this Slicer's Python; the user has agreed. Only in a handler: it takes minutes.

    Raises
    ------
    TumorSynthError : when something could not be installed, with what to do.
    """
    lacking = {package.name for package in missing()}
    try:
        if "torch" in lacking:
            _installTorch()
        wanted = slicer.packaging.load_requirements(part("requirements.txt"))
        slicer.packaging.pip_ensure(wanted, requester="TumorSynth", skip_packages=_SKIPPED, prompt_install=False)
    except (subprocess.CalledProcessError, RuntimeError, ImportError, OSError) as error:
        hint = "Check the internet connection and free space; the Python console has pip's own words. Then install again."
        raise TumorSynthError("dependencies.install", f"The Python packages could not be installed: {error}.", hint) from error
    importlib.invalidate_caches()
    if "pyradiomics" in lacking:
        message = "PyRadiomics is missing, of which pip has no build for Slicer."
        raise TumorSynthError("dependencies.radiomics", message, "Install SlicerRadiomics in the Extensions Manager.")


def _package(wanted: Requirement) -> Package:
    module = _MODULES.get(wanted.name, wanted.name)
    try:
        version = importlib.metadata.version(wanted.name) or ""  # none where an installation was interrupted
    except importlib.metadata.PackageNotFoundError:
        version = ""
    whole = importlib.util.find_spec(module) is not None
    return Package(wanted.name, str(wanted.specifier), version, bool(version) and whole and version in wanted.specifier)


def _torchInstaller() -> bool:
    """Whether the PyTorch extension is installed."""
    return importlib.util.find_spec("PyTorchUtils") is not None


def _installTorch() -> None:
    """By the PyTorch extension, which asks the user about the build, or else by pip.

    Raises
    ------
    TumorSynthError : when the user has declined.
    """
    if not _torchInstaller():
        slicer.packaging.pip_install([str(TORCH)], requester="TumorSynth")
        return
    import PyTorchUtils

    logic = PyTorchUtils.PyTorchUtilsLogic()
    if logic.installTorch(askConfirmation=True, torchVersionRequirement=str(TORCH.specifier)) is None:
        message = "PyTorch was not installed, because that was declined or failed."
        raise TumorSynthError("dependencies.torch", message, "Install it in the module PyTorch Util, then install again.")
