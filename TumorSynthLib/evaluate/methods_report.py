"""The methods table in words and pictures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from TumorSynthLib.evaluate.mask_agreement import REAL
from TumorSynthLib.evaluate.methods_arms import ARMS, STEPS
from TumorSynthLib.evaluate.report import markdown_table, with_interval

_COLORS = {name: f"C{number}" for number, name in enumerate(ARMS)}
_MARKS = "os^Dv*Pd"


def methods_text(summary: Mapping[str, Any]) -> str:
    """Markdown tables of the summary: for each group of cases the arms of all bundles, then what they cost."""
    bundles = summary["bundles"]
    parts = [_bundle(name, bundle) for name, bundle in bundles.items()]
    for group in next(iter(bundles.values()))["groups"]:
        parts += _group(group, {name: bundle["groups"][group] for name, bundle in bundles.items()})
    parts += ["## Number of steps", _costs(bundles)]
    if "segmenter" in summary:
        parts.append("Segmenter: " + ", ".join(f"{key} {value}" for key, value in summary["segmenter"].items()) + ".")
    return "\n\n".join(parts)


def _bundle(name: str, bundle: Mapping[str, Any]) -> str:
    about, out = bundle["identity"], bundle["left_out"]
    text = f"{name}: bundle {about['id']} {about['version']} ({about['sha256'][:12]}), {bundle['parameters']} parameters; "
    text += f"{bundle['device']}, {bundle['threads']} threads, {bundle['dtype']}."
    return f"{text} It was not trained for the arms {', '.join(out)}, which are left out." if out else text


def _group(name: str, groups: Mapping[str, Mapping[str, Any]]) -> list[str]:
    first = next(iter(groups.values()))
    head = ["bundle", "arm", "made", "Frechet / real-real", "MMD / real-real", "p", "C PCC", "C SCC", "C PCC raw", "C SCC raw"]
    rows = []
    for bundle, group in groups.items():
        null = [with_interval(group["random_patient"], key) for key in ("pcc", "scc")]
        rows += [[bundle, arm, f"{found['made']:.2f}", *_quality(found)] for arm, found in group["arms"].items()]
        rows.append([bundle, "random_patient", "-", "-", "-", "-", *null, "-", "-"])
    more = [
        "bundle",
        "arm",
        "Dice of mask and image",
        "surface Dice",
        "texture diversity",
        "mask diversity",
        "shape C PCC",
    ]
    lines = [[bundle, *cells] for bundle, group in groups.items() for cells in _fit(group)]
    title = f"## {name}: {first['cases']} cases, {first['patients']} patients"
    return [title, markdown_table(head, rows), markdown_table(more, lines)]


def _quality(found: Mapping[str, Any]) -> list[str]:
    real, p = found["realism"], found["realism"]["mmd"]["p"]
    ratios = [with_interval(real[kind], "ratio") for kind in ("frechet", "mmd")]
    control = [
        "-" if found[kind] is None else with_interval(found[kind], key)
        for kind in ("texture", "texture_raw")
        for key in ("pcc", "scc")
    ]
    return [*ratios, "-" if p is None else f"{p:.3f}", *control]


def _fit(group: Mapping[str, Any]) -> Iterator[list[str]]:
    """Mask and image, diversity and shape of every arm, and the real tumors' ceiling."""
    seen = group["agreement"]
    for arm in (REAL, *group["arms"]):
        cells = [with_interval(seen[arm][kind], "mean") for kind in ("dice", "nsd")] if seen else ["-", "-"]
        if arm == REAL:
            yield [arm, *cells, "1 (unit)", "-", "-"]
            continue
        found = group["arms"][arm]
        shape = "-" if found["shape"] is None else with_interval(found["shape"], "pcc")
        yield [arm, *cells, *(with_interval(found["diversity"][kind], "mean") for kind in ("texture", "mask")), shape]


def _costs(bundles: Mapping[str, Mapping[str, Any]]) -> str:
    head = ["bundle", "arm", "steps", "GFLOP", "seconds", "Frechet / real-real", "C PCC", "C SCC", "C PCC raw", "C SCC raw"]
    rows = []
    for name, bundle in bundles.items():
        for arm, costs in bundle["cost"].items():
            for count, cost in costs.items():
                cells = _quality(_last(bundle)["steps"][arm][count])
                told = [f"{cost['gflop']:.0f}", f"{cost['seconds']:.2f}", cells[0], *cells[3:]]
                rows.append([name, arm, count, *told])
    return markdown_table(head, rows)


def _last(bundle: Mapping[str, Any]) -> Mapping[str, Any]:
    """All modalities together, or the only one."""
    group: Mapping[str, Any] = list(bundle["groups"].values())[-1]
    return group


def methods_figure(figure: Any, cases: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """Quality over arithmetic: realism and control at every number of steps, Dice of mask and image at the usual one."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    # Without a segmenter there is no Dice.
    panels = figure.subplots(1, 3 if "segmenter" in summary else 2)
    labels = ("Frechet radiomics distance / real-real", "texture as asked, C PCC without calibration", "Dice of mask and image")
    for number, (name, bundle) in enumerate(summary["bundles"].items()):
        group = _last(bundle)
        for arm, costs in bundle["cost"].items():
            steps = group["steps"][arm]
            lines = (
                [(costs[n]["gflop"], steps[n]["realism"]["frechet"]["ratio"]) for n in costs],
                [(costs[n]["gflop"], (steps[n]["texture_raw"] or {}).get("pcc")) for n in costs],
                [(costs[str(STEPS)]["gflop"], group["agreement"][arm]["dice"]["mean"])] if group["agreement"] else [],
            )
            for panel, line in zip(panels, lines, strict=False):
                _line(panel, line, f"{name}, {arm}", _COLORS[arm], _MARKS[number % len(_MARKS)])
    for panel, label, levels in zip(panels, labels, _levels(_last(next(iter(summary["bundles"].values())))), strict=False):
        for style, (name, level) in zip(("-", "--", ":", "-."), levels.items(), strict=False):
            panel.axhline(level, color="black", linewidth=0.8, linestyle=style, label=name)
        panel.set_xscale("log")
        # The usual labels of a range of less than ten times run into each other.
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
        panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.margins(x=0.2)
        panel.set_xlabel("GFLOP of a sample")
        panel.set_ylabel(label)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize=7)

    panels[0].set_yscale("log")


def _line(panel: Any, line: Sequence[tuple[float, float | None]], name: str, color: str, mark: str) -> None:
    known = [(x, y) for x, y in line if y is not None]
    if known:
        panel.plot([x for x, _ in known], [y for _, y in known], color=color, marker=mark, label=name)


def _levels(group: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    """What needs no steps, in each panel: nulls, ceilings and the unit."""
    still = {name: found for name, found in group["arms"].items() if name not in ARMS}
    yield _known({name: found["realism"]["frechet"]["ratio"] for name, found in still.items()} | {"real to real": 1.0})
    controls = {name: found["texture_raw"] or found["texture"] for name, found in still.items()}
    textures = {name: found["pcc"] for name, found in controls.items() if found is not None}
    yield _known(textures | {"random_patient": group["random_patient"]["pcc"]})
    seen = group["agreement"] or {}
    yield _known({name: found["dice"]["mean"] for name, found in seen.items() if name not in ARMS})


def _known(levels: Mapping[str, float | None]) -> dict[str, float]:
    return {name: level for name, level in levels.items() if level is not None}
