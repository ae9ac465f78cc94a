"""What to evaluate, and what comes out: the two nouns that every table shares."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from TumorSynthLib.bundle import Bundle

Progress = Callable[[str, float], None]
"""Called with a stage and the share of it that is done; may raise to stop."""
Summary = Mapping[str, Any]
"""Numbers of a table by group, JSON-ready."""
Text = Callable[[Summary], str]
"""Markdown of a summary."""
Draw = Callable[[Any, Sequence[Mapping[str, Any]], Summary], None]
"""Draws cases and summary into a matplotlib figure."""


@dataclass(frozen=True)
class Options:
    """What only some tables take."""

    keep_files: bool = False
    """``removal``: write mask and result of every case below ``out/removal``."""
    segmenter: Path | None = None
    """``synthesis`` and ``methods``: folder of the independent segmenter that judges masks and images."""
    features: tuple[str, ...] = ()
    """``sensitivity``: features that are asked for; none: all that the bundle has a token for."""
    sampling_steps: tuple[int, ...] = ()
    """``methods``: numbers of sampling steps for which quality and cost are told as well."""
    bundles: Mapping[str, Bundle] = field(default_factory=dict)
    """``methods``: bundles to compare by name, each a group of rows; none: the one of the order alone."""
    modality: str = "MR"
    """``downstream``: CT, MR or PET."""
    folds: int = 5
    """``downstream``: folds of the cross-validation."""
    seeds: int = 3
    """``downstream``: trainings of each arm and fold."""
    steps: int = 600
    """``downstream``: optimizer steps of every training, the same in every arm."""
    patch: int = 40
    """``downstream``: edge of the patches, in voxels of the segmenter's grid."""
    minutes: float | None = None
    """``downstream``: stop after about so long; the same call goes on where it stopped."""
    repeats: int = 20
    """``time``: measured runs after the warm-up."""


@dataclass(frozen=True, eq=False)
class Order:
    """What to evaluate."""

    data: Path
    """Folder with ``index.csv``."""
    split: str
    """Name of the split."""
    bundle: Bundle
    """What is evaluated."""
    out: Path
    """Folder of the report."""
    limit: int | None = None
    """At most so many cases per modality."""
    progress: Progress | None = None
    """Follows the work."""
    options: Options = field(default_factory=Options)
    """What only some tables take."""

    def report(self, stage: str, share: float) -> None:
        """Tell how far a stage is."""
        if self.progress is not None:
            self.progress(stage, share)


@dataclass(frozen=True, eq=False)
class Findings:
    """What a table found."""

    protocol: str
    """How, in words."""
    cases: list[dict[str, Any]]
    """Every case."""
    summary: dict[str, Any]
    """Numbers by group."""
    text: Text
    """Tells the summary."""
    draw: Draw
    """Draws it."""
    size: tuple[float, float] = (14.0, 5.0)
    """Of the figure, in inches."""
