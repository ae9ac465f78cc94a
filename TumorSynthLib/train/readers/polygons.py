"""Filling polygons on a pixel grid by the even-odd rule (numpy alone)."""

from collections.abc import Sequence

import numpy as np


def fill_even_odd(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centers lie within an odd number of closed polygons.

    A polygon inside another one is a hole, and so is the inner rim of one that is drawn through a channel without width
    (keyhole). A ray from each center crosses the edges left of it; edges count for rows from their lower end (inclusive) to
    their upper one (exclusive), so that a corner counts once.

    Parameters
    ----------
    polygons : corners of each, (n, 2), in pixels; pixel centers lie at whole numbers.
    shape : pixels along the first and the second axis.

    Returns
    -------
    Boolean array of ``shape``.

    Examples
    --------
    >>> square = np.array([[0.5, 0.5], [3.5, 0.5], [3.5, 3.5], [0.5, 3.5]])
    >>> int(fill_even_odd([square], (6, 6)).sum())
    9
    """
    crossings = np.zeros((shape[0] + 1, shape[1]), dtype=np.int32)
    for corners in polygons:
        start, end = np.asarray(corners, dtype=np.float64), np.roll(corners, -1, axis=0)
        low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
        first = np.clip(np.ceil(low), 0, shape[1]).astype(int)
        counts = np.clip(np.ceil(high), 0, shape[1]).astype(int) - first
        edge = np.repeat(np.arange(len(start)), counts)
        row = first[edge] + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        slope = (end[edge, 0] - start[edge, 0]) / (end[edge, 1] - start[edge, 1])
        column = np.ceil(start[edge, 0] + (row - start[edge, 1]) * slope)
        np.add.at(crossings, (np.clip(column, 0, shape[0]).astype(int), row), 1)
    return np.cumsum(crossings[:-1], axis=0) % 2 == 1


def polygon_area(corners: np.ndarray) -> float:
    """Area inside a closed polygon that does not cross itself, (n, 2), in squared units of its corners.

    >>> polygon_area(np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 3.0], [0.0, 3.0]]))
    6.0
    """
    x, y = np.asarray(corners, dtype=np.float64).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0
