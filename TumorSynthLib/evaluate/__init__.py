"""Evaluation of a bundle on a split: tables with their nulls, ceilings and intervals, as JSON, Markdown and figures."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.errors import DataError
from TumorSynthLib.index import read_index

Progress = Callable[[str, float], None]
"""Called with a stage and the share of it that is done; may raise to stop."""
TABLES = ("texture", "removal", "codec", "shape")
"""What can be evaluated."""


def run(
    data: Path,
    split: str,
    table: str,
    out: Path,
    bundle: Bundle | str = "base",
    limit: int | None = None,
    progress: Progress | None = None,
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
    from TumorSynthLib.evaluate.report import plain, require_matplotlib, write_json, write_report

    require_matplotlib()
    loaded = load_bundle(bundle) if isinstance(bundle, str) else bundle
    head = {"table": table, "split": split, "bundle": loaded.identity}
    if table == "shape":
        report: dict[str, Any] = plain({**head, **_shape(data, split, out, loaded, limit, progress)})
        write_json(out, report)
        return report
    read_index(data, split)
    found, text, draw = _images(data, split, table, loaded, limit, progress, out / "removal" if keep_files else None)
    report = plain({**head, **found})
    write_report(out, report, text(report["summary"]), draw)
    return report


def _images(
    data: Path, split: str, table: str, bundle: Bundle, limit: int | None, progress: Progress | None, keep: Path | None
) -> tuple[dict[str, Any], Callable[..., str], Callable[..., None]]:
    """Protocol, cases and summary of a table of images, and how to tell and draw them."""
    if table == "texture":
        from TumorSynthLib.evaluate.texture import evaluate_texture
        from TumorSynthLib.evaluate.texture_report import texture_figure, texture_text

        return evaluate_texture(data, split, bundle, limit, progress), texture_text, texture_figure
    if table == "removal":
        from TumorSynthLib.evaluate.removal import evaluate_removal, removal_figure, removal_text

        return evaluate_removal(data, split, bundle, limit, progress, keep), removal_text, removal_figure
    from TumorSynthLib.evaluate.codec import codec_figure, codec_text, evaluate_codec

    return evaluate_codec(data, split, bundle, limit, progress), codec_text, codec_figure


def _shape(data: Path, split: str, out: Path, bundle: Bundle, limit: int | None, progress: Progress | None) -> dict[str, Any]:
    """The shape table, which writes its own Markdown and figure."""
    from TumorSynthLib.evaluate.shape import evaluate_shape
    from TumorSynthLib.placing import shape_model

    report = None if progress is None else partial(progress, "shapes")
    found = evaluate_shape(data, shape_model(bundle), out, split, limit, report)
    about = found["data"]
    protocol = f"{about['shapes']} shapes of {about['source']}, asked by {', '.join(found['asked'])}; see shape.md."
    return {"protocol": protocol, "cases": found.pop("cases", []), "summary": found}
