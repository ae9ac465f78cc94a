"""A result folder becomes a derived DICOM series and a DICOM segmentation, both marked as synthetic.

This file needs the standard library alone; what it calls needs pydicom and highdicom, which the extra ``dicom`` brings.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from TumorSynthLib.dicom_export_options import DicomOptions, Exported, Progress
from TumorSynthLib.errors import TumorSynthError

__all__ = ["DicomOptions", "Exported", "check_packages", "export_dicom"]

_PACKAGES = ("pydicom", "highdicom")


def export_dicom(
    result: str | Path,
    out: str | Path,
    source: str | Path | Sequence[str | Path] | None = None,
    options: DicomOptions | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write a result as DICOM: ``image/``, ``segmentation.dcm`` (unless there is no tumor) and ``manifest.json``.

    The folder appears whole or not at all, and the source is only read.

    Parameters
    ----------
    result : result folder with an image.
    out : folder to write.
    source : the series that the image was made from: its folder, a text file with one path per line, or the paths. Its headers
        are taken over. None makes a plain series from the image's grid.
    options : None is the defaults.
    progress : called at least once per slice; what it raises ends the export.

    Raises
    ------
    TumorSynthError : ``dicom.packages`` where pydicom or highdicom are missing, ``output.*`` for folders that are no result or
        cannot be written, ``dicom.*`` and ``image.*`` for a source that does not fit or options that make no sense.
    """
    chosen = options or DicomOptions()
    chosen.check(source is not None)
    check_packages()
    from TumorSynthLib.dicom_export_run import run_export

    return run_export(Path(result), Path(out), source, chosen, progress or _nobody)


def check_packages() -> None:
    """Refuse to start where a package is missing.

    Raises
    ------
    TumorSynthError : ``dicom.packages``, with the command that installs it.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        message = f"To write DICOM the Python packages {' and '.join(_PACKAGES)} are needed; missing: {', '.join(missing)}."
        raise TumorSynthError("dicom.packages", message, f"Install them: python -m pip install {' '.join(missing)}")


def _nobody(stage: str, fraction: float) -> None:
    """The progress of an export that nobody watches."""
