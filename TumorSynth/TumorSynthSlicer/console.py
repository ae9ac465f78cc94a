"""TumorSynth without the panel: from Slicer's Python console, in scripts and in other modules.

>>> import TumorSynth
>>> logic = TumorSynth.TumorSynthLogic()
>>> result = logic.insert("CT", at=(12.0, 10.0, 30.0), volumeMl=4.0, domain="abdomen-ct")
>>> result.segmentation.GetSegmentation().GetNthSegment(0).GetName()
'Tumor'

Lengths are mm, volumes mL, positions R, A, S in the world as the views show them. New nodes are made, marked as synthetic, and
the input is never changed. What every operation takes by keyword is told by ``help(TumorSynth.Wishes)``.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from TumorSynthSlicer.console_jobs import ConsoleJob, Progress
from TumorSynthSlicer.console_operations import Operations, sharedOperations, sharedService
from TumorSynthSlicer.console_scene import EditResult
from TumorSynthSlicer.parameters import TumorSynthParameterNode
from TumorSynthSlicer.temporary_files import TemporaryFiles
from TumorSynthSlicer.worker_service import WorkerService

__all__ = ["ConsoleJob", "EditResult", "TumorSynthLogic"]


class TumorSynthLogic(ScriptedLoadableModuleLogic):
    """Operations on volumes in the scene. Each waits for its result, or with ``wait=False`` gives a ``ConsoleJob`` at once.

    While one waits, the application goes on. Ctrl+C in the terminal that it was started from cancels the work, as does stopping
    the worker in the panel; closing the scene or the application ends it too. Jobs are carried out one after the other.
    """

    def getParameterNode(self) -> TumorSynthParameterNode:
        """The panel's parameters."""
        return TumorSynthParameterNode(super().getParameterNode())

    @property
    def service(self) -> WorkerService:
        """The worker, that of the panel too; it is started by the first operation. ``logic.service.stop()`` ends it."""
        return sharedService()

    @cached_property
    def files(self) -> TemporaryFiles:
        """Temporary files of the panel, which go with it; those of the operations here are their own."""
        return TemporaryFiles()

    @property
    def _operations(self) -> Operations:
        return sharedOperations()

    def insert(self, volume: Any, at: Any, *, wait: bool = True, progress: Progress | None = None, **wishes: Any) -> Any:
        """Put a new tumor into a scan.

        >>> import TumorSynth
        >>> logic = TumorSynth.TumorSynthLogic()
        >>> result = logic.insert("CT", at=(12.0, 10.0, 30.0), volumeMl=3.0, sphericity=0.8, domain="abdomen-ct", seed=1)
        >>> result.volume.GetName()
        'CT TumorSynth [SYNTHETIC]'
        >>> abs(result.measured["shape_VoxelVolume"] / 1000.0 - 3.0) < 0.06
        True

        Where only a box is known, the method ``flow`` makes form and texture together inside it:

        >>> box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Tumor box")
        >>> box.SetSize(24.0, 24.0, 24.0)
        >>> box.SetCenter(12.0, 10.0, 30.0)
        >>> inBox = logic.insert("CT", at="Tumor box", method="flow", domain="abdomen-ct", seed=1)
        >>> inBox.result["request"]["method"], 0.0 < inBox.measured["shape_VoxelVolume"] <= 24.0**3
        ('flow', True)

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
        return self._operations.one("insert", volume, at, wishes, wait, progress)

    def insertMany(
        self,
        volume: Any,
        tumors: Sequence[Mapping[str, Any]],
        *,
        wait: bool = True,
        progress: Progress | None = None,
        **wishes: Any,
    ) -> Any:
        """Put several new tumors into a scan, one on the other, as one result.

        >>> import TumorSynth
        >>> logic = TumorSynth.TumorSynthLogic()
        >>> tumors = [{"at": (12.0, 10.0, 20.0), "volumeMl": 1.0}, {"at": (12.0, 10.0, 42.0), "name": "Metastasis"}]
        >>> result = logic.insertMany("CT", tumors, volumeMl=2.0, domain="abdomen-ct")
        >>> [part["name"] for part in result.parts]
        ['Tumor 1', 'Metastasis']

        Parameters
        ----------
        volume, wait, progress : as for ``insert``.
        tumors : of each where it goes, ``at`` as for ``insert``, and what is asked for it alone, see ``Wishes``.
        wishes : what is asked for all that do not say otherwise. Seeds count up from that of the first.

        Returns
        -------
        ``EditResult`` whose ``parts`` tell of each, or without ``wait`` a ``ConsoleJob``.

        Raises
        ------
        TumorSynthError : with what was found, what was expected and what to do.
        """
        return self._operations.many(volume, tumors, wishes, wait, progress)

    def edit(self, volume: Any, tumor: Any, *, wait: bool = True, progress: Progress | None = None, **wishes: Any) -> Any:
        """Give a tumor that is there another shape or texture, or both.

        >>> import TumorSynth
        >>> logic = TumorSynth.TumorSynthLogic()
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
        return self._operations.one("edit", volume, tumor, wishes, wait, progress)

    def remove(self, volume: Any, tumor: Any, *, wait: bool = True, progress: Progress | None = None, **wishes: Any) -> Any:
        """Turn a tumor, or any segment, into plausible healthy tissue.

        >>> import TumorSynth
        >>> logic = TumorSynth.TumorSynthLogic()
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
        return self._operations.one("remove", volume, tumor, wishes, wait, progress)

    def move(
        self, volume: Any, tumor: Any, to: Any, *, wait: bool = True, progress: Progress | None = None, **wishes: Any
    ) -> Any:
        """Move a tumor to another place, with its shape and texture.

        >>> import TumorSynth
        >>> logic = TumorSynth.TumorSynthLogic()
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
        return self._operations.one("move", volume, tumor, wishes, wait, progress, to=to)

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

        >>> import TumorSynth
        >>> logic = TumorSynth.TumorSynthLogic()
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
        return self._operations.one("grow", volume, tumor, wishes, wait, progress, volumesMl=volumesMl)

    def shape(
        self, volume: Any = None, at: Any = None, *, wait: bool = True, progress: Progress | None = None, **wishes: Any
    ) -> Any:
        """A tumor's mask alone; no image is changed.

        >>> import TumorSynth
        >>> logic = TumorSynth.TumorSynthLogic()
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
        return self._operations.shape(volume, at, wishes, wait, progress)

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

        >>> import TumorSynth
        >>> logic = TumorSynth.TumorSynthLogic()
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
        kinds = (patientId, keepStudy, seriesNumber, overwrite)
        return self._operations.exportDicom(volume, folder, segmentation, kinds, wait, progress)
