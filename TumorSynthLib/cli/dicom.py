"""The command ``dicom``: a result folder as DICOM.

With ``--json`` each line of stdout is one JSON object, as a worker's events are: ``{"event": "progress", "stage", "fraction"}``
(0 to 1), then one ``{"event": "done", "result"}`` or ``{"event": "failed", "code", "message", "hint"}``. With ``--attached``
the end of stdin cancels the export, so that it also ends with the program that has started it.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from TumorSynthLib.cli.report import Progress, progress_bar
from TumorSynthLib.dicom_export import DicomOptions, Exported, export_dicom
from TumorSynthLib.errors import Cancelled, TumorSynthError

_PAUSE = 0.05
"""Seconds between two lines on progress."""


def dicom(
    result: Annotated[Path, typer.Argument(help="Result folder of an edit.", metavar="RESULT")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            help="Series that was edited, whose headers are taken over: a folder, or a text file with one path per line.",
        ),
    ] = None,
    patient_id: Annotated[
        str | None, typer.Option("--patient-id", help="PatientID. [default: SYNTHETIC_ and the source's]")
    ] = None,
    keep_study: Annotated[bool, typer.Option("--keep-study", help="Stay in the source's study, with its patient.")] = False,
    series_number: Annotated[
        int | None, typer.Option("--series-number", help="SeriesNumber. [default: the source's plus 1000]")
    ] = None,
    modality: Annotated[
        str | None, typer.Option("--modality", help="CT, MR or PT, without a source. [default: by domain]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print progress and result as lines of JSON.")] = False,
    attached: Annotated[bool, typer.Option("--attached", help="Cancel when the input ends.")] = False,
) -> None:
    """Write a result as a DICOM series and a DICOM segmentation that are marked as synthetic."""
    options = DicomOptions(patient_id, keep_study, series_number, modality, overwrite)
    if as_json:
        _for_machines(lambda progress: export_dicom(result, out, source, options, _until_end_of_input(progress, attached)))
        return
    with progress_bar(False) as bar:
        exported = export_dicom(result, out, source, options, _until_end_of_input(bar, attached))
    _show(exported.summary)


def _until_end_of_input(progress: Progress | None, attached: bool) -> Progress | None:
    """The same progress, which raises ``Cancelled`` once stdin has ended, if anybody is attached to it."""
    if not attached:
        return progress
    ended = threading.Event()

    def wait() -> None:
        with suppress(OSError):
            while os.read(0, 1024):  # not by sys.stdin, whose lock must be free when Python ends
                pass
        ended.set()

    def follow(stage: str, fraction: float) -> None:
        if ended.is_set():
            raise Cancelled()
        if progress is not None:
            progress(stage, fraction)

    threading.Thread(target=wait, daemon=True).start()
    return follow


def _for_machines(export: Callable[[Progress], Exported]) -> None:
    """Carry out an export and tell of it in lines; a failure is also told on stderr, and by the exit code."""
    told = -_PAUSE

    def follow(stage: str, fraction: float) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _PAUSE or fraction >= 1.0:
            told = now
            _line({"event": "progress", "stage": stage, "fraction": round(fraction, 4)})

    try:
        exported = export(follow)
    except TumorSynthError as error:
        _line({"event": "failed", "code": error.code, "message": error.message, "hint": error.hint})
        raise
    _line({"event": "done", "result": exported.summary})


def _line(values: Mapping[str, Any]) -> None:
    """Print one object; ASCII, whatever the console takes."""
    sys.stdout.write(json.dumps(values, allow_nan=False) + "\n")
    sys.stdout.flush()


def _show(summary: Mapping[str, Any]) -> None:
    typer.echo(f"image         {summary['image']}, {summary['slices']} slices")
    if summary["segmentation"] is not None:
        typer.echo(f"segmentation  {summary['segmentation']}: {', '.join(summary['segments'])}")
    typer.echo(f"manifest      {summary['manifest']}")
    typer.echo(f"patient       {summary['patient_id']}")
    for warning in summary["warnings"]:
        typer.echo(f"warning: {warning}")
