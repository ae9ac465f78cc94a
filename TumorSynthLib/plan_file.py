"""A plan as a file of requests, one line each, for ``tumorsynth batch``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from TumorSynthLib.atomic import write_text
from TumorSynthLib.errors import OutputError
from TumorSynthLib.plan import PlanSettings, ScanPlan
from TumorSynthLib.protocol import SCHEMA, SHAPE_ALIASES, parse_request
from TumorSynthLib.tumor_draws import VOLUME, rounded


def requests_of(plan: ScanPlan, settings: PlanSettings) -> list[dict[str, Any]]:
    """The requests for one scan: one per tumor, or one for all of them; each has passed ``parse_request``."""
    entry = plan.entry
    shared: dict[str, Any] = {"image": entry.image, "domain": plan.domain, **settings.common}
    if entry.region is not None:
        shared |= {"region": entry.region} | ({"region_label": settings.region_label} if settings.region_label != 1 else {})
    own = [
        {"at": list(tumor.at), "shape": _by_alias(tumor.shape), "texture": dict(tumor.texture), "seed": tumor.seed}
        | settings.core
        for tumor in plan.tumors
    ]
    if settings.together:
        lesions = [{"name": f"t{number:02d}", **values} for number, values in enumerate(own, start=1)]
        made = [_named(entry.name, "lesions", {**shared, "seed": plan.tumors[0].seed, "lesions": lesions})]
    else:
        made = [_named(f"{entry.name}_t{number:02d}", "insert", shared | values) for number, values in enumerate(own, start=1)]
    for values in made:
        parse_request(values)
    return made


def write_requests(requests: Sequence[Mapping[str, Any]], path: Path, overwrite: bool = False) -> None:
    """Write requests, one line each, at once.

    Raises
    ------
    OutputError : as ``check_writable``, and ``output.failed`` when the file system refuses.
    """
    check_writable(path, overwrite)
    write_text(path, "".join(json.dumps(values, allow_nan=False) + "\n" for values in requests))


def check_writable(path: Path, overwrite: bool) -> None:
    """Refuse a file that exists and may not be replaced, before any work.

    Raises
    ------
    OutputError : ``output.exists``, or ``output.folder`` when its folder is not there.
    """
    if path.exists() and not overwrite:
        raise OutputError("output.exists", f"{path} exists already.", "Choose another file or ask to overwrite.")
    if not path.parent.is_dir():
        raise OutputError("output.folder", f"The folder '{path.parent}' does not exist.", "Create it first.")


def _named(name: str, op: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema": SCHEMA, "op": op, "id": name, "out": name, **values}


def _by_alias(shape: Mapping[str, float]) -> dict[str, float]:
    """Shape features by their short names, the volume in mL."""
    short = {full: alias for alias, full in SHAPE_ALIASES.items()}
    return {short[name]: rounded(value / 1000.0) if name == VOLUME else value for name, value in shape.items()}
