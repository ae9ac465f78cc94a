"""TumorSynth without the panel: from Slicer's Python console, in scripts and in other modules.

>>> logic = TumorSynthLogic()
>>> result = logic.insert("CT", at=(12.0, 10.0, 30.0), volumeMl=4.0, domain="abdomen-ct")
>>> result.segmentation.GetSegmentation().GetNthSegment(0).GetName()
'Tumor'

Lengths are mm, volumes mL, positions R, A, S in the world as the views show them. New nodes are made, marked as synthetic, and
the input is never changed. What every operation takes by keyword is told by ``help(TumorSynthSlicer.console_wishes.Wishes)``.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from TumorSynthLib.errors import RequestError
from TumorSynthLib.protocol import SCHEMA, parse_request
from TumorSynthSlicer import commands
from TumorSynthSlicer.console_jobs import ConsoleJob, EditResult, Progress, start
from TumorSynthSlicer.console_places import nodeNamed, placeNamed, segmentNamed
from TumorSynthSlicer.console_scene import editSteps, seriesSteps, shapeSteps
from TumorSynthSlicer.console_wishes import Wishes, wishesOf
from TumorSynthSlicer.dicom_chore import DicomChore, DicomWish
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.marks import manifestOf, sourceOf
from TumorSynthSlicer.parameters import TumorSynthParameterNode
from TumorSynthSlicer.requests import Place, Settings, editRequest
from TumorSynthSlicer.scans import checkVolume
from TumorSynthSlicer.segments import maskSteps, writeMask
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.temporary_files import TemporaryFiles
from TumorSynthSlicer.volumes import ScanFile
from TumorSynthSlicer.worker_service import WorkerService

__all__ = ["ConsoleJob", "EditResult", "TumorSynthLogic"]


class TumorSynthLogic(ScriptedLoadableModuleLogic):
    """Operations on volumes in the scene. Each waits for its result, or with ``wait=False`` gives a ``ConsoleJob`` at once."""

    def getParameterNode(self) -> TumorSynthParameterNode:
        """The panel's parameters."""
        return TumorSynthParameterNode(super().getParameterNode())

    @cached_property
    def service(self) -> WorkerService:
        """The worker; it is started by the first operation. ``logic.service.stop()`` ends it."""
        return WorkerService()

    @cached_property
    def files(self) -> TemporaryFiles:
        """Temporary files, which go when the application ends."""
        return TemporaryFiles()

    @cached_property
    def _scans(self) -> ScanFile:
        return ScanFile(self.files.folder)

    def insert(self, volume: Any, at: Any, *, wait: bool = True, progress: Progress | None = None, **wishes: Any) -> Any:
        """Put a new tumor into a scan.

        >>> logic = TumorSynthLogic()
        >>> result = logic.insert("CT", at=(12.0, 10.0, 30.0), volumeMl=3.0, sphericity=0.8, domain="abdomen-ct", seed=1)
        >>> result.volume.GetName()
        'CT TumorSynth [SYNTHETIC]'
        >>> abs(result.measured["shape_VoxelVolume"] / 1000.0 - 3.0) < 0.06
        True

        Parameters
        ----------
        volume : node of the scan, or its name.
        at : its center (R, A, S); or a fiducial; or an ROI, which then holds the whole tumor; or a painted segment, as
            (segmentation, segment), which is the tumor unless another shape is asked for.
        wait : whether to wait for the result.
        progress : called with stage, share and seconds left.
        wishes : see ``Wishes``.

        Returns
        -------
        ``EditResult``, or without ``wait`` a ``ConsoleJob``.

        Raises
        ------
        TumorSynthError : with what was found, what was expected and what to do.
        """
        return self._edit("insert", volume, at, None, (), wait, progress, wishes)

    def edit(self, volume: Any, tumor: Any, *, wait: bool = True, progress: Progress | None = None, **wishes: Any) -> Any:
        """Give a tumor that is there another shape or texture, or both.

        >>> logic = TumorSynthLogic()
        >>> result = logic.edit("CT", ("Segmentation", "Tumor"), texture={"firstorder_Mean": 60.0}, domain="abdomen-ct")
        >>> "firstorder_Mean" in result.measured
        True

        Parameters
        ----------
        volume, wait, progress, wishes : as for ``insert``.
        tumor : its segment, as (segmentation, segment).

        Returns
        -------
        ``EditResult``, or without ``wait`` a ``ConsoleJob``.

        Raises
        ------
        TumorSynthError : with what was found, what was expected and what to do.
        """
        return self._edit("edit", volume, segmentNamed(tumor), None, (), wait, progress, wishes)

    def remove(self, volume: Any, tumor: Any, *, wait: bool = True, progress: Progress | None = None, **wishes: Any) -> Any:
        """Turn a tumor, or any segment, into plausible healthy tissue.

        >>> logic = TumorSynthLogic()
        >>> result = logic.remove("CT", ("Segmentation", "Tumor"), domain="abdomen-ct")
        >>> result.segmentation.GetSegmentation().GetNumberOfSegments()
        0

        Parameters
        ----------
        volume, wait, progress, wishes : as for ``insert``.
        tumor : its segment, as (segmentation, segment).

        Returns
        -------
        ``EditResult``, or without ``wait`` a ``ConsoleJob``.

        Raises
        ------
        TumorSynthError : with what was found, what was expected and what to do.
        """
        return self._edit("remove", volume, segmentNamed(tumor), None, (), wait, progress, wishes)

    def move(
        self, volume: Any, tumor: Any, to: Any, *, wait: bool = True, progress: Progress | None = None, **wishes: Any
    ) -> Any:
        """Move a tumor to another place, with its shape and texture.

        >>> logic = TumorSynthLogic()
        >>> result = logic.move("CT", ("Segmentation", "Tumor"), to=(12.0, 0.0, 40.0), domain="abdomen-ct")
        >>> result.result["request"]["op"]
        'move'

        Parameters
        ----------
        volume, wait, progress, wishes : as for ``insert``.
        tumor : its segment, as (segmentation, segment).
        to : its new center (R, A, S), or a fiducial.

        Returns
        -------
        ``EditResult``, or without ``wait`` a ``ConsoleJob``.

        Raises
        ------
        TumorSynthError : with what was found, what was expected and what to do.
        """
        return self._edit("move", volume, segmentNamed(tumor), to, (), wait, progress, wishes)

    def grow(
        self,
        volume: Any,
        tumor: Any,
        volumesMl: Sequence[float],
        *,
        wait: bool = True,
        progress: Progress | None = None,
        **wishes: Any,
    ) -> Any:
        """A series of time points of one tumor, as sequences.

        >>> logic = TumorSynthLogic()
        >>> result = logic.grow("CT", ("Segmentation", "Tumor"), volumesMl=[2.0, 4.0], domain="abdomen-ct")
        >>> result.browser.GetNumberOfItems()
        2

        Parameters
        ----------
        volume, wait, progress, wishes : as for ``insert``.
        tumor : its segment, as (segmentation, segment).
        volumesMl : volume at each time point in mL; it may also shrink.

        Returns
        -------
        ``EditResult`` with its ``browser``, or without ``wait`` a ``ConsoleJob``.

        Raises
        ------
        TumorSynthError : with what was found, what was expected and what to do.
        """
        return self._edit("grow", volume, segmentNamed(tumor), None, volumesMl, wait, progress, wishes)

    def shape(
        self, volume: Any = None, at: Any = None, *, wait: bool = True, progress: Progress | None = None, **wishes: Any
    ) -> Any:
        """A tumor's mask alone; no image is changed.

        >>> logic = TumorSynthLogic()
        >>> result = logic.shape(volumeMl=5.0, sphericity=0.7, seed=3)
        >>> round(result.measured["shape_VoxelVolume"] / 1000.0)
        5

        Parameters
        ----------
        volume : the scan that it lies in; None makes a grid of 1 mm around the origin.
        at : where, as for ``insert``; needs a volume.
        wait, progress, wishes : as for ``insert``.

        Returns
        -------
        ``EditResult`` whose volume is None, or without ``wait`` a ``ConsoleJob``.

        Raises
        ------
        TumorSynthError : with what was found, what was expected and what to do.
        """
        asked, node = wishesOf(wishes), nodeNamed(volume)
        if node is None and (at is not None or asked.region is not None):
            raise RequestError("console.place", "A place or region needs a scan to lie in.", "Give the volume.")
        job = ConsoleJob(progress)
        made: list[Path] = []
        steps = self._shapeRequest(asked, node, at, made)
        start(job, self.service, steps, lambda folder: shapeSteps(folder, node, asked.name), lambda: self._discard(made))
        return job.wait() if wait else job

    def exportDicom(
        self,
        volume: Any,
        folder: str | Path,
        segmentation: Any = None,
        *,
        patientId: str = "",
        keepStudy: bool = False,
        seriesNumber: int | None = None,
        overwrite: bool = False,
        wait: bool = True,
        progress: Progress | None = None,
    ) -> Any:
        """Write a synthetic volume as a DICOM series, marked as synthetic in every file.

        >>> logic = TumorSynthLogic()
        >>> result = logic.remove("CT", ("Segmentation", "Tumor"), domain="abdomen-ct")
        >>> summary = logic.exportDicom(result, slicer.app.temporaryPath + "/dicom-example", overwrite=True)
        >>> summary["slices"]
        40

        Parameters
        ----------
        volume : an ``EditResult``, or the node of a volume that TumorSynth has made, or its name.
        folder : to write; there must be none, or an earlier export and ``overwrite``.
        segmentation : node with the tumors; None is that of the result.
        patientId : empty is SYNTHETIC_ and the source's.
        keepStudy : whether study and patient stay the source's.
        seriesNumber : None is the source's plus 1000.
        overwrite : whether an earlier export is replaced.
        wait, progress : as for ``insert``.

        Returns
        -------
        Summary with ``out``, ``image``, ``segmentation``, ``slices``, ``warnings`` and so on; or a ``ConsoleJob``.

        Raises
        ------
        TumorSynthError : with what was found, what was expected and what to do.
        """
        if isinstance(volume, EditResult):
            segmentation, volume = segmentation or volume.segmentation, volume.volume
        node, masks = nodeNamed(volume), nodeNamed(segmentation)
        source = None if node is None else sourceOf(node)
        if source is None:
            message = f"{'It' if node is None else repr(node.GetName())} was not made by TumorSynth from a scan of this scene."
            raise RequestError("console.synthetic", message, "Give a volume that one of the operations has made.")
        kinds = (patientId, keepStudy, seriesNumber, overwrite)
        wish = DicomWish(source, node, masks, manifestOf(node).get("edits", []), Path(folder), *kinds)
        job = ConsoleJob(progress)
        job.follow(DicomChore(wish, self.files, commands.load(), job.finish, lambda e: e and job.fail(e), job.report))
        return job.wait() if wait else job

    def _edit(
        self,
        operation: str,
        volume: Any,
        place: Any,
        to: Any,
        volumesMl: Sequence[float],
        wait: bool,
        progress: Progress | None,
        options: dict[str, Any],
    ) -> Any:
        """One operation on a scan."""
        asked, node = wishesOf(options), nodeNamed(volume)
        checkVolume(node)
        kind, where = placeNamed(place, node)
        lesion = asked.lesion(kind, operation).withChanges(volumesMl=[float(value) for value in volumesMl])
        goal = None if to is None else placeNamed(to, node)
        if goal is not None and goal[0] != "point":
            raise RequestError("console.place", "The tumor moves to a point.", "Give (R, A, S) in mm, or a fiducial.")
        job, made = ConsoleJob(progress), []
        images: list[Path] = []

        def request() -> Steps[Any]:
            values = yield from self._request(asked, lesion, node, where, None if goal is None else goal[1], made)
            images.append(Path(values["image"]))
            return values

        def load(folder: Path) -> Steps[EditResult]:
            if operation == "grow":
                return seriesSteps(folder, node, images[0])
            return editSteps(folder, node, images[0], asked.name)

        start(job, self.service, request(), load, lambda: self._discard(made))
        return job.wait() if wait else job

    def _request(
        self, asked: Wishes, lesion: Lesion, node: Any, where: Any, to: Any, made: list[Path]
    ) -> Steps[dict[str, Any]]:
        """The request for a lesion, when its files are written."""
        place = Place(to=to)
        if lesion.place == "segment":
            path = yield from self._maskFile(where, node, made)
            place = Place(to=to, mask=str(path))
        elif lesion.place == "point":
            place = Place(at=where)
        else:
            place = Place(box=where)
        settings = yield from self._settings(asked, node, made)
        image = yield from self._scans.steps(node)
        return editRequest(lesion, settings, str(image), place, str(self.files.newPath("result")))

    def _shapeRequest(self, asked: Wishes, node: Any, at: Any, made: list[Path]) -> Steps[dict[str, Any]]:
        lesion = asked.lesion("point", "insert")
        settings = yield from self._settings(asked, node, made)
        values = {"schema": SCHEMA, "op": "shape", "seed": lesion.seed, "shape": lesion.shape, "core": lesion.core or None}
        values |= {"bundle": settings.bundle, "domain": settings.domain, "device": settings.device}
        values["out"] = str(self.files.newPath("result"))
        if node is not None:
            image = yield from self._scans.steps(node)
            values |= {"image": str(image), "region": settings.region}
        if at is not None:
            kind, where = placeNamed(at, node)
            if kind == "segment":
                raise RequestError("console.place", "A shape takes a point or a box.", "Give (R, A, S), or an ROI.")
            values["at" if kind == "point" else "box"] = where
        return parse_request(values).to_dict()

    def _settings(self, asked: Wishes, node: Any, made: list[Path]) -> Steps[Settings]:
        settings = asked.settings(commands.load())
        if asked.region is None:
            return settings
        region = yield from self._maskFile(segmentNamed(asked.region), node, made)
        return Settings(**{**vars(settings), "region": str(region)})

    def _maskFile(self, segment: tuple[Any, str], node: Any, made: list[Path]) -> Steps[Path]:
        mask = yield from maskSteps(*segment, node)
        made.append(writeMask(self.files.newPath("mask.nrrd"), mask, node))
        return made[-1]

    def _discard(self, made: list[Path]) -> None:
        for path in made:
            self.files.discard(path)
