"""Writing an evaluation: JSON for machines, Markdown for people, and a figure."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from TumorSynthLib.errors import DataError
from TumorSynthLib.evaluate.order import Findings


def require_matplotlib() -> None:
    """Refuse early where figures cannot be drawn.

    Raises
    ------
    DataError : when matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DataError("evaluate.matplotlib", "Figures need matplotlib.", "pip install 'tumorsynth[train]'") from error


def write_report(out: Path, report: Mapping[str, Any], found: Findings) -> None:
    """Write ``<table>.json``, ``<table>.md`` and ``<table>.png``.

    Parameters
    ----------
    out : folder, made where needed.
    report : table, split, bundle, protocol, cases and summary, JSON-ready.
    found : tells and draws them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    name = report["table"]
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    identity = report["bundle"]
    head = [
        f"# {name}, split {report['split']}",
        f"Bundle {identity['id']} {identity['version']} ({identity['sha256'][:12]}), {len(report['cases'])} cases.",
        report["protocol"],
    ]
    (out / f"{name}.md").write_text("\n\n".join([*head, found.text(report["summary"])]) + "\n", encoding="utf-8")
    figure = Figure(figsize=found.size, layout="constrained")
    FigureCanvasAgg(figure)
    found.draw(figure, report["cases"], report["summary"])
    figure.savefig(out / f"{name}.png", dpi=110)


def plain(value: Any) -> Any:
    """The same with every number that is not finite replaced by None, and floats rounded to eight digits, for JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(markdown_table(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [head, *rows]
    cells = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([cells[0], "|" + "---|" * len(head), *cells[1:]])


def with_interval(entry: Mapping[str, Any], key: str, digits: int = 2) -> str:
    """A value and its interval, for example ``0.71 [0.52, 0.83]``; a dash where there is none."""
    value, interval = entry[key], entry["ci"]
    interval = interval[key] if isinstance(interval, Mapping) else interval
    if value is None:
        return "-"
    if interval is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def error_bars(entries: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[list[float]]]:
    """Values and the lengths of their intervals below and above, for matplotlib; 0 where there is none."""
    values, below, above = [], [], []
    for entry in entries:
        value, interval = entry[key], entry["ci"]
        interval = interval[key] if isinstance(interval, Mapping) else interval
        value = 0.0 if value is None else value
        low, high = interval or (value, value)
        values.append(value)
        below.append(max(0.0, value - low))
        above.append(max(0.0, high - value))
    return values, [below, above]
