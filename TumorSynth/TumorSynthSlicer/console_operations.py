"""What the operations of the console do: they understand what was given, and begin a job."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import slicer

from TumorSynthLib.errors import RequestError, TumorSynthError
from TumorSynthSlicer import commands
from TumorSynthSlicer.console_files import JobFiles, ScanFiles
from TumorSynthSlicer.console_jobs import ConsoleJob, Progress, start
from TumorSynthSlicer.console_places import Segment, placeNamed, segmentationNamed, segmentNamed, volumeNamed
from TumorSynthSlicer.console_requests import Tumor, checkTumor, editSteps, goalNamed, shapeSteps
from TumorSynthSlicer.console_scene import EditResult, loadEdit, loadSeries, loadShape
from TumorSynthSlicer.console_wishes import OF_ALL, Wishes, wishesOf
from TumorSynthSlicer.dicom_chore import DicomChore, DicomWish
from TumorSynthSlicer.marks import editsOf, sourceOf
from TumorSynthSlicer.scans import checkVolume
from TumorSynthSlicer.segments import segmentName
from TumorSynthSlicer.tasks import Steps
from TumorSynthSlicer.temporary_files import TemporaryFiles
from TumorSynthSlicer.worker_service import WorkerService


@cache
def sharedService() -> WorkerService:
    """The worker of this application: panel and console have the same one, however many logics there are."""
    return WorkerService()


@cache
def sharedOperations() -> "Operations":
    """The operations of this application, with its worker and one folder of temporary files."""
    return Operations(sharedService(), TemporaryFiles())


class Operations:
    """The operations of ``TumorSynthLogic``, which tells of their parameters.

    Whatever makes no sense is refused at once, also where nobody waits for the result.

    Parameters
    ----------
    service : the worker.
    files : where temporary files are.
    """

    def __init__(self, service: Any, files: TemporaryFiles) -> None:
        self.files = files
        """Temporary files, which go when the application ends."""
        self._service = service
        self._scans = ScanFiles(files)

    def one(
        self,
        operation: str,
        volume: Any,
        place: Any,
        wishes: Mapping[str, Any],
        wait: bool,
        progress: Progress | None,
        *,
        volumesMl: Sequence[float] = (),
        to: Any = None,
    ) -> Any:
        """Anything with one tumor, which has to be there unless it is inserted."""
        node, asked = _checked(volume), wishesOf(wishes, operation)
        tumor = _tumor(operation, place if operation == "insert" else segmentNamed(place), asked, node)
        if operation == "grow":
            tumor = replace(tumor, lesion=tumor.lesion.withChanges(volumesMl=_times(volumesMl)))
        if operation == "move":
            tumor = replace(tumor, to=goalNamed(to, node))
        return self._edit(node, [tumor], asked, wait, progress, several=False)

    def many(self, volume: Any, tumors: Any, wishes: Mapping[str, Any], wait: bool, progress: Progress | None) -> Any:
        """Several new tumors in one result."""
        node, asked = _checked(volume), wishesOf(wishes)
        if not isinstance(tumors, Sequence) or not tumors:
            message = f"The tumors are {tumors!r:.60}, expected a list of dictionaries."
            raise RequestError("console.tumors", message, 'Give [{"at": (R, A, S)}, ...].')
        found = [_oneOfMany(number, tumor, wishes, node) for number, tumor in enumerate(tumors)]
        return self._edit(node, found, asked, wait, progress, several=True)

    def shape(self, volume: Any, at: Any, wishes: Mapping[str, Any], wait: bool, progress: Progress | None) -> Any:
        """A mask alone."""
        asked, node = wishesOf(wishes, "shape"), volumeNamed(volume)
        if node is not None:
            checkVolume(node)
        elif at is not None or asked.region is not None:
            raise RequestError("console.place", "A place or region needs a scan to lie in.", "Give the volume.")
        where = None if at is None else placeNamed(at, node)
        if where is not None and where[0] == "segment":
            raise RequestError("console.place", "A shape takes a point or a box.", "Give (R, A, S), or an ROI.")
        lesion, region = asked.lesion("point", "insert"), _region(asked)
        files = self._scans.job(node)
        steps = shapeSteps(lesion, where, asked.settings(commands.load()), region, files)
        return self._start(files, steps, lambda folder: loadShape(folder, node, lesion.name), wait, progress)

    def exportDicom(
        self, volume: Any, folder: str | Path, segmentation: Any, options: Sequence[Any], wait: bool, progress: Progress | None
    ) -> Any:
        """A synthetic volume as DICOM; ``options`` are the last fields of ``DicomWish``."""
        if isinstance(volume, EditResult):
            segmentation, volume = segmentation or volume.segmentation, volume.volume
        node, masks = volumeNamed(volume), segmentationNamed(segmentation)
        source = None if node is None else _scanOf(node)
        if source is None:
            message = f"{'It' if node is None else repr(node.GetName())} was not made by TumorSynth from a scan of this scene."
            raise RequestError("console.synthetic", message, "Give a volume that one of the operations has made.")
        job, wish = ConsoleJob(progress), DicomWish(source, node, masks, editsOf(node), Path(folder), *options)

        def over(error: TumorSynthError | None) -> None:
            if error is not None:
                job.fail(error)

        job.follow(DicomChore(wish, self.files, commands.load(), job.finish, over, job.report))
        return job.wait() if wait else job

    def _edit(
        self, node: Any, tumors: Sequence[Tumor], asked: Wishes, wait: bool, progress: Progress | None, several: bool
    ) -> Any:
        asked = _inDomainOf(node, asked)
        settings, region = asked.settings(commands.load()), _region(asked)
        for tumor in tumors:
            checkTumor(tumor, settings)
        files = self._scans.job(node)
        first = tumors[0].lesion

        def load(folder: Path) -> Steps[EditResult]:
            if first.operation == "grow":
                return loadSeries(folder, node, files.image)
            return loadEdit(folder, node, files.image, first.name)

        return self._start(files, editSteps(tumors, settings, region, files, several), load, wait, progress)

    def _start(
        self,
        files: JobFiles,
        prepared: Steps[Mapping[str, Any]],
        load: Callable[[Path], Steps[EditResult]],
        wait: bool,
        progress: Progress | None,
    ) -> Any:
        job = ConsoleJob(progress)
        start(job, self._service, files, prepared, load)
        return job.wait() if wait else job


def _checked(volume: Any) -> Any:
    """The node of a scan that can be edited."""
    node = volumeNamed(volume)
    checkVolume(node)
    return node


def _inDomainOf(node: Any, asked: Wishes) -> Wishes:
    """The same in the domain of the volume's last edit, where none is asked for."""
    edits = editsOf(node)
    domain = edits[-1].get("request", {}).get("domain") if edits else None
    return replace(asked, domain=domain) if asked.domain == "auto" and isinstance(domain, str) else asked


