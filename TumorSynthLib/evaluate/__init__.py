"""Evaluation of a bundle on a split: tables with their nulls, ceilings and intervals, as JSON, Markdown and figures."""

from pathlib import Path
from typing import Any

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.errors import DataError
from TumorSynthLib.evaluate.order import Options, Order, Progress
from TumorSynthLib.evaluate.tables import TABLES

__all__ = ["TABLES", "Options", "run"]


def run(
    data: Path,
    split: str,
    table: str,
    out: Path,
    bundle: Bundle | str = "base",
    limit: int | None = None,
    progress: Progress | None = None,
    options: Options | None = None,
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
    options : what only some tables take.

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
    found = TABLES[table](Order(data, split, loaded, out, limit, progress, options or Options()))
    head = {"table": table, "split": split, "bundle": loaded.identity, "protocol": found.protocol}
    report: dict[str, Any] = plain({**head, "cases": found.cases, "summary": found.summary})
    write_report(out, report, found)
    return report
