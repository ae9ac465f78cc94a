"""A random tumor at a random place of a scan in memory: what training pipelines insert, without files or requests.

Shape and texture are drawn from the statistics of a bundle, the place is drawn among those that leave room for the tumor. All
of it depends on the scan and on the generator that is handed in, on nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from TumorSynthLib.configs import Domain
from TumorSynthLib.errors import GeometryError
from TumorSynthLib.intensity import fit_intensity
from TumorSynthLib.models import Models
from TumorSynthLib.places import Places, tissue_region
from TumorSynthLib.plan import OVERLAP, TRIES, radius_mm, reach_mm
from TumorSynthLib.possible import check_possible
from TumorSynthLib.protocol import SCHEMA, Request
from TumorSynthLib.scene import Scene
from TumorSynthLib.synthesis import Synthesizer
from TumorSynthLib.targets import choose_target
from TumorSynthLib.tumor_draws import VOLUME, TumorDraws, Wishes
from TumorSynthLib.volume import Box, Volume


@dataclass(frozen=True)
class InsertionSettings:
    """What is inserted, and how."""

    wishes: Wishes = field(default_factory=Wishes)
    """What is wanted of the features; the rest is drawn."""
    clearance_mm: float = 2.0
    """Distance from the region's border and from whatever is to be avoided."""
    steps: int = 10
    """Sampling steps."""
    guidance: float = 1.5
    """Weight of the features."""
    noise: bool = True
    """Whether the scan's noise is restored."""
    method: str = "bridge"
    """One of ``METHODS``. With ``flow`` the mask is made by the network too, of the drawn volume."""
    handmade: str | None = None
    """Size class of hand-made shapes (DiffTumor), ``tiny`` to ``large``; None takes the bundle's shape generator. The volume is
    the drawn one; wish for small volumes with the small classes."""


@dataclass(frozen=True)
class Site:
    """A place and the tumor that fits there."""

    at: tuple[float, float, float]
    """Centroid, RAS mm."""
    shape: Mapping[str, float]
    """Shape features by PyRadiomics name."""
    inside: np.ndarray | None
    """The region that the tumor stays inside of, bool on the scan's grid; None where it may be anywhere."""

    @property
    def volume_mm3(self) -> float:
        """Volume of the tumor."""
        return self.shape[VOLUME]


@dataclass(frozen=True, eq=False)
class Inserted:
    """A scan with a new tumor."""

    scan: Volume
    """Stored values."""
    mask: np.ndarray
    """The tumor, bool on the scan's grid."""
    box: Box
    """Outside of it every voxel is that of the original, bit for bit."""
    told: dict[str, Any]
    """Place, asked features and seed, JSON-ready."""


class SiteFinder:
    """Draws sites in scans of one domain.

    Parameters
    ----------
    draws : of shapes.
    domain : of the scans.
    clearance_mm : distance to keep.
    """

    def __init__(self, draws: TumorDraws, domain: Domain, clearance_mm: float) -> None:
        self.draws, self.domain, self.clearance_mm = draws, domain, clearance_mm

    def find(self, scan: Volume, rng: np.random.Generator, region: np.ndarray | None, avoid: np.ndarray | None) -> Site:
        """A site with room for its tumor.

        Parameters
        ----------
        scan : where.
        rng : decides.
        region : where tumors may be, bool on the scan's grid; None takes tissue well inside the body.
        avoid : voxels to keep clear of, bool on the scan's grid.

        Raises
        ------
        GeometryError : ``insertion.no_place`` when none of the tumors that were drawn, each smaller than the last, finds one.
        """
        if region is not None and not region.any():
            raise GeometryError("insertion.region", "The region has no voxel.", "Give its label, or no region.")
        places = Places(tissue_region(scan, self.domain) if region is None else region, scan.geometry, avoid)
        below = np.inf
        for _ in range(TRIES):
            shape = self.draws.shape(rng, scan.geometry.spacing, below)
            if shape is None:
                break
            below, reach = shape[VOLUME], reach_mm(shape)
            room = reach if region is None else (1.0 - OVERLAP) * radius_mm(below)
            at = places.draw(room + self.clearance_mm, reach + self.clearance_mm, rng)
            if at is not None:
                return Site((float(at[0]), float(at[1]), float(at[2])), shape, region)
        message = f"No tumor finds a place: the largest free ball has a radius of {places.largest_mm():.1f} mm."
        raise GeometryError("insertion.no_place", message, "Wish for smaller tumors, or give another region.")


class Inserter:
    """Inserts tumors into scans of one domain, with networks that stay loaded.

    Parameters
    ----------
    models : of a bundle.
    domain : id of the scans' organ and modality.
    settings : what is inserted, and how.

    Raises
    ------
    RequestError : when the bundle's statistics cannot meet the wishes, or the bundle does not have the method.
    BundleError : when the bundle has no such domain.
    """

    def __init__(self, models: Models, domain: str, settings: InsertionSettings) -> None:
        self.models, self.settings = models, settings
        check_possible(Request(SCHEMA, "insert", at=(0.0, 0.0, 0.0), shape={VOLUME: 1.0}, **_asked(settings)), models.bundle)
        self.domain = models.bundle.domain(domain)
        self.draws = TumorDraws(models.bundle, self.domain, settings.wishes)
        self.sites = SiteFinder(self.draws, self.domain, settings.clearance_mm)

    def insert(
        self, scan: Volume, rng: np.random.Generator, region: np.ndarray | None = None, avoid: np.ndarray | None = None
    ) -> Inserted:
        """A new tumor at a drawn site; see ``SiteFinder.find``."""
        return self.insert_at(scan, self.sites.find(scan, rng, region, avoid), rng)

    def insert_at(self, scan: Volume, site: Site, rng: np.random.Generator) -> Inserted:
        """A new tumor at a site, its texture drawn for its shape."""
        texture, seed = self.draws.texture(site.shape, rng), int(rng.integers(2**31))
        settings = self.settings
        request = Request(
            SCHEMA,
            "insert",
            at=site.at,
            shape=dict(site.shape) if settings.handmade is None else {VOLUME: site.volume_mm3},
            texture=texture,
            seed=seed,
            steps=settings.steps,
            guidance=settings.guidance,
            noise=settings.noise,
            method=settings.method,
            handmade=settings.handmade,
        )
        intensity = fit_intensity(scan.array, self.domain)
        scene = Scene(scan, self.domain, intensity, None, None, site.inside, texture, "", [], region=site.inside)
        synthesizer = Synthesizer(self.models.bundle, self.models.texture)
        if settings.method == "flow":
            target, made = synthesizer.in_box(request, scene, _unheard)
        else:
            target = choose_target(request, scene, self.models.shapes, _on)
            made = synthesizer.tumor(request, scene, target, _unheard)
        told = {"at": list(site.at), "shape": dict(site.shape), "texture": texture, "seed": seed}
        return Inserted(made.scene.scan, target.mask, made.made[0].candidates[0].box, told)


def _asked(settings: InsertionSettings) -> dict[str, Any]:
    """The fields of a request that not every bundle can fulfil."""
    return {"method": settings.method, "handmade": settings.handmade, "out": ""}


def _on() -> None:
    """Nobody cancels."""


def _unheard(stage: str, share: float) -> None:
    """Nobody follows."""