def _region(asked: Wishes) -> Segment | None:
    return None if asked.region is None else segmentNamed(asked.region)


def _times(volumesMl: Any) -> list[Any]:
    """The volumes of a series; what they may be is checked with the lesion."""
    found = list(volumesMl) if hasattr(volumesMl, "__iter__") else []
    if not found:
        message = f"The volumes of the time points are {volumesMl!r:.60}."
        raise RequestError("console.times", message, "Give at least one in mL, for example [2.0, 4.0].")
    return found


def _tumor(operation: str, place: Any, asked: Wishes, node: Any, name: str = "Tumor") -> Tumor:
    """A tumor as it is asked for; one that is painted is called as its segment."""
    kind, where = placeNamed(place, node)
    name = segmentName(*where) if kind == "segment" else name
    return Tumor(asked.lesion(kind, operation, name), where)


def _oneOfMany(number: int, tumor: Any, shared: Mapping[str, Any], node: Any) -> Tumor:
    """A tumor that takes what it does not say itself from what is asked for all."""
    if not isinstance(tumor, Mapping) or "at" not in tumor:
        message = f"Tumor {number + 1} is {tumor!r:.60}, expected a dictionary with 'at'."
        raise RequestError("console.tumors", message, "Give each tumor its place, and what is asked for it alone.")
    own = {name: value for name, value in tumor.items() if name != "at"}
    for name in OF_ALL:
        if name in own:
            raise RequestError("console.option", f"'{name}' holds for all tumors.", "Give it beside the tumors.")
    seed = wishesOf(shared).seed + number
    return _tumor("insert", tumor["at"], wishesOf({**shared, "seed": seed, **own}), node, f"Tumor {number + 1}")


def _scanOf(volume: Any) -> Any:
    """The scan that a synthetic volume was made from, also one that a sequence browser shows; None where it is not known."""
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(volume)
    return sourceOf(volume) or (None if browser is None else sourceOf(browser))
