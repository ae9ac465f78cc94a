"""The lowest point of a costly function on a small grid, axis by axis from a start."""

from collections.abc import Callable, Sequence
from functools import cache

Point = tuple[float, ...]


def descend(cost: Callable[[Point], float], axes: Sequence[Sequence[float]], start: Point, enough: float) -> Point:
    """A point of the grid than which no neighbor along an axis costs less.

    Each axis is followed, in either direction, as long as the cost falls, one axis after the other until none falls. That takes
    few evaluations; the lowest point of all it need not be.

    Parameters
    ----------
    cost : of a point; asked once for each.
    axes : values of each coordinate, in order.
    start : a point of the grid.
    enough : cost at which the search ends.

    >>> descend(lambda p: abs(p[0] - 2) + abs(p[1] - p[0]), ((0, 1, 2, 3), (0, 1, 2)), (0, 0), 0.0)
    (2, 2)
    """
    known = cache(cost)
    best = start
    while True:
        before = best
        for axis in range(len(axes)):
            for way in (1, -1):
                here = best
                best = _followed(known, axes, here, axis, way, enough)
                if best != here:
                    break
        if best == before:
            return best


def _followed(
    cost: Callable[[Point], float], axes: Sequence[Sequence[float]], start: Point, axis: int, way: int, enough: float
) -> Point:
    """The last point in one direction up to which the cost falls."""
    best = start
    while cost(best) > enough:
        number = axes[axis].index(best[axis]) + way
        if not 0 <= number < len(axes[axis]):
            break
        beside = (*best[:axis], axes[axis][number], *best[axis + 1 :])
        if cost(beside) >= cost(best):
            break
        best = beside
    return best
