"""What the panel's tables say of a result: the variants to choose from, and requested against measured."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from TumorSynthSlicer.panel.feature_words import plain, shown, tolerance
from TumorSynthSlicer.panel.tables import OFF_COLOR, Cell

ALWAYS = ("shape_VoxelVolume", "shape_MajorAxisLength", "shape_Sphericity", "firstorder_Mean", "firstorder_Variance")
"""Features that are shown also where nobody asked for them."""
_EQUAL = 1e-6
"""Relative difference of what is equal but for rounding."""


def variantRow(name: str, seed: int | None, result: Mapping[str, Any]) -> list[Cell]:
    """Name, seed, volume and plausibility of a variant.

    Parameters
    ----------
    name : its number, or the volume of a time point.
    seed : that gives it again; None where several lesions have one each.
    result : contents of ``result.json``.
    """
    volumes = [edit.get("measured", {}).get("shape_VoxelVolume") for edit in edits(result)]
    known = [volume for volume in volumes if volume is not None]
    volume = shown("shape_VoxelVolume")
    text = volume.text(volume.number(sum(known)) if known else None)
    return [
        Cell(name, number=True),
        Cell("–" if seed is None else str(seed), number=True),
        Cell(text, number=True),
        _quality(result),
    ]


def comparisonRows(
    result: Mapping[str, Any], domain: Mapping[str, Any] | None, ranges: Mapping[str, Any] | None, lesion: str = ""
) -> list[list[Cell]]:
    """Feature, requested, measured and difference.

    Parameters
    ----------
    result : contents of ``result.json``.
    domain : organ and modality as the worker tells it, or None.
    ranges : what is plausible there, or None.
    lesion : of which one where the result has several; of all of them where none has this name.
    """
    found = edits(result)
    chosen = [edit for edit in found if edit.get("name") == lesion] or found
    rows = []
    for edit in chosen:
        prefix = f"{edit['name']}: " if len(chosen) > 1 and edit.get("name") else ""
        if edit.get("request", {}).get("op") == "remove":
            prefix += _("Removed: ")
        requested, measured = edit.get("requested", {}), edit.get("measured", {})
        names = list(dict.fromkeys([*[name for name in ALWAYS if name in measured], *requested]))
        rows += [_comparison(prefix, name, requested.get(name), measured.get(name), domain, ranges) for name in names]
        for part, told in (edit.get("subregions") or {}).items():
            words = f"{prefix}{_partName(part)}: "
            asked = told.get("requested", {})
            rows += [_comparison(words, name, asked[name], told["measured"].get(name), domain, None) for name in asked]
    return rows


def edits(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The edits of a result, of which there is one except where several lesions were made in one go."""
    return result.get("lesions") or [result]


def warningsText(result: Mapping[str, Any]) -> str:
    """The result's warnings, one a line."""
    return "\n".join(f"• {warning}" for warning in dict.fromkeys(result.get("warnings", [])))


def _quality(result: Mapping[str, Any]) -> Cell:
    found = [edit["quality"] for edit in edits(result) if edit.get("quality")]
    shares = [one["plausibility"] for one in found if one.get("plausibility") is not None]
    text = f"{plain(100.0 * min(shares))} %" if shares else "–"
    tip = _("Share of real tumors that are at least as unusual; below 1 % is out of distribution.")
    if not any(one.get("out_of_distribution") for one in found):
        return Cell(text, tip, number=True)
    return Cell(_("{share}, unlike real tumors").format(share=text), f"{tip}\n\n{warningsText(result)}", OFF_COLOR, number=True)


def _comparison(
    prefix: str,
    name: str,
    requested: float | None,
    measured: float | None,
    domain: Mapping[str, Any] | None,
    ranges: Mapping[str, Any] | None,
) -> list[Cell]:
    """One row; without a request there is no difference."""
    how = shown(name, domain)
    asked, got = how.number(requested), how.number(measured)
    cells = [Cell(prefix + how.name, name), Cell(how.text(asked) if asked is not None else _("free"), number=True)]
    cells.append(Cell(how.text(got), number=True))
    if requested is None or measured is None or asked is None or got is None:
        return [*cells, Cell("", number=True)]
    limit = tolerance(name, requested, ranges)
    off = abs(measured - requested) > limit
    tip = _("More than the tolerance of {limit} in {name}.").format(limit=plain(limit), name=name) if off else ""
    difference = 0.0 if math.isclose(got, asked, rel_tol=_EQUAL) else got - asked
    return [*cells, Cell(how.text(difference, sign=True), tip, OFF_COLOR if off else "", number=True)]


def _partName(part: str) -> str:
    return {"core": _("Core"), "rest": _("Around the core")}.get(part, part)
