"""The command that says which feature values are typical: ``ranges``."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.cli.options import request_values
from TumorSynthLib.cli.report import show_json
from TumorSynthLib.configs import TEXTURE_TOKENS
from TumorSynthLib.request_fields import PARSERS


def ranges(
    domain: Annotated[str, typer.Option("--domain", help="Organ and modality, see the command bundles.")],
    volume_ml: Annotated[float | None, typer.Option("--volume-ml", help="Wanted volume in mL.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option("--shape", help="Any wanted shape feature by its name; repeat it.", metavar="NAME=VALUE")
    ] = None,
    texture: Annotated[
        list[str] | None, typer.Option("--texture", help="Any wanted texture feature; repeat it.", metavar="NAME=VALUE")
    ] = None,
    bundle: Annotated[str, typer.Option("--bundle", help="Model bundle.")] = "base",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all features.")] = False,
) -> None:
    """Show the range of each feature among tumors like the training data's, given the features that are wanted."""
    values = request_values("insert", {"volume_ml": volume_ml, "shape": shape, "texture": texture})
    wanted = {name: PARSERS[name](name, values.get(name, {})) for name in ("shape", "texture")}
    from TumorSynthLib.ranges import conditional_ranges, implausible, pyradiomics_names

    loaded = load_bundle(bundle)
    found = conditional_ranges(loaded, domain, wanted["shape"], wanted["texture"])
    warnings = implausible(loaded, domain, wanted["shape"], wanted["texture"])
    if as_json:
        show_json({"domain": domain, "wanted": wanted, "ranges": found, "warnings": warnings})
        return
    for line in table(found, {**pyradiomics_names(wanted["shape"]), **wanted["texture"]}):
        typer.echo(line)
    if not all(one["conditional"] for one in found.values()):
        typer.echo("This bundle has no joint statistics: each texture feature has its range whatever else is wanted.")
    for warning in warnings:
        typer.echo(f"warning: {warning}")


def table(found: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, float]) -> list[str]:
    """Lines with the ranges of the features that the models know best, and of the wanted ones.

    >>> table({"shape_VoxelVolume": {"low": 1000.0, "middle": 2000.0, "high": 9000.0, "unit": "mm^3"}}, {})[1].split()
    ['volume', '1', '2', '9', 'mL']
    """
    names = [name for name in found if name.startswith("shape_") or name in TEXTURE_TOKENS or name in wanted]
    rows: list[tuple[str, ...]] = [("feature", "wanted", "5 %", "typical", "95 %", "unit")]
    for name in names:
        one, factor, label = found[name], 1.0, name
        unit = str(one["unit"])
        if name == "shape_VoxelVolume":
            factor, label, unit = 1e-3, "volume", "mL"
        numbers = [f"{factor * float(one[key]):.4g}" for key in ("low", "middle", "high")]
        rows.append((label, f"{factor * wanted[name]:.4g}" if name in wanted else "", *numbers, unit))
    width = max(len(row[0]) for row in rows)
    return [f"{row[0]:<{width}} " + " ".join(f"{cell:>10}" for cell in row[1:5]) + f"  {row[5]}".rstrip() for row in rows]
