"""Results in the scene: shown in the output volume to choose from, kept or discarded, undone and redone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer

from TumorSynthLib.errors import RequestError, TumorSynthError
from TumorSynthLib.result import read_result
from TumorSynthSlicer import outputs
from TumorSynthSlicer.history import Entry, History
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.segments import COLORS, SegmentState, segmentState
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.variants import CORE_NAME, Variant

CORE_SHADE = 0.55
"""Brightness of a core's color against that of its tumor."""


class Editing:
    """The results of one round to choose from, and those that were kept before.

    Parameters
    ----------
    parameters : gives the parameter node as it is now.
    files : where result folders are.
    places : of the lesions.
    onUndone : called with an entry and whether it is in the scene now, after undo and redo.
    """

    def __init__(self, parameters: Callable[[], Any], files: Any, places: Any, onUndone: Callable[[Entry, bool], None]) -> None:
        self._parameters, self._files, self._places = parameters, files, places
        self._onUndone = onUndone
        self._ids: dict[str, tuple[str, str]] = {}
        self._colors: dict[str, tuple[float, ...]] = {}
        self._before: dict[str, SegmentState | None] = {}
        self._entries: dict[int, Entry] = {}
        self._made = False
        self._start: Path | None = None
        self.variants: list[Variant] = []
        """Results to choose from."""
        self.shown = -1
        """Number of the one that is in the scene, -1 for none."""
        self.history = History(lambda entry: self._put(entry, True), lambda entry: self._put(entry, False))
        """Kept edits."""
        self.history.forgotten.connect(self._onForgotten)

    @property
    def image(self) -> Path | None:
        """The file of the scan with all kept edits; None where that has to be written."""
        return self._start if self.history.current is None else self.history.current.scanFile

    @property
    def temporary(self) -> bool:
        """Whether the output volume was made for the results to choose from, and goes with them."""
        kept = self.history.canUndo or self.history.canRedo or self.history.permanent
        return self._made and not kept

    def startFrom(self, image: Path | None) -> None:
        """Tell which file holds the scan before the edits of the history."""
        self._start = image

    def loadSteps(self, folder: Path, seed: int | None, lesions: Sequence[Lesion], base: Path) -> Steps[list[Variant]]:
        """Read a result, and add it to those to choose from; a series adds one for each volume.

        Parameters
        ----------
        folder : the result folder.
        seed : that gives it again.
        lesions : that were made.
        base : the scan that was edited.

        Returns
        -------
        What was added, when all steps are done.

        Raises
        ------
        TumorSynthError : when the result cannot be read, or the output volume cannot take it.
        """
        parameters = self._parameters()
        made = parameters.outputVolume is None
        volume = yield from outputs.ensureOutputVolume(parameters.source, parameters)
        self._made = self._made or made
        series = read_result(folder).get("series", [])
        found = []
        for part in series or [""]:
            loaded = yield from outputs.loadResult(folder / part, volume, base)
            volumeMl = loaded.result["measured"].get("shape_VoxelVolume", 0.0) / 1000.0 if part else 0.0
            name = f"{volumeMl:.3g} mL" if part else str(len(self.variants) + len(found) + 1)
            more = (loaded.result, loaded.patch, loaded.segments, tuple(lesions))
            found.append(Variant(name, seed, folder, loaded.folder, *more))
        self.variants += found
        return found

    def show(self, index: int) -> None:
        """Show one of the results, or none with -1.

        Raises
        ------
        RequestError : ``variant.unknown`` for a number that none has.
        TumorSynthError : ``patch.changed`` when somebody else has changed the voxels.
        """
        if not -1 <= index < len(self.variants):
            message = f"There is no result number {index + 1}, there are {len(self.variants)}."
            raise RequestError("variant.unknown", message, "Choose one from the table.")
        if index == self.shown:
            return
        if self.shown >= 0:
            self._put(self._entry(self.shown), False)
            self.shown = -1
        if index >= 0:
            self._put(self._entry(index), True)
            self.shown = index

    def keep(self, more: Any) -> Variant:
        """Keep the result that is shown, and let go of the others.

        Parameters
        ----------
        more : what undo has to bring back beside image and segments.

        Raises
        ------
        RequestError : ``variant.none`` when none is shown.
        """
        if self.shown < 0:
            raise RequestError("variant.none", "No result is shown.", "Choose one from the table.")
        variant, entry = self.variants[self.shown], self._entry(self.shown)
        told = outputs.manifestEntry(variant.result)
        image = variant.image
        kept = Entry(entry.patch, entry.segmentsBefore, entry.segmentsAfter, told, image, more)
        self._close(variant.root)
        self.history.keep(kept)
        return variant

    def discard(self) -> None:
        """Take what is shown out of the scene, and remove all results. A volume that was made for them goes too.

        Raises
        ------
        TumorSynthError : as ``show``.
        """
        self.show(-1)
        self.forget()

    def forget(self, nodes: bool = True) -> None:
        """Remove all results, whatever the scene shows.

        Parameters
        ----------
        nodes : whether volume and segmentation go too, where they were made for these results.
        """
        unused = nodes and self.temporary
        self._close()
        if unused:
            parameters = self._parameters()
            for name in ("outputVolume", "outputSegmentation"):
                node = getattr(parameters, name)
                setattr(parameters, name, None)
                removeNode(node)

    def idsOf(self, key: str) -> tuple[str, str]:
        """IDs of a lesion's segments in the output segmentation: the tumor, and its core."""
        return self._ids[key]

    def _close(self, kept: Path | None = None) -> None:
        folders = {variant.root for variant in self.variants} - {kept}
        self.variants, self.shown, self._made = [], -1, False
        self._entries, self._before, self._ids, self._colors = {}, {}, {}, {}
        for folder in folders:
            self._files.discard(folder)

    def _entry(self, index: int) -> Entry:
        """What a result does to the scene."""
        if index not in self._entries:
            parameters, variant = self._parameters(), self.variants[index]
            segmentation = outputs.ensureOutputSegmentation(parameters.source, parameters)
            after: dict[str, SegmentState | None] = {}
            for lesion in variant.lesions:
                after |= self._states(segmentation, lesion, variant)
            before = {segment: self._before[segment] for segment in after}
            self._entries[index] = Entry(variant.patch, before, after)
        return self._entries[index]

    def _states(self, segmentation: Any, lesion: Lesion, variant: Variant) -> dict[str, SegmentState | None]:
        """The lesion's segments as they are after a result."""
        ids = self._idsFor(segmentation, lesion)
        color = self._colors[lesion.key]
        names, colors = (lesion.name, CORE_NAME.format(lesion.name)), (color, tuple(CORE_SHADE * part for part in color))
        found = zip(ids, variant.parts(lesion), names, colors, strict=True)
        return {id: None if mask is None else SegmentState(name, color, mask) for id, mask, name, color in found}

    def _idsFor(self, segmentation: Any, lesion: Lesion) -> tuple[str, str]:
        """The same IDs for all results of a round; before the first one, the segments are as they were."""
        if lesion.key not in self._ids:
            here = self._places.node(lesion.key) is segmentation
            found = [lesion.segmentId, lesion.coreSegmentId] if here and lesion.place == "segment" else ["", ""]
            data, taken = segmentation.GetSegmentation(), {id for ids in self._ids.values() for id in ids}
            for index, suffix in enumerate(("", "-core")):
                if not found[index]:
                    found[index] = _freeId(data, f"TumorSynth-{lesion.key}{suffix}", taken)
            self._ids[lesion.key] = (found[0], found[1])
            volume = self._parameters().outputVolume
            self._before |= {id: segmentState(segmentation, id, volume) for id in found}
            old, number = self._before[found[0]], data.GetNumberOfSegments() + len(self._colors)
            self._colors[lesion.key] = COLORS[number % len(COLORS)] if old is None else old.color
        return self._ids[lesion.key]

    def _put(self, entry: Entry, inside: bool) -> None:
        """Put an edit into the scene, or take it out."""
        parameters = self._parameters()
        volume = parameters.outputVolume
        if volume is None:
            raise TumorSynthError("output.gone", "The output volume is no longer in the scene.", "Choose the scan again.")
        segmentation = outputs.ensureOutputSegmentation(parameters.source, parameters)
        (outputs.applyEntry if inside else outputs.revertEntry)(volume, segmentation, entry)
        if entry.more is not None:
            self._onUndone(entry, inside)

    def _onForgotten(self, entry: Entry) -> None:
        """Files of an edit that cannot be undone any more hold the scan that the next one starts from."""
        if any(entry.manifest is told for told in self.history.permanent):
            old, self._start = self._start, entry.scanFile
            if old is not None:
                self._files.discard(old.parent)
        elif entry.scanFile is not None:
            self._files.discard(entry.scanFile.parent)


def removeNode(node: Any) -> None:
    """Take a node with what displays it out of the scene."""
    if node is None or node.GetScene() is None:
        return
    displays = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    slicer.mrmlScene.RemoveNode(node)
    for display in displays:
        if display is not None and display.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(display)


def _freeId(segmentation: Any, wanted: str, taken: set[str]) -> str:
    """An ID that no segment has."""
    number, found = 1, wanted
    while segmentation.GetSegment(found) is not None or found in taken:
        number += 1
        found = f"{wanted}-{number}"
    return found
