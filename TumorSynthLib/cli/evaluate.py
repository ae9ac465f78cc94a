"""The command that measures a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.cli.report import progress_bar, show_json

TABLES = "synthesis, methods, texture, sensitivity, removal, codec, shape, downstream or time"
"""What can be evaluated, in words; the library is imported only when the command runs."""
OPTIMIZER_STEPS = 600
"""Of each training of ``downstream``."""


def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Folder with index.csv and the images.")],
    split: Annotated[str, typer.Option("--split", help="Split as the index names it; downstream also takes all.")],
    table: Annotated[str, typer.Option("--table", help=f"{TABLES}.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    bundle: Annotated[
        list[str] | None,
        typer.Option("--bundle", help="Model bundle, or NAME=FOLDER; methods: repeat it to compare. [default: base]"),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many cases per modality.")] = None,
    keep_files: Annotated[bool, typer.Option("--keep-files", help="removal: keep mask and result of every case.")] = False,
    segmenter: Annotated[
        Path | None,
        typer.Option("--segmenter", help="synthesis, methods: folder of the segmenter that judges the images."),
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option("--feature", help="sensitivity: a feature to ask for; repeat it. [default: all that have a token]"),
    ] = None,
    modality: Annotated[str, typer.Option("--modality", help="downstream: CT, MR or PET.")] = "MR",
    folds: Annotated[int, typer.Option("--folds", min=2, help="downstream: folds of the cross-validation.")] = 5,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="downstream: trainings of each arm and fold.")] = 3,
    steps: Annotated[
        str | None,
        typer.Option(
            "--steps",
            help="methods: numbers of sampling steps beside 10, such as 4,50,200. "
            f"downstream: optimizer steps of each training. [default: {OPTIMIZER_STEPS}]",
            metavar="N[,N...]",
        ),
    ] = None,
    patch: Annotated[int, typer.Option("--patch", min=16, help="downstream: edge of the patches in voxels.")] = 40,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="downstream: stop after about so long; the same call goes on.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="time: measured runs after the warm-up.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a bundle on a split, beside its nulls and ceilings: JSON with every case, Markdown and a figure."""
    optimizer_steps, sampling_steps = _counts(table, steps)
    bundles = _bundles(table, bundle or ["base"])
    from TumorSynthLib.evaluate import Options, run

    options = Options(
        keep_files=keep_files,
        segmenter=segmenter,
        features=tuple(feature or ()),
        modality=modality,
        folds=folds,
        seeds=seeds,
        steps=optimizer_steps,
        sampling_steps=sampling_steps,
        patch=patch,
        minutes=minutes,
        repeats=repeats,
        bundles=bundles if table == "methods" else {},
    )
    with progress_bar(as_json) as progress:
        report = run(data, split, table, out, next(iter(bundles.values())), limit, progress, options)
    if as_json:
        show_json(report)
    else:
        typer.echo(f"report   {out}")


def _counts(table: str, text: str | None) -> tuple[int, tuple[int, ...]]:
    """Optimizer steps and numbers of sampling steps: the latter are what ``--steps`` means for ``methods``."""
    if text is None:
        return OPTIMIZER_STEPS, ()
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"--steps found {text!r}, expected whole numbers from 1, such as 4,10,50.")
    numbers = tuple(int(part) for part in parts)
    if table == "methods":
        return OPTIMIZER_STEPS, numbers
    if len(numbers) > 1:
        raise typer.BadParameter(f"--steps found {text!r}; only the table methods takes several numbers.")
    return numbers[0], ()


def _bundles(table: str, words: list[str]) -> dict[str, Bundle]:
    """Bundles by the name that the report gives them, in the order of the options."""
    pairs = [(name, Path(folder) if equals else name) for name, equals, folder in (word.partition("=") for word in words)]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names) or not all(names):
        raise typer.BadParameter(f"--bundle found the names {', '.join(names)}, expected each once.")
    if len(names) > 1 and table != "methods":
        raise typer.BadParameter("Only the table methods compares several bundles; give one --bundle.")
    return {name: load_bundle(place) for name, place in pairs}
