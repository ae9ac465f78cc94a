"""The synthesis table in words and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from TumorSynthLib.evaluate.report import error_bars, markdown_table, with_interval

_KINDS = {"psnr_mask": "PSNR mask, dB", "ssim_mask": "SSIM mask", "psnr_crop": "PSNR crop, dB", "ssim_crop": "SSIM crop"}


def synthesis_text(summary: Mapping[str, Any]) -> str:
    """Markdown tables of the summary."""
    groups = {name: group for name, group in summary.items() if name != "segmenter"}
    parts = [part for name, group in groups.items() for part in _group(name, group)]
    if "segmenter" in summary:
        parts.append(_segmenter(summary["segmenter"]))
    return "\n\n".join(parts)


def _group(name: str, group: Mapping[str, Any]) -> list[str]:
    parts = [f"## {name}"]
    if "arms" in group:
        gain = with_interval(group["crop_gain_db"], "mean", 1)
        parts[0] += f": {group['cases']} cases, {group['patients']} patients"
        parts.append(f"Gain of the crop's PSNR over the mask's by formula, whatever is made: {gain} dB.")
        rows = [
            [arm, *(with_interval(found[kind], "mean", 1 if "psnr" in kind else 3) for kind in _KINDS)]
            for arm, found in group["arms"].items()
        ]
        parts.append(markdown_table(["arm", *_KINDS.values()], rows))
    parts.append(markdown_table(["arm", "Frechet / real-real", "MMD / real-real", "p", "cases"], _realism(group["realism"])))
    if group["agreement"]:
        rows = [
            [arm, *(with_interval(found[kind], "mean") for kind in ("dice", "nsd"))]
            for arm, found in group["agreement"].items()
        ]
        parts.append(markdown_table(["arm", "Dice of mask and image", "surface Dice 2 mm"], rows))
    return parts


def _realism(arms: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for arm, found in arms.items():
        ratios = [with_interval(found[kind], "ratio") for kind in ("frechet", "mmd")]
        p = found["mmd"]["p"]
        rows.append([arm, *ratios, "-" if p is None else f"{p:.3f}", str(found["cases"])])
    return rows


def _segmenter(about: Mapping[str, Any]) -> str:
    told = ", ".join(f"{key} {value}" for key, value in about.items())
    return f"Segmenter: {told}."


def synthesis_figure(figure: Any, cases: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """PSNR in the mask, the two distances in units of real-real, and Dice of mask and image."""
    panels = figure.subplots(2, 2).ravel()
    groups = {name: group for name, group in summary.items() if name != "segmenter"}
    quality = {name: group["arms"] for name, group in groups.items() if "arms" in group}
    _bars(panels[0], {name: {a: f["psnr_mask"] for a, f in arms.items()} for name, arms in quality.items()}, "mean")
    panels[0].set_xlabel("PSNR in the grown mask, dB")
    for panel, kind, label in ((panels[1], "frechet", "Frechet radiomics distance"), (panels[2], "mmd", "RBF-MMD")):
        realism = {name: {arm: found[kind] for arm, found in group["realism"].items()} for name, group in groups.items()}
        _bars(panel, realism, "ratio")
        panel.axvline(1.0, color="black", linewidth=0.8)
        panel.set_xlabel(f"{label}, in units of real-real")
    seen = {
        name: {arm: found["dice"] for arm, found in group["agreement"].items()}
        for name, group in groups.items()
        if group["agreement"]
    }
    _bars(panels[3], seen, "mean")
    panels[3].set_xlabel("Dice of mask and image" if seen else "no segmenter was given")


def _bars(panel: Any, groups: Mapping[str, Mapping[str, Any]], key: str) -> None:
    """Horizontal bars of every arm, one color per group."""
    arms = list(dict.fromkeys(arm for group in groups.values() for arm in group))
    height = 0.8 / max(1, len(groups))
    for index, (name, group) in enumerate(groups.items()):
        shown = [arm for arm in arms if arm in group]
        values, errors = error_bars([group[arm] for arm in shown], key)
        places = [arms.index(arm) + index * height for arm in shown]
        panel.barh(places, values, height=0.9 * height, xerr=errors, label=name, error_kw={"linewidth": 0.8})
    panel.set_yticks([n + 0.4 - height / 2 for n in range(len(arms))], arms)
    panel.invert_yaxis()
    if groups:
        panel.legend(fontsize=7)
