"""The downstream table in words and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from TumorSynthLib.evaluate.report import error_bars, markdown_table, with_interval


def downstream_text(summary: Mapping[str, Any]) -> str:
    """Markdown tables of the summary."""
    done, settings = summary["finished"], summary["settings"]
    told = ", ".join(f"{name} {value}" for name, value in settings.items())
    parts = [f"Finished: {done['done']} of {done['wanted']} folds times seeds. {told}."]
    for name, title in (("all", "All patients"), ("unseen_by_bundle", "Patients that the bundle never saw")):
        if summary[name] is not None:
            parts += _group(title, summary[name])
    return "\n\n".join(parts)


def _group(title: str, group: Mapping[str, Any]) -> list[str]:
    sizes = list(next(iter(group["arms"].values()))["dice_by_size"])
    head = ["arm", "Dice", "surface Dice", "detected", *(f"Dice, {size}" for size in sizes)]
    rows = []
    for arm, found in group["arms"].items():
        by_size = [f"{with_interval(one, 'mean', 3)} (n = {one['cases']})" for one in found["dice_by_size"].values()]
        rows.append([arm, *(with_interval(found[kind], "mean", 3) for kind in ("dice", "nsd", "detected")), *by_size])
    gains = [
        [f"{arm} - {other}", with_interval(gain, "mean", 3), f"{gain['p']:.3f}"]
        for arm, others in group["differences"].items()
        for other, gain in others.items()
    ]
    return [
        f"## {title}: {group['patients']}",
        markdown_table(head, rows),
        markdown_table(["difference of Dice, paired by patient", "mean", "p, Wilcoxon"], gains),
    ]


def downstream_figure(figure: Any, cases: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """Dice of every arm, and of every patient over the volume."""
    left, right = figure.subplots(1, 2)
    arms = summary["all"]["arms"]
    values, errors = error_bars([found["dice"] for found in arms.values()], "mean")
    left.bar(range(len(arms)), values, yerr=errors)
    left.set_xticks(range(len(arms)), list(arms))
    left.set_ylabel("Dice, all patients")
    for arm in arms:
        dice = [sum(one["dice"] for one in case["scores"][arm]) / len(case["scores"][arm]) for case in cases]
        right.scatter([case["volume_ml"] for case in cases], dice, s=14, label=arm)
    right.set_xscale("log")
    right.set_xlabel("volume, mL")
    right.set_ylabel("Dice, mean of the seeds")
    right.legend(fontsize=8)
