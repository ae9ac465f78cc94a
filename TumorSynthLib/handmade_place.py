"""Places for hand-made tumors: a tumor of a given form is put where it fits into a region.

Places are drawn among those with room for the form's inner ball, each one equally likely, and the first at which the whole form
lies in the region is taken. Should that fail a few times, more and more room is asked for. The form itself stays as it is.
"""

from dataclasses import dataclass

import numpy as np

from TumorSynthLib.errors import RequestError
from TumorSynthLib.handmade_shape import SIZES, Form, Stamp
from TumorSynthLib.places import Places
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.shape_level import solidified
from TumorSynthLib.volume import Box, Geometry

TRIES = 24
"""Places that are tried."""
HALF = 0.5
"""Share of a large tumor in the region from which on a place is taken at once; else the place with the most is."""
LEAST_SHARE = 0.25
"""Least share of a large tumor that the region may leave of it, unless as much as a medium tumor is left."""
_CUT = "large"
"""The class that the region may cut."""


@dataclass(frozen=True, eq=False)
class PlacedForm:
    """A hand-made tumor on a grid."""

    part: np.ndarray
    """Its voxels in a box, bool."""
    box: Box
    """That box."""
    shape: tuple[int, int, int]
    """Voxels of the grid."""
    at: np.ndarray
    """Where the centroid of the whole form is, RAS mm."""
    cut: float
    """Share of the form that was cut off."""

    @property
    def mask(self) -> np.ndarray:
        """Its voxels on the whole grid, bool."""
        mask = np.zeros(self.shape, bool)
        mask[self.box.slices] = self.part
        return mask


@dataclass(frozen=True, eq=False)
class HandmadePlacer:
    """Puts a form of one size class into a region."""

    form: Form
    """Of the tumor."""
    size: str
    """Its class, one of ``SIZES``."""
    geometry: Geometry
    """The scan's grid."""
    allowed: np.ndarray | None
    """Where tumor may be, bool on that grid; None for everywhere."""
    where: str
    """What the user calls that."""

    def at(self, center_ras: np.ndarray) -> PlacedForm:
        """The form at a point, RAS mm.

        Raises
        ------
        RequestError : ``handmade.no_room`` when less of it lies in the region than must.
        """
        found = self._placed(self.form.stamp(self.geometry, center_ras), np.asarray(center_ras, np.float64))
        if not self._enough(found):
            place = f"at {np.round(center_ras, 1).tolist()} (RAS mm)"
            hint = "Give a point deeper inside, ask for a smaller class or volume, or leave 'at' out and give 'region'."
            raise RequestError("handmade.no_room", f"{self._missing(found)} {place}.", hint)
        return found

    def drawn(self, rng: np.random.Generator) -> PlacedForm:
        """The form at a place that is drawn.

        Raises
        ------
        RequestError : ``handmade.no_room`` when no place is found.
        """
        assert self.allowed is not None
        room_ml = float(self.allowed.sum()) * self.geometry.voxel_volume_mm3 / 1000.0
        if room_ml == 0.0 or (self.size != _CUT and self.form.volume_mm3 > 1000.0 * room_ml):
            raise self._no_place(f"{self.where} has {room_ml:.3g} mL in all")
        places = Places(self.allowed, self.geometry)
        best: PlacedForm | None = None
        zero = self.form.stamp(self.geometry, self.geometry.to_ras(np.zeros(3)))
        for room in self._rooms(places):
            point = places.draw(room, 0.0, rng)
            voxel = np.rint(self.geometry.to_ijk(places.deepest if point is None else point))
            # On the centers of voxels the form has the same voxels everywhere.
            found = self._placed(zero.moved(voxel), self.geometry.to_ras(voxel))
            if best is None or found.cut < best.cut:
                best = found
            if best.cut == 0.0 or (self.size == _CUT and best.cut <= 1.0 - HALF):
                break
        assert best is not None
        if not self._enough(best):
            raise self._no_place(f"the largest ball inside {self.where} has a radius of {places.largest_mm():.1f} mm")
        return best

    def told(self, found: PlacedForm) -> dict[str, object]:
        """What ``result.json`` says of the place: its point, the class, and the diameter of the ball of the tumor's volume."""
        volume = float(found.part.sum()) * self.geometry.voxel_volume_mm3
        diameter = 2.0 * float(np.cbrt(volume / BALL_VOLUME))
        return {"at": found.at.tolist(), "handmade": self.size, "diameter_mm": diameter, "cut": found.cut}

    def warnings(self, found: PlacedForm) -> list[str]:
        """A sentence where the form was cut."""
        return [] if found.cut == 0.0 else [f"{found.cut:.0%} of the {self._named} was cut off at the border of {self.where}."]

    @property
    def _named(self) -> str:
        volume, diameter = self.form.volume_mm3 / 1000.0, self.form.diameter_mm
        return f"{self.size} tumor of {volume:.3g} mL (diameter {diameter:.3g} mm)"

    def _rooms(self, places: Places) -> np.ndarray:
        """Distances to the border that are asked for, try by try."""
        half = 0.5 * float(np.linalg.norm(self.geometry.spacing))
        if self.size == _CUT:
            return np.full(TRIES, min(self.form.depth_mm, 0.5 * places.largest_mm()))
        least = max(0.0, self.form.depth_mm - half)
        # Beyond what there is, the deepest place is tried.
        return np.concatenate([np.full(TRIES // 2, least), np.linspace(least, self.form.reach_mm + half, TRIES // 2)])

    def _placed(self, stamp: Stamp, at: np.ndarray) -> PlacedForm:
        part, box = stamp.on(self.geometry.shape)
        if self.allowed is not None:
            part = part & self.allowed[box.slices]
        whole = int(stamp.mask.sum())
        if self.size == _CUT and int(part.sum()) < whole:
            part = part & solidified(part)
        return PlacedForm(part, box, self.geometry.shape, at, 1.0 - int(part.sum()) / whole)

    def _enough(self, found: PlacedForm) -> bool:
        """Whether what is left of the form will do: all of it, of a large one some."""
        if self.size != _CUT:
            return found.cut == 0.0
        medium = BALL_VOLUME * SIZES["medium"].radius_mm[0] ** 3
        return 1.0 - found.cut >= min(LEAST_SHARE, medium / self.form.volume_mm3) and found.cut < 1.0

    def _missing(self, found: PlacedForm) -> str:
        expected = "some of it" if self.size == _CUT else "all of it"
        return f"{found.cut:.0%} of the {self._named} would lie outside {self.where}, expected {expected} inside,"

    def _no_place(self, found: str) -> RequestError:
        message = f"The {self._named}, which reaches {self.form.reach_mm:.1f} mm from its center, finds no place: {found}."
        return RequestError("handmade.no_room", message, "Ask for a smaller class or 'volume_ml', or give a larger region.")
