"""What live previews need of files, kept until the files change: grids, masks and regions, never the voxels of a scan."""

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from TumorSynthLib.existing import centroid
from TumorSynthLib.interruptible import interruptible
from TumorSynthLib.shape_field import frame_of
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.volume import Box, Geometry, Volume, mask_box
from TumorSynthLib.volume_io import mask_on_grid, read_geometry, read_mask

KEPT = 16
"""Grids, masks and regions that are kept."""
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Boxed:
    """A mask on a scan's grid, without the emptiness around it."""

    box: Box
    """The part of the scan's grid."""
    volume: Volume
    """The mask there, bool."""

    @cached_property
    def center(self) -> np.ndarray:
        """Centroid, RAS mm."""
        return centroid(self.volume.array, self.volume.geometry)

    @cached_property
    def rotation(self) -> np.ndarray:
        """Principal axes as columns, RAS."""
        geometry = self.volume.geometry
        # The frame is found in voxel axes; their directions turn it into RAS.
        return (geometry.affine[:3, :3] / geometry.spacing) @ frame_of(self.volume.array, geometry.spacing).rotation

    @cached_property
    def measured(self) -> dict[str, float]:
        """Shape features."""
        return measure_mask(self.volume.array, self.volume.geometry)


class LiveFiles:
    """Reads each file once, again when its size or time has changed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, object] = OrderedDict()

    def geometry(self, path: str, alive: Callable[[], None]) -> Geometry:
        """The grid of a scan.

        Parameters
        ----------
        path : of the scan.
        alive : called while the file is read; may raise to cancel.

        Raises
        ------
        ImageError : when its header cannot be used.
        """
        return self._known(("grid", stamp(path)), lambda: read_geometry(path), alive)

    def mask(self, path: str, labels: tuple[int, ...], geometry: Geometry, alive: Callable[[], None]) -> Boxed:
        """The voxels of some labels of a file together, on a scan's grid.

        Parameters
        ----------
        path : of the mask.
        labels : values of the voxels.
        geometry : the scan's grid.
        alive : called while the file is read; may raise to cancel.

        Raises
        ------
        TumorSynthError : when the file cannot be used, has no such label, or misses the scan.
        """

        def read() -> Boxed:
            parts = [mask_on_grid(read_mask(path, label), geometry) for label in labels]
            whole = np.logical_or.reduce(parts)
            box = mask_box(whole)
            return Boxed(box, Volume(whole[box.slices].copy(), geometry.cropped(box)))

        return self._known(("mask", stamp(path), labels, geometry.shape, geometry.affine.tobytes()), read, alive)

    def _known(self, key: Hashable, read: Callable[[], Value], alive: Callable[[], None]) -> Value:
        if key not in self._kept:
            self._kept[key] = interruptible(read, alive)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        found: Value = self._kept[key]  # type: ignore[assignment]
        return found


def stamp(path: str) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of change of a file, or of each file of a folder; empty where there is none."""
    try:
        files = sorted(os.scandir(path), key=lambda item: item.name) if os.path.isdir(path) else [path]
        states = [(os.fspath(file), os.stat(file)) for file in files]
    except OSError:
        return ()
    return ((path, 0, 0), *((name, state.st_size, state.st_mtime_ns) for name, state in states))
