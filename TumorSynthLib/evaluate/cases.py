"""The images that are evaluated, and what is made of them before anything is measured."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy import ndimage

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import Domain
from TumorSynthLib.fill import harmonic_fill_exact
from TumorSynthLib.index import domain_of
from TumorSynthLib.intensity import Intensity, fit_intensity
from TumorSynthLib.scene import Scene
from TumorSynthLib.volume import Volume, mask_box
from TumorSynthLib.volume_io import read_volume

Row = dict[str, str]
Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done; may raise to stop."""

MODALITIES = ("CT", "MR", "PET")
"""Groups that are reported."""


@dataclass(frozen=True, eq=False)
class Case:
    """One image of the index."""

    id: str
    """Name in the index."""
    patient: str
    """Patient, the unit of resampling."""
    source: Path
    """The image file."""
    domain: Domain
    """Organ and modality, as the bundle has it."""
    scan: Volume
    """Stored values."""
    intensity: Intensity
    """From stored to domain values, fitted to the unchanged scan."""
    labels: np.ndarray
    """Tumor labels on the scan's grid; 0 is no tumor."""

    @property
    def modality(self) -> str:
        """CT, MR or PET."""
        return modality_of(self.domain.modality)

    def scene(self, scan: Volume | None = None) -> Scene:
        """The scan, or another one on its grid, ready to be edited."""
        return Scene(scan or self.scan, self.domain, self.intensity, None, None, None, {}, "", [])


def modality_of(name: str) -> str:
    """The group of a modality.

    >>> modality_of("MR-T1c")
    'MR'
    """
    return name.split("-")[0]


def read_case(data: Path, row: Row, bundle: Bundle) -> Case:
    """The image and the labels of an index row."""
    scan = read_volume(data / row["file"])
    domain = bundle.domain(domain_of(row).id)
    labels = read_volume(data / row["mask_file"]).array if row["mask_file"] else np.zeros(scan.array.shape, np.uint8)
    intensity = fit_intensity(scan.array, domain)
    return Case(row["id"], row["patient_id"], data / row["file"], domain, scan, intensity, labels)


def limited(rows: Sequence[Row], limit: int | None) -> list[Row]:
    """At most ``limit`` rows of each modality, in the order of the index."""
    kept: list[Row] = []
    counts = dict.fromkeys(MODALITIES, 0)
    for row in rows:
        group = modality_of(row["modality"])
        counts[group] = counts.get(group, 0) + 1
        if limit is None or counts[group] <= limit:
            kept.append(row)
    return kept


def blanked(case: Case, mask: np.ndarray) -> Volume:
    """The scan with a region harmonically filled, together with the band of 1.5 voxels into which its border has blurred.

    Nothing that is made from this scan has seen what was in the region.
    """
    spacing = case.scan.geometry.spacing
    reach = 1.5 * float(spacing.min())
    box = mask_box(mask).expanded(reach / spacing + 2.0, mask.shape)
    hidden = ndimage.distance_transform_edt(~mask[box.slices], sampling=tuple(spacing)) <= reach
    before = case.scan.array[box.slices]
    filled = harmonic_fill_exact(before, hidden, (float(spacing[0]), float(spacing[1]), float(spacing[2])))
    if before.dtype.kind in "iu":
        filled = np.rint(filled)
    return case.scan.pasted(np.where(hidden, filled.astype(before.dtype), before), box)


@contextmanager
def workers(processes: int) -> Iterator[Callable[[Callable[[Item], Result], Iterable[Item]], Iterator[Result]]]:
    """An ordered map over worker processes; in this process where one is enough."""
    if processes <= 1:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool.imap


def followed(results: Iterator[Result], count: int, stage: str, progress: Progress | None) -> list[Result]:
    """All results, with progress after each."""
    found = []
    for number, result in enumerate(results):
        found.append(result)
        if progress is not None:
            progress(stage, (number + 1) / count)
    return found
