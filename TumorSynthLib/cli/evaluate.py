"""The command that measures a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.cli.report import progress_bar, show_json

TABLES = "synthesis, texture, sensitivity, removal, codec, shape, downstream or time"
"""What can be evaluated, in words; the library is imported only when the command runs."""


def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Folder with index.csv and the images.")],
    split: Annotated[str, typer.Option("--split", help="Split as the index names it; downstream also takes all.")],
    table: Annotated[str, typer.Option("--table", help=f"{TABLES}.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    bundle: Annotated[str, typer.Option("--bundle", help="Model bundle.")] = "base",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many cases per modality.")] = None,
    keep_files: Annotated[bool, typer.Option("--keep-files", help="removal: keep mask and result of every case.")] = False,
    segmenter: Annotated[
        Path | None, typer.Option("--segmenter", help="synthesis: folder of the segmenter that judges masks and images.")
    ] = None,
    modality: Annotated[str, typer.Option("--modality", help="downstream: CT, MR or PET.")] = "MR",
    folds: Annotated[int, typer.Option("--folds", min=2, help="downstream: folds of the cross-validation.")] = 5,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="downstream: trainings of each arm and fold.")] = 3,
    steps: Annotated[int, typer.Option("--steps", min=1, help="downstream: optimizer steps of each training.")] = 600,
    patch: Annotated[int, typer.Option("--patch", min=16, help="downstream: edge of the patches in voxels.")] = 40,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="downstream: stop after about so long; the same call goes on.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="time: measured runs after the warm-up.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a bundle on a split, beside its nulls and ceilings: JSON with every case, Markdown and a figure."""
    loaded = load_bundle(bundle)
    from TumorSynthLib.evaluate import Options, run

    options = Options(
        keep_files=keep_files,
        segmenter=segmenter,
        modality=modality,
        folds=folds,
        seeds=seeds,
        steps=steps,
        patch=patch,
        minutes=minutes,
        repeats=repeats,
    )
    with progress_bar(as_json) as progress:
        report = run(data, split, table, out, loaded, limit, progress, options)
    if as_json:
        show_json(report)
    else:
        typer.echo(f"report   {out}")
