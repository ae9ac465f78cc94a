"""The features of a region of a file, with a bundle's pinned settings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import Domain
from TumorSynthLib.domains import choose_domain, named_domain
from TumorSynthLib.errors import FeatureError
from TumorSynthLib.features import measure_texture
from TumorSynthLib.intensity import Intensity, fit_intensity
from TumorSynthLib.interruptible import interruptible
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.volume import Volume, mask_box
from TumorSynthLib.volume_io import mask_on_grid, read_mask, read_metadata, read_volume

Alive = Callable[[], None]
"""Called on the way; may raise to cancel."""


@dataclass(frozen=True)
class RegionFeatures:
    """What was measured."""

    measured: dict[str, float]
    """Shape and texture features of the whole region."""
    domain: Domain
    """The domain whose settings were used."""
    warnings: list[str] = field(default_factory=list)
    """What the user should know."""
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    """The same features of its ``core`` and of the ``rest`` around it, where a core was named."""


@dataclass(frozen=True, eq=False)
class _Scan:
    """A scan that can be measured."""

    volume: Volume
    intensity: Intensity
    settings: dict[str, Any]


def measure_files(
    image: str | Path,
    mask: str | Path,
    label: int,
    domain_id: str,
    bundle: Bundle,
    core_label: int | None = None,
    alive: Alive = lambda: None,
) -> RegionFeatures:
    """Measure a region of a scan.

    Parameters
    ----------
    image : a scan in any format of ``read_volume``.
    mask : a label map.
    label : value of the region in the label map.
    domain_id : a domain of the bundle, or ``auto``.
    bundle : names the domains and pins the settings.
    core_label : value of the region's core in the label map; the region is then both together.
    alive : called while files are read and between the classes of features; may raise to cancel.

    Raises
    ------
    TumorSynthError : when a file cannot be used, the label or the domain does not exist, or the region has no features.
    """
    if domain_id != "auto":
        named_domain(domain_id, bundle.domains)
    volume = interruptible(lambda: read_volume(image), alive)
    core = None if core_label is None else _region(volume, mask, core_label, alive)
    outer = _region(volume, mask, label, alive)
    whole = outer if core is None else outer | core
    box = mask_box(whole)
    center = volume.geometry.to_ras((np.array(box.start) + np.array(box.stop) - 1) / 2)
    domain, warnings = choose_domain(domain_id, bundle.domains, volume, read_metadata(image), center)
    scan = _Scan(volume, fit_intensity(volume.array, domain), bundle.radiomics(domain.id))
    measured = _measured(scan, whole, alive)
    parts: dict[str, dict[str, float]] = {}
    for name, part in {} if core is None else {"core": core, "rest": outer & ~core}.items():
        try:
            parts[name] = _measured(scan, part, alive)
        except FeatureError as error:
            parts[name] = {}
            warnings = [*warnings, f"The {name} cannot be measured: {error.message}"]
    return RegionFeatures(measured, domain, warnings, parts)


def _region(volume: Volume, mask: str | Path, label: int, alive: Alive) -> np.ndarray:
    return interruptible(lambda: mask_on_grid(read_mask(mask, label), volume.geometry), alive)


def _measured(scan: _Scan, mask: np.ndarray, alive: Alive) -> dict[str, float]:
    alive()
    box = mask_box(mask)
    geometry, inside = scan.volume.geometry.cropped(box), mask[box.slices]
    u = scan.intensity.normalize(scan.volume.array[box.slices])
    return measure_mask(inside, geometry) | measure_texture(u, inside, geometry, scan.settings, alive=alive)
