"""Results of the worker that the user can choose from, and what each of them does to the segments of the scene."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.patches import IMAGE_FILE, Patch
from TumorSynthSlicer.segments import MaskBox

CORE_NAME = "{} core"
"""What the core of a lesion is called beside it."""


@dataclass(frozen=True, eq=False)
class Variant:
    """One result."""

    name: str
    """What tells it from the others: a number, or the volume of a time point."""
    seed: int | None
    """Seed that gives it again; None where several lesions have one each."""
    root: Path
    """Folder of the request's result, which holds those of a series."""
    folder: Path
    """Its result folder."""
    result: Mapping[str, Any]
    """Contents of ``result.json``."""
    patch: Patch
    """The voxels that it changes."""
    segments: Mapping[str, MaskBox | None]
    """The tumors by the name of the file; None for one that is gone."""
    lesions: tuple[Lesion, ...]
    """The lesions that were made, in the order of the request."""

    @property
    def image(self) -> Path:
        """The edited scan."""
        return self.folder / IMAGE_FILE

    @property
    def inSeries(self) -> bool:
        """Whether it is a time point of a growing tumor."""
        return self.folder != self.root

    @property
    def edits(self) -> Sequence[Mapping[str, Any]]:
        """What ``result.json`` tells of each lesion."""
        return self.result.get("lesions") or [self.result]

    def parts(self, lesion: Lesion) -> tuple[MaskBox | None, MaskBox | None]:
        """A lesion's mask without its core, and the core's; None for what there is not."""
        if len(self.lesions) > 1 or self.result.get("lesions"):
            return self.segments.get(lesion.name), self.segments.get(CORE_NAME.format(lesion.name))
        return self.segments.get("Tumor"), self.segments.get("Core")

    def measured(self, number: int) -> dict[str, float]:
        """Measured features of a lesion by its number in ``lesions``."""
        return dict(self.edits[number].get("measured", {}))
