"""Harmonic fill: Laplace's equation inside a mask, with the surroundings as boundary values.

``harmonic_fill`` is a full multigrid scheme on torch tensors (fast, batched, elementwise, so the CPU gives the
same bytes every time). ``harmonic_fill_exact`` solves the sparse system, for evaluation on native grids. At the
border of the grid both let nothing flow out (Neumann).
"""

import math
from collections.abc import Callable

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg as sparse_linalg
import torch
import torch.nn.functional as F

from TumorSynthLib.errors import GeometryError

_STEPS = tuple(1.0 / (7 / 6 + 5 / 6 * math.cos(math.pi * (2 * k + 1) / 6)) for k in range(3))
"""Chebyshev relaxation weights for the high frequencies of the 7-point stencil (eigenvalues 1/3 to 2)."""
_SMALLEST = 4
_ALIGN = 8


def harmonic_fill(values: torch.Tensor, mask: torch.Tensor, cycles: int = 2) -> torch.Tensor:
    """The values with every masked voxel replaced by the harmonic function that continues the surroundings.

    Parameters
    ----------
    values : shape (batch, 1, i, j, k), floating point; isotropic voxels.
    mask : bool, same shape; voxels to fill.
    cycles : multigrid V-cycles per level; two leave an error below 0.5 % of the range of the boundary values.

    Returns
    -------
    Tensor like ``values``; voxels outside the mask are unchanged, filled ones lie within the range of their rim.

    Raises
    ------
    GeometryError : when the shapes differ or a mask leaves no voxel to start from.
    """
    if values.shape != mask.shape or values.ndim != 5:
        found = f"{tuple(values.shape)} and {tuple(mask.shape)}"
        raise GeometryError("fill.shape", f"Values and mask must have one shape (batch, 1, i, j, k), found {found}.")
    if bool(mask.flatten(1).all(dim=1).any()):
        raise _everything()
    if not bool(mask.any()):
        return values.clone()
    window = (slice(None), slice(None), *_aligned_box(mask))
    inner, inner_mask = values[window], mask[window]
    if bool(inner_mask.flatten(1).all(dim=1).any()):
        inner, inner_mask, window = values, mask, (slice(None),) * 5
    solved = _solve(inner, inner_mask.to(values.dtype), cycles)
    filled = values.clone()
    filled[window] = torch.where(inner_mask, _within_rim(solved, inner, inner_mask), inner)
    return filled


def harmonic_fill_exact(
    array: np.ndarray,
    mask: np.ndarray,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    alive: Callable[[], None] | None = None,
) -> np.ndarray:
    """The harmonic fill by a sparse solver (conjugate gradients to 1e-8), float64.

    Parameters
    ----------
    array : values, shape (i, j, k).
    mask : bool, same shape.
    spacing : voxel edges in mm; enters the Laplacian, so anisotropic grids are right.
    alive : called in each iteration; may raise to cancel.

    Raises
    ------
    GeometryError : when the mask covers the whole grid.
    """
    filled = np.array(array, dtype=np.float64)
    mask = np.asarray(mask, dtype=bool)
    if mask.all():
        raise _everything()
    if not mask.any():
        return filled
    matrix, right = _laplacian(filled, mask, spacing)
    start = np.full(right.size, filled[~mask].mean())
    inverse_diagonal = sparse.diags(1.0 / matrix.diagonal())
    check = None if alive is None else lambda _: alive()
    solution, status = sparse_linalg.cg(matrix, right, x0=start, rtol=1e-8, maxiter=20000, M=inverse_diagonal, callback=check)
    assert status == 0
    filled[mask] = solution
    return filled


def _everything() -> GeometryError:
    return GeometryError(
        "fill.everything", "The mask covers the whole grid; nothing is left to continue.", "Use a larger region of the scan."
    )


