"""Markdown and figure of the shape evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from TumorSynthLib.evaluate.report import markdown_table

Pair = tuple[str, np.ndarray, np.ndarray]
"""Title, real mask and made mask."""

_NAMES = {
    "drawn_orientation": "TumorSynth, orientation drawn",
    "volume_and_sphericity": "TumorSynth, only volume and sphericity asked",
    "ellipsoid": "null: ellipsoid of the right volume and axes",
    "random_patient": "null: another patient's tumor",
}


def shape_text(found: Mapping[str, Any]) -> str:
    """The tables, each number with its interval and null."""
    agreed, errors = found["arms"], ["arm", "volume error, median", "largest", "sphericity error, mean", "largest"]
    features = [[_asked(name, found), _value(row, "pcc"), _value(row, "scc")] for name, row in found["per_feature"].items()]
    return "\n\n".join(
        [
            markdown_table(
                ["arm", "C PCC", "C SCC", "B PCC", "B SCC", "sphericity PCC"],
                [[title, *_agreement(agreed[name])] for name, title in _NAMES.items()],
            ),
            markdown_table(
                errors, [[title, *_errors(agreed[name])] for name, title in _NAMES.items() if name != "random_patient"]
            ),
            markdown_table(["feature, orientation drawn", "PCC", "SCC"], features),
            *_closing(found),
        ]
    )


def _asked(name: str, found: Mapping[str, Any]) -> str:
    return f"{name} (asked)" if name in found["asked"] else name


def _closing(found: Mapping[str, Any]) -> list[str]:
    diversity, realism = found["diversity"], found["realism"]["energy_distance_to_real"]
    distances = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in realism.items())
    return [
        f"Diversity at equal volume, sphericity, elongation and flatness ({diversity['cases']} cases, {diversity['seeds']} "
        f"seeds each, centroids aligned): mean pairwise Dice {diversity['dice_same_orientation']:.3f} with the same "
        f"orientation, {diversity['dice_random_orientation']:.3f} with drawn orientations.",
        f"Realism, energy distance of surface descriptors to those of the real tumors (0 = same distribution): {distances}. "
        "'other real' are training tumors, 'noise' is the same closed loop on band-limited noise without a generator.",
    ]


def _agreement(row: Mapping[str, Any]) -> list[str]:
    b, c = row["definition_b"], row["definition_c"]
    return [_value(c, "pcc"), _value(c, "scc"), _value(b, "pcc"), _value(b, "scc"), _value(row["sphericity"], "pcc")]


def _errors(row: Mapping[str, Any]) -> list[str]:
    volume, sphericity = row["volume_error"], row["sphericity_error"]
    mean = f"{sphericity['mean']:.4f} {_ends(sphericity['ci'])}"
    return [f"{volume['median']:.2%}", f"{volume['largest']:.2%}", mean, f"{sphericity['largest']:.3f}"]


def _value(row: Mapping[str, Any], name: str) -> str:
    return "none" if row[name] is None else f"{row[name]:.3f} {_ends(row['ci'][name])}"


def _ends(interval: list[float] | None) -> str:
    return "" if interval is None else f"({interval[0]:.3f} to {interval[1]:.3f})"


def shape_figure(figure: Any, gallery: Sequence[Pair]) -> None:
    """Shaded surfaces and central slices: real above, made below."""
    columns = max(1, len(gallery))
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
