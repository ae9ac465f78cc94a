"""One finished edit, as ``result.json`` tells of it and as the files of a result folder show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from TumorSynthLib.changes import changed_box
from TumorSynthLib.existing import centroid
from TumorSynthLib.preview import write_preview
from TumorSynthLib.protocol import Request
from TumorSynthLib.result import ResultWriter
from TumorSynthLib.scene import Scene
from TumorSynthLib.synthesis import Made
from TumorSynthLib.targets import Target
from TumorSynthLib.volume import Box, some_voxels


@dataclass(frozen=True, eq=False)
class Outcome:
    """An edit from its scene to its measurements."""

    request: Request
    """What was asked."""
    before: Scene
    """The scan as it was."""
    after: Scene
    """The scan as it is."""
    target: Target
    """What was aimed at."""
    made: Sequence[Made]
    """What was synthesized."""
    measured: Mapping[str, float]
    """Features of the tumor, or of the region that was healed."""
    measured_parts: Mapping[str, Mapping[str, float]]
    """Texture features of each part, where there are two."""
    quality: Mapping[str, Any] | None
    """How plausible the tumor is; None where there is none."""
    steps: int
    """Sampling steps that were taken."""
    warnings: Sequence[str]
    """What the user should know."""

    @property
    def segments(self) -> dict[str, np.ndarray]:
        """The tumor's masks by the name of their segment; an empty one after a removal."""
        if not self.target.parts:
            return {"Tumor": np.zeros_like(self.target.mask)}
        return {_SEGMENT_NAMES[part.name]: part.mask for part in self.target.parts}

    @property
    def gone(self) -> np.ndarray | None:
        """Where a tumor was that is no longer there."""
        return self.target.mask if not self.target.parts else self.target.replaced

    @cached_property
    def changed(self) -> Box | None:
        """The part of the scan that is not as it was; see ``changed_box``."""
        masks = [mask for mask in (self.target.mask, self.target.replaced) if mask is not None]
        return changed_box(self.before.scan, self.after.scan, masks)

    @property
    def requested(self) -> dict[str, float]:
        """Asked features of the tumor as a whole; those of two parts are told apart in ``subregions``."""
        alone = self.target.parts[0].asked if len(self.target.parts) == 1 else {}
        return {**self.target.requested, **alone}

    def told(self) -> dict[str, Any]:
        """What ``result.json`` says of this edit beyond what it says of every result."""
        single = self.made[0] if len(self.made) == 1 else None
        told: dict[str, Any] = {"drawn": dict(single.drawn) if single else {}, **told_place(self.target.placed)}
        if self.before.tumor_domain is not None:
            told["tumor_domain"] = self.before.tumor_domain.id
        if len(self.target.parts) > 1:
            told["subregions"] = self._subregions()
        if self.quality is not None:
            told["quality"] = dict(self.quality)
        return told

    def candidates(self) -> list[dict[str, Any]]:
        """The candidates of a tumor without parts."""
        return self.made[0].told() if len(self.made) == 1 else []

    def _subregions(self) -> dict[str, Any]:
        made = {one.part.name: one for one in self.made}
        return {
            part.name: {
                "requested": dict(part.asked),
                "measured": dict(self.measured_parts[part.name]),
                "drawn": dict(made[part.name].drawn) if part.name in made else {},
                "candidates": made[part.name].told() if part.name in made else [],
                "kept": part.kept,
            }
            for part in self.target.parts
        }


_SEGMENT_NAMES = {"tumor": "Tumor", "rest": "Tumor", "core": "Core"}


def told_place(placed: Mapping[str, object]) -> dict[str, Any]:
    """What ``result.json`` says of the place of a hand-made tumor: its centroid in RAS mm (``at``), its class (``handmade``),
    the diameter of the ball of its volume (``diameter_mm``), and the share that the region cut off (``cut``)."""
    return {"placed": dict(placed)} if placed else {}


def combined_segments(outcomes: Sequence[Outcome], names: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The segments of edits that followed one another, and a sentence for each tumor that lost voxels to a later one.

    Parameters
    ----------
    outcomes : in the order in which they were made; ``after`` of each carries the masks of those before.
    names : of the lesions.
    """
    segments: dict[str, np.ndarray] = {}
    warnings = []
    for outcome, lesion in zip(outcomes, names, strict=True):
        segments = {name: outcome.after.carried.get(name, mask) for name, mask in segments.items()}
        if outcome.gone is not None:
            segments = {name: mask & ~outcome.gone for name, mask in segments.items()}
        if not outcome.target.parts:
            continue
        for name, mask in segments.items():
            if (mask & outcome.target.mask).any():
                warnings.append(f"{lesion} lies partly on {name}, which has lost those voxels.")
        segments = {name: mask & ~outcome.target.mask for name, mask in segments.items()}
        segments |= named_segments(outcome, lesion)
    return segments, list(dict.fromkeys(warnings))


def named_segments(outcome: Outcome, lesion: str) -> dict[str, np.ndarray]:
    """The segments of one of several lesions."""
    return {lesion if name == "Tumor" else f"{lesion} {name.lower()}": mask for name, mask in outcome.segments.items()}


def write_outcome_preview(outcome: Outcome, writer: ResultWriter, name: str) -> None:
    """Write the picture of an edit."""
    request, target = outcome.request, outcome.target
    before = None if request.op == "insert" else outcome.before.painted
    after = target.mask if target.parts else None
    write_preview(
        writer.path(name),
        outcome.before.scan,
        outcome.after.scan,
        before,
        after,
        display_window(outcome.before),
        f"{request.op} | {outcome.before.domain.id}",
        centroid(target.mask, outcome.before.scan.geometry),
        target.core,
    )


def display_window(scene: Scene) -> tuple[float, float]:
    """The range of stored values that a radiologist would look at."""
    if scene.domain.modality == "CT":
        return (-1000.0, 400.0) if scene.domain.organ == "lung" else (-160.0, 240.0)
    if scene.domain.unit == "SUV":
        return 0.0, float(np.clip(np.percentile(some_voxels(scene.scan.array, 500_000), 99.8), 3.0, 12.0))
    low, high = scene.intensity.denormalize(np.array([0.0, 105.0]))
    return float(low), float(high)
