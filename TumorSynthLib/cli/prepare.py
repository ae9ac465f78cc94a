"""The command that turns data sets into training files."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from TumorSynthLib.cli.report import show_json

if TYPE_CHECKING:
    from TumorSynthLib.train.prepare_report import Report

_Domain = Annotated[str, typer.Option("--domain", help="Domain of all scans, where the files do not tell.")]


def prepare(
    data: Annotated[
        list[Path], typer.Option("--data", help="Data set as downloaded, or folder with index.csv; may be repeated.")
    ],
    split: Annotated[str, typer.Option("--split", help="train, test or all; with index.csv a split that it names.")],
    out: Annotated[Path, typer.Option("--out", help="File to write.")],
    dataset: Annotated[str, typer.Option("--dataset", help="Layout of the data; recognized where it is not given.")] = "",
    domain: _Domain = "",
    only: Annotated[list[str] | None, typer.Option("--only", help="Keep this domain alone; may be repeated.")] = None,
    label: Annotated[list[int] | None, typer.Option("--label", help="Label that is tumor; may be repeated.")] = None,
    roi: Annotated[str, typer.Option("--roi", help="Regular expression for the tumor's name in RTSTRUCT and SEG files.")] = "",
    patient: Annotated[str, typer.Option("--patient", help="Regular expression: its group in a path is the patient.")] = "",
    licence: Annotated[str, typer.Option("--licence", help="Licence of the data, a sentence.")] = "",
    patients: Annotated[int | None, typer.Option("--patients", min=1, help="Most patients per data set.")] = None,
    test_share: Annotated[
        float, typer.Option("--test-share", min=0.0, max=1.0, help="Share of patients kept for testing.")
    ] = 0.2,
    seed: Annotated[int, typer.Option("--seed", help="Seed of split and regions.")] = 0,
    processes: Annotated[
        int | None, typer.Option("--processes", min=0, help="Worker processes; without, one per core.")
    ] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder of finished scans; without, beside the file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Prepare data sets for training. A run that was stopped goes on; a scan that cannot be used is left out and named."""
    from TumorSynthLib.train.prepare_public import Wanted, prepare_data
    from TumorSynthLib.train.readers.record import ReaderOptions

    reader = ReaderOptions(domain, tuple(label or ()), roi, patient, licence)
    wanted = Wanted(split, dataset, reader, tuple(only or ()), patients, seed, test_share)
    report = prepare_data(data, out, wanted, os.cpu_count() or 1 if processes is None else processes, cache)
    _show(report, out, as_json)


def _show(report: "Report", out: Path, as_json: bool) -> None:
    if as_json:
        show_json({"out": str(out), **report.told})
        return
    typer.echo(report.table)
    typer.echo(f"prepared {out}: {report.kept} of {len(report.files)} scans from the cache, {report.voxel_gb:.2g} GB of voxels")
