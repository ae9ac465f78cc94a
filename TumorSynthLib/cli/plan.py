"""The command that writes requests for many new tumors: ``plan``."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.cli.report import progress_bar, show_json
from TumorSynthLib.protocol import SHAPE_ALIASES
from TumorSynthLib.scan_list import list_scans

if TYPE_CHECKING:  # a slip in the options is told before anything heavy is imported
    from TumorSynthLib.plan import Plan, PlanSettings, ScanPlan


def plan(
    scans: Annotated[
        list[str],
        typer.Option("--scans", help="Scan, folder, pattern with *, or list (text, or CSV: image, region, avoid); repeat it."),
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write, one request per line.")],
    region: Annotated[
        str | None, typer.Option("--region", help="Mask that tumors lie in; {stem} and {parent}: a scan's name and folder.")
    ] = None,
    region_label: Annotated[int, typer.Option("--region-label", min=1, help="Value of the region in its mask.")] = 1,
    avoid: Annotated[
        list[str] | None, typer.Option("--avoid", help="Mask to keep clear of, any label, like --region; repeat it.")
    ] = None,
    per_scan: Annotated[int, typer.Option("--per-scan", min=1, max=99, help="Tumors in each scan.")] = 1,
    together: Annotated[bool, typer.Option("--together", help="One result with all tumors of a scan, not one each.")] = False,
    domain: Annotated[str, typer.Option("--domain", help="Organ and modality, see the command bundles.")] = "auto",
    bundle: Annotated[str, typer.Option("--bundle", help="Model bundle.")] = "base",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the plan.")] = 0,
    volume_ml: Annotated[
        tuple[float, float] | None, typer.Option("--volume-ml", help="Smallest and largest volume in mL.", metavar="LOW HIGH")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option("--shape", help="Fixed shape feature, or its range; repeat it.", metavar="NAME=VALUE|NAME=LOW:HIGH"),
    ] = None,
    texture: Annotated[
        list[str] | None, typer.Option("--texture", help="Fixed texture feature; repeat it.", metavar="NAME=VALUE")
    ] = None,
    features: Annotated[int, typer.Option("--features", min=0, help="Further texture features to draw and ask for.")] = 3,
    clearance_mm: Annotated[
        float, typer.Option("--clearance-mm", min=0.0, help="Distance from border, avoided voxels and each other.")
    ] = 2.0,
    candidates: Annotated[int | None, typer.Option("--candidates", help="Samples per tumor; the best is kept.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Sampling steps.")] = None,
    core: Annotated[float | None, typer.Option("--core", help="Give each tumor a core of this share of its volume.")] = None,
    mass_effect: Annotated[float | None, typer.Option("--mass-effect", help="Displacement of surroundings, 0 to 1.")] = None,
    rim: Annotated[float | None, typer.Option("--rim", help="Strength of a rim around the tumor, 0 to 1.")] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Write the file although some scans failed.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw plausible tumors at valid places and write the requests for them, for the command batch.

    Paths are written as they are given: relative ones count from the folder in which the program runs.
    """
    wanted = _ranges(shape or ())
    if volume_ml is not None:
        _add(wanted, "shape_VoxelVolume", (1000.0 * volume_ml[0], 1000.0 * volume_ml[1]))
    entries = list_scans(scans, region, avoid or ())
    loaded = load_bundle(bundle)
    from TumorSynthLib.plan import PlanSettings, make_plan
    from TumorSynthLib.plan_file import check_writable, requests_of, write_requests
    from TumorSynthLib.tumor_draws import Wishes

    asked = {"bundle": bundle, "steps": steps, "candidates": candidates, "mass_effect": mass_effect, "rim": rim}
    settings = PlanSettings(
        per_scan=per_scan,
        together=together,
        domain=domain,
        seed=seed,
        clearance_mm=clearance_mm,
        region_label=region_label,
        core_share=core,
        wishes=Wishes(wanted, _fixed(texture or ()), features),
        common={name: value for name, value in asked.items() if value is not None},
    )
    check_writable(out, overwrite)
    with progress_bar(as_json) as progress:
        made = make_plan(entries, loaded, settings, progress)
    requests = [request for scan in made.scans for request in requests_of(scan, settings)]
    written = bool(requests) and (keep_going or not made.failures)
    if written:
        write_requests(requests, out, overwrite)
    _report(made, settings, out if written else None, len(requests), as_json)
    if made.failures:
        raise typer.Exit(1)


def _report(made: "Plan", settings: "PlanSettings", out: Path | None, requests: int, as_json: bool) -> None:
    for failure in made.failures:
        typer.echo(f"error: {failure['image']}: {' '.join(failure['error'].split())}", err=True)
    if as_json:
        show_json(
            {"out": None if out is None else str(out), "requests": requests if out is not None else 0, "seed": settings.seed}
            | {"scans": [_scan_summary(scan) for scan in made.scans], "failures": made.failures}
        )
        return
    for note, count in Counter(note for scan in made.scans for note in scan.notes).items():
        typer.echo(f"note, of {count} of the scans: {note}")
    tumors = [tumor for scan in made.scans for tumor in scan.tumors]
    redrawn = sum(tumor.tries > 1 for tumor in tumors)
    typer.echo(f"tumors   {len(tumors)}, of which {redrawn} were drawn again, smaller, to fit")
    typer.echo(f"scans    {len(made.scans)} planned, {len(made.failures)} failed")
    if out is None:
        typer.echo("Nothing was written." + (" --keep-going writes those planned." if made.scans else ""))
        return
    typer.echo(f"requests {out}")
    if any(not PurePath(scan.entry.image).is_absolute() for scan in made.scans):
        typer.echo(f"Its paths are relative to this folder: run tumorsynth batch {out} --out DIR from here.")


def _scan_summary(scan: "ScanPlan") -> dict[str, Any]:
    tumors = [
        {"at": list(tumor.at), "volume_ml": tumor.shape["shape_VoxelVolume"] / 1000.0, "tries": tumor.tries}
        for tumor in scan.tumors
    ]
    about = {"image": scan.entry.image, "region": scan.entry.region, "name": scan.entry.name, "domain": scan.domain}
    return about | {"tumors": tumors, "notes": list(scan.notes)}


def _ranges(texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Ranges of shape features by PyRadiomics name, volumes in mm^3."""
    found: dict[str, tuple[float, float]] = {}
    for text in texts:
        name, value = _assignment("--shape", text, "NAME=VALUE or NAME=LOW:HIGH")
        ends = [_number("--shape", name, part) for part in value.split(":")]
        if len(ends) > 2:
            _refuse(f"--shape {name} found {value!r}, expected LOW:HIGH.")
        factor = 1000.0 if name == "volume_ml" else 1.0
        _add(found, SHAPE_ALIASES.get(name, name), (factor * ends[0], factor * ends[-1]))
    return found


def _add(found: dict[str, tuple[float, float]], name: str, ends: tuple[float, float]) -> None:
    if name in found:
        _refuse(f"{name} is given twice.")
    found[name] = ends


def _fixed(texts: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        name, value = _assignment("--texture", text, "NAME=VALUE")
        if name in found:
            _refuse(f"--texture: {name!r} is given twice.")
        found[name] = _number("--texture", name, value)
    return found


def _assignment(flag: str, text: str, expected: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name:
        _refuse(f"{flag} found {text!r}, expected {expected}.")
    return name, value


def _number(flag: str, name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        _refuse(f"{flag} {name} found {value!r}, expected a number.")


def _refuse(message: str) -> NoReturn:
    raise typer.BadParameter(message)
