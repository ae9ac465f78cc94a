"""The files that the worker reads: the scan as it is now, painted regions, the region that new tumors stay in. Each once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.requests import Place, Settings
from TumorSynthSlicer.segments import maskStamp, maskSteps, writeLesionMask
from TumorSynthSlicer.session_places import LesionPlaces
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.volumes import ScanFile


@dataclass(frozen=True)
class Prepared:
    """Everything that requests need."""

    image: Path
    """The scan as it is now."""
    edits: tuple[tuple[Lesion, Place], ...]
    """The lesions with their places."""
    settings: Settings
    """Those of the session, with the region's file."""


class Work:
    """Writes files for the worker, and writes them again only when something has changed.

    Parameters
    ----------
    files : gives names of temporary files.
    places : of the lesions.
    """

    def __init__(self, files: Any, places: LesionPlaces) -> None:
        self._files, self._places = files, places
        self._scans = ScanFile(files.folder)
        self._masks: dict[str, tuple[str, Path]] = {}
        self.image: Path | None = None
        """The scan after the edit that was kept last; None where that is the volume as it was."""

    def steps(
        self, lesions: Sequence[Lesion], volumeNode: Any, settings: Settings, region: tuple[Any, str] | None = None
    ) -> Steps[Prepared]:
        """Write what is not there yet.

        Parameters
        ----------
        lesions : for which requests are made.
        volumeNode : the scan that is edited.
        settings : of the session.
        region : segmentation and segment of the region, or None.

        Returns
        -------
        What requests need, when all steps are done.

        Raises
        ------
        TumorSynthError : for a scan, a segment or a place that cannot be used.
        """
        edits = []
        for lesion in lesions:
            mask = None
            if lesion.place == "segment":
                self._places.placeOf(replace(lesion, operation="edit"), volumeNode)
                parts = [lesion.segmentId, *([lesion.coreSegmentId] if lesion.coreSegmentId else [])]
                mask = yield from self._mask(lesion.key, self._places.node(lesion.key), parts, volumeNode)
            edits.append((lesion, self._places.placeOf(lesion, volumeNode, None if mask is None else str(mask))))
        if region is not None:
            path = yield from self._mask("region", region[0], [region[1]], volumeNode)
            settings = replace(settings, region=str(path))
        image = yield from self.scan(volumeNode)
        return Prepared(image, tuple(edits), settings)

    def otherSteps(self, segmentation: Any, segmentId: str, volumeNode: Any, settings: Settings) -> Steps[Prepared]:
        """Write the files of a tumor that need not be in the table, nor in the scan that is worked on."""
        mask = yield from self._mask("other", segmentation, [segmentId], volumeNode)
        image = yield from self._scans.steps(volumeNode)
        lesion = Lesion("other", segmentId, "segment", "edit", segmentId=segmentId)
        return Prepared(image, ((lesion, Place(mask=str(mask))),), settings)

    def scan(self, volumeNode: Any) -> Steps[Path]:
        """The file of the scan as it is now."""
        if self.image is not None and self.image.is_file():
            return self.image
        found = yield from self._scans.steps(volumeNode)
        return found

    def forget(self) -> None:
        """Write everything anew when it is needed next."""
        for _, path in self._masks.values():
            self._files.discard(path)
        self._masks.clear()
        self.image = None

    def _mask(self, name: str, segmentation: Any, segments: Sequence[str], volumeNode: Any) -> Steps[Path]:
        """A file with a segment and, where there is one, its core, cropped to what they fill."""
        stamp = " ".join(maskStamp(segmentation, segment, volumeNode) for segment in segments)
        known, path = self._masks.get(name, ("", None))
        if path is not None and known == stamp and path.is_file():
            return path
        masks = []
        for segment in segments:
            found = yield from maskSteps(segmentation, segment, volumeNode)
            masks.append(found)
        new = writeLesionMask(
            self._files.newPath(f"mask-{name}.nrrd"), masks[0], masks[1] if len(masks) > 1 else None, volumeNode
        )
        if path is not None:
            self._files.discard(path)
        self._masks[name] = (stamp, new)
        return new
