"""The panel's output: where results are shown, and how they leave 3D Slicer."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from TumorSynthSlicer.dicom_sources import sourceFiles
from TumorSynthSlicer.marks import SYNTHETIC
from TumorSynthSlicer.panel.action_button import ActionButton, Allowed, waiting
from TumorSynthSlicer.panel.selectors import letGo


class OutputSection:
    """Exports. The output nodes are bound to the parameters by the .ui file.

    Parameters
    ----------
    ui : widgets by name.
    session : what is being worked on.
    chooseFolder : asks for a folder under a title, and gives an empty path where the user thinks better of it.
    findFiles : finds the DICOM files of a volume.
    """

    def __init__(
        self,
        ui: Any,
        session: Any,
        chooseFolder: Callable[[str], str] | None = None,
        findFiles: Callable[[Any], Any] = sourceFiles,
    ) -> None:
        self._ui, self._session, self._sourceFiles = ui, session, findFiles
        self._chooseFolder = chooseFolder or self._ask
        self._written = ""
        self._allowed = Allowed(ui.outputVolumeSelector, ui.outputSegmentationSelector)
        for selector, kind in (
            (ui.outputVolumeSelector, "vtkMRMLScalarVolumeNode"),
            (ui.outputSegmentationSelector, "vtkMRMLSegmentationNode"),
        ):
            selector.addAttribute(kind, SYNTHETIC, "1")  # nobody shall choose a patient's data to be written over
            letGo(selector)
        self._buttons = [
            ActionButton(ui.exportDicomButton, session, "exportDicom", self.exportDicom),
            ActionButton(ui.exportFilesButton, session, "exportFiles", self.exportFiles),
        ]
        session.exported.connect(self._onExported)

    def cleanup(self) -> None:
        """Listen no longer."""
        self._session.exported.disconnect(self._onExported)

    def refresh(self) -> None:
        """Show the session as it is."""
        for button in self._buttons:
            button.refresh()
        ui = self._ui
        self._allowed.show(waiting(self._session))
        ui.exportLabel.text = "\n".join(text for text in (self._written, self._session.dicomNote) if text)
        ui.exportLabel.visible = bool(ui.exportLabel.text)

    def exportDicom(self) -> None:
        """Say whether the scan's own headers can be taken over, ask for a folder, and write a DICOM series there."""
        if self._sourceFiles(self._session.source):
            title = _("Folder for the synthetic DICOM series, with the headers of the scan")
        else:
            title = _("Folder for the synthetic DICOM series, with new headers: the scan's own are not in the DICOM database")
        folder = self._chooseFolder(title)
        if folder:
            self._session.exportDicom(folder)

    def exportFiles(self) -> None:
        """Ask for a folder and write volume, segmentation and manifest there."""
        folder = self._chooseFolder(_("Folder for volume, segmentation and manifest"))
        if folder:
            self._session.exportFiles(folder)

    def _onExported(self, folder: Any) -> None:
        self._written = _("Written to {folder}.").format(folder=folder)
        slicer.util.showStatusMessage(self._written, 5000)
        self.refresh()

    def _ask(self, title: str) -> str:
        return str(qt.QFileDialog.getExistingDirectory(self._ui.outputSection, title, ""))
