"""Markdown and figure of the shape evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

_NAMES = {
    "all": "TumorSynth, orientation drawn",
    "orientation": "TumorSynth, orientation of the real tumor",
    "ellipsoid": "null: ellipsoid of the right volume and axes",
    "random_patient": "null: another patient's tumor",
}


def write_markdown(result: dict[str, Any], path: Path) -> None:
    """The tables, each number with its data, interval and null."""
    data = result["data"]
    lines = [
        "# Shape stage",
        "",
        f"{data['shapes']} tumors of {data['patients']} patients, {data['source']}, split {data['split']}, 1 mm grid, one tumor per request (N = 1).",
        "PyRadiomics features of the result against those of the real tumor whose volume, sphericity, elongation, flatness and axis lengths",
        "were asked for. C: per feature across cases, mean over 14 features; B: within case, z-scored. 95 % patient bootstrap intervals.",
        "",
        "| | C PCC | C SCC | B PCC | B SCC | sphericity PCC |",
        "|---|---|---|---|---|---|",
    ]
    for name, title in _NAMES.items():
        row = result["agreement"][name]
        b, c = row["definition_b"], row["definition_c"]
        lines.append(
            f"| {title} | {c['pcc']:.3f} {_ends(row['definition_c_pcc_interval'])} | {c['scc']:.3f} {_ends(row['definition_c_scc_interval'])} "
            f"| {b['pcc']:.3f} {_ends(row['definition_b_pcc_interval'])} | {b['scc']:.3f} "
            f"| {row['sphericity_pcc']:.3f} {_ends(row['sphericity_pcc_interval'])} |"
        )
    lines += ["", "| feature (orientation drawn) | PCC | SCC |", "|---|---|---|"]
    for name, row in result["per_feature_pcc"].items():
        mark = " (asked)" if name in result["asked"] else ""
        lines.append(f"| {name}{mark} | {row['pcc']:.3f} {_ends(row['pcc_interval'])} | {row['scc']:.3f} |")
    lines += ["", "| errors | volume, median | volume, largest | sphericity, mean absolute | sphericity, largest |", "|---|---|---|---|---|"]
    for key, title in (("volume_and_sphericity_alone", "volume and sphericity asked"), ("all_asked_errors", "all seven asked")):
        row = result[key]
        lines.append(
            f"| {title} | {row['volume_error_median']:.2%} | {row['volume_error_max']:.2%} "
            f"| {row['sphericity_mae']:.4f} {_ends(row['sphericity_mae_interval'])} | {row['sphericity_error_max']:.3f} |"
        )
    diversity, realism = result["diversity"], result["realism"]["energy_distance_to_real"]
    lines += [
        "",
        f"Diversity at equal volume, sphericity, elongation and flatness ({diversity['cases']} cases, {diversity['seeds']} seeds each, centroids "
        f"aligned): mean pairwise Dice {diversity['dice_same_orientation']:.3f} with the same orientation, "
        f"{diversity['dice_random_orientation']:.3f} with drawn orientations.",
        "",
        "Realism, energy distance of surface descriptors to the real test tumors (0 = same distribution): "
        + ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in realism.items())
        + ". 'other real' are training tumors, 'noise' the same closed loop on band-limited noise without a generator.",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _ends(interval: list[float]) -> str:
    return f"({interval[0]:.3f} to {interval[1]:.3f})"


def write_figure(gallery: list[tuple[str, np.ndarray, np.ndarray]], path: Path) -> None:
    """Shaded surfaces and central slices: real above, made below."""
    from matplotlib.figure import Figure

    columns = max(1, len(gallery))
    figure = Figure(figsize=(1.6 * columns, 6.4))
    axes = figure.subplots(4, columns, squeeze=False)
    for column, (title, real, made) in enumerate(gallery):
        for row, mask in ((0, real), (2, made)):
            axes[row, column].imshow(shaded(mask), cmap="gray", vmin=0, vmax=1, origin="lower")
            axes[row + 1, column].imshow(mask[:, :, mask.shape[2] // 2].T, cmap="gray_r", origin="lower")
        axes[0, column].set_title(title, fontsize=8)
    for name, row in (("real", 0), ("generated", 2)):
        axes[row, 0].text(-0.1, 0.5, name, rotation=90, va="center", ha="right", transform=axes[row, 0].transAxes, fontsize=8)
    for axis in axes.ravel():
        axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def shaded(mask: np.ndarray) -> np.ndarray:
    """A mask seen along j, lit from above; 1 where there is nothing. Shape (k, i)."""
    soft = ndimage.gaussian_filter(np.pad(mask, 3).astype(np.float32), 0.9)
    inside = soft > 0.5
    first = inside.argmax(axis=1)
    slopes = np.stack(np.gradient(soft))
    normal = np.take_along_axis(slopes, np.broadcast_to(first, (3, *first.shape))[:, :, None, :], axis=2)[:, :, 0]
    normal /= np.linalg.norm(normal, axis=0) + 1e-6
    # The gradient of a mask points inward, and so does the light.
    light = np.array([0.4, 0.8, -0.45])
    shade = 0.15 + 0.85 * np.clip(np.tensordot(light / np.linalg.norm(light), normal, axes=1), 0.0, 1.0)
    return np.where(inside.any(axis=1), shade, 1.0).T
