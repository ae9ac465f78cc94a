"""The lowest point of a costly function on a small grid, axis by axis from a start."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Point = tuple[float, ...]
Made = TypeVar("Made")


def descend(
    make: Callable[[Point], tuple[float, Made]],
    axes: Sequence[Sequence[float]],
    start: Point,
    enough: float,
    worth: float = 0.0,
) -> Made:
    """What is made at a point of the grid from which no step along an axis is worth while.

    Each axis is followed, in either direction, as long as the cost falls, one axis after the other until none falls. That takes
    few points; the lowest of all it need not find. Only the best so far is kept.

    Parameters
    ----------
    make : the cost of a point, and what is made there; asked once for each. A cost of NaN is never better.
    axes : values of each coordinate, in order.
    start : a point of the grid.
    enough : cost at which the search ends.
    worth : by how much a step has to lower the cost, at least.

    >>> descend(lambda p: (abs(p[0] - 2) + abs(p[1] - p[0]), p), ((0, 1, 2, 3), (0, 1, 2)), (0, 0), 0.0)
    (2, 2)
    """
    at, seen = start, {start}
    cost, best = make(start)
    improved = True
    while improved:
        improved = False
        for axis, values in enumerate(axes):
            for way in (1, -1):
                moved = False
                while cost > enough:
                    number = values.index(at[axis]) + way
                    if not 0 <= number < len(values):
                        break
                    beside = (*at[:axis], values[number], *at[axis + 1 :])
                    # The cost only falls, so what was not better before is not better now.
                    if beside in seen:
                        break
                    seen.add(beside)
                    found, made = make(beside)
                    if not found < cost - worth:
                        break
                    at, cost, best, moved = beside, found, made, True
                improved |= moved
                if moved:
                    break
    return best
