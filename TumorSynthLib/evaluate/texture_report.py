"""The texture table in words and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from TumorSynthLib.evaluate.report import error_bars, markdown_table, with_interval
from TumorSynthLib.evaluate.texture import ARMS, NULLS, SWAPS

_SHOWN = ("bridge_1", "bridge_1_calibrated", "bridge_4", "bridge_4_calibrated")


def texture_text(summary: Mapping[str, Any]) -> str:
    """Markdown tables of the summary."""
    return "\n\n".join(part for name, group in summary.items() for part in _group(name, group))


def _group(name: str, group: Mapping[str, Any]) -> list[str]:
    head = ["arm", "C PCC", "C SCC", "B PCC", "B SCC", "C SCC beyond histogram", "C SCC tokens", "C PCC all", "C SCC all"]
    rows = [_arm(arm, group["arms"][arm]) for arm in ("random_patient", *ARMS)]
    more = ["arm over null", "C PCC", "C SCC", "B PCC", "B SCC", "C SCC beyond histogram"]
    above = [_pairs(f"{arm} - {null}", group["above_nulls"][arm][null]) for arm in _SHOWN for null in NULLS[arm]]
    swap = ["swap", "C SCC asked", "C SCC owner", "difference C PCC", "C SCC", "B SCC", "C SCC beyond histogram"]
    swaps = [_swap(arm, group["swap"][arm]) for arm in SWAPS]
    return [
        f"## {name}: {group['cases']} cases, {group['patients']} patients",
        "Size-free features unless said; 95 % interval in brackets.",
        markdown_table(head, rows),
        markdown_table(more, above),
        markdown_table(swap, swaps),
    ]


def _pairs(label: str, sets: Mapping[str, Any]) -> list[str]:
    main, beyond = sets["size_free"], sets["beyond_histogram"]
    cells = [with_interval(main[kind], key) for kind in ("definition_c", "definition_b") for key in ("pcc", "scc")]
    return [label, *cells, with_interval(beyond["definition_c"], "scc")]


def _arm(arm: str, sets: Mapping[str, Any]) -> list[str]:
    rest = [("tokens", "scc"), ("all", "pcc"), ("all", "scc")]
    return [*_pairs(arm, sets), *(with_interval(sets[name]["definition_c"], key) for name, key in rest)]


def _swap(arm: str, sets: Mapping[str, Any]) -> list[str]:
    main, beyond = sets["size_free"], sets["beyond_histogram"]
    return [
        arm,
        with_interval(main["asked"]["definition_c"], "scc"),
        with_interval(main["owner"]["definition_c"], "scc"),
        with_interval(main["difference"]["definition_c"], "pcc"),
        with_interval(main["difference"]["definition_c"], "scc"),
        with_interval(main["difference"]["definition_b"], "scc"),
        with_interval(beyond["difference"]["definition_c"], "scc"),
    ]


def texture_figure(figure: Any, cases: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """Definition C (SCC) of every arm with its interval, one panel per group."""
    arms = ["random_patient", *ARMS]
    panels = figure.subplots(1, len(summary), sharey=True, squeeze=False)[0]
    for panel, (name, group) in zip(panels, summary.items(), strict=True):
        for offset, (key, label) in enumerate((("size_free", "size-free"), ("beyond_histogram", "beyond histogram"))):
            shown = [group["arms"][arm][key]["definition_c"] for arm in arms]
            places = [index + 0.35 * offset for index in range(len(arms))]
            values, errors = error_bars(shown, "scc")
            panel.barh(places, values, height=0.33, xerr=errors, label=label, error_kw={"linewidth": 0.8})
        panel.set_title(f"{name} (n = {group['cases']})")
        panel.set_xlabel("definition C, SCC")
        panel.axvline(0.0, color="black", linewidth=0.6)
        panel.set_yticks([index + 0.175 for index in range(len(arms))], arms)
        panel.set_xlim(-0.7, 1.05)
    panels[0].invert_yaxis()
    panels[0].legend(fontsize=7, loc="lower right")
