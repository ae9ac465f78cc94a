"""The commands beside the edits: many requests, features, bundles and data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.bundle_list import described_bundles
from TumorSynthLib.cli.report import progress_bar, show_json

if TYPE_CHECKING:
    from TumorSynthLib.batch_runners import Runner

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_BundleName = Annotated[str, typer.Option("--bundle", help="Model bundle.")]


def batch(
    requests: Annotated[Path, typer.Argument(help="File with one request, a JSON object, per line.", metavar="REQUESTS")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the result folders and of manifest.csv.")],
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes; without, this one.")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="Dask scheduler whose workers run the lines.")] = None,
    as_json: _Json = False,
) -> None:
    """Run many requests. Results that are there already are kept; a bad line is reported and the others run."""
    from TumorSynthLib.batch import run_batch

    runner = _runner(workers, scheduler)
    with progress_bar(as_json) as progress:
        if progress is not None:
            progress(runner.about, 0.0)
        summary = run_batch(requests, out, progress, runner)
    for warning in summary.warnings:
        typer.echo(f"warning: line {warning['line']}: {warning['warning']}", err=True)
    for failure in summary.failures:
        typer.echo(f"error: line {failure['line']}: {failure['error']}", err=True)
    if as_json:
        show_json({**vars(summary), "ran_in": runner.about})
    else:
        typer.echo(f"manifest {summary.manifest}")
        typer.echo(f"{summary.done} done, {summary.kept} there already, {len(summary.failures)} failed; ran in {runner.about}")
    if summary.failures:
        raise typer.Exit(1)


def _runner(workers: int | None, scheduler: str | None) -> "Runner":
    """What carries out the lines of a batch."""
    if workers is not None and scheduler is not None:
        raise typer.BadParameter("give --workers or --scheduler, not both")
    if scheduler is not None:
        from TumorSynthLib.batch_dask import DaskCluster

        return DaskCluster(scheduler)
    if workers is not None:
        from TumorSynthLib.batch_workers import WorkerPool

        return WorkerPool(workers)
    from TumorSynthLib.batch_runners import InProcess

    return InProcess()


def features(
    image: Annotated[Path, typer.Argument(help="Scan.", metavar="IMAGE")],
    mask: Annotated[Path, typer.Argument(help="Mask or label map.", metavar="MASK")],
    domain: Annotated[str, typer.Option("--domain", help="Organ and modality, see the command bundles; or auto.")],
    label: Annotated[int, typer.Option("--label", help="Value of the region in the mask.")] = 1,
    bundle: _BundleName = "base",
    as_json: _Json = False,
) -> None:
    """Measure the radiomics features of a region, with the bundle's pinned settings."""
    loaded = load_bundle(bundle)
    from TumorSynthLib.region_features import measure_files

    found = measure_files(image, mask, label, domain, loaded)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        show_json(found.measured)
    else:
        for name, value in found.measured.items():
            typer.echo(f"{name:<48} {value:.6g}")


def bundles(as_json: _Json = False) -> None:
    """List the model bundles with their licences, methods and domains."""
    listed = described_bundles()
    if as_json:
        show_json(listed)
    else:
        for entry in listed:
            _show_bundle(entry)
        if not listed:
            typer.echo("There are no bundles.")
    if any("error" in entry for entry in listed):
        raise typer.Exit(1)


def _show_bundle(entry: dict[str, Any]) -> None:
    if "error" in entry:
        typer.echo(f"error: {entry['error']}", err=True)
        return
    typer.echo(f"{entry['id']} {entry['version']}, {entry['licence']}")
    typer.echo(f"  {entry['intended_use']}")
    typer.echo(f"  methods: {', '.join(entry['methods']) or 'none'}")
    for domain in entry["domains"]:
        typer.echo(f"  {domain['id']:<20} {domain['organ']}, {domain['modality']}, values in {domain['unit']}")
