"""Where an edited scan differs from the scan as it was."""

from collections.abc import Iterable, Sequence

import numpy as np

from TumorSynthLib.volume import Box, Volume, mask_box

EDIT_REACH_MM = 10.0
"""Voxels farther than this from an edit's masks are never changed."""


def changed_box(before: Volume, after: Volume, masks: Sequence[np.ndarray]) -> Box | None:
    """The smallest box that holds every voxel whose bits an edit has changed; None where it has changed none.

    Only the neighborhoods of the masks are compared, so that the time does not depend on the size of the scan.

    Parameters
    ----------
    before, after : the scan as it was and as it is, on one grid and of one pixel type.
    masks : what was edited, bool on the grid: the tumor, and where one was before. None of them is empty.
    """
    # One voxel more than the reach: distances are measured between voxel centers.
    margin = EDIT_REACH_MM / before.geometry.spacing + 1
    return union(_changed(before, after, mask_box(mask).expanded(margin, before.array.shape)) for mask in masks)


def union(boxes: Iterable[Box | None]) -> Box | None:
    """The smallest box that holds some boxes; None is an empty one.

    >>> union([Box((0, 1, 2), (3, 4, 5)), None, Box((2, 0, 4), (3, 2, 9))])
    Box(start=(0, 0, 2), stop=(3, 4, 9))
    """
    some = [box for box in boxes if box is not None]
    if not some:
        return None
    start = np.min([box.start for box in some], axis=0).tolist()
    stop = np.max([box.stop for box in some], axis=0).tolist()
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def told_box(box: Box | None) -> dict[str, list[int]]:
    """A box as ``result.json`` writes it; an empty one for None.

    >>> told_box(Box((0, 1, 2), (3, 4, 5)))
    {'start': [0, 1, 2], 'stop': [3, 4, 5]}
    """
    return {"start": [0, 0, 0], "stop": [0, 0, 0]} if box is None else {"start": list(box.start), "stop": list(box.stop)}


def _changed(before: Volume, after: Volume, box: Box) -> Box | None:
    bits = np.dtype(f"u{before.array.dtype.itemsize}")  # -0.0 equals 0.0, but its bits do not
    differs = before.array[box.slices].view(bits) != after.array[box.slices].view(bits)
    if not differs.any():
        return None
    inner = mask_box(differs)
    (i, j, k), start, stop = box.start, inner.start, inner.stop
    return Box((i + start[0], j + start[1], k + start[2]), (i + stop[0], j + stop[1], k + stop[2]))