def _laplacian(
    array: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Matrix and right side of the Laplace equation for the masked voxels."""
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(int(mask.sum()))
    count = int(mask.sum())
    diagonal, right = np.zeros(count), np.zeros(count)
    rows, columns, weights = [], [], []
    for axis, step in enumerate(spacing):
        weight = 1.0 / step**2
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        for here, there in ((low, high), (high, low)):
            unknown = number[here] >= 0
            me, other = number[here][unknown], number[there][unknown]
            np.add.at(diagonal, me, weight)
            known = other < 0
            np.add.at(right, me[known], weight * array[there][unknown][known])
            rows.append(me[~known])
            columns.append(other[~known])
            weights.append(np.full(int((~known).sum()), -weight))
    rows.append(np.arange(count))
    columns.append(np.arange(count))
    weights.append(diagonal)
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(entries, shape=(count, count)), right


def _aligned_box(mask: torch.Tensor) -> tuple[slice, slice, slice]:
    """A box around all masks of a batch with a rim, its start on a multiple of the coarse cells."""
    flat = mask.any(dim=0)[0]
    box = []
    for axis in range(3):
        line = torch.nonzero(flat.any(dim=(axis + 1) % 3, keepdim=True).any(dim=(axis + 2) % 3, keepdim=True).reshape(-1))
        start = max(int(line[0]) - 1, 0) // _ALIGN * _ALIGN
        stop = -(-(int(line[-1]) + 2) // _ALIGN) * _ALIGN
        box.append(slice(start, min(stop, flat.shape[axis])))
    return (box[0], box[1], box[2])


def _solve(values: torch.Tensor, mask: torch.Tensor, cycles: int) -> torch.Tensor:
    """Full multigrid: fill the coarser grid first, then refine."""
    if min(values.shape[2:]) <= _SMALLEST or not bool(mask.any()):
        known = 1.0 - mask
        mean = (values * known).sum(dim=(2, 3, 4), keepdim=True) / known.sum(dim=(2, 3, 4), keepdim=True).clamp(min=1e-6)
        start = values * known + mean * mask
        return _relax(start, torch.zeros_like(start), mask, 16)
    known = _coarse(1.0 - mask)
    coarse_values = _coarse(values * (1.0 - mask)) / known.clamp(min=1e-6)
    coarse = _solve(coarse_values, _coarse_mask(mask) * (known < 0.999), cycles)
    current = values * (1.0 - mask) + mask * _fine(coarse, values.shape)
    right = torch.zeros_like(current)
    for _ in range(cycles):
        current = _cycle(current, right, mask)
    return current


def _cycle(current: torch.Tensor, right: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One V-cycle for ``current - mean of neighbors = right`` inside the mask."""
    if min(current.shape[2:]) <= _SMALLEST:
        return _relax(current, right, mask, 6)
    current = _relax(current, right, mask, 1)
    residual = mask * (_neighbors(current) - current + right)
    # A coarse voxel is twice as wide, so its stencil is worth four fine ones.
    coarse_right = 4.0 * _coarse(residual)
    error = _cycle(torch.zeros_like(coarse_right), coarse_right, _coarse_mask(mask))
    return _relax(current + mask * _fine(error, current.shape), right, mask, 1)


def _relax(current: torch.Tensor, right: torch.Tensor, mask: torch.Tensor, rounds: int) -> torch.Tensor:
    """Chebyshev-weighted Jacobi sweeps."""
    for _ in range(rounds):
        for weight in _STEPS:
            current = current + (weight * mask) * (_neighbors(current) - current + right)
    return current


def _neighbors(x: torch.Tensor) -> torch.Tensor:
    """Mean of the six neighbors, borders repeated."""
    total = torch.zeros_like(x)
    for axis in (2, 3, 4):
        size = x.shape[axis]
        total.narrow(axis, 1, size - 1).add_(x.narrow(axis, 0, size - 1))
        total.narrow(axis, 0, size - 1).add_(x.narrow(axis, 1, size - 1))
        total.narrow(axis, 0, 1).add_(x.narrow(axis, 0, 1))
        total.narrow(axis, size - 1, 1).add_(x.narrow(axis, size - 1, 1))
    return total.mul_(1.0 / 6.0)


def _coarse(x: torch.Tensor) -> torch.Tensor:
    """Mean of each 2x2x2 cell; an odd axis repeats its last voxel."""
    pads = [size % 2 for size in x.shape[:1:-1]]
    if any(pads):
        x = F.pad(x, (0, pads[0], 0, pads[1], 0, pads[2]), mode="replicate")
    for axis in (2, 3, 4):
        x = 0.5 * (x.unflatten(axis, (-1, 2)).select(axis + 1, 0) + x.unflatten(axis, (-1, 2)).select(axis + 1, 1))
    return x


def _coarse_mask(mask: torch.Tensor) -> torch.Tensor:
    """Cells of which more than half has to be filled."""
    return (_coarse(mask) > 0.5).to(mask.dtype)


def _fine(x: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Trilinear interpolation to the finer grid."""
    for axis in (2, 3, 4):
        size = x.shape[axis]
        before = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, size - 1)], dim=axis)
        after = torch.cat([x.narrow(axis, 1, size - 1), x.narrow(axis, size - 1, 1)], dim=axis)
        pair = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim=axis + 1)
        x = pair.flatten(axis, axis + 1).narrow(axis, 0, shape[axis])
    return x


def _within_rim(solved: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The solution limited to the range of the voxels that touch the mask (the maximum principle)."""
    rim = (_neighbors(mask.to(values.dtype)) > 0) & ~mask
    axes = (2, 3, 4)
    low = torch.where(rim, values, torch.full_like(values, torch.inf)).amin(dim=axes, keepdim=True)
    high = torch.where(rim, values, torch.full_like(values, -torch.inf)).amax(dim=axes, keepdim=True)
    return torch.minimum(torch.maximum(solved, low), high)
