"""Many new tumors: drawn features at drawn places, scan by scan.

Every tumor has a random generator of its own, from the plan's seed, the paths of its scan and region, and its number. So the
same plan gives the same bytes, and another scan or tumor more changes none of the others.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import Domain
from TumorSynthLib.domains import choose_domain
from TumorSynthLib.errors import GeometryError, ImageError, TumorSynthError
from TumorSynthLib.places import SKIN_MM, Places, tissue_region
from TumorSynthLib.protocol import SCHEMA, parse_request
from TumorSynthLib.scan_list import ScanEntry
from TumorSynthLib.scene import MIN_SIZE
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.tumor_draws import LEAST_VOXELS, VOLUME, TumorDraws, Wishes
from TumorSynthLib.volume import Volume
from TumorSynthLib.volume_io import mask_on_grid, read_mask, read_metadata, read_volume

Progress = Callable[[str, float], None]
"""Called with the scan at hand and the share of the plan that is done."""

TRIES = 20
"""Tumors that are drawn, each smaller than the last, before a scan is given up."""
OVERLAP = 0.1
"""Share of a tumor's radius that may lie beyond its region when it is placed; the shape is kept inside when it is made."""
FILL = 0.9
"""Typical share of its ellipsoid that a tumor fills."""
_PLACE_DIGITS = 2


