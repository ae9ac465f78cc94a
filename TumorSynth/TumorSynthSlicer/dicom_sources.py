"""What the library needs to write the output as DICOM: the slices that the scan was loaded from, and the output as a result.

The writing itself is ``python -m TumorSynthLib dicom`` in a process of its own, see ``dicom_export``.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import slicer

from TumorSynthLib.errors import OutputError
from TumorSynthLib.result import RESULT_FILE
from TumorSynthSlicer.difference import changedBox
from TumorSynthSlicer.export_files import exportFiles
from TumorSynthSlicer.tasks import Steps

UIDS = "DICOM.instanceUIDs"
"""Attribute of a volume that Slicer has loaded from its DICOM database."""
_NAMES = {".seg.nrrd": "segmentation.seg.nrrd", ".manifest.json": "manifest.json", ".nrrd": "image.nrrd"}
"""What the files of a result are called, by the end of their names in an export; the longer ends come first."""


def sourceFiles(volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> list[str]:
    """The files of the DICOM series that a volume was loaded from.

    Empty where it was not loaded from DICOM, or where not all of its slices are still in the database and on the disk.
    """
    uids = (volumeNode.GetAttribute(UIDS) or "").split() if volumeNode is not None else []
    database = getattr(slicer, "dicomDatabase", None)
    if not uids or database is None or not database.isOpen:
        return []
    files = [str(database.fileForInstance(uid) or "") for uid in uids]
    return files if all(name and Path(name).is_file() for name in files) else []


def writeFileList(path: str | Path, files: Sequence[str]) -> Path:
    """Write the paths of slices, one per line, as ``--source`` takes them: a command line would be too short for some.

    Raises
    ------
    OutputError : ``output.failed`` when the file system refuses.
    """
    path = Path(path)
    _write(path, "".join(f"{name}\n" for name in files))
    return path


def writeResult(
    folder: str | Path,
    source: slicer.vtkMRMLScalarVolumeNode,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    edits: Sequence[Mapping[str, Any]],
) -> Steps[Path]:
    """Write the output as one result folder, all kept edits together, for ``exportCommand``.

    Parameters
    ----------
    folder : a new one, in the application's temporary folder.
    source : the scan; where the output differs from it is told as ``changed``.
    volumeNode, segmentationNode : the output.
    edits : of ``outputs.manifestEntry``, oldest first.

    Returns
    -------
    The folder, when all steps are done.

    Raises
    ------
    OutputError : as ``exportFiles``.
    """
    folder = Path(folder)
    box = yield from changedBox(source, volumeNode)
    told: dict[str, Any] = {"schema": 1, "synthetic": "SYNTHETIC", "edits": [dict(edit) for edit in edits]}
    newest = told["edits"][-1] if told["edits"] else {}
    told |= {"request": newest.get("request", {}), "bundle": newest.get("bundle")}
    start, stop = ((0, 0, 0), (0, 0, 0)) if box is None else box
    told["changed"] = {"start": list(start), "stop": list(stop)}
    for path in (yield from exportFiles(folder, volumeNode, segmentationNode, told)):
        path.replace(folder / next(name for end, name in _NAMES.items() if path.name.endswith(end)))
    _write(folder / RESULT_FILE, json.dumps(told, allow_nan=False))
    return folder


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"'{path}' cannot be written: {error.strerror or error}."
        raise OutputError("output.failed", message, "Check the free space and the permissions of the folder.") from error


_MODALITIES = {"CT": "CT", "MR": "MR", "PET": "PT", "PT": "PT"}
"""By ``ScanFacts.modality``."""


def exportCommand(
    python: Sequence[str],
    result: str | Path,
    out: str | Path,
    source: str | Path | None = None,
    *,
    modality: str = "",
    patientId: str = "",
    keepStudy: bool = False,
    seriesNumber: int | None = None,
    overwrite: bool = False,
) -> list[str]:
    """The command that writes a result as DICOM and tells of it in lines of JSON, see ``exportEvent``; the end of its input
    cancels it.

    Parameters
    ----------
    python : program and arguments that stand for a Python of this computer, see ``commands.WorkerChoice.words``.
    result : folder of ``writeResult``, or of the worker.
    out : folder to write; there must be none, or an earlier export and ``overwrite``.
    source : a folder, or the file of ``writeFileList``; None makes a plain series.
    modality : of ``ScanFacts``; used where there is no source, unknown ones are left to the library.
    patientId : instead of SYNTHETIC_ and the source's; empty is that.
    keepStudy : whether study and patient stay the source's.
    seriesNumber : None is the source's plus 1000.
    overwrite : whether an earlier export is replaced.
    """
    command = [*python, "-u", "-m", "TumorSynthLib", "dicom", str(result), "--out", str(out), "--json", "--attached"]
    if source is not None:
        command += ["--source", str(source)]
    elif modality in _MODALITIES:
        command += ["--modality", _MODALITIES[modality]]
    if patientId:
        command += ["--patient-id", patientId]
    if seriesNumber is not None:
        command += ["--series-number", str(seriesNumber)]
    flags = {"--keep-study": keepStudy, "--overwrite": overwrite}
    return command + [flag for flag, wanted in flags.items() if wanted]


def exportEvent(line: bytes | None) -> dict[str, Any]:
    """What a line of the command tells, by its field ``event``; empty for other lines.

    ``progress`` has ``stage`` and ``fraction`` (0 to 1). ``done`` has ``result`` with ``out``, ``image``, ``segmentation``
    (None without tumor), ``manifest``, ``slices``, ``segments``, ``uids``, ``patient_id`` and ``warnings``. ``failed`` has
    ``code``, ``message`` and ``hint``.

    >>> exportEvent(b'{"event": "progress", "stage": "writing", "fraction": 0.5}')["fraction"]
    0.5
    >>> exportEvent(b"Warning: something else")
    {}
    """
    try:
        values = json.loads((line or b"").decode("utf-8"))
    except ValueError:
        return {}
    return values if isinstance(values, dict) and isinstance(values.get("event"), str) else {}
