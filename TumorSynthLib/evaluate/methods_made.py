"""One tumor of the methods table: every sample as an edited scan, and what is measured on it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from TumorSynthLib.edit import SURROUNDINGS_MM
from TumorSynthLib.evaluate.mask_agreement import REAL
from TumorSynthLib.evaluate.methods_arms import ARMS, CODEC, HANDMADE, OTHERS, SMOOTH, Drawn, Samples, widened_box
from TumorSynthLib.evaluate.synthesis_arms import Remade, Remakes, by_hand, through_codec
from TumorSynthLib.evaluate.texture_arms import Features, Finisher, Tumor
from TumorSynthLib.segmentation.overlap import dice
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.soft_mask import tumor_mask
from TumorSynthLib.volume import Box, mask_box

MAKERS = (*(name for name, arm in ARMS.items() if arm.boxed), HANDMADE)
"""Arms that make the mask as well."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """What was measured on everything that was made for one tumor."""

    remakes: Remakes
    """The first sample of every arm, as far as there is one."""
    features: Mapping[str, Features]
    """Texture by label; ``_raw`` without the calibration, ``_second`` of the second sample."""
    shape: Mapping[str, Features]
    """Shape of the real tumor and of the masks that were made, by arm."""
    apart: Mapping[str, float]
    """1 - Dice of the masks of both samples, of the arms that make masks."""


@dataclass(frozen=True, eq=False)
class _Made:
    """One sample as an edited scan."""

    remade: Remade
    """In the box that holds everything that is made."""
    raw: Features | None = None
    """Texture without the calibration, where it was measured."""


Every = dict[str, list[_Made | None]]
"""Samples by label; None where there is no tumor, or none that can be measured."""


def measure(drawn: Drawn) -> Sheet:
    """Everything that was drawn for one tumor, finished on the scan's grid and measured."""
    tumor = drawn.tumor
    geometry = tumor.case.scan.geometry
    box = mask_box(widened_box(tumor.mask)).expanded(SURROUNDINGS_MM / geometry.spacing, geometry.shape)
    every = {name: _finished(drawn, samples, box) for name, samples in drawn.samples.items()} | _others(drawn, box)
    firsts = {name: made[0] for name, made in every.items() if made[0] is not None}
    makers = [name for name in MAKERS if name in firsts]
    shape = {name: measure_mask(firsts[name].remade.mask, geometry.cropped(box)) for name in makers}
    return Sheet(
        Remakes(box, {name: firsts[name].remade for name in (*ARMS, *OTHERS) if name in firsts}),
        {REAL: tumor.features, **_textures(every)},
        {REAL: measure_mask(tumor.mask, geometry), **shape},
        {name: apart for name in makers if (apart := _apart(every[name])) is not None},
    )


def _textures(every: Every) -> dict[str, Features]:
    found = {}
    for name, made in every.items():
        for one, ending in zip(made, ("", "_second"), strict=False):
            if one is not None:
                found[name + ending] = dict(one.remade.features)
                if one.raw is not None:
                    found[f"{name}_raw"] = one.raw
    return found


def _apart(made: list[_Made | None]) -> float | None:
    """1 - Dice of the masks of two samples; None where there are not two."""
    masks = [one.remade.mask for one in made if one is not None]
    return 1.0 - dice(masks[0], masks[1]) if len(masks) == 2 else None


def _finished(drawn: Drawn, samples: Samples, box: Box) -> list[_Made | None]:
    """The samples of an arm as the program finishes them; of the first one also the texture without calibration."""
    found: list[_Made | None] = []
    asked = {name: value for name, value in samples.asked.items() if not name.startswith("shape_")}
    for number, seed in enumerate(samples.seeds):
        mask = _mask(drawn.tumor, samples, number)
        made = None
        if mask.any():
            work = Finisher(replace(drawn.tumor, mask=mask), samples.grid, drawn.scales)
            u = work.native(samples.images[number])
            made = _edited(work, u, asked, seed, box, number == 0)
        found.append(made)
    return found


def _mask(tumor: Tumor, samples: Samples, number: int) -> np.ndarray:
    """The mask of a sample on the scan's grid: the real one, or what the arm made in its box, clear of other tumors."""
    if samples.soft is None:
        return tumor.mask
    allowed = widened_box(tumor.mask) & ((tumor.case.labels == 0) | tumor.mask)
    return tumor_mask(samples.soft[number], samples.grid, tumor.case.scan.geometry, allowed, samples.asked)[0]


def _edited(work: Finisher, u: np.ndarray, asked: Features, seed: int, box: Box, twice: bool) -> _Made | None:
    """An edit as the program makes it, and ``twice`` also without the calibration; None where it cannot be measured."""
    done = work.candidate(u, asked, True, seed)
    features = work.features(done)
    if done is None or not features:
        return None
    values = _pasted(work.tumor.blank.array[box.slices], done.values, done.box, box)
    raw = work.arm(u, asked, False, seed) if twice and asked else None
    return _Made(Remade(values, work.tumor.mask[box.slices], features), raw)


def _others(drawn: Drawn, box: Box) -> Every:
    """Nulls and ceiling."""
    tumor = drawn.tumor
    work = Finisher(tumor, drawn.grid, drawn.scales)
    blank, scan = tumor.blank.array[box.slices], tumor.case.scan.array[box.slices]
    hand = [by_hand(work.region, tumor, drawn.exemplars, seed) for seed in drawn.seeds]
    codec = through_codec(work.region, work.native(drawn.codec), tumor)
    return {
        SMOOTH: [_edited(work, work.region.u, drawn.asked, drawn.seeds[0], box, True)],
        HANDMADE: [_widened(one, work.region.box, blank, box) for one in hand],
        CODEC: [_widened(codec, work.region.box, scan, box)],
    }


def _widened(made: Remade | None, box: Box, base: np.ndarray, into: Box) -> _Made | None:
    """A tumor in a box as one in the larger box ``into``; None where there is none that can be measured."""
    if made is None or not made.features:
        return None
    mask = _pasted(np.zeros(base.shape, bool), made.mask, box, into)
    return _Made(Remade(_pasted(base, made.values, box, into), mask, made.features))


def _pasted(base: np.ndarray, values: np.ndarray, box: Box, into: Box) -> np.ndarray:
    """A copy of what ``into`` shows, with values in a smaller box written into it."""
    low, high = (np.array(corner) - into.start for corner in (box.start, box.stop))
    shown = base.copy()
    shown[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = values
    return shown
