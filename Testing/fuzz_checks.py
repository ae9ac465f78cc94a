"""What all tests with broken input share: how many examples, accidents of bytes, and what must hold of whatever is read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_files import DETACHED, NONSENSE
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.volume import Volume
from TumorSynthLib.volume_io import read_geometry, read_mask, read_metadata, read_volume, sha256_file

MORE = int(os.environ.get("TUMORSYNTH_FUZZ", "1"))
"""How many times more examples are drawn than usual."""

mutations = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "remove", "copy", "overwrite"]),
        st.floats(0.0, 1.0),
        st.integers(0, 64),
        st.binary(max_size=12) | st.sampled_from(NONSENSE[:-2]),
    ),
    min_size=1,
    max_size=4,
)
"""Accidents of bytes: what, where as a share of the length, how many bytes, and which ones come instead."""


def mutated(data: bytes, changes: list[tuple[str, float, int, bytes]]) -> bytes:
    """Bytes after some ``mutations``."""
    for what, place, length, text in changes:
        at = int(place * len(data))
        before, part, after = data[:at], data[at : at + length], data[at + length :]
        data = {
            "flip": before + bytes(byte ^ 1 << length % 8 for byte in part[:1]) + part[1:] + after,
            "cut": before,
            "insert": before + text + part + after,
            "remove": before + after,
            "copy": before + part + part + after,
            "overwrite": before + text + (part + after)[len(text) :],
        }[what]
    return data


def drawn(examples: int) -> Any:
    """Settings of a test with so many examples, always the same ones."""
    skipped = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(max_examples=examples * MORE, deadline=None, derandomize=True, database=None, suppress_health_check=skipped)


def told(error: TumorSynthError, path: Path) -> bool:
    """Whether an error says what was found in which file and what to do."""
    names = (path.name, DETACHED.get(path.name, path.name))
    return bool(error.code and error.hint.strip()) and any(name in error.message for name in names)


def reading(read: Callable[[Path], Any], path: Path, what: str = "") -> Any:
    """What a file gives, or None where it is refused."""
    try:
        return read(path)
    except TumorSynthError as error:
        assert told(error, path), (what, error.code, str(error))
        return None


def outcome(path: Path, what: str = "") -> Volume | None:
    """What ``read_volume`` gives, after all readers were tried and found to agree and to leave the file alone."""
    before = sha256_file(path)
    volume, mask, grid = (reading(read, path, what) for read in (read_volume, read_mask, read_geometry))
    reading(read_metadata, path, what)
    for found in (volume, mask):
        assert found is None or right(found), what
        assert found is None or (grid is not None and grid.same_grid(found.geometry, 1e-6)), what
    if volume is not None:
        assert (mask is not None) == bool((volume.array == 1).any()), what
    assert sha256_file(path) == before, what
    return volume


def right(volume: Volume) -> bool:
    """Whether a volume is finite and three-dimensional, on a grid with right angles of sensible size."""
    axes = volume.geometry.affine[:3, :3] / volume.geometry.spacing
    return bool(
        volume.array.ndim == 3
        and min(volume.array.shape) > 1
        and np.isfinite(volume.array).all()
        and np.abs(axes.T @ axes - np.eye(3)).max() < 2e-3
        and np.abs(volume.geometry.affine).max() < 1e7
        and np.isfinite(np.linalg.inv(volume.geometry.affine)).all()
    )