@dataclass(frozen=True)
class PlanSettings:
    """What a plan is made of, the same for every scan."""

    per_scan: int = 1
    """Tumors in each scan."""
    together: bool = False
    """Whether the tumors of a scan make one result, or one each."""
    domain: str = "auto"
    """Id of a domain, or ``auto``."""
    seed: int = 0
    """Seed of the whole plan."""
    clearance_mm: float = 2.0
    """Distance from the region's border, from avoided voxels and between tumors."""
    region_label: int = 1
    """Value of the region in its mask."""
    core_share: float | None = None
    """Volume of an inner sub-region over that of the whole tumor; None: no core."""
    wishes: Wishes = field(default_factory=Wishes)
    """What is wanted of the features."""
    common: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request: steps, candidates and so on."""

    def __post_init__(self) -> None:
        # Whatever is wrong with a field is told before any scan is read.
        asked = {"shape": self.wishes.fixed, "texture": dict(self.wishes.texture), "domain": self.domain, "seed": self.seed}
        start = {"schema": SCHEMA, "op": "insert", "image": "scan", "at": [0, 0, 0]}
        parse_request({**start, **asked, **self.core, **self.common})

    @property
    def core(self) -> dict[str, Any]:
        """The field that asks for a core."""
        return {} if self.core_share is None else {"core": {"share": self.core_share}}


@dataclass(frozen=True)
class Tumor:
    """One planned tumor."""

    at: tuple[float, float, float]
    """Centroid, RAS mm."""
    shape: Mapping[str, float]
    """Drawn shape features by PyRadiomics name."""
    texture: Mapping[str, float]
    """Texture features to ask for."""
    seed: int
    """Seed of its request."""
    tries: int
    """Tumors that were drawn before one found a place, itself included."""


@dataclass(frozen=True)
class ScanPlan:
    """The tumors of one scan."""

    entry: ScanEntry
    """The scan."""
    domain: str
    """Id of its domain."""
    tumors: tuple[Tumor, ...]
    """What is planned in it."""
    notes: tuple[str, ...]
    """What the user should know."""


@dataclass
class Plan:
    """All scans of a plan."""

    scans: list[ScanPlan] = field(default_factory=list)
    """Those for which every tumor found a place."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """``image`` and ``error`` of the others."""


def make_plan(entries: Sequence[ScanEntry], bundle: Bundle, settings: PlanSettings, progress: Progress | None = None) -> Plan:
    """Plan the tumors of every scan; what is wrong with a scan is noted and the others go on.

    Raises
    ------
    TumorSynthError : for what is wrong with all of them: an unknown domain, or wishes that its statistics cannot meet.
    """
    draws = cache(lambda domain: TumorDraws(bundle, domain, settings.wishes))
    if settings.domain != "auto":
        draws(bundle.domain(settings.domain))
    plan = Plan()
    for number, entry in enumerate(entries):
        if progress is not None:
            progress(f"{number + 1}/{len(entries)} {entry.name}", number / len(entries))
        try:
            plan.scans.append(_plan_scan(entry, bundle, settings, draws))
        except TumorSynthError as error:
            plan.failures.append({"image": entry.image, "error": f"{error.code}: {error}"})
    return plan


def _plan_scan(entry: ScanEntry, bundle: Bundle, settings: PlanSettings, draws: Callable[[Domain], TumorDraws]) -> ScanPlan:
    scan = read_volume(entry.image)
    if min(scan.array.shape) < MIN_SIZE:
        raise ImageError("image.small", f"The scan has {scan.array.shape} voxels; {MIN_SIZE} along each axis are needed.")
    avoid, notes = _avoided(entry, scan)
    if entry.region is None:
        middle = scan.geometry.to_ras((np.array(scan.array.shape) - 1) / 2.0)
        domain, told = choose_domain(settings.domain, bundle.domains, scan, read_metadata(entry.image), middle)
        places = Places(tissue_region(scan, domain), scan.geometry, avoid)
        notes.append(f"No region was given: tumors go anywhere in tissue (in CT: not in bone), at least {SKIN_MM:g} mm deep.")
    else:
        region = mask_on_grid(read_mask(entry.region, settings.region_label), scan.geometry)
        places = Places(region, scan.geometry, avoid)
        domain, told = choose_domain(settings.domain, bundle.domains, scan, read_metadata(entry.image), places.deepest)
    known, tumors = draws(domain), []
    for number in range(1, settings.per_scan + 1):
        rng = np.random.default_rng([settings.seed, _key(entry), number])
        tumors.append(_plan_tumor(entry, number, places, known, settings, rng, scan.geometry.spacing))
        places.take(np.array(tumors[-1].at), reach_mm(tumors[-1].shape))
    return ScanPlan(entry, domain.id, tuple(tumors), (*told, *notes))


def _plan_tumor(
    entry: ScanEntry,
    number: int,
    places: Places,
    draws: TumorDraws,
    settings: PlanSettings,
    rng: np.random.Generator,
    spacing: np.ndarray,
) -> Tumor:
    """Draw tumors until one finds a place, each smaller than the last: a larger one would not find one either."""
    kept_inside = entry.region is not None
    tried: list[float] = []
    below = np.inf
    for _ in range(TRIES):
        shape = draws.shape(rng, spacing, below)
        if shape is None:
            break
        below = shape[VOLUME]
        tried.append(below)
        reach = reach_mm(shape)
        room = (1.0 - OVERLAP) * radius_mm(below) if kept_inside else reach
        at = places.draw(room + settings.clearance_mm, reach + settings.clearance_mm, rng)
        if at is not None:
            point = tuple(round(float(x), _PLACE_DIGITS) for x in at)
            return Tumor((point[0], point[1], point[2]), shape, draws.texture(shape, rng), int(rng.integers(2**31)), len(tried))
    raise _no_place(entry, number, places, settings, tried, LEAST_VOXELS * float(np.prod(spacing)))


def radius_mm(volume_mm3: float) -> float:
    """Radius of the ball of a volume."""
    return float(np.cbrt(volume_mm3 / BALL_VOLUME))


def reach_mm(shape: Mapping[str, float]) -> float:
    """Longest semi-axis of a tumor."""
    proportions = shape["shape_Elongation"] * shape["shape_Flatness"]
    return float(radius_mm(shape[VOLUME]) / np.cbrt(proportions * FILL))


def _no_place(
    entry: ScanEntry, number: int, places: Places, settings: PlanSettings, tried: Sequence[float], least_mm3: float
) -> GeometryError:
    where = "its tissue" if entry.region is None else f"'{entry.region}'"
    radius = max(0.0, places.largest_mm() - settings.clearance_mm)
    if tried:
        sizes = f"{len(tried)} tumors of {tried[0] / 1000.0:.3g} down to {tried[-1] / 1000.0:.3g} mL were tried"
    else:
        sizes = f"none of those asked for has {LEAST_VOXELS} voxels, {least_mm3 / 1000.0:.3g} mL, of this scan"
    message = (
        f"Tumor {number} of {settings.per_scan} finds no place in {where} of '{entry.image}': {sizes}; the largest ball that "
        f"fits, {settings.clearance_mm:g} mm clear of all else, has {BALL_VOLUME * radius**3 / 1000.0:.3g} mL "
        f"(radius {radius:.1f} mm)."
    )
    return GeometryError("plan.no_place", message, "Ask for smaller or fewer tumors, or for less clearance.")


def _avoided(entry: ScanEntry, scan: Volume) -> tuple[np.ndarray | None, list[str]]:
    """Voxels to keep clear of, whatever their label; None where there is no such mask."""
    avoid, notes = None, []
    for path in entry.avoid:
        if not Path(path).exists():
            notes.append("There is no mask to keep clear of.")
            continue
        mask = read_volume(path)
        found = Volume(mask.array != 0, mask.geometry)
        if found.array.any():
            on_grid = mask_on_grid(found, scan.geometry)
            avoid = on_grid if avoid is None else avoid | on_grid
    return avoid, notes


def _key(entry: ScanEntry) -> int:
    """A number that stands for a scan and its region, whatever else is planned."""
    text = f"{Path(entry.image).as_posix()}\0{Path(entry.region or '').as_posix()}"
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big")
