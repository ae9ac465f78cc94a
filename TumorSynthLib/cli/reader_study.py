"""The commands of a visual Turing test."""

from pathlib import Path
from typing import Annotated

import typer

from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.cli.report import progress_bar, show_json

reader_study = typer.Typer(help="Write a page that asks readers which tumors are real, and score their answers.")


@reader_study.callback(invoke_without_command=True)
def write(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option("--data", help="Folder with index.csv and the images.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The page, an HTML file; its key is written beside it.")] = None,
    split: Annotated[str, typer.Option("--split", help="Split as the index names it.")] = "test",
    bundle: Annotated[str, typer.Option("--bundle", help="Model bundle.")] = "base",
    modality: Annotated[str | None, typer.Option("--modality", help="CT, MR or PET; without, all.")] = None,
    cases: Annotated[int | None, typer.Option("--cases", min=2, help="How many cases; without, all.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Decides which are real, and their order.")] = 0,
    title: Annotated[str, typer.Option("--title", help="Shown above the images.")] = "Reader study",
) -> None:
    """Write a page that asks readers which tumors are real, and score their answers."""
    if context.invoked_subcommand is not None:
        return
    if data is None or out is None:
        raise typer.BadParameter("--data and --out are needed to write a study")
    loaded = load_bundle(bundle)
    from TumorSynthLib.evaluate.reader_study import StudySettings, write_study

    with progress_bar(False) as progress:
        key = write_study(data, split, out, loaded, StudySettings(modality, cases, seed, title), progress)
    typer.echo(f"page     {out}")
    typer.echo(f"key      {key} (keep it from the readers)")


@reader_study.command()
def score(
    answers: Annotated[list[Path], typer.Argument(help="Files that readers exported from the page.", metavar="ANSWERS")],
    key: Annotated[Path, typer.Option("--key", help="The key that was written beside the page.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Accuracy, sensitivity, specificity and AUC of each reader, with intervals and a test against guessing."""
    from TumorSynthLib.evaluate.reader_score import score_answers, told_lines

    results = [score_answers(path, key) for path in answers]
    if as_json:
        show_json(results)
    else:
        typer.echo("\n".join(told_lines(results)))
