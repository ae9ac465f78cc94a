"""Evaluation of a bundle on a split: tables with their nulls, ceilings and intervals, as JSON, Markdown and figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.errors import DataError
from TumorSynthLib.index import read_index

TABLES = ("texture", "removal", "codec", "shape")
"""What can be evaluated."""


def run(
    data: Path,
    split: str,
    table: str,
    out: Path,
    bundle: Bundle | str = "base",
    limit: int | None = None,
    progress: Callable[[str, float], None] | None = None,
    keep_files: bool = False,
) -> dict[str, Any]:
    """Evaluate a bundle and write ``<table>.json``, ``<table>.md`` and ``<table>.png``.

    Parameters
    ----------
    data : folder with ``index.csv``, ``images/`` and ``shapes/``.
    split : name of the split, as the index has it.
    table : one of ``TABLES``.
    out : folder of the report, made where needed.
    bundle : a loaded bundle, or its name.
    limit : at most so many cases (removal: images) per modality, for a quick look.
    progress : called with a stage and the share of it that is done; may raise to stop.
    keep_files : whether the removal table writes the mask and the result of every case, below ``out/removal``.

    Returns
    -------
    ``table``, ``split``, ``bundle`` (id, version, sha256), ``protocol``, ``cases`` and ``summary``; numbers that do not exist
    are None.

    Raises
    ------
    DataError : for an unknown table or split, with those that there are.
    BundleError : when there is no such bundle.
    """
    if table not in TABLES:
        raise DataError("evaluate.table", f"There is no table {table!r}.", f"Choose one of {', '.join(TABLES)}.")
    from TumorSynthLib.evaluate.report import plain, require_matplotlib, write_report

    require_matplotlib()
    loaded = load_bundle(bundle) if isinstance(bundle, str) else bundle
    if table != "shape":
        read_index(data, split)
    found, text, draw = _evaluate(data, split, table, out, loaded, limit, progress, keep_files)
    report: dict[str, Any] = plain({"table": table, "split": split, "bundle": loaded.identity, **found})
    write_report(out, report, text(report["summary"]), draw)
    return report


def _evaluate(
    data: Path,
    split: str,
    table: str,
    out: Path,
    bundle: Bundle,
    limit: int | None,
    progress: Callable[[str, float], None] | None,
    keep_files: bool,
) -> tuple[dict[str, Any], Callable[..., str], Callable[..., None]]:
    """Protocol, cases and summary of a table, and how to tell and draw them."""
    if table == "texture":
        from TumorSynthLib.evaluate.texture import evaluate_texture
        from TumorSynthLib.evaluate.texture_report import texture_figure, texture_text

        return evaluate_texture(data, split, bundle, limit, progress), texture_text, texture_figure
    if table == "removal":
        from TumorSynthLib.evaluate.removal import evaluate_removal, removal_figure, removal_text

        keep = out / "removal" if keep_files else None
        return evaluate_removal(data, split, bundle, limit, progress, keep), removal_text, removal_figure
    if table == "codec":
        from TumorSynthLib.evaluate.codec import codec_figure, codec_text, evaluate_codec

        return evaluate_codec(data, split, bundle, limit, progress), codec_text, codec_figure
    from TumorSynthLib.evaluate.shape import evaluate_shape
    raise NotImplementedError(evaluate_shape)
