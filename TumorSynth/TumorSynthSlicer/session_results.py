"""What a user does to get results, and with them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from TumorSynthSlicer import outputs
from TumorSynthSlicer.dicom_chore import DicomChore, DicomWish
from TumorSynthSlicer.export_files import fileName
from TumorSynthSlicer.series import growSeries, showSeries
from TumorSynthSlicer.session_action import action
from TumorSynthSlicer.session_chores import Chore
from TumorSynthSlicer.session_events import SessionEvents
from TumorSynthSlicer.session_rows import Change, hideMarks, keptRows, rowsOf
from TumorSynthSlicer.session_runs import Run
from TumorSynthSlicer.variants import Variant


class ResultActions(SessionEvents):
    """Results are made, chosen, kept, undone and exported. Errors are told by ``failed``."""

    @action
    def generate(self, keys: Sequence[str] | None = None) -> None:
        """Make lesions: the selected one, or several at once, one on the other. Results that are not kept are discarded."""
        self._refuse("generate" if keys is None else "generateAll")
        keys = [self.lesions.selected] if keys is None else list(keys)
        lesions = [self.lesions.get(key) for key in keys]
        self._discard()
        self.outline.hide()
        self._setStates(keys, "running")
        count = 1 if any(lesion.operation == "grow" for lesion in lesions) else self.parameters.variants
        calls = (self._onResult, self._onOver, self.progressed.emit)
        self._run = Run(self.service, self.files, self.editing, count, *calls)
        self._run.start(self._steps(lesions))
        self.changed.emit()

    def cancel(self) -> None:
        """End what goes on; results that are there already can still be kept."""
        if self._run is not None:
            self._run.cancel()

    @action
    def show(self, index: int) -> None:
        """Show one of the results, or the scan before them with -1."""
        self.editing.show(index)
        self._showReview()
        self.changed.emit()

    @action
    def keep(self) -> None:
        """Keep the result that is shown."""
        self._refuse("keep")
        variant = self.variants[self.shown]
        before = rowsOf(self.lesions, self.places, [lesion.key for lesion in variant.lesions])
        before = tuple(row.inState("draft") for row in before)
        if variant.inSeries:
            self._keepSeries(variant)
            return
        ids = {row.lesion.key: self.editing.idsOf(row.lesion.key) for row in before}
        after = keptRows(before, variant, ids, self.parameters.outputSegmentation)
        self.editing.keep(Change(before, after))
        self._restoreRows(after)
        hideMarks(before)
        self._showReview()
        self.changed.emit()

    @action
    def discard(self) -> None:
        """Take the results out of the scene."""
        self._refuse("discard")
        self._discard()
        self._showReview()
        self.changed.emit()

    @action
    def undo(self) -> None:
        """Take the newest kept edit back."""
        self._refuse("undo")
        self.history.undo()
        self._showReview()

    @action
    def redo(self) -> None:
        """Put the edit back that was undone last."""
        self._refuse("redo")
        self.history.redo()
        self._showReview()

    @action
    def exportFiles(self, folder: str, fileFormat: str = "nrrd") -> None:
        """Write output volume, tumors and manifest into a folder; ``exported`` tells when they are there.

        Parameters
        ----------
        fileFormat : of the volume, ``nrrd`` or ``nii.gz``.
        """
        self._refuse("exportFiles")
        own = self.parameters
        told = outputs.manifest(own.source, self.manifest)
        steps = outputs.exportFiles(folder, own.outputVolume, own.outputSegmentation, told, fileFormat)
        self._run = Chore(steps, lambda paths: self.exported.emit(str(folder)), self._onOver)
        self.progressed.emit("writing", 0.0, None)
        self.changed.emit()

    @action
    def exportDicom(
        self,
        folder: str,
        patientId: str = "",
        keepStudy: bool = False,
        seriesNumber: int | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write output volume and tumors as DICOM into a new folder inside a folder; ``exported`` tells when they are there.

        Parameters
        ----------
        patientId, keepStudy, seriesNumber, overwrite : see ``DicomWish``.
        """
        self._refuse("exportDicom")
        own = self.parameters
        out = Path(folder) / fileName(own.outputVolume.GetName())
        kinds = (patientId, keepStudy, seriesNumber, overwrite)
        wish = DicomWish(own.source, own.outputVolume, own.outputSegmentation, self.manifest, out, *kinds)

        def done(summary: dict[str, Any]) -> None:
            self.dicomNote = "\n".join(summary["warnings"])
            self.exported.emit(str(summary["out"]))

        self.dicomNote = ""
        self._run = DicomChore(wish, self.files, self._choice(), done, self._onOver, self.progressed.emit)
        self.progressed.emit("writing", 0.0, None)
        self.changed.emit()

    def _keepSeries(self, variant: Variant) -> None:
        """Put all time points into the scene as sequences; the scan itself stays as it is."""
        self.editing.show(-1)
        own = self.parameters
        volume = own.outputVolume if self.manifest else own.source
        steps = growSeries(variant.root, volume, self.work.image)

        def done(series: Any) -> None:
            keys = [lesion.key for lesion in variant.lesions]
            self._discard()
            self._setStates(keys, "kept")
            for key in keys:
                self.update(key, visible=False)  # its outline before it grew would lie over the time points
            showSeries(series)

        self._run = Chore(steps, done, self._onOver)
        self.progressed.emit("loading", 0.0, None)
        self.changed.emit()
