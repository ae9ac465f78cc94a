"""What the program shows: progress on stderr, and results for people or, as JSON, for machines."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from TumorSynthLib.result import plain, read_result

Progress = Callable[[str, float], None]

EVERY_SECONDS = 60.0
"""Time between two lines that a log gets."""
_ALWAYS = ("shape_VoxelVolume", "shape_Sphericity", "firstorder_Mean")


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """A callback (stage, fraction done) that draws a bar on a terminal, and elsewhere, as in a log, writes a line a minute.

    Parameters
    ----------
    quiet : show nothing; there is no callback then.
    """
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _line_a_minute()
        return
    from tqdm import tqdm

    with tqdm(total=1.0, file=sys.stderr, leave=False, bar_format="{desc:<20} {bar} {percentage:3.0f}% {elapsed}") as bar:

        def progress(stage: str, fraction: float) -> None:
            bar.set_description_str(stage, refresh=False)
            bar.n = min(max(fraction, 0.0), 1.0)
            bar.refresh()

        yield progress


def _line_a_minute() -> Progress:
    """What is done and for how long, first after a minute: what takes seconds leaves no trace."""
    started = told = time.monotonic()

    def progress(stage: str, fraction: float) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= EVERY_SECONDS:
            told = now
            typer.echo(f"{stage}: {min(max(fraction, 0.0), 1.0):.0%} after {(now - started) / 60.0:.0f} min", err=True)

    return progress


def show_json(values: Any) -> None:
    """Print one JSON value."""
    typer.echo(json.dumps(plain(values), indent=2, allow_nan=False))


def show_result(folder: Path, as_json: bool) -> None:
    """Print where a result lies, what was requested and measured, and the warnings; of a series, for every part of it."""
    result = read_result(folder)
    parts = [folder / name for name in result.get("series", [])]
    if as_json:
        show_json({"out": str(folder), **result} | ({"parts": [read_result(part) for part in parts]} if parts else {}))
    elif parts:
        for part in parts:
            _show_single(part, read_result(part))
    else:
        _show_single(folder, result)


def _show_single(folder: Path, result: Mapping[str, Any]) -> None:
    typer.echo(f"result   {folder}")
    if (folder / "preview.png").is_file():
        typer.echo(f"picture  {folder / 'preview.png'}")
    for name, entry in _tables(result):
        if name:
            typer.echo(name)
        for line in comparison(entry["requested"], entry["measured"]):
            typer.echo(line)
    for warning in result["warnings"]:
        typer.echo(f"warning: {warning}")


def _tables(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """What is shown of a result side by side, with a heading where there is more than one: lesions, and the parts of each."""
    tables: list[tuple[str, Mapping[str, Any]]] = []
    for entry in result.get("lesions") or [result]:
        name = str(entry.get("name", ""))
        tables.append((name, entry))
        tables += [(f"{name} {part}".strip(), values) for part, values in entry.get("subregions", {}).items()]
    return tables


def comparison(requested: Mapping[str, float], measured: Mapping[str, float]) -> list[str]:
    """Lines of a table of requested and measured features; besides what was requested, volume, sphericity and mean.

    >>> comparison({"shape_VoxelVolume": 8000.0}, {"shape_VoxelVolume": 7984.0, "glcm_Contrast": 2.0})
    ['feature         requested    measured', 'volume in mL            8       7.984']
    """
    names = list(dict.fromkeys([*requested, *(name for name in _ALWAYS if name in measured)]))
    rows = [("feature", "requested", "measured")]
    for name in names:
        label, factor = ("volume in mL", 1e-3) if name == "shape_VoxelVolume" else (name, 1.0)
        rows.append((label, _number(requested.get(name), factor), _number(measured.get(name), factor)))
    width = max(len(label) for label, _, _ in rows)
    return [f"{label:<{width}} {asked:>12} {found:>11}" for label, asked, found in rows] if names else []


def _number(value: float | None, factor: float) -> str:
    return "-" if value is None else f"{value * factor:.4g}"
